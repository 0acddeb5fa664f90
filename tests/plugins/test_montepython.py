"""The stand-in for ``classy.Class``: every public method of it, spectra, background, refusals."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import classy
import numpy as np
import pytest
import universe

from volvelle.boltzmann import POWER_K, POWER_Z, SolverNotInstalledError, load_classy
from volvelle.learning.storage import sign
from volvelle.plugins import class_behind, exact
from volvelle.plugins.montepython import (
    CallableFloat,
    Class,
    CosmoComputationError,
    CosmoSevereError,
    write_shim,
)

LEARNED = 2e-4
H = universe.exact(universe.point())["h"]


def inputs(folder: Path, **changes: Any) -> dict[str, Any]:
    """What MontePython hands over for the truth, but for the angle; None takes an entry out."""
    given = {
        "volvelle_emulator": str(folder),
        "omega_b": 0.0224,
        "omega_cdm": 0.12,
        "h": H,
        "ln10^{10}A_s": 3.045,
        "n_s": 0.965,
        "tau_reio": 0.054,
        "N_ur": 2.0308,
        "N_ncdm": 1,
        "m_ncdm": 0.06,
        "T_ncdm": 0.71611,
        "k_pivot": 0.05,
        "sBBN file": "/code/class/external/bbn/sBBN.dat",
        "output": "tCl pCl lCl mPk",
        "lensing": "yes",
        "l_max_scalars": universe.LMAX,
    }
    return {name: value for name, value in {**given, **changes}.items() if value is not None}


def computed(folder: Path, **changes: Any) -> Class:
    cosmo = Class()
    cosmo.set(inputs(folder, **changes))
    cosmo.compute(["lensing"])
    return cosmo


@pytest.fixture
def cosmo(folder: Path) -> Any:
    made = computed(folder)
    yield made
    made.empty()


@pytest.fixture(scope="module")
def truth() -> Any:
    """CLASS's own background at the same parameters."""
    real = classy.Class()
    words = inputs(Path("."), volvelle_emulator=None, output=None, lensing=None, l_max_scalars=None)
    del words["sBBN file"]
    real.set(words)
    real.compute(level=["thermodynamics"])
    yield real
    real.struct_cleanup()


GRID = np.full((2, 1, 1), 0.1)
ASKED: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(["pk", "pk_lin", "pk_cb", "pk_cb_lin"], (0.1, 0.5)),
    **dict.fromkeys(
        ["get_pk", "get_pk_lin", "get_pk_cb", "get_pk_cb_lin"], (GRID, np.array([0.5]), 2, 1, 1)
    ),
    "get_pk_array": (np.array([0.1, 0.2]), np.array([0.5]), 2, 1, False),
    "get_pk_cb_array": (np.array([0.1, 0.2]), np.array([0.5]), 2, 1, False),
    "get_pk_and_k_and_z": (False,),
    "get_pk_all": (np.array([0.1, 0.2]), np.array([0.5])),
    "get_current_derived_parameters": (["sigma8", "h", "100*theta_s", "volvelle_distance"],),
    "set": ({"n_s": 0.965},),
    "set_baseline": ("p18lb",),
    "sigma": (8.0, 0.5, True),
    "sigma_cb": (8.0, 0.5, True),
    **dict.fromkeys(["effective_f_sigma8", "effective_f_sigma8_spline"], (0.5, 0.1)),
    "scale_independent_f_sigma8": (0.5,),
    "angular_distance_from_to": (0.2, 0.5),
    "z_of_r": (np.array([0.5, 1.0]),),
    "z_of_tau": (5000.0,),
    "get_transfer": (0.0,),
    "pk_tilt": (0.1, 0.5),
    **dict.fromkeys(["nonlinear_scale", "nonlinear_scale_cb"], (np.array([0.5]), 1)),
    **dict.fromkeys(
        [
            "scale_dependent_growth_factor_D",
            "scale_dependent_growth_factor_D_cb",
            "scale_dependent_growth_factor_f",
            "scale_dependent_growth_factor_f_cb",
        ],
        (0.1, 0.5),
    ),
    **dict.fromkeys(["pk_analytic_nw", "pk_numerical_nw"], (np.array([0.1, 0.2]), 0.5)),
    **dict.fromkeys(
        [
            "Hubble",
            "Om_b",
            "Om_cdm",
            "Om_m",
            "Om_ncdm",
            "angular_distance",
            "comoving_distance",
            "luminosity_distance",
            "scale_independent_growth_factor",
            "scale_independent_growth_factor_f",
            "ionization_fraction",
            "baryon_temperature",
        ],
        (0.5,),
    ),
}
"""Arguments of the methods that take some."""
REFUSED = {
    "raw_cl": "unlensed_tt was not learned",
    "pk_cb": "pk_cb_lin was not learned",
    "set_default": "not for an emulator",
    "set_baseline": "not for an emulator",
}
"""What this emulator cannot give and CLASS's background neither, in words of its own."""
NEED_PERTURBATIONS = frozenset(
    name
    for line in (
        "density_cl effective_f_sigma8_spline get_Weyl_pk_and_k_and_z get_perturbations get_pk_all",
        "get_pk_cb get_pk_cb_array get_pk_cb_lin get_sources get_transfer get_transfer_and_k_and_z",
        "nonlinear_scale nonlinear_scale_cb pk_analytic_nw pk_cb_lin pk_numerical_nw pk_tilt",
        "scale_dependent_growth_factor_D scale_dependent_growth_factor_D_cb sigma8_cb sigma_cb",
        "scale_dependent_growth_factor_f scale_dependent_growth_factor_f_cb",
        "scale_independent_f_sigma8 spectral_distortion spectral_distortion_amplitudes",
    )
    for name in line.split()
)
"""What only CLASS's whole computation gives."""
PUBLIC = [name for name in dir(classy.Class) if not name.startswith("_")]


def ask(cosmo: Any, name: str) -> Any:
    found = getattr(cosmo, name)
    if callable(found) and not isinstance(found, float):
        return found(*ASKED.get(name, ()))
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_method_of_class(cosmo: Class, name: str) -> None:
    """Each is served, answered by CLASS's background, or refused in words that say what to do."""
    if name in REFUSED:
        with pytest.raises(CosmoSevereError, match=REFUSED[name]):
            ask(cosmo, name)
    elif name in NEED_PERTURBATIONS:
        with pytest.raises(CosmoSevereError, match=r"was not learned.*'volvelle_class'\] = 'full'"):
            ask(cosmo, name)
    else:
        answer = ask(cosmo, name)
        if name not in ("set", "compute", "struct_cleanup", "empty", "pars", "state"):
            assert answer is not None
        if isinstance(answer, float):
            assert np.isfinite(answer)


def test_the_lists_are_of_this_class() -> None:
    assert set(PUBLIC) >= {*ASKED, *NEED_PERTURBATIONS, *REFUSED}


def test_a_method_that_nobody_has(cosmo: Class) -> None:
    with pytest.raises(AttributeError, match="no 'get_everything' that this stand-in knows"):
        cosmo.get_everything  # noqa: B018


def test_spectra_as_class_gives_them(cosmo: Class) -> None:
    cl, true = cosmo.lensed_cl(100), universe.exact(universe.point())
    assert cl["ell"].tolist() == list(range(101))
    for pair in ("tt", "te", "ee"):
        expected = true[f"lensed_{pair}"][:101] / (2.7255e6) ** 2
        np.testing.assert_allclose(cl[pair], expected, atol=LEARNED * np.max(np.abs(expected)))
    np.testing.assert_allclose(cl["pp"], true["phiphi"][:101], rtol=LEARNED)
    assert len(cosmo.lensed_cl()["tt"]) == universe.LMAX + 1
    with pytest.raises(CosmoSevereError, match="bb was not learned"):
        cl["bb"]


def test_the_background_is_exact(cosmo: Class, truth: Any) -> None:
    """To the last digit what CLASS gives at the same parameters."""
    same = {"rtol": 1e-9}  # the omega_ncdm of both differ in the last digits of T_ncdm's N_eff
    for method in ("Hubble", "angular_distance", "luminosity_distance", "comoving_distance"):
        np.testing.assert_allclose(
            getattr(cosmo, method)(0.7), getattr(truth, method)(0.7), err_msg=method, rtol=2e-6
        )
    z = np.array([0.2, 1.0])
    np.testing.assert_allclose(cosmo.z_of_r(z), truth.z_of_r(z), rtol=2e-6)
    for name in ("rs_drag", "Neff", "Omega_m", "age", "z_reio", "Omega_Lambda"):
        assert float(getattr(cosmo, name)()) == pytest.approx(getattr(truth, name)(), rel=1e-5)
    assert cosmo.h() == pytest.approx(truth.h(), rel=same["rtol"])
    assert cosmo.get_background()["z"].shape == truth.get_background()["z"].shape
    growth = cosmo.scale_independent_growth_factor(1.0)
    assert growth == pytest.approx(truth.scale_independent_growth_factor(1.0), rel=1e-5)


def test_numbers_may_be_called_or_not(cosmo: Class) -> None:
    for name in ("h", "n_s", "T_cmb", "tau_reio", "sigma8", "Omega_m", "rs_drag", "Neff"):
        value = getattr(cosmo, name)
        assert isinstance(value, CallableFloat)
        assert value() == float(value)
    assert (cosmo.n_s(), cosmo.T_cmb(), cosmo.tau_reio()) == (0.965, 2.7255, 0.054)


def test_derived_parameters(cosmo: Class, truth: Any) -> None:
    """In the order asked for: CLASS's own, but for perturbations and inputs."""
    names = ["sigma8", "H0", "100*theta_s", "Omega_Lambda", "A_s", "10^9A_s", "YHe", "z_reio"]
    found = cosmo.get_current_derived_parameters([*names, "volvelle_distance", "volvelle_exact"])
    assert list(found)[: len(names)] == names
    theirs = truth.get_current_derived_parameters(["100*theta_s", "Omega_Lambda", "YHe", "z_reio"])
    for name, value in theirs.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name
    true = universe.exact(universe.point())
    assert found["sigma8"] == pytest.approx(true["sigma8"], rel=LEARNED)
    assert found["10^9A_s"] == pytest.approx(0.1 * np.exp(3.045))
    assert found["volvelle_distance"] < 1.0 and found["volvelle_exact"] == 0.0
    with pytest.raises(CosmoSevereError, match="nonsense was not learned"):
        cosmo.get_current_derived_parameters(["nonsense"])


def test_matter_power_and_growth(cosmo: Class) -> None:
    true = universe.exact(universe.point())
    k, z = POWER_K[100], POWER_Z[10]
    assert cosmo.pk_lin(k, z) == pytest.approx(true["matter_power"][10, 100], rel=5 * LEARNED)
    cube = cosmo.get_pk_lin(np.full((3, 2, 1), k), np.array([0.0, z]), 3, 2, 1)
    assert cube.shape == (3, 2, 1)
    assert cube[1, 1, 0] == pytest.approx(cosmo.pk_lin(k, z), rel=1e-12)
    row = cosmo.get_pk_array(np.array([k, 2 * k]), np.array([0.0, z]), 2, 2, False)
    assert row[2] == pytest.approx(cosmo.pk_lin(k, z), rel=1e-12)
    table, kk, zz = cosmo.get_pk_and_k_and_z(nonlinear=False)
    assert table[100, zz.tolist().index(z)] == pytest.approx(cosmo.pk_lin(k, z), rel=1e-9)
    in_h, k_h, _ = cosmo.get_pk_and_k_and_z(nonlinear=False, h_units=True)
    np.testing.assert_allclose(in_h, table * cosmo.h() ** 3)
    np.testing.assert_allclose(k_h, kk / cosmo.h())
    assert cosmo.sigma(8.0, 1.0, h_units=True) == pytest.approx(true["sigma8"] / 2, rel=LEARNED)
    assert cosmo.sigma(8.0 / cosmo.h(), 1.0) == pytest.approx(true["sigma8"] / 2, rel=LEARNED)
    assert cosmo.effective_f_sigma8(1.0) == pytest.approx(true["sigma8"] / 2, rel=LEARNED)
    assert cosmo.nonlinear_method == 1


def test_life_as_montepython_leads_it(folder: Path) -> None:
    cosmo = Class()
    assert not cosmo.state
    cosmo.set(inputs(folder))
    cosmo.compute()
    first = cosmo.lensed_cl()["tt"]
    assert cosmo.state
    cosmo.struct_cleanup()
    assert not cosmo.state
    cosmo.set(inputs(folder, omega_cdm=0.121))
    cosmo.compute()
    assert not np.array_equal(first, cosmo.lensed_cl()["tt"])
    cosmo.empty()
    assert cosmo.pars == {}
    with pytest.raises(CosmoSevereError, match="which emulator"):
        cosmo.compute()


def test_the_emulator_of_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLVELLE_EMULATOR", str(folder))
    assert computed(folder, volvelle_emulator=None).lensed_cl(10)["tt"][2] > 0.0


def test_the_angle_of_class(folder: Path, truth: Any) -> None:
    """100*theta_s is found by CLASS itself, and the emulator is asked at the h that it means."""
    angle = truth.get_current_derived_parameters(["100*theta_s"])["100*theta_s"]
    cosmo = computed(folder, h=None, **{"100*theta_s": angle})
    assert cosmo.h() == pytest.approx(H, rel=1e-5)
    with pytest.raises(CosmoSevereError, match="only CLASS translates"):
        computed(folder, h=None, volvelle_class="none", **{"100*theta_s": angle})
    fractions = {"omega_b": None, "Omega_b": 0.049, "100*theta_s": angle}
    with pytest.raises(CosmoSevereError, match=r"Omega_b and 100\*theta_s together leave h open"):
        computed(folder, h=None, **fractions)


def test_the_angle_of_the_emulator(folder: Path) -> None:
    cosmo = computed(folder, h=None, theta_star_100=1.041)
    assert cosmo.h() == pytest.approx(H, rel=LEARNED)
    assert cosmo.Hubble(0.0) == pytest.approx(cosmo.h() / 2997.92458, rel=1e-9)


def test_without_class(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances are the network's then; what it does not know is refused."""
    true = universe.exact(universe.point())

    def absent(path: str | None) -> None:
        raise SolverNotInstalledError("CLASS cannot be imported")

    for use in ("none", None):
        if use is None:
            monkeypatch.setattr(class_behind, "load_classy", absent)
        cosmo = computed(folder, volvelle_class=use)
        hubble = true["H0"] * universe.expansion(np.array(0.7), true["Omega_m"]) / 299792.458
        assert cosmo.Hubble(0.7) == pytest.approx(float(hubble), rel=LEARNED)
        ratio = cosmo.luminosity_distance(0.7) / cosmo.angular_distance(0.7)
        assert ratio == pytest.approx(1.7**2)
        assert cosmo.rs_drag() == pytest.approx(true["r_drag"], rel=LEARNED)
        derived = cosmo.get_current_derived_parameters(["z_reio", "H0"])
        assert derived["z_reio"] == pytest.approx(true["z_reio"], rel=LEARNED)
        with pytest.raises(CosmoSevereError, match="Om_b was not learned; CLASS is not installed"):
            cosmo.Om_b(0.5)
        with pytest.raises(CosmoSevereError, match="Omega_Lambda was not learned"):
            cosmo.Omega_Lambda()
        with pytest.raises(CosmoSevereError, match="at z = 1300"):
            cosmo.angular_distance(1300.0)
    with pytest.raises(CosmoSevereError, match="CLASS cannot be imported"):
        computed(folder, volvelle_class="background")


def test_the_whole_of_class(folder: Path) -> None:
    """With volvelle_class: full, CLASS computes what was not learned, once."""
    words = {"output": "mPk", "lensing": None, "l_max_scalars": None, "P_k_max_1/Mpc": 0.3}
    cosmo = computed(folder, volvelle_class="full", z_max_pk=1.0, **words)
    value = cosmo.pk_cb_lin(0.1, 0.5)
    real = classy.Class()
    theirs = inputs(folder, volvelle_emulator=None, z_max_pk=1.0, **words)
    del theirs["sBBN file"]
    real.set(theirs)
    real.compute()
    assert value == pytest.approx(real.pk_cb_lin(0.1, 0.5), rel=1e-4)
    assert cosmo.pk_tilt(0.1, 0.5) == pytest.approx(real.pk_tilt(0.1, 0.5), rel=1e-3)
    assert cosmo._real_class.computed == 1
    _, k, z = real.get_pk_and_k_and_z(nonlinear=False)
    _, ours_k, ours_z = cosmo.get_pk_and_k_and_z(nonlinear=False)
    for theirs_grid, ours_grid in ((k, ours_k), (z, ours_z)):
        assert np.sign(np.diff(theirs_grid)[0]) == np.sign(np.diff(ours_grid)[0])
    with pytest.raises(CosmoSevereError, match="CLASS: "):
        cosmo.pk_cb_lin(50.0, 0.5)
    real.struct_cleanup()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"N_ncdm": None, "N_ur": None, "m_ncdm": None, "T_ncdm": None}, "m_nu = 0 was given"),
        ({"N_ur": 2.0328}, "N_eff = 3.04600"),
        ({"omega_cdm": None}, "missing omega_cdm"),
        ({"Omega_k": 0.01}, "Omega_k = 0.01 was given"),
        ({"k_pivot": 0.002}, "k_pivot is 0.002"),
        ({"non_linear": "hmcode"}, "non_linear is hmcode, this emulator was trained with halofit"),
        ({"modes": "s,t"}, "modes = s,t"),
        ({"l_max_scalars": 2500}, "l_max_scalars is 2500, the spectra were learned to l = 150"),
        ({"tol_background_integration": 1e-3}, "tol_background_integration is no parameter"),
        ({"volvelle_class": "some"}, "volvelle_class is 'some'; expected background, full, none"),
        ({"volvelle_outside": "ignore"}, "outside is 'ignore'"),
        ({"volvelle_emulator": "/nowhere"}, "holds no stored model"),
    ],
)
def test_wrong_input(folder: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(CosmoSevereError, match=words):
        computed(folder, **changes)


BEYOND: list[tuple[Callable[[Class], Any], str]] = [
    (lambda c: c.lensed_cl(151), "to l = 151, it was learned to l = 150"),
    (lambda c: c.pk_lin(0.1, 4.5), "at z = 4.5"),
    (lambda c: c.pk_lin(11.0, 0.5), "at k = 11 1/Mpc"),
    (lambda c: c.sigma(8.0, 5.0, True), "at z = 5"),
    (lambda c: c.get_pk_array(np.array([1e-5]), np.array([0.0]), 1, 1, False), "at k = 1e-05"),
]


@pytest.mark.parametrize("call, words", BEYOND)
def test_beyond_the_tables(cosmo: Class, call: Callable[[Class], Any], words: str) -> None:
    with pytest.raises(CosmoSevereError, match=words):
        call(cosmo)


def test_outside_of_the_domain(folder: Path) -> None:
    far = {"omega_cdm": 0.16}
    solved = computed(folder, **far)
    true = universe.exact({**universe.point(**far, h=H), "theta_star_100": None})
    np.testing.assert_allclose(
        solved.lensed_cl()["tt"], true["lensed_tt"] / 2.7255e6**2, rtol=1e-12
    )
    assert solved.get_current_derived_parameters(["volvelle_exact"]) == {"volvelle_exact": 1.0}
    flagged = computed(folder, volvelle_outside="flag", **far)
    assert flagged.get_current_derived_parameters(["volvelle_distance"])["volvelle_distance"] > 1.0
    with pytest.raises(CosmoComputationError, match="times the edge"):
        computed(folder, volvelle_outside="reject", **far)
    with pytest.raises(CosmoSevereError, match="times the edge"):
        computed(folder, volvelle_outside="raise", **far)
    with pytest.raises(CosmoComputationError, match="no such universe"):
        computed(folder, omega_cdm=0.25)


@pytest.mark.parametrize("damage", ["truncated", "one byte"])
def test_damaged_weights(folder: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "emulator"
    shutil.copytree(folder, copy)
    (weights,) = copy.glob("weights-*.safetensors")
    content = bytearray(weights.read_bytes())
    content[1000] ^= 16
    weights.write_bytes(bytes(content[:-1] if damage == "truncated" else content))
    with pytest.raises(CosmoSevereError, match="is damaged: SHA-256"):
        computed(copy)


def test_another_version_of_the_solver(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = universe.ClosedForm(version="2.0")
    monkeypatch.setattr(exact, "get_solver", lambda name, **settings: other)
    with pytest.raises(CosmoSevereError, match=r"trained with CAMB 1\.0, installed is CAMB 2\.0"):
        computed(folder)


def test_another_version_of_class(folder: Path, tmp_path: Path) -> None:
    """An emulator of CLASS takes its background from that CLASS only."""
    import json

    copy = tmp_path / "emulator"
    shutil.copytree(folder, copy)
    content = json.loads((copy / "model.json").read_text())
    content["record"]["solver"] |= {"solver": "class", "version": "2.9.4"}
    sign(content, (copy / content["weights"]).read_bytes())
    (copy / "model.json").write_text(json.dumps(content))
    with pytest.raises(CosmoSevereError, match=r"trained with CLASS 2\.9\.4, installed is CLASS 3"):
        computed(copy, volvelle_outside="raise")
    assert computed(copy, volvelle_outside="raise", volvelle_class="none").state


def test_the_shim_hides_class_but_not_from_volvelle(folder: Path, tmp_path: Path) -> None:
    """In a process of its own, as MontePython: `import classy` is the stand-in, and CLASS works."""
    place = write_shim(tmp_path / "shim")
    program = (
        "from classy import Class, CosmoSevereError, CosmoComputationError\n"
        "import classy, volvelle.plugins.montepython as plugin\n"
        "assert Class is plugin.Class and classy.STANDS_IN\n"
        "from volvelle.boltzmann import ClassSolver, load_classy, new_class\n"
        "real = new_class(load_classy(None))\n"  # reads CLASS's own data files
        "real.compute(level=['thermodynamics'])\n"
        "assert 100.0 < real.rs_drag() < 200.0\n"
        "print(ClassSolver().identity()['version'])\n"
    )
    source = Path(universe.__file__).parents[2] / "src"
    path = os.pathsep.join([str(place), str(source)])
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == classy.__version__.lstrip("v")


def test_the_shim_alone_is_no_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_shim(tmp_path / "shim")
    monkeypatch.setattr(sys, "path", [str(place)])
    kept = {n: sys.modules.pop(n) for n in list(sys.modules) if n.split(".")[0] == "classy"}
    try:
        with pytest.raises(SolverNotInstalledError, match="the only classy is the stand-in"):
            load_classy(None)
    finally:
        sys.modules.pop("classy", None)
        sys.modules.update(kept)
