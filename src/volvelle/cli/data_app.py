"""``volvelle data``: public data sets and the ledger of exact solutions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

console = Console()
COLOURS = {"ok": "green", "missing": "yellow", "damaged": "bold red"}
FAILED = 1

data_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Public data sets, and the ledger of exact solutions.

Data sets are looked for in the folder that `VOLVELLE_DATA` names, then in the user's cache, and
verified by sha256 each time they are read.

- `volvelle data get planck-2018-plik-lite planck-2018-low-l`

- `volvelle data ledger`: how many exact solutions are stored, and where
""",
)
ledger_app = typer.Typer(
    rich_markup_mode="markdown",
    help="""The ledger of exact solutions: no model is solved twice, in any run.

- `volvelle data ledger`: its size, by solver

- `volvelle data ledger merge other.sqlite`: take over a colleague's solutions

- `volvelle data ledger prune --solver camb --older-than 90`: drop what is old
""",
)
data_app.add_typer(ledger_app, name="ledger")

LedgerPath = Annotated[
    Path | None,
    typer.Option("--ledger", help="Another ledger than VOLVELLE_LEDGER or the user's own."),
]


@data_app.command("list")
def list_() -> None:
    """List every public data set and whether it is on this machine."""
    from ..data import list_sets

    table = Table()
    for heading in ("name", "state", "size", "what it is"):
        table.add_column(heading, no_wrap=heading != "what it is")
    for row in list_sets():
        state = f"[{COLOURS[row.state]}]{row.state}[/]"
        table.add_row(row.name, state, size(row.bytes), escape(row.description))
    console.print(table)


@data_app.command("get")
def get(
    names: Annotated[list[str], typer.Argument(help="Names as `volvelle data list` shows them.")],
) -> None:
    """Download data sets into the user's cache and verify them.

    - `volvelle data get desi-dr2-bao union3`
    """
    from ..data import download

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    for name in names:
        with Progress(*columns, console=console) as bars:
            tasks: dict[str, Any] = {}

            def progress(file: str, done: int, total: int, tasks: dict[str, Any] = tasks) -> None:
                if file not in tasks:
                    tasks[file] = bars.add_task(file, total=total)
                bars.update(tasks[file], completed=done)

            found = download(name, progress)
        console.print(f"{name}: verified, in {found.path}", soft_wrap=True, highlight=False)


@data_app.command("check")
def check(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets; those on this machine if none is named.")
    ] = None,
) -> None:
    """Verify the files of data sets; exit status 1 if one is missing or damaged."""
    from ..data import check as problems_of
    from ..data import list_sets

    chosen = names or [row.name for row in list_sets() if row.path is not None]
    bad = False
    for name in chosen:
        problems = problems_of(name)
        bad = bad or bool(problems)
        words = f"[bold red]{escape('; '.join(problems))}[/]" if problems else "[green]ok[/]"
        console.print(f"{name}: {words}", soft_wrap=True, highlight=False)
    if not chosen:
        console.print("no data set is on this machine; `volvelle data list` shows what there is")
    if bad:
        raise typer.Exit(FAILED)


def _open(path: Path | None, create: bool = False) -> Any:
    from ..boltzmann import Ledger, default_ledger

    return Ledger(path or default_ledger(), create=create)


@ledger_app.callback(invoke_without_command=True)
def ledger(context: typer.Context) -> None:
    """The ledger of exact solutions."""
    if context.invoked_subcommand is None:
        status(None)


@ledger_app.command("status")
def status(ledger: LedgerPath = None) -> None:
    """Show how many solutions are stored, by solver, and what they cost."""
    from ..boltzmann import default_ledger

    path = ledger or default_ledger()
    if not path.exists():
        console.print(f"{path}: no exact solution is stored yet", soft_wrap=True, highlight=False)
        return
    found = _open(path).status()
    table = Table(
        "solver", "version", "solutions", "failures", "size", "solver time", title=str(path)
    )
    for row in found.solvers:
        table.add_row(
            row.solver,
            row.version,
            str(row.solutions),
            str(row.failures),
            size(row.bytes),
            f"{row.seconds / 3600:.2f} h",
        )
    console.print(table)
    console.print(f"{found.solutions} solutions, {found.failures} failures, {size(found.bytes)}")


@ledger_app.command("merge")
def merge(
    other: Annotated[Path, typer.Argument(help="The ledger to take solutions from.")],
    ledger: LedgerPath = None,
) -> None:
    """Take over what another ledger knows and this one does not."""
    added = _open(ledger, create=True).merge(other)
    console.print(f"{added} solutions taken over from {other}", soft_wrap=True, highlight=False)


@ledger_app.command("prune")
def prune(
    solver: Annotated[str | None, typer.Option(help="Only of this solver: class or camb.")] = None,
    version: Annotated[str | None, typer.Option(help="Only of this version of the solver.")] = None,
    older_than: Annotated[float | None, typer.Option(min=0, help="Only older ones [days].")] = None,
    failures: Annotated[bool, typer.Option("--failures", help="Only failures.")] = False,
    damaged: Annotated[bool, typer.Option("--damaged", help="Only damaged rows.")] = False,
    ledger: LedgerPath = None,
) -> None:
    """Remove solutions that meet all the conditions given (at least one)."""
    removed = _open(ledger).prune(
        solver=solver,
        version=version,
        failures=failures,
        older_than=None if older_than is None else timedelta(days=older_than),
        damaged=damaged,
    )
    console.print(f"{removed} rows removed")


@ledger_app.command("check")
def check_ledger(ledger: LedgerPath = None) -> None:
    """Verify the file and every solution in it by its hash."""
    rows = _open(ledger).check()
    console.print(f"{rows} solutions verified, none damaged")


def size(count: int) -> str:
    """Bytes for people: 1.5 MB."""
    value, units = float(count), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if value < 1000 or unit == units[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
