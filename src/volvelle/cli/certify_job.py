"""What ``volvelle certify`` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from ..boltzmann import SOLVERS, Ledger, default_ledger
from ..inference import ChainFiles, read_chains
from ..plugins import ForeignChain, ForeignError, certify_chain, write_certified
from ..training import Certificate
from .compute_block import ComputeBlock
from .computing import make_executor
from .progress import Reporter


@dataclass(frozen=True)
class CertifyRequest:
    """The options of the command; see its help."""

    chain: Path
    solver: str
    points: int
    max_points: int
    accuracy: float
    burn_in: float | None
    output: Path | None
    packages_path: str | None
    montepython: Path | None
    ledger: Path | None
    compute: ComputeBlock
    seed: int


def certify_chain_files(request: CertifyRequest, *, progress: bool = True) -> int:
    """Certify, write, say; 0 if certified, else 1. Raises VolvelleError for wrong input."""
    console = Console()
    reporter = Reporter(console, silent=not progress)
    files = read_chains(request.chain, request.burn_in)
    chain = _load(files, request)
    given = Path(request.chain).expanduser()
    place = given if given.is_dir() else files.root
    folder = request.output or place.with_name(f"{place.name}_certified")
    reporter.say(
        f"{files.root}: {len(files.rows)} samples of {', '.join(chain.sampled)} ({files.format}), "
        f"{sum(file.burn_in for file in files.files)} rows of burn-in left out"
    )
    ledger = Ledger(request.ledger or default_ledger())
    with (
        make_executor(request.compute, reporter.say) as executor,
        reporter.bar("exact solutions"),
    ):
        certificate, log_weights = certify_chain(
            chain,
            ledger,
            executor,
            limit=request.accuracy,
            points=request.points,
            max_points=max(request.points, request.max_points),
            seed=request.seed,
            say=reporter.say,
            progress=reporter.solving,
        )
    root = write_certified(chain, certificate, log_weights, folder)
    if progress:
        console.print(certificate_table(certificate))
        console.print(certificate.words(), highlight=False)
        console.print(f"corrected chain: {root}; certificate: {folder / 'certificate.json'}")
    return 0 if certificate.passed else 1


def _load(files: ChainFiles, request: CertifyRequest) -> ForeignChain:
    """The chain with its likelihoods, from what its program left beside it."""
    if files.format == "cobaya":
        from ..plugins.cobaya_chain import cobaya_chain

        return cobaya_chain(files, _theory(request.solver), request.packages_path)
    if files.format == "montepython":
        from ..plugins.montepython_chain import montepython_chain

        return montepython_chain(files, request.solver, request.montepython)
    raise ForeignError(
        f"{files.root} does not say with which likelihoods it was made ({files.format} files); "
        "chains can be certified with Cobaya's .updated.yaml or MontePython's log.param beside them"
    )


def _theory(given: str) -> str | Mapping[str, Any]:
    """A solver's name, or the ``theory`` block of a file."""
    if given in SOLVERS:
        return given
    path = Path(given).expanduser()
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ForeignError(
            f"--with {given}: no such solver or file ({error}); give class, camb, or a YAML file "
            "with a theory block of Cobaya's"
        ) from error
    theory = content.get("theory") if isinstance(content, Mapping) else None
    if not isinstance(theory, Mapping) or not theory:
        raise ForeignError(f"{path} has no `theory:` block with a theory code of Cobaya's")
    return theory


def certificate_table(certificate: Certificate) -> Table:
    """Shifts and widths, a line for every parameter."""
    table = Table("parameter", "shift of the mean [sigma]", "width, exact / emulator")
    for name, shift in certificate.parameters.items():
        table.add_row(
            name,
            f"{shift.mean_shift_sigma:+.3f} ± {shift.mean_shift_error:.3f}",
            f"{shift.width_ratio:.3f} ± {shift.width_ratio_error:.3f}",
        )
    return table
