"""Redshift distributions: their integrals, moves, derivatives and refusals."""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gaussian_kde

from volvelle.probes import (
    Delta,
    Distribution,
    DistributionError,
    Fu,
    Histogram,
    KernelDensity,
    Shifted,
    Smail,
    Stretched,
    Table,
    extent,
)

INTEGRAL = 1e-6
"""Asked for; the adaptive quadrature that measures it is told of every kink."""
GRADIENT = 1e-6
"""Relative; differences of fourth order over steps of 1e-3 leave 1e-9 or so."""
CATALOGUE = np.random.default_rng(3).gamma(4.0, 0.15, 200)
Z = np.linspace(0.1, 1.3, 25)
VALUES = 0.1 + np.exp(-0.5 * ((Z - 0.6) / 0.2) ** 2)
UNEVEN = np.sort(np.random.default_rng(1).uniform(0.1, 1.3, 25))

CASES: dict[str, Distribution] = {
    "smail": Smail(2.0, 1.5, 0.3),
    "smail cut": Smail(1.2, 0.9, 0.6, z_max=1.5),
    "fu": Fu(0.6, 7.9, 0.7),
    "kde": KernelDensity(CATALOGUE, 0.05),
    "weighted kde": KernelDensity(CATALOGUE, 0.1, weights=CATALOGUE**2),
    "histogram": Histogram(Z, np.arange(1.0, 25.0)),
    "uneven histogram": Histogram(UNEVEN, np.arange(1.0, 25.0)),
    "table": Table(Z, VALUES),
    "uneven table": Table(UNEVEN, VALUES),
    "shifted": Shifted(Table(Z, VALUES), 0.033),
    "shifted below 0": Shifted(Smail(2.0, 1.5, 0.3), -0.15),
    "stretched": Stretched(Table(Z, VALUES), 1.3),
    "narrowed": Stretched(Shifted(KernelDensity(CATALOGUE, 0.05), 0.02), 0.8, pivot=0.5),
}


def kinks(n: Distribution) -> np.ndarray:
    """Fine enough to hold every kink of the cases, for ``quad`` in between."""
    base = getattr(n, "base", n)
    nodes = np.asarray(getattr(base, "z", getattr(base, "edges", np.linspace(0.0, 6.0, 25))))
    if isinstance(n, Shifted):
        nodes = nodes + float(n.shift)
    if isinstance(n, Stretched):
        pivot = float(base.mean if n.pivot is None else n.pivot)
        nodes = pivot + (nodes - pivot) * float(n.stretch)
    inside = nodes[(nodes > n.z_min) & (nodes < n.z_max)]
    return np.concatenate([[n.z_min], inside, [n.z_max]])


def integral(n: Distribution, upper: float) -> float:
    f = jax.jit(n.__call__)
    ends = np.minimum(kinks(n), upper)
    # Just inside of every end, where a histogram jumps.
    parts = [
        quad(lambda z: float(f(z)), low + 1e-12, high - 1e-12, epsabs=1e-9, limit=200)[0]
        for low, high in itertools.pairwise(ends)
        if high > low
    ]
    return sum(parts)


@pytest.mark.parametrize("name", CASES)
def test_the_integral_is_one(name: str) -> None:
    n = CASES[name]
    assert integral(n, n.z_max) == pytest.approx(1.0, abs=INTEGRAL)
    middle = float(n.mean)
    assert n.cumulative(middle) == pytest.approx(integral(n, middle), abs=INTEGRAL)
    assert n(-0.1) == 0.0 and n(n.z_max + 0.1) == 0.0
    assert np.all(np.asarray(n(np.linspace(0.0, 3.0, 100))) >= 0.0)
    np.testing.assert_array_equal(n(np.linspace(0, 3, 50)), n(jnp.linspace(0, 3, 50)))


def test_against_scipy() -> None:
    density = gaussian_kde(CATALOGUE, bw_method=0.08 / np.std(CATALOGUE, ddof=1))
    ours = KernelDensity(CATALOGUE, 0.08)
    cut = density.integrate_box_1d(0.0, np.inf)
    np.testing.assert_allclose(ours(Z), density(Z) / cut, rtol=1e-6)
    weighted = gaussian_kde(CATALOGUE, bw_method=0.1, weights=CATALOGUE)
    ours = KernelDensity(CATALOGUE, np.sqrt(weighted.covariance[0, 0]), weights=CATALOGUE)
    np.testing.assert_allclose(
        ours(Z), weighted(Z) / weighted.integrate_box_1d(0.0, np.inf), rtol=1e-6
    )


def test_moves() -> None:
    base = Table(Z, VALUES)
    moved = Shifted(base, 0.05)
    np.testing.assert_allclose(moved(Z + 0.05), base(Z), rtol=1e-12)
    assert moved.mean == pytest.approx(float(base.mean) + 0.05, abs=1e-6)
    wide = Stretched(base, 1.1)
    assert wide.mean == pytest.approx(float(base.mean), abs=1e-4)

    def spread(n: Distribution) -> float:
        z = np.linspace(0.0, 2.0, 20001)
        return float(np.sqrt(np.trapezoid((z - float(n.mean)) ** 2 * np.asarray(n(z)), z)))

    assert spread(wide) == pytest.approx(1.1 * spread(base), rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_known_redshifts_give_the_same_as_traced_ones(name: str) -> None:
    n, z = CASES[name], np.linspace(0.0, 1.7, 40)
    np.testing.assert_allclose(
        n(z), jax.jit(lambda z: n(z))(jnp.asarray(z)), rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(
        n.cumulative(z), jax.jit(lambda z: n.cumulative(z))(jnp.asarray(z)), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("name", ["table", "uneven table", "histogram", "uneven histogram"])
def test_known_tables_at_known_redshifts_are_no_work_for_a_program(name: str) -> None:
    n, z = CASES[name], np.linspace(0.0, 1.7, 40)
    program = jax.make_jaxpr(lambda: n.cumulative(z))()
    assert {str(step.primitive) for step in program.eqns} <= {"div", "copy", "convert_element_type"}


def test_what_is_known_of_a_sample_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Distribution] = []
    monkeypatch.setattr(extent, "_SUPPORTS", {})
    monkeypatch.setattr(extent, "_MOST_KEPT", 4)
    plain = extent._sampled
    monkeypatch.setattr(extent, "_sampled", lambda sample: (made.append(sample), plain(sample))[1])

    def tried(sample: Distribution) -> int:
        before = len(made)
        found = extent.profile(sample)
        assert found is not None and not found.values.flags.writeable
        return len(made) - before

    assert tried(Table(Z, VALUES)) == 1
    assert tried(Table(list(Z), np.array(VALUES))) == 0
    assert tried(Shifted(Table(Z, VALUES), 0.01)) == 0  # shifts are allowed for, not known
    for other in (Table(Z, 2.0 * VALUES), Table(Z + 0.1, VALUES), Histogram(Z, VALUES[1:])):
        assert (tried(other), tried(other)) == (1, 0)
    assert tried(Table(UNEVEN, VALUES)) == 1
    assert tried(Table(Z, VALUES)) == 1  # the first is forgotten for the fifth
    assert len(extent._SUPPORTS) == 4
    with jax.enable_x64(False):  # of another precision: another sample
        assert (tried(Table(Z, VALUES)), tried(Table(Z, VALUES))) == (1, 0)


def test_catalogues_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = extent._sampled(CASES["kde"])
    monkeypatch.setattr(extent, "_MOST_AT_ONCE", 10_000)
    parts = extent._sampled(CASES["kde"])
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-10)


def test_zeros_at_the_ends_of_a_table_are_dropped() -> None:
    z = np.linspace(0.0, 4.0, 401)
    values = np.maximum(0.2 - np.abs(z - 0.5), 0.0)
    found, whole = Table(z, values), jax.jit(lambda v: Table(z, v)(z))(values)
    assert found.z_max == pytest.approx(0.7) and found.z_min == pytest.approx(0.3)
    np.testing.assert_allclose(found(z), whole, rtol=1e-12, atol=1e-15)


def gradients() -> dict[str, tuple[Callable[[jax.Array], Distribution], np.ndarray]]:
    return {
        "smail": (lambda t: Smail(t[0], t[1], t[2]), np.array([2.0, 1.5, 0.3])),
        "fu": (lambda t: Fu(t[0], t[1], t[2]), np.array([0.6, 7.9, 0.7])),
        "kde positions": (
            lambda t: KernelDensity(t, 0.1, z_max=3.0),
            np.linspace(0.3, 0.9, 6),
        ),
        "kde weights": (lambda t: KernelDensity(CATALOGUE[:6], 0.1, t), np.arange(1.0, 7.0)),
        "kde bandwidth": (
            lambda t: KernelDensity(CATALOGUE, t[0], z_max=3.0, scale=0.1),
            np.array([0.1]),
        ),
        "histogram": (lambda t: Histogram(Z[:7], t), np.arange(1.0, 7.0)),
        "table": (lambda t: Table(Z[:7], t), np.arange(1.0, 8.0)),
        "shift": (lambda t: Shifted(CASES["kde"], t[0]), np.array([0.03])),
        "stretch": (lambda t: Stretched(CASES["kde"], t[0]), np.array([1.05])),
    }


@pytest.mark.parametrize("name", gradients())
def test_gradients(name: str) -> None:
    make, theta = gradients()[name]
    z = jnp.asarray([0.13, 0.33, 0.52])

    @jax.jit
    def f(t: jax.Array) -> jax.Array:
        n = make(t)
        return jnp.concatenate([n(z), n.cumulative(z), n.mean[None]])

    exact = np.asarray(jax.jit(jax.jacfwd(f))(theta))
    assert np.any(exact != 0.0) and np.all(np.isfinite(exact))
    for i in range(theta.size):
        step = 1e-3 * np.eye(theta.size)[i] * abs(theta[i])
        one, two = f(theta + step) - f(theta - step), f(theta + 2 * step) - f(theta - 2 * step)
        numeric = np.asarray((8.0 * one - two) / (12.0 * step[i]))
        np.testing.assert_allclose(exact[:, i], numeric, rtol=GRADIENT, atol=1e-7)


def test_traced_distributions_that_are_none_are_nan() -> None:
    z = jnp.asarray([0.2, 0.3])
    assert np.all(np.isnan(jax.jit(lambda v: Table(Z, v)(z))(jnp.zeros(25))))
    assert np.all(np.isnan(jax.jit(lambda v: Histogram(Z, v)(z))(jnp.zeros(24))))
    assert np.all(np.isnan(jax.jit(lambda s: Shifted(CASES["table"], s)(z))(0.3)))
    assert np.all(np.isnan(jax.jit(lambda s: Stretched(CASES["table"], s)(z))(3.0)))
    assert np.all(np.isfinite(jax.jit(lambda s: Shifted(CASES["table"], s)(z))(0.1)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Table(Z, np.zeros(25)), "integral"),
        (lambda: Histogram(Z, np.zeros(24)), "integral"),
        (lambda: Table(Z, -VALUES), "below 0"),
        (lambda: Table(Z, np.full(25, np.nan)), "finite"),
        (lambda: Table(Z, VALUES[:-1]), "shape"),
        (lambda: Table(Z[::-1], VALUES), "increase"),
        (lambda: Table([0.3], [1.0]), "increase"),
        (lambda: Table(Z - 0.5, VALUES), "z_min"),
        (lambda: Histogram(Z, VALUES), "edges"),
        (lambda: KernelDensity(CATALOGUE, 0.1, weights=np.ones(3)), "one length"),
        (lambda: KernelDensity(CATALOGUE, 0.0), "scale"),
        (lambda: Smail(2.0, 1.5, -0.3), "integral"),
        (lambda: Smail(2.0, 1.5, 0.3, z_max=-1.0), "z_max"),
        (lambda: Shifted(CASES["table"], 0.5), "margin"),
        (lambda: Stretched(CASES["table"], 5.0), "limits"),
        (lambda: Shifted(Delta(1.0), 0.1), "Delta"),
        (lambda: Delta(1.0)(0.5), "no density"),
        (lambda: Delta(-1.0), "z_max"),
        (lambda: jax.jit(lambda z: Table(z, VALUES)(0.3))(Z), "traced"),
        (lambda: jax.jit(lambda z: KernelDensity(z, 0.1)(0.3))(Z), "z_max"),
        (lambda: jax.jit(lambda b: KernelDensity(Z, b)(0.3))(0.1), "scale"),
    ],
)
def test_refusals(make: Callable[[], object], words: str) -> None:
    with pytest.raises(DistributionError, match=words):
        make()
