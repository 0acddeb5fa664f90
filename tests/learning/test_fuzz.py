"""Files from strangers: damaged and forged ones are refused, or are what they say they are."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foreign_files
import mutants
from volvelle.emulator import Emulator, Statement, import_network, read_foreign

MUTANTS = 2000
FOREIGN = 500


@pytest.mark.parametrize("signed", [False, True])
def test_mutants_neither_crash_nor_hang_nor_run_code(signed: bool, tmp_path: Path):
    text, weights = mutants.write_tiny(tmp_path)
    assert len(text) + len(weights) < 10_000
    watch = mutants.Watch()
    assert watch.open(tmp_path) is not None, watch.wrong
    rng = np.random.default_rng(20261127 + signed)
    for number in range(MUTANTS // 2):
        for old in tmp_path.iterdir():
            old.unlink()
        name, both = mutants.mutant(rng, text, weights, signed)
        mutants.write(tmp_path, name, both)
        opened = watch.open(tmp_path)
        assert not watch.wrong, (number, watch.wrong)
        if opened is not None and not signed:
            assert mutants.unchanged(tmp_path, text, weights), number
    assert watch.refused + watch.opened == MUTANTS // 2 + 1
    assert watch.refused > MUTANTS // 8, "the mutants are too tame"
    if signed:
        assert watch.opened > MUTANTS // 50, "no mutant gets past the hash"


def archive(entries: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, np.array(entries, dtype=object))
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["pickle", "archive", "weights.npy", "nn_setup.json"])
def test_mutants_of_foreign_files(kind: str, tmp_path: Path):
    foreign_files.capse(tmp_path / "c")
    path = opened = tmp_path / "file"
    if kind in ("pickle", "archive"):
        net = foreign_files.Net(10)
        pack = pickle.dumps(net.plain()) if kind == "pickle" else archive(net.entries())
        path.write_bytes(pack)
    else:
        path, opened = tmp_path / "c" / kind, tmp_path / "c"
    content = path.read_bytes()
    watch = mutants.Watch()

    def reader(path: Path) -> tuple[Emulator, dict[str, Any]]:
        named = kind in ("pickle", "archive")
        rename = foreign_files.RENAME if named else {}
        said = Statement("values", "1", rename=rename, ranges=foreign_files.RANGES)
        return import_network(read_foreign(path, () if named else foreign_files.OURS), said)

    assert watch.open(opened, reader) is not None, watch.wrong
    watch.wrong.clear()  # the first call brings in what libraries load late
    rng = np.random.default_rng(7)
    for number in range(FOREIGN):
        path.write_bytes(mutants.foreign_mutant(rng, content))
        watch.open(opened, reader)
        assert not watch.wrong, (kind, number, watch.wrong)
    assert watch.refused > FOREIGN // 8 and watch.opened > 3
