"""What ``volvelle forecast`` does: compute, tell, write."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from .. import __version__
from ..cosmology import resolve
from ..inference import Fisher, Forecast, ascend, forecast, write_fisher
from ..learning import write_atomically
from ..report import forecast_table, write_forecast_report
from .errors import ForecastError
from .forecast_configuration import ForecastConfiguration
from .forecast_design import Design
from .progress import Reporter

FLAGGED = 1e-3
"""Of a spectrum, missing beyond the edges of the power or by Limber's approximation."""

DEPENDENT = 1e-9
"""Smallest eigenvalue of a correlation matrix; rounding leaves less of a parameter that follows
from others."""


def forecast_survey(configuration: ForecastConfiguration, *, progress: bool = True) -> int:
    """Compute and write a forecast; 0, or 1 for a design that has not settled.

    Raises VolvelleError for what the user can mend.
    """
    console = Console()
    reporter = Reporter(console, silent=not progress)
    started = time.monotonic()
    found = forecast(
        configuration.survey,
        configuration.universe,
        configuration.names,
        hierarchy=configuration.hierarchy,
        varying=configuration.varying,
        simulations=configuration.simulations,
    )
    content = _content(configuration, found)
    status = 0
    if configuration.optimise is not None:
        content["optimise"] = _optimised(configuration, reporter)
        status = 0 if content["optimise"]["settled"] else 1
    content["seconds"] = round(time.monotonic() - started, 1)
    folder = configuration.output
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "config.yaml", configuration.text.encode())
    write_fisher(folder / "fisher.txt", found.fisher)
    write_atomically(folder / "forecast.json", json.dumps(content, indent=1).encode())
    report = write_forecast_report(folder)
    if progress:
        console.print(forecast_table(content))
        written = f"written: {report}, forecast.json, fisher.txt and triangle.png beside it"
        console.print(written, soft_wrap=True, highlight=False)
    return status


def _content(configuration: ForecastConfiguration, found: Forecast) -> dict[str, Any]:
    """All numbers, as they are written."""
    fisher = found.fisher.with_priors(configuration.priors)
    names = (*fisher.names, *(name for name, _ in configuration.derived))
    values, covariance = _with_derived(configuration, found, fisher)
    errors = np.sqrt(np.diag(covariance))
    flags = np.asarray(found.spectra.flags(FLAGGED))[configuration.survey.rows]
    doubtful = np.asarray(found.spectra.doubtful(FLAGGED))[configuration.survey.rows]
    signal = found.model.survey.data(found.spectra)
    conditional = np.asarray(fisher.conditional_errors)
    return {
        "name": configuration.output.name,
        "version": __version__,
        "parameters": {
            name: {
                "fiducial": float(values[n]),
                "error": float(errors[n]),
                "conditional_error": float(conditional[n]) if n < len(fisher.names) else None,
                "prior": configuration.priors.get(name),
                "label": configuration.labels.get(name, name),
                "kind": _kind(configuration, name),
            }
            for n, name in enumerate(names)
        },
        "names": list(names),
        "covariance": covariance.tolist(),
        "figures_of_merit": [
            {"of": list(each), "value": _merit(names, covariance, each)}
            for each in configuration.merits
        ],
        "systematics": _biases(configuration, found, fisher),
        "triangle": list(configuration.triangle),
        "data": found.size,
        "signal_to_noise": float(jnp.sqrt(found.covariance.chi2(signal))),
        "f_sky": float(configuration.survey.f_sky),
        "covariance_varies": configuration.varying,
        "hartlap": found.precision,
        "flagged": float(np.mean(flags)),
        "doubtful": float(np.mean(doubtful)),
        "settings": {key: str(value) for key, value in configuration.summary().items()},
    }


def _kind(configuration: ForecastConfiguration, name: str) -> str:
    if name in configuration.universe:
        return "cosmology"
    return "nuisance" if name in configuration.names else "derived"


def _with_derived(
    configuration: ForecastConfiguration, found: Forecast, fisher: Fisher
) -> tuple[np.ndarray, np.ndarray]:
    """Values and covariance of the parameters that vary and, behind them, of the derived ones."""
    whole = _all_values(configuration, found)
    spread = fisher.propagated(whole)
    return np.asarray(whole(fisher.values)), np.asarray(0.5 * (spread + spread.T))


def _all_values(
    configuration: ForecastConfiguration, found: Forecast
) -> Callable[[jax.Array], jax.Array]:
    """Parameters that vary [d] and those that follow from them."""

    def whole(x: jax.Array) -> jax.Array:
        cosmology = found.model.cosmology(x)
        values: dict[str, Any] = {
            **configuration.universe,
            **found.model.survey.parameters,
            **{name: x[n] for n, name in enumerate(configuration.names)},
            "h": cosmology.hubble_parameter,
            "Omega_m": cosmology.Omega_m,
        }
        kept = {name: jnp.asarray(value) for name, value in values.items()}
        own = tuple(each for each in configuration.derived if each != ("Omega_m", "Omega_m"))
        solved = resolve(own, kept)
        derived = [jnp.asarray(solved[name]) for name, _ in configuration.derived]
        return jnp.concatenate([x, jnp.stack(derived)]) if derived else x

    return whole


def _merit(names: tuple[str, ...], covariance: np.ndarray, of: tuple[str, ...]) -> float:
    at = [names.index(name) for name in of]
    chosen = covariance[np.ix_(at, at)]
    errors = np.sqrt(np.diag(chosen))
    known = np.all(errors > 0.0)  # what follows from fixed parameters has none
    if not known or np.linalg.eigvalsh(chosen / np.outer(errors, errors))[0] < DEPENDENT:
        raise ForecastError(
            f"the figure of merit of {', '.join(of)} has no value: one of them follows from the "
            "others, or from what is fixed, and no area is between them; leave one out"
        )
    return float(1.0 / np.sqrt(np.linalg.det(chosen)))


def _biases(
    configuration: ForecastConfiguration, found: Forecast, fisher: Fisher
) -> dict[str, dict[str, dict[str, float]]]:
    """Of every systematic, the bias of every parameter, as it is and in its error."""
    errors = np.asarray(fisher.marginal_errors)
    result = {}
    for name, (changes, power) in configuration.systematics.items():
        bias = np.asarray(found.bias(fisher, changes, power))
        result[name] = {
            parameter: {"bias": float(bias[n]), "in_errors": float(bias[n] / errors[n])}
            for n, parameter in enumerate(fisher.names)
        }
    return result


def _optimised(configuration: ForecastConfiguration, reporter: Reporter) -> dict[str, Any]:
    """The best design and the way to it."""
    design = Design.of(configuration)
    block = design.block
    reporter.say(f"climbing the figure of merit of {', '.join(block.maximise)}")

    def told(step: int, most: int, merit: float) -> None:
        reporter.say(f"  step {step} of at most {most}: {merit:.6g}")

    way = ascend(design.merit, np.zeros(design.size), steps=block.steps, progress=told)

    def plain(u: np.ndarray) -> dict[str, Any]:
        choices = design.choices(jnp.asarray(u))
        found = {name: np.asarray(value).tolist() for name, value in choices.items()}
        if "area" in found:
            found["depth"] = float(design.time.depth(jnp.asarray(found["area"])))
            found["density"] = float(design.time.density(jnp.asarray(found["area"])))
        return found

    return {
        "maximise": block.maximise,
        "area_range": block.area,
        "start": plain(way.points[0]),
        "best": plain(way.best),
        "gain": float(way.merits.max() / way.merits[0]),
        "settled": way.settled,
        "steps": [
            {"merit": float(merit), **plain(point)}
            for point, merit in zip(way.points, way.merits, strict=True)
        ],
    }
