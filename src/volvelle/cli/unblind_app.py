"""``volvelle unblind``: the true parameters of a blinded run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import verbs


def unblind(
    folder: Annotated[Path, typer.Argument(help="The output folder of a finished, blinded run.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: show them.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Show the true parameters of a run that was blinded by `blind:` in its file.

    Nothing is sampled or solved again: summary, chains and report are written anew, with the
    parameters themselves beside the shifted ones, and with all that is derived from them. When
    that was, and by how much each was shifted, is kept in `unblinded.json`; the blinded summary
    and report stay as `summary_blind.json` and `report_blind.html`. It cannot be undone for those
    who have looked: the command asks first, and says so if the run has not converged.

    - `volvelle unblind runs/des-y1-blind`

    Exit status: 0 unblinded, converged and certified; 1 one of the latter is not true, or the
    question was answered with no; 2 wrong input.
    """
    verbs.enable_float64()
    from .blinding import blinded_run, unblind

    configuration, status = blinded_run(folder)
    if not yes:
        names = ", ".join(sorted(configuration.hidden_names))
        typer.echo(f"{folder}: {names}; the run's status is: {status}")
        if not typer.confirm("Show the true values, for good?"):
            raise typer.Exit(1)
    for name, shift in unblind(folder, configuration).items():
        typer.echo(f"{name} was shown {shift:+.6g} too high")
    raise typer.Exit(verbs.run(configuration, progress=not quiet))
