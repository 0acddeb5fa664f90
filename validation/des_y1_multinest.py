"""DES Y1's 3x2pt by MultiNest: the published posterior's sampler on this package's likelihood.

The samples of arXiv:1708.01530 are MultiNest's (Feroz, Hobson & Bridges 2009), whose ellipsoids cut
off part of what a chain reaches. Here it draws from the very posterior that example 22 has its
chains of, so that what differs is the sampler alone: 250 live points and efficiency 0.3, as in
public files of the survey's pipeline, tolerance 0.1, with ellipsoids that hold as much as they must
and with such that keep the efficiency at 0.3 (`constant`), whatever they cut off. Which settings
the published samples have is not known here.

    git clone --depth 1 https://github.com/JohannesBuchner/MultiNest   # build it: cmake, gfortran
    python validation/des_y1_multinest.py --library MultiNest/lib/libmultinest.so

Without the library there is nothing to compare with, and it ends. MultiNest keeps what it has done
and goes on from there; `--from` and `--choices` name finished runs of example 22 and of the same
with a flat sky and three massive states (see des_y1_posterior.py). Two hours of one core. Writes
docs/validation/des_y1_multinest.md with its figure.
"""

from __future__ import annotations

import ctypes
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import (  # isort: skip
    PAGES,
    ROOT,
    Check,
    arguments,
    at_most,
    check_table,
    finish,
    moments,
    run,
    table,
)

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import yaml
from des_y1_posterior import LIMIT, PUBLISHED, interval, with_choices

from volvelle import Configuration
from volvelle.boltzmann import Ledger
from volvelle.cli.computing import make_executor
from volvelle.cli.setup import make_likelihoods, make_problem, make_solver
from volvelle.report import Chain, overlay, read_chain
from volvelle.training import DirectTheory, Problem

LIVE, EFFICIENCY, TOLERANCE, UPDATE = 250, 0.3, 0.1, 200
LOG_ZERO = -1e30
WAYS = (("as it must be", 1), ("as it must be", 2), ("constant", 1), ("constant", 2))
"""The efficiency, and the seed."""
SHOWN = ("Omega_m", "sigma8", "S8", "h", "A_IA")
Likelihood = ctypes.CFUNCTYPE(
    ctypes.c_double, ctypes.POINTER(ctypes.c_double), ctypes.c_int, ctypes.c_int, ctypes.c_void_p
)
Dumper = ctypes.CFUNCTYPE(None)


@dataclass(frozen=True)
class Drawn:
    """Samples of a run of MultiNest with its number of calls and its ln Z."""

    chain: Chain
    calls: int
    log_evidence: tuple[float, float]


def problem_of(folder: Path, ledger: Path | None) -> Problem:
    """The problem of a finished run."""
    read = Configuration.load(folder / "config.yaml", files=False)
    solver = make_solver(read)
    with make_executor(read.compute, print) as executor:
        likelihoods, _ = make_likelihoods(
            read, solver, Ledger(ledger or read.ledger), executor, "MultiNest"
        )
    return make_problem(read, solver, likelihoods)


def multinest(
    library: ctypes.CDLL,
    log_likelihood: Callable[[np.ndarray], float],
    d: int,
    root: Path,
    constant: bool,
    seed: int,
) -> None:
    """Run it on the unit cube, or go on; its files begin with ``root``."""

    def call(cube: Any, n_dim: int, n_par: int, context: Any) -> float:
        try:
            value = log_likelihood(np.ctypeslib.as_array(cube, shape=(n_par,))[:n_dim].copy())
        except BaseException:  # MultiNest would go on without a word
            traceback.print_exc()
            os._exit(1)
        return value if np.isfinite(value) else LOG_ZERO

    nobody_listens = Dumper(lambda: None)
    wrapped = (ctypes.c_int * d)()
    yes, no = ctypes.c_bool(True), ctypes.c_bool(False)
    library.run(
        yes, no, ctypes.c_bool(constant), ctypes.c_int(LIVE), ctypes.c_double(TOLERANCE),
        ctypes.c_double(EFFICIENCY), ctypes.c_int(d), ctypes.c_int(d), ctypes.c_int(d),
        ctypes.c_int(1), ctypes.c_int(UPDATE), ctypes.c_double(-1e90), os.fsencode(root),
        ctypes.c_int(seed), wrapped, yes, yes, yes, no, ctypes.c_double(LOG_ZERO), ctypes.c_int(0),
        Likelihood(call), nobody_listens, ctypes.byref(ctypes.c_int(0)),
    )  # fmt: skip


def drawn(
    library: ctypes.CDLL, problem: Problem, kept: Path, constant: bool, seed: int, sampled: Chain
) -> Drawn:
    """Samples of MultiNest of a problem's posterior, from the files ``kept`` where it is done."""
    theory = DirectTheory.of(problem)
    posterior = problem.posterior(theory)

    def point(cube: jax.Array) -> jax.Array:
        return jnp.stack([p.quantile(cube[i]) for i, p in enumerate(posterior.priors)])

    value = eqx.filter_jit(lambda posterior, cube: posterior.log_likelihood(point(cube)))

    def log_likelihood(cube: np.ndarray) -> float:
        return float(value(posterior, jnp.asarray(cube)))

    kept.mkdir(parents=True, exist_ok=True)
    d = len(posterior.names)
    root = kept / f"{'constant' if constant else 'seed'}-{seed}-"
    done = Path(f"{root}done")
    if not done.exists():
        multinest(library, log_likelihood, d, root, constant, seed)
        done.touch()
    rows = np.loadtxt(f"{root}.txt")
    weights, cubes = rows[:, 0], rows[:, 2:]
    x = np.asarray(jax.vmap(point)(jnp.asarray(cubes)))
    columns = dict(zip(posterior.names, x.T, strict=True)) | theory.batch(
        x[:, : problem.n_theory], ("Omega_m", "sigma8", "S8")
    )
    chain = Chain(
        names=SHOWN,
        labels=sampled.labels,
        derived=sampled.derived,
        samples=np.column_stack([columns[name] for name in SHOWN]),
        weights=weights,
        lengths=(len(x),),
        ranges=sampled.ranges,
    )
    calls = int(Path(f"{root}resume.dat").read_text().split("\n")[1].split()[1])
    words = Path(f"{root}stats.dat").read_text().splitlines()[0].split()
    return Drawn(chain, calls, (float(words[-3]), float(words[-1])))


def row(name: str, what: str, chain: Chain, sampled: Chain) -> list[str]:
    """A parameter's mean with its interval, and how far that is from the published and from the
    chains'."""
    mean, low, high = interval(chain.column(name), chain.weights)
    _, spread = moments(chain.column(name), chain.weights)
    middle, width = moments(sampled.column(name), sampled.weights)
    published, above, below = PUBLISHED[name]
    return [
        name, what, f"{mean:.4f} +{high - mean:.4f} -{mean - low:.4f}",
        f"{(mean - published) / (0.5 * (above + below)):+.2f}", f"{(mean - middle) / width:+.2f}",
        f"{spread / width:.3f}", f"{chain.effective_size():.0f}",
    ]  # fmt: skip


HEAD = (
    "",
    "by",
    "mean and central 68%",
    "off the published [its error]",
    "off the chains [their width]",
    "width over the chains'",
    "samples (sum w)^2 / sum w^2",
)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--library", type=Path, help="libmultinest.so")
    parser.add_argument("--from", dest="folder", type=Path, help="folder of the run")
    parser.add_argument("--choices", type=Path, help="folder of the run with the other choices")
    given = parser.parse_args()
    if given.library is None:
        print("nothing to compare with: give MultiNest's libmultinest.so with --library")
        sys.exit(0)
    library = ctypes.CDLL(str(given.library.resolve()))
    content = yaml.safe_load((ROOT / "examples" / "22_des_y1_own_priors.yaml").read_text())
    cases = {
        "as example 22": (given.folder, "des-y1-own-priors", content),
        "a flat sky, three states": (
            given.choices,
            "validation/des-y1-choices",
            with_choices(content),
        ),
    }
    checks: list[Check] = []
    parts = []
    for words, (folder, name, changed) in cases.items():
        place = folder or ROOT / "runs" / name
        if not folder:
            run(changed, place, given.ledger)
        sampled = read_chain(place, "emulator")
        problem = problem_of(place, given.ledger)
        kept = ROOT / "runs" / "validation" / "des-y1-multinest" / place.name
        found = {
            f"MultiNest, efficiency {how}, seed {seed}": drawn(
                library, problem, kept, how == "constant", seed, sampled
            )
            for how, seed in WAYS
        }
        ways = {"chains (NUTS)": sampled} | {name: each.chain for name, each in found.items()}
        rows = [row(p, way, chain, sampled) for p in PUBLISHED for way, chain in ways.items()]
        for parameter, (published, above, below) in PUBLISHED.items():
            means = [
                np.average(each.chain.column(parameter), weights=each.chain.weights)
                for name, each in found.items()
                if "constant" not in name
            ]
            off = abs(float(np.mean(means)) - published) / (0.5 * (above + below))
            checks.append(
                at_most(f"{parameter} off the published one, {words} [sigma]", off, LIMIT)
            )
        parts += [
            f"## {words[0].upper()}{words[1:]}",
            table(HEAD, rows),
            "; ".join(
                f"{name}: {each.calls} values of ln L, "
                f"ln Z = {each.log_evidence[0]:.2f} ± {each.log_evidence[1]:.2f}"
                for name, each in found.items()
            )
            + ".",
        ]
        if folder == given.folder:
            figure = overlay(ways, SHOWN, truth={n: value[0] for n, value in PUBLISHED.items()})
            figure.savefig(PAGES / "des_y1_multinest.png", dpi=120)
    head = [
        "# DES Y1 3x2pt: MultiNest in the place of chains",
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        check_table(checks),
    ]
    picture = "![Contours of 68% and 95%; crosses: published means](des_y1_multinest.png)"
    finish("des_y1_multinest", [*head, *parts, picture], checks)


if __name__ == "__main__":
    main()
