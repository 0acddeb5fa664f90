"""3x2pt data vectors by CCL, for the likelihoods of this package."""

from typing import Any

import numpy as np
import pyccl as ccl

from volvelle.cosmology import Cosmology, to_ccl
from volvelle.likelihood import TwoPointData
from volvelle.power import Model

ELL = np.unique(np.concatenate([np.arange(2, 60), np.geomspace(60, 6e4, 220).round()])).astype(
    float
)
TYPES = {"w_theta": "NN", "gamma_t": "NG", "xi_plus": "GG+", "xi_minus": "GG-"}
PIVOT = 0.62


def same_power(cosmology: Cosmology, model: Model) -> Any:
    """CCL's universe with this package's P(k, a), k to 10/Mpc and z to 6."""
    found = ccl.CosmologyCalculator(
        **_parameters(cosmology),
        pk_linear=_table(cosmology, model),
        pk_nonlin=_table(cosmology, model),
    )
    return found


def own_power(cosmology: Cosmology, **settings: Any) -> Any:
    """CCL's universe with a power spectrum of its own."""
    return ccl.Cosmology(**_parameters(cosmology), **settings)


def prediction(universe: Any, data: TwoPointData, nuisance: dict[str, float]) -> np.ndarray:
    """The data vector, in its order."""
    tracers = {
        name: _tracer(universe, name, data.fields[name], table, nuisance)
        for name, table in data.tracers.items()
    }
    result = np.empty(len(data.mean))
    for pair in dict.fromkeys(data.pairs):
        cl = ccl.angular_cl(universe, *(tracers[name] for name in pair), ELL)
        for name in pair:
            cl = cl * (1.0 + nuisance.get(f"m_{name}", 0.0))
        for kind in dict.fromkeys(data.kinds):
            where = np.array(
                [k == kind and p == pair for k, p in zip(data.kinds, data.pairs, strict=True)]
            )
            if where.any():
                result[where] = ccl.correlation(
                    universe,
                    ell=ELL,
                    C_ell=cl,
                    theta=data.at[where] / 60.0,
                    type=TYPES[kind.name],
                    method="fftlog",
                )
    return result


def _tracer(universe: Any, name: str, field: str, table: Any, nuisance: dict[str, float]) -> Any:
    z = np.asarray(table.z) + nuisance[f"dz_{name}"]
    n, z = np.asarray(table.values)[z >= 0.0], z[z >= 0.0]
    if field == "counts":
        bias = np.full_like(z, nuisance[f"bias_{name}"])
        return ccl.NumberCountsTracer(universe, has_rsd=False, dndz=(z, n), bias=(z, bias))
    aligned = nuisance["A_IA"] * ((1.0 + z) / (1.0 + PIVOT)) ** nuisance["eta_IA"]
    return ccl.WeakLensingTracer(universe, dndz=(z, n), ia_bias=(z, aligned))


def _parameters(cosmology: Cosmology) -> dict[str, Any]:
    return to_ccl(cosmology)


def _table(cosmology: Cosmology, model: Model) -> dict[str, Any]:
    spectrum = model.spectrum(cosmology)
    a = np.linspace(1.0 / 7.0, 1.0, 80)
    k = np.geomspace(spectrum.k_min * (1.0 + 1e-9), spectrum.k_max * (1.0 - 1e-9), 700)
    power = np.asarray(spectrum(k[None, :] + 0.0 * a[:, None], a[:, None] + 0.0 * k))
    return {"a": a, "k": k, "delta_matter:delta_matter": power}
