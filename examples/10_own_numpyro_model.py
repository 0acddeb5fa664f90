"""A model of one's own in numpyro around Volvelle's theory: priors, parameters, mass matrix.

    python examples/10_own_numpyro_model.py
    python examples/10_own_numpyro_model.py --mass dense

A bin of lenses and one of sources, with simulated data. S8 is sampled in the place of sigma8,
shifts of the redshifts in units of their priors, and the mass matrix has a block of amplitudes and
one of shifts; everything that numpyro can say can be said here. What comes out is
judged by Volvelle's diagnostics: it ends with 1 if it has not converged. It takes about a minute.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from numpyro.infer import MCMC, NUTS, init_to_value

from volvelle.cosmology import Cosmology
from volvelle.inference import diagnose
from volvelle.power import EisensteinHu, Halofit
from volvelle.probes import NumberCounts, Shifted, Smail, WeakLensing, angular_cl

ELL = np.geomspace(30.0, 1000.0, 8)
LENSES, SOURCES = (2.0, 4.0, 0.4), (2.0, 1.5, 0.7)
PAIRS = [(0, 0), (0, 1), (1, 1)]  # clustering, shear around lenses, shear
TRUTH = {"S8": 0.82, "Omega_cdm": 0.26, "bias": 1.5}
SHIFT = 0.01  # width of the prior of a shift in redshift
ERROR = 0.06  # of every spectrum, relative
BLOCKS = [("S8", "Omega_cdm", "bias"), ("shift",)]
POWER = Halofit(EisensteinHu())
R_HAT, ESS = 1.05, 100.0


def spectra(s8: Array, omega_cdm: Array, bias: Array, shift: Array) -> Array:
    """The three spectra at eight l [3, 8]; ``shift`` [2] of the bins in redshift."""
    omega_b, h = 0.0485, 0.68
    omega_m = omega_cdm + omega_b
    universe = Cosmology.from_parameters(
        {
            "Omega_cdm": omega_cdm,
            "Omega_b": omega_b,
            "h": h,
            "sigma8": s8 / jnp.sqrt(omega_m / 0.3),
            "n_s": 0.97,
            "tau_reio": 0.06,
            "m_nu": 0.0,
        }
    )
    bins = [Smail(*each, z_max=2.5) for each in (LENSES, SOURCES)]
    moved = [Shifted(each, shift[i]) for i, each in enumerate(bins)]
    tracers = [NumberCounts(moved[0], bias), WeakLensing(moved[1])]
    found = angular_cl(universe, ELL, tracers, POWER, pairs=PAIRS, limber="always")
    return found.values


def model(data: Array, errors: Array) -> None:
    """Priors, parameters and likelihood, as numpyro has them."""
    s8 = numpyro.sample("S8", dist.TruncatedNormal(0.8, 0.1, low=0.5, high=1.1))
    omega_cdm = numpyro.sample("Omega_cdm", dist.Uniform(0.1, 0.5))
    bias = numpyro.sample("bias", dist.LogNormal(np.log(1.5), 0.3))
    # in units of its width: the sampler sees one, whatever the prior says
    shift = numpyro.sample("shift", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    theory = spectra(s8, omega_cdm, bias, SHIFT * shift)
    numpyro.deterministic("sigma8", s8 / jnp.sqrt((omega_cdm + 0.0485) / 0.3))
    numpyro.sample("spectra", dist.Normal(theory, errors).to_event(2), obs=data)


def main() -> int:
    """Simulate, sample, say how it went; 0 when converged."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mass", choices=["dense", "block", "diagonal"], default="block")
    parser.add_argument("--draws", type=int, default=300, help="per chain")
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    truth = jax.jit(spectra)(*(jnp.asarray(v) for v in TRUTH.values()), jnp.zeros(2))
    errors = ERROR * truth
    data = truth + errors * jax.random.normal(jax.random.key(given.seed), truth.shape)
    mass = {"dense": True, "block": BLOCKS, "diagonal": False}[given.mass]
    start = init_to_value(values={**TRUTH, "shift": jnp.zeros(2)})
    kernel = NUTS(model, dense_mass=mass, max_tree_depth=5, init_strategy=start)
    chains = MCMC(
        kernel,
        num_warmup=given.warmup,
        num_samples=given.draws,
        num_chains=2,
        chain_method="vectorized",
        progress_bar=False,
    )
    begun = time.monotonic()
    fields = ("diverging", "num_steps")
    chains.run(jax.random.key(given.seed + 1), data, errors, extra_fields=fields)
    seconds = time.monotonic() - begun
    return report(chains, seconds)


def report(chains: MCMC, seconds: float) -> int:
    """The diagnostics, and 1 where they say no."""
    drawn = chains.get_samples(group_by_chain=True)
    names = [*TRUTH, "sigma8", "shift_lenses", "shift_sources"]
    columns = [np.asarray(drawn[name]) for name in (*TRUTH, "sigma8")]
    samples = np.stack([*columns, *np.moveaxis(np.asarray(drawn["shift"]), -1, 0)], axis=-1)
    found = diagnose(tuple(names), samples)
    extra = {name: np.asarray(v) for name, v in chains.get_extra_fields().items()}
    print(f"{'':13} {'mean':>8} {'sigma':>8} {'truth':>8} {'R-hat':>7} {'ESS':>6}")
    for i, name in enumerate(names):
        x = samples[:, :, i]
        true = f"{TRUTH[name]:8.4f}" if name in TRUTH else " " * 8
        print(
            f"{name:13} {x.mean():8.4f} {x.std():8.4f} {true} "
            f"{found.r_hat[i]:7.4f} {found.ess[i]:6.0f}"
        )
    steps, diverged = int(extra["num_steps"].sum()), int(extra["diverging"].sum())
    print(
        f"{seconds:.0f} s, {steps} gradients for the draws, {diverged} divergences, "
        f"worst ESS per gradient {100 * found.ess_min / steps:.2f} per cent"
    )
    converged = found.converged(R_HAT, ESS) and diverged == 0
    print("converged" if converged else "NOT CONVERGED: do not use these numbers")
    return 0 if converged else 1


if __name__ == "__main__":
    sys.exit(main())
