"""``volvelle simulate``: mock universes from one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from . import verbs
from .dry_run import checked_table

console = Console()


def simulate(
    file: Annotated[Path, typer.Argument(help="A file in YAML, see docs/simulate.md.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file, say what it takes; no more.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Write here instead of to the file's `output`.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Simulate the matter in a periodic box: initial conditions, particles, snapshots, report.

    The file names the universe, the box, the numbers of particles and steps, the redshifts of the
    snapshots, and how many seeds (with `paired: true` each twice, its phases turned by pi).

    - `volvelle simulate examples/18_simulate.yaml --dry-run`

    - `volvelle simulate examples/18_simulate.yaml`

    - `volvelle simulate examples/19_tiles.yaml`: in tiles that run apart, see docs/tiles.md

    - `volvelle simulate examples/20_lightcone.yaml`: what an observer sees, with maps,
      galaxies and a data vector, see docs/lightcone.md

    Each simulation has a folder of its own, with its snapshots in GADGET's HDF5 (`write_snapshots:
    false` leaves them out). `report.html` shows slices, P(k) beside linear theory and a non-linear
    model, the growth of the longest waves, the momentum, time and memory.
    Interrupted? Repeat the command: it goes on from the last finished step, to the same bits.

    Exit status: 0 all checks passed, 1 one did not, 2 wrong input.
    """
    verbs.enable_float64()
    from .simulate_configuration import SimulateConfiguration

    configuration = SimulateConfiguration.load(file, output=output)
    if dry_run:
        console.print(checked_table(configuration.source, configuration.summary()))
        return
    from .simulate_job import simulate_box

    raise typer.Exit(simulate_box(configuration, progress=not quiet))
