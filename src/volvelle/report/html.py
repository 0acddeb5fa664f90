"""The self-contained HTML report of a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from markupsafe import Markup

from .citations import cite, cited_keys
from .errors import MissingFileError
from .labels import label_html
from .numbers import MISSING, decimals, duration, fixed, interval, mean_and_error, significant
from .pages import configuration_of, inlined, write_page
from .plots import FIGURES
from .profile_section import profile_sections
from .record import is_finite, read_summary
from .words import (
    SIMULATED,
    SIMULATED_SENTENCE,
    blinded_sentence,
    certificate_sentences,
    largest_shift,
    verdict,
)

# Convergence is asked for at this split R-hat (Vehtari et al., arXiv:1903.08008).
R_HAT_LIMIT = 1.01
# As vector graphics the many contours would weigh megabytes.
RASTER = ("triangle",)
CALL_WORDS = {
    "training": "solved to train the emulator, held-out ones included",
    "certificate": "solved to certify the posterior, never seen in training",
    "reused": "found in the ledger of earlier runs, not solved again",
    "simulation": "solved to simulate data that are not on this machine",
    "failed": "failed; excluded from training, counted here",
    "training_set": "in the emulator's training set, whoever paid for them",
}


def write_report(folder: Path) -> Path:
    """Write `report.html` into the folder of a finished run and return its path.

    Figures that need a file which is not there are replaced by a note. Raises ReportError when
    `summary.json` or another file is damaged.
    """
    folder = Path(folder)
    summary = read_summary(folder)
    figures, notes = _figures(folder)
    return write_page(
        folder,
        "report.html.j2",
        name=str(summary.get("name") or folder.resolve().name),
        summary=summary,
        verdict=verdict(summary),
        simulated=bool(summary.get("simulated")),
        simulated_title=SIMULATED,
        simulated_sentence=SIMULATED_SENTENCE,
        blinded=blinded_sentence(summary),
        facts=_facts(summary),
        sentences=certificate_sentences(summary),
        recorded_words=_recorded_words(summary),
        parameters=_parameter_groups(summary),
        certificate=_certificate_rows(summary),
        profiles=profile_sections(folder, summary),
        calls=_calls(summary),
        best_fit=_best_fit(summary),
        diagnostics=_diagnostics(summary),
        data=_data(summary),
        versions=summary.get("versions") or {},
        figures=figures,
        notes=notes,
        configuration=configuration_of(folder),
        bibtex=cite(folder),
        uncited=cited_keys(summary)[1],
    )


def _figures(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Every figure as an inline address, and for those that cannot be drawn the reason."""
    figures, notes = {}, {}
    for name, draw in FIGURES.items():
        try:
            figure = draw(folder)
        except MissingFileError as error:
            notes[name] = str(error)
            continue
        figures[name] = inlined(figure, "png" if name in RASTER else "svg")
    return figures, notes


def _label(name: str, entry: dict[str, Any]) -> Markup:
    return Markup(label_html(entry.get("label") or name, name))


def _facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The few numbers that stand in large type below the title."""
    calls = summary.get("exact_calls") or {}
    certificate = summary.get("certificate") or {}
    diagnostics = summary.get("diagnostics") or {}
    facts = [
        (str(calls.get("training", MISSING)), "exact solutions to train"),
        (str(calls.get("certificate", MISSING)), "exact solutions to certify"),
    ]
    worst = largest_shift(certificate)
    if worst:
        facts.append((f"{worst[1]:.3f} ± {worst[2]:.3f} σ", "largest shift of a mean"))
    fraction = certificate.get("ess_fraction")
    if is_finite(fraction):
        facts.append((f"{fraction:.3f}", "effective fraction"))
    facts.append((significant(diagnostics.get("r_hat_max"), 4), "worst R-hat"))
    seconds = {n: s for n, s in (summary.get("seconds") or {}).items() if is_finite(s)}
    if seconds:
        facts.append((duration(seconds.get("total", sum(seconds.values()))), "in all"))
    return facts


def _recorded_words(summary: dict[str, Any]) -> list[str]:
    """What the run itself wrote about the certificate, beyond the sentences made here."""
    words = (summary.get("certificate") or {}).get("words") or []
    lines = [words] if isinstance(words, str) else [str(line) for line in words]
    return [line for line in lines if line not in certificate_sentences(summary)]


def _parameter_groups(summary: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    best = (summary.get("best_fit") or {}).get("parameters") or {}
    groups: dict[str, list[dict[str, Any]]] = {"sampled": [], "derived": []}
    for name, entry in summary["parameters"].items():
        std = entry["std"]
        emulator = entry.get("emulator") or {}
        known = is_finite(emulator.get("mean")) and is_finite(emulator.get("std"))
        groups["derived" if entry.get("kind") == "derived" else "sampled"].append(
            {
                "name": name,
                "label": _label(name, entry),
                "unit": entry.get("unit") or "",
                "mean": mean_and_error(entry["mean"], std),
                "limits_68": interval(entry.get("limits_68"), std),
                "limits_95": interval(entry.get("limits_95"), std),
                "emulator": mean_and_error(emulator["mean"], emulator["std"]) if known else MISSING,
                "best": fixed(best.get(name), decimals(std)),
            }
        )
    return [(kind, rows) for kind, rows in groups.items() if rows]


def _certificate_rows(summary: dict[str, Any]) -> dict[str, Any]:
    certificate = summary.get("certificate") or {}
    limit = certificate.get("limit_sigma")
    rows = []
    for name, row in (certificate.get("parameters") or {}).items():
        shift, error = row.get("mean_shift_sigma"), row.get("mean_shift_error")
        width, spread = row.get("width_ratio"), row.get("width_ratio_error")
        known = is_finite(shift) and is_finite(error)
        bound = abs(shift) + 2 * error if known else math.inf
        rows.append(
            {
                "label": _label(name, summary["parameters"].get(name, {})),
                "name": name,
                "shift": f"{fixed(shift, 3)} ± {fixed(error, 3)}",
                "bound": fixed(bound, 3),
                "width": fixed(width, 3) + (f" ± {fixed(spread, 3)}" if is_finite(spread) else ""),
                "bad": not known or (is_finite(limit) and bound > limit),
            }
        )
    return {
        "rows": rows,
        "limit": significant(limit),
        "passed": certificate.get("passed") is True,
        "exists": bool(certificate),
        "numbers": [
            ("exact solutions", significant(certificate.get("n"), 6)),
            ("scatter of the log-weights", significant(certificate.get("log_weight_std"))),
            ("effective fraction of the weights", significant(certificate.get("ess_fraction"), 4)),
            ("Pareto k", significant(certificate.get("pareto_k"), 2)),
        ],
    }


def _calls(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    calls = summary.get("exact_calls") or {}
    return [(kind, str(number), CALL_WORDS.get(kind, "")) for kind, number in calls.items()]


def _best_fit(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Likelihood, chi2 and number of data at the best fit, with the total."""
    best = summary.get("best_fit") or {}
    chi2, number = best.get("chi2") or {}, best.get("n_data") or {}
    rows = [(name, fixed(v, 2), str(number.get(name, MISSING))) for name, v in chi2.items()]
    if len(rows) > 1 and all(is_finite(v) for v in chi2.values()):
        whole = str(sum(number.values())) if set(number) >= set(chi2) else MISSING
        rows.append(("all", fixed(sum(chi2.values()), 2), whole))
    return rows


def _diagnostics(summary: dict[str, Any]) -> dict[str, Any]:
    diagnostics = summary.get("diagnostics") or {}
    rows = []
    for name, row in (diagnostics.get("parameters") or {}).items():
        r_hat = row.get("r_hat")
        rows.append(
            {
                "label": _label(name, summary["parameters"].get(name, {})),
                "name": name,
                "r_hat": fixed(r_hat, 4),
                "ess": fixed(row.get("ess"), 0),
                "bad": not is_finite(r_hat) or r_hat > R_HAT_LIMIT,
            }
        )
    return {
        "rows": rows,
        "converged": diagnostics.get("converged") is True,
        "r_hat_max": significant(diagnostics.get("r_hat_max"), 5),
        "ess_min": fixed(diagnostics.get("ess_min"), 0),
        "divergences": str(diagnostics.get("divergences", MISSING)),
        "refused": diagnostics.get("refused"),
        "found": _found(diagnostics),
        "limit": str(R_HAT_LIMIT),
    }


FOUND_WORDS = {
    "k_hat": "Pareto k-hat of the approximation",
    "correction": "correction",
    "weights_effective": "effective samples of the weights",
    "log_evidence": "ln evidence",
    "log_evidence_exact": "ln evidence with exact solutions",
    "elbo": "evidence lower bound",
    "at_max_depth": "share of trajectories cut off at max_depth",
    "guide_settled": "the bound had settled",
    "guide_steps": "steps of the fit",
}


def _found(diagnostics: dict[str, Any]) -> list[tuple[str, str]]:
    """What the method found besides its samples, and what it took."""
    found = diagnostics.get("found") or {}
    rows = []
    for name, value in found.items():
        if name.endswith("_error"):
            continue
        error = found.get(f"{name}_error")
        if is_finite(error):
            places = decimals(error)
            words = f"{fixed(value, places)} ± {fixed(error, places)}"
        else:
            words = significant(value, 4) if is_finite(value) else str(value)
        rows.append((FOUND_WORDS.get(name, name), words))
    for name in ("evaluations", "gradients"):
        if diagnostics.get(name) is not None:
            rows.append((f"{name} of ln P", str(diagnostics[name])))
    return rows


def _data(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "sha256": str(entry.get("sha256", MISSING)),
            "simulated": bool(entry.get("simulated")),
        }
        for name, entry in (summary.get("data") or {}).items()
    ]
