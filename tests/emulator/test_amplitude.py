"""The known scaling of spectra, also where the amplitude follows from parameters by expressions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import toy
from volvelle.cosmology import in_order
from volvelle.emulator import build_emulator, load_emulator
from volvelle.emulator.amplitude import A_S_PIVOT, amplitude_of
from volvelle.emulator.features import hubble_index

LN_10 = np.log(10.0)
ROUNDING = 1e-9  # of two fits of the same solutions in coordinates that differ by a constant factor


@pytest.mark.parametrize(
    ("parameters", "x", "fixed", "texts", "A_s", "tau"),
    [
        (("n_s", "ln10A_s", "tau_reio"), [0.96, 3.0, 0.06], {}, {}, np.exp(3.0) * 1e-10, 0.06),
        (("A_s",), [2e-9], {"tau_reio": 0.05}, {}, 2e-9, 0.0),
        (("log10_A_s",), [-8.7], {}, {"A_s": "10**log10_A_s"}, 10**-8.7, 0.0),
        (
            ("dlnA", "tau_reio"),
            [0.1, 0.05],
            {"base": 3.0, "m_nu": 0.06},
            {"ln10A_s": "mean + dlnA", "mean": "base + tau_reio"},
            np.exp(3.15) * 1e-10,
            0.05,
        ),
        (("z",), [8.0], {"A_s": 2e-9}, {"tau_reio": "0.007*z"}, A_S_PIVOT, 0.056),
        (("omega_b",), [0.022], {"a": 3.0}, {"ln10A_s": "a"}, A_S_PIVOT, 0.0),
    ],
)
def test_what_varies_is_taken_out(parameters, x, fixed, texts, A_s, tau):
    amplitude = amplitude_of(parameters, fixed, in_order(texts))
    x = jnp.asarray(x)
    expected = np.log(A_s / A_S_PIVOT)
    assert amplitude.ln_scaling(x, False) == pytest.approx(expected, abs=1e-12)
    assert amplitude.ln_scaling(x, True) == pytest.approx(expected - 2.0 * tau, abs=1e-12)
    assert set(dict(amplitude.constants)) <= {"base"}


def test_the_scaling_has_a_slope():
    amplitude = amplitude_of(("log10_A_s",), {}, (("A_s", "10**log10_A_s"),))
    slope = jax.grad(lambda x: amplitude.ln_scaling(x, False))(jnp.array([-8.7]))
    np.testing.assert_allclose(slope, [LN_10], rtol=1e-14)


def test_an_emulator_knows_a_defined_amplitude_as_well_as_a_sampled_one(tmp_path):
    draws = np.random.default_rng(5).uniform(-1, 1, (45, 6))
    x = toy.TRUTH + 3.0 * toy.SIGMA * draws
    theories, noises = toy.solve(x, toy.NAMES), [toy.likelihood().noise()]
    sampled, _ = build_emulator(toy.NAMES, {}, x, theories, noises, kind="polynomial")
    logarithmic = x.copy()
    logarithmic[:, 4] = x[:, 4] / LN_10 - 10.0
    names = tuple("log10_A_s" if name == "ln10A_s" else name for name in toy.NAMES)
    defined, _ = build_emulator(
        names,
        {},
        logarithmic,
        theories,
        noises,
        kind="polynomial",
        definitions=(("A_s", "10**log10_A_s"),),
    )
    defined.save(tmp_path / "e", {})
    loaded, _ = load_emulator(tmp_path / "e")
    for a, b in ((x[0], logarithmic[0]), (x[1], logarithmic[1])):
        expected = sampled(jnp.asarray(a))["lensed_tt"]
        for emulator in (defined, loaded):
            found = emulator(jnp.asarray(b))["lensed_tt"]
            np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "texts", "index"),
    [
        (("omega_b", "H0"), {}, 1),
        (("omega_b", "theta_star_100"), {}, None),
        (("omega_b", "log10_H0"), {"H0": "10**log10_H0"}, 1),
        (("omega_b", "dh"), {"h": "0.67 + dh + 0*omega_b"}, 1),
        (("omega_m", "Omega_M"), {"h": "(omega_m/Omega_M)**0.5", "omega_cdm": "omega_m - 0.02"}, 1),
        (("omega_b",), {"h": "0.67 + omega_b"}, None),
    ],
)
def test_which_parameter_is_the_expansion_rate(parameters, texts, index):
    assert hubble_index(parameters, in_order(texts)) == index
