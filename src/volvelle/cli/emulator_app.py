"""``volvelle emulator``: show, check, import and export emulator files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from . import verbs
from .options import DaskAddress

console = Console()
Folder = Annotated[Path, typer.Argument(help="An emulator's folder, or the output of a run.")]

emulator_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Emulator files: what they hold, how good they are, to and from other formats.

Files are safe to open whoever made them: nothing in them is run, and what does not fit is refused.

- `volvelle emulator show runs/planck-lcdm/emulator`

- `volvelle emulator check colleague/emulator --points 50`: against fresh exact solutions

- `volvelle emulator export runs/planck-lcdm/emulator planck.npz`: for readers without Volvelle

- `volvelle emulator import cmb_tt.pkl tt --output lensed_tt --unit T_CMB^2 --values log10 ...`

`volvelle emulate FILE.yaml` trains one without a sampler.
""",
)


@emulator_app.command("show")
def show(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: plain JSON.")] = False,
) -> None:
    """Show parameters, domain, outputs, solver, training, certificate, checks and size.

    - `volvelle emulator show runs/planck-lcdm --json`
    """
    verbs.enable_float64()
    from .emulator_files import describe, render

    found = describe(folder)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for part in render(found):
        console.print(part)


@emulator_app.command("check")
def check(
    folder: Folder,
    points: Annotated[int, typer.Option(min=5, help="Fresh exact solutions.")] = 50,
    other_solver: Annotated[
        str | None,
        typer.Option(
            metavar="[class|camb|same]",
            help="Compare with another solver, or with `same` in another version or setting than "
            "the training's. The record says so.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the points.")] = 1,
    ledger: Annotated[
        Path | None, typer.Option(help="Another ledger than VOLVELLE_LEDGER or the user's own.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores.")] = None,
    dask: DaskAddress = None,
    trust_settings: Annotated[
        bool,
        typer.Option(
            "--trust-settings",
            help="Hand the solver settings of the record that are text, too: they may name files "
            "and commands.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Solve fresh points of the domain exactly and add what is found to the emulator's record.

    The points are uniform in the domain, none of them from the training or an earlier check. The
    solver is the one that the record names, and has to be the same to the last setting; where this
    machine has another one, the check is refused and says what differs.

    - `volvelle emulator check runs/planck-lcdm --points 100`

    - `volvelle emulator check imported/tt --other-solver class`

    Errors are the largest of each solution: of spectra in units of full-sky cosmic variance, of
    everything else relative. Exit status: 0 done, 1 the errors exceed what the emulator's own
    certificate says, 2 wrong input.
    """
    verbs.enable_float64()
    from .computing import compute_from
    from .emulator_check import CheckOrder, check_folder

    place = compute_from(workers, dask)
    order = CheckOrder(folder, points, other_solver, seed, ledger, place, trust_settings)
    raise typer.Exit(check_folder(order, progress=not quiet))


@emulator_app.command("export")
def export(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="The .npz file to write.")],
    output: Annotated[
        list[str] | None, typer.Option(help="An output to write; all of them if none is named.")
    ] = None,
) -> None:
    """Write one file of plain arrays, which thirty lines of NumPy can evaluate.

    The format and the thirty lines stand in docs/emulator-files.md.

    - `volvelle emulator export runs/planck-lcdm/emulator planck.npz`

    - `volvelle emulator export runs/planck-lcdm tt.npz --output lensed_tt`
    """
    verbs.enable_float64()
    from .emulator_files import export_folder

    names = export_folder(folder, file, output or [])
    console.print(f"{file}: {', '.join(names)}", soft_wrap=True, highlight=False, markup=False)


@emulator_app.command("import")
def import_(
    source: Annotated[
        Path, typer.Argument(help="A CosmoPower .pkl or .npz file, or a Capse folder.")
    ],
    folder: Annotated[Path, typer.Argument(help="Where to write the emulator.")],
    output: Annotated[str, typer.Option(help="What it gives: lensed_tt, ..., or a name.")],
    unit: Annotated[str, typer.Option(help="muK^2, K^2, T_CMB^2, 1; any of a name of your own.")],
    quantity: Annotated[
        str, typer.Option(help="C_l, D_l or D_l_phi ([l(l+1)]^2/2pi C_l).")
    ] = "C_l",
    values: Annotated[
        str, typer.Option(help="What the network gives: linear or log10.")
    ] = "linear",
    scaling: Annotated[
        str, typer.Option(help="Factor of a Capse network: none, or exp(ln10A_s - 3).")
    ] = "none",
    parameters: Annotated[
        str | None, typer.Option(help="Names in the network's order, where the file has none: a,b.")
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option(help="A parameter's name, theirs=ours. Repeatable.")
    ] = None,
    range_: Annotated[
        list[str] | None,
        typer.Option("--range", help="Where it was trained, ours=low:high. Repeatable."),
    ] = None,
    fixed: Annotated[
        list[str] | None, typer.Option(help="What it was trained at, ours=value. Repeatable.")
    ] = None,
    last_bias: Annotated[
        str | None, typer.Option(help="Of cosmopower_jax's own layout: single or full.")
    ] = None,
    components: Annotated[
        list[Path] | None,
        typer.Option(help="Three .npy files: principal components, mean, deviation, in order."),
    ] = None,
) -> None:
    """Make an emulator of a network that was trained elsewhere.

    What its file does not say has to be said here: unit, quantity, where it was trained. The
    emulator has no certificate, and says so, until `volvelle emulator check` has been through.

    - `volvelle emulator import cmb_tt.pkl tt --output lensed_tt --unit T_CMB^2 --values log10
      --last-bias single --rename "ln10^{10}A_s=ln10A_s" --range omega_b=0.005:0.04 ...`

    - `volvelle emulator import capse/TT tt --output lensed_tt --unit muK^2 --quantity D_l
      --parameters ln10A_s,n_s,H0,omega_b,omega_cdm,tau_reio --scaling "exp(ln10A_s - 3)"`
    """
    verbs.enable_float64()
    from ..emulator import Statement
    from .emulator_files import import_file, numbers, pairs, ranges

    said = Statement(
        output,
        unit,
        quantity,
        values,
        scaling,
        pairs("rename", rename or []),
        ranges(range_ or []),
        numbers("fixed", fixed or []),
    )
    names = [name.strip() for name in parameters.split(",")] if parameters else []
    import_file(source, folder, said, names, last_bias, components or [])
    console.print(
        f"{folder}: {output}, NOT certified; `volvelle emulator check {folder} --other-solver "
        "camb` compares it with exact solutions",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
