"""Requests: coverage, union, names, text."""

import numpy as np
import pytest

from volvelle.boltzmann import SCALARS, Request, RequestError, restrict

SMALL = Request(spectra=("lensed_tt",), lmax=100, background=False)


def test_order_of_spectra_does_not_matter():
    assert Request(spectra=("phiphi", "lensed_tt")) == Request(spectra=("lensed_tt", "phiphi"))


def test_coverage():
    assert Request().covers(SMALL)
    assert not SMALL.covers(Request())
    assert not Request().covers(Request(power=True))
    assert not Request(lmax=1000).covers(Request())
    assert Request(spectra=(), lmax=2).covers(Request(spectra=(), lmax=3000))


def test_union_covers_both():
    other = Request(spectra=("lensed_bb",), lmax=3000, power=True)
    both = SMALL.union(other)
    assert both.covers(SMALL) and both.covers(other)
    assert both.lmax == 3000
    assert SMALL.union(Request(spectra=(), lmax=3000)).lmax == 100


def test_names():
    assert SMALL.names() == ("lensed_tt", *SCALARS)
    assert "matter_power" in Request(power=True).names()


def test_text_round_trip():
    assert Request.from_json(SMALL.to_json()) == SMALL


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"spectra": ("tt",)}, "unknown spectrum 'tt'"),
        ({"lmax": 1}, "lmax is 1"),
        ({"lmax": 10.5}, "lmax is 10.5"),
        ({"lmax": True}, "lmax is True"),
    ],
)
def test_refusals(fields, words):
    with pytest.raises(RequestError, match=words):
        Request(**fields)


def test_restrict_cuts_and_refuses():
    theory = dict.fromkeys(SCALARS, 1.0) | {"lensed_tt": np.arange(201.0)}
    assert restrict(theory, SMALL)["lensed_tt"].shape == (101,)
    with pytest.raises(RequestError, match="ends at l=200"):
        restrict(theory, Request(spectra=("lensed_tt",), lmax=300, background=False))
    with pytest.raises(RequestError, match="holds no 'lensed_ee'"):
        restrict(theory, Request(spectra=("lensed_ee",), lmax=100, background=False))
