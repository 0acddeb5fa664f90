"""Where an input is unset and another one idle: one solution is that of every value of the latter.

The toy universe with something that decays: ``amount`` of it damps the spectra, by the rate.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import toy
from volvelle.boltzmann import Ledger, Request
from volvelle.compute import SerialExecutor
from volvelle.cosmology import Parametrisation
from volvelle.inference import log_likelihoods_at, make_prior
from volvelle.training import Exact, Problem, Trainer, TrainingSettings, edges, fit_emulator
from volvelle.training.edges import Edge, can_be_left_out, copies, edges_of, moved_onto

NAMES = ("omega_cdm", "ln10A_s", "amount", "log10_rate")
AMOUNT, RATE = 2, 3
MOST = 0.01
GAIN = 3.0  # of the error on the line, at least, by copies


@dataclass(frozen=True)
class Decaying(toy.ToySolver):
    """The toy solver, with spectra damped by what decays: the more the faster."""

    def solve(self, cosmology: Any, request: Request) -> dict[str, Any]:
        extra = dict(cosmology.extra)
        found = super().solve(cosmology, request)
        if "amount" in extra:
            ell = np.arange(toy.LMAX + 1.0)
            damping = extra["amount"] * (1.0 + np.log10(extra["rate"]) ** 3)
            factor = np.exp(-damping * (0.5 + np.sin(ell / 40.0)))
            found |= {name: found[name] * factor for name in request.spectra}
        return found


def problem() -> Problem:
    base = toy.problem(Decaying(), names=("omega_cdm", "ln10A_s"))
    priors = ({"min": 0.0, "max": MOST}, {"min": 1.0, "max": 3.0})
    return replace(
        base,
        names=NAMES,
        n_theory=4,
        priors=(*base.priors, *(make_prior(prior) for prior in priors)),
        ref_loc=np.array([*base.ref_loc, 0.5 * MOST, 2.0]),
        ref_scale=np.array([*base.ref_scale, 0.5 * MOST, 1.0]),
        parametrisation=Parametrisation(
            (("rate", "10**log10_rate"),),
            ("log10_rate",),
            unset=(("amount", 0.0),),
            idle=(("rate", "amount"),),
        ),
    )


def points(n: int, seed: int = 1) -> np.ndarray:
    given, rng = problem(), np.random.default_rng(seed)
    return given.ref_loc + given.ref_scale * rng.uniform(-1.0, 1.0, (n, 4))


def solved(given: Problem, x: np.ndarray) -> tuple[list[dict[str, Any]], np.ndarray]:
    theories = [given.solver.solve(given.cosmology(row), given.request) for row in x]
    values = [given.log_likelihood(row, t) for row, t in zip(x, theories, strict=True)]
    return theories, np.array(values)


def test_they_are_found_by_what_changes_nothing() -> None:
    assert edges_of(problem(), "auto") == (Edge(AMOUNT, 0.0, (RATE,)),)
    assert edges_of(problem(), "network") == ()  # its folds would know each other's copies
    assert edges_of(toy.problem(), "auto") == ()
    beyond = replace(
        problem(), priors=(*problem().priors[:2], make_prior({"min": 0.001, "max": MOST}),
                           problem().priors[3])
    )  # fmt: skip
    assert edges_of(beyond, "auto") == ()


def test_copies_have_the_solutions_that_they_are_said_to_have() -> None:
    given, x = problem(), points(6)
    x[[1, 4], AMOUNT] = 0.0
    more, rows = copies(edges_of(given, "auto"), x)
    assert list(rows) == [1] * 3 + [4] * 3
    for point, row in zip(more, rows, strict=True):
        assert given.cosmology(point).canonical() == given.cosmology(x[row]).canonical()
    reached = np.concatenate([more[:3, RATE], x[[1], RATE]])
    assert np.ptp(reached) >= 2.0 / 3.0 * np.ptp(x[:, RATE])
    none, of_none = copies((), x)
    assert none.shape == (0, 4) and len(of_none) == 0
    many = np.tile(x[1], (200, 1))
    assert len(copies(edges_of(given, "auto"), many)[1]) == 3 * edges.MOST_LINES


def test_a_part_of_the_new_points_is_moved_where_the_posterior_reaches_the_edge() -> None:
    found, x = edges_of(problem(), "auto"), points(20)
    moved = moved_onto(found, x, points(100, seed=3))
    there = found[0].holds(moved)
    assert np.sum(there) == 20 // edges.EVERY
    assert np.max(x[there, AMOUNT]) <= np.min(x[~there, AMOUNT])  # the nearest ones
    np.testing.assert_array_equal(moved[~there], x[~there])
    np.testing.assert_array_equal(np.delete(moved, AMOUNT, 1), np.delete(x, AMOUNT, 1))
    elsewhere = x.copy()
    elsewhere[:, AMOUNT] = np.linspace(0.008, MOST, 20)
    np.testing.assert_array_equal(moved_onto(found, elsewhere, elsewhere), elsewhere)


def test_what_copies_foretell_is_no_measure() -> None:
    found, x = edges_of(problem(), "auto"), points(6)
    assert np.all(can_be_left_out(found, x)) and np.all(can_be_left_out((), x))
    x[[1, 4], AMOUNT] = 0.0
    np.testing.assert_array_equal(can_be_left_out(found, x), [True, False, True, True, False, True])
    x[:, AMOUNT] = 0.0
    assert np.all(can_be_left_out(found, x))  # there is no other measure then


def test_the_emulator_knows_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    given, x = problem(), points(40)
    x[::6, AMOUNT] = 0.0
    line = points(40, seed=2)
    line[:, AMOUNT] = 0.0
    _, exact = solved(given, line)
    errors = []
    for edge in ((), edges_of(given, "auto")):
        monkeypatch.setattr("volvelle.training.fit.edges_of", lambda *_, edge=edge: edge)
        emulator, report = fit_emulator(given, x, *solved(given, x), "gaussian_process")
        assert len(report.left_out) == len(x)
        errors.append(np.std(log_likelihoods_at(given.posterior(emulator), line) - exact))
    assert errors[1] < errors[0] / GAIN


def test_training_goes_to_the_edge_and_is_judged_elsewhere(tmp_path: Path) -> None:
    exact = Exact(problem(), Ledger(tmp_path / "ledger.sqlite"), SerialExecutor(), "run")
    found = Trainer(exact, TrainingSettings(), tmp_path / "iterations")
    assert found.run()
    at_edge = found.x[:, AMOUNT] == 0.0
    assert 2 <= np.sum(at_edge) < len(found.x) / 3
    np.testing.assert_array_equal(found.judged, ~at_edge)
    again = Trainer(exact, TrainingSettings(), tmp_path / "iterations")
    assert again.run()
    np.testing.assert_array_equal(again.x, found.x)
    assert again.scatter == found.scatter
