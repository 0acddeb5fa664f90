"""An output folder belongs to one configuration and to the data that it was run with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from volvelle.cli import Configuration, ConfigurationError
from volvelle.cli.account import Account

from .test_gradient_free import FILE
from .test_pipeline import GAUSSIAN, Here, here, write

__all__ = ["here"]


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like that of a finished run, of a mean in a file and a user's class."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(FILE, tmp_path / "mine.py")
    (tmp_path / "mean.txt").write_text("0.316\n0.811\n")
    gaussian = {"gaussian": {**GAUSSIAN["gaussian"], "mean": "mean.txt"}}
    write(tmp_path, likelihood={**gaussian, "external": {"python": "mine.py:Callback"}})
    configuration = Configuration.load("run.yaml", files=False)
    assert set(configuration.data) == {"gaussian/mean.txt", "mine.py"}
    Account.open(configuration, configuration.data)
    (tmp_path / "run" / "summary.json").write_text(json.dumps({"status": "converged"}))
    (tmp_path / "run" / "report.html").write_text("the report")
    return tmp_path


def test_a_finished_run_of_other_data_is_not_repeated_as_if_nothing_were(
    finished: Path, here: Here
) -> None:
    status, printed = here(finished, "run", "run.yaml", "--quiet")
    assert status == 0, printed
    with (finished / "mine.py").open("a") as file:
        file.write("\n# another one\n")
    status, printed = here(finished, "run", "run.yaml", "--quiet")
    assert status == 2
    assert "holds the run of other data: mine.py changed since; choose another" in printed
    shutil.copy(FILE, finished / "mine.py")
    (finished / "mean.txt").write_text("0.326\n0.811\n")
    status, printed = here(finished, "run", "run.yaml", "--quiet")
    assert status == 2 and "gaussian/mean.txt changed since" in printed


def test_a_folder_of_an_earlier_version_is_taken_as_it_is(finished: Path) -> None:
    book = finished / "run" / "run.json"
    content = json.loads(book.read_text())
    del content["data"]
    book.write_text(json.dumps(content))
    configuration = Configuration.load("run.yaml", files=False)
    Account.open(configuration, {"mean.txt": "of another file"}).save()
    assert json.loads(book.read_text()) == content
    book.write_text(json.dumps({**content, "data": {}}))
    with pytest.raises(ConfigurationError, match=r"other data: gaussian/mean\.txt, mine\.py"):
        Account.open(configuration, configuration.data)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("run.json", "does not say whose run the folder holds; choose another output folder"),
        ("summary.json", "delete it, then repeat `volvelle run` to write it again"),
    ],
)
def test_a_damaged_file_of_a_run_is_named(finished: Path, here: Here, file: str, told: str) -> None:
    path = finished / "run" / file
    path.write_text(path.read_text()[:12])
    status, printed = here(finished, "run", "run.yaml", "--quiet")
    assert status == 2
    assert f"{file} is damaged" in printed and told in printed
