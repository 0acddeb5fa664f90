"""Sample, look for doubtful samples, certify; what fails joins the training, and once more."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from volvelle.boltzmann import LedgerEntry
from volvelle.compute import UnsendableError
from volvelle.emulator import Emulator
from volvelle.inference import (
    Chains,
    Diagnostics,
    InferenceError,
    Laplace,
    Method,
    Nested,
    Posterior,
    as_given,
    bridge,
    check_defined,
    check_differentiable,
    draw,
    laplace,
    load_chains,
    log_probs_at,
    name_of,
    needs_gradients,
    rough_start,
    run_chains_on,
    save_chains,
)
from volvelle.training.adaptive import DOUBTFUL, FAILED
from volvelle.training.base import Training
from volvelle.training.certificate import Certificate, certify
from volvelle.training.problem import outline
from volvelle.training.weights import effective_number, weights_at

ROUNDS = 8  # of sampling; doubtful samples and each failed certificate's points join the training
BEST_STARTS = 3
LOOKS = 5  # at the samples of the same chains, with as many batches of doubtful ones solved
STILL_GOOD = 0.3  # of the samples, effective once re-weighted; below, new chains are drawn
COMPARED = 64  # stored samples whose ln P is computed again
SAME = 1e-3  # difference of ln P up to which an emulator is the same, fitted again
FITTING, SAMPLING, CERTIFYING = "fit and explore", "sampling", "certificate"


@dataclass(frozen=True)
class Settings:
    """How a posterior is sampled and certified.

    ``derived``: what is certified besides the sampled parameters; ``limit``: of |shift| + 2 errors
    [sigma]; ``points`` and ``max_points``: exact solutions of a certificate, at first and at most;
    ``evidence``: bridge sampling of ln Z, where the method gives none.
    """

    method: Method
    chains: int
    draws: int
    derived: tuple[str, ...]
    limit: float
    points: int
    max_points: int
    seed: int
    evidence: bool = False


@dataclass(frozen=True)
class Outcome:
    """The last round: emulator, its posterior and samples, the verdict on them.

    ``trained``: whether the training met its rule; ``lost``: failed solutions of the certificates
    whose points joined the training.
    """

    emulator: Emulator
    posterior: Posterior
    chains: Chains
    certificate: Certificate
    trained: bool
    lost: tuple[LedgerEntry, ...]


@dataclass
class Rounds:
    """Train, sample, certify, until certified or no more can be done.

    Chains are kept in ``folder`` and not drawn again. ``stage`` is entered with the name of each
    step, for an account of its time; ``say`` and ``progress`` tell what goes on.
    """

    trainer: Training[Any]
    settings: Settings
    folder: Path
    say: Callable[[str], None] = lambda text: None
    progress: Callable[[int, int], None] | None = None
    stage: Callable[[str], AbstractContextManager[Any]] = lambda name: nullcontext()
    watch: Callable[[int, Diagnostics], None] | None = None
    lost: list[LedgerEntry] = field(default_factory=list)

    def run(self, warm: np.ndarray | None = None) -> Outcome:
        """All rounds; ``warm`` as in ``Training.run``."""
        self._check_gradient()
        with self.stage(FITTING):
            trained = self.trainer.run(warm)
        tried = 0
        for number in range(ROUNDS):
            emulator = self.trainer.emulator
            assert emulator is not None, "training ends with an emulator"
            posterior = self.trainer.exact.problem.posterior(emulator)
            with self.stage(SAMPLING):
                chains = self._sample(posterior, number)
            last = number == ROUNDS - 1
            if not last and self._solve_doubtful(chains):
                continue
            with self.stage(CERTIFYING):
                tried += 1
                certificate = replace(self._certify(posterior, chains, number), number=tried)
            if certificate.passed or last or not self.trainer.takes(certificate.n):
                break
            self.say(certificate.words())
            self.say("not certified yet: its solutions join the training set")
            self.lost += [entry for entry in certificate.entries if entry.failed]
            self._add(certificate.points[certificate.weighty], FAILED)
        return Outcome(emulator, posterior, chains, certificate, trained, tuple(self.lost))

    def _solve_doubtful(self, chains: Chains) -> bool:
        """Solve the doubtful samples of the chains; whether there were any.

        Each batch makes another emulator, of whose posterior the same samples, re-weighted, tell
        what is doubtful still: a fit takes seconds, new chains minutes.
        """
        weights = None
        for _ in range(LOOKS):
            doubtful = self.trainer.doubtful(chains.flat, weights)
            if doubtful is None:
                return weights is not None
            self._add(doubtful, DOUBTFUL)
            emulator = self.trainer.emulator
            assert emulator is not None, "what was added is fitted"
            posterior = self.trainer.exact.problem.posterior(emulator)
            now = log_probs_at(posterior, chains.flat)
            weights = weights_at(now - chains.log_prob.reshape(-1), 1.0)
            if effective_number(weights) < STILL_GOOD * len(weights):
                break
        return True

    def _add(self, x: np.ndarray, reason: str) -> None:
        with self.stage(FITTING):
            self.trainer.add(x, reason)

    def _sample(self, posterior: Posterior, number: int) -> Chains:
        path = self.folder / f"chains_{number}.safetensors"
        known = self._known(path, posterior)
        if known is not None:
            return known
        posterior = posterior.softened(self.trainer.widths())
        settings = self.settings
        mode = self._start(posterior)
        self.say(f"sampling: {settings.chains} chains of {settings.draws} draws")
        seed = settings.seed + 104729 * (number + 1)
        size: dict[str, int] = {"chains": settings.chains, "draws": settings.draws, "seed": seed}
        chains = self._sample_elsewhere(posterior, mode, size)
        if chains is None:
            unfinished = self.folder / f"unfinished_{number}"
            chains = draw(
                posterior,
                mode,
                settings.method,
                **size,
                progress=self.progress,
                watch=self.watch,
                folder=unfinished,
                say=self.say,
            )
            shutil.rmtree(unfinished, ignore_errors=True)
        if settings.evidence:
            chains = self._with_evidence(posterior, chains)
        save_chains(path, chains)
        return chains

    def _start(self, posterior: Posterior) -> Laplace:
        """Where sampling begins and how wide it is there, from the likeliest solutions; by
        gradients only where the method needs them itself.

        Raises UndefinedError where ln L is NaN at the likeliest of them.
        """
        known = self.trainer.judged & ~np.isnan(self.trainer.log_like)  # inside of the priors
        likely = np.where(known, self.trainer.log_like, -np.inf)
        x = self.trainer.x[np.argsort(likely)[-BEST_STARTS:]]
        check_defined(posterior, x[-1])
        settings, scale = self.settings, self.trainer.exact.problem.ref_scale
        if needs_gradients(settings.method):
            return laplace(posterior, x, scale)
        if isinstance(settings.method, Nested):  # which asks for no start
            return as_given(posterior, x[-1], scale)
        return rough_start(posterior, x[-1], scale, settings.seed)

    def _check_gradient(self) -> None:
        """Raise GradientError, before anything is solved, if the method needs gradients that a
        likelihood does not have."""
        problem, method = self.trainer.exact.problem, self.settings.method
        foreign = None if problem.learns_likelihood else problem.foreign
        if foreign is not None and needs_gradients(method):
            theory = self.trainer.emulator or outline(problem.request)
            check_differentiable(foreign.posterior(theory), name_of(method))

    def _with_evidence(self, posterior: Posterior, chains: Chains) -> Chains:
        """With ln Z, where it can be had; why not is said."""
        if chains.refused or "log_evidence" in chains.facts:
            return chains
        try:
            found = bridge(posterior, chains, seed=self.settings.seed)
        except InferenceError as error:
            self.say(f"no evidence: {error}")
            return chains
        own = {"log_evidence": found.log_z, "log_evidence_error": found.error}
        return replace(chains, facts={**chains.facts, **own})

    def _known(self, path: Path, posterior: Posterior) -> Chains | None:
        """Chains that were drawn before, if they are of this very posterior.

        A training that was repeated by another version, or after a solution that had failed was
        there, ends in another emulator; its own weights at another one's samples would all be
        near one, and certify them.
        """
        if not path.exists():
            return None
        chains = load_chains(path, posterior.names)
        number, draws, dimension = chains.samples.shape
        # an ensemble has a chain per walker
        whole = number % self.settings.chains == 0 and draws == self.settings.draws
        if whole and dimension == len(posterior.names):
            some = np.linspace(0, len(chains.flat) - 1, COMPARED).astype(int)
            now = log_probs_at(posterior, chains.flat[some])
            if np.all(np.abs(now - chains.log_prob.reshape(-1)[some]) <= SAME):
                return chains
        self.say(f"{path.name} was drawn from another emulator or with other settings: drawn again")
        return None

    def _sample_elsewhere(
        self, posterior: Posterior, mode: Laplace, size: dict[str, int]
    ) -> Chains | None:
        """The chains, if there are other machines to run them; None if they must run here."""
        executor = self.trainer.exact.executor
        if not executor.remote:
            return None
        self.say("on the cluster")
        try:
            return run_chains_on(executor, posterior, mode, self.settings.method, **size)
        except UnsendableError as error:
            self.say(f"sampling on this machine: {error}")
            return None

    def _certify(self, posterior: Posterior, chains: Chains, number: int) -> Certificate:
        settings = self.settings
        return certify(
            self.trainer.exact,
            posterior,
            chains,
            settings.derived,
            limit=settings.limit,
            points=settings.points,
            max_points=settings.max_points,
            seed=settings.seed + 15485863 * (number + 1),
            avoid=self.trainer.x,
            say=self.say,
        )
