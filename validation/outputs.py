"""Every kind of output in one emulator: its error at fresh points, beside the solver's own.

One configuration asks for the linear and non-linear power of matter and of baryons and cold dark
matter, growth, transfer functions, background, thermodynamics and derived numbers, with the sum of
the neutrino masses free from 0 to 0.3 eV (three equal ones). Two Latin hypercubes of +- 3 posterior
widths of Planck train it, another one tests it. At some of the fresh points CLASS solves again
with tight precision settings: the error of the settings that the ledger names.

Writes docs/validation/outputs.md. Forty minutes on two cores. The tight solutions go to k = 1/Mpc
only, a minute each; to 10/Mpc one takes longer than all others together.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from classy import Class
from common import ROOT, Check, arguments, check_table, example, finish, holds, table

from volvelle import Configuration, build_emulator
from volvelle.boltzmann import OUTPUTS, Ledger
from volvelle.boltzmann.class_solver import PRECISION
from volvelle.boltzmann.outputs import names_of
from volvelle.cli.computing import make_executor
from volvelle.cli.setup import make_likelihoods, make_problem, make_solver
from volvelle.cosmology import Cosmology, to_class
from volvelle.training import Exact, Problem, latin_hypercube

LIMIT = 1e-3
TRAINING, FRESH, TIGHT_POINTS = (144, 56), 24, 4
TRAINING_SEEDS, FRESH_SEED = (1, 3), 4  # fresh ones of 2 chose how a neutrino mass enters
TIGHT_K, TIGHT_Z = 1.0, (0.0, 0.5, 1.0, 2.0, 4.0)  # [1/Mpc]
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


def read_off(cosmology: Cosmology, precision: dict[str, float]) -> dict[str, np.ndarray]:
    """What CLASS says of a universe, its wavenumbers up to TIGHT_K."""
    settings = {**PRECISION, **to_class(cosmology), "output": "mPk", **precision}
    settings |= {"P_k_max_1/Mpc": 1.01 * TIGHT_K, "z_max_pk": TIGHT_Z[-1]}
    cosmo = Class()
    cosmo.set(settings)
    cosmo.compute()
    k = np.geomspace(1e-4, TIGHT_K, 300)
    history = cosmo.get_thermodynamics()
    near = np.argsort(history["z"])[: np.sum(history["z"] <= 1e4)]
    nodes = np.geomspace(1.0, 1e4, 500)
    found: dict[str, Any] = {
        "matter_power": [[cosmo.pk_lin(q, z) for q in k] for z in TIGHT_Z],
        "cb_power": [[cosmo.pk_cb_lin(q, z) for q in k] for z in TIGHT_Z],
        "hubble": [cosmo.Hubble(z) for z in TIGHT_Z],
        "transverse_comoving_distance": [
            (1.0 + z) * cosmo.angular_distance(z) for z in TIGHT_Z if z > 0.0
        ],
        "ionisation_fraction": np.interp(nodes, history["z"][near], history["x_e"][near]),
        "sigma8": cosmo.sigma8(),
        "r_drag": cosmo.rs_drag(),
        "age": cosmo.age(),
    }
    cosmo.struct_cleanup()
    return {name: np.atleast_1d(np.asarray(value)) for name, value in found.items()}


def own_errors(
    problem: Problem, x: np.ndarray, truth: list[dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Relative errors of the settings themselves [points, grid], from tight ones."""
    pairs = []
    for row, theory in zip(x, truth, strict=True):
        cosmology = problem.cosmology(row).replace(h=float(theory["h"]), theta_star_100=None)
        pairs.append((read_off(cosmology, {}), read_off(cosmology, TIGHT)))
        print(f"tight solution {len(pairs)}/{len(x)}", flush=True)
    return {
        name: errors(
            name, np.array([a[name] for a, _ in pairs]), np.array([b[name] for _, b in pairs])
        )
        for name in pairs[0][0]
    }


def main() -> None:
    """Solve, fit, compare, write."""
    parser = arguments(__doc__)
    parser.add_argument("--tight", type=int, default=TIGHT_POINTS, help="points solved tightly too")
    given = parser.parse_args()
    work = ROOT / "runs" / "validation" / "outputs"
    work.mkdir(parents=True, exist_ok=True)
    read = configuration(work, given.ledger)
    training, fresh, few = ((48,), 6, 1) if given.quick else (TRAINING, FRESH, given.tight)
    ledger, solver = Ledger(read.ledger), make_solver(read)
    with make_executor(read.compute, print) as executor:
        likelihoods, _ = make_likelihoods(read, solver, ledger, executor, "outputs")
        problem = make_problem(read, solver, likelihoods)
        exact = Exact(problem, ledger, executor, "outputs")
        designs = [
            latin_hypercube(problem, n, 1.0, seed)
            for n, seed in zip(training, TRAINING_SEEDS, strict=False)
        ]
        x, theories = solved(exact, np.concatenate(designs))
        new, truth = solved(exact, latin_hypercube(problem, fresh, 1.0, FRESH_SEED))
        print(f"{len(x)} solutions for training, {len(new)} fresh ones", flush=True)
    own = own_errors(problem, new[:few], truth[:few]) if few else {}
    noises = [likelihood.noise() for likelihood in likelihoods]
    k = problem.n_theory
    emulator, _ = build_emulator(problem.theory_names, problem.fixed, x[:, :k], theories, noises)
    names = problem.request.names()
    predicted = emulator.batch(new[:, :k], names)
    rows, checks = [], []
    for name in names:
        true = np.array([t[name] for t in truth])
        error = errors(name, np.asarray(predicted[name]), true)
        scalar = name not in OUTPUTS or OUTPUTS[name].kind == "scalar"
        numbers = (np.median(error), np.percentile(error, 99), error.max())
        row = (f"`{name}`", *(f"{number:.1e}" for number in numbers))
        rows.append((*row, *([f"{own[name].max():.1e}" if name in own else ""] if few else [])))
        if scalar or name in JUDGED + JUDGED_MORE:
            largest = float(error.max())
            checks.append(
                holds(
                    f"{name}, largest error",
                    f"{largest:.1e}",
                    f"at most {LIMIT:g}",
                    largest <= LIMIT,
                )
            )
    finish("outputs", _page(read, len(x), len(new), few, rows, checks), checks)


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
    head += ("CLASS's own, largest",) if few else ()
    settings = ", ".join(f"`{k} = {v:g}`" for k, v in TIGHT.items())
    return [
        "# Any output, in one emulator",
        f"One configuration file, CLASS {identity['version']} with the settings that stand in its "
        f"ledger, {training} solutions of two Latin hypercubes for training, {fresh} fresh points "
        "of another one: ± 3 widths of Planck in six parameters, the sum of the neutrino masses "
        "from 0 to 0.3 eV. Errors are relative and over all fresh points, redshifts and "
        "wavenumbers (the visibility's: of its maximum). z reaches 4 for power and growth, 1200 "
        "for the background, 10^4 for thermodynamics; k from 10^-4 to 10 / Mpc.",
        table(head, rows),
        f"The last column: those settings' own error at {few} of the fresh points, k up to "
        f"{TIGHT_K:g} / Mpc and z = {', '.join(f'{z:g}' for z in TIGHT_Z)} (ionisation: to 10^4), "
        f"from CLASS again with {settings}."
        if few
        else f"The error of those settings themselves was not measured (`--tight 4`: {settings}).",
        "## Bounds",
        check_table(checks),
    ]


if __name__ == "__main__":
    main()
