"""A folder that MontePython takes for CLASS's, whose module ``classy`` is the stand-in."""

from __future__ import annotations

from pathlib import Path

from .. import __version__

SHIM = '''"""In CLASS's place: Volvelle's stand-in for classy."""

from volvelle.plugins.montepython import (
    STANDS_IN,
    Class,
    CosmoComputationError,
    CosmoSevereError,
    __version__,
)
'''


COMMON = '#define _VERSION_ "v3.0-volvelle-{version}"\n'
LIBRARY = Path("python") / "build" / "lib.volvelle"


def write_shim(folder: str | Path) -> Path:
    """Write a folder that MontePython takes for CLASS's (``path['cosmo']``).

    It holds the three files that MontePython looks at: ``main/class.c`` and ``include/common.h`` by
    their names, and the module ``classy`` below ``python/build``, which is this one.

    Returns the folder of that module, for the front of PYTHONPATH.
    """
    place = Path(folder).expanduser().resolve()
    files = {
        Path("main") / "class.c": "/* Volvelle stands in for CLASS here. */\n",
        Path("include") / "common.h": COMMON.format(version=__version__),
        LIBRARY / "classy.py": SHIM,
    }
    for path, content in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(content)
    return place / LIBRARY
