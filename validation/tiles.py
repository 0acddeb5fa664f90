"""Tiles (sCOLA) against the box as a whole: error by buffer and tile, seams, workers, memory.

    python validation/tiles.py [--quick] [--sizes 128 256] [--large]

Writes docs/validation/tiles.md and two figures. What is done is kept in runs/tiles-validation and
not done again. ``--quick`` is 64^3 particles; ``--large`` adds 512^3 in 4 GiB (an hour or more).
"""

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import (  # isort: skip
    PAGES,
    ROOT,
    Check,
    arguments,
    at_least,
    at_most,
    check_table,
    finish,
    fresh,
    table,
)
from nbody import Bands  # isort: skip

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import psutil
import yaml

from volvelle.compute import ProcessExecutor, SerialExecutor
from volvelle.cosmology import planck18
from volvelle.nbody import (
    Ground,
    InitialConditions,
    Mesh,
    ParticleMesh,
    TileTask,
    Tiling,
    Universe,
    course,
    density_contrast,
    expected_errors,
    gaussian,
    lagrangian,
    lay_ground,
    run_tiles,
    simulate,
    tile_memory,
)
from volvelle.nbody.evolution import grid
from volvelle.nbody.ground import faces_of
from volvelle.nbody.modes import resized
from volvelle.nbody.pm import inverse_square
from volvelle.nbody.tiles import GROUND
from volvelle.power import EisensteinHu

FOLDER = ROOT / "runs" / "tiles-validation"
SEED, STEPS, K_MAX = 3, 10, 1.0
CELLS = {64: 3.0, 128: 1.5, 256: 1.5}
"""Distance of particles [Mpc/h], by their number per side."""
RECOMMENDED = {64: 2, 128: 2, 256: 4}
"""Tiles per side, with buffer and margin as they come."""
SCAN = ((2, 24.0, 6.0), (2, 18.0, 4.5), (2, 12.0, 3.0), (4, 24.0, 6.0))
"""Tiles per side, buffer, margin [Mpc/h]."""
GIB = 2**30


def kept(name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays that ``make`` returns, from a file where it is there."""
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part.npz")
        np.savez(temporary, **make())
        temporary.replace(path)
        print(name, flush=True)
    return dict(np.load(path))


def box(size: int) -> tuple[Mesh, InitialConditions]:
    """The box of a number of particles per side."""
    mesh = Mesh(size, CELLS[size] * size)
    return mesh, gaussian(planck18(), mesh, SEED, power=EisensteinHu())


def whole(size: int, steps: int = STEPS) -> dict[str, np.ndarray]:
    """COLA of the box as a whole: displacements, seconds."""

    def make() -> dict[str, np.ndarray]:
        mesh, initial = box(size)
        began = time.perf_counter()
        end = simulate(planck18(), initial, steps=steps, force=ParticleMesh(mesh, "tsc"))
        found = np.asarray(end.displacement)  # pyright: ignore[reportAttributeAccessIssue]
        return {"displacement": found, "seconds": np.array(time.perf_counter() - began)}

    return kept(f"{size}-whole-{steps}", make)


def ground_of(folder: Path, size: int, tiling: Tiling) -> Ground:
    """Laid in a folder, from memory."""
    ground = Ground.begin(folder / GROUND, tiling, course(planck18(), steps=STEPS), f"seed {SEED}")
    if not ground.finished:
        ground.write_fields(lagrangian(box(size)[1], 2))
        for _ in lay_ground(ground, SerialExecutor()):
            pass
    return ground


def linear_faces(ground: Ground, initial: InitialConditions) -> list[np.ndarray]:
    """D1 phi1 on the meshes of the faces at every stage: what faces had in the literature."""
    phi = -initial.modes * inverse_square(initial.mesh, jnp.float32)
    coarse = np.asarray(resized(phi, ground.tiling.cells // 2))
    field = np.fft.irfftn(coarse, axes=(0, 1, 2)).astype(np.float32)
    return [np.float32(each[0, 0]) * field for each in ground.course.at_force]


def tiled(size: int, per_side: int, buffer: float, margin: float, linear: bool = False) -> dict:
    """The same by tiles, compared: P, r, displacements by depth in the tile, the density."""
    name = f"{size}-{per_side}-{buffer:g}-{margin:g}{'-linear' if linear else ''}"

    def make() -> dict[str, np.ndarray]:
        mesh, initial = box(size)
        tiling = Tiling.of(mesh, size, per_side, buffer, margin)
        scratch = fresh(FOLDER / name)
        ground = ground_of(scratch, size, tiling)
        potentials = linear_faces(ground, initial) if linear else None
        found = np.empty((size**3, 3), np.float32)
        points = np.asarray(grid(mesh, np.float32))
        began = time.perf_counter()
        for index in tiling.indices():
            tile = ground.tile(index)
            if potentials is not None:
                tile = replace(
                    tile, faces=lambda stage, i=index: faces_of(potentials[stage], tiling, i)
                )
            end = tile.run()
            found[end.ids] = end.positions - points[end.ids]
        seconds = time.perf_counter() - began
        shutil.rmtree(scratch)
        return {**compared(size, tiling, found), "seconds": np.array(seconds)}

    return kept(name, make)


def compared(size: int, tiling: Tiling, found: np.ndarray) -> dict[str, np.ndarray]:
    """Spectra, and errors by the distance from the tile's faces."""
    mesh = box(size)[0]
    truth, points = whole(size)["displacement"], np.asarray(grid(mesh, np.float32))
    bands = Bands(mesh, min(K_MAX, 0.97 * mesh.nyquist))
    one, other = (
        np.asarray(density_contrast(mesh, jnp.asarray(points + each) % mesh.box_size))
        for each in (found, truth)
    )
    power, true = bands.cross(one, one), bands.cross(other, other)
    square = np.sum((found - truth) ** 2, -1).reshape((size,) * 3)
    along = np.arange(size) % tiling.inner
    depth = np.minimum(along, tiling.inner - 1 - along)
    least = np.minimum(np.minimum(depth[:, None, None], depth[None, :, None]), depth)
    number = np.bincount(least.ravel())
    folded = square.reshape((tiling.per_side, tiling.inner) * 3).mean(axis=(0, 2, 4))
    fields = [np.fft.irfftn(each, axes=(0, 1, 2)) ** 2 for each in (one - other, other)]

    def planes(field: np.ndarray) -> np.ndarray:
        """Means of planes across an axis, all axes and tiles on top of each other."""
        every = sum(np.moveaxis(field, axis, 0).mean(axis=(1, 2)) for axis in range(3))
        return np.asarray(every).reshape(tiling.per_side, tiling.inner).mean(0)

    off, held = (np.roll(planes(field), tiling.inner // 2) for field in fields)
    return {
        "k": bands.k,
        "ratio": power / true,
        "r": bands.cross(one, other) / np.sqrt(power * true),
        "depth": np.sqrt(np.bincount(least.ravel(), square.ravel()) / number),
        "map": np.sqrt(np.roll(folded, tiling.inner // 2, (0, 1, 2)).mean(2)),
        "planes": np.sqrt(off / held),
    }


def worst(each: dict[str, np.ndarray]) -> tuple[float, float]:
    """Largest |P/P - 1| and 1 - r."""
    return float(np.abs(each["ratio"] - 1.0).max()), float((1.0 - each["r"]).max())


def errors(size: int) -> tuple[list[Check], list[str]]:
    """Of the recommended cut, and by buffer and tile."""
    mesh = box(size)[0]
    best = (RECOMMENDED[size], 24.0, 6.0)
    cases = [(best, False)]
    if size <= 128:
        cases += [((2, 24.0, 0.0), True), ((2, 24.0, 0.0), False)]
        cases += [(case, False) for case in SCAN if case != best]
    rows, held = [], {}
    for case, linear in cases:
        tiling = Tiling.of(mesh, size, *case)
        held[case, linear] = each = tiled(size, *case, linear)
        (power, r), expected = worst(each), expected_errors(tiling)
        usual = case[2] == min(6.0, 0.25 * case[1]) and not linear
        rows.append(
            (f"{tiling.inner * mesh.cell:g}", f"{case[1]:g}", f"{tiling.margin * mesh.cell:g}",
             "linear" if linear else "LPT", f"{tiling.overcompute:.2f}", f"{tiling.extent:.2f}",
             f"{100 * power:.2f}", f"{100 * expected.power:.2f}" if usual else "",
             f"{r:.1e}", f"{expected.correlation:.1e}" if usual else "",
             f"{np.sqrt(np.mean(each['map'] ** 2)):.4f}", f"{each['seconds']:.0f}")
        )  # fmt: skip
    first, tiling = held[best, False], Tiling.of(mesh, size, *best)
    power, r = worst(first)
    checks = [
        at_most(f"{size}^3: P to k = {min(K_MAX, mesh.nyquist):.2g} h/Mpc [%]", 100 * power, 1.0),
        at_least(f"{size}^3: r to the same", 1.0 - r, 0.99, 5),
        at_most(f"{size}^3: overcompute", tiling.overcompute, 8.0, 2),
        at_most(f"{size}^3: tile and buffers over the box", tiling.extent, 0.75, 2),
    ]
    headers = ("tile", "buffer", "margin", "faces", "overcompute", "of the box", "P [%]",
               "expected", "1 - r", "expected", "rms [Mpc/h]", "s")  # fmt: skip
    words = (
        f"## {size}^3 particles, {mesh.cell:g} Mpc/h apart\n\nCOLA in {STEPS} steps from a = 0.1 "
        f"to today, mesh of the particles, against the same of the box as a whole ("
        f"{float(whole(size)['seconds']):.0f} s). P and 1 - r: the largest to k = "
        f"{min(K_MAX, mesh.nyquist):.2g} h/Mpc; rms: of displacements; lengths in Mpc/h; s: of all "
        "tiles one after the other. Where faces are *linear* the potential on them is D1 phi1, as "
        "in the literature, else that of particles where second-order LPT puts them."
    )
    return checks, [words, table(headers, rows)]


def seams(size: int) -> tuple[list[Check], list[str]]:
    """The error across faces, beside that of the tile's interior and of ten steps."""
    mesh = box(size)[0]
    case = (RECOMMENDED[size], 24.0, 6.0)
    each, tiling = tiled(size, *case), Tiling.of(mesh, size, *case)
    depth, planes = each["depth"], each["planes"]
    inside = float(np.sqrt(np.mean(each["map"] ** 2)))
    middle = tiling.inner // 2
    at_face = float(planes[middle - 1 : middle + 1].mean())
    interior = float(np.sqrt(np.mean(planes**2)))
    steps = 4 * STEPS
    truth, finer = whole(size)["displacement"], whole(size, steps)["displacement"]
    own = float(np.sqrt(np.mean(np.sum((truth - finer) ** 2, -1))))
    coarse = float(np.sqrt(np.mean(compared(size, tiling, finer)["planes"] ** 2)))
    draw_seams(mesh, tiling, each, own)
    checks = [
        at_most("seam: density's error in planes at faces over all", at_face / interior, 1.0),
        at_most("seam: density's error there over that of ten steps", at_face / coarse, 1.0),
        at_most("seam: displacements' error at faces over that of ten steps", depth[0] / own, 1.0),
    ]
    words = (
        f"## Seams\n\n{size}^3 particles, the recommended cut. Displacements are off by "
        f"{depth[0]:.4f} Mpc/h (rms) in the particles next to the faces, {depth[-1]:.4f} in the "
        f"middle of tiles, {inside:.4f} in all; the ten steps of the box as a whole are off by "
        f"{own:.3f} Mpc/h from {steps} steps. The error comes in through the faces, so that it is "
        "largest there: relative to the density, its error in planes of the mesh at the places of "
        f"faces is {at_face:.4f}, in all planes {interior:.4f} (rms), and that of ten steps "
        f"{coarse:.4f} in all planes. Left: displacements, all "
        "tiles on top of each other, faces in the middle; right: by the distance from the nearest "
        "face."
    )
    return checks, [words, "![seams](tiles-seams.png)"]


def draw_seams(mesh: Mesh, tiling: Tiling, each: dict[str, np.ndarray], own: float) -> None:
    """A map around an edge where tiles meet, and the profile."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4))
    half = 0.5 * tiling.inner * mesh.cell
    image = axes[0].imshow(
        each["map"].T, origin="lower", extent=(-half, half) * 2, cmap="magma", vmin=0
    )
    figure.colorbar(image, ax=axes[0], label="error of displacements [Mpc/h]")
    axes[0].set_xlabel("from the face [Mpc/h]")
    depth = (np.arange(len(each["depth"])) + 0.5) * mesh.cell
    axes[1].semilogy(depth, each["depth"], label="tiles")
    axes[1].axhline(own, color="0.6", lw=0.8, label="ten steps, without tiles")
    axes[1].set_xlabel("distance from the nearest face [Mpc/h]")
    axes[1].set_ylabel("error of displacements, rms [Mpc/h]")
    axes[1].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(PAGES / "tiles-seams.png", dpi=130)


def draw_errors(sizes: list[int]) -> None:
    """P and r of the scan."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4))
    for size in sizes:
        mesh = box(size)[0]
        scan = [c for c in SCAN if size <= 128 and c[2] == 0.25 * c[1]] or [
            (RECOMMENDED[size], 24.0, 6.0)
        ]
        for n, case in enumerate(scan):
            each, tiling = tiled(size, *case), Tiling.of(mesh, size, *case)
            label = f"{size}$^3$: tile {tiling.inner * mesh.cell:g}, buffer {case[1]:g}"
            style = {128: "-", 256: "--", 64: "-"}[size]
            axes[0].plot(each["k"], each["ratio"], style, color=f"C{n}", label=label)
            axes[1].semilogy(each["k"], 1.0 - each["r"], style, color=f"C{n}")
    axes[0].axhspan(0.99, 1.01, color="0.92", zorder=0)
    axes[0].set_ylabel("P / P of the box as a whole")
    axes[0].legend(fontsize=7)
    axes[1].axhline(0.01, color="0.7", lw=0.8)
    axes[1].set_ylabel("1 - r")
    for each in axes:
        each.set_xlabel("k [h/Mpc]")
    figure.tight_layout()
    figure.savefig(PAGES / "tiles.png", dpi=130)


def workers(size: int) -> tuple[list[Check], list[str]]:
    """Two processes against one, and the memory of one against what was predicted."""
    tiling = Tiling.of(box(size)[0], size, RECOMMENDED[size])

    def make() -> dict[str, np.ndarray]:
        found: dict[str, Any] = {}
        for number in (1, 2):
            folder = fresh(FOLDER / "workers")
            ground = ground_of(folder, size, tiling)
            universe = Universe.of(planck18())
            names = ((ground.course.number, "z0.000"),)
            tasks = [TileTask(str(folder), index, universe, names) for index in tiling.indices()]
            with ProcessExecutor(number) as executor:
                began = time.perf_counter()
                done = list(run_tiles(tasks, executor))
                found[f"seconds{number}"] = np.array(time.perf_counter() - began)
            found[f"memory{number}"] = np.array(max(each["memory"] for each in done))
            shutil.rmtree(folder)
        found["load"] = np.array(os.getloadavg()[0])
        return found

    each = kept(f"{size}-workers", make)
    ratio = float(each["seconds2"] / each["seconds1"])
    memory, predicted = int(each["memory1"]), tile_memory(tiling)
    checks = [
        at_most(f"{size}^3: two workers against one, wall-clock time", ratio, 0.6),
        at_most(f"{size}^3: memory of a worker over the prediction", memory / predicted, 1.0),
        at_least(f"{size}^3: and not far below it", memory / predicted, 0.8),
    ]
    words = (
        f"## Workers\n\n{tiling.number} tiles of {size}^3 particles took "
        f"{float(each['seconds1']):.0f} s on one worker and {float(each['seconds2']):.0f} s on two "
        "of one thread each, their start and compilation included (load of the machine "
        f"{float(each['load']):.1f}); a worker had {memory / GIB:.3f} GiB at its highest point, "
        f"{predicted / GIB:.3f} GiB were predicted."
    )
    return checks, [words]


def large() -> tuple[list[Check], list[str]]:
    """512^3 particles by ``volvelle simulate``, all its processes together below 4 GiB."""
    folder = FOLDER / "large"
    if not (folder / "peak.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "output": str(folder / "box"), "cosmology": "planck18",
            "box": {"size": 1536.0, "particles": 512, "mesh": 512}, "integrator": "cola",
            "power": {"linear": "eisenstein_hu", "nonlinear": "halofit"},
            "tiles": {"per_side": 4}, "workers": 1,
        }  # fmt: skip
        (folder / "large.yaml").write_text(yaml.safe_dump(content))
        program = "import sys; from volvelle.cli.app import app; app(sys.argv[1:])"
        words = [sys.executable, "-c", program, "simulate", str(folder / "large.yaml")]
        began = time.perf_counter()
        run = psutil.Popen(words)
        peak = 0
        while run.poll() is None:
            peak = max(peak, _peaks([run, *run.children(recursive=True)]))
            time.sleep(0.2)
        found = {"code": run.returncode, "peak": peak, "seconds": time.perf_counter() - began}
        (folder / "peak.json").write_text(json.dumps(found))
    found = json.loads((folder / "peak.json").read_text())
    checks = [
        at_most("512^3: resident memory of all processes [GiB]", found["peak"] / GIB, 4.0),
        Check("512^3: ends", f"status {found['code']}", "0", found["code"] == 0),
    ]
    return checks, [
        f"## 512^3 particles in 4 GiB\n\n64 tiles on one worker, {found['seconds'] / 60:.0f} "
        f"minutes beside other work; the peaks of all processes that were alive at once add up to "
        f"{found['peak'] / GIB:.2f} GiB at most (a bound: they need not come at the same time)."
    ]


def _peaks(processes: list[psutil.Process]) -> int:
    """Each one's largest resident memory until now, added up [bytes]; one that ended is nothing."""
    found = 0
    for process in processes:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    found += 1024 * int(line.split()[1])
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--large", action="store_true", help="512^3 in 4 GiB: an hour or more")
    given = parser.parse_args()
    sizes = [64] if given.quick else given.sizes
    checks: list[Check] = []
    parts: list[str] = []
    works: list[Callable[[], tuple[list[Check], list[str]]]] = [
        *(lambda s=s: errors(s) for s in sizes),
        lambda: seams(sizes[0]),
        lambda: workers(sizes[0]),
        *([large] if given.large else []),
    ]
    for work in works:
        more, words = work()
        checks += more
        parts += words
    draw_errors(sizes)
    finish("tiles", ["# Tiles", check_table(checks), "![errors](tiles.png)", *parts], checks)


if __name__ == "__main__":
    main()
