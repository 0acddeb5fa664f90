"""A computation that is killed in its midst and repeated, beside one that is left alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Run = Callable[[str, str], subprocess.Popen]
"""Starts a process that keeps chunks in a folder (or none) and writes its result, an .npz."""


def of_code(code: str, here: Path) -> Run:
    """Of a script that gets the two names as arguments."""

    def run(out: str, folder: str) -> subprocess.Popen:
        words = [sys.executable, "-c", code, str(here / out), folder]
        return subprocess.Popen(words, env={**os.environ, "JAX_PLATFORMS": "cpu"})

    return run


def killed_and_repeated(run: Run, here: Path, chunks: int, most: float = np.inf) -> None:
    """kill -9 once there are ``chunks``, of ``most`` that there will be: one may be lost, and no
    number of the result changes."""
    folder = here / "kept"
    process = run("killed.npz", str(folder))
    until = time.monotonic() + 180.0
    while len(list(folder.glob("part_*"))) < chunks and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (here / "killed.npz").exists()
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("part_*")}
    assert chunks <= len(before) < most
    assert run("resumed.npz", str(folder)).wait() == 0
    untouched = [n for n, t in before.items() if (folder / n).stat().st_mtime_ns == t]
    assert len(untouched) >= len(before) - 1, "one chunk may be lost"
    assert run("whole.npz", "none").wait() == 0
    resumed, whole = np.load(here / "resumed.npz"), np.load(here / "whole.npz")
    for name in whole.files:
        np.testing.assert_array_equal(resumed[name], whole[name])
