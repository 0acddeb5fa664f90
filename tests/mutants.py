"""Mutants of a stored emulator of a kilobyte: damaged by chance, or forged and signed again.

``Watch`` opens one in this process under a clock and an audit hook and says what came of it. In a
module of its own because ``validation/fuzz.py`` opens many more than the tests do.
"""

from __future__ import annotations

import codecs
import copy
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from volvelle.boltzmann import Request
from volvelle.cli import emulator_check  # which `render` loads late
from volvelle.cli.emulator_files import described, render
from volvelle.emulator import Emulator, load_emulator
from volvelle.emulator.amplitude import Amplitude
from volvelle.emulator.basis import PrincipalComponents
from volvelle.emulator.block import Block, Output
from volvelle.emulator.domain import Domain
from volvelle.emulator.features import Features, Physical, Whitening
from volvelle.errors import VolvelleError
from volvelle.learning import Polynomial
from volvelle.learning.storage import sign
from volvelle.training import Provenance, TrainingError

assert emulator_check
for codec in ("cp437", "raw_unicode_escape", "unicode_escape", "ascii", "latin1"):
    codecs.lookup(codec)  # of archives and old pickles: loaded late they would look like an import
PATIENCE = 10.0  # [s] after which a mutant counts as hanging; the longest takes a tenth of a second
FORBIDDEN = {
    "exec", "import", "os.exec", "os.fork", "os.posix_spawn", "os.remove", "os.rename", "os.rmdir",
    "os.system", "pickle.find_class", "shutil.rmtree", "socket.__new__", "subprocess.Popen",
}  # fmt: skip
STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 10**6, 10**12, 2**63, -(2**63), 10**400, 0.5, -0.0,
    1e-300, 1e308, "", "x", "Block", "Emulator", "Polynomial", "tensor", "../../etc/passwd",
    "\ud800", "\0", "9**9**9**9", "__import__('os')", [], {}, [[]], [0], {"value": None},
    {"tensor": "x"}, {"tuple": []}, {"class": "UserNetwork", "fields": {}},
    {"function": "os:system"}, "[" * 100_000, [[0.1], [0.1, 0.2]], [[10**400, 1.0]], [[None, 1.0]],
)  # fmt: skip


def tiny() -> Emulator:
    """Two parameters, one of them an amplitude; a spectrum to l = 4 and a number."""
    two = Whitening(jnp.array([0.12, 3.0]), jnp.array([[100.0, 0.0], [5.0, 10.0]]))
    outputs = (Output("lensed_tt", (5,), "cmb", 2), Output("sigma8", (), "linear", 0))
    basis = PrincipalComponents(jnp.arange(4.0) + 1.0, jnp.array([[0.1, 0.2, 0.3, 0.4]]))
    fit = Polynomial(jnp.array([[0.1], [0.2], [0.3]]), jnp.eye(3), jnp.array([0.01]), 1)
    block = Block(outputs, basis, fit, jnp.array(1.0), jnp.array([1.0]), True)
    names = ("omega_cdm", "ln10A_s")
    amplitude = Amplitude(
        ("ln10A_s", "tau_reio"), names, (("a", 0.4),), (("tau_reio", "a * omega_cdm"),)
    )
    domain = Domain(two, jnp.array(2.0), jnp.array([0.1, 2.9]), jnp.array([0.14, 3.1]))
    return Emulator(Features(Physical(None, ()), two), amplitude, (block,), domain, names, ())


RECORD: dict[str, Any] = {
    "parameters": ["omega_cdm", "ln10A_s"],
    "points": [[0.12, 3.0]],
    "solver": {"solver": "camb", "version": "1", "settings": '{"precision": {"a": 1}}'},
    "request": Request.of(("sigma8",)).to_json(),
    "definitions": {"a": "2 * omega_cdm"},
    "parametrisation": {"dropped": [], "unset": [["h", 0.7]], "idle": []},
    "certificate": {"kind": "box", "words": "fine", "limits": {"sigma8": 1}},
    "checks": [
        {
            "n": 1, "failed": 0, "points": [[0.13, 3.0]], "other_solver": [],
            "solver": {"solver": "camb", "version": "1"},
            "delta_chi2": {"expected": 1.0, "found": 2.0},
            "errors": {"sigma8": {"unit": "relative", "percentiles": {
                "50": 0.1, "68": 0.2, "95": None, "100": 1}}},
        }
    ],
}  # fmt: skip


def write_tiny(folder: Path) -> tuple[bytes, bytes]:
    """Store it; its JSON and its weights."""
    tiny().save(folder, RECORD)
    (weights,) = folder.glob("weights-*.safetensors")
    return (folder / "model.json").read_bytes(), weights.read_bytes()


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where everything in a tree of JSON values stands."""
    children = value.items() if isinstance(value, dict) else ()
    children = enumerate(value) if isinstance(value, list) else children
    below = [place for key, child in children for place in _places(child, (*path, key))]
    return [path, *below] if path else below


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _disturbed(rng: np.random.Generator, value: Any) -> Any:
    """Something near to a value, or nothing like it."""
    if isinstance(value, bool) or rng.random() < 0.4:
        return copy.deepcopy(STRANGE[rng.integers(len(STRANGE))])
    if isinstance(value, int):
        return (value + int(rng.integers(-3, 4))) * int(rng.choice([1, 1, -1, 1000]))
    if isinstance(value, float):
        return value * float(rng.choice([-1.0, 0.0, 1e300, 1.0 + rng.normal()]))
    if isinstance(value, str):
        return value[: rng.integers(len(value) + 1)] + str(rng.choice(["", "s", "0", ".", "\n"]))
    if isinstance(value, list):
        return value[:-1] if rng.random() < 0.5 else value + value[:1]
    for _ in range(int(rng.choice([1, 5, 40]))):
        value = {"tuple": [value]}
    return value


def _change_tree(rng: np.random.Generator, content: dict[str, Any]) -> None:
    places = _places(content)
    place = places[rng.integers(len(places))]
    parent, key = _at(content, place[:-1]), place[-1]
    how = rng.integers(5)
    if how == 0:  # a part of another place
        parent[key] = copy.deepcopy(_at(content, places[rng.integers(len(places))]))
    elif how == 1 and isinstance(parent, dict):
        del parent[key]
    elif how == 2 and isinstance(parent, dict):
        parent[str(key) + "x"] = parent.pop(key)
    else:
        parent[key] = _disturbed(rng, parent[key])


def _change_bytes(rng: np.random.Generator, content: bytes) -> bytes:
    changed = bytearray(content)
    how, at = rng.integers(4), int(rng.integers(len(content)))
    if how == 0:
        return bytes(changed[:at])
    if how == 1:
        return bytes(changed + rng.bytes(int(rng.integers(1, 99))))
    if how == 2:
        del changed[at : at + int(rng.integers(1, 9))]
        return bytes(changed)
    for _ in range(int(rng.integers(1, 4))):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _change_header(rng: np.random.Generator, weights: bytes) -> bytes:
    """Other shapes, types, places and names of the arrays, the file's own length kept in mind."""
    length = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + length])
    for _ in range(int(rng.integers(1, 3))):
        entry = header[sorted(header)[rng.integers(len(header))]]
        how = (
            rng.integers(4)
            if isinstance(entry, dict) and isinstance(entry.get("shape"), list)
            else 3
        )
        if how == 0:
            entry["shape"] = entry["shape"][::-1] + [1] * int(rng.integers(2))
        elif how == 1:
            entry["dtype"] = str(rng.choice(["F32", "F64", "I64", "BF16", "U8", "BOOL", "C64"]))
        elif how == 2 and entry["shape"]:
            entry["shape"][-1] = int(rng.choice([0, 1, 2, 6, 2**31, 2**63 - 1]))
        else:
            _change_tree(rng, header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + weights[8 + length :]


def foreign_mutant(rng: np.random.Generator, content: bytes) -> bytes:
    """A foreign file with a few bytes changed, or a piece of itself in another place."""
    for _ in range(int(rng.choice([1, 1, 2, 5]))):
        if len(content) < 2 or rng.random() < 0.7:
            content = _change_bytes(rng, content or b"x")
            continue
        start, end = sorted(int(n) for n in rng.integers(len(content), size=2))
        at = int(rng.integers(len(content)))
        content = content[:at] + content[start : min(end, start + 200)] + content[at:]
    return content


def mutant(
    rng: np.random.Generator, text: bytes, weights: bytes, signed: bool
) -> tuple[str, bytes]:
    """Name of the weights' file and, in one, its content and that of ``model.json``.

    The two are joined by a line that neither holds, see ``write``.
    """
    name = str(json.loads(text)["weights"])
    if rng.random() < 0.3:
        change = _change_header if rng.random() < 0.6 else _change_bytes
        weights = change(rng, weights)
        content = json.loads(text)
    else:
        content = json.loads(text)
        for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
            _change_tree(rng, content)
    if not signed:
        if rng.random() < 0.5:
            return name, _change_bytes(rng, text) + SEAM + weights
        return name, json.dumps(content).encode() + SEAM + weights
    try:
        if isinstance(content.get("weights"), str) and rng.random() < 0.9:
            sign(content, weights)
            name = content["weights"]
    except (ValueError, TypeError):  # no JSON can say it
        pass
    return name, json.dumps(content).encode() + SEAM + weights


SEAM = b"\n--seam--\n"


def write(folder: Path, name: str, both: bytes) -> None:
    """Put a mutant's two files into a folder, in the place of the last one's."""
    text, weights = both.split(SEAM, 1)
    (folder / "model.json").write_bytes(text)
    (folder / name).write_bytes(weights)


class HangError(BaseException):
    """The clock ran out; no ``except Exception`` catches it."""


@dataclass
class Watch:
    """What came of the mutants: how many were refused and opened, and everything that must not be.

    One hook per process: audit hooks cannot be taken away.
    """

    refused: int = 0
    opened: int = 0
    wrong: list[str] = field(default_factory=list)
    watching: bool = False

    def __post_init__(self) -> None:
        sys.addaudithook(self._hear)
        signal.signal(signal.SIGALRM, self._ring)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = (
            event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        )
        if self.watching and (event in FORBIDDEN or writes):
            self.wrong.append(f"event {event} {arguments!r:.200}")

    def _ring(self, *_: Any) -> None:
        raise HangError

    def open(
        self, path: Path, reader: Callable[[Path], tuple[Emulator, Any]] = load_emulator
    ) -> Emulator | None:
        """The emulator, or None if it was refused in the documented way."""
        self.watching = True
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        try:
            emulator, record = reader(path)
            self._check(path, emulator, record)
        except VolvelleError:
            self.refused += 1
            return None
        except HangError:
            self.wrong.append("hang")
            return None
        except Exception as error:
            self.wrong.append(f"crash: {type(error).__name__}: {error}"[:300])
            return None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            self.watching = False
        self.opened += 1
        return emulator

    def _check(self, path: Path, emulator: Emulator, record: Any) -> None:
        """What opened gives, when it is called, what it declares."""
        declared = {o.name: o.shape for block in emulator.blocks for o in block.outputs}
        self._describe(path if path.is_dir() else path.parent, emulator, record)
        theory = emulator(jnp.full(len(emulator.parameters), 0.1))
        if {name: value.shape for name, value in theory.items()} != declared:
            self.wrong.append(f"shapes {theory} where {declared} is declared")
        if any(value.dtype != np.float64 for value in theory.values()):
            self.wrong.append(f"types {theory}")
        if not isinstance(record, dict):
            self.wrong.append(f"record {record!r:.100}")

    def _describe(self, folder: Path, emulator: Emulator, record: Any) -> None:
        """The record of what opened is understood or refused, and shown all the same."""
        try:
            origin = Provenance.of(emulator, record)
            if origin.asked.shape[1:] != (len(emulator.parameters),):
                self.wrong.append(f"points {origin.asked.shape}")
            if origin.solver is not None:
                origin.solver_settings()
        except TrainingError:
            pass  # the documented refusal
        list(render(described(folder, emulator, record)))


def unchanged(folder: Path, text: bytes, weights: bytes) -> bool:
    """Whether what was opened says what the original says, in whatever layout."""
    content = json.loads((folder / "model.json").read_text())
    return content == json.loads(text) and (folder / content["weights"]).read_bytes() == weights
