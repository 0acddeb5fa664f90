"""Ten ways to a posterior and Cobaya's Metropolis on the same three problems.

    python benchmarks/methods.py                              # what is not there yet, and the page
    python benchmarks/methods.py --case mock --method nuts    # one of them
    python benchmarks/methods.py --page                       # the page of what is there

`mock`: the simulated DES Y1 3x2pt of Campagne et al. 2023, section 5.1, 21 parameters
(examples/13_mock_des_y1.py). `hundred`: the same data, and 79 more parameters that bend the n(z) of
all nine samples by ten per cent. `bimodal`: the shear of one shallow sample, whose intrinsic
alignments explain the same power twice; four parameters, and a quadrature that knows the truth.

Every method runs in a process of its own, compiling included, on all cores; what is counted is the
processor time of all threads, as other work may share the machine. Nothing is tuned by hand. What
is finished is kept in runs/methods; the page is docs/benchmarks/methods.md with its figure.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(os.cpu_count() or 1))

import argparse
import importlib.util
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from jax import Array

mpl.use("Agg")
import matplotlib.pyplot as plt

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
    bridge,
    diagnose,
    load_chains,
    make_prior,
    sample,
    save_chains,
)
from volvelle.likelihood import KINDS, NuisanceParameter, TwoPoint, TwoPointData
from volvelle.probes import (
    Alignment,
    Smail,
    Table,
    Tracer,
    WeakLensing,
    angular_cl,
    gaussian_covariance,
    shape_noise,
)

ROOT = Path(__file__).parents[1]
FOLDER, PAGE = ROOT / "runs" / "methods", ROOT / "docs" / "benchmarks" / "methods.md"
FIGURE = PAGE.with_name("methods.png")
REFERENCE, COBAYA = "reference", "cobaya"
R_HAT = 1.01


def _example() -> ModuleType:
    path = ROOT / "examples" / "13_mock_des_y1.py"
    spec = importlib.util.spec_from_file_location("mock_des_y1", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MOCK = _example()


@dataclass(frozen=True)
class Case:
    """A posterior, a point of it and about its widths."""

    posterior: Posterior
    start: np.ndarray
    scale: np.ndarray
    priors: Mapping[str, Mapping[str, Any]]


def mock() -> Case:
    """21 parameters."""
    table = MOCK.TABLE_1
    start, scale = (np.array([row[n] for row in table.values()]) for n in (1, 2))
    return Case(MOCK.posterior(), start, scale, {name: row[0] for name, row in table.items()})


class Bent(TwoPoint):
    """Two-point functions of samples whose n(z) are bent: n (1 + sum_k a_k hat_k(z))."""

    modes: tuple[tuple[str, int], ...] = eqx.field(static=True, default=())

    @property
    def nuisance(self) -> dict[str, NuisanceParameter]:
        own = {
            f"bend_{name}_{k}": NuisanceParameter({"dist": "norm", "loc": 0.0, "scale": 1.0}, 0, "")
            for name, number in self.modes
            for k in range(number)
        }
        return super().nuisance | own

    def sky(self, nuisance: Mapping[str, Any]) -> dict[str, Tracer]:
        tables = {}
        for name, number in self.modes:
            table = self.tracers[name]
            ends = np.linspace(table.z[0], table.z[-1], number + 2)
            hats = [np.interp(table.z, ends, row) for row in np.eye(number + 2)[1:-1]]
            heights = jnp.stack([nuisance[f"bend_{name}_{k}"] for k in range(number)])
            tables[name] = Table(
                table.z, table.values * (1.0 + BEND * heights @ np.array(hats)), scale=table.scale
            )
        return TwoPoint.sky(eqx.tree_at(lambda s: s.tracers, self, tables), nuisance)


BEND = 0.1
MODES = tuple((name, 3 if name in MOCK.LENSES else 16) for name in MOCK.DENSITY)


def hundred() -> Case:
    """100 parameters."""
    base = mock()
    plain: Any = base.posterior.likelihoods[0]
    fields = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    bent = Bent(**fields, modes=MODES)
    more = {n: p.prior for n, p in bent.nuisance.items() if n.startswith("bend_")}
    posterior = replace(
        base.posterior,
        names=(*base.posterior.names, *more),
        priors=(*base.posterior.priors, *map(make_prior, more.values())),
        likelihoods=(bent,),
    )
    zeros = np.zeros(len(more))
    start, scale = np.append(base.start, zeros), np.append(base.scale, 1.0 + zeros)
    return Case(posterior, start, scale, {**base.priors, **more})


SHALLOW = {"sigma8": 0.8, "Omega_cdm": 0.2545, "A_IA": 0.3, "m_shear": 0.0}
SHALLOW_PRIORS: dict[str, dict[str, Any]] = {
    "sigma8": {"dist": "norm", "loc": 0.8, "scale": 0.02},
    "Omega_cdm": {"dist": "norm", "loc": 0.2545, "scale": 0.01},
    "A_IA": {"min": -5.0, "max": 5.0},
    "m_shear": {"dist": "norm", "loc": 0.0, "scale": 0.02},
}
SHALLOW_ELL = np.geomspace(30.0, 1000.0, 12)
BETWEEN = 1.25
"""A_IA between the two modes."""


def shallow_universe(x: Array) -> dict[str, Any]:
    """Of sigma8 and Omega_cdm."""
    others = jnp.array([0.0485, -1.0, 0.682, 0.971])
    return {"cosmology": MOCK.universe(jnp.concatenate([x[1::-1], others]))}


def bimodal() -> Case:
    """Four parameters, two modes."""
    redshifts = np.linspace(0.0, 1.5, 301)
    shape = Smail(2.0, 4.0, 0.35)  # pyright: ignore[reportCallIssue]  (properties for variables)
    table = Table(redshifts, np.asarray(shape(jnp.asarray(redshifts))))
    truth = shallow_universe(jnp.array([SHALLOW["sigma8"], SHALLOW["Omega_cdm"]]))["cosmology"]
    tracer = WeakLensing(table, Alignment(SHALLOW["A_IA"], 0.0, MOCK.PIVOT))
    spectra = angular_cl(truth, SHALLOW_ELL, [tracer], MOCK.POWER, limber="always")
    between = np.sqrt(SHALLOW_ELL[1:] * SHALLOW_ELL[:-1])
    noise = jnp.stack([shape_noise(3.0, MOCK.ELLIPTICITY)])
    covariance = gaussian_covariance(spectra, noise, 0.05, edges=np.array([25.0, *between, 1200.0]))
    number = len(SHALLOW_ELL)
    data = TwoPointData(
        name="shallow",
        mean=np.asarray(spectra.values).ravel(),
        covariance=np.asarray(covariance.dense()),
        kinds=(KINDS["galaxy_shear_cl_ee"],) * number,
        pairs=(("shear", "shear"),) * number,
        at=SHALLOW_ELL,
        windows=(None,) * number,
        tracers={"shear": table},
        fields={"shear": "shear"},
    )
    made = TwoPoint.from_data(data, MOCK.POWER, pivot=MOCK.PIVOT)
    noisy = made.whiten.scattered(made.data, jax.random.key(5))
    posterior = Posterior(
        tuple(SHALLOW_PRIORS),
        tuple(make_prior(prior) for prior in SHALLOW_PRIORS.values()),
        (replace(made, data=noisy, simulated=True),),
        shallow_universe,
        2,
        (("eta_IA", 0.0), ("dz_shear", 0.0)),
    )
    start, scale = np.array(list(SHALLOW.values())), np.array([0.02, 0.01, 0.2, 0.02])
    return Case(posterior, start, scale, SHALLOW_PRIORS)


CASES: dict[str, Callable[[], Case]] = {"mock": mock, "hundred": hundred, "bimodal": bimodal}
NORMAL = Variational(guide="normal")
LONG = NUTS(warmup=1000, target_accept=0.8)
METHODS: dict[str, dict[str, tuple[Method, int, int]]] = {
    "mock": {
        REFERENCE: (LONG, 4, 4000),
        **{name: MOCK.METHODS[name] for name in MOCK.METHODS if name != "nested"},
        "ensemble": (AffineEnsemble(warmup=1000), 2, 150),
        "nested": (Nested(live=200), 4, 1000),
    },
    "hundred": {
        REFERENCE: (LONG, 4, 4000),
        "nuts": (NUTS(warmup=500, target_accept=0.8), 4, 1000),
        "hmc": (HMC(warmup=500), 4, 1000),
        "metropolis": (Metropolis(warmup=20_000, thin=20), 4, 5000),
        "ensemble": (AffineEnsemble(warmup=1000), 2, 50),
        "mclmc": (MCLMC(), 4, 2000),
        "adjusted_mclmc": (AdjustedMCLMC(), 4, 1000),
        "svi": (NORMAL, 4, 1000),
        "neural_transport": (NeuralTransport(NORMAL, NUTS(warmup=200)), 4, 250),
        "laplace": (LaplaceApproximation(), 4, 1000),
    },
    "bimodal": {
        "nuts": (NUTS(), 4, 2000),
        "metropolis": (Metropolis(warmup=10_000, thin=20), 4, 4000),
        "ensemble": (AffineEnsemble(), 2, 500),
        "mclmc": (MCLMC(), 4, 2000),
        "adjusted_mclmc": (AdjustedMCLMC(), 4, 1000),
        "svi": (NORMAL, 4, 2000),
        "svi_bnaf": (Variational(guide="bnaf"), 4, 2000),
        "svi_spline": (Variational(guide="spline"), 4, 2000),
        "neural_transport": (NeuralTransport(NORMAL, NUTS(warmup=200)), 4, 1000),
        "nested": (Nested(), 4, 1000),
        "laplace": (LaplaceApproximation(), 4, 2000),
    },
}
PROPOSALS = {"mock": 40_000, "hundred": 60_000, "bimodal": 40_000}
"""Of each of four chains of Cobaya's."""
TITLES = MOCK.TITLES | {REFERENCE: "long NUTS", COBAYA: "Cobaya's Metropolis"}


def work(case_name: str, name: str) -> None:
    """Run one method, in this process, and keep what it found."""
    folder = FOLDER / case_name
    folder.mkdir(parents=True, exist_ok=True)
    case = CASES[case_name]()
    begun, processor = time.monotonic(), time.process_time()
    if name == COBAYA:
        found = by_cobaya(case, PROPOSALS[case_name])
    else:
        method, chains, draws = METHODS[case_name][name]
        found = sample(
            case.posterior,
            method,
            start=case.start,
            scale=case.scale,
            chains=chains,
            draws=draws,
            say=lambda text: print(f"  {text}", flush=True),
        )
    seconds = time.process_time() - processor
    facts = {"core_seconds": seconds, "wall_seconds": time.monotonic() - begun}
    if not found.refused and name in ("nuts", REFERENCE):
        evidence = bridge(case.posterior, found, seed=1)
        facts |= {"log_evidence": evidence.log_z, "log_evidence_error": evidence.error}
    save_chains(folder / f"{name}.safetensors", replace(found, facts={**found.facts, **facts}))
    print(f"{case_name}, {name}: {seconds:.0f} core seconds")


class Counted:
    """ln L as Cobaya calls it, and what ends a chain after so many calls."""

    def __init__(self, posterior: Posterior) -> None:
        self.names, self.calls, self.last = posterior.names, 0, 0
        self.log_like = jax.jit(lambda x: posterior.log_likelihood(x))

    def likelihood(self, **values: float) -> float:
        self.calls += 1
        value = float(self.log_like(jnp.array([values[name] for name in self.names])))
        return value if np.isfinite(value) else -np.inf

    def callback(self, sampler: Any) -> None:
        if self.calls > self.last:
            sampler.converged = True


def by_cobaya(case: Case, proposals: int) -> Chains:
    """Cobaya's Metropolis with its learned proposal, four chains one after another."""
    from cobaya.run import run

    names, counted = case.posterior.names, Counted(case.posterior)
    external = {"external": counted.likelihood, "input_params": list(names)}
    parameters = {}
    for i, name in enumerate(names):
        width = float(case.scale[i])
        parameters[name] = {
            "prior": case.priors[name],
            "ref": {"dist": "norm", "loc": float(case.start[i]), "scale": 0.5 * width},
            "proposal": 0.5 * width,
        }
    samples, log_prob = [], []
    logging.getLogger().setLevel(logging.ERROR)
    for seed in range(4):
        counted.last = counted.calls + proposals
        info: Any = {
            "params": parameters,
            "likelihood": {"own": external},
            "sampler": {
                "mcmc": {
                    "max_tries": "1000d",
                    "Rminus1_stop": 0.0,
                    "max_samples": 10**9,
                    "learn_proposal": True,
                    "callback_function": counted.callback,
                    "callback_every": 100,
                    "seed": seed,
                }
            },
            "debug": 40,
        }
        _, sampler = run(info)
        table: Any = sampler.products()["sample"]
        rows, weights = table[list(names)].to_numpy(dtype=float), table["weight"].to_numpy()
        every = np.repeat(np.arange(len(rows)), weights.astype(int))
        kept = every[int(0.3 * len(every)) :]
        samples.append(rows[kept])
        log_prob.append(-table["minuslogpost"].to_numpy(dtype=float)[kept])
    shortest = min(map(len, samples))
    thin = max(shortest // 5000, 1)  # neighbours are nearly the same
    return Chains(
        names,
        np.stack([s[-shortest::thin] for s in samples]),
        np.stack([p[-shortest::thin] for p in log_prob]),
        acceptance=float("nan"),
        divergences=0,
        evaluations=counted.calls,
    )


def quadrature(case: Case) -> tuple[float, np.ndarray, np.ndarray, float]:
    """Of the bimodal posterior: ln Z, means and widths of the parameters, share of the upper mode.

    On a grid of A_IA and of sigma8 and Omega_cdm within five widths of their priors; shear is
    (1 + m) times what it is without, so that m is integrated from the same spectra.
    """
    likelihood, prior = case.posterior.likelihoods[0], SHALLOW_PRIORS
    assert isinstance(likelihood, TwoPoint)
    axes = [np.linspace(p["loc"] - 5 * p["scale"], p["loc"] + 5 * p["scale"], 21)
            for p in (prior["sigma8"], prior["Omega_cdm"], prior["m_shear"])]  # fmt: skip
    alignment = np.linspace(-5.0, 5.0, 301)
    points = np.stack(np.meshgrid(axes[0], axes[1], alignment, indexing="ij"), -1).reshape(-1, 3)

    def one(point: Array) -> Array:
        nuisance = {"A_IA": point[2], "eta_IA": 0.0, "m_shear": 0.0, "dz_shear": 0.0}
        return likelihood.model(shallow_universe(point[:2]), nuisance)

    spectra = jax.jit(lambda p: jax.lax.map(one, p, batch_size=21))(jnp.asarray(points))
    scaled = jnp.asarray(1.0 + axes[2]) ** 2

    def chi2(row: Array) -> Array:
        white = jax.vmap(lambda f: likelihood.whiten(likelihood.data - f * row))(scaled)
        return jnp.sum(white**2, axis=1)

    table = np.asarray(jax.jit(lambda s: jax.lax.map(chi2, s, batch_size=100))(spectra))
    grid = np.concatenate(
        [np.repeat(points, len(axes[2]), axis=0), np.tile(axes[2], len(points))[:, None]], axis=1
    )
    log_weight = -0.5 * table.ravel() + sum(
        np.asarray(jax.vmap(case.posterior.priors[i].log_prob)(jnp.asarray(grid[:, i])))
        for i in range(4)
    )
    steps = [a[1] - a[0] for a in (*axes, alignment)]
    total = np.max(log_weight) + np.log(np.sum(np.exp(log_weight - np.max(log_weight))))
    log_z = float(total + np.sum(np.log(steps)))
    weight = np.exp(log_weight - total)
    mean = np.sum(weight[:, None] * grid, axis=0)
    width = np.sqrt(np.sum(weight[:, None] * (grid - mean) ** 2, axis=0))
    return log_z, mean, width, float(weight[grid[:, 2] > BETWEEN].sum())


@dataclass(frozen=True)
class Truth:
    """Means and widths to agree with, and what more is known."""

    mean: np.ndarray
    width: np.ndarray
    log_z: float | None = None
    upper: float | None = None


def truth_of(case_name: str) -> Truth | None:
    """By quadrature, or from the long chain; None where that is not there."""
    folder = FOLDER / case_name
    if case_name == "bimodal":
        path = folder / "quadrature.json"
        if not path.exists():
            log_z, mean, width, upper = quadrature(bimodal())
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps([mean.tolist(), width.tolist(), log_z, upper]))
        mean, width, log_z, upper = json.loads(path.read_text())
        return Truth(np.array(mean), np.array(width), log_z, upper)
    found = read(case_name, REFERENCE)
    if found is None:
        return None
    flat = found.flat
    return Truth(flat.mean(axis=0), flat.std(axis=0))


def names_of(case_name: str) -> tuple[str, ...]:
    """The parameters of a case."""
    if case_name == "bimodal":
        return tuple(SHALLOW_PRIORS)
    names = tuple(MOCK.TABLE_1)
    if case_name == "hundred":
        names += tuple(f"bend_{name}_{k}" for name, number in MODES for k in range(number))
    return names


def read(case_name: str, name: str) -> Chains | None:
    """What a method found, if it is there."""
    path = FOLDER / case_name / f"{name}.safetensors"
    return load_chains(path, names_of(case_name)) if path.exists() else None


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    good: bool
    ess: float
    rate: float
    """Worst ESS per core second."""
    cells: tuple[str, ...]


def row_of(case_name: str, name: str, truth: Truth | None) -> Row | None:
    """What the table says of a method."""
    found = read(case_name, name)
    if found is None:
        return None
    seen = diagnose(found.names, found.samples) if found.effective is None else found.diagnostics
    facts, flat = found.facts, found.flat
    seconds = float(facts["core_seconds"])
    good = not found.refused and seen.r_hat_max <= R_HAT and found.divergent <= 0.01
    ess = seen.ess_min if good else 0.0
    calls = found.gradients or found.evaluations
    unit = "gradients" if found.gradients else "values"
    verdict = "refused" if found.refused else ("converged" if good else "not converged")
    shift = ratio = "-"
    if truth is not None and name != REFERENCE:
        shift = f"{np.max(np.abs(flat.mean(axis=0) - truth.mean) / truth.width):.2f}"
        ratios = flat.std(axis=0) / truth.width
        ratio = f"{ratios.min():.2f} to {ratios.max():.2f}"
    evidence = "-"
    if "log_evidence" in facts and not found.refused:
        evidence = f"{facts['log_evidence']:.2f} +- {facts['log_evidence_error']:.2f}"
    cells = [
        verdict if "k_hat" not in facts else f"{verdict}, k-hat {facts['k_hat']:.2f}",
        f"{seen.r_hat_max:.3f}",
        f"{seen.ess_min:.0f}",
        f"{seconds / 60.0:.1f}",
        f"{float(facts['wall_seconds']) / 60.0:.1f}",
        f"{calls} {unit}",
        f"{ess / seconds:.2f}" if good else "-",
        f"{100.0 * ess / calls:.2f}" if good else "-",
        shift,
        ratio,
        evidence,
    ]
    if case_name == "bimodal":
        cells.append(f"{100.0 * np.mean(flat[:, 2] > BETWEEN):.0f}%")
    return Row(name, good, ess, ess / seconds, tuple(cells))


COLUMNS = (
    "verdict", "R-hat", "worst ESS", "core min", "wall min", "calls", "ESS / core second",
    "ESS / call [%]", "means off [sigma]", "widths / truth", "ln Z",
)  # fmt: skip


def page() -> None:
    """Write the page and its figure from what is there."""
    text = ["# Which method when, measured", "", (__doc__ or "").split("\n\n", 2)[2].strip(), ""]
    figure, axes = plt.subplots(1, len(CASES), figsize=(11.0, 4.2), layout="constrained")
    for axis, case_name in zip(axes, CASES, strict=True):
        truth = truth_of(case_name)
        order = [*METHODS[case_name], COBAYA]
        rows = [r for r in (row_of(case_name, name, truth) for name in order) if r is not None]
        columns = COLUMNS + (("upper mode",) if case_name == "bimodal" else ())
        text += [f"## {case_name}: {len(names_of(case_name))} parameters", ""]
        if truth is not None and truth.log_z is not None and truth.upper is not None:
            text += [
                f"By quadrature ln Z = {truth.log_z:.2f}, and {100 * truth.upper:.0f}% of the "
                "probability is in the upper mode.",
                "",
            ]
        text += [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        text += [f"| {TITLES[row.name]} | {' | '.join(row.cells)} |" for row in rows] + [""]
        draw(axis, case_name, [row for row in rows if row.name != REFERENCE])
    figure.savefig(FIGURE, dpi=130)
    plt.close(figure)
    text += [f"![worst effective sample size per core second]({FIGURE.name})", ""]
    PAGE.write_text("\n".join(text))
    print(PAGE)


def draw(axis: Any, case_name: str, rows: list[Row]) -> None:
    """Bars of the worst ESS per core second; a cross for what did not converge."""
    rows = sorted(rows, key=lambda row: row.rate)
    place = np.arange(len(rows))
    axis.barh(place, [row.rate for row in rows], color="#1d5b94")
    for n, row in enumerate(rows):
        if not row.good:
            axis.plot(axis.get_xlim()[0], n, "x", color="#c0192c", clip_on=False)
    axis.set_yticks(place, [TITLES[row.name] for row in rows], fontsize=8)
    axis.set_xlabel("worst ESS per core second")
    axis.set_title(f"{case_name}, {len(names_of(case_name))} parameters", fontsize=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--method")
    parser.add_argument("--page", action="store_true", help="write the page and end")
    given = parser.parse_args()
    if given.method and given.case:
        work(given.case, given.method)
        return
    if not given.page:
        for case_name in [given.case] if given.case else CASES:
            for name in [*METHODS[case_name], COBAYA]:
                if not (FOLDER / case_name / f"{name}.safetensors").exists():
                    words = [sys.executable, __file__, "--case", case_name, "--method", name]
                    if subprocess.run(words, check=False).returncode:
                        print(f"{case_name}, {name}: failed", flush=True)
                    page()
    page()


if __name__ == "__main__":
    main()
