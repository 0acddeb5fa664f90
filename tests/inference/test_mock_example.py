"""The simulated DES Y1 analysis of the examples: its data, its methods, its table and figures."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import jax.numpy as jnp
import numpy as np
import pytest

from example_scripts import load_example
from volvelle.inference import Chains, name_of

NUMBERS = 2250


@pytest.fixture(scope="module")
def mock() -> ModuleType:
    return load_example("13_mock_des_y1.py")


@pytest.mark.real_data
def test_the_data_are_a_draw_from_the_truth(mock: ModuleType, real_data: Path) -> None:
    posterior = mock.posterior()
    assert len(posterior.names) == 21 and posterior.likelihoods[0].simulated
    truth = jnp.array([value for _, value, _ in mock.TABLE_1.values()])
    chi2 = float(posterior.chi2(truth)["mock_des_y1"])
    assert abs(chi2 - NUMBERS) < 4.0 * np.sqrt(2.0 * NUMBERS)
    assert posterior.likelihoods[0].whiten.blocks.shape == (50, 45, 45)


def test_methods_are_those_of_the_configuration(mock: ModuleType) -> None:
    for name, (method, _, _) in mock.METHODS.items():
        assert name.startswith(name_of(method)) and name in mock.TITLES


def test_table_and_figures(mock: ModuleType, tmp_path: Path, capsys) -> None:
    """Of independent draws the effective sample size is their number."""
    table = mock.TABLE_1
    centre, width = (np.array([row[n] for row in table.values()]) for n in (1, 2))
    draws = centre + width * np.random.default_rng(1).normal(size=(4, 500, len(table)))
    found = {
        name: Chains(tuple(table), draws, np.zeros((4, 500)), 0.9, 0, 4000, draw_evaluations=4000)
        for name in mock.FIGURES
    }
    lines = mock.table_2(found).splitlines()
    assert lines[0].startswith("| ESS [%] | Omega_cdm | sigma8") and len(lines) == 5
    assert all(80.0 < float(cell) < 125.0 for cell in lines[2].split("|")[2:-1])
    mock.figures(found, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"figure_{n}.png" for n in (8, 9, 10)}
    assert mock.tell("NUTS", found["nuts"], 60.0)
    assert "worst ESS per evaluation of the draws" in capsys.readouterr().out
