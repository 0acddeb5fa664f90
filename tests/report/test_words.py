"""Sentences, numbers, labels, the terminal summary and the citations."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from volvelle.report import (
    certificate_sentences,
    cite,
    cited_keys,
    references,
    render_summary,
    verdict,
)
from volvelle.report.citations import ALWAYS, RECOMBINATION, USED
from volvelle.report.labels import label_html, label_math, label_text
from volvelle.report.numbers import duration, interval, mean_and_error

RED = "\x1b[31m"


def rendered(summary: dict[str, Any]) -> str:
    buffer = io.StringIO()
    Console(file=buffer, force_terminal=True, color_system="standard", width=110).print(
        render_summary(summary)
    )
    return buffer.getvalue()


def test_good_certificate_in_words(good_summary: dict[str, Any]) -> None:
    text = " ".join(certificate_sentences(good_summary))
    assert "Replacing the emulator by 100 exact CLASS solutions" in text
    assert "0.012 ± 0.009 of its standard deviation (the largest is omega_b)" in text
    assert "the largest is 0.030 sigma (omega_b), within the limit of 0.05 sigma" in text
    assert "0.4 ± 1.0 per cent" in text
    assert "99.2 per cent" in text
    assert "passed" in text


def test_largest_shift_and_largest_bound_may_be_of_different_parameters(
    good_summary: dict[str, Any],
) -> None:
    good_summary["certificate"]["parameters"]["n_s"].update(
        mean_shift_sigma=0.02, mean_shift_error=0.001
    )
    text = " ".join(certificate_sentences(good_summary))
    assert "0.020 ± 0.001 of its standard deviation (the largest is n_s)" in text
    assert "0.030 sigma (omega_b), within" in text


def test_a_training_that_ended_early_in_words(good_summary: dict[str, Any]) -> None:
    words = "The training ended before its own target was met: most_iterations (3) were done."
    assert words not in certificate_sentences(good_summary)
    good_summary["diagnostics"]["training_ended"] = "most_iterations (3) were done"
    assert words in certificate_sentences(good_summary)


def test_which_certificate_it_was_in_words(good_summary: dict[str, Any]) -> None:
    assert "certificate number" not in " ".join(certificate_sentences(good_summary))
    for number, words in ((1, None), (2, "the one before"), (4, "the 3 before")):
        good_summary["certificate"]["number"] = number
        text = " ".join(certificate_sentences(good_summary))
        told = f"This is certificate number {number}: {words} failed and joined the training."
        assert (told in text) is (words is not None)


def test_bad_certificate_in_words(good_summary: dict[str, Any]) -> None:
    good_summary["certificate"].update(passed=False, pareto_k=0.9)
    good_summary["certificate"]["parameters"]["n_s"]["mean_shift_sigma"] = -0.9
    text = " ".join(certificate_sentences(good_summary))
    assert "0.900 ± 0.009" in text
    assert "BEYOND the limit" in text
    assert "heavy tail (Pareto k = 0.9)" in text
    assert "THE CERTIFICATE FAILED" in text
    del good_summary["certificate"]
    assert "no certificate" in certificate_sentences(good_summary)[0]


def test_extrapolation_is_said(good_summary: dict[str, Any]) -> None:
    assert "EXTRAPOLATES" not in rendered(good_summary)
    good_summary["diagnostics"]["outside_domain_fraction"] = 0.013
    assert "1.3 per cent of the samples the emulator EXTRAPOLATES" in rendered(good_summary)


def test_verdict_is_good_only_when_everything_is(good_summary: dict[str, Any]) -> None:
    assert verdict(good_summary).good
    good_summary["certificate"]["passed"] = None
    judged = verdict(good_summary)
    assert (judged.good, judged.title) == (False, "not certified")


def test_terminal_is_green_or_red(good_summary: dict[str, Any]) -> None:
    text = rendered(good_summary)
    assert "CONVERGED" in text
    assert RED not in text
    assert "67.27 ± 0.60" in text
    assert "SIMULATED" not in text
    good_summary.update(status="not converged", simulated=True)
    text = rendered(good_summary)
    assert "NOT CONVERGED" in text
    assert RED in text
    assert "SIMULATED DATA" in text


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (0.022361, 0.000149, "0.02236 ± 0.00015"),
        (67.268, 0.601, "67.27 ± 0.60"),
        (-1.03, 0.05, "−1.030 ± 0.050"),
        (147051.0, 300.0, "147051 ± 300"),
        (1.0, 0.0, "1.0000 ± 0.0000"),
    ],
)
def test_numbers_are_rounded_by_their_error(mean: float, error: float, text: str) -> None:
    assert mean_and_error(mean, error) == text


def test_limits_may_be_one_sided() -> None:
    assert interval([None, 0.12], 0.03) == "< 0.120"
    assert interval([0.12, None], 0.03) == "> 0.120"
    assert interval([0.1, 0.2], 0.05) == "[0.100, 0.200]"
    assert interval(None, 0.05) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (12.3, "12 s"), (184, "3 min 04 s"), (7500, "2 h 05 min"), (None, "–")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("latex", "html", "text"),
    [
        (r"\Omega_b h^2", "Ω<sub><i>b</i></sub> <i>h</i><sup>2</sup>", "Ω_b h²"),
        (r"{\rm{ln}}(10^{10} A)", "ln(10<sup>10</sup> <i>A</i>)", "ln(10¹⁰ A)"),
        (r"\sum m_\nu", "Σ <i>m</i><sub>ν</sub>", "Σ m_ν"),
        (r"N_\mathrm{eff}", "<i>N</i><sub>eff</sub>", "N_eff"),
        (r"\unheard_x", "name", "name"),
    ],
)  # fmt: skip
def test_labels(latex: str, html: str, text: str) -> None:
    assert label_html(latex, "name") == html
    assert label_text(latex, "name") == text


def test_label_that_mathtext_cannot_set_falls_back_to_the_name() -> None:
    assert label_math(r"\sigma_8", "sigma8") == r"$\sigma_8$"
    assert label_math(r"\nonsense{", "name") == "name"


def test_every_key_has_an_entry_that_is_balanced() -> None:
    known = references()
    wanted = {*ALWAYS, *RECOMBINATION.values(), *(k for keys in USED.values() for k in keys)}
    assert wanted <= {*known, *RECOMBINATION.values()}
    assert set(RECOMBINATION.values()) <= {*known, *USED}
    for key, entry in known.items():
        assert entry.count("{") == entry.count("}"), key
        assert entry.endswith("}"), key
        assert re.search(r"author\s*=", entry), key


def test_cite_names_what_the_run_used(
    run_folder: Path, change_summary: Callable[[Callable[[Any], object]], None]
) -> None:
    text = cite(run_folder)
    for key in ("volvelle", "class", "hyrec_2", "halofit_2012", "planck_2018_v", "nuts", "blackjax",
                "connect", "getdist", "jax", "prince_dunkley_2022", "psis"):  # fmt: skip
        assert len(re.findall(rf"@\w+\{{{key},", text)) == 1, key
    assert "@article{camb" not in text
    assert "version = {0.1.0}" in text
    change_summary(lambda s: s.update(cites=["camb", "desi-dr2-bao", "strange", "gaussian"]))
    text = cite(run_folder)
    assert "@article{desi_dr2," in text
    assert "@article{recfast," in text
    assert "% 'strange' was used too" in text
    assert "gaussian" not in text


def test_a_key_of_the_references_stands_for_itself(good_summary: dict[str, Any]) -> None:
    good_summary["cites"] = ["prince_dunkley_2019", "union3"]
    keys, unknown = cited_keys(good_summary)
    assert {"prince_dunkley_2019", "union3"} <= set(keys)
    assert unknown == []


def test_what_an_approximation_must_admit(good_summary: dict[str, Any]) -> None:
    """Refused: red, with its reason in place of R-hat's. Taken as it is: said, every time."""
    diagnostics = good_summary["diagnostics"]
    diagnostics["found"] = {"k_hat": 0.93, "correction": "none, as was asked for"}
    text = " ".join(certificate_sentences(good_summary))
    assert "own draws, UNCORRECTED, as was asked for: Pareto k-hat is 0.93, at or above 0.7" in text
    assert verdict(good_summary).good
    diagnostics["found"]["correction"] = "resampled by Pareto-smoothed importance weights"
    assert "UNCORRECTED" not in " ".join(certificate_sentences(good_summary))
    diagnostics |= {"refused": "the Laplace approximation is refused: why", "converged": False}
    good_summary["status"] = "not converged"
    judged = verdict(good_summary)
    assert not judged.good
    assert judged.reasons == ("The Laplace approximation is refused: why.",)
    assert "refused: why" in rendered(good_summary) and "31m" in rendered(good_summary)
