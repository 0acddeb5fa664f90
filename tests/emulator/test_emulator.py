"""Emulators of the toy universe: accuracy, known physics, refusals, storage, transformations."""

import json
import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import toy
import volvelle
from volvelle.emulator import (
    EmulatorError,
    OutsideDomainError,
    build_emulator,
    combined_noise,
    load_emulator,
)
from volvelle.emulator.block import scalings
from volvelle.emulator.features import MASS_SCALE, Physical
from volvelle.learning import LearningError, Polynomial, StorageError, save_model

N = 60
HELD_OUT = 40
CALIBRATION = 4.0  # factor within which the mean Delta chi2 agrees with its prediction
ACCURATE = 0.05  # mean Delta chi2 that 60 solutions of so smooth a universe must reach
H_NAMES = ("omega_b", "omega_cdm", "h", "n_s", "ln10A_s", "tau_reio")


def design(n: int, seed: int, width: float = 3.0) -> np.ndarray:
    return toy.TRUTH + width * toy.SIGMA * np.random.default_rng(seed).uniform(-1, 1, (n, 6))


def build(x: np.ndarray, kind: str = "auto", names: tuple[str, ...] = toy.NAMES):
    theories = toy.solve(x, names)
    return build_emulator(names, {"m_nu": 0.06}, x, theories, [toy.likelihood().noise()], kind=kind)


@pytest.fixture(scope="module")
def built():
    return build(design(N, 0))


@pytest.fixture(scope="module")
def emulator(built):
    return built[0]


@pytest.fixture(scope="module")
def quick():
    """A polynomial one, whose calls compile fast."""
    return build(design(N, 0), "polynomial")[0]


def named(x: np.ndarray) -> dict[str, float]:
    return dict(zip(toy.NAMES, map(float, x), strict=True))


def delta_chi2(theory, exact) -> float:
    """Of the error of a theory, in the data's noise."""
    like = toy.likelihood()
    return float(np.sum((like.whitener @ (like.model(theory) - like.model(exact))) ** 2))


def test_held_out_solutions_within_the_predicted_error(emulator):
    x = design(HELD_OUT, 1, width=2.0)
    predict = jax.jit(lambda v: (emulator(v), emulator.delta_chi2(v)))
    actual, predicted = [], []
    for row, exact in zip(x, toy.solve(x), strict=True):
        theory, expected = predict(jnp.asarray(row))
        actual.append(delta_chi2(theory, exact))
        predicted.append(float(expected))
    assert np.mean(actual) < ACCURATE
    assert np.mean(actual) < CALIBRATION * np.mean(predicted)
    assert np.mean(predicted) < 25.0 * CALIBRATION * np.mean(actual), "uselessly pessimistic"


def test_report_holds_predictions_from_the_other_solutions(built):
    _, report = built
    x = design(N, 0)
    errors = [
        delta_chi2(own, exact) for own, exact in zip(report.left_out, toy.solve(x), strict=True)
    ]
    assert 0.0 < np.mean(errors) < 20.0 * ACCURATE
    assert report.surrogates["cmb"] in report.scores["cmb"]
    assert "sigma8" not in report.left_out[0], "the data do not see it"


def test_amplitude_scales_exactly(quick):
    """What is learned is the spectrum over A_s e^{-2 tau}: the rest is multiplied back."""
    change = 0.7
    x, louder = jnp.asarray(toy.TRUTH), jnp.asarray(toy.TRUTH).at[4].add(change)
    louder_and_later = louder.at[5].add(0.1)
    for block, name in ((quick.blocks[0], "lensed_tt"),):
        z, ln = quick.features(x), scalings(quick.amplitude, x)
        first = block.predict(z, ln)[name][2:]
        second = block.predict(z, scalings(quick.amplitude, louder))[name][2:]
        third = block.predict(z, scalings(quick.amplitude, louder_and_later))[name][2:]
        np.testing.assert_allclose(second / first, np.exp(change), rtol=1e-12)
        np.testing.assert_allclose(third / first, np.exp(change - 0.2), rtol=1e-12)


def test_amplitude_within_the_box(quick):
    """The regressor, which is not told, finds nothing left to learn of A_s."""
    change = 3.0 * toy.SIGMA[4]
    x = jnp.asarray(toy.TRUTH)
    ratio = quick(x.at[4].add(change))["lensed_tt"][2:] / quick(x)["lensed_tt"][2:]
    np.testing.assert_allclose(ratio, np.exp(change), rtol=toy.NOISE / 100.0)


def test_h_enters_through_the_angular_scale():
    # points along the curved ridge on which theta_* is known, as a posterior has them
    x, new = design(N, 2), design(HELD_OUT, 3)
    for points in (x, new):
        points[:, 1] = 0.12 + 5.0 * (points[:, 1] - 0.12)
        points[:, 2] = [
            toy.h_of(t, m) for t, m in zip(points[:, 2], points[:, :2].sum(axis=1), strict=True)
        ]
    with_theta, _ = build(x, "polynomial", H_NAMES)
    assert with_theta.features.physical.angular_scale is not None
    theta = [float(t["theta_star_100"]) for t in toy.solve(new, H_NAMES)]
    features = jax.vmap(with_theta.features.physical)(jnp.asarray(new))
    np.testing.assert_allclose(features[:, 2], theta, rtol=1e-3)
    # the same without the change of variable: the parameter under a name that has no meaning
    theories, noises = toy.solve(x, H_NAMES), [toy.likelihood().noise()]
    bare = tuple("w0" if name == "h" else name for name in H_NAMES)
    without, _ = build_emulator(bare, {}, x, theories, noises, kind="polynomial")
    assert without.features.physical.angular_scale is None
    errors = {}
    for label, emulator in (("with", with_theta), ("without", without)):
        predict = eqx.filter_jit(emulator)
        errors[label] = np.mean(
            [
                delta_chi2(predict(jnp.asarray(row)), exact)
                for row, exact in zip(new, toy.solve(new, H_NAMES), strict=True)
            ]
        )
    assert errors["with"] < 0.8 * errors["without"]


def test_domain(quick):
    x = design(N, 0)
    assert np.all(quick.distances(x) <= 1.0), "every training point is inside"
    far = toy.TRUTH + 20.0 * toy.SIGMA
    assert quick.distances(far[None])[0] > 1.0
    for i in range(6):
        outside = toy.TRUTH.copy()
        outside[i] += 4.0 * toy.SIGMA[i]
        assert quick.distances(outside[None])[0] > 1.0, toy.NAMES[i]
    with pytest.raises(OutsideDomainError, match="times the edge"):
        quick.predict(named(far))
    first = next(iter(named(far)))
    with pytest.raises(OutsideDomainError, match=f"^{first} = nan; expected finite numbers"):
        quick.predict(named(toy.TRUTH) | {first: np.nan})
    flagged = quick.predict(named(far), outside="flag")
    assert not flagged.inside and quick.predict(named(toy.TRUTH)).inside
    assert flagged.delta_chi2 > quick.predict(named(toy.TRUTH)).delta_chi2


def test_nan_is_outside(quick):
    with pytest.raises(OutsideDomainError):
        quick.predict({**named(toy.TRUTH), "n_s": float("nan")})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_s": None}, "missing n_s"),
        ({"n_run": 0.1}, "unknown parameter 'n_run'"),
        ({"m_nu": 0.1}, "trained at m_nu = 0.06"),
        ({"n_s": "0.96?"}, "n_s = '0.96\\?'; expected one number"),
        ({"n_s": [0.96, 0.97]}, "n_s = .*; expected one number"),
        ({"m_nu": "none"}, "m_nu = 'none'; expected one number"),
    ],
)
def test_refuses(quick, change, message):
    given = {k: v for k, v in {**named(toy.TRUTH), **change}.items() if v is not None}
    with pytest.raises(EmulatorError, match=message):
        quick.predict(given)


def test_fixed_parameters_may_be_said(quick):
    theory = quick.predict({**named(toy.TRUTH), "m_nu": 0.06}).theory
    np.testing.assert_array_equal(
        theory["lensed_tt"], quick.predict(named(toy.TRUTH)).theory["lensed_tt"]
    )


def test_refuses_what_was_never_learned(quick):
    with pytest.raises(EmulatorError, match="'lensed_bb' was not learned"):
        quick.output(named(toy.TRUTH), "lensed_bb")
    with pytest.raises(EmulatorError, match="expected 'raise' or 'flag'"):
        quick.predict(named(toy.TRUTH), outside="ignore")
    assert set(quick.predict(named(toy.TRUTH)).theory) == set(toy.REQUEST.names())


def test_shapes_and_zeros(quick):
    exact, theory = toy.solve(toy.TRUTH[None])[0], quick.predict(named(toy.TRUTH)).theory
    for name, value in exact.items():
        assert np.shape(theory[name]) == np.shape(value), name
    assert np.all(theory["lensed_te"][:2] == 0.0)


def test_stored_and_read_the_same_bits(emulator, tmp_path):
    emulator.save(tmp_path, {"solver": {"solver": "toy"}})
    loaded, record = load_emulator(tmp_path)
    assert record == {"solver": {"solver": "toy"}}
    assert jax.tree.structure(loaded) == jax.tree.structure(emulator)
    before, after = (m.predict(named(toy.TRUTH)) for m in (emulator, loaded))
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_another_model_is_no_emulator(tmp_path):
    save_model(Polynomial(jnp.ones((1, 1)), jnp.ones((1, 1)), jnp.ones(1), 0), tmp_path, {})
    with pytest.raises(EmulatorError, match="holds a Polynomial"):
        load_emulator(tmp_path)
    with pytest.raises(StorageError, match="is missing"):
        load_emulator(tmp_path / "nothing")


def test_gradient_in_every_parameter(emulator):
    """Of the likelihood through the emulator, against differences a thousandth of sigma wide."""
    like = toy.likelihood()
    point = jnp.asarray(toy.TRUTH + toy.SIGMA * [0.5, -0.3, 0.4, 0.2, -0.6, 0.7])
    log_prob = jax.jit(lambda x: like.log_prob(emulator(x), {}))
    gradient = np.asarray(jax.jit(jax.grad(log_prob))(point))
    for i, name in enumerate(toy.NAMES):
        e = jnp.zeros(6).at[i].set(1e-2 * toy.SIGMA[i])
        numeric = float(log_prob(point + e) - log_prob(point - e)) / (2e-2 * toy.SIGMA[i])
        assert gradient[i] == pytest.approx(numeric, rel=1e-3), name


def test_batch_is_single_calls(quick):
    x = design(5, 3)
    names = ("lensed_te", "sigma8")
    batch = quick.batch(x, names)
    mapped = jax.jit(jax.vmap(quick))(jnp.asarray(x))
    for i, row in enumerate(x):
        single = quick(jnp.asarray(row))
        for name in names:
            np.testing.assert_allclose(batch[name][i], single[name], rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(mapped[name][i], single[name], rtol=1e-9, atol=1e-9)


def test_the_page_on_using_an_emulator(monkeypatch):
    """Its blocks are one script."""
    text = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text()
    stored = Path(__file__).parent / "stored" / "format_2" / "surrogates"
    names: dict = {}
    monkeypatch.setattr(volvelle, "load_emulator", lambda folder: load_emulator(stored))
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    emulator = names["emulator"]
    expected = json.loads((stored / "expected.json").read_text())
    x = np.stack([emulator.vector(point["parameters"]) for point in expected])
    many = names["batch"](x)
    assert set(many) == set(emulator.outputs)
    for name in emulator.outputs:
        single = np.stack([names["call"](row)[name] for row in x])
        np.testing.assert_allclose(many[name], single, rtol=1e-10, atol=1e-12)


def test_one_trace_per_shape(quick):
    traces = []

    @jax.jit
    def call(x):
        traces.append(1)
        return quick(x)["lensed_tt"]

    for row in design(3, 4):
        call(jnp.asarray(row))
    assert len(traces) == 1


def test_cannot_be_built():
    x = design(4, 0)
    theories, noises = toy.solve(x), [toy.likelihood().noise()]
    with pytest.raises(EmulatorError, match="4 points and 3 solutions"):
        build_emulator(toy.NAMES, {}, x, theories[:3], noises)
    with pytest.raises(EmulatorError, match="different outputs"):
        other = {k: v for k, v in theories[0].items() if k != "lensed_te"}
        build_emulator(toy.NAMES, {}, x, [other, *theories[1:]], noises)
    with pytest.raises(LearningError, match="no surrogate can be fitted to 4 solutions"):
        build_emulator(toy.NAMES, {}, x, theories, noises)


def test_noise_combines_data_and_floor():
    theory = toy.solve(toy.TRUTH[None])[0]
    own = toy.likelihood().noise()
    noise, seen = combined_noise(tuple(theory), theory, [own, own])
    assert seen == {"lensed_tt", "lensed_te", "lensed_ee"}
    part = own["lensed_tt"][toy.FIRST :]
    assert np.all(noise["lensed_tt"][toy.FIRST :] <= part / np.sqrt(2.0)), "twice the information"
    assert np.all(np.isfinite(noise["lensed_tt"])) and np.all(noise["sigma8"] > 0)


def test_neutrino_masses_enter_by_their_energy():
    """An even function of the mass below MASS_SCALE is a smooth one of the feature, sqrt(m)."""
    masses = Physical(None, (1,))
    x = jnp.array([0.3, 0.0])
    assert masses(x)[1] == pytest.approx(MASS_SCALE**0.5, rel=1e-14)
    np.testing.assert_allclose(masses(jnp.array([0.3, 0.81])), [0.3, 0.9], rtol=2e-5)
    np.testing.assert_allclose(jax.jacobian(masses)(x), [[1.0, 0.0], [0.0, 0.0]], atol=1e-15)
    points = design(N, 0)
    points[:, 5] = np.abs(points[:, 5] - toy.TRUTH[5])  # reaches zero
    names = (*toy.NAMES[:5], "m_nu")
    emulator, _ = build_emulator(names, {}, points, toy.solve(points), [toy.likelihood().noise()])
    assert emulator.features.physical.masses == (5,)
