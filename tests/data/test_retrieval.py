"""Downloads: verified, resumable, and clear when they fail."""

from dataclasses import replace
from pathlib import Path

import pytest

from volvelle import data
from volvelle.data import DataSetRecord, FileRecord, catalogue


def test_download_into_the_cache(toy: DataSetRecord, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    found = data.download("toy", progress=lambda *row: seen.append(row))
    assert found.path == tmp_path / "cache" / "data" / "toy"
    assert {name for name, _, _ in seen} == set(toy.files)
    assert all(done <= total for _, done, total in seen)
    assert data.locate("toy").files["mean.txt"].read_bytes() == b"1 2 3\n"


def test_download_fetches_only_what_is_wrong(
    toy: DataSetRecord, server: tuple[Path, str], tmp_path: Path
) -> None:
    found = data.download("toy")
    (server[0] / "!notes.txt").unlink()  # an address that no longer answers is not asked
    found.files["mean.txt"].write_bytes(b"broken")
    data.download("toy")
    assert data.check("toy") == []


def test_other_content_is_not_kept(toy: DataSetRecord, server: tuple[Path, str]) -> None:
    (server[0] / "mean.txt").write_bytes(b"3 2 1\n")
    with pytest.raises(data.DamagedDataError, match="is not the file of the registry"):
        data.download("toy")
    assert not (data.cache_dir() / "toy" / "mean.txt").exists()


def test_absent_file_names_address_and_place(toy: DataSetRecord, server: tuple[Path, str]) -> None:
    (server[0] / "mean.txt").unlink()
    with pytest.raises(data.DownloadError, match=r"HTTPError.*by hand at .*toy/mean\.txt"):
        data.download("toy")


def test_no_network_names_address_and_place(
    toy: DataSetRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:9/mean.txt"  # the discard port: nobody listens
    files = {"mean.txt": FileRecord("0" * 64, 6, nowhere)}
    monkeypatch.setattr(catalogue, "registry", lambda: {"toy": replace(toy, files=files)})
    with pytest.raises(data.DownloadError) as caught:
        data.download("toy")
    message = str(caught.value)
    assert nowhere in message and str(data.cache_dir() / "toy" / "mean.txt") in message
