"""Eisenstein & Hu's fits against CCL, CLASS and what they have to do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import volvelle.power as vp
from power_references import BASE, arrays, check_gradients, made
from volvelle.boltzmann import load_classy
from volvelle.cosmology import Cosmology, ParameterError, growth_factor, to_ccl, to_class

CCL = 2e-5
"""Relative; asked are 1e-4 (measured: 5e-6, CCL's own splines)."""
CLASS = {"wiggles": 0.065, "small scales": 0.045, "sigma8": 0.012}
"""Relative distance to CLASS: at 0.02 < k < 0.5/Mpc, at k up to 10/Mpc, of sigma8. It is the
fit's own (measured: 5.6%, 3.6%, 0.9%)."""
MASSLESS = BASE.replace(m_nu=0.0, A_s=None, sigma8=0.81)
CASES = {
    "flat": MASSLESS,
    "open": MASSLESS.replace(Omega_k=0.05),
    "dark energy": MASSLESS.replace(w0=-0.8, wa=-0.5),
    "baryons": MASSLESS.replace(omega_b=0.03, h=0.8, T_cmb=2.7),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("wiggles", [True, False])
def test_against_ccl(name: str, wiggles: bool) -> None:
    ccl = pytest.importorskip("pyccl")
    given = {n: v for n, v in to_ccl(CASES[name]).items() if n != "T_ncdm"}
    shape = "eisenstein_hu" if wiggles else "eisenstein_hu_nowiggles"
    other = ccl.Cosmology(**given, transfer_function=shape, matter_power_spectrum="linear")
    k = np.geomspace(1e-4, 10.0, 300)
    for z in (0.0, 1.0, 3.0):
        a = 1.0 / (1.0 + z)
        power = vp.linear_power(CASES[name], k, a, vp.EisensteinHu(wiggles=wiggles))
        np.testing.assert_allclose(power, ccl.linear_matter_power(other, k, a), rtol=CCL)


@pytest.mark.parametrize("change", [{}, {"Omega_k": 0.05}, {"Omega_k": -0.05}, {"m_nu": 0.3}])
def test_amplitude_against_class(change: dict[str, float]) -> None:
    """With A_s: small scales are right at every curvature and with massive neutrinos."""
    cosmology = BASE.replace(**change)
    model = load_classy(None).Class()
    model.set({**to_class(cosmology), "output": "mPk", "P_k_max_1/Mpc": 10.0, "z_max_pk": 2.1})
    model.compute()
    k = np.geomspace(0.02, 9.9, 60)
    for z in (0.0, 2.0):
        truth = np.asarray([model.pk_lin(float(one), z) for one in k])
        off = np.abs(
            vp.linear_power(cosmology, k, 1.0 / (1.0 + z), vp.EisensteinHu()) / truth - 1.0
        )
        massive = 6.0 * 0.022 if "m_nu" in change else 0.0  # what large scales lack, 6 f_nu
        assert np.max(off[k < 0.5]) < CLASS["wiggles"] + massive
        assert np.max(off[k >= 0.5]) < CLASS["small scales"]
    s8 = float(vp.sigma8(cosmology, 1.0, vp.EisensteinHu()))
    assert s8 == pytest.approx(model.sigma8(), rel=CLASS["sigma8"])
    model.struct_cleanup()


@pytest.mark.parametrize("name", CASES)
def test_sigma8_is_what_was_asked(name: str) -> None:
    for wiggles in (True, False):
        found = vp.sigma8(CASES[name], 1.0, vp.EisensteinHu(wiggles=wiggles))
        assert found == pytest.approx(0.81, rel=1e-12)


def test_limits() -> None:
    """T is 1 on large scales, P grows as D^2, scales as A_s, and N_eff = 3.044 is the paper's."""
    spectrum = made(arrays(vp.EisensteinHu()), arrays(BASE))
    assert spectrum.transfer(jnp.asarray(1e-6)) == pytest.approx(1.0, abs=1e-4)
    k, a = np.array([1e-3, 0.1, 5.0]), np.array([0.01, 0.4, 0.9])
    growth = growth_factor(BASE, a)
    np.testing.assert_allclose(spectrum(k, a) / spectrum(k, np.ones(3)), growth**2, rtol=1e-10)
    double = made(arrays(vp.EisensteinHu()), arrays(BASE.replace(A_s=2.0 * BASE.A_s)))
    np.testing.assert_allclose(double(k, a) / spectrum(k, a), 2.0, rtol=1e-12)
    more = vp.linear_power(BASE.replace(N_eff=4.0), k, 1.0, vp.EisensteinHu())
    assert more[2] < 0.9 * spectrum(k, np.ones(3))[2]
    smooth = vp.linear_power(BASE, k[[0, 2]], 1.0, vp.EisensteinHu(wiggles=False))
    np.testing.assert_allclose(smooth, spectrum(k, np.ones(3))[jnp.asarray([0, 2])], rtol=0.03)


@pytest.mark.parametrize("wiggles", [True, False])
def test_gradients(wiggles: bool) -> None:
    k, a = np.array([1e-3, 0.05, 0.2, 3.0]), np.array([1.0, 0.8, 0.5, 0.1])

    def f(cosmology: Cosmology) -> jax.Array:
        return jnp.log(vp.EisensteinHu(wiggles=wiggles).spectrum(cosmology)(k, a))

    check_gradients(f, [BASE, BASE.replace(m_nu=0.0)], 1e-6)


def test_gradients_with_sigma8() -> None:
    names = ("omega_b", "omega_cdm", "h", "sigma8", "n_s", "w0", "Omega_k")
    k = np.array([1e-3, 0.05, 0.2, 3.0])

    def f(cosmology: Cosmology) -> jax.Array:
        return jnp.log(vp.EisensteinHu().spectrum(cosmology)(k, jnp.asarray(0.6)))

    check_gradients(f, [MASSLESS], 1e-6, names)


def test_what_only_a_solver_knows() -> None:
    with pytest.raises(ParameterError, match="given by theta_star_100"):
        vp.linear_power(BASE.replace(h=None, theta_star_100=1.04), 0.1, 1.0, vp.EisensteinHu())
