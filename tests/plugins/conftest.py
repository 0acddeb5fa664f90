"""The emulator of ``universe.py``, trained once, and its solver where a solver is looked for."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest
import universe

from volvelle.plugins import LearnedTheory, exact

HERE = str(Path(__file__).parent)
os.environ["PYTHONPATH"] = os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")]).rstrip(":")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An emulator's folder; not to be written to."""
    return universe.train(tmp_path_factory.mktemp("trained") / "emulator")


@pytest.fixture(autouse=True)
def solver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The closed form in CAMB's place, and a ledger of the test's own."""
    monkeypatch.setattr(exact, "get_solver", lambda name, **settings: universe.ClosedForm())
    monkeypatch.setenv("VOLVELLE_LEDGER", str(tmp_path / "ledger.sqlite"))


@pytest.fixture
def theory(folder: Path) -> LearnedTheory:
    return LearnedTheory(folder)


@pytest.fixture(scope="session", autouse=True)
def _last_words() -> Iterator[None]:
    """At exit every theory says what it did, when pytest has closed the streams already."""
    yield
    logging.raiseExceptions = False
