"""A likelihood without gradients: what samples it from a file, and what is refused in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .callback_likelihood import MEAN, SIGMA
from .test_pipeline import call, summary_of, write

FILE = Path(__file__).with_name("callback_likelihood.py")
CERTAIN = 0.35
"""Of a standard deviation: four errors of a mean of 150 independent samples at least."""


def likelihood(**options: Any) -> dict[str, Any]:
    return {"external": {"python": f"{FILE}:Callback", **options}}


def test_metropolis_ends_in_a_certified_posterior_and_a_best_fit(tmp_path: Path) -> None:
    sampler = {"metropolis": {"chains": 2, "draws": 3000, "warmup": 1000}}
    write(tmp_path, likelihood=likelihood(), sampler={**sampler, "r_hat": 1.1, "ess_min": 150})
    status, printed = call(tmp_path)
    assert status == 0, printed
    assert "best fit: by differences of ln P, which has no gradient" in printed
    summary = summary_of(tmp_path)
    for name, mean in MEAN.items():
        assert abs(summary["parameters"][name]["mean"] - mean) < CERTAIN * SIGMA
    assert summary["best_fit"]["chi2"]["callback"] < 1e-3  # two numbers, two parameters
    assert "best fit: not converged" not in printed


@pytest.mark.parametrize(
    ("options", "sampler", "words", "solved"),
    [
        (
            {},
            {"nuts": {"chains": 2, "draws": 300, "warmup": 100}},
            "nuts needs gradients; without them there are metropolis, ensemble, nested",
            False,
        ),
        (
            {"hole": 0.1},
            {"nested": {}},
            "ln L of callback is NaN at each of 9 exact solutions, the first at omega_cdm = 0.1",
            True,
        ),
    ],
)
def test_what_cannot_be_sampled_is_said(
    options: dict[str, Any], sampler: dict[str, Any], words: str, solved: bool, tmp_path: Path
) -> None:
    write(tmp_path, likelihood=likelihood(**options), sampler=sampler)
    status, printed = call(tmp_path)
    assert status == 2 and "Traceback" not in printed
    assert words in " ".join(printed.split())
    assert ("exact solutions" in printed) is solved
