"""A chain that MontePython made, its model loaded again from the ``log.param`` beside it."""

from __future__ import annotations

import os
from pathlib import Path

from volvelle.inference import ChainFiles
from volvelle.plugins.certify_chain import ForeignChain, check_solver
from volvelle.plugins.class_words import ALWAYS_EXACT, STAND_IN, VARIABLE
from volvelle.plugins.errors import ForeignError
from volvelle.plugins.montepython_model import MontePythonModel


def montepython_chain(files: ChainFiles, solver: str, root: Path | None = None) -> ForeignChain:
    """A chain with its model, and the same model with every point solved exactly.

    Args:
        solver: the exact one; root: MontePython's folder, where it has moved.

    Raises ForeignError for a chain that was not made with Volvelle's emulator, or whose model
    cannot be loaded again.
    """
    emulated = MontePythonModel.load(files.root.parent, root)
    emulator = emulated.cosmo_arguments.get(STAND_IN) or os.environ.get(VARIABLE)
    if not emulator:
        raise ForeignError(
            f"{files.root.parent} names no emulator (data.cosmo_arguments['volvelle_emulator']); "
            f"only chains made with Volvelle's stand-in for CLASS can be certified, set {VARIABLE} "
            "if the emulator came from the environment"
        )
    check_solver(emulator, solver)
    return ForeignChain(
        files=files,
        sampled=emulated.sampled,
        derived=emulated.derived,
        log_like=-files.rows[:, 1],
        emulated=emulated,
        exact=emulated.with_environment(**{ALWAYS_EXACT: "yes"}),
    )
