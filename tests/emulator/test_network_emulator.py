"""The paper's network behind the same Emulator: its outputs, its errors, its way to disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from volvelle.emulator import BuildReport, Emulator, build_emulator, load_emulator
from volvelle.emulator.block import output_of
from volvelle.emulator.nodes import class_nodes, joined_basis, nodes_basis
from volvelle.learning import NetworkSettings

LMAX = 600
NAMES = ("ln10A_s", "n_s")
SETTINGS = NetworkSettings(depth=2, width=32, epochs=300, patience=300, batch=16, folds=3)
SPLINE = 2e-4  # of the largest C_l l(l+1): what a cubic spline through CLASS's nodes leaves
LEARNED = 0.1  # of the training set's scatter, for a small network and forty solutions


def theory(x: np.ndarray) -> dict[str, np.ndarray]:
    amplitude, tilt = np.exp(x[0] - 3.0), x[1] - 0.96
    ell = np.arange(2.0, LMAX + 1)
    shape = (1.0 + 0.4 * np.cos(ell / 95.0 + tilt)) * np.exp(-ell / 900.0) * (ell / 100.0) ** tilt
    spectrum = np.concatenate([np.zeros(2), 1e3 * amplitude * shape / (ell * (ell + 1.0))])
    return {
        "H0": np.asarray(67.0 + 2.0 * tilt + 0.1 * x[0]),
        "lensed_tt": spectrum,
        "hubble": 70.0 * (1.0 + np.linspace(0.0, 3.0, 160)) ** (1.5 + tilt),
        "phiphi": 1e-9 * spectrum,
    }


def points(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform([2.9, 0.93], [3.1, 0.99], (n, 2))


@pytest.fixture(scope="module")
def made() -> tuple[Emulator, BuildReport, np.ndarray, list[dict[str, np.ndarray]]]:
    x = points(40, 0)
    theories = [theory(row) for row in x]
    noise = {"lensed_tt": 0.02 * np.maximum(theories[0]["lensed_tt"], 1e-30)}
    emulator, report = build_emulator(
        NAMES, {"m_nu": 0.06}, x, theories, [noise], kind="network", network=SETTINGS
    )
    return emulator, report, x, theories


def test_nodes_are_those_of_class():
    nodes = class_nodes(2508)
    assert nodes[0] == 2 and nodes[-1] == 2508
    assert len(nodes) == 116
    assert np.max(np.diff(nodes)) == 40
    np.testing.assert_array_equal(nodes[:8], np.arange(2, 10))
    np.testing.assert_array_equal(nodes[-20:], [2450, *range(2490, 2509)])


@pytest.mark.parametrize("ripples", [0, 60])
def test_nodes_come_as_close_as_a_spectrum_needs(ripples):
    """What is smooth takes CLASS's own; what swings within 60 multipoles takes finer ones."""
    ell = np.arange(2, 2509)
    smooth = CubicSpline(class_nodes(2508), np.log(class_nodes(2508)))(ell)
    y = smooth + (np.sin(2.0 * np.pi * ell / ripples) if ripples else 0.0)
    basis, s, multipoles, cost = nodes_basis(np.stack([y, 2.0 * y]), np.full(len(y), 1e-3), 1)
    back = np.asarray(basis.decode(jnp.asarray(s[1])))
    off = np.sum(((back - 2.0 * y) / 1e-3) ** 2)
    if ripples:
        assert 2 * 116 < len(multipoles) < 450
        assert off == pytest.approx(cost, rel=1e-6)
    else:
        np.testing.assert_array_equal(multipoles, class_nodes(2508))
        assert cost < 1e-12 and off < 1e-12


def test_spline_through_nodes_returns_the_spectra():
    y = np.stack(
        [
            np.tile(theory(x)["lensed_tt"][2:], 2) * [[1.0], [2.0]][i]
            for i, x in enumerate(points(2, 1))
        ]
    )
    basis, s, nodes, cost = nodes_basis(y, np.full(y.shape[1], 1e-6), 2)
    assert np.isfinite(cost)
    np.testing.assert_allclose(s.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(s.std(axis=0), 1.0)
    factor = np.tile(np.arange(2, LMAX + 1) * np.arange(3, LMAX + 2), 2)
    back = np.asarray(basis.decode(jnp.asarray(s[1])))
    assert np.max(np.abs(back - y[1]) * factor) < SPLINE * np.max(y[1] * factor)
    half = nodes.reshape(2, -1).astype(int)
    np.testing.assert_array_equal(half[0], half[1])
    at_nodes = np.concatenate([half[0] - 2, half[0] - 2 + LMAX - 1])
    np.testing.assert_allclose(back[at_nodes], y[1][at_nodes], rtol=1e-9)


def test_joined_basis_without_any_spectrum():
    y = points(20, 2)
    outputs = [output_of("H0", np.asarray(1.0)), output_of("sigma8", np.asarray(1.0))]
    basis, coefficients = joined_basis(outputs, y, np.array([1e-3, 1e-3]))
    s, ell = coefficients.s, coefficients.ell
    assert np.all(np.isnan(ell))
    np.testing.assert_allclose(basis.decode(jnp.asarray(s[4])), y[4], rtol=1e-9)


def test_all_outputs_are_predicted(made):
    emulator, _, _, theories = made
    assert set(emulator.outputs) == set(theories[0])
    for x in points(5, 3) * 0.5 + np.array([1.5, 0.48]):
        predicted, exact = emulator(jnp.asarray(x)), theory(x)
        for name, value in exact.items():
            spread = np.std([t[name] for t in theories], axis=0)
            assert predicted[name].shape == value.shape
            assert np.asarray(predicted[name]).dtype == np.float64
            assert np.sqrt(np.mean((predicted[name] - value) ** 2)) < LEARNED * np.max(spread), name


def test_known_physics_is_left_in(made):
    emulator = made[0]
    assert emulator.amplitude.terms == ()
    assert len(emulator.blocks) == 1


def test_left_out_predictions_come_from_networks_that_never_saw_them(made):
    emulator, report, x, theories = made
    assert len(report.left_out) == len(x)
    name, (score,) = report.surrogates["all"], report.scores["all"].values()
    assert name == "network (2 x 32, cosmic_variance)"
    left_out = np.mean(
        [
            np.sum((p["lensed_tt"] - t["lensed_tt"]) ** 2)
            for p, t in zip(report.left_out, theories, strict=True)
        ]
    )
    seen = np.mean(
        [
            np.sum((emulator(jnp.asarray(v))["lensed_tt"] - t["lensed_tt"]) ** 2)
            for v, t in zip(x, theories, strict=True)
        ]
    )
    assert left_out > seen
    # the calibrated error is the left-out Delta chi2, the same at every point
    errors = [float(emulator.delta_chi2(jnp.asarray(v))) for v in x[:3]]
    np.testing.assert_allclose(errors, score, rtol=1e-6)


def test_without_folds_there_is_no_left_out(tmp_path: Path):
    x = points(20, 4)
    theories = [theory(row) for row in x]
    settings = replace(SETTINGS, folds=0, epochs=5)
    _, report = build_emulator(
        NAMES, {}, x, theories, [], kind="network", network=settings, checkpoints=tmp_path
    )
    assert report.left_out == []
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_hubble_enters_as_it_is():
    x = points(20, 5)
    theories = [theory(row) for row in x]
    settings = replace(SETTINGS, folds=0, epochs=2)
    emulator, _ = build_emulator(
        ("H0", "n_s"), {}, x, theories, [], kind="network", network=settings
    )
    assert emulator.features.physical.angular_scale is None


def test_stored_and_read_again(made, tmp_path: Path):
    emulator = made[0]
    emulator.save(tmp_path, {"solver": "none"})
    read, record = load_emulator(tmp_path)
    assert record == {"solver": "none"}
    x = {"ln10A_s": 3.01, "n_s": 0.961}
    first, second = emulator.predict(x), read.predict(x)
    for name, value in first.theory.items():
        np.testing.assert_array_equal(value, second.theory[name])
    assert float(first.delta_chi2) == float(second.delta_chi2)
