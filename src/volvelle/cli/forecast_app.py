"""``volvelle forecast``: what a survey will say, and the best design of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from . import verbs
from .dry_run import checked_table

console = Console()


def forecast(
    file: Annotated[Path, typer.Argument(help="A file in YAML, see docs/forecast.md.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file and say what is asked for; no more.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Write here instead of to the file's `output`.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
) -> None:
    """Errors that a survey of galaxies and their shapes will have: Fisher matrix, biases, design.

    The file names the universe with fiducial values, what varies (`{fiducial: 0.8}`, with
    `prior: 0.01` for a Gaussian prior), the samples with their redshifts, densities and nuisance
    parameters, the sky and the multipoles. Derivatives are exact: there are no steps to choose.

    - `volvelle forecast examples/11_forecast.yaml --dry-run`

    - `volvelle forecast examples/11_forecast.yaml`

    `systematic:` says what is true while the fit assumes something else, and gives the biases.
    `optimise:` climbs a figure of merit in the area (against depth, at the same observing time)
    and in the edges of tomographic bins.

    Writes `forecast.json`, `fisher.txt` (of the data alone), `triangle.png` and `report.html`.

    Exit status: 0 done; 1 a design that has not settled; 2 wrong input, or a parameter that the
    data do not know.
    """
    verbs.enable_float64()
    from .forecast_configuration import ForecastConfiguration

    configuration = ForecastConfiguration.load(file, output=output)
    if dry_run:
        console.print(checked_table(configuration.source, configuration.summary()))
        return
    from .forecast_job import forecast_survey

    raise typer.Exit(forecast_survey(configuration, progress=not quiet))
