"""The HTML report: complete, self-contained, red when it must be, clear about what is missing."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from volvelle.report import ReportError, write_report

from .conftest import write_profile

FIGURES = 7
VOID = {"meta", "img", "br"}
Change = Callable[[Callable[[dict[str, Any]], object]], None]


class Page(HTMLParser):
    """Collects the images, the text, and the tags that were not closed in order."""

    def __init__(self, path: Path):
        super().__init__()
        self.images: list[str] = []
        self.links: list[str] = []
        self.classes: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.classes += (given.get("class") or "").split()
        self.links += [v for k, v in attrs if k in ("src", "href", "srcset") and v]
        if tag == "img":
            self.images.append(given["src"] or "")
            assert given["alt"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_good_run_is_green_complete_and_self_contained(full_folder: Path) -> None:
    before, figures = dict(mpl.rcParams), plt.get_fignums()
    path = write_report(full_folder)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == figures
    assert path == full_folder / "report.html"
    page = Page(path)
    assert page.open == []
    assert len(page.images) == FIGURES
    for image in page.images:
        head, _, code = page_data(image)
        content = base64.b64decode(code)
        assert content.startswith(b"\x89PNG" if "png" in head else b"<?xml")
    assert all(link.startswith("data:image/") for link in page.links)
    assert "<script" not in path.read_text()
    assert "good" in page.classes
    assert not {"bad", "simulated", "alarm", "note"} & set(page.classes)
    for words in (
        "planck-lcdm",
        "Replacing the emulator by 100 exact CLASS solutions moves no mean by more than 0.012",
        "The certificate passed",
        "0.02236 ± 0.00015",
        "[66.07, 68.47]",
        "km/s/Mpc",
        "584.93",
        "613",
        "15 min 21 s",
        "a1" * 32,
        "seed: 7 # <lucky>",
        "@article{class,",
        "exact solutions to train",
    ):
        assert words in page.text, words


def page_data(address: str) -> tuple[str, str, str]:
    return address.partition(";base64,")


def test_same_folder_gives_same_report(run_folder: Path) -> None:
    first = write_report(run_folder).read_bytes()
    assert write_report(run_folder).read_bytes() == first


def test_labels_are_published_style(run_folder: Path) -> None:
    shutil.rmtree(run_folder / "chains")
    text = write_report(run_folder).read_text()
    assert "Ω<sub>b</sub> <i>h</i><sup>2</sup>" in text
    assert "τ<sub>reio</sub>" in text


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            lambda s: (s.update(status="not converged"), s["diagnostics"].update(converged=False)),
            "THE CHAINS HAVE NOT CONVERGED",
        ),
        (
            lambda s: (
                s.update(status="certificate failed"),
                s["certificate"].update(passed=False),
            ),
            "THE CERTIFICATE FAILED",
        ),
        (lambda s: s["certificate"].update(passed=False), "THE CERTIFICATE FAILED"),
        (lambda s: s["diagnostics"].update(converged=False), "HAVE NOT CONVERGED"),
        (lambda s: s.pop("certificate"), "no certificate"),
        (lambda s: s.pop("diagnostics"), "have not converged"),
        (lambda s: s.update(status="odd"), "the status 'odd'"),
    ],
)
def test_bad_states_are_red(
    run_folder: Path, change_summary: Change, edit: Callable[[Any], object], words: str
) -> None:
    change_summary(edit)
    for file in ("bandpowers.json", "distances.json", "two_point.json", "history.json"):
        (run_folder / file).unlink()
    for file in (run_folder / "chains").iterdir():
        file.unlink()
    path = write_report(run_folder)
    assert words in Page(path).text
    assert re.search(r'class="status bad"', path.read_text())


def test_simulated_banner_stands_first_and_last(run_folder: Path, change_summary: Change) -> None:
    def edit(summary: dict[str, Any]) -> None:
        summary["simulated"] = True
        summary["data"]["planck-2018-plik-lite"]["simulated"] = True

    change_summary(edit)
    text = write_report(run_folder).read_text()
    body = text[text.index("<body>") :]
    assert body.count('class="simulated" role="alert"') == 2
    assert body.index("SIMULATED DATA") < body.index("<h1>")
    assert "<td>SIMULATED</td>" in body
    assert "<title>SIMULATED: planck-lcdm" in text


@pytest.mark.parametrize(
    ("missing", "left"),
    [
        ("bandpowers.json", 6),
        ("distances.json", 6),
        ("two_point.json", 6),
        ("history.json", 6),
        ("best_fit.safetensors", 7),
        ("config.yaml", 7),
        ("chains/reweighted.txt", 7),
        ("chains/emulator.paramnames", 5),
    ],
)
def test_missing_optional_file_leaves_the_rest(run_folder: Path, missing: str, left: int) -> None:
    (run_folder / missing).unlink()
    page = Page(write_report(run_folder))
    assert len(page.images) == left


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("summary.json", "{", "summary.json is damaged"),
        ("summary.json", "[]", "expected a mapping"),
        ("summary.json", '{"status": "converged"}', "has no 'parameters'"),
        ("summary.json", '{"status": "converged", "parameters": {}}', "names no parameter"),
        (
            "summary.json",
            '{"status": "converged", "parameters": {"h": {"mean": NaN, "std": 1}}}',
            "parameters.h.mean is nan",
        ),
        (
            "summary.json",
            '{"status": "converged", "parameters": {"h": {"mean": 1, "std": 1}}, "data": 3}',
            "'data' is 3",
        ),
        ("history.json", "{}", "no list of iterations"),
        ("history.json", "[{}]", "no number 'exact_calls_total'"),
        ("bandpowers.json", '{"TT": {"l": [1]}}', "has no D_l, sigma, model"),
        (
            "bandpowers.json",
            '{"TT": {"l": [1, 2], "D_l": [1], "sigma": [1, 2], "model": [1, 2]}}',
            "columns of different length",
        ),
        ("distances.json", "[]", "no mapping of names"),
        ("best_fit.safetensors", "no tensors", "is damaged"),
        ("chains/emulator.2.txt", "1 2 3\n", "has 3 columns; expected 7"),
        ("chains/emulator.2.txt", "", "is empty"),
        ("chains/reweighted.txt", "1 2 x\n", "is damaged"),
        ("chains/emulator.ranges", "tau_reio low\n", "is no line of"),
    ],
)
def test_damage_is_said_clearly(run_folder: Path, file: str, content: str, message: str) -> None:
    (run_folder / file).write_text(content)
    with pytest.raises(ReportError) as caught:
        write_report(run_folder)
    text = str(caught.value)
    assert message in text
    assert Path(file).name.split(".")[0] in text
    assert "\n" not in text


def test_profiles_have_words_figures_and_tables(run_folder: Path) -> None:
    without = Page(write_report(run_folder))
    assert "Profile likelihoods" not in without.text
    write_profile(run_folder, ("omega_b", "n_s"))
    write_profile(run_folder, ("n_s",))
    page = Page(write_report(run_folder))
    assert page.open == [] and "bad" not in page.classes
    assert len(page.images) == len(without.images) + 2
    assert "Delta chi2 <= 1: 0.9605 <= n_s <= 0.9693" in page.text
    assert "Delta chi2 <= 2.3" in page.text and "profile_omega_b_n_s.json" in page.text
    # the one-parameter profile stands first, with all its points and the others' values there
    assert page.text.index("profile_n_s.json") < page.text.index("profile_omega_b_n_s.json")
    rows = re.findall(r"<tr><td class=\"n\">(.*?)</td>.*?>([0-9.]+)</td>.*?\+0\.021.*?</tr>",
                      (run_folder / "report.html").read_text())  # fmt: skip
    assert [float(chi2) for _, chi2 in rows] == [9.0, 4.0, 1.0, 0.0, 1.0, 4.0, 9.0]
    assert [at for at, _ in rows][:2] == ["0.95170", "0.95610"]


def test_a_profile_that_missed_its_accuracy_is_red(run_folder: Path) -> None:
    path = write_profile(run_folder, ("n_s",))
    content = json.loads(path.read_text())
    content["met"] = False
    content["points"][1]["flags"] = ["not converged"]
    content["points"][2]["delta_chi2"] = None
    path.write_text(json.dumps(content))
    page = Page(write_report(run_folder))
    assert "bad" in page.classes
    assert "NOT every point" in page.text and "not converged" in page.text


def test_a_profile_without_chains_keeps_its_table(run_folder: Path) -> None:
    write_profile(run_folder, ("n_s",))
    shutil.rmtree(run_folder / "chains")
    page = Page(write_report(run_folder))
    assert page.images and "note" in page.classes and "0.95610" in page.text


def test_a_damaged_profile_is_named(run_folder: Path) -> None:
    path = run_folder / "profile_n_s.json"
    path.write_text('{"parameters": ["n_s"]}')
    with pytest.raises(ReportError, match=r"profile_n_s.json has no simulated, .*volvelle profile"):
        write_report(run_folder)


def test_folder_without_summary(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="repeat `volvelle run`"):
        write_report(tmp_path)


def test_smallest_summary_is_enough(tmp_path: Path) -> None:
    summary = {"status": "converged", "parameters": {"x<y": {"mean": 1.0, "std": 0.0}}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    page = Page(write_report(tmp_path))
    assert page.images == []
    assert "x<y" in page.text
    assert "bad" in page.classes
