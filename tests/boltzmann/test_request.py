"""Requests: coverage, union, names, text."""

import numpy as np
import pytest

from volvelle.boltzmann import OUTPUTS, SCALARS, SPECTRA, Ledger, Request, RequestError, restrict
from volvelle.boltzmann.request import BACKGROUND, FUNCTIONS, ON_REQUEST, POWER

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


LARGE = Request(
    spectra=("lensed_tt",),
    lmax=100,
    power=True,
    functions=("f_sigma8", "cb_power"),
    scalars=("z_reio", "rs_rec"),
)


def test_text_round_trip():
    for request in (SMALL, LARGE, Request(spectra=(), functions=("matter_power",))):
        assert Request.from_json(request.to_json()) == request


def test_old_texts_are_read_and_written_as_they_were():
    """The ledger's rows hold this text; a changed one would be a request nobody made."""
    text = '{"background": true, "lmax": 2508, "power": false, "spectra": ["lensed_tt", "phiphi"]}'
    request = Request.from_json(text)
    assert request == Request(spectra=("phiphi", "lensed_tt"))
    assert request.to_json() == text


def test_non_linear_outputs_of_an_older_revision_are_left_out():
    """CLASS's fell to linear beyond z = 3.3; the rest of such a solution still serves."""
    text = '{"background": true, "lmax": 9, "power": true, "spectra": []}'
    assert Request.from_json(text) == Request((), 9, functions=("matter_power",))
    assert "revision" in Request((), 9, power=True).to_json()
    text = text.replace('true, "sp', 'false, "functions": ["cb_power_nonlinear", "f_sigma8"], "sp')
    assert Request.from_json(text) == Request((), 9, functions=("f_sigma8",))


def test_functions_and_scalars_are_settled():
    assert LARGE.functions == ("cb_power", "f_sigma8") and LARGE.scalars == ("rs_rec", "z_reio")
    both = ("matter_power_nonlinear", "matter_power")
    assert Request(functions=both) == Request(power=True)
    assert Request(power=True, functions=("matter_power",)) == Request(power=True)
    assert Request(scalars=("sigma8", "z_reio", "z_reio")) == Request(scalars=("z_reio",))
    assert LARGE.native == ("rs_rec",)


def test_functions_and_scalars_in_coverage_and_union():
    assert LARGE.covers(Request.of(["matter_power", "z_reio", "lensed_tt"], 50))
    assert not LARGE.covers(Request.of(["sigma8_z"]))
    assert not LARGE.covers(Request.of(["z_d"]))
    assert not Request(spectra=(), functions=("matter_power",)).covers(Request(power=True))
    union = Request.of(["matter_power"]).union(Request.of(["matter_power_nonlinear", "z_d"]))
    assert union.power and not union.functions and union.scalars == ("z_d",)


def test_request_of_names():
    request = Request.of(["hubble", "lensed_te", "transfer_b", "sigma8", "100*theta_s"], 700)
    assert request == Request(("lensed_te",), 700, True, False, ("transfer_b",), ("100*theta_s",))
    assert request.transfers == ("transfer_b",) and request.wavenumbers and not request.growth
    growth = Request.of(["f_sigma8"])
    assert growth.growth and not growth.wavenumbers and not growth.background


def test_registry_is_complete():
    known = {*SPECTRA, *BACKGROUND, *POWER, *FUNCTIONS, *SCALARS, *ON_REQUEST}
    assert set(OUTPUTS) == known
    for info in OUTPUTS.values():
        assert info.label and info.description
        assert bool(info.shape) == (info.kind not in ("spectrum", "scalar"))


def test_solutions_of_before_serve(tmp_path):
    """A row whose request has no functions or scalars, as all had once."""
    ledger, identity = Ledger(tmp_path / "ledger.sqlite"), {"solver": "fake", "version": "1"}
    old = Request(spectra=(), background=False, power=True)
    theory = dict.fromkeys(SCALARS, 1.0) | dict.fromkeys(POWER, np.ones((2, 2)))
    ledger.store(identity, {"h": 0.7}, old, theory, 1.0, "run")
    assert ledger.lookup(identity, {"h": 0.7}, old) is not None
    assert ledger.lookup(identity, {"h": 0.7}, Request.of(["matter_power"])) is not None
    assert ledger.lookup(identity, {"h": 0.7}, Request.of(["cb_power"])) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"spectra": ("tt",)}, "unknown spectrum 'tt'"),
        ({"lmax": 1}, "lmax is 1"),
        ({"lmax": 10.5}, "lmax is 10.5"),
        ({"lmax": True}, "lmax is True"),
        ({"functions": ("f_sigma",)}, "unknown function 'f_sigma'; did you mean f_sigma8"),
        ({"functions": ("hubble",)}, "unknown function 'hubble'"),
        ({"scalars": ("lensed_tt",)}, "'lensed_tt' is no scalar"),
        ({"scalars": ("luminosity_distance",)}, "it is transverse_comoving_distance"),
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


def test_short_spectra_of_an_older_revision_are_left_out():
    """CLASS's were computed to the l that was asked for, too short for lensing."""
    text = '{"background": true, "lmax": 600, "power": false, "spectra": ["lensed_bb"]}'
    assert Request.from_json(text).spectra == ()
    assert Request.from_json(text.replace("600", "2508")).spectra == ("lensed_bb",)
    short = Request(("lensed_bb",), 600)
    assert Request.from_json(short.to_json()) == short
