"""Universes for power spectra, CAMB's answers for them, and gradients against differences."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from volvelle.cosmology import Cosmology, matter_fraction, planck18, to_camb
from volvelle.power import Model, Spectrum, TabulatedPower
from volvelle.power.nonlinear import NonLinearSpectrum

BASE = planck18()
CASES: dict[str, Cosmology] = {
    "planck": BASE,
    "massless": BASE.replace(m_nu=0.0),
    "dark energy": BASE.replace(w0=-0.8, wa=-0.5),
    "open": BASE.replace(Omega_k=0.05),
    "closed": BASE.replace(Omega_k=-0.05),
    "smooth": BASE.replace(A_s=1.4e-9),
    "clumpy": BASE.replace(A_s=3.2e-9, omega_cdm=0.13),
    "light neutrinos": BASE.replace(m_nu=0.15, neutrino_hierarchy="degenerate"),
    "heavy neutrinos": BASE.replace(m_nu=0.4, neutrino_hierarchy="degenerate"),
}
K = np.geomspace(1e-4, 28.0, 420)
"""Wavenumbers of the linear tables [1/Mpc]: CAMB's own are less dense where P is smooth."""
Z = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.3, 1.6, 2.0, 2.5, 3.0, 3.3])
PARAMETERS = (
    "omega_b", "omega_cdm", "h", "A_s", "n_s", "m_nu", "N_eff", "w0", "wa", "Omega_k", "T_cmb",
)  # fmt: skip
VERSIONS = ("takahashi", "original", "mead2020", "mead2020_feedback")
LOG10_T_AGN = 7.9


class Power(NamedTuple):
    """CAMB's linear power on ``K`` and ``Z``, and P / P_linear on its own wavenumbers."""

    matter: np.ndarray
    cb: np.ndarray
    k: np.ndarray
    boosts: dict[str, np.ndarray]


def camb_parameters(cosmology: Cosmology, k_max: float) -> Any:
    import camb

    given = to_camb(cosmology)
    params = camb.CAMBparams()
    params.set_cosmology(
        H0=given["H0"], ombh2=given["ombh2"], omch2=given["omch2"], omk=given["omk"],
        TCMB=given["TCMB"], YHe=given["YHe"], tau=given["tau"], mnu=0.06,
    )  # fmt: skip
    for name, value in given.items():
        if name.startswith(("omnu", "num_nu", "nu_mass", "share")):
            setattr(params, name, value)
    params.set_dark_energy(w=given["w"], wa=given["wa"], dark_energy_model="ppf")
    params.InitPower.set_params(As=given["As"], ns=given["ns"])
    params.set_matter_power(redshifts=list(Z), kmax=k_max, silent=True)
    params.WantCls = params.Want_CMB = False
    params.NonLinear = camb.model.NonLinear_none
    return params


@lru_cache(maxsize=len(CASES))
def camb_power(name: str) -> Power:
    """One run of CAMB; its non-linear versions differ in nothing but the factor over linear."""
    import camb

    params = camb_parameters(CASES[name], 1.05 * K[-1])
    results = camb.get_transfer_functions(params)
    units = {"hubble_units": False, "k_hunit": False}
    linear = {}
    for species, variable in (("matter", "delta_tot"), ("cb", "delta_nonu")):
        table = results.get_matter_power_interpolator(
            nonlinear=False, var1=variable, var2=variable, **units
        )
        linear[species] = np.asarray(table.P(Z, K))
    boosts = {}
    for version in VERSIONS:
        model = results.Params.NonLinearModel
        model.set_params(halofit_version=version, HMCode_logT_AGN=LOG10_T_AGN)
        results.power_spectra_from_transfer(params.InitPower, silent=True)
        k, z, with_it = results.get_linear_matter_power_spectrum(nonlinear=True, **units)
        _, _, without = results.get_linear_matter_power_spectrum(nonlinear=False, **units)
        np.testing.assert_allclose(z, Z, atol=1e-12)
        boosts[version] = with_it / without
    return Power(linear["matter"], linear["cb"], np.asarray(k), boosts)


def arrays(tree: Any) -> Any:
    """Numbers as arrays, for one trace."""
    return jax.tree.map(lambda x: jnp.asarray(x, dtype=float), tree)


MASS_STEP = 1e-6
"""Of one-sided differences at m_nu = 0 [eV]."""


def one_sided(
    f: Callable[[jax.Array], jax.Array], at: jax.Array, n: int, step: float = MASS_STEP
) -> np.ndarray:
    """Slope in the n-th parameter, from above, of second order: a negative sum of masses does not
    exist."""
    one, two = (f(at.at[n].add(d * step)) - f(at) for d in (1.0, 2.0))
    return np.asarray(4.0 * one - two) / (2.0 * step)


def check_gradients(
    f: Callable[[Cosmology], jax.Array],
    centres: Sequence[Cosmology],
    tolerance: float,
    names: Sequence[str] = PARAMETERS,
    step: float = 1e-3,
) -> None:
    """Reverse gradients of every number of ``f``, against differences of fourth order in every
    parameter, one-sided ones at m_nu = 0."""

    def vector(theta: jax.Array) -> jax.Array:
        return f(centres[0].replace(**dict(zip(names, theta, strict=True))))

    value, slope = jax.jit(vector), jax.jit(jax.jacrev(vector))
    for centre in centres:
        _check_gradients(value, slope, centre, tolerance, names, step)


def _check_gradients(
    value: Callable[[jax.Array], jax.Array],
    slope: Callable[[jax.Array], jax.Array],
    centre: Cosmology,
    tolerance: float,
    names: Sequence[str],
    relative: float,
) -> None:
    at = jnp.asarray([float(getattr(centre, name)) for name in names])
    exact = np.asarray(slope(at))
    assert np.all(np.isfinite(exact))
    for n, name in enumerate(names):
        if name == "m_nu" and at[n] == 0.0:
            side = one_sided(value, at, n)
            np.testing.assert_allclose(exact[:, n], side, rtol=1e-3, atol=1e-5)
            continue
        step = relative * (abs(float(at[n])) or 2.0)
        one, two = (
            (value(at.at[n].add(d * step)) - value(at.at[n].add(-d * step))) / (2.0 * d * step)
            for d in (1.0, 2.0)
        )
        difference = np.asarray((4.0 * one - two) / 3.0)
        scale = np.max(np.abs(difference))
        np.testing.assert_allclose(
            exact[:, n], difference, rtol=tolerance, atol=tolerance * scale, err_msg=name
        )


@eqx.filter_jit
def made(model: Model, cosmology: Cosmology) -> Spectrum:
    """A model's spectrum, compiled once for all cosmologies."""
    return model.spectrum(cosmology)


@eqx.filter_jit
def boost(spectrum: NonLinearSpectrum, k: jax.Array, a: jax.Array) -> jax.Array:
    """P / P_linear."""
    return spectrum.boost(k, a)


def against_camb(
    name: str, version: str, model: Callable[[Model], Model]
) -> tuple[np.ndarray, np.ndarray]:
    """P over CAMB's less 1, shape (z, k), for 0.005 < k <= 10 h/Mpc (below, CAMB leaves all
    linear) and z <= 3; and Omega_m(z)."""
    cosmology, truth = CASES[name], camb_power(name)
    table = TabulatedPower(K, Z, truth.matter, truth.cb)
    spectrum = made(arrays(model(table)), arrays(cosmology))
    h, late = float(cosmology.h), Z <= 3.0
    here = (truth.k > 0.005 * h) & (truth.k <= 10.0 * h)
    k = np.pad(truth.k[here], (0, 256 - here.sum()), mode="edge")  # one shape for all
    own = boost(spectrum, *np.meshgrid(k, 1.0 / (1.0 + Z[late])))[:, : here.sum()]
    matter = np.asarray(matter_fraction(cosmology, 1.0 / (1.0 + Z[late])))
    return np.asarray(own) / truth.boosts[version][late][:, here] - 1.0, matter
