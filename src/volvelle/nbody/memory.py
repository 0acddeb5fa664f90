"""Whether a simulation fits in memory, said before it begins."""

import ctypes
import os
import resource
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from .errors import MemoryNeededError

_MEMORY_FILE = Path("/proc/meminfo")
_STATUS_FILE = Path("/proc/self/status")


def memory_needed(
    particles: int,
    cells: int,
    *,
    order: int = 2,
    dealiased: bool = True,
    gradient: bool = False,
    dtype: jnp.dtype | type = jnp.float32,
) -> int:
    """Bytes at the highest point of a particle-mesh simulation, to 40%.

    The larger of the initial conditions and of a step of the particles, as counted in compiled
    programs.

    Args:
        particles: per side of their grid.
        cells: per side of the mesh of the force.
        order: of Lagrangian perturbation theory.
        dealiased: whether its products are made on finer meshes.
        gradient: whether the simulation is differentiated.
    """
    size = jnp.dtype(dtype).itemsize
    grid, mesh = particles**3, cells**3
    fields = {1: 1, 2: 2, 3: 5}[order]
    finer = grid * (1.0 if not dealiased else {1: 1.0, 2: 1.5**3, 3: 2.0**3}[order])
    making = 3 * fields * grid + 4 * grid + 10 * finer
    kept = 3 * fields * grid  # the displacements of the start
    moving = kept + 18 * grid + 8 * mesh
    if gradient:
        making *= 4.5 if order == 3 else 2.5
        moving = 2 * kept + 48 * grid + 13 * mesh
    return int(size * max(making, moving))


def memory_free() -> int | None:
    """Bytes that are free on the device JAX computes on; None where nobody says."""
    device = jax.devices()[0]
    counted = None if device.platform == "cpu" else device.memory_stats()
    if counted:
        return int(counted["bytes_limit"] - counted["bytes_in_use"])
    if _MEMORY_FILE.exists():
        for line in _MEMORY_FILE.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    if "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def peak_memory() -> int:
    """The largest of this process until now [bytes]."""
    if _STATUS_FILE.exists():  # Linux, whose getrusage counts what was there before exec as well
        for line in _STATUS_FILE.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def trim_memory() -> None:
    """Give back to the system what this process freed.

    glibc keeps it, in pieces that the next tile's arrays do not quite fit into: the peak of a
    process that runs many tiles grows without. Elsewhere nothing happens.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is not None and hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def check_memory(needed: int, free: int | None = None) -> None:
    """Refuse what does not fit.

    ``free``: bytes; what ``memory_free`` finds, if None.

    Raises MemoryNeededError.
    """
    free = memory_free() if free is None else free
    if free is not None and needed > free:
        raise MemoryNeededError(
            f"the simulation needs about {needed / 2**30:.2f} GiB and {free / 2**30:.2f} GiB are "
            "free; take fewer particles or a coarser mesh, float32, or LPT of lower order"
        )
