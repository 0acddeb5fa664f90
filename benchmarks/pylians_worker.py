"""Pylians in an environment of its own: measures a statistic of a field in a file when asked to.

Started by field_statistics.py. A line of JSON with what, the files of field and answer, the box and
options is answered by the seconds and processor seconds that it took, reading and writing left out.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version

import numpy as np
import Pk_library as PKL
import void_library as VL

THREADS = 2


def power(field: np.ndarray, box_size: float) -> dict[str, np.ndarray]:
    """P(k), quadrupole and hexadecapole, which come with it."""
    found = PKL.Pk(field, box_size, 2, "None", THREADS, False)
    return {"k": found.k3D, "values": found.Pk[:, 0], "quadrupole": found.Pk[:, 1]}


def bispectrum(
    field: np.ndarray, box_size: float, k1: float, k2: float, theta: list[float]
) -> dict[str, np.ndarray]:
    """B(k1, k2, theta)."""
    found = PKL.Bk(field, box_size, k1, k2, np.array(theta), "None", THREADS)
    return {"values": np.asarray(found.B)}


def voids(
    field: np.ndarray, box_size: float, threshold: float, radii: list[float]
) -> dict[str, np.ndarray]:
    """Centres and radii."""
    given = np.array(radii, np.float32)
    found = VL.void_finder(field, box_size, threshold, given, THREADS, THREADS, void_field=False)
    return {"centres": np.asarray(found.void_pos), "radii": np.asarray(found.void_radius)}


def main() -> None:
    """Answer until the input ends; what Pylians prints goes nowhere."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    print(f"Pylians {version('Pylians')}", file=answers, flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        measure = {"power": power, "bispectrum": bispectrum, "voids": voids}[task["what"]]
        field = np.load(task["field"])
        wall, used = time.perf_counter(), time.process_time()
        found = measure(field, task["box_size"], **task["options"])
        seconds = time.perf_counter() - wall, time.process_time() - used
        del field
        np.savez(task["answer"], **found)
        print(json.dumps(seconds), file=answers, flush=True)


if __name__ == "__main__":
    main()
