"""``volvelle emulate``: an emulator of a stated box, without likelihood and sampler."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from . import verbs
from .dry_run import checked_table

console = Console()


def emulate(
    file: Annotated[Path, typer.Argument(help="A file in YAML, see docs/emulate.md.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file and say what is asked for; no more.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Write here instead of to the file's `output`.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Train an emulator of a box to a stated accuracy; no likelihood, no sampler.

    The file has the blocks `theory` and `params` of `volvelle run`, where the priors' ends are the
    box, and `outputs`, `accuracy` and `points`. Exact solutions are added until fresh ones show the
    accuracy; still others, that it was not trained on, certify it.

    - `volvelle emulate box.yaml`

    - `volvelle emulator show runs/box`: what was reached

    Interrupted? Repeat the command: finished solutions are in the ledger, the rest goes on.

    Exit status: 0 the certificate shows the accuracy, 1 it does not (the emulator is written and
    says so), 2 wrong input.
    """
    verbs.enable_float64()
    from .emulate_configuration import EmulateConfiguration

    configuration = EmulateConfiguration.load(file, output=output)
    if dry_run:
        console.print(checked_table(configuration.source, configuration.summary()))
        return
    from .emulate_job import emulate_box

    raise typer.Exit(emulate_box(configuration, progress=not quiet))
