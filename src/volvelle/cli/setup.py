"""From a configuration to the problem that training, sampling and certificate share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..boltzmann import (
    Ledger,
    LedgerEntry,
    Request,
    Solver,
    SolverError,
    get_solver,
    restrict,
    solve_many,
)
from ..compute import Executor, SerialExecutor
from ..cosmology import Cosmology, needs
from ..inference import make_prior
from ..learning import (
    Epochs,
    NetworkSettings,
    StorageError,
    user_activation,
    user_architecture,
)
from ..likelihood import Gaussian, Likelihood, SimulatedCmb, get_likelihood
from ..likelihood.simulated_cmb import F_SKY, NOISE_P, NOISE_T, noise_spectrum
from ..training import (
    Exact,
    Filter,
    Halt,
    Iterative,
    IterativeSettings,
    Problem,
    SpaceFilling,
    SpaceFillingSettings,
    SurrogateSettings,
    Trainer,
    Training,
    TrainingSettings,
    Untrained,
    certifying,
    default_start,
    request_of,
    suffices,
)
from .configuration import Configuration
from .designs import IterativeDesign, SpaceFillingDesign

FIDUCIAL = {  # Planck 2018 VI (arXiv:1807.06209), table 2, TT,TE,EE+lowE+lensing
    "omega_b": 0.02237,
    "omega_cdm": 0.1200,
    "theta_star_100": 1.04110,
    "n_s": 0.9649,
    "ln10A_s": 3.044,
    "tau_reio": 0.0544,
}
LOW_L = slice(2, 30)
NUISANCE_WIDTH = 2.5  # of a learned one's range, in its reference's, which is one error wide
TENSORS = ("r", "InitPower.r")
"""Inputs that simulated data take from the reference: beside tensors CLASS has r = 1 by default."""
_STANDARD = {"m_nu": 0.06, "N_eff": 3.044, "w0": -1.0, "wa": 0.0, "Omega_k": 0.0, "T_cmb": 2.7255}
"""What a `Cosmology` takes where nothing is given."""


def make_solver(configuration: Configuration) -> Solver:
    """The exact solver that the theory block names."""
    return get_solver(configuration.solver_name, **configuration.solver_settings)


def make_likelihoods(
    configuration: Configuration, solver: Solver, ledger: Ledger, executor: Executor, run: str
) -> tuple[tuple[Likelihood, ...], list[LedgerEntry]]:
    """All likelihoods; those whose data are missing are simulated at the fiducial model.

    The second part holds the exact solution that the simulation took, if there was one.
    Raises SolverError when that solution failed.
    """
    made: list[Likelihood] = []
    solved: list[LedgerEntry] = []
    fiducial: dict[str, Any] = {}
    for name, options in configuration.likelihoods.items():
        if name not in configuration.missing_data:
            made.append(get_likelihood(name, **options))
            continue
        if not solved:
            solved.append(_fiducial(configuration, solver, ledger, executor, run))
            if solved[0].theory is None:
                raise SolverError(
                    f"the fiducial model of the simulated data failed: {solved[0].failure}"
                )
            fiducial = restrict(solved[0].theory, Request())
        key = jax.random.key(configuration.seed)
        if name == "planck_2018_low_l":
            made.append(_simulated_low_l(fiducial, key))
        else:
            f_sky = float(options.get("f_sky", F_SKY))
            made.append(SimulatedCmb.from_theory(fiducial, f_sky=f_sky, key=key))
    return tuple(made), solved


def _fiducial(
    configuration: Configuration, solver: Solver, ledger: Ledger, executor: Executor, run: str
) -> LedgerEntry:
    known = {k: v for k, v in configuration.fixed.items() if k in ("m_nu", "N_eff")}
    centre = {p.name: p.ref_loc for p in configuration.sampled if p.kind == "cosmology"}
    reference = configuration.parametrisation.cosmology(
        {**configuration.fixed, **centre}, configuration.neutrino_hierarchy
    )
    tensors = {name: reference.extra[name] for name in TENSORS if name in reference.extra}
    cosmology = Cosmology.from_parameters({**FIDUCIAL, **known}, extra=tensors)
    (entry,) = solve_many(solver, [cosmology], Request(), ledger, executor, run)
    return entry


def _simulated_low_l(theory: dict[str, Any], key: jax.Array) -> Likelihood:
    """TT and EE at l = 2..29 with cosmic variance and Planck's noise, Gaussian in C_l."""
    ell = np.arange(LOW_L.start, LOW_L.stop)
    means, variances = [], []
    for name, level in (("lensed_tt", NOISE_T), ("lensed_ee", NOISE_P)):
        spectrum = np.asarray(theory[name])[LOW_L]
        total = spectrum + noise_spectrum(level)[LOW_L]
        means.append(spectrum)
        variances.append(2.0 * total**2 / ((2 * ell + 1) * F_SKY))
    likelihood = Gaussian.from_values(
        np.concatenate(means),
        np.diag(np.concatenate(variances)),
        ["lensed_tt[2:30]", "lensed_ee[2:30]"],
        name="planck_2018_low_l",
    )
    return likelihood.simulate(theory, {}, key)


def network_settings(configuration: Configuration) -> NetworkSettings | None:
    """How the network is made and trained; None for the other kinds of surrogate."""
    block = configuration.emulator
    if block.kind != "network":
        return None
    given = {} if block.network is None else block.network.model_dump()
    return NetworkSettings(**given, seed=configuration.seed)


def user_functions(configuration: Configuration) -> dict[str, Callable[..., Any]]:
    """The network's activation or architecture if it is the user's, as ``load_emulator`` wants."""
    settings = network_settings(configuration)
    if settings is None:
        return {}
    own = {
        settings.activation: user_activation(settings.activation),
        settings.architecture: user_architecture(settings.architecture),
    }
    return {name: found.function for name, found in own.items() if found is not None}


def make_training(
    configuration: Configuration,
    exact: Exact,
    folder: Path,
    say: Callable[[str], None],
    epochs: Epochs,
) -> Training[Any]:
    """The design that the configuration chooses; its state is kept in ``folder``."""
    if configuration.direct:
        return Untrained(
            exact, SurrogateSettings(kind="none", seed=configuration.seed), folder, say
        )
    block, design = configuration.emulator, configuration.emulator.design.chosen
    common: dict[str, Any] = {
        "kind": block.kind,
        "max_training": block.max_training,
        "seed": configuration.seed,
        "network": network_settings(configuration),
    }
    if isinstance(design, SpaceFillingDesign):
        sampling = configuration.emulator.design.name
        filling = SpaceFillingSettings(**common, **design.model_dump(), sampling=sampling)
        return SpaceFilling(exact, filling, folder, say, epochs)
    if isinstance(design, IterativeDesign):
        own = design.model_dump(exclude={"filter", "halt"})
        own["filter"] = None if design.filter is None else Filter(**design.filter.model_dump())
        own["halt"] = Halt(**design.halt.model_dump())
        return Iterative(exact, IterativeSettings(**common, **own), folder, say, epochs)
    adaptive = TrainingSettings(
        **common,
        accuracy=block.accuracy,
        initial=block.initial,
        batch=block.batch,
        width=block.width,
        certificate_points=configuration.certificate.points,
    )
    return Trainer(exact, adaptive, folder, say, epochs)


def make_problem(
    configuration: Configuration, solver: Solver, likelihoods: tuple[Likelihood, ...]
) -> Problem:
    """Parameters, priors and references, theory parameters first."""
    sampled = sorted(configuration.sampled, key=lambda p: p.kind != "cosmology")
    n_theory = sum(p.kind == "cosmology" for p in sampled)
    learns = configuration.emulator.target == "likelihood"
    wider = {"cosmology": 1.0, "nuisance": NUISANCE_WIDTH if learns else 1.0}
    return Problem(
        names=tuple(p.name for p in sampled),
        n_theory=n_theory,
        priors=tuple(make_prior(p.prior) for p in sampled),
        ref_loc=np.array([p.ref_loc for p in sampled]),
        ref_scale=np.array([p.ref_scale * wider[p.kind] for p in sampled]),
        fixed=dict(configuration.fixed),
        neutrino_hierarchy=configuration.neutrino_hierarchy,
        likelihoods=likelihoods,
        solver=solver,
        request=certifying(likelihoods)
        if configuration.direct
        else request_of(likelihoods, configuration.emulator.outputs, configuration.emulator.lmax),
        fixed_nuisance=dict(configuration.fixed_nuisance),
        parametrisation=configuration.parametrisation,
        learns_likelihood=learns,
    )


def warm_points(folders: list[Path], problem: Problem) -> np.ndarray | None:
    """Points [n, d] that earlier runs solved, in this problem's parameters; None without any.

    A parameter that an earlier run held fixed takes its value there; one that it did not have, the
    value at which its models are the same (``unset``, or the standard value of a cosmological
    parameter), which may be an end of the prior; one that means nothing there (``unset_with``) is
    spread over its reference range. So is a nuisance parameter that is an input of the emulator, of
    which exact solutions do not know. Points outside a prior are left out. Whether the ledger still
    has their solutions shows when they are asked for.

    Raises StorageError when a folder's emulator cannot be read, speaks of other parameters, lacks
    one without such a value, or when no point at all lies inside the priors.
    """
    rows: list[np.ndarray] = []
    standard = {**_STANDARD, **dict(problem.parametrisation.unset)}
    for folder in folders:
        path = Path(folder) / "emulator" / "model.json"
        try:
            record = json.loads(path.read_text())["record"]
            names, points, fixed = record["parameters"], record["points"], record["fixed"]
        except (OSError, ValueError, KeyError) as error:
            raise StorageError(
                f"{path} cannot be read ({error}); warm_start names the output folder of a run"
            ) from error
        foreign = [name for name in names if name not in problem.theory_names]
        if foreign:
            raise StorageError(
                f"{folder} sampled {', '.join(foreign)}, which this run does not; a warm start "
                "needs the same parameters or fewer"
            )
        idle = _idle(problem, {*fixed, *names})
        without = [n for n in problem.theory_names if n not in {*standard, *fixed, *names, *idle}]
        if without:
            raise StorageError(
                f"{folder} had no {', '.join(without)}; give unset: VALUE in params, where a model "
                "is the same as without it, or leave this warm start out"
            )
        spread = {name: _spread(problem, name, len(points)) for name in idle}
        nuisance = _nuisance(problem, len(points))
        for i, point in enumerate(points):
            free = {name: values[i] for name, values in spread.items()}
            values = {**standard, **free, **fixed, **dict(zip(names, point, strict=True))}
            rows.append(np.array([*(values[name] for name in problem.theory_names), *nuisance[i]]))
    if not rows:
        return None
    x = np.unique(np.array(rows), axis=0)
    ends = np.array([prior.bounds for prior in problem.priors])
    x = x[np.all((x >= ends[:, 0]) & (x <= ends[:, 1]), axis=1)]
    if len(x) == 0:
        raise StorageError(
            f"none of the {len(rows)} solutions of {', '.join(str(f) for f in folders)} lies "
            "inside the priors; widen them, or leave the warm start out"
        )
    return x


def warm_cost(configuration: Configuration, solver: Solver) -> tuple[int, int, int]:
    """Points of the warm start, how many of them the ledger does not serve, and those of a start
    that has to be added to them.

    What is to be simulated is not: its likelihood reads what the CMB's do.
    """
    found = [
        get_likelihood(name, **options)
        for name, options in configuration.likelihoods.items()
        if name not in configuration.missing_data
    ]
    problem = make_problem(configuration, solver, tuple(found))
    if configuration.missing_data:
        problem = replace(problem, request=problem.request.union(Request()))
    x = warm_points(configuration.emulator.warm_start, problem)
    assert x is not None, "the configuration names folders"
    network = network_settings(configuration)
    folds = None if network is None else network.folds
    k = problem.n_emulated
    initial = configuration.emulator.initial or default_start(k, folds)
    start = 0 if suffices(x, k, folds, configuration.emulator.kind) else initial
    if not configuration.ledger.exists():
        return len(x), len(x), start
    exact = Exact(problem, Ledger(configuration.ledger), SerialExecutor(), "")
    return len(x), exact.unknown(x), start


def _idle(problem: Problem, had: set[str]) -> tuple[str, ...]:
    """Sampled parameters that an earlier run did not have and whose inputs mean nothing in it."""
    found = problem.parametrisation
    inputs = {name for name, leader in found.idle if not {name, leader} & had}
    behind = {n for name in inputs for n in (name, *needs(found.definitions, name))}
    return tuple(name for name in problem.theory_names if name in behind - had)


def _nuisance(problem: Problem, n: int) -> np.ndarray:
    """Nuisance parameters of n points [n, k]: at their reference, or spread if they are learned."""
    names = problem.names[problem.n_theory :]
    if not problem.learns_likelihood:
        return np.tile(problem.ref_loc[problem.n_theory :], (n, 1))
    columns = [_spread(problem, name, n) for name in names]
    return np.stack(columns, axis=1) if columns else np.empty((n, 0))


def _spread(problem: Problem, name: str, n: int) -> np.ndarray:
    """n values all over a parameter's reference range, in an order that is random and its own."""
    i = problem.names.index(name)
    lower, upper = problem.priors[i].bounds
    lower = max(lower, problem.ref_loc[i] - problem.ref_scale[i])
    upper = min(upper, problem.ref_loc[i] + problem.ref_scale[i])
    middles = (np.arange(n) + 0.5) / n
    return lower + (upper - lower) * np.random.default_rng(i).permutation(middles)
