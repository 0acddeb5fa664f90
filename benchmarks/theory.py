"""The 3x2pt of Campagne et al. 2023, section 5.1, on one core: 45 spectra at 50 multipoles.

Five lens and four source bins of DES Y1 (the data set des-y1-3x2pt in VOLVELLE_DATA), 21
parameters: six of the cosmology, two of intrinsic alignments, five biases, four multiplicative
biases, four shifts of n(z). P(k, z) is a table of 1200 wavenumbers and 120 redshifts that is made
anew from the cosmology in every call and interpolated by cubics; its physics is left to
``volvelle.power``. Writes docs/benchmarks/theory.md: time of a value, of a value and gradient, of
compiling, and memory.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import h5py
import jax
import jax.numpy as jnp
import numpy as np

from volvelle.probes import Alignment, NumberCounts, Shifted, Table, WeakLensing, angular_cl

jax.config.update("jax_enable_x64", True)
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from sky import COSMOLOGY, Scaled, ccl_universe  # noqa: E402

PAGE = ROOT / "docs" / "benchmarks" / "theory.md"
ELL = np.geomspace(10.0, 3000.0, 50)
COSMOLOGICAL = ("omega_b", "omega_cdm", "h", "A_s", "n_s", "w0")
CENTRE = np.array(
    [0.0224, 0.12, 0.67, 2.1e-9, 0.965, -1.0, 0.5, 0.1]
    + [1.2, 1.4, 1.6, 1.8, 2.0]
    + [0.01] * 4
    + [0.001, -0.019, 0.009, -0.018]
)
CALLS = 100


def samples() -> tuple[list[Table], list[Table]]:
    """n(z) of the lens and of the source bins."""
    path = Path(os.environ["VOLVELLE_DATA"]) / "des-y1-3x2pt" / "sacc_data.hdf5"
    with h5py.File(path) as file:
        read = {name: file["tracer"][name][:] for name in file["tracer"]}
    tables = {name: Table(each["z"], each["nz"]) for name, each in read.items()}
    return [tables[f"lens{n}"] for n in range(5)], [tables[f"src{n}"] for n in range(4)]


def theory() -> Callable[[jax.Array], jax.Array]:
    """C_l [45, 50] of the 21 parameters."""
    lenses, sources = samples()
    _, _, lattice = ccl_universe()
    model = Scaled(lattice, COSMOLOGY)

    def spectra(theta: jax.Array) -> jax.Array:
        cosmology = COSMOLOGY.replace(**dict(zip(COSMOLOGICAL, theta, strict=False)))
        alignment, biases = Alignment(theta[6], theta[7]), theta[8:13]
        shears, shifts = theta[13:17], theta[17:21]
        tracers = [NumberCounts(n, biases[i]) for i, n in enumerate(lenses)]
        tracers += [
            WeakLensing(Shifted(n, shifts[i], 0.1), alignment, shears[i])
            for i, n in enumerate(sources)
        ]
        return angular_cl(cosmology, ELL, tracers, model, limber="always").values

    return spectra


def memory() -> float:
    """Largest memory of this process so far [GB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure(function: Callable[[jax.Array], object]) -> tuple[float, float]:
    """Processor time of tracing and compiling, and the least of many calls [s].

    Processor time on one thread, as other work may share the core.
    """
    theta = jnp.asarray(CENTRE)
    before = time.process_time()
    compiled = jax.jit(function).lower(theta).compile()
    compiling = time.process_time() - before
    jax.block_until_ready(compiled(theta))
    times = []
    for n in range(CALLS):
        point = jax.block_until_ready(theta * (1.0 + 1e-4 * n))
        before = time.process_time()
        jax.block_until_ready(compiled(point))
        times.append(time.process_time() - before)
    return compiling, min(times)


def main() -> None:
    spectra = theory()
    start = memory()
    value = measure(spectra)
    data = jax.jit(spectra)(jnp.asarray(CENTRE) * 1.01)

    def misfit(theta: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum((spectra(theta) / data - 1.0) ** 2)

    rows = [
        ("value", *value),
        ("value and gradient in 21 parameters", *measure(jax.value_and_grad(misfit))),
    ]
    text = ["# The 3x2pt of DES Y1: 45 spectra at 50 multipoles", ""]
    text += [(__doc__ or "").split("\n\n", 1)[1].strip(), ""]
    text += ["| | time [ms] | over the value | compiling [s] |", "|---|---|---|---|"]
    text += [
        f"| {name} | {1e3 * call:.2f} | {call / rows[0][2]:.1f} | {compiling:.1f} |"
        for name, compiling, call in rows
    ]
    text += ["", f"Memory: {memory():.2f} GB at most, {start:.2f} GB before the two were compiled."]
    text += ["Times are processor seconds on one core of this machine.", ""]
    PAGE.write_text("\n".join(text))
    print("\n".join(text))


if __name__ == "__main__":
    main()
