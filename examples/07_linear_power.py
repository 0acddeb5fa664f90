"""How the linear power spectrum that the package ships was learned from CLASS.

    python examples/07_linear_power.py --output runs/linear-power

As it stands, that is the way of the shipped one: 475 solutions, 95 finer ones that correct what was
learned of them, the long waves of all 570 anew, 120 finer ones without mass, 44 with three massive
states, and 58 more that judge it. (When the shipped one was corrected, what was learned first had
no block of its own above 0.06/Mpc, and cubics took it to its nodes; it has one here, and splines of
degree 7.) Each takes 5 to 15 seconds of a core, the finer ones twice that, long waves and those
without mass a few, and is kept in the ledger: an interrupted training goes on, and a longer one
begins where a shorter one has ended. What comes out is a folder that
`volvelle.power.LearnedPower.load` opens, and a record of its errors at fresh solutions.
"""

import argparse
import json
from pathlib import Path

import jax

from volvelle.boltzmann import Ledger, default_ledger
from volvelle.compute import ProcessExecutor
from volvelle.learning import save_model
from volvelle.training.linear_power import (
    add_massless,
    add_pairs,
    correct_linear_power,
    fit_linear_power,
    judge,
    learn_long_waves,
)
from volvelle.training.linear_power_design import (
    BOX,
    FINER,
    FRESH_LIGHT_SEED,
    FRESH_SEED,
    PRECISION,
    design,
    exact_solver,
    fresh_several_design,
    light_design,
    massless_design,
    several_design,
    solve_design,
)
from volvelle.training.long_waves import DENSER, LONG, solve_judges, solve_long_waves


def say(done: int, total: int, failed: int, known: int, left: float | None) -> None:
    """Progress, a line every tenth solution."""
    if done % 10 == 0 or done == total:
        rest = "" if left is None else f", {left / 60:.0f} min left"
        print(f"solutions: {done} of {total} ({known} known, {failed} failed){rest}", flush=True)


def main() -> None:
    """Solve, fit, judge, store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--solutions", type=int, default=415, help="to train on, in the whole box (default: 415)"
    )
    parser.add_argument(
        "--light", type=int, default=60, help="to train on, with up to 0.06 eV (default: 60)"
    )
    parser.add_argument(
        "--finer", type=int, default=80, help="to correct it, in the whole box (default: 80)"
    )
    parser.add_argument(
        "--finer-light", type=int, default=15, help="to correct it, up to 0.06 eV (default: 15)"
    )
    parser.add_argument(
        "--massless", type=int, default=120, help="to train on, without mass (default: 120)"
    )
    parser.add_argument(
        "--several", type=int, default=44, help="to train on, with three massive states"
    )
    parser.add_argument(
        "--fresh", type=int, default=30, help="to judge it, in the whole box (default: 30)"
    )
    parser.add_argument(
        "--fresh-light", type=int, default=10, help="to judge it, up to 0.06 eV (default: 10)"
    )
    parser.add_argument(
        "--fresh-massless", type=int, default=10, help="to judge it, without mass (default: 10)"
    )
    parser.add_argument(
        "--fresh-several", type=int, default=8, help="to judge it, with three massive states"
    )
    parser.add_argument("--workers", type=int, help="processes (default: all cores)")
    parser.add_argument("--output", type=Path, default=Path("runs/linear-power"))
    given = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    ledger = Ledger(default_ledger())
    with ProcessExecutor(given.workers) as executor:
        points = design(0, given.solutions) + light_design(0, given.light)
        training = solve_design(points, ledger, executor, say)
        points = design(given.solutions, given.finer) + light_design(given.light, given.finer_light)
        finer = solve_design(points, ledger, executor, say, finer=True)
        long = solve_long_waves(training.points + finer.points, ledger, executor, say)
        points = massless_design(given.solutions + given.finer, given.massless)
        massless = solve_judges(points, ledger, executor, say)
        several = solve_design(several_design(0, given.several), ledger, executor, say, finer=True)
        judges = [
            solve_judges(points, ledger, executor, say)
            for points in (
                design(0, given.fresh, FRESH_SEED),
                light_design(0, given.fresh_light, FRESH_LIGHT_SEED),
                massless_design(given.fresh, given.fresh_massless, FRESH_SEED),
                fresh_several_design(given.fresh_several),
            )
        ]
    learned, _ = fit_linear_power(training)
    learned, _ = correct_linear_power(learned, training.points, finer)
    learned, _ = learn_long_waves(learned, long)
    learned, _ = add_massless(learned, long.points, massless)
    learned, _ = add_pairs(learned, several)
    certificate, light, none, three = (judge(learned, fresh) for fresh in judges)
    record = {
        "solutions": len(training.points),
        "finer_solutions": len(finer.points),
        "long_solutions": len(long.points),
        "massless_solutions": len(massless.points),
        "several_solutions": len(several.points),
        "box": dict(BOX),
        "solver": exact_solver(finer=True).identity(),
        "precision": dict(FINER),
        "precision_of_the_first": dict(PRECISION),
        "precision_of_long_waves": dict(LONG),
        "modes_of_the_judges": DENSER,
        "certificate": certificate,
        "certificate_light": light,
        "certificate_massless": none,
        "certificate_several": three,
    }
    save_model(learned, given.output, record)
    judged = {"all": certificate, "up to 0.06 eV": light, "without mass": none}
    judged["three massive states"] = three
    print(json.dumps(judged, indent=2))


if __name__ == "__main__":
    main()
