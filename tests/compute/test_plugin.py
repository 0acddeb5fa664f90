"""Names of functions: ours, entry points of installed packages, a user's own code."""

from __future__ import annotations

from pathlib import Path

import pytest

from volvelle.compute import PluginError, load_named

GROUP = "volvelle.activations"
OURS = ("relu", "tanh")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs a package: its name, and entry points as ``{name: value}``."""

    def install(package: str, names: dict[str, str], code: str = "def f(x):\n    return x\n"):
        folder = tmp_path / package
        info = folder / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{package}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in names.items())
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}")
        monkeypatch.syspath_prepend(str(folder))

    return install


def load(name: str):
    return load_named("activation", GROUP, name, OURS)


def test_ours_need_no_import():
    assert load("relu") is None


def test_an_entry_point_by_its_name(installed):
    installed("extra_bends", {"bend": "extra_bends:f"})
    assert load("bend")(3) == 3
    assert load("extra_bends:f") is load("bend")
    assert load("relu") is None


def test_unknown_names_list_what_is_installed(installed):
    installed("more_bends", {"bend": "more_bends:f"})
    with pytest.raises(PluginError) as caught:
        load("bned")
    assert str(caught.value) == (
        "unknown activation 'bned'; choose relu, tanh, bend of installed packages, or your own as "
        "package.module:function, path/file.py:function or an entry point in volvelle.activations"
    )


def test_a_name_of_ours_is_not_taken_over(installed):
    installed("bold_bends", {"relu": "bold_bends:f"})
    with pytest.raises(PluginError, match="'relu' is ambiguous: Volvelle's own and bold_bends:f"):
        load("relu")
    assert load("tanh") is None
    assert load("bold_bends:f")(3) == 3


def test_two_packages_with_one_name(installed):
    installed("a_bends", {"bend": "a_bends:f"})
    installed("b_bends", {"bend": "b_bends:f"})
    with pytest.raises(PluginError, match="ambiguous") as caught:
        load("bend")
    assert all(f"{p}_bends:f of package {p}_bends" in str(caught.value) for p in "ab")


@pytest.mark.parametrize(
    ("package", "value", "code", "words"),
    [
        ("raising_bends", "raising_bends:f", "1 / 0\n", "cannot be loaded: ZeroDivisionError"),
        ("empty_bends", "empty_bends:f", "", "cannot be loaded: AttributeError"),
        ("lost_bends", "lost_bends_module:f", "", "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_an_entry_point_that_fails(installed, package: str, value: str, code: str, words: str):
    installed(package, {"bend": value}, code)
    with pytest.raises(PluginError) as caught:
        load("bend")
    assert f"'bend' is {value} of package {package} ({GROUP}), which {words}" in str(caught.value)
    assert "mend or reinstall it" in str(caught.value)
