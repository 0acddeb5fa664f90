"""``volvelle learn``: the posterior of a model of Cobaya's or MontePython's."""

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


def learn(
    model: Annotated[
        Path, typer.Argument(help="Cobaya's input file (YAML), or the folder of a MontePython run.")
    ],
    output: Annotated[
        Path | None, typer.Option(help="Write here instead of to MODEL_volvelle.")
    ] = None,
    accuracy: Accuracy = 0.05,
    max_training: Annotated[
        int, typer.Option(min=10, help="Most evaluations for the training.")
    ] = 500,
    points: Annotated[int, typer.Option(min=20, help="Of the certificate, at first.")] = 100,
    max_points: Annotated[int, typer.Option(min=20, help="Of the certificate, at most.")] = 400,
    draws: Annotated[int, typer.Option(min=100, help="Of each of four chains.")] = 2000,
    packages_path: PackagesPath = None,
    montepython: MontePythonPath = None,
    ledger: LedgerPath = None,
    workers: Workers = None,
    dask: DaskAddress = None,
    seed: Annotated[int, typer.Option(min=1, help="Of everything random.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Learn the posterior of a foreign model from a few hundred evaluations, and certify it.

    Cobaya's or MontePython's own theory and likelihoods are evaluated where the posterior is, with
    their nuisance parameters and without gradients; ln L is learned, sampled by NUTS, and the
    samples re-weighted by fresh evaluations.

    - `volvelle learn planck.yaml`: the file of a `cobaya-run`, its sampler left aside

    - `volvelle learn chains/my_run`: the folder in which MontePython has written its log.param

    From within Cobaya itself: `sampler: {volvelle.plugins.cobaya_sampler.Volvelle: }`.

    Writes `reweighted.*` as GetDist reads it, `certificate.json`, and the emulator of ln L.
    Interrupted? Repeat the command: evaluations are in the ledger, the rest goes on.

    Exit status: 0 certified; 1 not; 2 wrong input.
    """
    verbs.enable_float64()
    from ..plugins.learned_posterior import LearningOptions
    from .computing import compute_from
    from .learn_job import learn_foreign

    options = LearningOptions(
        accuracy=accuracy,
        max_training=max_training,
        points=points,
        max_points=max(points, max_points),
        draws=draws,
        seed=seed,
    )
    status = learn_foreign(
        model,
        options,
        output=output,
        packages_path=packages_path,
        montepython=montepython,
        ledger=ledger,
        compute=compute_from(workers, dask),
        progress=not quiet,
    )
    raise typer.Exit(status)
