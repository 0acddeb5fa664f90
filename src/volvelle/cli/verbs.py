"""What the commands do, as functions; each switches JAX to float64 first."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from .configuration import Configuration


def enable_float64() -> None:
    """Let JAX compute in double precision, which every likelihood needs."""
    import jax

    jax.config.update("jax_enable_x64", True)


def use_cores(path: str | Path) -> None:
    """Every core runs chains of its own, where nothing is called that may not bear it.

    That is a likelihood of the user's own, which may leave Python for a library; with the package's
    own theory it runs on every core all the same, as that takes most of the time. It has to be said
    before JAX begins, hence from the file as it stands; what is wrong with it is told by those who
    check it.
    """
    import jax

    from ..compute import available_cores
    from .document import Document

    given = Document.load(Path(path)).data
    theory, likelihood = (given.get(key) for key in ("theory", "likelihood"))
    own = isinstance(theory, dict) and "volvelle" in theory
    if own or not (isinstance(likelihood, dict) and "external" in likelihood):
        with contextlib.suppress(RuntimeError):  # JAX has begun: then on what it has
            jax.config.update("jax_num_cpu_devices", available_cores())


def load(
    configuration: Configuration | str | Path, output: str | Path | None = None
) -> Configuration:
    """A configuration as it is, or read and checked from a file."""
    enable_float64()
    if isinstance(configuration, Configuration):
        return configuration
    use_cores(configuration)
    return Configuration.load(configuration, output=output)


def run(configuration: Configuration | str | Path, *, progress: bool = True) -> int:
    """From a configuration, or the path of its file, to a certified posterior.

    Writes the output folder (summary.json, chains, emulator, report.html). An interrupted run goes
    on where it was.

    Args:
        configuration: what to run.
        progress: show progress in the terminal.

    Returns 0 when the sampler converged and the certificate passed, else 1.
    Raises VolvelleError for what the user can mend.
    """
    checked = load(configuration)
    from .pipeline import run as run_pipeline

    return run_pipeline(checked, progress=progress)


def estimate(configuration: Configuration | str | Path) -> dict[str, Any]:
    """Expected exact calls, time [s] and memory of a run, without running it."""
    checked = load(configuration)
    from .pipeline import estimate as estimate_pipeline

    return estimate_pipeline(checked)
