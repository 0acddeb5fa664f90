"""The registry, its hashes and its references."""

import hashlib

import pytest

from volvelle import data


def test_every_set_is_complete() -> None:
    for name, entry in data.registry().items():
        assert entry.name == name and entry.description and entry.cite and entry.how_to_read
        assert entry.files and entry.bytes == sum(file.bytes for file in entry.files.values())
        for file in entry.files.values():
            assert file.url.startswith("https://") and len(file.sha256) == 64


def test_set_hash_does_not_depend_on_the_order_of_files() -> None:
    hashes = {"b.txt": "1" * 64, "a.txt": "2" * 64}
    expected = hashlib.sha256(f"a.txt {'2' * 64}\nb.txt {'1' * 64}\n".encode()).hexdigest()
    assert data.set_sha256(hashes) == expected
    assert data.set_sha256(dict(reversed(hashes.items()))) == expected


def test_unknown_set_offers_the_nearest_name() -> None:
    with pytest.raises(data.UnknownDataSetError, match=r"desi_dr2_bao.*desi-dr2-bao"):
        data.record("desi_dr2_bao")


def test_data_of_likelihoods_have_references() -> None:
    for name in ("planck-2018-plik-lite", "planck-2018-low-l", "planck-2018-best-fit"):
        keys = data.record(name).cite_keys
        text = data.bibtex([*keys, *keys])
        assert keys and all(text.count(f"{{{key},") == 1 for key in keys)
    for name in ("desi-dr1-bao", "desi-dr2-bao", "union3", "pantheon-binned"):
        assert data.bibtex(data.record(name).cite_keys).startswith("@article{arXiv:")


def test_unknown_reference() -> None:
    with pytest.raises(data.UnknownDataSetError, match=r"arXiv:0000\.00000"):
        data.bibtex(["arXiv:0000.00000"])
