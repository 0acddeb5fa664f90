"""Angular spectra of galaxies and their shapes, as functions of two parameters of the universe."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from volvelle.cosmology import Cosmology
from volvelle.power import EisensteinHu
from volvelle.probes import (
    AngularSpectra,
    BlockCovariance,
    NumberCounts,
    Smail,
    WeakLensing,
    angular_cl,
    gaussian_covariance,
    shape_noise,
    shot_noise,
)

NAMES = ("Omega_cdm", "sigma8")
VALUES = np.array([0.2644, 0.811])
ELL = np.geomspace(10.0, 1000.0, 20)
TRACERS = [
    WeakLensing(Smail(2.0, 2.0, 0.6, z_max=3.0)),
    WeakLensing(Smail(2.0, 2.0, 1.0, z_max=3.0)),
    NumberCounts(Smail(2.0, 2.0, 0.5, z_max=3.0), bias=1.5),
]
NOISE = [shape_noise(10.0, 0.26), shape_noise(10.0, 0.26), shot_noise(10.0)]
POWER = EisensteinHu()


def spectra(x: Array) -> AngularSpectra:
    cosmology = Cosmology(
        Omega_cdm=x[0], sigma8=x[1], Omega_b=0.0493, h=0.6736, n_s=0.9649, tau_reio=0.06, m_nu=0.0
    )
    return angular_cl(cosmology, ELL, TRACERS, POWER, limber="always")


def mean(x: Array) -> Array:
    return spectra(x).values


def covariance(x: Array) -> BlockCovariance:
    return gaussian_covariance(spectra(x), NOISE, 0.1)


def fixed_covariance() -> BlockCovariance:
    return jax.jit(covariance)(jnp.asarray(VALUES))
