"""Where data sets are looked for, and what is said of missing and damaged ones."""

from pathlib import Path

import pytest

from volvelle import data
from volvelle.data import DataSetRecord

CONTENTS = {"mean.txt": b"1 2 3\n", "!notes.txt": b"read me\n"}


def fill(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)


def test_missing_set_names_the_command(toy: DataSetRecord) -> None:
    with pytest.raises(data.MissingDataError, match="volvelle data get toy"):
        data.locate("toy")
    assert "volvelle data get toy" in data.check("toy")[0]
    assert [row.state for row in data.list_sets()] == ["missing"]


def test_named_folder_comes_before_the_cache(toy: DataSetRecord, tmp_path: Path) -> None:
    fill(tmp_path / "cache" / "data" / "toy")
    assert data.locate("toy").path == tmp_path / "cache" / "data" / "toy"
    fill(tmp_path / "data" / "toy")
    found = data.locate("toy")
    assert found.path == tmp_path / "data" / "toy"
    assert found.sha256 == toy.sha256 and set(found.files) == set(CONTENTS)
    assert data.check("toy") == []
    assert data.list_sets()[0].state == "ok"


def test_damaged_file_is_refused(toy: DataSetRecord, tmp_path: Path) -> None:
    fill(tmp_path / "data" / "toy")
    (tmp_path / "data" / "toy" / "mean.txt").write_bytes(b"1 2 4\n")
    with pytest.raises(data.DamagedDataError, match=r"mean\.txt has sha256 .*, expected"):
        data.locate("toy")
    assert len(data.check("toy")) == 1
    assert data.list_sets()[0].state == "damaged"


def test_missing_file_is_named(toy: DataSetRecord, tmp_path: Path) -> None:
    fill(tmp_path / "data" / "toy")
    (tmp_path / "data" / "toy" / "!notes.txt").unlink()
    with pytest.raises(data.MissingDataError, match=r"!notes\.txt is missing"):
        data.locate("toy")


def test_cache_without_a_named_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOLVELLE_CACHE", raising=False)
    monkeypatch.delenv("VOLVELLE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.search_path() == (data.cache_dir(),)
    assert data.cache_dir().parts[-2:] == ("volvelle", "data")


@pytest.mark.real_data
@pytest.mark.parametrize("name", sorted(data.registry()))
def test_public_sets_are_undamaged(name: str) -> None:
    assert data.locate(name).sha256 == data.record(name).sha256
