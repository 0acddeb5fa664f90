"""What every test shares: float64, one thread per process, and the rule for tests on real data."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Generator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Most of the time goes into compiling programs that run once: half of it without these passes.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)

import jax
import pytest

jax.config.update("jax_enable_x64", True)
sys.path.insert(0, str(Path(__file__).parent))  # helpers; pytest's importlib mode leaves it out

REAL_DATA = "real_data"
NO_DATA = "VOLVELLE_DATA is not set: it names the folder that holds the public data sets"


MAPS = Path("/proc/self/maps")
MOST_MAPS = 10_000
"""Of Linux's 65 530 per process: every compiled program holds some, and the compiler crashes where
none is left."""


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Generator[None, None, None]:
    """Programs are dropped between files once a worker holds many."""
    yield
    if not MAPS.exists() or MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        gc.collect()
        if hasattr(ctypes.CDLL(None), "malloc_trim"):  # glibc keeps gigabytes of freed programs
            ctypes.CDLL(None).malloc_trim(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests on real data only when nobody said where the data are."""
    if os.environ.get("VOLVELLE_DATA"):
        return
    for item in items:
        if item.get_closest_marker(REAL_DATA):
            item.add_marker(pytest.mark.skip(reason=NO_DATA))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, None, None]:
    """Say how many tests saw real data, after all else and just above pytest's own last line."""
    yield
    ran, skipped = set(), set()
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            if outcome and REAL_DATA in getattr(report, "keywords", {}):  # "" is set-up, tear-down
                (skipped if outcome == "skipped" else ran).add(report.nodeid)
    terminalreporter.write_line(f"real-data tests: {len(ran)} ran, {len(skipped)} skipped")


@pytest.fixture
def real_data(request: pytest.FixtureRequest) -> Path:
    """The folder of the public data sets, for tests marked ``real_data``."""
    assert request.node.get_closest_marker(REAL_DATA), "mark the test with pytest.mark.real_data"
    folder = Path(os.environ["VOLVELLE_DATA"])
    assert folder.is_dir(), f"VOLVELLE_DATA={folder} is no folder"
    return folder
