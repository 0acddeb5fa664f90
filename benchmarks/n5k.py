"""The challenge of Leonard et al. 2023 (arXiv:2212.04291), N5K: 120 spectra at 103 multipoles.

Ten samples of lenses and five of sources of the tenth year of LSST, of three widths in redshift
(the data set n5k in VOLVELLE_DATA), against spectra by brute force. Delta chi2 is that of the
challenge: the Gaussian covariance of 0.4 of the sky, 40 lenses and 27 sources per square arcminute.
What a value computes anew: distances, P(k, z) between the nodes of a table, kernels, spectra. The
gradient is in 15 parameters: three of the cosmology, amplitude and tilt of P, and ten biases.
CCL's FKEM runs in the same call, on the same core. Writes docs/benchmarks/n5k.md.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

PAGE = ROOT / "docs" / "benchmarks" / "n5k.md"
CALLS = 20
LOW = 200.0  # multipole up to which the challenge asks for accuracy
PEERS = "| FKEM, in the challenge | 0.19 / 0.80 / 4.9 | 5.2 / 18 / 31 | 0.96 |\n"
PEERS += "| matter, in the challenge | 0.15 / 0.10 / 0.41 | 16 / 14 / 21 | 6.5 |"


def memory() -> float:
    """Largest memory of this process so far [GB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def ours(folder: Path, width: str) -> dict[str, float]:
    """Accuracy, times [s of a processor] and memory [GB] of this package."""
    import jax
    import jax.numpy as jnp

    import challenge
    from volvelle.power import TabulatedPower
    from volvelle.probes import angular_cl

    jax.config.update("jax_enable_x64", True)
    ell, truth = challenge.reference(folder, width)
    table, tracers = np.load(folder / "pk.npz"), challenge.tracers(folder, width)
    pairs = np.triu_indices(len(tracers))

    def spectra(theta: jax.Array) -> jax.Array:
        omega_b, omega_cdm, h, amplitude, tilt = theta[:5]
        cosmology = challenge.COSMOLOGY.replace(omega_b=omega_b, omega_cdm=omega_cdm, h=h)
        power = table["pk_nl"] * amplitude * (table["k"] / 0.05) ** tilt
        model = TabulatedPower(table["k"], table["z"], power)
        found = angular_cl(cosmology, ell, tracers, model)
        factors = jnp.concatenate([theta[5:], jnp.ones(challenge.SOURCES)])
        return found.values * (factors[pairs[0]] * factors[pairs[1]])[:, None]

    universe = challenge.COSMOLOGY
    centre = [universe.omega_b, universe.omega_cdm, universe.h, 1.0, 0.0, *[1.0] * challenge.LENSES]
    theta = jnp.asarray(centre)
    before = time.process_time()
    lowered = jax.jit(spectra).lower(theta)
    tables = time.process_time() - before
    result = {"tables": tables}
    result["compiling"], result["value"], values = _timed(lowered.compile, theta)
    cl = np.zeros(truth.shape)
    cl[:, pairs[0], pairs[1]] = cl[:, pairs[1], pairs[0]] = np.asarray(values).T
    chi2 = challenge.delta_chi2(folder, cl, ell, truth)
    result["low"], result["all"] = float(chi2[ell <= LOW].sum()), float(chi2.sum())
    result["memory"] = memory()

    def misfit(theta: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum((spectra(theta) / values - 0.99) ** 2)

    both = jax.jit(jax.value_and_grad(misfit)).lower(theta)
    result["compiling_gradient"], result["gradient"], _ = _timed(both.compile, theta)
    result["memory_gradient"] = memory()
    return result


def _timed(compile_: object, theta: object) -> tuple[float, float, object]:
    """Compiling, the least of many calls [s of a processor], and what a call gives."""
    import jax

    before = time.process_time()
    compiled = compile_()  # type: ignore[operator]
    compiling = time.process_time() - before
    found = jax.block_until_ready(compiled(theta))
    times = []
    for n in range(CALLS):
        point = jax.block_until_ready(theta * (1.0 + 1e-5 * n))  # type: ignore[operator]
        before = time.process_time()
        jax.block_until_ready(compiled(point))
        times.append(time.process_time() - before)
    return compiling, min(times), found


def ccl(folder: Path, width: str) -> dict[str, float]:
    """Accuracy and time of CCL, by FKEM to l = 200 and by Limber's approximation from there."""
    import pyccl

    import challenge

    ell, truth = challenge.reference(folder, width)
    table, read = np.load(folder / "pk.npz"), np.load(folder / f"kernels_{width}width.npz")
    a = 1.0 / (1.0 + table["z"][::-1])
    warnings.simplefilter("ignore", pyccl.CCLWarning)  # that it takes the kernels' own nodes
    before = time.process_time()
    power = {name: {"a": a, "k": table["k"]} for name in ("pk_lin", "pk_nl")}
    for name, each in power.items():
        each["delta_matter:delta_matter"] = table[name][::-1]
    universe = pyccl.CosmologyCalculator(
        Omega_c=0.3156 - 0.0492,
        Omega_b=0.0492,
        h=0.6727,
        n_s=0.9645,
        A_s=2.12107e-9,
        pk_linear=power["pk_lin"],
        pk_nonlin=power["pk_nl"],
    )
    tracers = []
    for kernel in read["kernels_cl"]:
        tracers.append(pyccl.Tracer())
        tracers[-1].add_tracer(universe, kernel=(read["chi_cl"], kernel))
    for kernel in read["kernels_sh"]:
        tracers.append(pyccl.Tracer())
        tracers[-1].add_tracer(
            universe, kernel=(read["chi_sh"], kernel), der_bessel=-1, der_angles=2
        )
    cl = np.zeros(truth.shape)
    for i, j in zip(*np.triu_indices(len(tracers)), strict=True):
        found = pyccl.angular_cl(
            universe,
            tracers[i],
            tracers[j],
            ell,
            l_limber=int(LOW),
            non_limber_integration_method="FKEM",
            limber_integration_method="qag_quad",
        )
        cl[:, i, j] = cl[:, j, i] = found
    taken = time.process_time() - before
    chi2 = challenge.delta_chi2(folder, cl, ell, truth)
    return {"low": float(chi2[ell <= LOW].sum()), "all": float(chi2.sum()), "value": taken}


def page(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """The page of results, by code and width."""

    def row(code: str, key: str, shape: str) -> str:
        return " / ".join(format(each[key], shape) for each in found[code].values())

    text = ["# N5K: spectra without Limber's approximation", ""]
    text += [(__doc__ or "").split("\n\n", 1)[1].strip(), "", "Full / half / quarter width:", ""]
    text += [f"| | Delta chi2, l <= {LOW:g} | all l | a value, all l [s] |", "|---|---|---|---|"]
    for name, code in (("Volvelle", "ours"), ("CCL, FKEM", "ccl")):
        value = row(code, "value", ".3f" if code == "ours" else ".1f")
        text += [f"| {name} | {row(code, 'low', '.3f')} | {row(code, 'all', '.2f')} | {value} |"]
    text += [PEERS, "", "| Volvelle | |", "|---|---|"]
    for name, key, shape in (
        ("tables that know no cosmology, once [s]", "tables", ".1f"),
        ("compiling the value [s]", "compiling", ".1f"),
        ("value and gradient in 15 parameters [s]", "gradient", ".3f"),
        ("compiling the gradient [s]", "compiling_gradient", ".1f"),
        ("memory with the value [GB]", "memory", ".2f"),
        ("memory with the gradient [GB]", "memory_gradient", ".2f"),
    ):
        text += [f"| {name} | {row('ours', key, shape)} |"]
    text += ["", "Times are processor seconds on one core of this machine, and those of the two"]
    text += ["codes in the challenge as its paper has them. That of the tables includes tracing."]
    return "\n".join(text) + "\n"


def main() -> None:
    folder = Path(os.environ["VOLVELLE_DATA"]) / "n5k"
    if len(sys.argv) > 1:
        code, width = sys.argv[1:]
        print(json.dumps({"ours": ours, "ccl": ccl}[code](folder, width)))
        return
    found: dict[str, dict[str, dict[str, float]]] = {"ours": {}, "ccl": {}}
    for width in ("full", "half", "quarter"):
        for code in found:
            command = [sys.executable, __file__, code, width]  # memory is that of one of them
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[code][width] = json.loads(done.stdout.splitlines()[-1])
            print(code, width, found[code][width], flush=True)
    PAGE.write_text(page(found))
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
