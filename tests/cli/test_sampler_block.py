"""The samplers of a configuration file: their keys, what is refused before anything is solved."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from volvelle.cli import Configuration, ConfigurationError
from volvelle.cli.sampler_block import SamplerBlock, make_method
from volvelle.inference import (
    HMC,
    MCLMC,
    NUTS,
    AdjustedMCLMC,
    AffineEnsemble,
    LaplaceApproximation,
    Metropolis,
    Nested,
    NeuralTransport,
    Variational,
    name_of,
)

from .test_pipeline import GAUSSIAN, TOY, call, summary_of
from .test_pipeline import write as write_toy

GIVEN: dict[str, tuple[dict[str, Any], Any]] = {
    "nuts": (
        {"warmup": 50, "target_accept": 0.8, "mass": [["omega_b"]], "max_depth": 6},
        NUTS(warmup=50, target_accept=0.8, max_depth=6, mass=(("omega_b",),)),
    ),
    "hmc": (
        {"warmup": 50, "target_accept": 0.8, "length": 2.0, "mass": "diagonal"},
        HMC(warmup=50, target_accept=0.8, length=2.0, mass="diagonal"),
    ),
    "metropolis": ({"warmup": 500}, Metropolis(500, 20)),
    "ensemble": ({"warmup": 500, "walkers": 40}, AffineEnsemble(500, 20, 40)),
    "mclmc": ({"warmup": 50, "energy_variance": 1e-4}, MCLMC(50, 8, 1e-4)),
    "adjusted_mclmc": (
        {"warmup": 50, "target_accept": 0.8},
        AdjustedMCLMC(warmup=50, target_accept=0.8),
    ),
    "svi": (
        {
            "guide": "spline",
            "particles": 8,
            "max_steps": 500,
            "learning_rate": 0.1,
            "uncorrected": True,
        },
        Variational("spline", 8, 500, 0.1, True),
    ),
    "neural_transport": (
        {"guide": "bnaf", "max_steps": 500, "warmup": 50, "target_accept": 0.8},
        NeuralTransport(Variational("bnaf", max_steps=500), NUTS(warmup=50, target_accept=0.8)),
    ),
    "nested": ({"live": 100, "slices": 7, "remainder": 0.1}, Nested(100, 7, 0.1)),
    "laplace": ({"uncorrected": True}, LaplaceApproximation(True)),
}


def test_every_sampler_has_its_case():
    assert list(GIVEN) == SamplerBlock.names()


@pytest.mark.parametrize("name", GIVEN)
def test_every_key_reaches_its_method(name, write):
    keys, expected = GIVEN[name]
    found = Configuration.load(write({"sampler": {name: {**keys, "draws": 600}}}), files=False)
    method = make_method(found.sampler)
    assert method == expected and name_of(method) == name == found.sampler_name
    assert found.sampler.draws == 600 and found.sampler.chains >= 2
    plain = Configuration.load(write({"sampler": {name: None}}), files=False)
    assert type(make_method(plain.sampler)) is type(expected)
    assert plain.hash != found.hash


def test_every_key_of_every_block_has_a_case():
    for name, (keys, _) in GIVEN.items():
        block = type(getattr(SamplerBlock.model_validate({name: {}}), name))
        missing = set(block.model_fields) - {*keys, "chains", "draws"}
        assert missing <= {"particles", "learning_rate"} and (not missing or name != "svi")


def test_every_key_is_documented():
    """With its default, in the block of configuration.md that a user copies from."""
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    blocks = [yaml.safe_load(b) for b in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    (samplers,) = [b for b in blocks if isinstance(b, dict) and "neural_transport" in b]
    assert set(samplers) == set(SamplerBlock.names())
    for name, keys in samplers.items():
        made = getattr(SamplerBlock.model_validate({name: keys}), name)
        plain = getattr(SamplerBlock.model_validate({name: {}}), name)
        assert set(keys) == set(type(made).model_fields)
        assert make_method(made) == make_method(plain)
        assert (made.chains, made.draws) == (plain.chains, plain.draws)


def test_new_keys_change_no_hash_of_files_without_them(write):
    """A run that an earlier version began goes on."""
    file = write({"sampler": {"nuts": {"draws": 500}}})
    kept = SamplerBlock.model_validate({"nuts": {"draws": 500}}).model_dump(exclude_none=True)
    assert set(kept) == {"nuts", "r_hat", "ess_min", "divergent"}
    assert set(kept["nuts"]) == {"chains", "draws", "warmup", "target_accept"}
    assert Configuration.load(file, files=False).sampler_name == "nuts"


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        ({"nuts": {"mass": [["h"]]}}, "sampler.nuts: a block of the mass matrix names h; sampled"),
        ({"nuts": {"mass": "full"}}, "sampler.nuts.mass"),
        ({"hmc": {"mass": [["omega_b"], ["omega_b"]]}}, "omega_b stands in two blocks"),
        ({"ensemble": {"walkers": 5}}, "sampler.ensemble: an ensemble of 5 walkers in 2 param"),
        ({"svi": {"draws": 100, "chains": 2}}, "sampler.svi: 200 draws to judge an approximation"),
        ({"svi": {"guide": "maf"}}, "sampler.svi.guide: expected one of normal, bnaf, spline"),
        ({"nested": {"live": 10}}, "sampler.nested.live: expected a number of at least 20"),
        ({"laplace": {"draws": 100}}, "sampler.laplace: 400 draws to judge"),
        ({"mclmc": {}, "evidence": True}, "mclmc is not exact and gives no evidence"),
        (
            {"laplace": {"uncorrected": True}, "evidence": True},
            "laplace with uncorrected: true gives draws that are not of the posterior",
        ),
        (
            {"svi": {"uncorrected": True}, "evidence": True},
            "svi with uncorrected: true .* take uncorrected or evidence out",
        ),
        ({"mclmc": {}, "hmc": {}}, "expected one of nuts, .* got hmc and mclmc"),
    ],
)
def test_refused_with_file_and_line(sampler, words, write):
    with pytest.raises(ConfigurationError, match=words) as found:
        Configuration.load(write({"sampler": sampler}), files=False)
    assert "run.yaml:" in str(found.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mclmc", "sampler.mclmc: microcanonical sampling of one parameter"),
        ("svi", "sampler.svi: a spline guide of one parameter has nothing to couple"),
    ],
)
def test_one_parameter(name, words, write):
    keys = {"guide": "spline"} if name == "svi" else {}
    file = write({"sampler": {name: keys}, "params.omega_b": 0.0224})
    with pytest.raises(ConfigurationError, match=words):
        Configuration.load(file, files=False)


def test_runs_by_nested_sampling_and_by_approximations(tmp_path: Path) -> None:
    """Two ways to one posterior in the toy universe, its solutions made once; the evidence."""
    pytest.importorskip("numpyro")
    found: dict[str, dict[str, Any]] = {}
    for name, keys in (("nested", {"live": 100}), ("svi", {}), ("nuts", {"draws": 500})):
        folder = tmp_path / name
        given = {name: {**keys, "chains": 2}, "r_hat": 1.05, "ess_min": 100}
        given["evidence"] = name == "nuts"
        ledger = str(tmp_path / "ledger.sqlite")
        write_toy(folder, likelihood=GAUSSIAN, sampler=given, ledger=ledger)
        status, printed = call(folder)
        assert status == 0, printed
        found[name] = summary_of(folder)
        assert found[name]["diagnostics"]["sampler"] == name
        assert found[name]["status"] == "converged"
        report = (folder / "run" / "report.html").read_text()
        assert "ln evidence" in report
        assert not list((folder / "run" / "sampling").glob("unfinished*"))
    first, second, third = (found[name]["diagnostics"]["found"] for name in found)
    for other in (second, third):
        for name in ("log_evidence", "log_evidence_exact"):
            error = (first[f"{name}_error"] ** 2 + other[f"{name}_error"] ** 2) ** 0.5
            assert first[name] == pytest.approx(other[name], abs=4.0 * error)
    # a Gaussian emulator of a nearly Gaussian toy: exact solutions change little, and not nothing
    assert 0.0 < abs(third["log_evidence_exact"] - third["log_evidence"]) < 0.1
    assert second["k_hat"] < 0.7 and second["guide_settled"] == "yes"
    for name in ("omega_cdm", "ln10A_s"):
        one, *others = (found[way]["parameters"][name] for way in found)
        for other in others:
            assert other["mean"] == pytest.approx(one["mean"], abs=0.3 * one["std"])
            assert other["std"] == pytest.approx(one["std"], rel=0.25)


def test_a_refused_approximation_is_red_and_exits_with_1(tmp_path: Path) -> None:
    """One number for two parameters: a bent ridge from edge to edge, and no Gaussian."""
    box = {
        "omega_cdm": {
            "prior": {"min": 0.08, "max": 0.128},
            "ref": {"loc": 0.115, "scale": 0.01},
        },
        "ln10A_s": {"prior": {"min": 2.0, "max": 4.0}, "ref": {"loc": 3.05, "scale": 0.1}},
    }
    write_toy(
        tmp_path,
        likelihood={"gaussian": {"mean": 0.811, "covariance": 1e-7, "outputs": ["sigma8"]}},
        params={**TOY["params"], **box},
        sampler={"laplace": {"chains": 2}},
    )
    status, printed = call(tmp_path)
    assert status == 1, printed
    summary = summary_of(tmp_path)
    assert summary["status"] == "not converged"
    assert "Pareto k-hat is" in summary["diagnostics"]["refused"]
    words = "The Laplace approximation is refused: Pareto k-hat is"
    assert words in " ".join(printed.split())
    report = (tmp_path / "run" / "report.html").read_text()
    assert '<p class="alarm">the Laplace approximation is refused' in report
    assert "log_evidence" not in json.dumps(summary["diagnostics"]["found"])
