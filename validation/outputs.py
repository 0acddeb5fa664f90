"""Every kind of output in one emulator: its error at fresh points, beside the solver's own.

One configuration asks for the linear and non-linear power of matter and of baryons and cold dark
matter, growth, transfer functions, background, thermodynamics and derived numbers, with the sum of
the neutrino masses free from 0 to 0.3 eV (three equal ones). A Latin hypercube of +- 3 posterior
widths of Planck trains it, another one tests it. At some of the fresh points CLASS solves again
with tight precision settings: the error of the settings that the ledger names.

Writes docs/validation/outputs.md. Some 12 minutes on two cores without the tight solutions
(--tight 0), each of which takes longer than all others together.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import yaml
from common import ROOT, Check, arguments, check_table, example, finish, holds, table

from volvelle import Configuration, ProcessExecutor, build_emulator
from volvelle.boltzmann import OUTPUTS, ClassSolver, Ledger, solve_many
from volvelle.boltzmann.outputs import names_of
from volvelle.cli.setup import make_likelihoods, make_problem, make_solver
from volvelle.training import Exact, Problem, latin_hypercube

LIMIT = 1e-3
TRAINING, FRESH, TIGHT_POINTS = 96, 24, 4
SIGMA = {  # Planck 2018 VI (arXiv:1807.06209), table 2, TT,TE,EE+lowE
    "omega_b": 0.00015,
    "omega_cdm": 0.0014,
    "theta_star_100": 0.00031,
    "n_s": 0.0044,
    "ln10A_s": 0.016,
    "tau_reio": 0.0079,
}
NATIVE = ("rs_rec", "100*theta_s", "z_eq", "conformal_age")  # by CLASS's own names
JUDGED = ("matter_power", "cb_power", "hubble", "transverse_comoving_distance")
JUDGED_MORE = ("sigma8_z", "f_sigma8", "ionisation_fraction", "visibility")
TIGHT = {  # the neutrinos' whole hierarchy, finer momenta, steps and wavenumbers
    "tol_background_integration": 1e-12,
    "tol_ncdm_bg": 1e-10,
    "tol_ncdm_synchronous": 1e-5,
    "ncdm_fluid_approximation": 3,
    "l_max_ncdm": 30,
    "l_max_ur": 30,
    "tol_perturbations_integration": 1e-6,
    "perturbations_sampling_stepsize": 0.05,
    "k_per_decade_for_pk": 40,
    "k_per_decade_for_bao": 100,
}


def configuration(work: Path, ledger: Path | None) -> Configuration:
    """Example 1 with a free m_nu, a likelihood that reads no spectrum, and all outputs."""
    content = example()
    content["theory"] = {"class": {"neutrino_hierarchy": "degenerate"}}
    for name, sigma in SIGMA.items():
        content["params"][name]["ref"] |= {"scale": 3.0 * sigma}
    content["params"]["m_nu"] = {
        "prior": {"min": 0.0, "max": 1.0},
        "ref": {"loc": 0.15, "scale": 0.15},
    }
    content["likelihood"] = ["desi_dr2_bao"]
    outputs = [*names_of("power"), *names_of("function"), "sigma8_cb", "z_reio", *NATIVE]
    content |= {"output": str(work), "emulator": {"outputs": outputs}}
    content |= {"ledger": str(ledger)} if ledger else {}
    path = work / "outputs.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return Configuration.load(path)


def solved(exact: Exact, x: np.ndarray) -> tuple[np.ndarray, list[dict[str, np.ndarray]]]:
    """The points that have a solution, and the solutions."""
    entries = exact.solve(x)
    good = [i for i, entry in enumerate(entries) if not entry.failed]
    return x[good], [exact.theory(entries[i]) for i in good]


def errors(name: str, found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Relative errors [points, grid]; of the visibility in units of its maximum."""
    error = np.abs(found - true).reshape(len(true), -1)
    size = np.abs(true).reshape(len(true), -1)
    if name == "visibility":
        size = np.broadcast_to(size.max(axis=1, keepdims=True), size.shape)
    return np.where(error > 0.0, error / np.where(size > 0.0, size, np.nan), 0.0)


def tight(problem: Problem, exact: Exact, x: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Solutions at tight precision settings."""
    solver = ClassSolver(precision=TIGHT)
    cosmologies = [problem.cosmology(row) for row in x]
    entries = solve_many(
        solver, cosmologies, problem.request, exact.ledger, exact.executor, "outputs"
    )
    failed = [entry.failure for entry in entries if entry.failed]
    if failed:
        raise SystemExit(f"CLASS failed at the tight settings: {failed[0]}")
    return [dict(entry.theory or {}) for entry in entries]


def main() -> None:
    """Solve, fit, compare, write."""
    parser = arguments(__doc__)
    parser.add_argument("--tight", type=int, default=TIGHT_POINTS, help="points solved tightly too")
    given = parser.parse_args()
    work = ROOT / "runs" / "validation" / "outputs"
    work.mkdir(parents=True, exist_ok=True)
    read = configuration(work, given.ledger)
    training, fresh, few = (48, 6, 1) if given.quick else (TRAINING, FRESH, given.tight)
    ledger, solver = Ledger(read.ledger), make_solver(read)
    with ProcessExecutor(read.workers) as executor:
        likelihoods, _ = make_likelihoods(read, solver, ledger, executor, "outputs")
        problem = make_problem(read, solver, likelihoods)
        exact = Exact(problem, ledger, executor, "outputs")
        x, theories = solved(exact, latin_hypercube(problem, training, 1.0, 1))
        new, truth = solved(exact, latin_hypercube(problem, fresh, 1.0, 2))
        print(f"{len(x)} solutions for training, {len(new)} fresh ones", flush=True)
        better = tight(problem, exact, new[:few]) if few else []
    noises = [likelihood.noise() for likelihood in likelihoods]
    k = problem.n_theory
    emulator, _ = build_emulator(problem.theory_names, problem.fixed, x[:, :k], theories, noises)
    names = problem.request.names()
    predicted = emulator.batch(new[:, :k], names)
    rows, checks = [], []
    for name in names:
        true = np.array([t[name] for t in truth])
        error = errors(name, np.asarray(predicted[name]), true)
        own = errors(name, true[:few], np.array([t[name] for t in better])) if few else None
        scalar = name not in OUTPUTS or OUTPUTS[name].kind == "scalar"
        high = float(error.max() if scalar else np.percentile(error, 99))
        numbers = (np.median(error), np.percentile(error, 99), error.max())
        numbers += () if own is None else (np.percentile(own, 99), own.max())
        rows.append((f"`{name}`", *(f"{number:.1e}" for number in numbers)))
        if scalar or name in JUDGED + JUDGED_MORE:
            checks.append(_check(name, high, scalar))
    finish("outputs", _page(read, len(x), len(new), few, rows, checks), checks)


def _check(name: str, error: float, scalar: bool) -> Check:
    what = f"{name}, {'largest error' if scalar else '99th percentile'}"
    return holds(what, f"{error:.1e}", f"at most {LIMIT:g}", error <= LIMIT)


def _page(
    read: Configuration,
    training: int,
    fresh: int,
    few: int,
    rows: list[tuple[str, ...]],
    checks: list[Check],
) -> list[str]:
    identity = make_solver(read).identity()
    head = ("output", "median", "99th percentile", "largest")
    head += ("CLASS: 99th percentile", "largest") if few else ()
    settings = ", ".join(f"`{k} = {v:g}`" for k, v in TIGHT.items())
    return [
        "# Any output, in one emulator",
        f"One configuration file, CLASS {identity['version']} with the settings that stand in its "
        f"ledger, {training} solutions for training, {fresh} fresh points of another Latin "
        "hypercube: ± 3 widths of Planck in six parameters, the sum of the neutrino masses from 0 "
        "to 0.3 eV. Errors are relative and over all fresh points, redshifts and wavenumbers (the "
        "visibility's: of its maximum). z reaches 4 for power and growth, 1200 for the background, "
        "10^4 for thermodynamics; k from 10^-4 to 10 / Mpc.",
        table(head, rows),
        f"The last two columns: those settings' own error, at {few} of the fresh points, from "
        f"CLASS again with {settings}."
        if few
        else f"The error of those settings themselves was not measured (`--tight 4`: {settings}).",
        "## Bounds",
        check_table(checks),
    ]


if __name__ == "__main__":
    main()
