"""``volvelle measure``: statistics of snapshots, with mean, scatter and covariance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import verbs
from .errors import MeasureError
from .options import DaskAddress


def measure(
    files: Annotated[
        list[Path],
        typer.Argument(help="Snapshots; of many files: one of them or their common beginning."),
    ],
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("measurements"),
    statistics: Annotated[
        str,
        typer.Option(
            "--statistics",
            "-s",
            help="Separated by commas: power, multipoles, bispectrum, pdf, voids, xi.",
        ),
    ] = "power",
    cells: Annotated[int, typer.Option(help="Of the mesh, per side; even.")] = 256,
    assignment: Annotated[
        str, typer.Option(help="How particles are painted: ngp, cic, tsc, pcs; always interlaced.")
    ] = "pcs",
    kind: Annotated[int, typer.Option(help="Type of particles: 1 dark matter.")] = 1,
    length: Annotated[
        str | None, typer.Option(help="Unit of the files, kpc/h or Mpc/h, if they do not tell it.")
    ] = None,
    axis: Annotated[int, typer.Option(help="Line of sight: 0, 1 or 2.")] = 2,
    redshift_space: Annotated[
        bool, typer.Option("--redshift-space", help="Move particles by their velocities along it.")
    ] = False,
    keep_noise: Annotated[
        bool, typer.Option("--keep-noise", help="Do not take off the shot noise of a Poisson draw.")
    ] = False,
    width: Annotated[
        float, typer.Option(help="Of bins and shells in k, in fundamentals 2 pi / L.")
    ] = 1.0,
    k1: Annotated[float, typer.Option(help="First side of triangles [h/Mpc].")] = 0.1,
    k2: Annotated[float, typer.Option(help="Second side of triangles [h/Mpc].")] = 0.15,
    angles: Annotated[int, typer.Option(help="Angles between them, from 0 to pi.")] = 10,
    radius: Annotated[float, typer.Option(help="Of the spheres of the PDF [Mpc/h].")] = 10.0,
    delta: Annotated[
        tuple[float, float, int], typer.Option(help="Ends and number of the PDF's bins.")
    ] = (-1.0, 3.0, 80),
    radii: Annotated[str, typer.Option(help="Of voids [Mpc/h], separated by commas.")] = "",
    threshold: Annotated[float, typer.Option(help="Of the mean delta in voids.")] = -0.7,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Files at a time, in processes; one in this one if not given."),
    ] = None,
    dask: DaskAddress = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
) -> None:
    """Statistics of snapshots: mean, scatter and covariance over files.

    Reads GADGET's snapshots in binary or HDF5. The files are realisations of one universe at one
    time; each is painted with interlacing, the assignment is divided out, and shot noise is taken
    off where it is known.

    - `volvelle measure runs/*/snap_z0.hdf5 --cells 256`

    - `volvelle measure snapdir_004/snap_004 -s power,bispectrum,pdf --k1 0.1 --k2 0.15`

    - `volvelle measure snap.hdf5 -s multipoles --redshift-space --axis 0`

    - `volvelle measure snap.hdf5 -s voids --radii 15,20,25,30`

    - `volvelle measure runs/*/snap_z0.hdf5 --workers 4`

    Writes `measurements.json`, `.h5` (every realisation), `.sacc.fits`, `.png` and `report.html`.
    Interrupted? Repeat the command: files that are done are not measured again.

    Exit status: 0 done, 2 wrong input.
    """
    verbs.enable_float64()
    from .computing import compute_from
    from .measure_job import measure_files
    from .measurements import Settings

    settings = Settings(
        statistics=tuple(name.strip() for name in statistics.split(",") if name.strip()),
        kind=kind,
        length=length,
        cells=cells,
        assignment=assignment,
        axis=axis,
        redshift_space=redshift_space,
        keep_noise=keep_noise,
        width=width,
        k1=k1,
        k2=k2,
        angles=angles,
        radius=radius,
        delta=delta,
        radii=_numbers("--radii", radii),
        threshold=threshold,
    )
    compute = None if workers is None and dask is None else compute_from(workers, dask)
    raise typer.Exit(measure_files(files, settings, output, compute=compute, progress=not quiet))


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(each) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise MeasureError(f"{option} {text!r}: expected numbers separated by commas") from error
