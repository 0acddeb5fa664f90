"""What a sampler has drawn: samples of the parameters, and what is known about them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from volvelle.inference.diagnostics import Diagnostics, diagnose
from volvelle.inference.errors import InferenceError
from volvelle.learning import write_atomically

NOT_CORRECTED = "none"  # how the fact "correction" of an approximation's own draws begins


@dataclass(frozen=True)
class Chains:
    """Samples of the parameters [c, n, d] with their ln posterior [c, n].

    ``acceptance`` and ``divergences`` are of the draws; ``evaluations`` and ``gradients`` (those of
    them that came with a gradient) count starts, warm-up, fits and the search for the maximum with
    its curvature too (a product of the Hessian with a vector as a gradient), ``draw_evaluations``
    does not.
    ``effective``: what importance weights leave of the samples, where they were resampled.
    ``facts``: numbers that the method found besides, by name (ln evidence, k-hat, ...).
    ``refused``: why these samples must not be used, if so.
    """

    names: tuple[str, ...]
    samples: np.ndarray
    log_prob: np.ndarray
    acceptance: float
    divergences: int
    evaluations: int
    gradients: int = 0
    draw_evaluations: int = 0
    effective: float | None = None
    facts: Mapping[str, float | str] = field(default_factory=dict)
    refused: str | None = None

    @property
    def flat(self) -> np.ndarray:
        """All samples [c n, d]."""
        return self.samples.reshape(-1, self.samples.shape[2])

    @property
    def divergent(self) -> float:
        """Share of the draws whose trajectory diverged: where it did, samples are missing."""
        return self.divergences / len(self.flat)

    @property
    def own(self) -> bool:
        """Whether these are draws of an approximation as it is, which are not of the posterior."""
        return str(self.facts.get("correction", "")).startswith(NOT_CORRECTED)

    @property
    def diagnostics(self) -> Diagnostics:
        """R-hat and effective sample sizes, none larger than the weights allow."""
        found = diagnose(self.names, self.samples)
        if self.effective is None:
            return found
        return Diagnostics(self.names, found.r_hat, np.fmin(found.ess, self.effective))


def save_chains(path: Path, chains: Chains, fingerprint: str = "") -> None:
    """Write all of it, with the name of the computation that it came from."""
    tensors = {
        "samples": np.ascontiguousarray(chains.samples),
        "log_prob": np.ascontiguousarray(chains.log_prob),
        "counts": np.array([chains.acceptance, chains.divergences, chains.evaluations]),
    }
    more = {
        "gradients": chains.gradients,
        "draw_evaluations": chains.draw_evaluations,
        "effective": chains.effective,
        "facts": dict(chains.facts),
        "refused": chains.refused,
    }
    write_atomically(path, save(tensors, {"more": json.dumps(more), "fingerprint": fingerprint}))


def fingerprint_in(path: Path) -> str:
    """The name of the computation that a file of chains came from; empty where it has none.

    Raises InferenceError if the file is damaged.
    """
    return _metadata(path).get("fingerprint", "")


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="numpy") as stream:
            return stream.metadata() or {}
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InferenceError:
    return InferenceError(f"{path} is damaged ({error}); delete it, and its chains are drawn again")


def load_chains(path: Path, names: Sequence[str]) -> Chains:
    """Read what ``save_chains`` wrote; files of earlier versions lack what was not known then.

    Raises InferenceError if the file is damaged.
    """
    try:
        tensors = load(path.read_bytes())
        more = json.loads(_metadata(path).get("more", "{}"))
        samples, log_prob = tensors["samples"], tensors["log_prob"]
        acceptance, divergences, evaluations = tensors["counts"]
    except (SafetensorError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error
    return Chains(
        tuple(names),
        samples,
        log_prob,
        float(acceptance),
        int(divergences),
        int(evaluations),
        **more,
    )
