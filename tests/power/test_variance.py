"""Variances against CLASS and SciPy, and the public functions' refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import simpson

import volvelle.power as vp
from power_references import BASE, arrays, check_gradients, made
from volvelle.boltzmann import POWER_K, POWER_Z, load_classy
from volvelle.cosmology import Cosmology, to_class

CONVERGED = 1e-6
CLASS = 1e-4
"""Relative; CLASS's own integral, and the table's 256 wavenumbers to 10/Mpc."""
LEARNED = 5e-4
"""Half of the learned power's own 1e-3."""


def test_converged() -> None:
    """Against Simpson's rule over 400,000 wavenumbers to 1000/Mpc."""
    spectrum = made(arrays(vp.EisensteinHu()), arrays(BASE))
    k = np.geomspace(1e-6, 1e3, 400_001)
    power = np.asarray(spectrum(k, np.ones_like(k)))
    for r in (0.3, 2.0, 8.0, 30.0, 100.0):
        x = k * r
        window = np.where(x < 1e-2, 1.0 - x**2 / 10.0, 3.0 * (np.sin(x) - x * np.cos(x)) / x**3)
        exact = np.sqrt(simpson(k**3 * power * window**2 / (2.0 * np.pi**2), x=np.log(k)))
        found = vp.sigma_r(BASE, r, 1.0, vp.EisensteinHu())
        assert found == pytest.approx(float(exact), rel=CONVERGED), r


def test_against_class() -> None:
    model = load_classy(None).Class()
    cosmology = BASE.replace(m_nu=0.3)
    model.set({**to_class(cosmology), "output": "mPk", "P_k_max_1/Mpc": 20.0, "z_max_pk": 4.0})
    model.compute()
    shape = (len(POWER_Z), len(POWER_K))
    matter, cb = (
        np.reshape(read(POWER_K.copy(), POWER_Z.copy(), shape[1], shape[0], False), shape)
        for read in (model.get_pk_array, model.get_pk_cb_array)
    )
    table = vp.TabulatedPower(POWER_K, POWER_Z, matter, cb)
    assert vp.sigma8(cosmology, 1.0, table) == pytest.approx(model.sigma8(), rel=CLASS)
    assert vp.sigma8(cosmology, 1.0, table, "cb") == pytest.approx(model.sigma8_cb(), rel=CLASS)
    for r in (2.0, 8.0, 30.0):
        for z in (0.0, 0.7, 3.0):
            found = vp.sigma_r(cosmology, r, 1.0 / (1.0 + z), table)
            assert found == pytest.approx(model.sigma(r, z), rel=CLASS), (r, z)
    model.struct_cleanup()


@pytest.mark.parametrize("curvature", [-0.1, -0.03])
def test_of_closed_universes(curvature: float) -> None:
    """Whose first mode is beyond the learned spectrum's first wavenumber."""
    closed = BASE.replace(Omega_k=curvature)
    model = load_classy(None).Class()
    model.set({**to_class(closed), "output": "mPk", "P_k_max_1/Mpc": 10.0, "z_max_pk": 2.0})
    model.compute()
    assert vp.sigma8(closed, 1.0) == pytest.approx(model.sigma8(), rel=LEARNED)
    assert vp.sigma_r(closed, 12.0, 0.5) == pytest.approx(model.sigma(12.0, 1.0), rel=LEARNED)
    model.struct_cleanup()
    slope = jax.grad(lambda w: vp.sigma8(closed.replace(Omega_k=w), 1.0))(curvature)
    step = 1e-4
    ends = [vp.sigma8(closed.replace(Omega_k=curvature + s), 1.0) for s in (0.0, step)]
    assert slope == pytest.approx(float(ends[1] - ends[0]) / step, rel=1e-2)
    assert np.isnan(jax.jit(lambda a: vp.sigma8(closed, a))(1e-5))


def test_elementwise() -> None:
    r, a = np.array([[2.0], [8.0]]), np.array([1.0, 0.5, 0.2])
    many = vp.sigma_r(BASE, r, a, vp.EisensteinHu())
    assert many.shape == (2, 3)
    assert many[1, 2] == pytest.approx(float(vp.sigma_r(BASE, 8.0, 0.2, vp.EisensteinHu())))
    radius = 8.0 / BASE.h
    eight = vp.sigma8(BASE, a, vp.EisensteinHu())
    np.testing.assert_allclose(eight, vp.sigma_r(BASE, radius, a, vp.EisensteinHu()), rtol=1e-12)


def test_gradients() -> None:
    def f(cosmology: Cosmology) -> jax.Array:
        return jnp.log(vp.sigma8(cosmology, jnp.asarray([1.0, 0.5]), vp.EisensteinHu()))

    check_gradients(f, [BASE, BASE.replace(m_nu=0.0)], 1e-6)


def test_what_is_refused() -> None:
    linear, nonlinear = vp.EisensteinHu(), vp.Halofit(vp.EisensteinHu())
    for function in (vp.sigma8, lambda c, a, m: vp.sigma_r(c, 8.0, a, m)):
        with pytest.raises(vp.ModelError, match="Halofit is non-linear; sigma"):
            function(BASE, 1.0, nonlinear)
        with pytest.raises(vp.RedshiftError, match="a is 1e-05"):
            function(BASE, 1e-5, linear)
        assert np.isnan(jax.jit(lambda a, f=function: f(BASE, a, linear))(1e-5))
    with pytest.raises(vp.PowerError, match=r"radius is 0\.0; expected values above 0"):
        vp.sigma_r(BASE, 0.0, 1.0, linear)
    with pytest.raises(vp.ModelError, match="Halofit is non-linear; ask nonlinear_power"):
        vp.linear_power(BASE, 1.0, 1.0, nonlinear)
    with pytest.raises(vp.ModelError, match="EisensteinHu is linear; give Halofit"):
        vp.nonlinear_power(BASE, 1.0, 1.0, linear)
    with pytest.raises(vp.ModelError, match="species is 'dark'; expected one of matter, cb"):
        vp.linear_power(BASE, 1.0, 1.0, linear, "dark")  # pyright: ignore[reportArgumentType]
    with pytest.raises(vp.WavenumberError, match="k is 1e-08"):
        vp.linear_power(BASE, 1e-8, 1.0, linear)


def test_a_cosmology_is_no_new_program() -> None:
    """Other parameters, given as plain numbers, run what is compiled."""
    from volvelle.power.functions import _spectrum

    vp.linear_power(BASE, 0.1, 1.0, vp.EisensteinHu())
    before = _spectrum._cached._cache_size()  # pyright: ignore[reportFunctionMemberAccess]
    power = [vp.linear_power(BASE.replace(h=h), 0.1, 1.0, vp.EisensteinHu()) for h in (0.6, 0.7)]
    assert power[0] != power[1]
    assert _spectrum._cached._cache_size() == before  # pyright: ignore[reportFunctionMemberAccess]


def test_nonlinear_power_is_the_models() -> None:
    model = vp.Halofit(vp.EisensteinHu())
    k, a = np.array([0.01, 0.3]), np.array([1.0, 0.6])
    spectrum = made(arrays(model), arrays(BASE))
    np.testing.assert_allclose(vp.nonlinear_power(BASE, k, a, model), spectrum(k, a), rtol=1e-12)
    assert np.isnan(jax.jit(lambda k: vp.nonlinear_power(BASE, k, 1.0, model))(1e3))
    with pytest.raises(vp.WavenumberError, match="k is 1000"):
        vp.nonlinear_power(BASE, 1e3, 1.0, model)
