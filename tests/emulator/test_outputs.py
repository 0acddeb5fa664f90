"""Outputs beyond spectra, learned from analytic stand-ins: transformations, groups, fall-backs."""

import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.boltzmann import HISTORY_Z, OUTPUTS, POWER_K, POWER_Z, TRANSFER_Z
from volvelle.emulator import EmulatorError, build_emulator, load_emulator
from volvelle.emulator.block import output_of, transform_of
from volvelle.emulator.build import group_outputs
from volvelle.emulator.noise import floor
from volvelle.emulator.reionisation import EXTRA, STEPPED, TOLERANCE

PARAMETERS = ("ln10A_s", "tau_reio", "omega_cdm")
CENTRE, WIDTH = np.array([3.044, 0.054, 0.12]), np.array([0.04, 0.02, 0.004])
ACCURATE = 1e-3  # of CLASS, what a learned output has to reach
ROUND_TRIP = 1e-12
UNTOLD = 1e-4  # what a regressor that is not told leaves of a parameter that does nothing
SCALED = ("cb_power", "sigma8_z", "f_sigma8", "matter_power")
FREE = ("transfer_b", "ionisation_fraction", "visibility", "z_reio", "hubble", "rs_rec")


def history(z_reio: float, omega_cdm: float, f: float = 0.082) -> np.ndarray:
    """The tanh of both codes on a residual ionisation that depends on the matter."""
    z = HISTORY_Z
    power = (1.0 + z_reio) ** 1.5
    step = 0.5 * (1.0 + np.tanh((power - (1.0 + z) ** 1.5) / (0.75 * np.sqrt(1.0 + z_reio))))
    helium = 0.5 * (1.0 + np.tanh((3.5 - z) / 0.5))
    left = 2e-4 * (omega_cdm / 0.12) ** 0.5 * (1.0 + z / 3000.0) ** 2
    recombined = left + 0.5 * (1.0 + np.tanh((z - 1300.0) / 150.0))
    return (1.0 + f) * step + f * helium + (1.0 - step) * recombined


def universe(x: np.ndarray) -> dict[str, np.ndarray]:
    ln_A, tau, omega_cdm = x
    A_s, matter = np.exp(ln_A - 3.044), omega_cdm / 0.12
    z_reio = (tau / 0.0024 * matter**0.4) ** (2.0 / 3.0)
    growth = (1.0 + POWER_Z) ** (-0.9 * matter**0.1)
    peak = 0.02 * np.exp(-0.5 * ((HISTORY_Z - 1090.0 * matter**0.01) / 80.0) ** 2)
    x_e = history(z_reio, omega_cdm)
    transfer = np.log1p(2.34 * POWER_K / matter) / (2.34 * POWER_K / matter)
    power = A_s * growth[:, None] ** 2 * POWER_K * transfer**2
    return {
        "matter_power": power,
        "cb_power": 1.01 * power,
        "sigma8_z": 0.8 * np.sqrt(A_s) * growth,
        "f_sigma8": 0.7 * np.sqrt(A_s) * growth,
        "transfer_b": growth[::8, None] * transfer,
        "ionisation_fraction": x_e,
        "visibility": peak + np.where(HISTORY_Z < 30.0, 3e-7 * x_e * (1.0 + HISTORY_Z) ** 2, 0.0),
        "hubble": 70.0 * (1.0 + matter * np.arange(5.0)) ** 1.5,
        "z_reio": np.asarray(z_reio),
        "rs_rec": np.asarray(144.0 * matter**-0.25),
        "theta_star_100": np.asarray(1.04 * matter**0.1),
    }


def design(n: int, seed: int) -> np.ndarray:
    return CENTRE + WIDTH * np.random.default_rng(seed).uniform(-1.0, 1.0, (n, 3))


@pytest.fixture(scope="module")
def emulator():
    x = design(60, 0)
    return build_emulator(PARAMETERS, {}, x, [universe(row) for row in x], [], kind="polynomial")[0]


def test_learned_within_a_thousandth(emulator):
    x = design(20, 1)
    predicted = emulator.batch(x, emulator.outputs)
    for i, row in enumerate(x):
        for name, exact in universe(row).items():
            scale = exact.max() if name == "visibility" else np.abs(exact)
            error = np.abs(predicted[name][i] - exact) / scale
            assert np.max(error) < ACCURATE, f"{name}: {np.max(error):.1e}"


def test_amplitude_is_taken_out(emulator):
    """Two points that differ in A_s alone: what scales with it does so exactly."""
    x = jnp.asarray(CENTRE)
    first, second = emulator(x), emulator(x.at[0].add(0.03))
    for name in SCALED:
        power = 0.5 if name in ("sigma8_z", "f_sigma8") else 1.0
        np.testing.assert_allclose(second[name] / first[name], np.exp(0.03 * power), rtol=UNTOLD)
    for name in FREE:
        absolute = UNTOLD * float(jnp.max(first[name])) if name == "visibility" else 0.0
        np.testing.assert_allclose(second[name], first[name], rtol=UNTOLD, atol=absolute)


def test_is_stored_and_read(emulator, tmp_path):
    emulator.save(tmp_path / "emulator", {})
    again = load_emulator(tmp_path / "emulator")[0]
    x = jnp.asarray(CENTRE)
    for name, value in emulator(x).items():
        np.testing.assert_array_equal(again(x)[name], value)


@pytest.mark.parametrize("z_reio", [4.5, 7.7, 12.0])
def test_history_without_its_step_and_back(z_reio):
    x_e = history(z_reio, 0.12)
    split, join = STEPPED["ionisation"]
    vector = split(x_e)
    assert vector is not None and vector.shape == (len(HISTORY_Z) + EXTRA,)
    assert vector[0] ** (2.0 / 3.0) - 1.0 == pytest.approx(z_reio, rel=1e-5)
    assert vector[1] == pytest.approx(0.082, rel=1e-4)
    np.testing.assert_allclose(join(jnp.asarray(vector)), x_e, rtol=TOLERANCE)


def other_histories() -> dict[str, np.ndarray]:
    z, tanh = HISTORY_Z, history(7.7, 0.12)
    slow = history(12.0, 0.12) * 0.5 + tanh * 0.5  # two steps
    exponential = np.maximum(tanh, 1.08 * np.exp(-np.maximum(z - 6.0, 0.0) / 1.5))
    none = history(0.001, 0.12)
    none[z < 30.0] = none[z > 30.0][0]
    return {"two steps": slow, "exponential": exponential, "none": none, "short": tanh[:-1]}


@pytest.mark.parametrize("kind", other_histories())
def test_other_histories_are_learned_as_they_stand(kind):
    other = other_histories()[kind]
    output = output_of("ionisation_fraction", *(other, 1.01 * other))
    assert output.transform == "log" and output.size == other.size
    vector = output.forward(other, (0.0, 0.0))
    again = output.inverse(jnp.asarray(vector), (jnp.asarray(0.0), jnp.asarray(0.0)))
    np.testing.assert_allclose(again, other, rtol=ROUND_TRIP)


def test_one_other_history_among_many_is_enough():
    steps = [history(7.0, 0.12), history(8.0, 0.12)]
    assert transform_of("ionisation_fraction", steps) == "ionisation"
    others = [*steps, other_histories()["two steps"]]
    assert transform_of("ionisation_fraction", others) == "log"
    output = output_of("ionisation_fraction", *steps)
    with pytest.raises(EmulatorError, match="no tanh step"):
        output.forward(others[-1], (0.0, 0.0))


def test_visibility_without_its_step_and_back():
    visibility = universe(CENTRE)["visibility"]
    assert output_of("visibility", visibility).transform == "visibility"
    split, join = STEPPED["visibility"]
    vector = split(visibility)
    assert vector is not None
    np.testing.assert_allclose(join(jnp.asarray(vector)), visibility, rtol=ROUND_TRIP)
    flat = np.where(HISTORY_Z < 30.0, 1e-6, visibility)
    assert output_of("visibility", visibility, flat).transform == "linear"


def test_negative_values_are_not_put_in_a_logarithm():
    assert transform_of("transfer_b", [np.array([1.0, -1.0])]) == "linear"
    assert transform_of("f_sigma8", [np.array([0.5]), np.array([0.0])]) == "linear"
    assert transform_of("hubble", [np.array([70.0])]) == "log"


@pytest.mark.parametrize("name", [*SCALED, *FREE])
def test_noise_goes_with_the_transformation(name):
    """The noise of a fitted number is what it changes the output by, all others right."""
    value, ln = universe(CENTRE)[name], (0.2, 0.3)
    output, sigma = output_of(name, value), floor(name, {name: value})
    vector, noise = output.forward(value, ln), output.forward_noise(sigma, value, ln)
    assert vector.shape == noise.shape == (output.size,) and np.all(noise > 0.0)
    scale = (jnp.asarray(ln[0]), jnp.asarray(ln[1]))
    middle = np.asarray(output.inverse(jnp.asarray(vector), scale)).ravel()
    for j in (0, 1, output.size - 1):
        if j >= output.size:
            continue
        step = np.zeros(output.size)
        step[j] = 1e-3 * noise[j]
        moved = np.asarray(output.inverse(jnp.asarray(vector + step), scale)).ravel()
        chi2 = np.sum(((moved - middle) / np.ravel(sigma)) ** 2)
        assert chi2 == pytest.approx(1e-6, rel=0.01)


def test_groups():
    groups = group_outputs(["matter_power", "cb_power", "sigma8_z", "f_sigma8", "z_reio", "rs_rec"])
    assert groups["growth"] == ("sigma8_z", "f_sigma8")
    assert groups["scalars"] == ("z_reio", "rs_rec")
    assert groups["matter_power"] == ("matter_power",) and groups["cb_power"] == ("cb_power",)
    shapes = {len(POWER_Z), len(POWER_K), len(TRANSFER_Z), len(HISTORY_Z)}
    assert shapes <= {size for info in OUTPUTS.values() for size in info.shape}
