"""Fisher matrices as text: a header with names and fiducial values, and the numbers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from volvelle.inference.errors import FisherError
from volvelle.inference.fisher import Fisher
from volvelle.learning import write_atomically

_TITLE = "Fisher matrix"


def write_fisher(path: str | Path, fisher: Fisher) -> None:
    """Write what ``numpy.loadtxt`` reads, with all digits."""
    values = " ".join(f"{float(value):.17g}" for value in fisher.values)
    head = f"{_TITLE}\n{' '.join(fisher.names)}\n{values}"
    text = io.StringIO()
    np.savetxt(text, np.asarray(fisher.matrix), fmt="%.17g", header=head)
    write_atomically(Path(path), text.getvalue().encode())


def read_fisher(path: str | Path) -> Fisher:
    """Read what ``write_fisher`` wrote; raises FisherError for anything else."""
    expected = "expected the lines '# Fisher matrix', '# names', '# fiducial values', and numbers"
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        title, names, values = (line.removeprefix("# ") for line in lines[:3])
        if title != _TITLE:
            raise FisherError(f"{path} begins with {title!r}; {expected}")
        matrix = np.loadtxt(lines, ndmin=2)
        return Fisher(tuple(names.split()), [float(v) for v in values.split()], matrix)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise FisherError(f"{path} cannot be read ({error}); {expected}") from error
