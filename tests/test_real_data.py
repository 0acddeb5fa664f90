"""The rule for tests on real data: skipped and counted without them, a failure if they are gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TEST = """
import pytest

@pytest.mark.real_data
def test_reads():
    from volvelle.data import locate
    locate("union3")

def test_reads_nothing():
    pass
"""


@pytest.mark.parametrize(
    ("data", "line", "last"),
    [
        ("", "real-data tests: 0 ran, 1 skipped", "1 passed, 1 skipped in"),
        ("no-data", "real-data tests: 1 ran, 0 skipped", "1 failed, 1 passed in"),
    ],
)
def test_without_data(tmp_path: Path, data: str, line: str, last: str) -> None:
    shutil.copy(Path(__file__).parent / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(TEST)
    marker = "markers = real_data: needs data"
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{marker}\n")
    environment = {
        **os.environ,
        "VOLVELLE_DATA": str(tmp_path / data) if data else "",
        "VOLVELLE_CACHE": str(tmp_path / "no-cache"),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert lines[-2] == line, done.stdout + done.stderr
    assert lines[-1].startswith(last)
