"""SIGKILL during solving, training and sampling: the repeated command ends in the same summary.

CAMB, Planck's data, three sampled parameters. Every run has a ledger of its own, so that its exact
solutions are its own and can be counted.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from common import (
    ROOT,
    Check,
    arguments,
    check_table,
    data_words,
    example,
    finish,
    fresh,
    holds,
    summary_of,
    table,
)

SAMPLED = ("omega_cdm", "n_s", "ln10A_s")
PATIENCE = 900.0  # [s] for one stage
PROGRAM = "from volvelle.cli.app import main; main()"


def content() -> dict[str, Any]:
    """Example 1 with CAMB, three parameters free, and a short sampler."""
    result = example()
    result["theory"] = {"camb": {}}
    for name, block in result["params"].items():
        if isinstance(block, dict) and name not in SAMPLED:
            result["params"][name] = block["ref"]["loc"]
    for name, value in (("omega_b", 0.02236), ("theta_star_100", 1.0411), ("tau_reio", 0.0544)):
        result["params"][name] = value
    result["sampler"] = {"nuts": {"draws": 500, "warmup": 200}}
    result["certificate"] = {"points": 20, "max_points": 60}
    return {**result, "output": "run", "ledger": "ledger.sqlite"}


def start(folder: Path) -> subprocess.Popen[str]:
    """The command, in a folder of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "run", "run.yaml"],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until_line(process: subprocess.Popen[str], words: str) -> None:
    """Wait until the run prints a line with these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    sys.exit(f"the run ended before it said {words!r}")


def solved(folder: Path) -> int:
    """Solutions in the ledger."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        return connection.execute("SELECT COUNT(*) FROM solutions").fetchone()[0]


def until_solved(folder: Path, more: int) -> None:
    """Wait until the ledger has grown by so many solutions."""
    target, deadline = solved(folder) + more, time.monotonic() + PATIENCE
    while solved(folder) < target:
        if time.monotonic() > deadline:
            sys.exit("no solution arrived in the ledger")
        time.sleep(0.1)


STAGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "solving": ("iteration 0", lambda folder: until_solved(folder, 3)),
    "training": ("fitting the emulator", lambda folder: time.sleep(1.0)),
    "sampling": ("sampling:", lambda folder: time.sleep(1.0)),
    "certifying": ("certificate:", lambda folder: until_solved(folder, 3)),
}


def disturbed(name: str, stages: list[str]) -> tuple[dict[str, Any], list[int]]:
    """The summary after a kill in every given stage, and the solutions each kill found stored."""
    folder = fresh(ROOT / "runs" / "validation" / f"resume-{name}")
    (folder / "run.yaml").write_text(yaml.safe_dump(content(), sort_keys=False), encoding="utf-8")
    found = []
    for stage in stages:
        words, wait = STAGES[stage]
        process = start(folder)
        until_line(process, words)
        wait(folder)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        found.append(solved(folder))
    process = start(folder)
    printed, _ = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{name}: the repeated command left with {process.returncode}:\n{printed}")
    return summary_of(folder / "run"), found


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Blocks of the summaries that are not the same to the last digit; times are left out."""
    keys = (one.keys() | other.keys()) - {"seconds"}
    text = [
        {key: json.dumps(summary.get(key), sort_keys=True) for key in keys}
        for summary in (one, other)
    ]
    return sorted(key for key in keys if text[0][key] != text[1][key])


def main() -> None:
    """Run undisturbed and disturbed, compare, write."""
    options = arguments(__doc__).parse_args()
    reference, _ = disturbed("undisturbed", [])
    cases = {stage: [stage] for stage in STAGES}
    if options.quick:
        cases = {"every stage in turn": list(STAGES)}
    checks: list[Check] = []
    rows = []
    for name, stages in cases.items():
        summary, found = disturbed(name.replace(" ", "-"), stages)
        different = differing(reference, summary)
        calls = summary["exact_calls"]
        rows.append(
            (name, ", ".join(map(str, found)), str(calls["training"]), str(calls["certificate"]))
        )
        words = f"differs in {', '.join(different)}" if different else "the same"
        checks.append(holds(f"killed while {name}: summary", words, "the same", not different))
    calls = reference["exact_calls"]
    rows.insert(0, ("not killed", "", str(calls["training"]), str(calls["certificate"])))
    headers = ("killed while", "solutions stored at the kill", "training", "certificate")
    finish(
        "resume",
        [
            "# Interrupted by SIGKILL and repeated",
            f"{data_words(reference)} The summaries are compared to the last digit, the times of "
            "the stages left out.",
            table(headers, rows),
            check_table(checks),
        ],
        checks,
    )


if __name__ == "__main__":
    main()
