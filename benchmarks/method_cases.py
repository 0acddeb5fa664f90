"""The three posteriors of the benchmark of methods.

`mock`: the simulated DES Y1 3x2pt of Campagne et al. 2023, section 5.1, 21 parameters
(examples/13_mock_des_y1.py). `hundred`: the same data, and 79 more parameters that bend the n(z) of
all nine samples by ten per cent. `bimodal`: the shear of one shallow sample, whose intrinsic
alignments explain the same power twice; four parameters, and a quadrature that knows the truth.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from volvelle.inference import Posterior, make_prior
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


def names_of(case_name: str) -> tuple[str, ...]:
    """The parameters of a case."""
    if case_name == "bimodal":
        return tuple(SHALLOW_PRIORS)
    names = tuple(MOCK.TABLE_1)
    if case_name == "hundred":
        names += tuple(f"bend_{name}_{k}" for name, number in MODES for k in range(number))
    return names


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
