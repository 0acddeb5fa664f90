"""The compiled kernel: C, built at first use where there is a compiler, called by XLA on CPUs.

The library lies in the user's cache (VOLVELLE_CACHE, else the system's place for one) under a name
that holds a hash of its source, the compiler, the processor and jaxlib's version; it is moved there
whole, so that processes that start together do not disturb each other.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import jaxlib.version

from volvelle.compute import available_cores
from volvelle.data import cache_dir

from .errors import KernelError
from .splitting import DEGREE

VARIABLE = "VOLVELLE_KERNEL"
THREADS = "OMP_NUM_THREADS"
SOURCE = Path(__file__).parent / "kernel"
PAINTINGS = ("spread", "gather", "spread_slope", "gather_slope", "slope")
PAIRS = ("pull", "pull_slope")
FLAGS = (
    *("-std=c11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd"),
    *("-shared", "-fPIC", f"-DTERMS={DEGREE + 1}"),
)
LONGEST = 300.0
"""Time limit of the compiler [s]."""


class Kernel(NamedTuple):
    """A library that was loaded, or the reason why there is none."""

    path: Path | None
    reason: str


def painting_backend() -> str:
    """What paints, reads and adds up pair forces on CPUs, in words, with the reason.

    ``compiled (...)``, with the threads of a call, or ``pure JAX (...)``. GPUs use pure JAX. The
    environment variable VOLVELLE_KERNEL is ``off`` for pure JAX, and ``on`` to have an error where
    there is no compiler.
    """
    threads = kernel_threads()
    if threads:
        return f"compiled ({kernel().path}, {threads} thread{'s' if threads > 1 else ''})"
    return f"pure JAX ({_asked()[1] or kernel().reason})"


def kernel_threads() -> int:
    """Threads of the compiled kernel, from OMP_NUM_THREADS or else all cores; 0 without it.

    Looked at when a program is traced. Raises KernelError where VOLVELLE_KERNEL is ``on`` and there
    is no kernel, and for other values.
    """
    wanted, reason = _asked()
    if reason:
        return 0
    found = kernel()
    if found.path is None:
        if wanted:
            raise KernelError(f"{VARIABLE} is 'on' and there is no kernel: {found.reason}")
        return 0
    asked = os.environ.get(THREADS, "").split(",")[0].strip()
    return int(asked) if asked.isdigit() and int(asked) > 0 else available_cores()


def _asked() -> tuple[bool, str]:
    """Whether the kernel is demanded, and why it is not to be used."""
    value = os.environ.get(VARIABLE, "").strip().lower()
    if value not in ("", "on", "off"):
        raise KernelError(f"{VARIABLE} is {value!r}; expected 'on' or 'off'")
    return value == "on", f"{VARIABLE} is 'off'" if value == "off" else ""


@cache
def kernel() -> Kernel:
    """The library, built if need be, loaded and made known to XLA; once per process.

    A compiler that is there and fails is warned of.
    """
    compiler = find_compiler()
    if compiler is None:
        return Kernel(None, "no C compiler: none of $CC, cc, gcc, clang was found")
    try:
        path = build(compiler, cache_dir().parent / "kernels")
        library = ctypes.CDLL(str(path))
        for name in (*PAINTINGS, *PAIRS):
            function = getattr(library, f"volvelle_{name}")
            jax.ffi.register_ffi_target(
                f"volvelle_{name}", jax.ffi.pycapsule(function), platform="cpu"
            )
    except (OSError, AttributeError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or error
        reason = f"{compiler} could not make it: {str(output).strip()}"
        warnings.warn(f"painting is slower, in pure JAX; {reason}", RuntimeWarning, stacklevel=2)
        return Kernel(None, reason)
    return Kernel(path, "")


def find_compiler() -> str | None:
    """Path of a C compiler that takes the flags of GCC, or None."""
    if os.name != "posix":
        return None
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        if name and (path := shutil.which(name)):
            return path
    return None


def build(compiler: str, folder: Path) -> Path:
    """The library in a folder, compiled unless it is there already.

    Raises OSError and subprocess.SubprocessError.
    """
    command = [compiler, *FLAGS, *_for_this_processor(compiler)]
    path = folder / f"volvelle-{_fingerprint(command)}.so"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=".building-", suffix=".so")
    os.close(handle)
    try:
        arguments = [f"-I{jax.ffi.include_dir()}", str(SOURCE / "kernel.c"), "-o", name]
        subprocess.run(
            [*command, *arguments, "-lpthread", "-lm"],
            check=True,
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
        os.chmod(name, 0o755)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def _for_this_processor(compiler: str) -> list[str]:
    """-march=native, where the compiler knows it."""
    known = subprocess.run(
        [compiler, "-march=native", "-E", "-x", "c", os.devnull],
        capture_output=True,
        timeout=LONGEST,
        check=False,
    )
    return ["-march=native"] if known.returncode == 0 else []


def _fingerprint(command: list[str]) -> str:
    """Hash of all that decides what the library is: a cache may be shared among machines."""
    version = subprocess.run(
        [command[0], "--version"], capture_output=True, timeout=LONGEST, check=True
    )
    digest = hashlib.sha256()
    for source in sorted(SOURCE.glob("*.[ch]")):
        digest.update(source.name.encode() + source.read_bytes())
    for part in (
        *command,
        platform.machine(),
        platform.system(),
        jaxlib.version.__version__,
        _processor(),
    ):
        digest.update(part.encode() + b"\0")
    digest.update(version.stdout)
    return digest.hexdigest()[:16]


def _processor() -> str:
    """What -march=native looks at: the model and its instructions."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor()
    kept = ("model name", "flags", "features", "cpu part")
    first = path.read_text().split("\n\n")[0].splitlines()
    return "\n".join(line for line in first if line.lower().startswith(kept))
