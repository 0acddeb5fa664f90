"""Without float64: what holds, to which accuracy, and what refuses."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.compute import PrecisionError
from volvelle.cosmology import (
    Cosmology,
    age,
    angular_diameter_distance,
    comoving_distance,
    growth_factor,
    growth_rate,
    lookback_time,
    luminosity_distance,
    planck18,
    sound_horizon,
    transverse_comoving_distance,
)
from volvelle.power import EisensteinHu, Halofit, linear_power, sigma8
from volvelle.probes import Alignment, NumberCounts, Smail, WeakLensing, angular_cl

GROWTH, SPECTRA = 1e-5, 1e-5
"""Of D and f; of C_l over sqrt(C_ii C_jj) (measured: 7e-7)."""
SLOPES = 1e-4
"""Of the derivatives of ln C_l, relative to the largest in a parameter (measured: 4e-6)."""
DISTANCES = (
    comoving_distance,
    transverse_comoving_distance,
    angular_diameter_distance,
    luminosity_distance,
    lookback_time,
    age,
    sound_horizon,
)


@pytest.mark.parametrize("function", DISTANCES, ids=lambda f: f.__name__)
def test_distances_and_times_refuse(function: Callable[..., jax.Array]) -> None:
    with jax.enable_x64(False):
        for call in (function, jax.jit(function)):
            with pytest.raises(PrecisionError, match="needs float64 and JAX computes in float32"):
                call(planck18(), 0.5)


def test_the_learned_power_refuses() -> None:
    """Its sums of large weights lose percents in float32."""
    ell, sources = np.array([100.0]), WeakLensing(Smail(alpha=2.0, beta=1.5, z0=0.6))
    with jax.enable_x64(False):
        for call in (
            lambda: linear_power(planck18(), 0.1, 1.0),
            lambda: sigma8(planck18(), 1.0),
            lambda: angular_cl(planck18(), ell, [sources]),
            lambda: jax.jit(lambda h: linear_power(planck18().replace(h=h), 0.1, 1.0))(0.7),
        ):
            with pytest.raises(PrecisionError, match="learned linear power spectrum needs float64"):
                call()


def computed() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """D and f; C_l of galaxies and shapes, with halofit; the derivatives of their logarithms."""
    a = jnp.asarray([1e-3, 0.1, 0.5, 1.0])
    growth = jnp.stack([f(planck18(), a) for f in (growth_factor, growth_rate)])
    ell, model = np.geomspace(10.0, 2000.0, 10), Halofit(EisensteinHu())

    def spectra(theta: jax.Array) -> jax.Array:
        cosmology = Cosmology(
            h=theta[0],
            Omega_cdm=theta[1],
            Omega_b=0.05,
            sigma8=theta[2],
            n_s=0.96,
            tau_reio=0.06,
            m_nu=0.0,
        )
        lenses = NumberCounts(Smail(alpha=2.0, beta=1.5, z0=0.3), 1.5)
        sources = WeakLensing(Smail(alpha=2.0, beta=1.5, z0=0.6), Alignment(theta[3]))
        return angular_cl(cosmology, ell, [lenses, sources], model, limber="always").values

    def both(theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        return spectra(theta), jax.jacfwd(lambda t: jnp.log(spectra(t)))(theta)

    values, slopes = jax.jit(both)(jnp.asarray([0.7, 0.25, 0.8, 0.5]))
    return np.asarray(growth), np.asarray(values), np.asarray(slopes)


def test_growth_and_angular_spectra(tmp_path: Path) -> None:
    """In a process of its own: programs of both precisions do not mix."""
    path = tmp_path / "single.npz"
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import numpy as np; "
        f"from test_single_precision import computed; np.savez({str(path)!r}, *computed())"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    with np.load(path) as file:
        growth, found, rough = (file[f"arr_{n}"] for n in range(3))
    exact, truth, slopes = computed()
    assert found.dtype == np.float32 and truth.dtype == np.float64
    np.testing.assert_allclose(growth, exact, rtol=GROWTH)
    size = np.sqrt(truth[[0, 0, 2]] * truth[[0, 2, 2]])
    np.testing.assert_allclose(found / size, truth / size, atol=SPECTRA)
    scale = np.max(np.abs(slopes), axis=(0, 1))
    np.testing.assert_allclose(rough / scale, slopes / scale, atol=SLOPES)
