"""The verdict and the certificate in plain sentences, made from the numbers of the summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .numbers import significant
from .record import is_finite

CONVERGED = "converged"
SIMULATED = "SIMULATED DATA"
# Above 0.7 an importance-sampling estimate of a finite number of points is not to be trusted
# (Vehtari et al., arXiv:1507.02646, section 3.2.4).
PARETO_K_LIMIT = 0.7
UNCORRECTED = "none, as was asked for"  # in `found`, of draws that `uncorrected: true` kept
SIMULATED_SENTENCE = (
    "The bandpowers behind these numbers were simulated at a fiducial model. "
    "They say nothing about the universe."
)


def blinded_sentence(summary: dict[str, Any]) -> str:
    """What a blinded run does not tell; empty for any other."""
    names = summary.get("blinded") or []
    if not names:
        return ""
    are = "is" if len(names) == 1 else "are"
    return (
        f"Blinded: {', '.join(names)} {are} shifted by a hidden amount, and everything derived is "
        "left out. volvelle unblind FOLDER shows them, once and for all."
    )


@dataclass(frozen=True)
class Verdict:
    """Whether the run may be believed, and in red why not."""

    good: bool
    title: str
    reasons: tuple[str, ...]


def verdict(summary: dict[str, Any]) -> Verdict:
    """The verdict on a run: good only when status, diagnostics and certificate all say so."""
    status = str(summary["status"])
    diagnostics = summary.get("diagnostics") or {}
    certificate = summary.get("certificate") or {}
    reasons = []
    refused = diagnostics.get("refused")
    if refused:
        reasons.append(f"{refused[0].upper()}{refused[1:]}.")
    elif diagnostics.get("converged") is not True or status == "not converged":
        reasons.append(
            "The chains have not converged: worst R-hat "
            f"{significant(diagnostics.get('r_hat_max'), 4)}, smallest effective sample size "
            f"{significant(diagnostics.get('ess_min'), 4)}, share of divergent trajectories "
            f"{significant(diagnostics.get('divergent_share'), 2)}. Do not use these numbers; let "
            "the sampler run longer, or with a higher target_accept where trajectories diverge."
        )
    if not certificate:
        reasons.append("There is no certificate: no exact solution has checked the emulator.")
    elif certificate.get("passed") is not True or status == "certificate failed":
        reasons.append(
            "The certificate failed: the exact solutions move the posterior by more than the "
            "requested accuracy, or too few of them were made to exclude it."
        )
    if status != CONVERGED and not reasons:
        reasons.append(f"The run ended with the status '{status}'.")
    title = status if reasons and status != CONVERGED else CONVERGED
    if reasons and title == CONVERGED:
        title = "not converged" if diagnostics.get("converged") is not True else "not certified"
    return Verdict(not reasons, title, tuple(reasons))


def _shifts(certificate: dict[str, Any]) -> list[tuple[str, float, float]]:
    return [
        (name, abs(entry["mean_shift_sigma"]), entry["mean_shift_error"])
        for name, entry in (certificate.get("parameters") or {}).items()
        if is_finite(entry.get("mean_shift_sigma")) and is_finite(entry.get("mean_shift_error"))
    ]


def largest_shift(certificate: dict[str, Any]) -> tuple[str, float, float] | None:
    """The parameter whose mean moves most, with |shift| and its error [sigma]."""
    return max(_shifts(certificate), key=lambda item: item[1], default=None)


def largest_bound(certificate: dict[str, Any]) -> tuple[str, float] | None:
    """The parameter whose |shift| + 2 errors is largest, with that sum [sigma]."""
    bounds = ((name, shift + 2 * error) for name, shift, error in _shifts(certificate))
    return max(bounds, key=lambda item: item[1], default=None)


def worst_width(certificate: dict[str, Any]) -> tuple[str, float, float | None] | None:
    """The parameter whose width ratio is farthest from 1, with the ratio and its error."""
    widths = [
        (name, entry["width_ratio"], entry.get("width_ratio_error"))
        for name, entry in (certificate.get("parameters") or {}).items()
        if is_finite(entry.get("width_ratio"))
    ]
    return max(widths, key=lambda item: abs(item[1] - 1)) if widths else None


def solver_name(summary: dict[str, Any]) -> str:
    """CLASS or CAMB as the run recorded it, else `solver`."""
    recorded = [summary.get("solver"), *(summary.get("cites") or [])]
    for word in (str(item).lower() for item in recorded if item):
        if word.startswith("class"):
            return "CLASS"
        if word.startswith("camb"):
            return "CAMB"
    return "solver"


def certificate_sentences(summary: dict[str, Any]) -> list[str]:
    """The certificate in words, one sentence per statement."""
    certificate = summary.get("certificate") or {}
    if not certificate:
        return ["This run has no certificate: its numbers rest on the emulator alone."]
    sentences = []
    shift = largest_shift(certificate)
    number = certificate.get("n")
    if shift and is_finite(number):
        name, value, error = shift
        exact = f"{number} exact {solver_name(summary)} solutions"
        sentences.append(
            f"Replacing the emulator by {exact} moves no mean by more than {value:.3f} ± "
            f"{error:.3f} of its standard deviation (the largest is {name})."
        )
    sentences += _limit_sentence(certificate)
    width = worst_width(certificate)
    if width:
        name, ratio, error = width
        uncertainty = f" ± {100 * error:.1f}" if is_finite(error) else ""
        sentences.append(
            f"No width changes by more than {100 * abs(ratio - 1):.1f}{uncertainty} per cent "
            f"(the largest is {name}, ratio {ratio:.3f})."
        )
    sentences += _weight_sentences(certificate)
    sentences += _domain_sentence(summary.get("diagnostics") or {})
    sentences += _training_sentence(summary.get("diagnostics") or {})
    sentences += _uncorrected_sentence(summary.get("diagnostics") or {})
    sentences += _number_sentence(certificate)
    sentences.append(
        "The certificate passed." if certificate.get("passed") is True
        else "THE CERTIFICATE FAILED: the numbers below are re-weighted by the exact solutions, "
        "but the accuracy that was asked for is not shown."
    )  # fmt: skip
    return sentences


def _limit_sentence(certificate: dict[str, Any]) -> list[str]:
    limit, largest = certificate.get("limit_sigma"), largest_bound(certificate)
    if not is_finite(limit) or largest is None:
        return []
    name, bound = largest
    relation = "within" if bound <= limit else "BEYOND"
    return [
        f"With two errors added the largest is {bound:.3f} sigma ({name}), {relation} the limit "
        f"of {significant(limit)} sigma that was asked for."
    ]


def _number_sentence(certificate: dict[str, Any]) -> list[str]:
    number = certificate.get("number")
    if not is_finite(number) or number < 2:
        return []
    earlier = "the one before" if number == 2 else f"the {number - 1} before"
    return [f"This is certificate number {number}: {earlier} failed and joined the training."]


def _training_sentence(diagnostics: dict[str, Any]) -> list[str]:
    ending = diagnostics.get("training_ended")
    return [f"The training ended before its own target was met: {ending}."] if ending else []


def _uncorrected_sentence(diagnostics: dict[str, Any]) -> list[str]:
    """What must be said of an approximation that was taken as it is."""
    found = diagnostics.get("found") or {}
    k_hat = found.get("k_hat")
    if k_hat is None or found.get("correction") != UNCORRECTED:
        return []
    words = significant(k_hat, 2) if is_finite(k_hat) else str(k_hat)
    bad = not is_finite(k_hat) or k_hat >= PARETO_K_LIMIT
    return [
        "The samples are an approximation's own draws, UNCORRECTED, as was asked for: Pareto k-hat "
        f"is {words}, {'at or above' if bad else 'below'} {PARETO_K_LIMIT}."
    ]


def _domain_sentence(diagnostics: dict[str, Any]) -> list[str]:
    fraction = diagnostics.get("outside_domain_fraction")
    if not is_finite(fraction) or fraction == 0.0:
        return []
    return [
        f"At {100 * fraction:.2g} per cent of the samples the emulator EXTRAPOLATES: they lie "
        "outside the region that its exact solutions cover."
    ]


def _weight_sentences(certificate: dict[str, Any]) -> list[str]:
    sentences = []
    scatter, fraction = certificate.get("log_weight_std"), certificate.get("ess_fraction")
    if is_finite(scatter):
        sentences.append(
            f"From point to point the emulator's log-likelihood misses the exact one by "
            f"{significant(scatter, 2)} (standard deviation, constant offset removed)."
        )
    if is_finite(fraction):
        sentences.append(
            f"The weighted points are worth {100 * fraction:.1f} per cent of as many unweighted "
            "ones."
        )
    pareto = certificate.get("pareto_k")
    if is_finite(pareto) and pareto > PARETO_K_LIMIT:
        sentences.append(
            f"The weights have a heavy tail (Pareto k = {significant(pareto, 2)}): the errors "
            "given here are too small."
        )
    return sentences
