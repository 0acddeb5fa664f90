"""A user's class: found, checked, and refused with a reason."""

from pathlib import Path
from typing import Any

import pytest

from volvelle.likelihood import LikelihoodOptionError, get_likelihood

FILE = str(Path(__file__).with_name("line_likelihood.py"))
ROUNDING = 1e-12  # of a few float64 operations


def test_from_a_file_with_options(theory: dict[str, Any]) -> None:
    likelihood = get_likelihood("external", python=f"{FILE}:Line", mean=0.84)
    assert float(likelihood.chi2(theory, {"line_shift": 0.0})) == pytest.approx(4.0, rel=ROUNDING)
    assert "line_shift" in likelihood.nuisance


def test_from_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(FILE).parent))
    assert get_likelihood("external", python="line_likelihood:Line").name == "line"


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("Line", "write package.module:Class"),
        (f"{FILE}:", "write package.module:Class"),
        (7, "write package.module:Class"),
        ("no_such_module:Line", "cannot be imported"),
        ("no/such/file.py:Line", "there is no file"),
        (f"{FILE}:Circle", "has no 'Circle'"),
        (f"{FILE}:Unrelated", "does not derive from"),
        (f"{FILE}:Open", "cannot be made"),
        (f"{FILE}:NegativeNoise", "must be positive"),
        (f"{FILE}:StrangeNoise", "does not ask for"),
        (f"{FILE}:NoTuple", "of type list, expected tuple"),
    ],
)
def test_refusals(python: Any, message: str) -> None:
    with pytest.raises(LikelihoodOptionError, match=message):
        get_likelihood("external", python=python)


def test_wrong_option_of_the_class() -> None:
    with pytest.raises(LikelihoodOptionError, match=r"cannot be made.*colour"):
        get_likelihood("external", python=f"{FILE}:Line", colour="red")
