"""A modified CLASS chosen by path, and its absence."""

import shutil
import sys
from pathlib import Path

import pytest

from volvelle.boltzmann import ClassSolver, Request, SolverNotInstalledError
from volvelle.boltzmann.library import load_classy
from volvelle.cosmology import planck18


@pytest.fixture(scope="module")
def copied_classy(tmp_path_factory) -> Path:
    """A user's own build: the installed package, copied to another folder."""
    source = Path(str(load_classy(None).__file__)).parent
    folder = tmp_path_factory.mktemp("my_class")
    shutil.copytree(source, folder / "classy")
    return folder


def test_own_class_is_loaded_from_its_folder(copied_classy):
    module = load_classy(str(copied_classy))
    assert Path(str(module.__file__)).is_relative_to(copied_classy)
    assert load_classy(str(copied_classy)) is module
    assert sys.modules["classy"] is load_classy(None) is not module


def test_identity_does_not_depend_on_the_folder(copied_classy):
    assert ClassSolver(path=str(copied_classy)).identity() == ClassSolver().identity()


def test_own_class_solves(copied_classy):
    request = Request(spectra=(), background=False)
    own = ClassSolver(path=str(copied_classy)).solve(planck18(), request)
    assert own == ClassSolver().solve(planck18(), request)


def test_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(SolverNotInstalledError, match="build it there"):
        ClassSolver(path=str(tmp_path)).identity()


def test_missing_classy_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "classy", None)
    with pytest.raises(SolverNotInstalledError, match=r"volvelle\[class\]"):
        ClassSolver().identity()


def test_missing_camb_says_how_to_install(monkeypatch):
    from volvelle.boltzmann import CambSolver

    monkeypatch.setitem(sys.modules, "camb", None)
    with pytest.raises(SolverNotInstalledError, match="pip install camb"):
        CambSolver().identity()
