"""The summary of a run for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .labels import label_text
from .numbers import interval, mean_and_error, significant
from .record import is_finite
from .words import (
    SIMULATED,
    SIMULATED_SENTENCE,
    blinded_sentence,
    certificate_sentences,
    verdict,
)

LOUD = "bold white on red"


def render_summary(summary: dict[str, Any]) -> RenderableType:
    """Verdict, parameters, certificate and calls of a run; red where something is bad."""
    judged = verdict(summary)
    parts: list[RenderableType] = []
    if summary.get("simulated"):
        parts.append(Panel(Text(f"{SIMULATED}. {SIMULATED_SENTENCE}", LOUD), style=LOUD))
    if blinded := blinded_sentence(summary):
        parts.append(Panel(Text(blinded, "bold"), border_style="blue"))
    color = "green" if judged.good else "red"
    status = Text(judged.title.upper(), f"bold {color}")
    for reason in judged.reasons:
        status.append(f"\n{reason}", style="red")
    parts.append(Panel(status, border_style=color))
    parts.append(_parameters(summary))
    for sentence in certificate_sentences(summary):
        loud = "FAILED" in sentence or "BEYOND" in sentence
        parts.append(Text(sentence, "bold red" if loud else ""))
    parts.append(Text(_costs(summary), "dim"))
    return Group(*parts)


def _parameters(summary: dict[str, Any]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("parameter", "mean ± sigma", "95%", "shift [sigma]", "unit"):
        table.add_column(heading, justify="left" if heading in ("parameter", "unit") else "right")
    certificate = summary.get("certificate") or {}
    limit = certificate.get("limit_sigma")
    derived_before = False
    for name, entry in summary["parameters"].items():
        if entry.get("kind") == "derived" and not derived_before:
            table.add_section()
            derived_before = True
        row = (certificate.get("parameters") or {}).get(name, {})
        label = label_text(entry.get("label") or name, name)
        table.add_row(
            label if label == name else f"{label}  [dim]{name}[/dim]",
            mean_and_error(entry["mean"], entry["std"]),
            interval(entry.get("limits_95"), entry["std"]),
            _shift(row, limit),
            entry.get("unit") or "",
        )
    return table


def _shift(row: dict[str, Any], limit: Any) -> Text:
    shift, error = row.get("mean_shift_sigma"), row.get("mean_shift_error")
    if not is_finite(shift) or not is_finite(error):
        return Text("–", "dim")
    bad = is_finite(limit) and abs(shift) + 2 * error > limit
    return Text(f"{shift:+.3f} ± {error:.3f}".replace("-", "\u2212"), "bold red" if bad else "")


def _costs(summary: dict[str, Any]) -> str:
    calls = summary.get("exact_calls") or {}
    counted = ", ".join(f"{number} {kind}" for kind, number in calls.items())
    chi2 = (summary.get("best_fit") or {}).get("chi2") or {}
    fits = ", ".join(f"{name} {significant(value, 5)}" for name, value in chi2.items())
    lines = [f"exact solutions: {counted}"] if counted else []
    lines += [f"chi2 at the best fit: {fits}"] if fits else []
    return "\n".join(lines)
