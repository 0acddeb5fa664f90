"""Power spectra, bispectra and voids against Pylians, on two cores, in turns.

Fields are float32 on a mesh in a box of 1000 Mpc/h: white noise on 512^3 points for P(k) and its
multipoles, a lognormal field with a bend in its power on 256^3 points for ten triangles of the
bispectrum and for voids of fifteen radii. Pylians runs in a process of its own, which takes turns
with this one; without it its columns are left out. Both use two threads.

    python -m venv peers && peers/bin/pip install "numpy<2" "setuptools<81" cython scipy Pylians
    python benchmarks/field_statistics.py --pylians-python peers/bin/python

Times are the least of three rounds, from a field in memory to the result; beside them the processor
seconds of both threads, as other work may share the cores. Writes docs/benchmarks/statistics.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "2"
os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np
import scipy.fft
from scipy.spatial import KDTree

from volvelle.statistics import (
    Density,
    bispectrum_angles,
    find_voids,
    power_multipoles,
    power_spectrum,
)

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "statistics.md"
BOX = 1000.0
LARGE, SMALL = 512, 256
K1, K2, THETA = 0.2, 0.25, np.linspace(0.05, np.pi - 0.05, 10)
THRESHOLD = -0.7
RADII = BOX / SMALL * np.arange(5.0, 34.0, 2.0)
ROUNDS = 3
BEND, SLOPE, SCATTER = 0.05, -4.0, 1.5
"""Of the lognormal field: P of its logarithm is constant to BEND [h/Mpc], then falls; its rms."""

Times = list[tuple[float, float]]
"""Wall clock and processor seconds."""


def lognormal(rng: np.random.Generator) -> np.ndarray:
    """delta with voids and filaments of all sizes."""
    modes = scipy.fft.rfftn(rng.standard_normal((SMALL,) * 3, dtype=np.float32), workers=2)
    full = np.fft.fftfreq(SMALL, 1.0 / SMALL).astype(np.float32)
    square = full[:, None, None] ** 2 + full[:, None] ** 2 + full[: SMALL // 2 + 1] ** 2
    k = np.sqrt(square) * np.float32(2.0 * np.pi / BOX)
    modes *= (1.0 + (k / BEND) ** 2) ** (SLOPE / 4.0)
    field = scipy.fft.irfftn(modes, s=(SMALL,) * 3, workers=2)
    field = np.exp(SCATTER * field / field.std())
    return (field / field.mean(dtype=np.float64) - 1.0).astype(np.float32)


class Pylians:
    """In a process of its own, which computes only while it is asked."""

    def __init__(self, python: str, folder: Path) -> None:
        worker = Path(__file__).with_name("pylians_worker.py")
        self.process = subprocess.Popen(
            [python, str(worker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.folder = folder
        self.name = self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            sys.exit("the process of Pylians ended; run benchmarks/pylians_worker.py by hand")
        return line

    def ask(self, what: str, field: Path, options: dict[str, Any]) -> tuple[Any, tuple]:
        """What it finds, and its seconds."""
        assert self.process.stdin is not None
        answer = self.folder / "answer.npz"
        task = {"what": what, "field": str(field), "answer": str(answer)}
        self.process.stdin.write(json.dumps({**task, "box_size": BOX, "options": options}) + "\n")
        self.process.stdin.flush()
        seconds = tuple(json.loads(self._line()))
        with np.load(answer) as found:
            return dict(found), seconds


def timed(measure: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """A result and its wall clock and processor seconds."""
    wall, used = time.perf_counter(), time.process_time()
    found = measure()
    return found, (time.perf_counter() - wall, time.process_time() - used)


def power_of(field: np.ndarray) -> Any:
    """P(k) in the bins of Pylians, from one whole number of fundamentals to the next."""
    density = Density.of_field(field, BOX)
    edges = density.mesh.fundamental * np.arange(1, LARGE // 2 + 1)
    return power_spectrum(density, edges=edges)


def multipoles_of(field: np.ndarray) -> Any:
    """P_0, P_2, P_4 in the same bins."""
    density = Density.of_field(field, BOX)
    edges = density.mesh.fundamental * np.arange(1, LARGE // 2 + 1)
    return power_multipoles(density, edges=edges)


def bispectrum_of(field: np.ndarray) -> Any:
    """In shells as wide as those of Pylians, two fundamentals."""
    density = Density.of_field(field, BOX)
    return bispectrum_angles(density, K1, K2, THETA, width=2.0 * density.mesh.fundamental)


def voids_of(field: np.ndarray, kernel: str) -> Any:
    """With one of the two kernels."""
    return find_voids(Density.of_field(field, BOX), RADII, threshold=THRESHOLD, kernel=kernel)  # type: ignore[arg-type]


def overlapping(centres: np.ndarray, radii: np.ndarray) -> tuple[float, float]:
    """The fraction of voids that overlap another one, and the largest (R + R') / d - 1."""
    pairs = KDTree(centres % BOX, boxsize=BOX).query_pairs(2.0 * radii.max(), output_type="ndarray")
    if not len(pairs):
        return 0.0, 0.0
    apart = np.abs(centres[pairs[:, 0]] - centres[pairs[:, 1]])
    distance = np.sqrt(np.sum(np.minimum(apart, BOX - apart) ** 2, axis=1))
    excess = (radii[pairs[:, 0]] + radii[pairs[:, 1]]) / distance - 1.0
    bad = excess > 1e-5  # their positions are in float32
    return len(np.unique(pairs[bad])) / len(radii), max(float(excess.max()), 0.0)


def in_turns(
    jobs: dict[str, Callable[[], Any]], peer: Callable[[], tuple[Any, tuple]] | None
) -> tuple[dict[str, Any], dict[str, tuple[float, float]]]:
    """Results, and the least seconds of every job and of the peer."""
    times: dict[str, Times] = {}
    found: dict[str, Any] = {}
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            found[name], seconds = timed(job)
            times.setdefault(name, []).append(seconds)
        if peer is not None:
            found["Pylians"], seconds = peer()
            times.setdefault("Pylians", []).append(seconds)
    return found, {
        n: (min(t[0] for t in each), min(t[1] for t in each)) for n, each in times.items()
    }


def rows(title: str, times: dict[str, tuple[float, float]]) -> list[str]:
    """Of the table: every job of ours over Pylians."""
    theirs = times.get("Pylians")
    text = []
    for name, (wall, used) in times.items():
        if name == "Pylians":
            continue
        cells = [f"{wall:.2f} s ({used:.2f} s)"]
        if theirs:
            cells += [f"{theirs[0]:.2f} s ({theirs[1]:.2f} s)"]
            cells += [f"{wall / theirs[0]:.2f} ({used / theirs[1]:.2f})"]
        text.append(f"| {title}{name} | {' | '.join(cells)} |")
    return text


def voids_text(found: dict[str, Any]) -> list[str]:
    """How many there are, and whether they overlap."""
    text = []
    for name, voids in found.items():
        if name == "Pylians":
            centres, radii = voids["centres"].astype(float), voids["radii"].astype(float)
        else:
            centres, radii = voids.centres, voids.radii
        share, excess = overlapping(centres, radii)
        line = f"- {name.strip(', ')}: {len(radii)} voids, {100 * share:.1f}% of them overlap"
        line += f" another one, by up to {100 * excess:.1f}% of their distance"
        if name != "Pylians":
            line += f"; mean density inside at most {voids.achieved.max():.4f}"
        text.append(line)
    return text


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pylians-python", help="the Python of an environment with Pylians")
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large, small = folder / "large.npy", folder / "small.npy"
        np.save(large, rng.standard_normal((LARGE,) * 3, dtype=np.float32))
        np.save(small, lognormal(rng))
        pylians = Pylians(given.pylians_python, folder) if given.pylians_python else None

        def ask(what: str, field: Path, **options: Any) -> Any:
            return None if pylians is None else lambda: pylians.ask(what, field, options)

        field = np.load(large)
        one, first = in_turns(
            {"P(k)": lambda: power_of(field), "with P_2, P_4": lambda: multipoles_of(field)},
            ask("power", large),
        )
        field = np.load(small)
        two, second = in_turns(
            {"": lambda: bispectrum_of(field)},
            ask("bispectrum", small, k1=K1, k2=K2, theta=THETA.tolist()),
        )
        three, third = in_turns(
            {
                ", kernel of cells": lambda: voids_of(field, "cells"),
                ", sphere": lambda: voids_of(field, "sphere"),
            },
            ask("voids", small, threshold=THRESHOLD, radii=RADII.tolist()),
        )
        peer = pylians.name if pylians else None
    PAGE.write_text("\n".join(page(peer, (one, first), (two, second), (three, third))) + "\n")
    print(PAGE.read_text())


def page(peer: str | None, power: Any, triangles: Any, voids: Any) -> list[str]:
    """The text of the page."""
    text = ["# Statistics of fields", "", (__doc__ or "").strip(), ""]
    heads = ["", "volvelle", *([peer, "ratio"] if peer else [])]
    text += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    text += rows(f"{LARGE}^3, ", power[1])
    text += rows(f"{SMALL}^3, bispectrum of {len(THETA)} triangles", triangles[1])
    text += rows(f"{SMALL}^3, voids of {len(RADII)} radii", voids[1])
    text += ["", "In brackets: processor seconds."]
    if peer:
        ours, theirs = power[0]["with P_2, P_4"], power[0]["Pylians"]
        bins, (p0, p2, _) = len(ours.k), ours.values
        off = np.abs(p0 / theirs["values"][:bins] - 1.0).max()
        two = np.abs(p2 - theirs["quadrupole"][:bins]).max() / p0.mean()
        three = np.abs(triangles[0][""].values / triangles[0]["Pylians"]["values"] - 1.0).max()
        text += ["", f"Largest differences to {peer}: {off:.1e} of P_0, in P_2 {two:.1e} of P_0,"]
        text += [f"{three:.1e} of B."]
    text += ["", f"Voids below {THRESHOLD} on {SMALL}^3 points:", "", *voids_text(voids[0])]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    text += ["", f"Most memory of this process: {most:.1f} GB."]
    return text


if __name__ == "__main__":
    main()
