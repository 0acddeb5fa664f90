"""Scalings of a network's outputs: what they give, and that they invert exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.emulator import EmulatorError, build_emulator, load_emulator
from volvelle.emulator.block import output_of
from volvelle.emulator.nodes import TEMPERATURE, class_nodes, joined_basis
from volvelle.emulator.scaling import SCALINGS
from volvelle.learning import load_model, save_model

from .test_network_emulator import LMAX, NAMES, SETTINGS, points, theory

ROUNDING = 1e-10  # relative to the largest value: of a logarithm of a logarithm and back
NODES = class_nodes(LMAX)
NOISE = np.append(np.full(2 * (LMAX - 1), 1e6), 1e-3)  # so large that the widest nodes will do


def spectra(n: int) -> np.ndarray:
    """A positive spectrum and one that changes sign, l = 2..LMAX, side by side."""
    ell = np.arange(2, LMAX + 1)
    rows = [theory(x)["lensed_tt"][2:] for x in points(n, 7)]
    return np.array([np.concatenate([row, row * np.cos(ell / 60.0)]) for row in rows])


def outputs():
    zeros = np.zeros(LMAX + 1)
    names = {"lensed_tt": zeros, "lensed_te": zeros, "H0": np.asarray(1.0)}
    return tuple(output_of(name, value) for name, value in names.items())


def made(scaling: str, n: int = 12):
    y = np.column_stack([spectra(n), 67.0 + points(n, 8)[:, 0]])
    basis, coefficients = joined_basis(outputs(), y, NOISE, scaling)
    return y, basis, coefficients


@pytest.mark.parametrize("scaling", SCALINGS)
def test_stored_and_inverted(scaling: str, tmp_path: Path):
    y, basis, coefficients = made(scaling)
    save_model(basis, tmp_path, {})
    read, _ = load_model(tmp_path)
    at_nodes = np.concatenate([NODES - 2, NODES - 2 + LMAX - 1, [2 * LMAX - 2]])
    for row, s in zip(y, coefficients.s, strict=True):
        back = np.asarray(read.decode(jnp.asarray(s)))
        factor = np.concatenate([NODES * (NODES + 1.0)] * 2 + [[1.0]])
        error = np.abs(back - row)[at_nodes] * factor
        assert np.max(error) < ROUNDING * np.max(np.abs(row[at_nodes] * factor))
    assert coefficients.names[0] == "lensed_tt" and coefficients.names[len(NODES)] == "lensed_te"
    assert coefficients.names[-1] == "" and np.isnan(coefficients.ell[-1])


def test_min_max_fills_the_interval():
    s = made("min_max")[2].s
    np.testing.assert_allclose(s.min(axis=0), 0.0, atol=ROUNDING)
    np.testing.assert_allclose(s.max(axis=0), 1.0)


def dimensionless(y: np.ndarray) -> np.ndarray:
    """D_l at the nodes of both spectra [n, 2, nodes]."""
    c = y[:, : 2 * (LMAX - 1)].reshape(len(y), 2, -1)[:, :, NODES - 2]
    return c * NODES * (NODES + 1.0) / (2.0 * np.pi) / TEMPERATURE**2


def test_constant_is_ten_to_the_ten_of_the_dimensionless_spectrum():
    y, _, coefficients = made("constant")
    expected = 1e10 * dimensionless(y).reshape(len(y), -1)
    np.testing.assert_allclose(coefficients.s[:, :-1], expected, rtol=1e-12)
    assert np.max(np.abs(coefficients.s[:, -1])) == pytest.approx(1.0)


def test_logarithm_is_shifted_where_a_spectrum_changes_sign():
    y, _, coefficients = made("log")
    d = dimensionless(y)
    expected = np.stack([np.log(d[:, 0]), np.log(d[:, 1] - 1.01 * d[:, 1].min())], axis=1)
    np.testing.assert_allclose(coefficients.s[:, :-1], expected.reshape(len(y), -1), rtol=1e-10)
    np.testing.assert_allclose(coefficients.s[:, -1].std(), 1.0)


def test_second_logarithm_is_shifted_to_positive_values():
    first, second = made("log")[2].s[:, :-1], made("double_log")[2].s[:, :-1]
    first = first.reshape(len(first), 2, -1)
    shift = -1.01 * first.min(axis=(0, 2), keepdims=True)
    np.testing.assert_allclose(second, np.log(first + shift).reshape(len(first), -1), rtol=1e-8)


@pytest.mark.parametrize("scaling", ["standardise", "min_max", "constant"])
def test_what_never_varies_comes_back_whatever_is_learned(scaling: str):
    y = np.column_stack([spectra(5), np.full(5, 67.0)])
    y[:, : LMAX - 1] = 0.0
    y[:, LMAX - 1 + NODES - 2] = 3.0
    basis, coefficients = joined_basis(outputs(), y, NOISE, scaling)
    back = np.asarray(basis.decode(jnp.full(coefficients.s.shape[1], 0.3)))
    np.testing.assert_array_equal(back[: LMAX - 1], 0.0)
    np.testing.assert_allclose(back[LMAX - 1 + NODES - 2], 3.0, rtol=1e-12)
    if scaling == "constant":  # one number for all that is no spectrum
        return
    np.testing.assert_allclose(back[-1], 67.0, rtol=1e-15)


@pytest.mark.parametrize("loss", ["data_noise", "cosmic_variance"])
def test_a_spectrum_of_zeros_is_learned_exactly(loss: str):
    x = points(12, 9)
    theories = [theory(row) | {"unlensed_bb": np.zeros(LMAX + 1)} for row in x]
    emulator, _ = build_emulator(
        NAMES,
        {},
        x,
        theories,
        [],
        kind="network",
        network=replace(SETTINGS, folds=0, epochs=2, loss=loss),
    )
    found = emulator(jnp.asarray(x[0]) + 0.01)
    np.testing.assert_array_equal(found["unlensed_bb"], 0.0)
    assert np.all(np.asarray(found["lensed_tt"])[2:] != 0.0)


@pytest.mark.parametrize("scaling", ["log", "double_log"])
def test_no_logarithm_of_zero(scaling: str):
    y = np.column_stack([np.abs(spectra(5)), np.ones(5)])
    y[:, LMAX - 1] = 0.0
    with pytest.raises(EmulatorError, match=rf"scaling {scaling} was asked for, but spectrum 1 "):
        joined_basis(outputs(), y, np.ones(y.shape[1]), scaling)


def test_unknown_scaling():
    with pytest.raises(EmulatorError, match="unknown scaling 'cube'; choose standardise, min_max"):
        made("cube")


@pytest.mark.parametrize("scaling", SCALINGS)
def test_in_an_emulator(scaling: str, tmp_path: Path):
    x = points(20, 9)
    theories = [theory(row) for row in x]
    settings = replace(SETTINGS, folds=2, epochs=20, scaling=scaling, loss="data_noise")
    noise = {"lensed_tt": 0.02 * np.maximum(theories[0]["lensed_tt"], 1e-30)}
    emulator, report = build_emulator(
        NAMES, {"m_nu": 0.06}, x, theories, [noise], kind="network", network=settings
    )
    usual = f"network (2 x 32, data_noise, {scaling})".replace(", standardise", "")
    assert report.surrogates == {"all": usual}
    # the calibrated error is the left-out Delta chi2, whatever the scaling
    error = float(emulator.delta_chi2(jnp.asarray(x[0])))
    np.testing.assert_allclose(error, report.scores["all"][usual], rtol=1e-6)
    emulator.save(tmp_path, {})
    read, _ = load_emulator(tmp_path)
    for name, value in emulator(jnp.asarray(x[0])).items():
        np.testing.assert_array_equal(value, read(jnp.asarray(x[0]))[name])


def test_a_users_activation_is_passed_to_load_emulator(tmp_path: Path):
    code = tmp_path / "mine.py"
    code.write_text("import jax.numpy as jnp\ndef f(x):\n    return jnp.tanh(x)\n")
    x = points(12, 9)
    settings = replace(SETTINGS, folds=0, epochs=2, activation=f"{code}:f")
    emulator, _ = build_emulator(
        NAMES, {}, x, [theory(row) for row in x], [], kind="network", network=settings
    )
    emulator.save(tmp_path / "emulator", {})
    read, _ = load_emulator(tmp_path / "emulator", functions={f"{code}:f": jnp.tanh})
    point = jnp.asarray(x[0])
    np.testing.assert_array_equal(read(point)["lensed_tt"], emulator(point)["lensed_tt"])
