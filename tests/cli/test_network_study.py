"""Example 4 in the toy universe: trained by every choice, tested on what no network saw, shown."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from example_scripts import load_example
from volvelle.cli import Configuration, setup
from volvelle.cli.setup import network_settings
from volvelle.emulator.scaling import SCALINGS
from volvelle.learning import ACTIVATIONS, LOSSES, NetworkSettings

from .conftest import Write

EXAMPLE = Path(__file__).parents[2] / "examples" / "04_network_study.py"
STUDIES = {
    "loss": ("mse", "cosmic_variance"),
    "activation": ("alsing", "relu"),
    "scaling": ("standardise", "constant"),
}
START, POINTS, TEST = 40, 24, 6
EPOCHS, WIDTH = 150, 24
THREE_DIGITS = 6e-3  # relative: half of the last one printed


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example with two choices in each study."""
    module = load_example("04_network_study.py")
    claims = [c for c in module.CLAIMS if c[1] in STUDIES[c[0]] and c[2] in STUDIES[c[0]]]
    monkeypatch.setattr(module, "STUDIES", STUDIES)
    monkeypatch.setattr(module, "CLAIMS", claims)
    return module


def error(*levels: float) -> dict[str, np.ndarray]:
    """Of a network whose errors are flat in each of the three bands."""
    sizes = [28, 770, 1701]
    one = 1e-3 * np.repeat(levels, sizes)
    return dict.fromkeys(("lensed_tt", "lensed_te", "lensed_ee"), np.array([one, 2.0 * one]))


def rows_of(text: str) -> dict[str, list[str]]:
    """Cells of all rows of tables, by the first."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows}


def test_every_choice_is_a_key_of_the_configuration_file(write: Write) -> None:
    known = {"loss": LOSSES, "activation": ACTIVATIONS, "scaling": SCALINGS}
    for name, choices in load_example("04_network_study.py").STUDIES.items():
        assert set(choices) <= set(known[name])
        for choice in known[name]:
            block = {"kind": "network", "network": {name: choice}}
            read = Configuration.load(write({"emulator": block}), files=False)
            assert network_settings(read) == NetworkSettings(**{name: choice})


def test_the_words_follow_the_numbers(example: ModuleType) -> None:
    errors = {(name, choice): error(1.0, 1.0, 1.0) for name in STUDIES for choice in STUDIES[name]}
    errors |= {("loss", "cosmic_variance"): error(2.0, 1.0, 0.5), ("loss", "mse"): error(1, 1, 1)}
    errors |= {("activation", "relu"): error(0.5, 0.5, 0.5)}
    errors |= {("scaling", "constant"): error(1.05, 1.05, 1.05)}
    found = [line.split(" | ") for line in example.claims(errors, error(1.1, 1.1, 1.1))[2:]]
    verdicts = {(row[0].strip("| "), row[2]): (row[4], row[6].strip("| ")) for row in found}
    assert verdicts["loss cosmic_variance", "2-29"] == ("2", "yes")
    assert verdicts["loss cosmic_variance", "800-2500"] == ("0.5", "yes")
    assert verdicts["activation alsing", "2-2500"] == ("2", "no")
    assert verdicts["scaling standardise", "2-2500"] == ("0.952", "not to be told from a seed")
    assert example.order("activation", errors).startswith("`relu` has the smallest error")
    assert "`alsing` 2." in example.order("activation", errors)
    (row,) = (line for line in example.table("loss", errors) if "cosmic_variance" in line)
    assert row == "| cosmic_variance | 2 | 1 | 0.5 | 2 | 1 | 0.5 | 2 | 1 | 0.5 | 1 |"


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy solver in CAMB's place, in workers too."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    solver = importlib.import_module("toy_solver").ToySolver()
    monkeypatch.setattr(setup, "get_solver", lambda name, **settings: solver)


def noted(function: Callable[..., Any], calls: list[tuple[Any, dict[str, Any], Any]]) -> Any:
    """The function; its calls are written down with what they returned."""

    def same(*given: Any, **named: Any) -> Any:
        calls.append((given, named, function(*given, **named)))
        return calls[-1][2]

    return same


@pytest.mark.usefixtures("toy", "no_data")
def test_from_nothing_to_the_page(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solved: list[Any] = []
    trained: list[Any] = []
    monkeypatch.setattr(example, "solved", noted(example.solved, solved))
    monkeypatch.setattr(example, "build_emulator", noted(example.build_emulator, trained))
    ledger, out, pages = tmp_path / "ledger.sqlite", tmp_path / "run", tmp_path / "pages"
    words = f"--start {START} --points {POINTS} --epochs {EPOCHS} --width {WIDTH} --workers 1"
    folders = ["--ledger", str(ledger), "--out", str(out), "--pages", str(pages)]
    monkeypatch.setattr(sys, "argv", ["04_network_study.py", *words.split(), *folders])
    example.main()

    text = (pages / "network_study.md").read_text()
    rows = rows_of(text)
    assert f"{POINTS - TEST} solutions for training and {TEST} for the test" in text
    assert "simulated data like Planck's" in text
    for name, choices in STUDIES.items():
        assert (pages / f"network_study_{name}.png").read_bytes()[1:4] == b"PNG"
        assert set(choices) <= rows.keys()
    assert rows["cosmic_variance"] == rows["alsing"] == rows["standardise"], "the paper's own"
    assert len({tuple(rows[choice]) for choice in ("mse", "alsing", "relu", "constant")}) == 4

    # every choice reached the training, and nothing else changed between them
    usual = {"width": WIDTH, "epochs": EPOCHS, "batch": 32, "patience": EPOCHS, "folds": 0}
    changes = [{"loss": "mse"}, {}, {"activation": "relu"}, {"scaling": "constant"}, {"seed": 2}]
    settings = [named["network"] for _, named, _ in trained]
    assert settings == [NetworkSettings(**{**usual, **change}) for change in changes]

    # the first number of the first row again: trained without the test, and the paper's error
    _, x, theories, _ = solved[0][2]
    (_, _, points, *_), _, (emulator, _) = trained[0]
    assert len(x) == POINTS
    np.testing.assert_array_equal(points, x[TEST:, :6])
    errors = []
    for row, theory in zip(x[:TEST, :6], theories[:TEST], strict=True):
        exact = theory["lensed_tt"][2:]
        ell = np.arange(2, 2 + len(exact))
        d, d_exact = (ell * (ell + 1) * c for c in (emulator(row)["lensed_tt"][2:], exact))
        errors.append(np.abs(d - d_exact) / np.sqrt(np.mean(d_exact**2)))
    expected = 1e3 * np.median(np.percentile(errors, 68.0, axis=0)[:28])
    assert float(rows["mse"][0]) == pytest.approx(expected, rel=THREE_DIGITS)

    # a choice that was trained is only read when the command is repeated
    networks = {path: path.stat().st_mtime_ns for path in (out / "networks").iterdir()}
    assert len(networks) == len(changes)
    again = example.error_of(*solved[0][2][:3], settings[0], out / "networks")
    assert {path: path.stat().st_mtime_ns for path in (out / "networks").iterdir()} == networks
    assert f"{example.cells(again)[0]:.3g}" == rows["mse"][0]
