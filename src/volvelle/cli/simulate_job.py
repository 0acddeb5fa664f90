"""What ``volvelle simulate`` does: an ensemble of simulations, its report."""

from __future__ import annotations

import json
import time
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.console import Console
from safetensors.numpy import load_file

from .. import __version__
from ..learning import write_atomically
from ..nbody import check_memory
from ..power import linear_power, nonlinear_power, power_model
from ..report import simulation_words, write_simulation_report
from .account import Account
from .computing import make_executor, within_memory
from .errors import SimulationFailedError
from .maps_content import sky_content
from .maps_task import map_sky, maps_made
from .progress import Reporter
from .simulate_configuration import SimulateConfiguration
from .simulate_task import DONE, longest, realise, redshift_name, run
from .tiles_task import run_tiled

GROWTH, MOMENTUM = 0.03, {"float32": 1e-4, "float64": 1e-9}
"""Limits: of the amplitude of the longest waves against the non-linear model's (how a few waves
couple in one box moves it by a per cent or two); of the mean momentum over the rms."""
TILES_MOMENTUM = 0.01
"""The same of tiles, whose forces do not add up to zero: what one gains no other loses."""
JUDGED, RESOLVED = 0.06, 0.15
"""Waves whose growth is judged: longer than 2 pi over the first [h/Mpc], as others are far from
linear, and than the particles' Nyquist wavenumber over the second, as others lack force."""


def simulate_box(configuration: SimulateConfiguration, *, progress: bool = True) -> int:
    """Run what is not there yet, and write the report; 0, or 1 where a check fails.

    Raises VolvelleError for what the user can mend.
    """
    console = Console()
    reporter = Reporter(console, silent=not progress)
    account = Account.open(configuration)
    folder = configuration.output
    write_atomically(folder / "config.yaml", configuration.text.encode())
    waiting = [
        each for each in configuration.realisations if not (folder / each.name / DONE).exists()
    ]
    with account.stage("simulations"):
        if configuration.tiling is not None:
            check_memory(configuration.sky_memory)  # now, and not when all tiles are done
            for one in waiting:
                run_tiled(configuration, one, reporter)
        elif len(waiting) == 1:
            check_memory(configuration.memory)
            with reporter.bar("steps"):
                run(configuration, waiting[0], _Pace(reporter))
        elif waiting:
            _ensemble(configuration, [each.name for each in waiting], reporter)
    if configuration.sky is not None:
        with account.stage("maps"):
            for one in configuration.realisations:
                if maps_made(configuration, one) is None:
                    reporter.say(f"maps of {one.name}")
                    map_sky(configuration, one)
    with account.stage("report"):
        content = _content(configuration)
        write_atomically(folder / "simulate.json", json.dumps(content, indent=1).encode())
        report = write_simulation_report(folder)
    if progress:
        for sentence in simulation_words(content):
            console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        console.print(f"report: {report}", soft_wrap=True, highlight=False)
    return 0 if content["passed"] else 1


class _Pace:
    """Progress of the stages of one simulation, with the time left by those since the start."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter, self.first, self.started = reporter, -1, 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.first < 0 or done <= self.first + 1:  # the first one compiles
            self.first = done if self.first < 0 else self.first
            self.started = now
        left = None
        if done > self.first + 1:
            left = (now - self.started) / (done - self.first - 1) * (total - done)
        self.reporter.stepping(done, total, left)


def _ensemble(configuration: SimulateConfiguration, names: list[str], reporter: Reporter) -> None:
    """All of them on the executor, as many at once as fit in memory."""
    chosen = {each.name: each for each in configuration.realisations}
    tasks = [(str(configuration.output), chosen[n].seed, chosen[n].paired) for n in names]
    failures: list[str] = []
    block = within_memory(configuration.compute, len(names), configuration.memory)
    with reporter.bar("simulations"), make_executor(block, reporter.say) as executor:
        started = time.monotonic()
        outcomes = executor.map(realise, tasks, limited=False)
        for done, (index, outcome) in enumerate(outcomes, start=1):
            left = (time.monotonic() - started) / done * (len(tasks) - done)
            reporter.stepping(done, len(tasks), left)
            if not outcome.ok:
                failures.append(f"{names[index]}: {outcome.error}")
    if failures:
        raise SimulationFailedError(
            f"{len(failures)} of {len(tasks)} simulations failed; the others are kept, repeat the "
            f"command for these: {'; '.join(failures[:3])}"
        )


def _content(configuration: SimulateConfiguration) -> dict[str, Any]:
    """All numbers of the report."""
    file, folder = configuration.file, configuration.output
    each = {
        one.name: json.loads((folder / one.name / DONE).read_text())
        for one in configuration.realisations
    }
    snapshots: list[dict[str, Any]] = []
    for a in configuration.times:
        name = redshift_name(a)
        found = [load_file(folder / one / f"{name}.safetensors") for one in each]
        k, power = found[0]["k"], np.array([arrays["power"] for arrays in found])
        facts = [content["snapshots"][name] for content in each.values()]
        snapshots.append(
            {
                "a": a,
                "z": 1.0 / a - 1.0,
                "name": name,
                "k": k.tolist(),
                "power": power.mean(axis=0).tolist(),
                "scatter": (power.std(axis=0, ddof=1) if len(power) > 1 else 0 * k).tolist(),
                "modes": found[0]["modes"].tolist(),
                "grown": float(np.mean([fact["grown"] for fact in facts])),
                "momentum": max(float(fact["momentum"]) for fact in facts),
                **_theory(configuration, k, a),
            }
        )
    at = np.array(snapshots[0]["k"]) if snapshots else np.zeros(0)
    today = _theory(configuration, at, 1.0)["linear"] if snapshots else []
    for snapshot in snapshots:
        snapshot["amplitude"] = {
            model: snapshot["grown"] / _expected(configuration, snapshot, model, today)
            for model in ("linear", "nonlinear")
        }
    checks = _checks(configuration, snapshots)
    sky = None if configuration.sky is None else sky_content(configuration)
    if sky is not None:
        for name, (seconds, peak) in sky["took"].items():
            each[name]["seconds"]["maps"], each[name]["peaks"]["maps"] = seconds, peak
    return {
        "name": folder.name,
        "version": __version__,
        "settings": {key: str(value) for key, value in configuration.summary().items()},
        "nyquist": float(np.pi / configuration.mesh.cell),
        "box_size": configuration.mesh.box_size,
        "nonlinear": file.power.nonlinear,
        "first": next(iter(each)),
        "snapshots": snapshots,
        "realisations": {
            name: {key: content[key] for key in ("seconds", "memory", "peaks")}
            for name, content in each.items()
        },
        "tiles": next(iter(each.values())).get("tiles"),
        "lightcone": next(iter(each.values())).get("lightcone"),
        "sky": sky,
        "checks": checks,
        "passed": all(limit is None or off <= limit for off, limit in checks.values()),
    }


def _expected(
    configuration: SimulateConfiguration, snapshot: dict[str, Any], model: str, today: list[Any]
) -> float:
    """Amplitude of the longest waves by a model over the linear one of today."""
    mesh = configuration.mesh
    k, modes = np.array(snapshot["k"], dtype=float), np.array(snapshot["modes"])
    here = (k > 0.5 * mesh.fundamental) & (k < (longest(mesh) + 0.5) * mesh.fundamental)
    now, then = (np.array(values, dtype=float)[here] for values in (snapshot[model], today))
    return float(np.sqrt(np.sum(modes[here] * now) / np.sum(modes[here] * then)))


def _checks(
    configuration: SimulateConfiguration, snapshots: list[dict[str, Any]]
) -> dict[str, tuple[float, float | None]]:
    """What is off, and the limit; no limit where the box cannot tell, nothing without snapshots."""
    if not snapshots:
        return {}
    mesh = configuration.mesh
    off = max(abs(each["amplitude"]["nonlinear"] - 1.0) for each in snapshots)
    judged = longest(mesh) * mesh.fundamental <= min(JUDGED, RESOLVED * mesh.nyquist)
    momentum = max(float(each["momentum"]) for each in snapshots)
    whole = configuration.tiling is None
    return {
        "growth": (off, GROWTH if judged else None),
        "momentum": (momentum, MOMENTUM[configuration.file.precision] if whole else TILES_MOMENTUM),
    }


def _theory(configuration: SimulateConfiguration, k: np.ndarray, a: float) -> dict[str, Any]:
    """Linear and non-linear P [(Mpc/h)^3] at k [h/Mpc]; null where a model does not reach."""
    power, cosmology = configuration.file.power, configuration.cosmology
    h = float(cosmology.hubble_parameter)
    usable = np.isfinite(k) & (k < np.pi / configuration.mesh.cell)
    where = jnp.asarray(k[usable] * h)
    found = {
        "linear": linear_power(
            cosmology, where, a, power_model(power.linear, "none"), configuration.species
        ),
        "nonlinear": nonlinear_power(
            cosmology, where, a, power_model(power.linear, power.nonlinear), configuration.species
        ),
    }
    result: dict[str, Any] = {}
    for name, values in found.items():
        column = np.full(len(k), np.nan)
        column[usable] = np.asarray(values) * h**3
        result[name] = [float(v) if np.isfinite(v) else None for v in column]
    return result
