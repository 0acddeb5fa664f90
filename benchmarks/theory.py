"""The 3x2pt of Campagne et al. 2023, section 5.1, on one core: 45 spectra at 50 multipoles.

Five lens and four source bins of DES Y1 (the data set des-y1-3x2pt in VOLVELLE_DATA), 21
parameters: six of the cosmology, two of intrinsic alignments, five biases, four multiplicative
biases, four shifts of n(z). Power: Eisenstein & Hu 1998 with the halofit of Takahashi et al. 2012,
normalised by sigma8, made anew in every call. n(z) are the survey's tables, and beside it, as
jax-cosmo has no tables, sums of Gaussians of 0.01 around their redshifts, the same for both.
jax-cosmo computes the same in this process, in turns with this package; without it its columns are
left out. It has no radiation and no neutrinos; here neutrinos are massless.

    pip install jax-cosmo "setuptools<81"
    python benchmarks/theory.py

Then the spectra of 1000 cosmologies by ``jax.lax.map``, and both without float64. Writes
docs/benchmarks/theory.md.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import h5py
import jax
import jax.numpy as jnp
import numpy as np

from volvelle.cosmology import Cosmology
from volvelle.power import EisensteinHu, Halofit
from volvelle.probes import (
    Alignment,
    KernelDensity,
    NumberCounts,
    Shifted,
    Table,
    WeakLensing,
    angular_cl,
)

SINGLE = "--single"
jax.config.update("jax_enable_x64", SINGLE not in sys.argv)
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "theory.md"
ELL = np.geomspace(10.0, 3000.0, 50)
COSMOLOGICAL = ("Omega_cdm", "sigma8", "Omega_b", "w0", "h", "n_s")
CENTRE = np.array(
    [0.2545, 0.801, 0.0485, -1.0, 0.682, 0.971, 0.5, 0.1]
    + [1.2, 1.4, 1.6, 1.8, 2.0]
    + [0.01] * 4
    + [0.001, -0.019, 0.009, -0.018]
)
WIDTH, Z_MAX = 0.01, 4.0
"""Of the Gaussians, and the end of jax-cosmo's integrals."""
ROUNDS, THEIR_ROUNDS = 100, 5
MANY, CHUNK = 1000, 20
LIMITS = {"value": "1/50", "value and gradient": "2 values", "compiling": "20 s", "memory": "2 GB"}

Function = Callable[[jax.Array], jax.Array]


def samples() -> tuple[list[tuple], list[tuple]]:
    """z and n(z) of the lens and of the source bins."""
    path = Path(os.environ["VOLVELLE_DATA"]) / "des-y1-3x2pt" / "sacc_data.hdf5"
    with h5py.File(path) as file:
        read = {
            name: (each["z"][:], each["nz"][:])
            for name, each in ((n, file["tracer"][n]) for n in file["tracer"])
        }
    return [read[f"lens{n}"] for n in range(5)], [read[f"src{n}"] for n in range(4)]


def gaussians(z: np.ndarray, n: np.ndarray) -> KernelDensity:
    """The sum of Gaussians around those redshifts of a table that have objects."""
    kept = n > 0.0
    return KernelDensity(z[kept], WIDTH, n[kept])


def own(distribution: Callable[..., Any]) -> Function:
    """C_l [45, 50] of the 21 parameters."""
    lenses, sources = ([distribution(*each) for each in group] for group in samples())
    model = Halofit(EisensteinHu())

    def spectra(theta: jax.Array) -> jax.Array:
        given = dict(zip(COSMOLOGICAL, theta, strict=False))
        cosmology = Cosmology(**given, tau_reio=0.06, m_nu=0.0)
        alignment, biases = Alignment(theta[6], theta[7]), theta[8:13]
        shears, shifts = theta[13:17], theta[17:21]
        tracers = [NumberCounts(n, biases[i]) for i, n in enumerate(lenses)]
        tracers += [
            WeakLensing(Shifted(n, shifts[i], 0.1), alignment, shears[i])
            for i, n in enumerate(sources)
        ]
        return angular_cl(cosmology, ELL, tracers, model, limber="always").values

    return spectra


def peer() -> tuple[str, Function] | str:
    """Name and function of jax-cosmo, or why it is not there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports pkg_resources
            import jax_cosmo as jc
            from jax_cosmo import angular_cl as projection
            from jax_cosmo import bias, probes, redshift
    except ImportError as error:
        return f"jax-cosmo is not installed here ({error})"
    groups = [
        [redshift.kde_nz(z, n, bw=WIDTH, zmax=Z_MAX) for z, n in group] for group in samples()
    ]

    def spectra(theta: jax.Array) -> jax.Array:
        given = dict(zip(("Omega_c", *COSMOLOGICAL[1:]), theta, strict=False))
        cosmology = jc.Cosmology(**given, Omega_k=0.0, wa=0.0)
        moved = [
            redshift.systematic_shift(n, theta[17 + i], zmax=Z_MAX) for i, n in enumerate(groups[1])
        ]
        both = [
            probes.NumberCounts(groups[0], [bias.constant_linear_bias(b) for b in theta[8:13]]),
            probes.WeakLensing(
                moved,
                ia_bias=bias.des_y1_ia_bias(theta[6], theta[7], 0.62),
                multiplicative_bias=list(theta[13:17]),
            ),
        ]
        return projection.angular_cl(cosmology, ELL, both)

    return f"jax-cosmo {jc.__version__}", spectra


def memory() -> float:
    """Largest memory of this process so far [GB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


class Measured:
    """A function, what compiling it took, and the times of its calls.

    Processor time on one thread, as other work may share the core.
    """

    def __init__(self, function: Callable[[jax.Array], object]) -> None:
        before, centre = time.process_time(), jnp.asarray(CENTRE)
        self.function: Callable[..., Any] = jax.jit(function).lower(centre).compile()
        self.compiling = time.process_time() - before
        self.memory = memory()
        self.times: list[float] = []
        self.call(0)
        self.times.clear()

    def call(self, number: int) -> Any:
        """Once more, at a point of its own."""
        point = jax.block_until_ready(jnp.asarray(CENTRE) * (1.0 + 1e-5 * number))
        before = time.process_time()
        result = jax.block_until_ready(self.function(point))
        self.times.append(time.process_time() - before)
        return result

    @property
    def seconds(self) -> float:
        """Of a call: the median."""
        return float(np.median(self.times))


def pair(spectra: Function) -> tuple[Measured, Measured]:
    """The value, and value and gradient of a misfit."""
    value = Measured(spectra)
    data = value.function(jnp.asarray(CENTRE) * 1.001)

    def misfit(theta: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum((spectra(theta) / data - 1.0) ** 2)

    return value, Measured(jax.value_and_grad(misfit))


def batch(spectra: Function) -> tuple[Callable[[jax.Array], jax.Array], jax.Array]:
    """Spectra of many cosmologies, ``CHUNK`` at a time, and their parameters."""
    rng = np.random.default_rng(1)
    points = CENTRE * (1.0 + 0.02 * rng.standard_normal((MANY, CENTRE.size)))
    return jax.jit(lambda all_: jax.lax.map(spectra, all_, batch_size=CHUNK)), jnp.asarray(points)


def time_batch(spectra: Function) -> tuple[np.ndarray, float]:
    """The spectra of many, and the least processor time of three calls [s]."""
    function, points = batch(spectra)
    values = np.asarray(function(points))
    times = []
    for _ in range(3):
        before = time.process_time()
        jax.block_until_ready(function(points))
        times.append(time.process_time() - before)
    return values, min(times)


def single(path: str) -> None:
    """Without float64: spectra of many, and the time, for the other process to read."""
    values, seconds = time_batch(own(Table))
    np.savez(path, values=values, seconds=seconds)


def difference(values: np.ndarray, truth: np.ndarray) -> float:
    """Largest, over sqrt(C_ii C_jj), of C_l [..., pairs, l] of nine tracers."""
    first, second = np.triu_indices(9)
    own_ = truth[..., first == second, :]
    size = np.sqrt(own_[..., first, :] * own_[..., second, :])
    return float(np.max(np.abs(values - truth) / size))


def main() -> None:
    start = memory()
    ours, kernels = pair(own(Table)), pair(own(gaussians))
    found = peer()
    theirs = None if isinstance(found, str) else pair(found[1])
    for number in range(ROUNDS):
        for each in (*ours, *kernels):
            each.call(number)
        if theirs and number < THEIR_ROUNDS:
            for each in theirs:
                each.call(number)
    text = ["# The 3x2pt of DES Y1: 45 spectra at 50 multipoles", ""]
    text += [(__doc__ or "").split("\n\n", 1)[1].strip().replace("``", "`"), ""]
    text += ["| | value | value and gradient | in values | compiling | memory |"]
    text += ["|---|---|---|---|---|---|"]
    table = [("n(z) as tables", ours), ("n(z) as Gaussians", kernels)]
    table += [(found[0], theirs)] if theirs else []
    for name, (value, both) in table:
        cells = [
            f"{1e3 * value.seconds:.2f} ms",
            f"{1e3 * both.seconds:.2f} ms",
            f"{both.seconds / value.seconds:.1f}",
            f"{value.compiling:.1f} s, {both.compiling:.1f} s",
            f"{both.memory:.2f} GB",
        ]
        text.append(f"| {name} | {' | '.join(cells)} |")
    text += [
        "",
        "Times are processor seconds on one core, the medians of calls in turns; memory is",
    ]
    text += [
        f"the process's largest until then ({start:.2f} GB at the start). Asked for: a value in"
    ]
    text += [
        "1/50 of jax-cosmo's time, value and gradient in two values, compiled in 20 s and 2 GB."
    ]
    if theirs:
        (one, two), (value, both) = kernels, theirs
        apart = difference(np.asarray(value.call(0)), np.asarray(one.call(0)))
        text += [
            "",
            f"jax-cosmo takes {value.seconds / one.seconds:.0f} times as long for a value,",
        ]
        text += [f"{both.seconds / two.seconds:.0f} times for value and gradient (n(z) as"]
        text += [
            f"Gaussians). The spectra differ by {100 * apart:.1f}% of sqrt(C_ii C_jj) at most."
        ]
    else:
        text += ["", f"{found}; install it as above."]
    spectra = own(Table)
    truth, seconds = time_batch(spectra)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "single.npz")
        subprocess.run([sys.executable, __file__, SINGLE, path], check=True)
        rough = dict(np.load(path))
    text += ["", f"## {MANY} cosmologies", ""]
    text += [f"By `jax.lax.map` of the function, {CHUNK} at a time.", ""]
    text += ["| | spectra of a cosmology per second and core | error over sqrt(C_ii C_jj) |"]
    text += ["|---|---|---|"]
    one = np.stack([np.asarray(ours[0].function(p)) for p in batch(spectra)[1][:5]])
    text += [f"| float64 | {MANY / seconds:.0f} | {difference(truth[:5], one):.0e} (one by one) |"]
    text += [f"| float32 | {MANY / float(rough['seconds']):.0f} | "]
    text[-1] += f"{difference(rough['values'].astype(float), truth):.0e} |"
    text.append("")
    PAGE.write_text("\n".join(text))
    print("\n".join(text))


if __name__ == "__main__":
    single(sys.argv[-1]) if SINGLE in sys.argv else main()
