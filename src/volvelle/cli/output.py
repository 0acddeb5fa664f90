"""The output folder of a run: summary, chains, emulator, certificate, data for the figures."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save

from .. import __version__
from ..boltzmann import OUTPUTS, SCALARS, LedgerEntry
from ..cosmology import PARAMETERS
from ..data import set_sha256
from ..emulator import Emulator
from ..inference import Chains, Diagnostics, Posterior, save_arviz, save_getdist
from ..learning import write_atomically
from ..training import Certificate, DirectTheory, Problem, smooth_log_weights
from .configuration import Configuration
from .observed import bandpowers, data_sizes, distances, two_point_functions

NOT_REPORTED = ("h", "Y_he", "z_star")  # repeats, or fixed by the others to all digits shown
VERSIONS = (
    "numpy",
    "scipy",
    "jax",
    "jaxlib",
    "equinox",
    "blackjax",
    "numpyro",
    "classy",
    "camb",
)
QUANTILES = {"limits_68": (0.15865, 0.84135), "limits_95": (0.02275, 0.97725)}


@dataclass(frozen=True)
class Result:
    """All that a finished run has to say."""

    configuration: Configuration
    problem: Problem
    emulator: Emulator
    posterior: Posterior
    chains: Chains
    diagnostics: Diagnostics
    certificate: Certificate
    best_x: np.ndarray
    best_theory: dict[str, Any] | None
    training_entries: list[LedgerEntry]
    certificate_entries: list[LedgerEntry]
    simulation_entries: list[LedgerEntry]
    run: str
    history: list[dict[str, Any]]
    record: dict[str, Any]
    trained: bool
    seconds: dict[str, float]


def derived_names(problem: Problem, hides: bool = False) -> tuple[str, ...]:
    """What a run reports besides the parameters it samples: those that follow from them by an
    expression, and scalars of the theory; nothing while parameters are blinded."""
    if hides:
        return ()
    defined = problem.defined_names
    given = {*problem.names, *problem.fixed, *defined}
    offered = SCALARS if problem.request.background else DirectTheory.of(problem).varying(problem)
    scalars = (name for name in offered if name not in given and name not in NOT_REPORTED)
    return (*defined, *scalars, *problem.request.scalars)


def write_result(result: Result) -> dict[str, Any]:
    """Write everything but the report; returns the summary."""
    folder = result.configuration.output
    names = derived_names(result.problem, result.configuration.hides)
    chains = result.chains
    defined = result.problem.defined(chains.flat)
    outputs = tuple(name for name in names if name not in defined)
    scalars = result.emulator.batch(chains.flat[:, : result.problem.n_emulated], outputs) | defined
    shape = (*chains.samples.shape[:2], 1)
    derived = [scalars[name].reshape(shape) for name in names]
    samples = np.concatenate([chains.samples, *derived], axis=-1)
    log_weights = smooth_log_weights(result.certificate, chains)
    _write_chains(result, (*chains.names, *names), samples, log_weights)
    summary = _summary(result, (*chains.names, *names), samples, log_weights)
    judged = {"certificate": summary["certificate"], "blinded": summary["blinded"]}
    result.emulator.save(folder / "emulator", {**result.record, **judged})
    certificate = {
        "points": np.ascontiguousarray(result.certificate.points),
        "log_weights": np.ascontiguousarray(result.certificate.raw_log_weights),
    }
    metadata = {"names": json.dumps(result.certificate.names)}
    write_atomically(folder / "certificate.safetensors", save(certificate, metadata))
    write_atomically(folder / "history.json", json.dumps(result.history, indent=1).encode())
    if result.best_theory is not None:
        _write_best_fit(result, result.best_theory)
    write_atomically(folder / "summary.json", json.dumps(summary, indent=1).encode())
    return summary


def _label(name: str, configuration: Configuration) -> str:
    for parameter in configuration.sampled:
        if parameter.name == name:
            return parameter.label
    own = name.replace("_", r"\_")
    info = PARAMETERS.get(name) or OUTPUTS.get(name)
    return configuration.labels.get(name) or (info.label if info else rf"\mathrm{{{own}}}")


def _write_chains(
    result: Result, names: tuple[str, ...], samples: np.ndarray, log_weights: np.ndarray
) -> None:
    folder = result.configuration.output / "chains"
    labels = [_label(name, result.configuration) for name in names]
    low, high = result.posterior.bounds
    ends = zip(result.problem.names, low, high, strict=True)
    hidden = result.configuration.hidden_names
    bounds = {name: (float(a), float(b)) for name, a, b in ends if name not in hidden}
    derived = frozenset(names[len(result.problem.names) :])
    minus = -result.chains.log_prob
    for root, weights in (
        ("emulator", np.ones_like(log_weights)),
        ("reweighted", np.exp(log_weights)),
    ):
        save_getdist(
            folder / root,
            names,
            labels,
            list(samples),
            list(minus - (log_weights if root == "reweighted" else 0.0)),
            list(weights),
            bounds,
            derived,
        )
    save_arviz(folder / "chains.nc", names, samples, result.chains.log_prob, log_weights)


def _write_best_fit(result: Result, theory: dict[str, Any]) -> None:
    folder = result.configuration.output
    shown = result.problem.request.spectra if result.configuration.hides else theory
    arrays = {name: np.array(theory[name], dtype=float) for name in shown}
    write_atomically(folder / "best_fit.safetensors", save(arrays))
    likelihoods = result.problem.likelihoods
    nuisance = result.problem.exact_posterior.nuisance(jnp.asarray(result.best_x))
    powers = bandpowers(likelihoods, theory, nuisance)
    write_atomically(folder / "bandpowers.json", json.dumps(powers).encode())
    ratios = distances(likelihoods, theory)
    write_atomically(folder / "distances.json", json.dumps(ratios).encode())
    x = jnp.asarray(result.best_x)
    outputs = result.problem.exact_posterior.outputs(x, theory)
    functions = two_point_functions(likelihoods, outputs, nuisance)
    write_atomically(folder / "two_point.json", json.dumps(functions).encode())


def _weighted_quantile(values: np.ndarray, weights: np.ndarray, p: float) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(np.interp(p * cumulative[-1], cumulative, values[order]))


def _parameter(
    name: str, result: Result, values: np.ndarray, weights: np.ndarray
) -> dict[str, Any]:
    """Posterior of one parameter, corrected by the exact re-weighting.

    Mean and width are the chain's plus the certificate's shift and ratio; the limits are those of
    the re-weighted chain, moved and stretched to that mean and width.
    """
    mean, std = float(values.mean()), float(values.std())
    shift = result.certificate.parameters[name]
    corrected_mean = mean + shift.mean_shift_sigma * std
    corrected_std = std * shift.width_ratio
    centre = float(np.average(values, weights=weights))
    width = float(np.sqrt(np.average((values - centre) ** 2, weights=weights)))
    entry: dict[str, Any] = {
        "mean": corrected_mean,
        "std": corrected_std,
        "label": _label(name, result.configuration),
        "unit": info.unit if (info := PARAMETERS.get(name) or OUTPUTS.get(name)) else "",
        "kind": "sampled" if name in result.problem.names else "derived",
        "emulator": {"mean": mean, "std": std},
    }
    for key, levels in QUANTILES.items():
        ends = [_weighted_quantile(values, weights, p) for p in levels]
        entry[key] = [corrected_mean + (q - centre) * corrected_std / width for q in ends]
    return entry


def _calls(result: Result) -> dict[str, int]:
    """Exact solutions paid for by this run, or by another (reused); failures are counted too."""
    training, certificate = result.training_entries, result.certificate_entries
    simulation = result.simulation_entries
    everything = [*training, *certificate, *simulation]
    return {
        "training": sum(entry.run == result.run for entry in training),
        "certificate": sum(entry.run == result.run for entry in certificate),
        "simulation": sum(entry.run == result.run for entry in simulation),
        "reused": sum(entry.run != result.run for entry in everything),
        "failed": sum(entry.failed for entry in everything),
        "training_set": len(training),
    }


def _exact_evidence(result: Result) -> dict[str, float]:
    """ln Z with the exact theory, where the chains brought one: the weights' mean corrects it."""
    facts = result.chains.facts
    if "log_evidence" not in facts or not result.certificate.reliable:
        return {}
    shift, error = result.certificate.log_mean_weight
    return {
        "log_evidence_exact": float(facts["log_evidence"]) + shift,
        "log_evidence_exact_error": float(np.hypot(float(facts["log_evidence_error"]), error)),
    }


def _summary(
    result: Result, names: tuple[str, ...], samples: np.ndarray, log_weights: np.ndarray
) -> dict[str, Any]:
    configuration, certificate = result.configuration, result.certificate
    diagnostics = result.diagnostics
    mixed = diagnostics.converged(configuration.r_hat, configuration.ess_min)
    few_diverged = result.chains.divergent <= configuration.divergent
    converged = mixed and few_diverged and result.chains.refused is None
    weights = np.exp(log_weights).ravel()
    status = "converged" if converged else "not converged"
    if converged and not certificate.passed:
        status = "certificate failed"
    likelihoods = result.problem.likelihoods
    return {
        "name": configuration.output.name,
        "status": status,
        "simulated": any(likelihood.simulated for likelihood in likelihoods),
        "parameters": {
            name: _parameter(name, result, samples[:, :, i].ravel(), weights)
            for i, name in enumerate(names)
        },
        "exact_calls": _calls(result),
        "design": {
            "name": result.record["design"],
            "preset": configuration.emulator.preset,
            "settings": result.record["settings"],
        },
        "certificate": certificate.summary(),
        "best_fit": _best_fit(result),
        "diagnostics": {
            "r_hat_max": diagnostics.r_hat_max,
            "ess_min": diagnostics.ess_min,
            "converged": converged,
            "divergences": result.chains.divergences,
            "divergent_share": result.chains.divergent,
            "acceptance": result.chains.acceptance,
            "sampler": configuration.sampler_name,
            "refused": result.chains.refused,
            "found": {**result.chains.facts, **_exact_evidence(result)},
            "evaluations": result.chains.evaluations,
            "gradients": result.chains.gradients,
            "outside_domain_fraction": _outside(result),
            "training_met_its_target": result.trained,
            "training_ended": result.history[-1].get("ending"),
            "parameters": {
                name: {"r_hat": float(r), "ess": float(e)}
                for name, r, e in zip(
                    diagnostics.names, diagnostics.r_hat, diagnostics.ess, strict=True
                )
            },
        },
        "seconds": {k: round(v, 1) for k, v in result.seconds.items()},
        "versions": _versions(),
        "solver": result.problem.solver.identity(),
        "data": {likelihood.name: _data(likelihood) for likelihood in likelihoods},
        "seed": configuration.seed,
        "configuration": configuration.hash,
        "blinded": sorted(configuration.hidden_names),
        "cites": _cites(result),
    }


def _outside(result: Result) -> float:
    """Fraction of the samples at which the emulator extrapolates."""
    x = result.chains.flat[:, : result.problem.n_emulated]
    return float(np.mean(result.emulator.distances(x) > 1.0))


def _best_fit(result: Result) -> dict[str, Any]:
    values = dict(zip(result.problem.names, map(float, result.best_x), strict=True))
    if result.best_theory is None:
        return {"parameters": values, "chi2": {}, "failed": "the exact solution failed here"}
    posterior = result.problem.exact_posterior
    chi2 = posterior.chi2(jnp.asarray(result.best_x), result.best_theory)
    return {
        "parameters": values,
        "chi2": {name: float(value) for name, value in chi2.items()},
        "n_data": data_sizes(result.problem.likelihoods),
    }


def _data(likelihood: Any) -> dict[str, Any]:
    files: Mapping[str, str] = likelihood.data_sha256
    return {
        "sha256": set_sha256(dict(files)) if files else None,
        "files": dict(files),
        "simulated": bool(likelihood.simulated),
    }


def _versions() -> dict[str, str]:
    found = {"volvelle": __version__, "python": platform.python_version()}
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that this run did not need
    return found


def _cites(result: Result) -> list[str]:
    configuration = result.configuration
    keys = [result.problem.solver.name]
    non_linear = configuration.solver_settings.get("non_linear")
    if non_linear and non_linear != "none":
        keys.append(str(non_linear))
    keys.extend(likelihood.name for likelihood in result.problem.likelihoods)
    keys.append(configuration.sampler_name)
    if any("gaussian_process" in name for name in result.record["surrogates"].values()):
        keys.append("gaussian_process")
    return keys
