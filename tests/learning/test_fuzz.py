"""Files from strangers: damaged and forged ones are refused, or are what they say they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mutants

MUTANTS = 2000


@pytest.mark.parametrize("signed", [False, True])
def test_mutants_neither_crash_nor_hang_nor_run_code(signed: bool, tmp_path: Path):
    text, weights = mutants.write_tiny(tmp_path)
    assert len(text) + len(weights) < 10_000
    watch = mutants.Watch()
    assert watch.open(tmp_path) is not None, watch.wrong
    (whole,) = tmp_path.glob("weights-*")
    original = json.loads(text)
    rng = np.random.default_rng(20261127 + signed)
    for number in range(MUTANTS // 2):
        for old in tmp_path.iterdir():
            old.unlink()
        name, both = mutants.mutant(rng, text, weights, signed)
        mutants.write(tmp_path, name, both)
        opened = watch.open(tmp_path)
        assert not watch.wrong, (number, watch.wrong)
        if opened is not None and not signed:
            same = json.loads((tmp_path / "model.json").read_text()) == original
            assert same and (tmp_path / whole.name).read_bytes() == weights, number
    assert watch.refused + watch.opened == MUTANTS // 2 + 1
    assert watch.refused > MUTANTS // 8, "the mutants are too tame"
    if signed:
        assert watch.opened > MUTANTS // 50, "no mutant gets past the hash"
