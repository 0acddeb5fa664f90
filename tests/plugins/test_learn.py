"""``volvelle learn``: a foreign model from the command line; the rest is in test_cobaya_sampler."""

import json
from pathlib import Path

import pytest
from cobaya.yaml import yaml_dump
from test_cobaya_sampler import exact_moments, info
from test_montepython_chain import log_param
from typer.testing import CliRunner

from volvelle.cli.app import app
from volvelle.inference import read_chains

MONTE_CARLO = 0.1  # of sigma: four chains of 200 draws


def test_cobayas_file(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(yaml_dump(info(sampler={"mcmc": None})))
    options = ["--ledger", str(tmp_path / "l.sqlite"), "--workers", "1", "--draws", "200"]
    found = CliRunner().invoke(app, ["learn", str(path), *options])
    assert found.exit_code == 0, found.output
    folder = tmp_path / "toy_volvelle"
    assert json.loads((folder / "certificate.json").read_text())["passed"]
    chain = read_chains(folder / "reweighted")
    mean, covariance = exact_moments()
    found_mean = chain.column("a") @ chain.weights / chain.weights.sum()
    assert found_mean == pytest.approx(mean[0], abs=MONTE_CARLO * covariance[0, 0] ** 0.5)
    again = CliRunner().invoke(app, ["learn", str(path), *options])
    assert again.exit_code == 0 and "is certified" in again.output.replace("\n", " ")


def test_wrong_input(tmp_path: Path, folder: Path) -> None:
    def words(*command: str) -> str:
        found = CliRunner().invoke(app, ["learn", *command, "--ledger", str(tmp_path / "l")])
        assert found.exit_code == 2
        return " ".join(found.output.split())

    assert "neither Cobaya's input file" in words(str(tmp_path / "run.param"))
    assert "has no log.param" in words(str(tmp_path))
    assert "cannot be read by Cobaya" in words(str(tmp_path / "none.yaml"))
    run = log_param(tmp_path / "run", folder, "data.parameters['A_s'][1] = None")
    assert "expected a flat one" in words(str(run))
