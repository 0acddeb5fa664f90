"""A hundred thousand damaged and forged emulator files: none may crash, hang, run code or lie.

A stored emulator of a kilobyte is changed by chance; half of the mutants are signed again, so that
their hashes are right. Foreign files (a CosmoPower pickle and archive, a Capse folder) follow. Each
is opened in this process under a clock and an audit hook; see tests/mutants.py.
"""

from __future__ import annotations

import io
import pickle
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from common import Check, arguments, check_table, finish, holds, table

jax.config.update("jax_enable_x64", True)
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import foreign_files  # noqa: E402
import mutants  # noqa: E402
from volvelle.emulator import Emulator, Statement, import_network, read_foreign  # noqa: E402

MUTANTS = 100_000
FOREIGN = 10_000  # of each kind
QUICK = 20
SEED = 1911
MOST_MEMORY = 500  # [MB] that the process may grow by


def peak() -> float:
    """Largest memory of this process so far [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def own_files(watch: mutants.Watch, count: int, signed: bool, folder: Path) -> list[str]:
    """Mutants of the package's own format; a row of the table."""
    text, weights = mutants.write_tiny(folder)
    watch.open(folder)
    watch.wrong.clear()
    rng = np.random.default_rng([SEED, signed])
    before, started, accepted = (watch.refused, watch.opened), time.monotonic(), 0
    for _ in range(count):
        for old in folder.iterdir():
            old.unlink()
        name, both = mutants.mutant(rng, text, weights, signed)
        mutants.write(folder, name, both)
        opened = watch.open(folder)
        if opened is not None and not signed:
            accepted += not mutants.unchanged(folder, text, weights)
    if accepted:
        watch.wrong.append(f"{accepted} altered files were opened")
    name = "signed again" if signed else "not signed"
    return row(name, watch, before, started)


def row(name: str, watch: mutants.Watch, before: tuple[int, int], started: float) -> list[str]:
    """Of the table."""
    refused, opened = watch.refused - before[0], watch.opened - before[1]
    seconds = f"{time.monotonic() - started:.0f} s"
    return [name, str(refused + opened), str(refused), str(opened), seconds]


def foreign(watch: mutants.Watch, count: int, kind: str, folder: Path) -> list[str]:
    """Mutants of files of other programs; a row of the table."""
    foreign_files.capse(folder / "c")
    net, named = foreign_files.Net(10), kind in ("pickle", "archive")
    path = folder / "file" if named else folder / "c" / kind
    opened = path if named else folder / "c"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(net.plain()))
    elif kind == "archive":
        stream = io.BytesIO()
        np.savez(stream, np.array(net.entries(), dtype=object))
        path.write_bytes(stream.getvalue())
    content = path.read_bytes()

    def reader(path: Path) -> tuple[Emulator, dict[str, Any]]:
        rename = foreign_files.RENAME if named else {}
        said = Statement("values", "1", rename=rename, ranges=foreign_files.RANGES)
        return import_network(read_foreign(path, () if named else foreign_files.OURS), said)

    watch.open(opened, reader)
    watch.wrong.clear()
    rng = np.random.default_rng([SEED, len(kind)])
    before, started = (watch.refused, watch.opened), time.monotonic()
    for _ in range(count):
        path.write_bytes(mutants.foreign_mutant(rng, content))
        watch.open(opened, reader)
    return row(kind, watch, before, started)


def main() -> None:
    """Open them all and write docs/validation/fuzz.md."""
    quick = arguments(__doc__).parse_args().quick
    own, other = (MUTANTS // QUICK, FOREIGN // QUICK) if quick else (MUTANTS, FOREIGN)
    watch, wrong, rows = mutants.Watch(), [], []
    memory = peak()
    kinds = ("pickle", "archive", "weights.npy", "nn_setup.json")
    with tempfile.TemporaryDirectory() as name:
        for number, kind in enumerate((False, True, *kinds)):
            folder = Path(name) / str(number)
            folder.mkdir()
            if isinstance(kind, bool):
                rows.append(own_files(watch, own // 2, kind, folder))
            else:
                rows.append(foreign(watch, other, kind, folder))
            wrong += watch.wrong
            print(*rows[-1], *watch.wrong[:3], flush=True)
    grown = peak() - memory

    def none(what: str, *words: str) -> Check:
        found = [each for each in wrong if each.startswith(words)]
        return holds(what, "; ".join(found[:2]) or "none", "none", not found)

    checks = [
        none("crashes", "crash"),
        none(f"hangs (more than {mutants.PATIENCE:g} s)", "hang"),
        none("code run, files written, processes or connections begun", "event"),
        none("outputs of another shape or type than declared", "shapes", "types", "record"),
        none("altered and not signed again, yet opened", *(str(n) for n in range(10))),
        holds(
            "growth of memory", f"{grown:.0f} MB", f"at most {MOST_MEMORY} MB", grown <= MOST_MEMORY
        ),
    ]
    heads = ("", "mutants", "refused", "opened", "time")
    parts = [
        "# Files from strangers",
        "A stored emulator of some kilobytes, and files of CosmoPower and Capse of the same size, "
        "changed by chance: bytes, values, keys, parts in other places, headers of arrays. What "
        "opens is called, and has to give what it declares.",
        table(heads, rows),
        check_table(checks),
    ]
    finish("fuzz", parts, checks)


if __name__ == "__main__":
    main()
