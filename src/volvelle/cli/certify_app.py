"""``volvelle certify``: exact re-weighting of a chain that another program made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import verbs
from .options import (
    Accuracy,
    DaskAddress,
    LedgerPath,
    MontePythonPath,
    PackagesPath,
    Quiet,
    Workers,
)


def certify(
    chain: Annotated[
        Path,
        typer.Argument(
            help="What the names of the chain's files begin with (chains/planck), or its folder."
        ),
    ],
    with_: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="class|camb|FILE.yaml",
            help="The exact solver, the one that the emulator was trained with; or a file with a "
            "`theory` block of Cobaya's to take the place of the chain's own.",
        ),
    ],
    points: Annotated[int, typer.Option(min=20, help="Exact solutions at first.")] = 200,
    max_points: Annotated[
        int, typer.Option(min=20, help="Exact solutions at most, until the shifts are known.")
    ] = 400,
    accuracy: Accuracy = 0.05,
    burn_in: Annotated[
        float | None,
        typer.Option(help="Share of each chain left out at its start; 0.3, GetDist's files: 0."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write here instead of to CHAIN_certified.")
    ] = None,
    packages_path: PackagesPath = None,
    montepython: MontePythonPath = None,
    ledger: LedgerPath = None,
    workers: Workers = None,
    dask: DaskAddress = None,
    seed: Annotated[int, typer.Option(help="Chooses the points.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Certify a chain made with an emulator by any sampler: solve some of its points exactly.

    Points of the chain, as independent as may be, are solved with the exact solver in the
    emulator's place and the same likelihoods; their weights L_exact / L_emulator say how far every
    mean and width moves, with errors, and correct the chain.

    - `volvelle certify chains/planck --with class`: Cobaya's, made with Volvelle's theory

    - `volvelle certify chains/planck --with exact.yaml`: any other emulator in Cobaya; the file's
    `theory` block is the exact code's

    - `volvelle certify chains/my_run --with class`: the folder of a run of MontePython's

    The likelihoods are loaded again from Cobaya's `.updated.yaml` or MontePython's `log.param`
    (both hold code: certify only chains that you trust). A chain that comes without is refused, and
    so is one whose own ln L is not found again at its own samples.

    Writes the corrected chain in its own format, `certificate.json`, and `exact_points.txt`.
    Interrupted? Repeat the command: finished solutions are in the ledger.

    Exit status: 0 certified; 1 not; 2 wrong input.
    """
    verbs.enable_float64()
    from .certify_job import CertifyRequest, certify_chain_files
    from .computing import compute_from

    request = CertifyRequest(
        chain=chain,
        solver=with_,
        points=points,
        max_points=max_points,
        accuracy=accuracy,
        burn_in=burn_in,
        output=output,
        packages_path=packages_path,
        montepython=montepython,
        ledger=ledger,
        compute=compute_from(workers, dask),
        seed=seed,
    )
    raise typer.Exit(certify_chain_files(request, progress=not quiet))
