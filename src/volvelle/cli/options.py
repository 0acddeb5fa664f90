"""Options that several verbs have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PackagesPath = Annotated[
    str | None, typer.Option(help="Where Cobaya's likelihoods find their data here.")
]
MontePythonPath = Annotated[
    Path | None, typer.Option(help="MontePython's folder, if it is not where log.param says.")
]
LedgerPath = Annotated[Path | None, typer.Option(help="Another ledger than the user's.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Evaluations at a time; all cores if not given.")
]
DaskAddress = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="tcp://HOST:PORT",
        help="Evaluate on the workers of this Dask scheduler, not on this machine's cores.",
    ),
]
Accuracy = Annotated[
    float, typer.Option(min=1e-3, help="Largest |shift| + 2 errors of a mean [sigma].")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
