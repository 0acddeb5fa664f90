"""The command line: one verb for each thing to do; see `volvelle --help`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from .. import __version__
from ..errors import VolvelleError
from . import verbs
from .certify_app import certify
from .configuration import Configuration
from .data_app import data_app
from .dry_run import checked_table
from .emulate_app import emulate
from .emulator_app import emulator_app
from .errors import of_the_system
from .forecast_app import forecast
from .learn_app import learn
from .measure_app import measure
from .profile_app import profile
from .simulate_app import simulate
from .unblind_app import unblind

BAD_INPUT = 2

console = Console()
errors = Console(stderr=True)


class Verbs(TyperGroup):
    """Turns a VolvelleError, or a file that cannot be used, into one line and exit status 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (VolvelleError, OSError) as error:
            words = str(error) if isinstance(error, VolvelleError) else of_the_system(error)
            if ctx.params.get("debug") or words is None:
                raise
            message = " ".join(words.split())
            errors.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True, highlight=False)
            raise typer.Exit(BAD_INPUT) from error


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Learned cosmology with the exact solution in the loop.

An emulator is trained on the spot from about a hundred CLASS or CAMB solutions, sampled, and its
posterior certified and corrected by fresh exact ones.

**First steps**

- `volvelle run examples/01_planck_lcdm.yaml --dry-run`: what would it cost?

- `volvelle run examples/01_planck_lcdm.yaml`: from nothing to `runs/planck-lcdm/report.html`

- `volvelle profile runs/planck-lcdm n_s`: the profile likelihood of one of its parameters

- `volvelle certify chains/planck --with class`: exact weights for another sampler's chain

- `volvelle emulate box.yaml`: an emulator of a stated box, without a sampler

- `volvelle forecast examples/11_forecast.yaml`: errors of a survey of galaxies, and its best design

- `volvelle simulate examples/18_simulate.yaml`: a mock universe, with its power spectra

- `volvelle measure snap.hdf5 -s power,pdf`: statistics of the particles of simulations

- `volvelle cite runs/planck-lcdm`: the BibTeX of everything that it used

**Exit status**: 0 all well; 1 the sampler has not converged or the certificate failed; 2 wrong
input; 130 interrupted (repeat the command and it goes on).
""",
)
app.add_typer(data_app, name="data")
app.add_typer(emulator_app, name="emulator")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"volvelle {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. Before the command.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command; ``debug`` is read by `Verbs`, ``version`` by its callback."""


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A configuration file in YAML, see examples/.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file and say what it would cost; no more.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Write here instead of to the file's `output`.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Infer parameters: train, sample, certify, report.

    The file has the blocks `theory`, `params`, `likelihood`, `emulator`, `sampler` and `output`
    and is checked as a whole before anything is computed.

    - `volvelle run examples/01_planck_lcdm.yaml`

    - `volvelle run my.yaml --output runs/second-try`

    Interrupted? Repeat the command: finished solutions are in the ledger, the rest goes on.
    """
    configuration = verbs.load(file, output)
    if dry_run:
        _print_estimate(configuration)
        return
    raise typer.Exit(verbs.run(configuration, progress=not quiet))


def _print_estimate(configuration: Configuration) -> None:
    sampled = ", ".join(parameter.name for parameter in configuration.sampled)
    rows: dict[str, Any] = {
        "solver": configuration.solver_name,
        "sampled": sampled,
        "likelihoods": ", ".join(configuration.likelihoods),
        "output": configuration.output,
    }
    if configuration.shared:
        both = (f"{name} of {' and '.join(of)}" for name, of in configuration.shared.items())
        rows["shared"] = ", ".join(both)
    if configuration.missing_data:
        rows["SIMULATED"] = ", ".join(configuration.missing_data)
    rows.update(verbs.estimate(configuration))
    script = rows.pop("job_script", None)
    console.print(checked_table(configuration.source, rows))
    if script is not None:
        console.print("script of each SLURM job, as sbatch would get it:")
        console.print(script, highlight=False, markup=False, soft_wrap=True)


app.command()(profile)
app.command()(unblind)
app.command()(certify)
app.command()(learn)
app.command()(emulate)
app.command()(forecast)
app.command()(simulate)
app.command()(measure)


@app.command()
def report(
    folder: Annotated[
        Path, typer.Argument(help="Of a run, a forecast, simulations, measurements.")
    ],
) -> None:
    """Make a report again, from what lies in its folder.

    - `volvelle report runs/planck-lcdm`
    """
    from .. import report as reports

    verbs.enable_float64()
    kinds = {
        reports.holds_measurements: reports.write_measurements_report,
        reports.holds_forecast: reports.write_forecast_report,
        reports.holds_simulation: reports.write_simulation_report,
    }
    written = [write(folder) for holds, write in kinds.items() if holds(folder)]
    for page in written or [reports.write_report(folder)]:
        typer.echo(page)


@app.command()
def cite(
    folder: Annotated[Path, typer.Argument(help="The output folder of a run.")],
) -> None:
    """Print the BibTeX of everything that a run used: data, solver, methods.

    - `volvelle cite runs/planck-lcdm > references.bib`
    """
    from ..report import cite as bibtex

    typer.echo(bibtex(folder))


def main() -> None:
    """Entry point of the console script; leaves through SystemExit with the documented status."""
    app(prog_name="volvelle")
