"""What ``volvelle learn`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from ..boltzmann import Ledger, default_ledger
from ..plugins import ForeignError
from ..plugins.learned_posterior import LearningOptions, learn_posterior
from .certify_job import certificate_table
from .compute_block import ComputeBlock
from .computing import make_executor
from .progress import Reporter


def learn_foreign(
    path: Path,
    options: LearningOptions,
    *,
    output: Path | None,
    packages_path: str | None,
    montepython: Path | None,
    ledger: Path | None,
    compute: ComputeBlock,
    progress: bool,
) -> int:
    """Learn, sample, certify, write; 0 if certified, else 1. Raises VolvelleError."""
    console = Console()
    reporter = Reporter(console, silent=not progress)
    model, labels = _model(path, packages_path, montepython)
    folder = output or path.with_name(f"{path.stem if path.is_file() else path.name}_volvelle")
    with make_executor(compute, reporter.say) as executor:
        found = learn_posterior(
            model,
            folder,
            options,
            Ledger(ledger or default_ledger()),
            executor,
            reporter.say,
            reporter.solving,
            reporter.sampling,
        )
    found.write(folder, labels)
    certificate = found.outcome.certificate
    if progress:
        console.print(certificate_table(certificate))
        console.print(certificate.words(), highlight=False)
        console.print(f"samples: {folder / 'reweighted'}.*; emulator: {folder / 'emulator'}")
    return 0 if certificate.passed else 1


def _model(
    path: Path, packages_path: str | None, montepython: Path | None
) -> tuple[Any, dict[str, str]]:
    """The black box, and LaTeX of its parameters."""
    if path.is_dir():
        from ..plugins.montepython_model import MontePythonModel

        return MontePythonModel.load(path, montepython), {}
    if path.suffix not in (".yaml", ".yml"):
        raise ForeignError(
            f"{path} is neither Cobaya's input file (.yaml) nor the folder of a MontePython run"
        )
    from ..plugins.cobaya_model import CobayaModel

    model = CobayaModel.load(path, packages_path)
    return model, dict(model.model.parameterization.labels())
