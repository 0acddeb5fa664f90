"""``volvelle profile``: profile likelihoods of a finished run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import verbs


class Priors(StrEnum):
    """Priors that count as data."""

    nuisance = "nuisance"
    gaussian = "gaussian"
    none = "none"


Range = tuple[float, float]


def profile(
    folder: Annotated[Path, typer.Argument(help="The output folder of a finished run.")],
    parameter: Annotated[str, typer.Argument(help="A sampled parameter of that run.")],
    second: Annotated[
        str | None, typer.Argument(metavar="[PARAM2]", help="Another one, for a profile of both.")
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(min=5, help="Points per parameter; 15 for one parameter, 7 x 7 for two."),
    ] = None,
    range_: Annotated[
        Range | None,
        typer.Option("--range", help="Ends of the grid; 3 sigma inside the prior if not given."),
    ] = None,
    range_2: Annotated[
        Range | None, typer.Option("--range2", help="The same of the second parameter.")
    ] = None,
    accuracy: Annotated[
        float,
        typer.Option(min=1e-3, help="Largest error of Delta chi2; points beyond are found again."),
    ] = 0.1,
    rounds: Annotated[int, typer.Option(min=1, help="Most rounds of exact solutions.")] = 4,
    priors: Annotated[
        Priors,
        typer.Option(
            help="Priors that count as data: Gaussian ones of `nuisance` parameters (calibrations "
            "are measurements), all `gaussian` ones, or `none`. The others only set bounds."
        ),
    ] = Priors.nuisance,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Profile likelihood of a parameter: the best chi2 at each of its values, exactly solved.

    The emulator of the run finds, at every point of a grid, the maximum of the likelihood over all
    other parameters (nuisance ones included) from many starts; the exact solver says what chi2 is
    there. Where the two differ by more than `--accuracy`, the exact solutions join the training
    set and the points are found again.

    - `volvelle profile runs/planck-lcdm n_s`

    - `volvelle profile runs/planck-lcdm n_s tau_reio --points 9`

    - `volvelle profile runs/planck-lcdm tau_reio --range 0.02 0.09 --accuracy 0.05`

    Writes `profile_PARAM.json` and `.png` into the folder: Delta chi2 of every point, the other
    parameters there, intervals (Delta chi2 = 1, 4; 2.30, 6.18 for two parameters), and flags. The
    run's report shows them from then on.
    It costs one exact solution per point and round, plus the best fit's. Interrupted? Repeat the
    command: finished solutions are in the ledger.

    Exit status: 0 all points within the accuracy and free of flags, 1 some are not, 2 wrong
    input.
    """
    verbs.enable_float64()
    from .profile_job import ProfileRequest, profile_run

    names = (parameter,) if second is None else (parameter, second)
    request = ProfileRequest(
        folder, names, points, (range_, range_2), accuracy, rounds, priors.value
    )
    raise typer.Exit(profile_run(request, progress=not quiet))
