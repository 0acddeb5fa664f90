"""MontePython's runs as black boxes: loaded from log.param, evaluated, their chains certified.

MontePython itself cannot be installed here; ``fake_montepython`` has the calls of its version 3.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import universe

from volvelle.boltzmann import Ledger, SolverError
from volvelle.compute import SerialExecutor
from volvelle.inference import Uniform, read_chains
from volvelle.plugins import ForeignError, certify_chain
from volvelle.plugins.montepython import Class, CosmoSevereError
from volvelle.plugins.montepython_chain import montepython_chain
from volvelle.plugins.montepython_model import MontePythonModel
from volvelle.plugins.theory import digest_of

FAKE = Path(__file__).parent / "fake_montepython"
ROWS = 300
LEARNED = 0.02  # of ln L: the emulator's error near its centre, in units of sigma8's 1%


def log_param(folder: Path, emulator: Path, extra: str = "") -> Path:
    """A run's record: omega_cdm, ln A_s and a calibration vary, sigma8 is derived."""
    fixed = dict(zip(universe.NAMES, universe.TRUTH.tolist(), strict=True))
    del fixed["omega_cdm"], fixed["ln10A_s"], fixed["theta_star_100"]
    lines = [
        "#-----CLASS (branch: , hash: )-----",
        f"data.path['root'] = '{FAKE}'",
        "data.experiments=['gauss']",
        "data.parameters['omega_cdm'] = [0.12, 0.10, 0.14, 0.001, 1, 'cosmo']",
        "data.parameters['A_s'] = [2.1, 1.5, 2.7, 0.02, 1e-9, 'cosmo']",
        "data.parameters['calibration'] = [100.0, 97.0, 103.0, 0.2, 0.01, 'nuisance']",
        "data.parameters['sigma8'] = [0, None, None, 0, 1, 'derived']",
        f"data.cosmo_arguments.update({ {**fixed, 'h': 0.6736} })",
        f"data.cosmo_arguments['volvelle_emulator'] = '{emulator}'",
        "data.cosmo_arguments.update({'N_ncdm': 1, 'm_ncdm': 0.06, 'N_ur': 2.0308})",
        extra,
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.param").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def chain(folder: Path, tmp_path: Path) -> Path:
    """A weighted sample of the run's posterior, in the files of MontePython."""
    run = log_param(tmp_path / "run", folder)
    model = MontePythonModel.load(run)
    rng = np.random.default_rng(5)
    rows = []
    for _ in range(ROWS):
        x = {
            "omega_cdm": rng.uniform(0.115, 0.125),
            "A_s": rng.normal(2.1, 0.05),
            "calibration": rng.normal(100.0, 0.5),
        }
        x = {name: float(f"{value:.6e}") for name, value in x.items()}
        value, derived = model.evaluate(x)
        proposal = -0.5 * (((x["A_s"] - 2.1) / 0.05) ** 2 + ((x["calibration"] - 100.0) / 0.5) ** 2)
        rows.append([np.exp(value - proposal), -value, *x.values(), derived["sigma8"]])
    lines = ["\t".join(f"{number:.6e}" for number in row) for row in rows]
    (run / "2026-01-01_300__1.txt").write_text("\n".join(lines) + "\n")
    names = ("omega_cdm", "A_s", "calibration", "sigma8")
    (run / "2026-01-01_300_.paramnames").write_text("".join(f"{n} \t {n} \n" for n in names))
    return run


def test_a_run_is_loaded_again(folder: Path, tmp_path: Path) -> None:
    model = MontePythonModel.load(log_param(tmp_path / "run", folder))
    assert model.sampled == ("omega_cdm", "A_s", "calibration") and model.derived == ("sigma8",)
    assert getattr(sys.modules.get("classy"), "STANDS_IN", False) is False, "CLASS is CLASS again"
    assert model.priors()[1] == Uniform(1.5, 2.7)
    assert model.reference()[2] == (100.0, 0.5)
    value, derived = model.evaluate({"omega_cdm": 0.12, "A_s": 2.1, "calibration": 100.5})
    expected = -0.5 * (((derived["sigma8"] * 1.005 - 0.81) / 0.01) ** 2 + 1.0)
    assert value == pytest.approx(expected, rel=1e-10)
    exact = model.with_environment(VOLVELLE_ALWAYS_EXACT="yes")
    assert exact.identity() != model.identity() and exact.identity()["version"] == "9.9.9"
    assert exact.evaluate({"omega_cdm": 0.12, "A_s": 2.1, "calibration": 100.5})[0] == (
        pytest.approx(value, abs=LEARNED)
    )


def test_a_chain_is_certified(chain: Path, tmp_path: Path) -> None:
    files = read_chains(chain, burn_in=0.0)
    found = montepython_chain(files, "camb")
    ledger = Ledger(tmp_path / "certificate.sqlite")
    certificate, log_weights = certify_chain(
        found, ledger, SerialExecutor(), limit=0.05, points=40, max_points=60, seed=1
    )
    assert certificate.passed, certificate.words()
    assert set(certificate.parameters) == {"omega_cdm", "A_s", "calibration", "sigma8"}
    assert log_weights.shape == (ROWS,) and np.ptp(log_weights) < LEARNED


def test_another_likelihood_is_found_out(chain: Path, tmp_path: Path) -> None:
    files = read_chains(chain, burn_in=0.0)
    found = montepython_chain(files, "camb")
    moved = replace(found, log_like=found.log_like - 0.1)
    with pytest.raises(ForeignError, match="loaded again"):
        certify_chain(
            moved,
            Ledger(tmp_path / "l.sqlite"),
            SerialExecutor(),
            limit=0.05,
            points=20,
            max_points=20,
            seed=1,
        )


def test_a_certificate_is_exact_whatever_the_file_says(folder: Path, tmp_path: Path) -> None:
    """The environment asks for exact solutions, the file against them."""
    against = "data.cosmo_arguments['volvelle_always_exact'] = 'no'"
    model = MontePythonModel.load(log_param(tmp_path / "run", folder, against))
    point = {"omega_cdm": 0.121, "A_s": 2.1, "calibration": 100.0}
    exact = model.with_environment(VOLVELLE_ALWAYS_EXACT="yes")
    assert exact.evaluate(point)[0] != model.evaluate(point)[0]


def test_the_emulator_of_the_environment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = MontePythonModel.load(log_param(tmp_path / "named", folder))
    without = "del data.cosmo_arguments['volvelle_emulator']"
    bare = MontePythonModel.load(log_param(tmp_path / "bare", folder, without))
    point = {"omega_cdm": 0.12, "A_s": 2.1, "calibration": 100.0}
    monkeypatch.setenv("VOLVELLE_EMULATOR", str(folder))
    assert bare.evaluate(point) == named.evaluate(point)
    assert bare.identity()["theory"] == f"emulator {digest_of(folder)}"


def test_refusals(chain: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ForeignError, match=r"has no log\.param"):
        MontePythonModel.load(tmp_path)
    moved = log_param(tmp_path / "moved", folder)
    text = (moved / "log.param").read_text().replace(str(FAKE), "/nowhere")
    (moved / "log.param").write_text(text)
    with pytest.raises(ForeignError, match="MontePython in /nowhere, which is not there"):
        MontePythonModel.load(moved)
    assert MontePythonModel.load(moved, FAKE).sampled[0] == "omega_cdm"
    with pytest.raises(ForeignError, match=r"trained with camb.*certify --with camb"):
        montepython_chain(read_chains(chain), "class")
    bare = log_param(tmp_path / "bare", folder, "del data.cosmo_arguments['volvelle_emulator']")
    for path in chain.glob("2026*"):
        (bare / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ForeignError, match="names no emulator"):
        montepython_chain(read_chains(bare), "camb")
    broken = log_param(tmp_path / "broken", folder, "data.cosmo_arguments['trouble'] = 1")
    with pytest.raises(ForeignError, match=r"cannot load the run again.*data are not here"):
        _ = MontePythonModel.load(broken).sampled
    wide = log_param(tmp_path / "wide", folder, "data.parameters['A_s'][2] = None")
    with pytest.raises(ForeignError, match="expected a flat one with both edges"):
        MontePythonModel.load(wide).priors()
    bell = "data.parameters['A_s'] += ['gaussian', 2.1, 0.1]"
    with pytest.raises(ForeignError, match="gives A_s a gaussian prior"):
        MontePythonModel.load(log_param(tmp_path / "bell", folder, bell)).priors()
    with pytest.raises(SolverError, match="MontePython"):
        point = {"omega_cdm": 0.5, "A_s": 2.1, "calibration": 100.0}  # no universe of the toy
        MontePythonModel.load(chain).evaluate(point)


def test_learned_from_within_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With CLASS itself in the stand-in's place; the run ends, a repeated one evaluates nothing."""
    run = tmp_path / "chains" / "run"
    run.mkdir(parents=True)
    lines = [
        f"data.path['root'] = '{FAKE}'",
        "data.experiments=['age']",
        "data.parameters['H0'] = [68.0, 50.0, 90.0, 2.0, 1, 'cosmo']",
        "data.parameters['calibration'] = [100.0, 97.0, 103.0, 0.2, 0.01, 'nuisance']",
        "data.parameters['Omega_m'] = [0, None, None, 0, 1, 'derived']",
        "data.cosmo_arguments.update({'omega_b': 0.0224, 'omega_cdm': 0.12, 'output': ''})",
        "data.cosmo_arguments['sBBN file'] = '/no/such/table'",
    ]
    (run / "log.param").write_text("\n".join(lines) + "\n")
    inputs = {"volvelle_learn": "yes", "volvelle_draws": 400, "volvelle_points": 30}
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["MontePython.py", "run", "-N", "10", "-o", str(run)])
        cosmo = Class()
        cosmo.set({**inputs, "omega_cdm": 0.12, "H0": 68.0})
        with pytest.raises(SystemExit) as left:
            cosmo.compute()
        assert left.value.code == 0
    said = capsys.readouterr().out
    assert "is certified" in said and "evaluations: 30 of 30 (30 known)" in said
    chain = read_chains(tmp_path / "chains" / "run_volvelle" / "reweighted")
    assert chain.names == ("H0", "calibration", "Omega_m")
    expected = (0.0224 + 0.12) / (chain.column("H0") / 100.0) ** 2  # massless neutrinos
    np.testing.assert_allclose(chain.column("Omega_m"), expected, rtol=1e-3)
    from classy import Class as RealClass

    real = RealClass()
    centre = float(np.average(chain.column("H0"), weights=chain.weights))
    real.set({"omega_b": 0.0224, "omega_cdm": 0.12, "H0": centre})
    real.compute(["background"])
    assert real.age() == pytest.approx(13.8, abs=0.05)  # half a width of the likelihood
    monkeypatch.setattr(sys, "argv", ["MontePython.py", "run", "-N", "10"])
    with pytest.raises(CosmoSevereError, match="the run has no -o FOLDER"):
        cosmo.compute()
