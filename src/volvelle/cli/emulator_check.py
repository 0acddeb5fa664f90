"""What ``volvelle emulator check`` does."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..boltzmann import SOLVERS, Ledger, Solver, default_ledger
from ..emulator import error_at, load_emulator
from ..learning import model_digest
from ..training import Exact, Provenance, TrainingError, check_request, compare, domain_points
from . import setup
from .compute_block import ComputeBlock
from .computing import make_executor
from .emulator_files import emulator_folder
from .progress import Reporter

SAME = "same"
MARGIN = 1.5  # a percentile of fifty points is that uncertain; beyond, the certificate is doubted
LARGEST = 1e300  # of a limit that is a number


@dataclass(frozen=True)
class CheckOrder:
    """What is asked for: see ``volvelle emulator check --help``."""

    folder: Path
    points: int
    other_solver: str | None
    seed: int
    ledger: Path | None
    compute: ComputeBlock
    trusted: bool = False


def check_folder(order: CheckOrder, *, progress: bool = True) -> int:
    """Check an emulator and extend its record; 0 unless its own certificate is contradicted.

    Raises VolvelleError for what the user can mend, a solver that is not the training's among it.
    """
    console = Console()
    reporter = Reporter(console, silent=not progress)
    folder = emulator_folder(order.folder)
    digest = model_digest(folder)
    emulator, record = load_emulator(folder)
    require_writable(folder)
    origin = Provenance.of(emulator, record)
    solver, differences = _solver(order, origin)
    trained = origin.request if origin.solver is not None else None
    problem = origin.problem(solver, check_request(emulator, trained))
    promise = Promise.of(record.get("certificate"), emulator.outputs)
    x = domain_points(emulator, origin.asked, order.points, order.seed)
    ledger = Ledger(order.ledger or default_ledger())
    with make_executor(order.compute, reporter.say) as executor:
        exact = Exact(problem, ledger, executor, uuid.uuid4().hex, reporter.solving)
        with reporter.bar("exact solutions"):
            limits = None if promise is None else promise.limits
            result = compare(emulator, exact, x, reporter.say, limits=limits)
    entry = {
        **result.record(),
        "seed": order.seed,
        "solver": solver.identity(),
        "other_solver": differences,
    }
    append_check(folder, digest, entry)
    if progress:
        console.print(check_table(entry))
    contradicted = [] if differences or promise is None else promise.contradictions(result.errors)
    for words in contradicted:
        console.print(words, highlight=False, markup=False, soft_wrap=True)
    return 1 if contradicted else 0


def _solver(order: CheckOrder, origin: Provenance) -> tuple[Solver, list[str]]:
    """The solver to compare with, and how it differs from the training's.

    Raises TrainingError if it differs and nobody asked for that.
    """
    other = order.other_solver
    if other is not None and other != SAME and other not in SOLVERS:
        raise TrainingError(
            f"--other-solver is {other!r}; choose {', '.join(SOLVERS)}, or {SAME} for the "
            "training's in this machine's version"
        )
    if other is not None and other != SAME:
        solver = setup.get_solver(other)
    else:
        name, settings = origin.solver_settings(order.trusted)
        solver = setup.get_solver(name, **settings)
    differences = origin.differences(solver)
    if differences and other is None:
        raise TrainingError(
            f"this machine's solver is not the one of the training: {'; '.join(differences)}; "
            f"install that one, or compare anyway with --other-solver {SAME} (the record will say "
            "so)"
        )
    return solver, differences


def require_writable(folder: Path) -> None:
    """Raises TrainingError if the record could not be extended: before anything is solved."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise TrainingError(
            f"{folder} cannot be written ({error}), and a check is kept in the emulator's record; "
            "copy the folder to where you may write, and check it there"
        ) from error


def append_check(folder: Path, digest: str, entry: Mapping[str, Any]) -> None:
    """Add a check to the record as it is now: others may have added theirs in the meantime.

    Raises TrainingError if the emulator is no longer the one that was checked.
    """
    if model_digest(folder) != digest:
        raise TrainingError(
            f"{folder} holds another emulator than when the check began; it is left as it is. "
            "Repeat the check: what was solved is in the ledger"
        )
    emulator, record = load_emulator(folder)
    origin = Provenance.of(emulator, record)
    emulator.save(folder, {**record, "checks": [*origin.checks, dict(entry)]})


@dataclass(frozen=True)
class Promise:
    """The certificate of a box: every output's limit, at a percentile, and whether it passed."""

    limits: Mapping[str, float]
    percentile: float
    passed: bool

    @classmethod
    def of(cls, certificate: Any, outputs: Sequence[str]) -> Promise | None:
        """Read a record's certificate; None for one of another kind.

        Raises TrainingError for one without limits or percentile.
        """
        if not isinstance(certificate, dict) or certificate.get("kind") != "box":
            return None
        limits = certificate.get("limits")
        found: dict[str, Any] = {}
        if isinstance(limits, dict):
            found = {name: limits.get(name) for name in outputs}
        sound = all(type(v) in (int, float) and 0.0 < v < LARGEST for v in found.values())
        if not found or not sound:
            raise TrainingError("the emulator's certificate has no limits; ask its author")
        percentile: Any = certificate.get("percentile")
        if type(percentile) not in (int, float) or not 0.0 < percentile <= 100.0:
            raise TrainingError(
                f"the emulator's certificate is of percentile {percentile!r:.40}, expected a "
                "number up to 100; ask its author"
            )
        passed = certificate.get("passed") is True
        return cls({n: float(v) for n, v in found.items()}, float(percentile), passed)

    def contradictions(self, errors: Mapping[str, np.ndarray]) -> list[str]:
        """Where a check finds much larger errors than the certificate does."""
        words: list[str] = []
        for name, each in errors.items() if self.passed else ():
            limit, found = self.limits[name], error_at(each, self.percentile)
            if not found <= MARGIN * limit:
                words.append(
                    f"{name}: its certificate promises {limit:g} and the check finds {found:.3g} "
                    f"at the {self.percentile:g}th percentile; do not trust it"
                )
        return words


def check_table(check: Mapping[str, Any]) -> Table:
    """The errors that a check found."""
    solver, other = check["solver"], check["other_solver"]
    title = (
        f"check: {int(check['n'])} fresh exact solutions of {solver['solver']} "
        f"{solver['version']}, {int(check['failed'])} failed"
    )
    if other:
        title += f"; NOT the training's solver: {'; '.join(map(str, other))}"
    chi2 = check["delta_chi2"]
    caption = "largest error of each solution"
    if isinstance(chi2, dict):
        caption += (
            f"; mean Delta chi2 in the noise it was built for: expected {chi2['expected']:.3g}, "
            f"found {chi2['found']:.3g}"
        )
    table = Table(title=escape(title), caption=caption)
    for heading in ("output", "median", "68%", "95%", "largest", "unit"):
        table.add_column(heading)
    for name, error in check["errors"].items():
        numbers = [error["percentiles"][key] for key in ("50", "68", "95", "100")]
        shown = ["infinite" if v is None or not np.isfinite(v) else f"{v:.2e}" for v in numbers]
        table.add_row(escape(str(name)), *shown, escape(str(error["unit"])))
    return table
