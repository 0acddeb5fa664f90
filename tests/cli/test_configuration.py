"""A configuration that passes says what it means; see test_wrong_input for those that do not."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import yaml

from volvelle.boltzmann import NON_LINEAR, SOLVERS, Request, default_ledger
from volvelle.cli import Configuration, ConfigurationError, SampledParameter, setup
from volvelle.cli.blocks import CambTheory, ClassTheory, SolverBlock, TheoryBlock
from volvelle.cli.compute_block import ComputeBlock, Local
from volvelle.cli.sampler_block import MetropolisSampler
from volvelle.cosmology import HIERARCHIES, NATIVE

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_sampled_fixed_and_defaults(write) -> None:
    found = Configuration.load(write({}))
    assert [p.name for p in found.sampled] == ["omega_b", "omega_cdm"]
    assert found.sampled[0] == SampledParameter(
        "omega_b", {"min": 0.005, "max": 0.1}, 0.0224, 0.001, r"\omega_\mathrm{b}", "cosmology"
    )
    assert found.sampled[1].prior == {"dist": "norm", "loc": 0.12, "scale": 0.01}
    assert (found.sampled[1].ref_loc, found.sampled[1].ref_scale) == (0.12, 0.01)
    expected = {"theta_star_100": 1.041, "n_s": 0.965, "ln10A_s": 3.05, "tau_reio": 0.054}
    assert found.fixed == expected
    assert (found.solver_name, found.sampler_name, found.seed) == ("camb", "nuts", 1)
    assert found.solver_settings["non_linear"] == "halofit"
    assert found.emulator.accuracy == 0.05
    assert found.certificate.points == 100


def test_every_block_reaches_the_configuration(write) -> None:
    changes = {
        "theory": {
            "camb": {"precision": {"Accuracy.AccuracyBoost": 2}, "extra_args": {"Alens": 2}}
        },
        "theory.camb.neutrino_hierarchy": "degenerate",
        "theory.camb.lens_potential_accuracy": 2.0,
        "params.omega_b.latex": r"\Omega_b h^2",
        "sampler": {"metropolis": {"draws": 1000}, "r_hat": 1.02, "ess_min": 300},
        "emulator": {"kind": "network", "initial": 20, "width": 2.0},
        "ledger": "~/ledger.sqlite",
        "workers": 3,
        "seed": 7,
    }
    found = Configuration.load(write(changes), output="elsewhere")
    assert found.solver_settings["precision"] == {"Accuracy.AccuracyBoost": 2}
    assert found.solver_settings["extra"] == {"Alens": 2}
    assert found.solver_settings["lens_potential_accuracy"] == 2.0
    assert found.neutrino_hierarchy == "degenerate"
    assert found.sampled[0].label == r"\Omega_b h^2"
    assert found.sampler == MetropolisSampler(draws=1000)
    assert (found.r_hat, found.ess_min) == (1.02, 300)
    assert (found.emulator.kind, found.emulator.initial, found.emulator.width) == ("network", 20, 2)
    assert found.ledger == Path("~/ledger.sqlite").expanduser()
    assert found.compute == ComputeBlock(local=Local(workers=3))
    assert (found.seed, found.output) == (7, Path("elsewhere"))


def test_the_configuration_makes_what_it_names(write) -> None:
    from volvelle import Cosmology, get_likelihood, get_solver

    found = Configuration.load(write({}))
    assert get_solver(found.solver_name, **found.solver_settings).name == "camb"
    reference = {p.name: p.ref_loc for p in found.sampled} | found.fixed
    assert Cosmology.from_parameters(reference).n_s == 0.965
    for name, options in found.likelihoods.items():
        assert get_likelihood(name, **options).name == "gaussian"


def test_choices_are_those_of_the_solvers() -> None:
    for theory in (ClassTheory, CambTheory):
        fields = theory.model_fields
        assert set(get_args(fields["non_linear"].annotation)) == set(NON_LINEAR)
        hierarchies = set(get_args(fields["neutrino_hierarchy"].annotation))
        assert hierarchies == {*HIERARCHIES, NATIVE}
    assert {name.rstrip("_") for name in SolverBlock.model_fields} == set(SOLVERS)
    assert set(TheoryBlock.model_fields) - set(SolverBlock.model_fields) == {"volvelle"}


def test_numbers_without_a_point_are_numbers(write) -> None:
    path = write({})
    path.write_text(path.read_text().replace("scale: 0.001", "scale: 1e-3"))
    assert Configuration.load(path).sampled[0].ref_scale == 1e-3


def test_the_hash_is_of_the_meaning(write) -> None:
    first = Configuration.load(write({})).hash
    path = write({"output": "other", "workers": 2, "ledger": "other.sqlite"})
    path.write_text("# a comment\n" + path.read_text())
    assert Configuration.load(path).hash == first
    for same in ({"sampler": {"nuts": {"chains": 4, "draws": 2000}}}, {"sampler": {"nuts": None}}):
        assert Configuration.load(write(same)).hash == first
    for change in (
        {"seed": 2},
        {"params.n_s.value": 0.97},
        {"emulator": {"accuracy": 0.1}},
        {"sampler": {"nuts": {"draws": 3000}}},
        {"sampler": {"hmc": None}},
    ):
        assert Configuration.load(write(change)).hash != first


def test_the_ledger_follows_the_environment(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLVELLE_LEDGER", "/somewhere/ledger.sqlite")
    assert Configuration.load(write({})).ledger == Path("/somewhere/ledger.sqlite")
    assert default_ledger() == Path("/somewhere/ledger.sqlite")


def test_missing_data_are_said_or_simulated(write, no_data) -> None:
    changes = {"likelihood": ["planck_2018_plik_lite", "planck_2018_low_l"]}
    with pytest.raises(ConfigurationError, match="volvelle data get planck-2018-plik-lite"):
        Configuration.load(write(changes))
    found = Configuration.load(write({**changes, "simulate_if_missing": True}))
    assert set(found.missing_data) == {"planck_2018_plik_lite", "planck_2018_low_l"}
    assert [p.name for p in found.sampled if p.kind == "nuisance"] == ["A_planck"]
    with pytest.raises(ConfigurationError, match="simulate_if_missing serves planck_2018_plik"):
        Configuration.load(write({"likelihood": ["union3"], "simulate_if_missing": True}))


def test_simulated_data_have_the_references_tensors(write, monkeypatch, tmp_path) -> None:
    """Beside tensors CLASS has r = 1 by default."""
    asked = []

    def solved(solver, cosmologies, *others):
        asked.extend(cosmologies)
        return [None]

    monkeypatch.setattr(setup, "solve_many", solved)
    extra = {"WantTensors": 1}
    r = {"prior": {"min": 0.0, "max": 0.2}, "ref": {"loc": 0.05, "scale": 0.01}}
    content = yaml.safe_load(write({"theory": {"camb": {"extra_args": extra}}}).read_text())
    content["params"]["InitPower.r"] = r
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(content))
    configuration = Configuration.load(tmp_path / "r.yaml")
    setup._fiducial(configuration, setup.make_solver(configuration), *[None] * 3)
    assert dict(asked[0].extra) == {"InitPower.r": 0.05} and asked[0].theta_star_100 == 1.0411


def test_certificates_of_the_packages_theory_take_linear_power_only(write) -> None:
    """Its own model makes it non-linear, and CLASS's fails where no non-linear scale is."""
    configuration = replace(Configuration.load(write({})), direct=True)
    problem = setup.make_problem(configuration, setup.make_solver(configuration), ())
    assert problem.request == Request.of(["matter_power", "cb_power"])


@pytest.mark.real_data
def test_nuisance_parameters_come_from_the_likelihood(write) -> None:
    changes = {"likelihood": {"planck_2018_plik_lite": None}}
    found = Configuration.load(write(changes))
    assert found.missing_data == {}
    nuisance = found.sampled[-1]
    assert (nuisance.name, nuisance.kind) == ("A_planck", "nuisance")
    assert nuisance.prior == {"dist": "norm", "loc": 1.0, "scale": 0.0025}
    fixed = Configuration.load(write({**changes, "params.A_planck": 1.0}))
    assert fixed.fixed_nuisance == {"A_planck": 1.0}
    flat = {"prior": {"min": 0.9, "max": 1.1}}
    own = Configuration.load(write({**changes, "params.A_planck": flat})).sampled[-1]
    assert own.prior == {"min": 0.9, "max": 1.1}
    assert math.isclose(own.ref_scale, 0.2 / math.sqrt(12))


RUNS = sorted(
    p.name for p in EXAMPLES.glob("*.yaml") if "likelihood" in yaml.safe_load(p.read_text())
)


@pytest.mark.real_data
@pytest.mark.parametrize("name", RUNS)
def test_examples_pass(name: str) -> None:
    found = Configuration.load(EXAMPLES / name, files=False)
    assert found.missing_data == {}
    for parameter in found.sampled:
        low, high = parameter.prior.get("min", -math.inf), parameter.prior.get("max", math.inf)
        assert low < parameter.ref_loc < high


@pytest.mark.real_data
def test_the_whole_file_of_the_page_is_one_and_shows_the_defaults(tmp_path: Path) -> None:
    """With the parameters that it leaves to its readers; the path of CLASS is none."""
    text = (EXAMPLES.parent / "docs" / "configuration.md").read_text()
    (whole, *_) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    content = yaml.safe_load(whole)
    theory = {"omega_cdm": 0.12, "theta_star_100": 1.041, "n_s": 0.965, "ln10A_s": 3.05}
    content["params"] |= {**theory, "tau_reio": 0.054}
    file = tmp_path / "whole.yaml"
    file.write_text(yaml.safe_dump(content))
    found = Configuration.load(file, files=False)
    needed = {"output", "theory", "params", "likelihood"}
    file.write_text(yaml.safe_dump({key: content[key] for key in needed}))
    short = Configuration.load(file, files=False)
    assert replace(found, text="", hash="") == replace(short, text="", hash="")


def test_example_2_starts_from_example_1() -> None:
    first = yaml.safe_load((EXAMPLES / "01_planck_lcdm.yaml").read_text())
    second = yaml.safe_load((EXAMPLES / "02_planck_bao_sn.yaml").read_text())
    assert second["emulator"]["warm_start"] == [first["output"]]
    assert second["theory"] == first["theory"]
    assert second["params"].keys() == first["params"].keys()


def test_the_installed_solver_is_looked_for(write, tmp_path: Path) -> None:
    changes = {"theory": {"class": {"path": str(tmp_path)}}}
    with pytest.raises(ConfigurationError, match=r"theory\.class\.path: no compiled classy below"):
        Configuration.load(write(changes))
    Configuration.load(write(changes), files=False)


def test_warm_starts_and_output_are_looked_for(write, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"warm_start\[0\]: no/where is not there"):
        Configuration.load(write({"emulator": {"warm_start": ["no/where"]}}))
    with pytest.raises(ConfigurationError, match=r"warm_start\[0\]: .* has no emulator/ in it"):
        Configuration.load(write({"emulator": {"warm_start": [str(tmp_path)]}}))
    (tmp_path / "emulator").mkdir()
    Configuration.load(write({"emulator": {"warm_start": [str(tmp_path)]}}))
    (tmp_path / "taken").touch()
    with pytest.raises(ConfigurationError, match=r"output: .*taken is a file"):
        Configuration.load(write({"output": str(tmp_path / "taken" / "run")}))
