"""What cannot be: an error of its own where it is known, and NaN where JAX traces it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.cosmology import (
    Cosmology,
    ExpansionError,
    NeutrinoError,
    ParameterError,
    ScaleFactorError,
    comoving_distance,
    growth_factor,
    hubble,
    planck18,
)
from volvelle.power import (
    EisensteinHu,
    PowerError,
    RedshiftError,
    TableError,
    TabulatedPower,
    WavenumberError,
    linear_power,
    scale_dependent_growth,
    scale_dependent_growth_rate,
    sigma_r,
)
from volvelle.probes import (
    AngularSpectra,
    CovarianceError,
    DistributionError,
    Fu,
    Histogram,
    KernelDensity,
    MultipoleError,
    NumberCounts,
    Smail,
    Table,
    WeakLensing,
    angular_cl,
    cap_window,
    gaussian_covariance,
    shot_noise,
)

BASE = planck18()
MODEL = EisensteinHu()
TABLE = TabulatedPower([1e-3, 1e-2, 1e-1, 1.0], [0.0, 1.0], np.ones((2, 4)))
Z = np.linspace(0.0, 2.0, 5)


def distance(**changes: Any) -> jax.Array:
    return comoving_distance(BASE.replace(**changes), 0.5)


def amplitude(**changes: Any) -> jax.Array:
    return linear_power(BASE.replace(**{"A_s": None} | changes), 0.1, 1.0, MODEL)


def tabulated(value: Any) -> jax.Array:
    """A table with one P that is given."""
    values = jnp.stack([jnp.asarray(value, dtype=float), *jnp.ones(7)]).reshape(2, 4)
    table = TabulatedPower([1e-3, 1e-2, 1e-1, 1.0], [0.0, 1.0], values)
    return linear_power(BASE, 2e-3, 0.9, table)


def fractions(value: Any) -> jax.Array:
    cosmology = Cosmology(h=0.7, Omega_b=value, Omega_cdm=0.25, A_s=2e-9, n_s=1.0, tau_reio=0.06)
    return hubble(cosmology, 0.5)


def spectra(ell: Any, tracer: Any) -> jax.Array:
    return angular_cl(BASE, ell, [tracer], MODEL).values


def covariance(noise: Any = 1.0, f_sky: Any = 0.5) -> jax.Array:
    values = jnp.ones((1, 2))
    found = AngularSpectra(jnp.asarray([10.0, 20.0]), values, 0.0 * values, ((0, 0),))
    return gaussian_covariance(found, jnp.reshape(noise, (1,)), f_sky).blocks


Case = tuple[Callable[[Any], jax.Array], Any, Any, type[Exception]]
CASES: dict[str, Case] = {
    # what is asked, a value that cannot be, one that can, the error
    "negative baryons": (lambda x: distance(omega_b=x), -0.02, 0.02, ParameterError),
    "negative dark matter": (lambda x: distance(omega_cdm=x), -0.1, 0.1, ParameterError),
    "negative fraction": (fractions, -0.05, 0.05, ParameterError),
    "negative h": (lambda x: distance(h=x), -0.7, 0.7, ParameterError),
    "growth of negative matter": (
        lambda x: growth_factor(BASE.replace(omega_cdm=x), 0.5),
        -0.01,
        0.1,
        ParameterError,
    ),
    "power of negative matter": (
        lambda x: linear_power(BASE.replace(omega_cdm=x), 0.1, 1.0, MODEL),
        -0.01,
        0.1,
        ParameterError,
    ),
    "negative masses": (lambda x: distance(m_nu=x), -0.1, 0.1, ParameterError),
    "masses below a hierarchy": (
        lambda x: distance(m_nu=x, neutrino_hierarchy="normal"),
        0.05,
        0.06,
        NeutrinoError,
    ),
    "fewer neutrinos than have mass": (lambda x: distance(N_eff=x), 0.9, 1.1, NeutrinoError),
    "time below zero": (lambda x: comoving_distance(BASE, x), -0.5, 0.5, ScaleFactorError),
    "time of expansion below zero": (lambda x: hubble(BASE, x), -0.5, 2.0, ScaleFactorError),
    "time after today": (lambda x: growth_factor(BASE, x), 1.5, 0.5, ScaleFactorError),
    "time of power": (lambda x: linear_power(BASE, 0.1, x, MODEL), -0.5, 0.5, RedshiftError),
    "wavenumber beyond a table": (
        lambda x: linear_power(BASE, x, 1.0, TABLE),
        2.0,
        0.5,
        WavenumberError,
    ),
    "wavenumber below zero": (
        lambda x: linear_power(BASE, x, 1.0, TABLE),
        -0.1,
        0.1,
        WavenumberError,
    ),
    "time at which there is no universe": (
        lambda x: hubble(BASE.replace(Omega_k=0.9, w0=-1.5), x),
        3.0,
        1.0,
        ExpansionError,
    ),
    "growth through times at which there is none": (
        lambda x: growth_factor(BASE.replace(Omega_k=x, omega_cdm=0.01, omega_b=0.01), 0.5),
        -0.9,
        0.0,
        ExpansionError,
    ),
    "negative A_s": (lambda x: amplitude(A_s=x), -2e-9, 2e-9, ParameterError),
    "negative sigma8": (lambda x: amplitude(sigma8=x), -0.8, 0.8, ParameterError),
    "no radius": (lambda x: sigma_r(BASE, x, 1.0, MODEL), 0.0, 8.0, PowerError),
    "negative radius": (lambda x: sigma_r(BASE, x, 1.0, MODEL), -8.0, 8.0, PowerError),
    "growth beyond a table": (
        lambda x: scale_dependent_growth(BASE, x, 0.9, "matter", TABLE),
        2.0,
        0.5,
        WavenumberError,
    ),
    "growth before a table": (
        lambda x: scale_dependent_growth(BASE, 0.1, x, "matter", TABLE),
        0.1,
        0.9,
        RedshiftError,
    ),
    "growth rate beyond a table": (
        lambda x: scale_dependent_growth_rate(BASE, x, 0.9, "matter", TABLE),
        2.0,
        0.5,
        WavenumberError,
    ),
    "growth rate after today": (
        lambda x: scale_dependent_growth_rate(BASE, 0.1, x, "matter", MODEL),
        1.5,
        0.9,
        RedshiftError,
    ),
    "a table of negative power": (tabulated, -1.0, 1.0, TableError),
    "a table of no power": (tabulated, 0.0, 1.0, TableError),
    "negative bandwidth": (
        lambda x: KernelDensity([0.3, 0.6], x, scale=0.1)(0.5),
        -0.1,
        0.1,
        DistributionError,
    ),
    "n(z) that does not integrate": (
        lambda x: Smail(x, 1.5, 0.3)(0.5),
        -1.5,
        2.0,
        DistributionError,
    ),
    "n(z) of a negative scale": (lambda x: Smail(2.0, 1.5, x)(0.5), -0.3, 0.3, DistributionError),
    "Fu's n(z) that does not integrate": (
        lambda x: Fu(x, 3.0, 1.0)(0.5),
        -0.5,
        0.5,
        DistributionError,
    ),
    "n(z) of nothing": (lambda x: Table(Z, x * np.ones(5))(0.5), 0.0, 1.0, DistributionError),
    "negative n(z)": (
        lambda x: Table(Z, jnp.asarray([0.0, 1.0, 3.0, x, 0.0]) if _traced(x) else [0, 1, 3, x, 0])(
            0.5
        ),
        -0.5,
        0.5,
        DistributionError,
    ),
    "negative counts": (
        lambda x: Histogram([0.0, 1.0, 2.0], jnp.stack([jnp.asarray(x), jnp.asarray(3.0)]))(0.5),
        -0.5,
        0.5,
        DistributionError,
    ),
    "negative weights": (
        lambda x: KernelDensity([0.3, 0.6], 0.1, jnp.stack([jnp.asarray(x), jnp.asarray(3.0)]))(
            0.5
        ),
        -0.5,
        0.5,
        DistributionError,
    ),
    "shear without quadrupole": (
        lambda x: spectra(jnp.reshape(jnp.asarray(x), (1,)), WeakLensing(Smail(2.0, 1.5, 0.5))),
        1.0,
        2.0,
        MultipoleError,
    ),
    "counts at negative multipoles": (
        lambda x: spectra(jnp.reshape(jnp.asarray(x), (1,)), NumberCounts(Smail(2.0, 1.5, 0.5))),
        -1.0,
        0.0,
        MultipoleError,
    ),
    "counts of a bad n(z)": (
        lambda x: spectra([20.0], NumberCounts(Smail(x, 1.5, 0.5))),
        -1.5,
        2.0,
        DistributionError,
    ),
    "negative noise": (lambda x: covariance(noise=x), -3.0, 3.0, CovarianceError),
    "more than the sky": (lambda x: covariance(f_sky=x), 1.5, 0.5, CovarianceError),
    "a cap beyond the sky": (lambda x: cap_window(x)[1:9], 1.5, 0.5, CovarianceError),
    "no objects": (shot_noise, 0.0, 1.0, CovarianceError),
}


def _traced(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str) -> None:
    ask, bad, good, error = CASES[name]
    with pytest.raises(error) as caught:
        ask(bad)
    assert type(caught.value) is error and "\n" not in str(caught.value)
    compiled = jax.jit(ask)
    assert np.all(np.isfinite(compiled(good)))
    assert np.all(np.isnan(compiled(bad)))
