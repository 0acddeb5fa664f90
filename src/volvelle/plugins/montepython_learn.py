"""A posterior learned from within a run of MontePython.

    data.cosmo_arguments['volvelle_learn'] = 'yes'

in a parameter file that is run with the stand-in for CLASS: where MontePython would compute its
first model, the posterior of its likelihoods with CLASS itself is learned, sampled and certified
instead, as ``volvelle learn FOLDER`` does, and the run ends.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax

from volvelle.boltzmann import Ledger, default_ledger
from volvelle.compute import ProcessExecutor
from volvelle.plugins.class_words import LEARN
from volvelle.plugins.errors import ForeignError
from volvelle.plugins.learned_posterior import LearningOptions, learn_posterior
from volvelle.plugins.montepython_model import MontePythonModel

OPTIONS = {
    "volvelle_accuracy": ("accuracy", float),
    "volvelle_max_training": ("max_training", int),
    "volvelle_points": ("points", int),
    "volvelle_draws": ("draws", int),
}
"""Inputs beside it, with the option of ``LearningOptions`` that each one is."""


def learn_from_within(inputs: Mapping[str, Any]) -> NoReturn:
    """Learn the posterior of the run that this process is, and leave: status 0 if certified.

    Args:
        inputs: of the stand-in, ``OPTIONS`` among them.

    Raises ForeignError where the run's folder is not found, and what ``learn_posterior`` raises.
    """
    jax.config.update("jax_enable_x64", True)
    folder = run_folder(sys.argv)
    given = {name: kind(inputs[key]) for key, (name, kind) in OPTIONS.items() if key in inputs}
    model = MontePythonModel.load(folder).of_class()
    output = folder.with_name(f"{folder.name}_volvelle")
    with ProcessExecutor() as executor:
        found = learn_posterior(
            model, output, LearningOptions(**given), Ledger(default_ledger()), executor, _say, _tell
        )
    found.write(output, {})
    certificate = found.outcome.certificate
    _say(certificate.words())
    _say(f"samples: {output / 'reweighted'}.*")
    raise SystemExit(0 if certificate.passed else 1)


def run_folder(arguments: Sequence[str]) -> Path:
    """The output folder in the arguments of ``MontePython.py run``."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-o", "--output", type=Path)
    folder = parser.parse_known_args(arguments[1:])[0].output
    if folder is None:
        raise ForeignError(
            f"{LEARN} is set, but the run has no -o FOLDER; give it one, where MontePython keeps "
            "its log.param"
        )
    return folder


def _say(text: str) -> None:
    print(f"volvelle: {text}", flush=True)


def _tell(done: int, total: int, failed: int, cached: int, left: float | None) -> None:
    if total and (done == total or done % max(1, total // 10) == 0):
        rest = "" if left is None else f", {left:.0f} s left"
        _say(f"evaluations: {done} of {total} ({cached} known){rest}")
