"""The simulated DES Y1 analysis of Campagne et al. 2023, section 5: 3x2pt with 21 parameters.

    python examples/13_mock_des_y1.py                      # NUTS
    python examples/13_mock_des_y1.py --method svi         # or any other; see docs/sampling.md
    python examples/13_mock_des_y1.py --figures  # figures 8 to 10, table 2

All 45 angular spectra of five lens and four source samples at 50 multipoles, 2250 numbers, with the
priors of their table 1; power by Eisenstein & Hu with halofit, as there. The data have noise of
their own. No method is tuned by hand. Everything that is finished is kept in the folder of the
output, and the command continues there. It needs the n(z) of the data set des-y1-3x2pt (2 MB,
fetched once).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(os.cpu_count() or 1))  # chains on every core

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import sacc
from jax import Array

mpl.use("Agg")

from volvelle.cosmology import Cosmology
from volvelle.data import MissingDataError, download, locate
from volvelle.inference import (
    HMC,
    MCLMC,
    NUTS,
    AdjustedMCLMC,
    AffineEnsemble,
    Chains,
    LaplaceApproximation,
    Method,
    Metropolis,
    Nested,
    NeuralTransport,
    Posterior,
    Variational,
    make_prior,
    sample,
)
from volvelle.likelihood import KINDS, TwoPoint, TwoPointData
from volvelle.power import EisensteinHu, Halofit
from volvelle.probes import (
    Alignment,
    KernelDensity,
    NumberCounts,
    Table,
    WeakLensing,
    angular_cl,
    gaussian_covariance,
    shape_noise,
    shot_noise,
)
from volvelle.report import Chain, chain_of, overlay

DATA = "des-y1-3x2pt"
ELL = np.geomspace(10.0, 1000.0, 50)
F_SKY, ELLIPTICITY, WIDTH, PIVOT = 0.25, 0.26, 0.01, 0.62
LENSES, SOURCES = tuple(f"lens{n}" for n in range(5)), tuple(f"src{n}" for n in range(4))
DENSITY = dict(zip((*LENSES, *SOURCES), (*[1.0] * 5, 1.47, 1.46, 1.50, 0.73), strict=True))
COSMOLOGICAL = ("Omega_cdm", "sigma8", "Omega_b", "w0", "h", "n_s")
POWER = Halofit(EisensteinHu())
BIASES = (1.2, 1.4, 1.6, 1.8, 2.0)
SHIFTS = ((0.001, 0.016), (-0.019, 0.013), (0.009, 0.011), (-0.018, 0.022))


def _flat(low: float, high: float) -> dict[str, Any]:
    return {"min": low, "max": high}


def _normal(loc: float, scale: float) -> dict[str, Any]:
    return {"dist": "norm", "loc": loc, "scale": scale}


# prior, true value, and about the width of the posterior
TABLE_1: Mapping[str, tuple[dict[str, Any], float, float]] = {
    "Omega_cdm": (_flat(0.1, 0.9), 0.2545, 0.01),
    "sigma8": (_flat(0.4, 1.0), 0.801, 0.01),
    "Omega_b": (_flat(0.03, 0.07), 0.0485, 0.005),
    "w0": (_flat(-2.0, -0.33), -1.0, 0.05),
    "h": (_flat(0.55, 0.91), 0.682, 0.04),
    "n_s": (_flat(0.87, 1.07), 0.971, 0.03),
    "A_IA": (_flat(-5.0, 5.0), 0.5, 0.1),
    "eta_IA": (_flat(-5.0, 5.0), 0.0, 0.5),
    **{f"bias_{n}": (_flat(0.8, 3.0), b, 0.02) for n, b in zip(LENSES, BIASES, strict=True)},
    **{f"m_{n}": (_normal(0.012, 0.023), 0.0, 0.01) for n in SOURCES},
    **{f"dz_{n}": (_normal(*s), 0.0, 0.005) for n, s in zip(SOURCES, SHIFTS, strict=True)},
}
# Those of Campagne et al. 2023; and the biases with sigma8, which they are correlated with.
BLOCKS = (("Omega_cdm", "sigma8", "Omega_b", "w0", "h"), tuple(f"bias_{n}" for n in LENSES))
ONE_BLOCK = ((*BLOCKS[0], "n_s", *BLOCKS[1]),)
METHODS: dict[str, tuple[Method, int, int]] = {
    "nuts": (NUTS(warmup=500, target_accept=0.8), 4, 2500),
    "nuts_blocks": (NUTS(warmup=500, target_accept=0.8, mass=BLOCKS), 4, 1000),
    "nuts_one_block": (NUTS(warmup=500, target_accept=0.8, mass=ONE_BLOCK), 4, 1000),
    "hmc": (HMC(warmup=500), 4, 1000),
    "metropolis": (Metropolis(warmup=6000, thin=20), 4, 1500),
    "ensemble": (AffineEnsemble(), 2, 500),
    "mclmc": (MCLMC(), 4, 500),
    "adjusted_mclmc": (AdjustedMCLMC(), 4, 1000),
    "svi": (Variational(guide="normal"), 4, 1000),
    "svi_bnaf": (Variational(guide="bnaf"), 4, 1000),
    "svi_spline": (Variational(guide="spline"), 4, 1000),
    "neural_transport": (NeuralTransport(Variational(guide="normal"), NUTS(warmup=200)), 4, 500),
    "nested": (Nested(), 4, 1000),
    "laplace": (LaplaceApproximation(), 4, 1000),
}
"""Method, chains and draws, by the names of this example."""
TITLES = {name: name.replace("_", " ") for name in METHODS} | {
    "nuts": "NUTS",
    "nuts_blocks": "NUTS, two blocks",
    "nuts_one_block": "NUTS, one block",
    "hmc": "HMC",
    "metropolis": "Metropolis",
    "svi": "SVI, normal",
    "svi_bnaf": "SVI, B-NAF",
    "svi_spline": "SVI, splines",
    "mclmc": "MCLMC",
    "adjusted_mclmc": "adjusted MCLMC",
}
FIGURES = ("metropolis", "nuts", "svi", "svi_bnaf", "neural_transport")
LEVELS = (0.30, 0.68, 0.90)
R_HAT, ESS = 1.01, 400.0
SECONDS = "seconds.json"
LABELS = {
    "Omega_cdm": r"\Omega_\mathrm{c}",
    "sigma8": r"\sigma_8",
    "Omega_b": r"\Omega_\mathrm{b}",
    "w0": "w_0",
    "n_s": r"n_\mathrm{s}",
    "A_IA": "A",
    "eta_IA": r"\eta",
    **{f"bias_{n}": f"b_{i + 1}" for i, n in enumerate(LENSES)},
    **{f"m_{n}": f"m_{i + 1}" for i, n in enumerate(SOURCES)},
    **{f"dz_{n}": rf"\Delta z_{i + 1}" for i, n in enumerate(SOURCES)},
}


def samples() -> dict[str, Table]:
    """n(z) of the survey, smoothed by Gaussians of ``WIDTH``."""
    try:
        found = locate(DATA)
    except MissingDataError:
        found = download(DATA)
    file = found.files["sacc_data.hdf5"]
    tracers = sacc.Sacc.load_hdf5(str(file)).tracers
    tables = {}
    for name in DENSITY:
        z, n = np.asarray(tracers[name].z), np.asarray(tracers[name].nz)
        smooth = KernelDensity(z[n > 0.0], WIDTH, n[n > 0.0])
        grid = np.arange(smooth.z_min, smooth.z_max, WIDTH / 4.0)
        tables[name] = Table(grid, np.asarray(smooth(jnp.asarray(grid))), scale=WIDTH / 2.5)
    return tables


def universe(x: Array) -> Cosmology:
    """Of the six cosmological parameters; without massive neutrinos."""
    return Cosmology(**dict(zip(COSMOLOGICAL, x, strict=False)), tau_reio=0.06, m_nu=0.0)


def theory(x: Array) -> dict[str, Any]:
    """What the likelihood reads."""
    return {"cosmology": universe(x)}


def likelihood(seed: int = 42) -> TwoPoint:
    """The 45 spectra at the true parameters, with noise of their Gaussian covariance."""
    tables = samples()
    truth = {name: value for name, (_, value, _) in TABLE_1.items()}
    fiducial = universe(jnp.asarray([truth[name] for name in COSMOLOGICAL]))
    tracers = [NumberCounts(tables[n], truth[f"bias_{n}"]) for n in LENSES]
    alignment = Alignment(truth["A_IA"], truth["eta_IA"], PIVOT)
    tracers += [WeakLensing(tables[n], alignment) for n in SOURCES]
    noise = [shot_noise(DENSITY[n]) for n in LENSES]
    noise += [shape_noise(DENSITY[n], ELLIPTICITY) for n in SOURCES]
    spectra = angular_cl(fiducial, ELL, tracers, POWER, limber="always")
    between = np.sqrt(ELL[1:] * ELL[:-1])
    edges = [ELL[0] ** 1.5 / ELL[1] ** 0.5, *between, ELL[-1] ** 1.5 / ELL[-2] ** 0.5]
    covariance = gaussian_covariance(spectra, jnp.stack(noise), F_SKY, edges=np.array(edges))
    names = tuple(tables)
    kinds = {(a, b): _kind(a, b) for a in names for b in names}
    pairs = [(names[i], names[j]) for i, j in np.asarray(spectra.pairs)]
    each = [(pair, ell) for pair in pairs for ell in ELL]
    data = TwoPointData(
        name="mock_des_y1",
        mean=np.asarray(spectra.values).ravel(),
        covariance=np.asarray(covariance.dense()),
        kinds=tuple(kinds[pair] for pair, _ in each),
        pairs=tuple(pair for pair, _ in each),
        at=np.array([ell for _, ell in each]),
        windows=(None,) * len(each),
        tracers=tables,
        fields={n: "counts" if n in LENSES else "shear" for n in names},
    )
    made = TwoPoint.from_data(data, POWER, pivot=PIVOT)
    noisy = made.whiten.scattered(made.data, jax.random.key(seed))
    return replace(made, data=noisy, simulated=True)


def _kind(first: str, second: str) -> Any:
    shear = (first in SOURCES) + (second in SOURCES)
    names = ("galaxy_density_cl", "galaxy_shearDensity_cl_e", "galaxy_shear_cl_ee")
    return KINDS[names[shear]]


def posterior() -> Posterior:
    """All 21 parameters with their priors; the n(z) of lenses do not move."""
    return Posterior(
        tuple(TABLE_1),
        tuple(make_prior(prior) for prior, _, _ in TABLE_1.values()),
        (likelihood(),),
        theory,
        len(COSMOLOGICAL),
        tuple((f"dz_{n}", 0.0) for n in LENSES),
    )


def run(target: Posterior, name: str, folder: Path) -> tuple[Chains, float]:
    """Chains by a method, and the seconds that they took (all runs together, where several)."""
    method, chains, draws = METHODS[name]
    begun, clock = time.monotonic(), folder / name / SECONDS
    found = sample(
        target,
        method,
        start=np.array([value for _, value, _ in TABLE_1.values()]),
        scale=np.array([width for _, _, width in TABLE_1.values()]),
        chains=chains,
        draws=draws,
        folder=folder / name,
        say=lambda text: print(f"  {text}", flush=True),
        watch=lambda done, d: print(
            f"  {done} draws: R-hat {d.r_hat_max:.3f}, worst ESS {d.ess_min:.0f}", flush=True
        ),
    )
    if not clock.exists():
        clock.write_text(json.dumps(time.monotonic() - begun))
    return found, float(json.loads(clock.read_text()))


def tell(name: str, found: Chains, seconds: float) -> bool:
    """What it cost and how well it went; whether the chains may be used."""
    seen = found.diagnostics
    print(f"{name}: {found.flat.shape[0]} samples in {seconds / 60.0:.1f} min")
    print(f"{'':12}{'mean':>9}{'sigma':>9}{'truth':>9}{'R-hat':>8}{'ESS':>7}")
    for i, parameter in enumerate(found.names):
        x = found.samples[..., i]
        print(
            f"{parameter:12}{x.mean():9.4f}{x.std():9.4f}{TABLE_1[parameter][1]:9.4f}"
            f"{seen.r_hat[i]:8.3f}{seen.ess[i]:7.0f}"
        )
    worst = 100.0 * seen.ess_min / max(found.draw_evaluations or found.evaluations, 1)
    print(
        f"{found.evaluations} evaluations, {found.gradients} with a gradient; "
        f"{found.divergences} divergences; worst ESS per evaluation of the draws {worst:.2f}%"
    )
    for fact, value in found.facts.items():
        print(f"{fact}: {value if isinstance(value, str) else f'{value:.4g}'}")
    if found.refused:
        print(f"REFUSED: {found.refused}")
    elif not seen.converged(R_HAT, ESS):
        print(f"NOT CONVERGED: R-hat {seen.r_hat_max:.3f}, worst ESS {seen.ess_min:.0f}")
    return not found.refused and seen.converged(R_HAT, ESS)


def drawable(found: Chains) -> Chain:
    """Chains with labels and the edges of their priors."""
    ranges = {
        name: (prior["min"], prior["max"])
        for name, (prior, _, _) in TABLE_1.items()
        if "min" in prior
    }
    return chain_of(found.names, found.samples, LABELS, ranges)


def figures(found: Mapping[str, Chains], folder: Path) -> None:
    """Figures 8 to 10 of the paper, each of those methods that it compares."""
    chains = {TITLES[name]: drawable(each) for name, each in found.items()}
    truth = {name: value for name, (_, value, _) in TABLE_1.items()}
    fast = TITLES["neural_transport"]
    four = ("Omega_cdm", "sigma8", "w0", "h")
    shown = {
        "figure_8": ([TITLES["metropolis"], TITLES["nuts"], fast], four),
        "figure_9": ([TITLES["metropolis"], TITLES["svi"], TITLES["svi_bnaf"]], four),
        "figure_10": (
            [TITLES["metropolis"], TITLES["nuts"], fast],
            tuple(f"bias_{n}" for n in LENSES),
        ),
    }
    for name, (titles, names) in shown.items():
        drawn = overlay({t: chains[t] for t in titles}, names, levels=LEVELS, truth=truth)
        drawn.savefig(folder / f"{name}.png", dpi=90)
        print(f"{folder / name}.png")


def table_2(found: Mapping[str, Chains]) -> str:
    """ESS of the cosmological and alignment parameters [% of the samples], as a table."""
    columns = (*COSMOLOGICAL, "A_IA", "eta_IA")
    lines = [f"| ESS [%] | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name in ("metropolis", "nuts", "neural_transport"):
        chains = found[name]
        ess = chains.diagnostics.ess / chains.flat.shape[0]
        cells = [f"{100.0 * ess[chains.names.index(column)]:.1f}" for column in columns]
        lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Run what is asked for; 0 if it may be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--method", choices=METHODS, default="nuts")
    parser.add_argument("--figures", action="store_true", help="figures 8 to 10 and table 2")
    parser.add_argument("--output", type=Path, default=Path("runs/mock-des-y1"))
    given = parser.parse_args()
    target = posterior()
    names = FIGURES if given.figures else (given.method,)
    found, good = {}, True
    for name in names:
        print(f"{TITLES[name]} ...", flush=True)
        found[name], seconds = run(target, name, given.output)
        good = tell(TITLES[name], found[name], seconds) and good
    if given.figures:
        figures(found, given.output)
        (given.output / "table_2.md").write_text(table_2(found) + "\n")
        print(table_2(found))
    else:
        path = given.output / f"{given.method}.png"
        truth = {name: value for name, (_, value, _) in TABLE_1.items()}
        drawn = overlay(
            {TITLES[given.method]: drawable(found[given.method])}, tuple(TABLE_1)[:13], truth=truth
        )
        drawn.savefig(path, dpi=110)
        print(path)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
