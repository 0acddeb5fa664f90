"""A lightcone's shells against snapshots: P(k), seams, interpolation, and the work of tiles saved.

    python validation/lightcone.py [--quick] [--particles 128]

Writes docs/validation/lightcone.md and a figure. What is done is kept in runs/lightcone-validation
and not done again. Some ten minutes on two cores with 128^3 particles.
"""

import itertools
from collections.abc import Iterator
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
    kept,
    table,
)

import matplotlib.pyplot as plt
import numpy as np

from volvelle.cosmology import Cosmology, planck18
from volvelle.nbody import (
    Cap,
    Crossings,
    Lightcone,
    Mesh,
    Moment,
    ParticleMesh,
    Simulation,
    gaussian,
    moment,
    paint,
    prepare,
)
from volvelle.power import EisensteinHu

FOLDER = ROOT / "runs" / "lightcone-validation"
CELL, SEED, START, STEPS = 2.0, 5, 0.1, 10
"""Distance of particles [Mpc/h]; first scale factor; steps, equal in a, of BullFrog."""
DISTANCES, THICK = (600.0, 1200.0, 1800.0), 64.0
"""Of the middles of the shells, and how thick they are [Mpc/h]: linear P changes by 2.8% from one
side to the other."""
K_MAX, WIDTH = 1.0, 0.05
"""[h/Mpc]"""
LAYER = 8.0
"""[Mpc/h], of the layers along a seam."""
PLACES = {"inside": 0.5, "seam": 0.0}
"""The observer along each axis, in boxes: with 0, two faces cross in the middle of the shells."""
FINE, COARSE = 40, 4
"""Steps of the run, and of which of its moments the interpolation is given: every fourth."""
TILES, MARGIN, SURVEY_BOX = 4, 15.0, 1000.0
"""Tiles per side, how far particles move out of them, the box [Mpc/h]."""
SURVEYS = {
    "half of the box, no replication": {"redshifts": (0.0, 0.165), "replicate": False},
    "all the sky to z = 1": {"redshifts": (0.0, 1.0)},
    "all the sky, z = 0.5 to 1": {"redshifts": (0.5, 1.0)},
    "cap of 5 degrees, z = 0.2 to 1": {"redshifts": (0.2, 1.0), "footprint": Cap(0.0, 0.0, 5.0)},
    "cap of 5 degrees, no replication, from a wall": {
        "redshifts": (0.0, 0.35), "footprint": Cap(0.0, 0.0, 5.0), "replicate": False,
        "observer": (0.0, 500.0, 500.0),
    },
}  # fmt: skip


def prepared(universe: Cosmology, mesh: Mesh, steps: int, through: tuple[float, ...] = ()) -> Any:
    """BullFrog on a mesh of twice the particles."""
    initial = gaussian(universe, mesh, SEED, power=EisensteinHu())
    force = ParticleMesh(Mesh(2 * mesh.cells, mesh.box_size), "tsc")
    return prepare(
        universe, initial, start=START, steps=steps, through=through, integrator="bullfrog",
        force=force,
    )  # fmt: skip


def moments(simulation: Simulation) -> Iterator[Moment]:
    """The start, and the end of every step."""
    state = simulation.init()
    yield moment(simulation, state)
    while not simulation.done(state):
        state = simulation.step(state)
        yield moment(simulation, state)


class Shell:
    """A shell within a cube as wide as the box, around a place along the first axis."""

    def __init__(self, universe: Cosmology, mesh: Mesh, distance: float, place: float) -> None:
        box = mesh.box_size
        self.mesh, self.distance = mesh, distance
        self.near, self.far = distance - 0.5 * THICK, distance + 0.5 * THICK
        self.corner = np.array([distance, 0.0, 0.0]) - 0.5 * box
        self.observer = np.full(3, place * box)
        a, chi = Lightcone.of(universe, box, redshifts=(0.0, 1.5)).table
        ends = np.interp([-self.near, -distance, -self.far], -chi, a)
        self.a = float(ends[1])
        angle = np.degrees(np.arcsin(box / np.sqrt(2.0) / self.near))
        self.cone = Lightcone.of(
            universe, box, redshifts=(1.0 / ends[0] - 1.0, 1.0 / ends[2] - 1.0),
            observer=tuple(self.observer), footprint=Cap(0.0, 0.0, float(angle)),
        )  # fmt: skip

    def crossed(self, found: Crossings) -> np.ndarray:
        """Those of the cube, from its corner."""
        x = found.positions - self.corner
        return x[np.all((x >= 0.0) & (x < self.mesh.box_size), axis=1)]

    def cut(self, positions: np.ndarray) -> np.ndarray:
        """The shell of a snapshot, from the cube's corner."""
        x = np.mod(positions - self.observer - self.corner, self.mesh.box_size)
        r = np.linalg.norm(x + self.corner, axis=1)
        return x[(r >= self.near) & (r < self.far)]

    def weights(self, x: np.ndarray) -> np.ndarray:
        """From 1 in the middle to 0 at the edges, so that no cluster is cut."""
        r = np.linalg.norm(x + self.corner, axis=1)
        return np.cos(np.pi * (r - self.distance) / (self.far - self.near)) ** 2

    def painted(self, x: np.ndarray, smooth: bool) -> np.ndarray:
        """Particles per cell, with weights or without."""
        weights = self.weights(x) if smooth else None
        return np.asarray(paint(self.mesh, x, weights, assignment="tsc"))


def window(shell: Shell, smooth: bool) -> np.ndarray:
    """What particles without structure would give, from 8 in each place of the grid."""
    size = 2 * shell.mesh.cells
    points = (np.arange(size) + 0.5) * shell.mesh.box_size / size
    field = np.zeros(shell.mesh.shape)
    for x in np.array_split(points, 8):
        block = np.stack(np.meshgrid(x, points, points, indexing="ij"), -1).reshape(-1, 3)
        r = np.linalg.norm(block + shell.corner, axis=1)
        inside = block[(r >= shell.near) & (r < shell.far)]
        field += shell.painted(inside, smooth) / 8.0
    return field


def bands(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """The band of each mode, from the shells' thickness on; and their middles [h/Mpc]."""
    k = np.sqrt(np.asarray(mesh.k_squared()))
    edges = np.arange(2.0 * np.pi / THICK, min(K_MAX, 0.8 * mesh.nyquist) + 1e-9, WIDTH)
    return np.digitize(k, edges), 0.5 * (edges[1:] + edges[:-1])


def compared(
    shell: Shell, seen: dict[str, np.ndarray], cut: np.ndarray, windows: dict[bool, np.ndarray]
) -> dict[str, Any]:
    """P over that of the snapshot, their correlation, and the counts by distance from a seam.

    ``seen`` is of the snapshot's own run and of one with other steps.
    """
    index, k = bands(shell.mesh)
    weight = np.full(shell.mesh.fourier_shape, 2.0)
    weight[..., 0] = 1.0

    def power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        values = (a * np.conj(b)).real * weight
        return np.bincount(index.ravel(), values.ravel(), len(k) + 2)[1:-1]

    found: dict[str, Any] = {"a": shell.a, "k": k.tolist(), "counts": [len(seen["own"]), len(cut)]}
    for name, smooth, x in (
        ("smooth", True, seen["own"]), ("sharp", False, seen["own"]), ("other", True, seen["other"])
    ):  # fmt: skip
        one, other = (np.fft.rfftn(shell.painted(y, smooth) - windows[smooth]) for y in (x, cut))
        own, true = power(one, one), power(other, other)
        found[f"{name} ratio"] = (own / true).tolist()
        found[f"{name} r"] = (power(one, other) / np.sqrt(own * true)).tolist()
    middle = 0.5 * shell.mesh.box_size
    edges = np.arange(0.0, middle + 1e-9, LAYER)
    layers = [
        np.histogram(np.min(np.abs(x[:, 1:] - middle), axis=1), edges)[0]
        for x in (seen["own"], cut)
    ]
    return {**found, "layers": (layers[0] / layers[1] - 1.0).tolist()}


def shells(size: int) -> dict[str, Any]:
    """Shells at every distance, inside and across seams, against snapshots."""
    universe, mesh = planck18(), Mesh(size, CELL * size)
    every = {
        f"{name} {distance:g}": Shell(universe, mesh, distance, place)
        for name, place in PLACES.items()
        for distance in DISTANCES
    }
    times = tuple(sorted({shell.a for shell in every.values()}))
    seen: dict[str, dict[str, np.ndarray]] = {name: {} for name in every}
    cut: dict[str, np.ndarray] = {}
    for whose, through in (("own", times), ("other", ())):
        found: dict[str, list[Crossings]] = {name: [] for name in every}
        before: Moment | None = None
        for now in moments(prepared(universe, mesh, STEPS, through)):
            for name, shell in every.items():
                if before is not None:
                    found[name].append(shell.cone.crossings(before, now))
                if whose == "own" and abs(now.a - shell.a) < 1e-6:
                    cut[name] = shell.cut(np.asarray(now.positions))
            before = now
        for name, shell in every.items():
            seen[name][whose] = shell.crossed(Crossings.joined(found[name]))
    result, windows = {}, {}
    for name, shell in every.items():
        if shell.distance not in windows:  # which are the same across seams
            windows[shell.distance] = {each: window(shell, each) for each in (True, False)}
        result[name] = compared(shell, seen[name], cut[name], windows[shell.distance])
    return result


def check_shells(size: int) -> tuple[list[Check], list[str]]:
    """P(k) and counts of every shell, in a table and a figure."""
    results = kept(FOLDER / f"{size}-shells.json", lambda: shells(size))
    checks, rows = [], []
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for name, each in results.items():
        place, distance = name.split()
        z = 1.0 / each["a"] - 1.0
        off, sharp, other = (
            100.0 * (np.array(each[f"{n} ratio"]) - 1.0) for n in ("smooth", "sharp", "other")
        )
        layers = 100.0 * np.array(each["layers"])
        where = "within one box" if place == "inside" else "across two seams"
        style = {
            "color": f"C{DISTANCES.index(float(distance))}",
            "ls": "-" if place == "inside" else "--",
        }
        axes[0].plot(each["k"], off, label=f"z = {z:.2f}, {where}", **style)
        axes[1].plot(LAYER * (np.arange(len(layers)) + 0.5), layers, **style)
        words = f"the shell at z = {z:.2f} {where}"
        checks.append(at_most(f"P of {words} [%]", float(np.abs(off).max()), 1.0))
        checks.append(at_least(f"r of {words}", min(each["smooth r"]), 0.999, 5))
        rows.append(
            (f"{z:.3f}", distance, where, str(each["counts"][0]), str(each["counts"][1]),
             f"{np.abs(off).max():.2f}", f"{min(each['smooth r']):.5f}",
             f"{np.abs(sharp).max():.2f}", f"{np.abs(other).max():.2f}",
             f"{np.abs(layers).max():.2f}")
        )  # fmt: skip
    axes[0].axhspan(-1.0, 1.0, color="0.9", zorder=0)
    axes[0].set(xlabel="k [h/Mpc]", ylabel="P of the shell over the snapshot's - 1 [%]")
    axes[1].set(
        xlabel="distance from the nearer plane (seam, dashed) [Mpc/h]",
        ylabel="number over the snapshot's - 1 [%]",
    )
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(PAGES / "lightcone.png", dpi=130)
    box = CELL * size
    last = next(iter(results.values()))["k"][-1] + 0.5 * WIDTH
    text = (
        f"## Shells and seams\n\n{size}^3 particles in {box:g} Mpc/h, {STEPS} steps of BullFrog "
        f"from a = {START:g}, as equal in a as the snapshots among them let them be, forces on "
        f"{2 * size}^3 cells. A shell is {THICK:g} Mpc/h thick, in a cube of {box:g} Mpc/h; "
        "the snapshot is that of its middle's redshift, "
        "which is the end of a step, cut to the same shell. Phases and window are the same, so "
        "what is compared has no sample variance; what differs is that structures grow from the "
        "far side of a shell to the near one, and do not lie in its middle. Weights fall from 1 in "
        "the middle of a shell to 0 at its edges as cos^2; sharp edges cut clusters, and cut them "
        f"elsewhere in the snapshot. A second run has {STEPS} equal steps without the snapshots "
        "among them: how its shells differ from the same snapshots is mostly how far two runs of "
        "so few steps differ in the densest clusters. "
        f"P is in bands of {WIDTH:g} h/Mpc from {2 * np.pi / THICK:.2f} "
        f"to {last:.2f} h/Mpc. Seams are faces between replications; two cross in the middle of a "
        f"shell where the observer is in a corner of the box. Layers are {LAYER:g} Mpc/h thick, by "
        "distance from the nearer of these two planes, without weights."
    )
    headers = (
        "z", "distance [Mpc/h]", "", "particles", "snapshot's", "P: largest [%]", "r: least",
        "P, sharp edges [%]", "P, other steps [%]", "layers: largest [%]",
    )  # fmt: skip
    return checks, [text, table(headers, rows), "![shells](lightcone.png)"]


def interpolated(size: int) -> dict[str, Any]:
    """The same trajectories with and without the moments in between: where particles cross."""
    universe, mesh = planck18(), Mesh(size, CELL * size)
    cone = Lightcone.of(universe, mesh.box_size, redshifts=(0.2, 0.5), footprint=Cap(0.0, 0.0, 3.0))
    all_moments = list(moments(prepared(universe, mesh, FINE)))
    both = []
    for every in (1, COARSE):
        chosen = all_moments[::every]
        pairs = itertools.pairwise(chosen)
        both.append(Crossings.joined([cone.crossings(*pair) for pair in pairs]))
    keys = [
        c.index * 10**9 + (c.replication.astype(np.int64) + 300) @ [10**6, 10**3, 1] for c in both
    ]
    _, fine, coarse = np.intersect1d(*keys, return_indices=True)
    x = np.linalg.norm(both[0].positions[fine] - both[1].positions[coarse], axis=1)
    v = np.linalg.norm(both[0].velocities[fine] - both[1].velocities[coarse], axis=1)
    speed = np.linalg.norm(both[0].velocities[fine], axis=1)
    return {
        "number": len(fine),
        "only": sum(map(len, keys)) - 2 * len(fine),
        "rms": float(np.sqrt(np.mean(x**2))),
        "most": float(np.quantile(x, 0.999)),
        "speed": float(np.sqrt(np.mean(v**2) / np.mean(speed**2))),
    }


def check_interpolation(size: int) -> tuple[list[Check], list[str]]:
    """How far the interpolation is off for steps as long as those of the shells."""
    found = kept(FOLDER / f"{size}-interpolation.json", lambda: interpolated(size))
    name = f"places of crossing interpolated over {FINE // COARSE} steps: rms [Mpc/h]"
    checks = [at_most(name, found["rms"], 0.01, 4)]
    text = (
        f"## Interpolation\n\n{size}^3 particles in {CELL * size:g} Mpc/h, a run of {FINE} steps, "
        f"of which the lightcone is told every moment, or every {COARSE}th as if there were "
        f"{FINE // COARSE} steps: {found['number']} particles cross in both, {found['only']} in "
        f"one (at the edges). Their places differ by {found['rms']:.4f} Mpc/h rms (99.9% within "
        f"{found['most']:.3f}), their velocities by {100 * found['speed']:.2f}% rms."
    )
    return checks, [text]


def saved() -> tuple[list[Check], list[str]]:
    """Steps of tiles until they are crossed, over all steps; no simulation is needed for it."""
    universe, side = planck18(), SURVEY_BOX / TILES
    ends = np.linspace(START, 1.0, STEPS + 1)
    rows = []
    for name, choices in SURVEYS.items():
        cone = Lightcone.of(universe, SURVEY_BOX, **choices)
        low = [side * np.array(corner) for corner in np.ndindex(TILES, TILES, TILES)]
        seen = [cone.seen(each - MARGIN, each + side + MARGIN) for each in low]
        steps = [0 if each is None else int(np.searchsorted(ends, each[1] - 1e-9)) for each in seen]
        share = sum(steps) / (STEPS * len(steps))
        rows.append(
            (name, str(sum(each is None for each in seen)), f"{np.mean(steps):.1f}",
             f"{100 * (1 - share):.0f}")
        )  # fmt: skip
    text = (
        f"## Work that tiles need not do\n\n{TILES}^3 tiles of a box of {SURVEY_BOX:g} Mpc/h with "
        f"a margin of {MARGIN:g} Mpc/h, {STEPS} steps equal in a from a = {START:g} to today; the "
        "observer is in the middle where nothing else is said. A tile stops after the step in "
        "which the lightcone leaves it, one that is never seen does not run."
    )
    headers = ("survey", f"never seen, of {TILES**3}", "steps of a tile", "steps saved [%]")
    return [], [text, table(headers, rows)]


def main() -> None:
    """Simulate, compare, write."""
    parser = arguments(__doc__)
    parser.add_argument("--particles", type=int, default=128, help="per side")
    options = parser.parse_args()
    PAGES.mkdir(parents=True, exist_ok=True)
    size, small = (32, 32) if options.quick else (options.particles, 64)
    parts = [check_shells(size), check_interpolation(small), saved()]
    checks = [check for found, _ in parts for check in found]
    finish(
        "lightcone",
        ["# Lightcones", check_table(checks), *(text for _, texts in parts for text in texts)],
        checks,
    )


if __name__ == "__main__":
    main()
