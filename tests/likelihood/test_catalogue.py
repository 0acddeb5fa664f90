"""Likelihoods by name."""

import pytest

from volvelle import data
from volvelle.likelihood import (
    DATA_SETS,
    LIKELIHOODS,
    LikelihoodOptionError,
    UnknownLikelihoodError,
    get_likelihood,
    options_of,
)


def test_every_data_set_is_in_the_registry() -> None:
    assert set(DATA_SETS) < set(LIKELIHOODS)
    assert set(DATA_SETS.values()) < set(data.registry())


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UnknownLikelihoodError, match="planck_2018_plik_lite"):
        get_likelihood("planck_2018_pliklite")


def test_unknown_option_lists_the_known() -> None:
    with pytest.raises(LikelihoodOptionError, match="its options are spectra"):
        get_likelihood("planck_2018_plik_lite", spectrum="TT")
    with pytest.raises(LikelihoodOptionError, match="its options are none"):
        get_likelihood("union3", binned=True)
    assert options_of("planck_2018_low_l") == ("TT", "EE")


def test_missing_data_name_the_command(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLVELLE_DATA", str(tmp_path))
    monkeypatch.setenv("VOLVELLE_CACHE", str(tmp_path))
    for name, data_set in DATA_SETS.items():
        with pytest.raises(data.MissingDataError, match=f"volvelle data get {data_set}"):
            get_likelihood(name)
