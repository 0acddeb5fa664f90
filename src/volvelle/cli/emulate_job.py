"""What ``volvelle emulate`` does: train, certify, write."""

from __future__ import annotations

import numpy as np
from rich.console import Console

from ..boltzmann import Ledger, Request, Solver
from ..emulator import load_emulator
from ..inference import make_prior
from ..learning import write_atomically
from ..training import BoxTraining, Exact, Problem
from . import setup
from .account import Account
from .computing import make_executor
from .emulate_configuration import EmulateConfiguration
from .emulator_check import check_table
from .progress import Reporter


def emulate_box(configuration: EmulateConfiguration, *, progress: bool = True) -> int:
    """Train the emulator of a box and write it; 0 when its certificate shows the accuracy, else 1.

    A finished output folder is read, not computed again. Raises VolvelleError for what the user
    can mend.
    """
    console = Console()
    reporter = Reporter(console, silent=not progress)
    account = Account.open(configuration)
    folder = configuration.output / "emulator"
    if (folder / "model.json").exists():
        reporter.say(f"{configuration.output}: this training is finished")
        certificate = load_emulator(folder)[1]["certificate"]
    else:
        write_atomically(configuration.output / "config.yaml", configuration.text.encode())
        with make_executor(configuration.compute, reporter.say) as executor:
            solver = setup.get_solver(configuration.solver_name, **configuration.solver_settings)
            exact = Exact(
                box_problem(configuration, solver),
                Ledger(configuration.ledger),
                executor,
                account.run,
                reporter.solving,
            )
            training = BoxTraining(
                exact,
                configuration.settings,
                configuration.output / "training",
                configuration.outputs,
                reporter.say,
            )
            with account.stage("training"), reporter.bar("exact solutions"):
                training.run()
        record = training.record()
        training.emulator.save(folder, record)
        certificate = record["certificate"]
        if progress:
            about = {"solver": record["solver"], "other_solver": []}
            console.print(check_table({**certificate, **about}))
    if progress:
        console.print(certificate["words"], highlight=False, markup=False, soft_wrap=True)
        console.print(f"emulator: {folder}", highlight=False, soft_wrap=True)
    return 0 if certificate["passed"] else 1


def box_problem(configuration: EmulateConfiguration, solver: Solver) -> Problem:
    """The universe over the box, without likelihoods."""
    sampled = configuration.sampled
    return Problem(
        names=tuple(p.name for p in sampled),
        n_theory=len(sampled),
        priors=tuple(make_prior(p.prior) for p in sampled),
        ref_loc=np.array([p.ref_loc for p in sampled]),
        ref_scale=np.array([p.ref_scale for p in sampled]),
        fixed=dict(configuration.fixed),
        neutrino_hierarchy=configuration.neutrino_hierarchy,
        likelihoods=(),
        solver=solver,
        request=Request.of(configuration.outputs, configuration.lmax),
        parametrisation=configuration.parametrisation,
    )
