"""Training over a stated box: the accuracy it reaches is that of points it never saw."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import toy
from volvelle.boltzmann import Ledger
from volvelle.compute import SerialExecutor
from volvelle.emulator import Box, error_at, error_scale, largest_error
from volvelle.inference import make_prior
from volvelle.training import BoxSettings, BoxTraining, CheckResult, Exact, TrainingError, compare

NAMES = ("omega_cdm", "n_s", "ln10A_s")
BOX = {"omega_cdm": (0.11, 0.13), "n_s": (0.94, 0.99), "ln10A_s": (2.9, 3.2)}
SETTINGS = BoxSettings(spectra=0.05, other=2e-3, held_out=20, certificate=40)

FAST = replace(SETTINGS, kind="polynomial")  # compiles little


def problem(solver: toy.ToySolver | None = None, box: dict = BOX) -> Any:
    ends = np.array([box[name] for name in NAMES])
    return replace(
        toy.problem(solver, names=NAMES),
        priors=tuple(make_prior({"min": a, "max": b}) for a, b in ends),
        ref_loc=ends.mean(axis=1),
        ref_scale=0.5 * np.ptp(ends, axis=1),
        likelihoods=(),
    )


def training(
    folder: Path, settings: BoxSettings = SETTINGS, solver: toy.ToySolver | None = None
) -> BoxTraining:
    ledger = Ledger(folder / "ledger.sqlite")
    exact = Exact(problem(solver), ledger, SerialExecutor(), "test")
    return BoxTraining(exact, settings, folder / "training")


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> BoxTraining:
    found = training(tmp_path_factory.mktemp("box"))
    assert found.run() and not found.ending
    return found


def test_fresh_solutions_confirm_the_accuracy(reached: BoxTraining):
    """Measured here once more, at points of our own, all over the box."""
    assert isinstance(reached.emulator.domain, Box)
    rng = np.random.default_rng(99)
    ends = np.array([BOX[name] for name in NAMES])
    x = rng.uniform(ends[:, 0], ends[:, 1], size=(60, 3))
    universe = problem()
    exact = [toy.ToySolver().solve(universe.cosmology(row), toy.REQUEST) for row in x]
    predicted = reached.emulator.batch(x, reached.emulator.outputs)
    for name in reached.emulator.outputs:
        errors = [largest_error(name, p, t) for p, t in zip(predicted[name], exact, strict=True)]
        # 60 points: the 95th percentile is uncertain by a few ranks
        assert np.percentile(errors, 90) <= SETTINGS.limit(name), name
    corners = np.array([ends[:, 0], ends[:, 1]])
    np.testing.assert_allclose(reached.emulator.distances(corners), 1.0, rtol=1e-8)
    assert np.all(reached.emulator.distances(corners) <= 1.0)


def test_the_certificate_is_made_of_points_that_nothing_has_seen(reached: BoxTraining):
    record = reached.record()
    certificate = record["certificate"]
    assert certificate["passed"] and certificate["n"] == 40 and certificate["kind"] == "box"
    trained = {tuple(p) for p in record["points"]}
    steps = sorted((reached.folder).glob("iteration_*.json"))
    fresh = {tuple(p) for p in certificate["points"]}
    assert len(fresh) == 40 and not fresh & trained
    import json

    contents = [json.loads(step.read_text()) for step in steps]
    decided = {tuple(p) for c in contents if c["reason"] == "held out" for p in c["points"]}
    assert len(decided) >= 20 and not decided & fresh
    for name, error in certificate["errors"].items():
        assert error["percentiles"]["95"] <= certificate["limits"][name]
    assert "reaches the accuracy asked for" in certificate["words"]
    assert certificate["number"] == 1 and "certificate number" not in certificate["words"]
    assert all(
        set(row["error_over_limit"]) == {*reached.emulator.outputs} for row in reached.history
    )


def test_delta_chi2_is_in_units_of_the_accuracy(reached: BoxTraining):
    """The sum over all elements of (error / what is allowed)^2; by coefficients, about that."""
    points, found = reached.certificate.points, reached.certificate.found
    universe = problem()
    exact = [toy.ToySolver().solve(universe.cosmology(row), toy.REQUEST) for row in points]
    predicted = reached.emulator.batch(points, reached.emulator.outputs)
    direct = np.zeros(len(points))
    for name in reached.emulator.outputs:
        for i, theory in enumerate(exact):
            scale = SETTINGS.limit(name) * error_scale(name, theory)
            error = predicted[name][i] - theory[name]
            direct[i] += np.sum((error / np.where(scale > 0.0, scale, np.inf)) ** 2)
    np.testing.assert_allclose(found, direct, rtol=1e-10)
    by_coefficients = compare(reached.emulator, reached.exact, points).found
    assert 0.1 < np.mean(by_coefficients) / np.mean(direct) < 10.0
    assert np.all(reached.certificate.expected > 0.0)


def test_a_repeated_call_ends_in_the_same_emulator_without_solving(reached: BoxTraining):
    again = training(reached.folder.parent, solver=toy.ToySolver(fails_above=np.inf))
    assert again.run()
    assert all(entry.cached for entry in again.asked)
    np.testing.assert_array_equal(again.x, reached.x)
    x = reached.x[:5]
    for name in reached.emulator.outputs:
        np.testing.assert_array_equal(
            again.emulator.batch(x, (name,))[name], reached.emulator.batch(x, (name,))[name]
        )


def test_an_interrupted_training_goes_on(reached: BoxTraining, tmp_path: Path):
    """Stopped before its second step is solved: the points on disk are those that follow."""
    calls: list[int] = []

    class Stopped(Exact):
        def solve(self, x: np.ndarray) -> Any:
            calls.append(len(x))
            if len(calls) == 2:
                raise KeyboardInterrupt
            return super().solve(x)

    first = training(tmp_path)
    first.exact = Stopped(first.exact.problem, first.exact.ledger, SerialExecutor(), "test")
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert len(list((tmp_path / "training").glob("iteration_*"))) == 2
    second = training(tmp_path)
    assert second.run()
    np.testing.assert_array_equal(second.x, reached.x)


def test_points_are_added_until_the_accuracy_is_there(tmp_path: Path):
    """A start that is too small: solutions of the largest expected error join."""
    found = training(tmp_path, replace(FAST, spectra=2e-2, other=1e-3, initial=10))
    assert found.run()
    ratios = [max(row["error_over_limit"].values()) for row in found.history]
    assert ratios[0] > 1.0 and ratios[-1] <= 1.0 and len(found.x) >= 40
    assert found.history[-1]["reason"] == "certificate"


def test_the_budget_ends_the_training_and_the_emulator_says_so(tmp_path: Path):
    settings = replace(FAST, spectra=1e-9, other=1e-12, max_training=60)
    found = training(tmp_path, settings)
    assert not found.run()
    assert "max_training is 60" in found.ending and len(found.asked) - 40 <= 60
    certificate = found.record()["certificate"]
    assert not certificate["passed"] and certificate["n"] == 40
    assert "does NOT reach" in certificate["words"] and "max_training is 60" in certificate["words"]


def test_noise_of_the_solver_ends_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An error of a percent, another at every point: no number of solutions helps."""
    monkeypatch.setattr("volvelle.training.boxed.PATIENCE", 2)
    settings = replace(FAST, spectra=1e-3, max_training=2000, batch=8)
    found = training(tmp_path, settings, toy.ToySolver(noise=1e-2))
    assert not found.run()
    assert "stopped improving" in found.ending and len(found.asked) < 1000


class Scripted(BoxTraining):
    """Whose held-out solutions and certificates find what a test wants them to."""

    verdicts: list[tuple[str, bool]]

    def _good(self, result: CheckResult) -> bool:
        if id(result) not in self.known:
            reason = self.history[-1]["reason"]
            wanted, good = self.verdicts.pop(0)
            assert reason == wanted
            self.known[id(result)] = good
            self.kept.append(result)  # or another one takes its place in memory
        return self.known[id(result)]


def scripted(folder: Path, settings: BoxSettings, *verdicts: tuple[str, bool]) -> Scripted:
    exact = training(folder, settings).exact
    found = Scripted(exact, settings, folder / "training")
    found.verdicts, found.known, found.kept = list(verdicts), {}, []
    return found


HELD, CERTIFICATE = "held out", "certificate"


def test_a_failed_certificate_is_not_drawn_again_for_the_same_emulator(tmp_path: Path):
    """The budget is spent when it fails: it stands, and its solutions count."""
    settings = replace(FAST, initial=20, max_training=85)
    found = scripted(tmp_path, settings, (HELD, True), (CERTIFICATE, False))
    assert not found.run() and not found.verdicts
    assert [row["reason"] for row in found.history] == [HELD, CERTIFICATE]
    assert [row["exact_calls"] for row in found.history] == [40, 80] and len(found.asked) == 80
    assert found.ending == "80 exact solutions were asked for and max_training is 85"
    certificate = found.record()["certificate"]
    assert not certificate["passed"] and certificate["number"] == 1


def test_the_next_certificate_says_its_number(tmp_path: Path):
    """Those of the first join the training, with those that led to it, and count as asked for."""
    verdicts = (HELD, True), (CERTIFICATE, False), (HELD, True), (CERTIFICATE, True)
    found = scripted(tmp_path, replace(FAST, initial=20, batch=6), *verdicts)
    assert found.run() and found.ending == ""
    assert len(found.x) == len(found.theories) == 20 + 20 + 40 + 6  # nothing solved is left out
    assert [row["exact_calls"] for row in found.history] == [40, 80, 106, 146]
    certificate = found.record()["certificate"]
    assert certificate["number"] == 2 and certificate["passed"]
    assert "certificate number 2: the one before failed and joined the training" in found.words
    held, first, doubt, last = ({row.tobytes() for row in r.points} for r in found.kept)
    trained = {row.tobytes() for row in found.x}
    assert held | first <= trained and not (doubt | last) & trained


def test_a_certificate_that_passes_at_the_end_takes_the_doubt_back(tmp_path: Path):
    """No room for held-out solutions: nothing doubted the emulator in the end."""
    said: list[str] = []
    verdicts = (HELD, False), (CERTIFICATE, True)
    found = scripted(tmp_path, replace(FAST, initial=20, batch=6, max_training=50), *verdicts)
    found.say = said.append
    assert found.run() and found.ending == ""
    assert found.record()["certificate"]["passed"] and "reaches the accuracy" in found.words
    assert not any("not reached" in text for text in said) and "Training ended" not in found.words


def test_words_say_how_many_solutions_failed(reached: BoxTraining):
    entry = replace(reached.certificate.entries[0], theory=None, failure="no")
    result = replace(reached.certificate, entries=(*reached.certificate.entries, entry))
    said = replace_certificate(reached, result).words
    assert "1 more failed: of its error there nothing is known" in said
    assert "failed" not in reached.words


def replace_certificate(found: BoxTraining, result: CheckResult) -> BoxTraining:
    other = copy.copy(found)
    other.certificate = result
    return other


def test_infinite_errors_are_no_accuracy(reached: BoxTraining):
    """Interpolated between infinities, a percentile would be no number, and above no limit."""
    bad = np.full(12, np.inf)
    result = replace(reached.certificate, errors={**reached.certificate.errors, "sigma8": bad})
    assert SETTINGS.ratios(result)["sigma8"] == np.inf
    assert not reached._good(result)
    assert result.percentiles("sigma8")["95"] == np.inf
    said = replace_certificate(reached, result).words
    assert "does NOT reach" in said and "inf times the limit (sigma8)" in said


@pytest.mark.parametrize(
    ("errors", "percentile", "wanted"),
    [
        (np.arange(100.0), 95.0, 94.0),  # five of a hundred are larger
        (np.arange(101.0), 95.0, 95.0),
        (np.arange(20.0), 95.0, 18.0),
        (np.arange(250.0)[::-1], 64.4, 160.0),  # 2.5 * 64.4 is a little more than 161 in floats
        (np.append(np.arange(94.0), [np.inf] * 6), 95.0, np.inf),
        (np.append(np.arange(95.0), [np.inf] * 5), 95.0, 94.0),
        (np.array([1.0, np.nan]), 95.0, np.inf),
        (np.array([3.0, 1.0]), 100.0, 3.0),
    ],
)
def test_a_percentile_is_one_of_the_errors(errors: np.ndarray, percentile: float, wanted: float):
    assert error_at(errors, percentile) == wanted


def test_the_largest_error_may_be_asked_for():
    replace(SETTINGS, percentile=100.0).check()
    replace(SETTINGS, percentile=97.5).check()  # one of 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"percentile": 99.0}, "99th percentile of 40 solutions is their largest error; certify"),
        ({"percentile": 99.0}, "with at least 100, or"),
        ({"initial": 3}, "initial is 3 points for 3 sampled parameters"),
        ({"initial": 50, "max_training": 40}, "initial is 50, more than max_training"),
    ],
)
def test_sizes_that_cannot_be(changes: dict, message: str, tmp_path: Path):
    with pytest.raises(TrainingError, match=message):
        training(tmp_path, replace(SETTINGS, **changes)).run()


def test_many_failures_are_refused(tmp_path: Path):
    with pytest.raises(TrainingError, match=r"of .* exact solutions failed"):
        training(tmp_path, solver=toy.ToySolver(fails_above=0.12)).run()


def test_the_folder_of_another_training(reached: BoxTraining, tmp_path: Path):
    import shutil

    shutil.copytree(reached.folder, tmp_path / "training")
    for path in (tmp_path / "training").glob("iteration_001.json"):
        path.write_text(path.read_text().replace("held out", "certificate"))
    with pytest.raises(TrainingError, match="holds step 1 of another training"):
        training(tmp_path).run()
