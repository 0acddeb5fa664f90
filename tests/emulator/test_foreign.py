"""Networks of CosmoPower and Capse: their numbers, what they do not say, and what they must not."""

from __future__ import annotations

import io
import json
import os
import pickle
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import foreign_files
from foreign_files import CENTRE, MODES, OURS, RANGES, RENAME, SCALE, Net
from volvelle.emulator import (
    EmulatorError,
    OutsideDomainError,
    Statement,
    import_network,
    load_emulator,
    read_foreign,
)
from volvelle.emulator.plain_arrays import read_npy, read_npz
from volvelle.emulator.plain_pickle import read_pickle

ROUNDING = 1e-6  # stored in single precision; we compute in double, the reference in both
POINT = CENTRE + np.array([0.5, -0.5, 0.3, 0.2, -0.7, 0.9]) * SCALE
TT = {"output": "lensed_tt", "unit": "T_CMB^2", "rename": RENAME, "ranges": RANGES}


def answer(foreign: Any, **said: Any) -> np.ndarray:
    emulator, record = import_network(foreign, Statement(**{**TT, **said}))
    assert record["certificate"] is None and record["solver"] is None
    return np.asarray(emulator(jnp.asarray(POINT))[said.get("output", "lensed_tt")])


def npz(**entries: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **{key: _array(value) for key, value in entries.items()})
    return stream.getvalue()


def _array(value: Any) -> np.ndarray:
    if isinstance(value, list) and isinstance(value[0], np.ndarray):
        found = np.empty(len(value), dtype=object)
        found[:] = value
        return found
    return np.asarray(value)


def files(net: Net) -> dict[str, tuple[str, bytes]]:
    plain = net.plain()
    whole = np.array(net.entries(), dtype=object)
    stream = io.BytesIO()
    np.savez(stream, whole)
    return {
        **{f"protocol {n}": ("a.pkl", pickle.dumps(plain, protocol=n)) for n in (2, 3, 4, 5)},
        "tensorflow lists": ("a.pkl", foreign_files.wrapped(plain)),
        "one dictionary": ("a.npz", stream.getvalue()),
        "lists of arrays": ("a.npz", npz(**net.entries())),
        "numbered arrays": ("a.npz", npz(**foreign_files.numbered(net.entries()))),
    }


@pytest.mark.parametrize("layout", list(files(Net(10))))
def test_cosmopower(layout: str, tmp_path: Path):
    """log10 of C_l over T_CMB^2, in every file that such a network comes in."""
    net = Net(10)
    name, content = files(net)[layout]
    (tmp_path / name).write_bytes(content)
    found = answer(read_foreign(tmp_path / name), values="log10")
    wanted = np.append([0.0, 0.0], 2.7255e6**2 * 10.0 ** net(POINT))
    np.testing.assert_allclose(found, wanted, rtol=ROUNDING)


def test_cosmopower_with_principal_components(tmp_path: Path):
    net, rng = Net(3), np.random.default_rng(5)
    matrix, mean, std = rng.normal(size=(3, 10)), rng.normal(size=10), rng.uniform(1, 2, 10)
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(net.pca(matrix, mean, std)))
    coefficients = net(POINT)
    linear = (coefficients @ matrix) * std + mean
    unit = np.append([0.0, 0.0], np.full(10, 1e12))
    found = answer(read_foreign(path), unit="K^2", output="lensed_te")
    np.testing.assert_allclose(found[2:], unit[2:] * linear, rtol=1e-5)
    found = answer(read_foreign(path), unit="1", output="phiphi", values="log10")
    np.testing.assert_allclose(found[2:], 10.0**linear, rtol=1e-4)
    # the same with the components in files of their own
    packed = net.packaged()
    path.write_bytes(pickle.dumps(packed))
    parts = [tmp_path / f"{i}.npy" for i in range(3)]
    for part, array in zip(parts, (matrix, mean, std), strict=True):
        np.save(part, array)
    apart = read_foreign(path, last_bias="full", components=parts)
    np.testing.assert_allclose(
        answer(apart, unit="1", output="phiphi", values="log10"), found, rtol=1e-6
    )
    with pytest.raises(EmulatorError, match="components are three files"):
        read_foreign(path, last_bias="full", components=parts[:2])


def test_the_two_readings_of_cosmopower_jax(tmp_path: Path):
    net = Net(10)
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(net.packaged()))
    with pytest.raises(EmulatorError, match="evaluates in two ways"):
        read_foreign(path)
    for choice in ("single", "full"):
        found = answer(read_foreign(path, last_bias=choice), unit="muK^2")
        wanted = net(POINT, single=choice == "single")
        np.testing.assert_allclose(found[2:], wanted, rtol=ROUNDING)
    with pytest.raises(EmulatorError, match="choose full or single"):
        read_foreign(path, last_bias="half")
    path.write_bytes(pickle.dumps(net.plain()))
    with pytest.raises(EmulatorError, match="own layout; leave it out"):
        read_foreign(path, last_bias="full")


def test_capse(tmp_path: Path):
    """D_l in muK^2, with the published scaling by the amplitude."""
    wanted = foreign_files.capse(tmp_path / "c")(POINT)
    foreign = read_foreign(tmp_path / "c", OURS)
    given = {"ranges": {}, "rename": {}, "unit": "muK^2", "quantity": "D_l"}
    found = answer(foreign, scaling="exp(ln10A_s - 3)", **given)
    np.testing.assert_allclose(found[2:], wanted * 2 * np.pi / (MODES * (MODES + 1)), rtol=1e-12)
    plain = answer(foreign, **given)
    np.testing.assert_allclose(plain * np.exp(POINT[5] - 3.0), found, rtol=1e-12)
    emulator, _ = import_network(foreign, Statement(**{**TT, **given}))
    ends = np.array([RANGES[name] for name in OURS])
    np.testing.assert_allclose(emulator.domain.lower, ends[:, 0], rtol=1e-8)
    with pytest.raises(EmulatorError, match="name no parameters and 5 names were given"):
        read_foreign(tmp_path / "c", OURS[:5])


def test_an_imported_network_is_an_emulator_like_any_other(tmp_path: Path):
    """Stored, opened, exported, refused outside; nothing is known of its error."""
    net = Net(10)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(net.plain()))
    statement = Statement(**TT, values="log10", fixed={"m_nu": 0.06})
    emulator, record = import_network(read_foreign(tmp_path / "a.pkl"), statement)
    emulator.save(tmp_path / "e", record)
    again, same = load_emulator(tmp_path / "e")
    assert same["imported"]["layout"] == "CosmoPower"
    point = dict(zip(OURS, POINT, strict=True))
    prediction = again.predict({**point, "m_nu": 0.06})
    np.testing.assert_array_equal(
        prediction.theory["lensed_tt"], emulator(jnp.asarray(POINT))["lensed_tt"]
    )
    assert np.isnan(float(prediction.delta_chi2)) and prediction.inside
    corner = {name: RANGES[name][1] for name in OURS}
    assert float(again.predict(corner).distance) == pytest.approx(1.0)
    with pytest.raises(OutsideDomainError):
        again.predict({**point, "h": RANGES["h"][1] + 0.01})
    with pytest.raises(EmulatorError, match=r"trained at m_nu = 0\.06"):
        again.predict({**point, "m_nu": 0.1})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"ranges": {}}, "does not say where omega_b was trained; if its training was uniform"),
        ({"ranges": {**RANGES, "H0": (1.0, 2.0)}}, "range speaks of 'H0'"),
        ({"ranges": {**RANGES, "h": (1.0, 0.5)}}, "the range of h runs from 1 to 0.5"),
        ({"ranges": {**RANGES, "h": (0.5, float("nan"))}}, "the range of h runs"),
        ({"rename": {"As": "ln10A_s"}}, "rename speaks of 'As'"),
        ({"rename": {**RENAME, "h": "n_s"}}, "a parameter stands there twice"),
        ({"fixed": {"h": 0.7}}, "a parameter stands there twice: h"),
        ({"unit": "K"}, r"unit is 'K'; choose muK\^2"),
        ({"unit": "1"}, "which '1' cannot become"),
        ({"output": "phiphi"}, r"which 'T_CMB\^2' cannot become"),
        ({"quantity": "l C_l"}, "quantity is 'l C_l'"),
        ({"values": "ln"}, "values is 'ln'"),
        ({"scaling": "exp"}, "scaling is 'exp'"),
        ({"scaling": "exp(ln10A_s - 3)", "values": "log10"}, "a scaling is for linear values"),
        ({"output": "mpk", "quantity": "D_l"}, "is for spectra of ours"),
        ({"output": "hubble", "unit": "km/s/Mpc"}, "import it under another name"),
    ],
)
def test_wrong_statements(said: dict, message: str, tmp_path: Path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Net(10).plain()))
    with pytest.raises(EmulatorError, match=message):
        import_network(read_foreign(tmp_path / "a.pkl"), Statement(**{**TT, **said}))


def test_a_spectrum_with_gaps_is_not_filled(tmp_path: Path):
    content = Net(10).plain()
    content[11] = 10 * MODES
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    foreign = read_foreign(tmp_path / "a.pkl")
    with pytest.raises(
        EmulatorError, match=r"10 multipoles from 20 to 110; .* nothing is filled in"
    ):
        import_network(foreign, Statement(**TT))
    emulator, record = import_network(foreign, Statement(**{**TT, "output": "tt_nodes"}))
    assert emulator.outputs == ("tt_nodes",) and record["modes"] == (10.0 * MODES).tolist()
    assert record["units"] == {"tt_nodes": "T_CMB^2"}


def changed(index: int, value: Any) -> bytes:
    content = Net(10).plain()
    content[index] = value
    return pickle.dumps(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no end|damaged"),
        (b"{}", "a text that begins with b'{}'; expected a file of CosmoPower"),
        (pickle.dumps(Net(10).plain())[:-300], "damaged"),
        (pickle.dumps([1, 2, 3]), "no layout of CosmoPower's"),
        (pickle.dumps("text"), "no layout of CosmoPower's"),
        (changed(0, Net(10).weights[:2]), "2 weights_, 3 biases_"),
        (changed(0, [w.T for w in Net(10).weights]), "does not map|for another number of them"),
        (changed(2, Net(10).alphas[:1]), "1 alphas_, 2 betas_: every layer has one of each"),
        (changed(3, Net(10).betas * 2), "2 alphas_, 4 betas_"),
        (changed(0, [*Net(10).weights, Net(10).weights[2]]), "4 weights_, 3 biases_"),
        (changed(1, [*Net(10).biases, Net(10).biases[2]]), "3 weights_, 4 biases_"),
        (
            pickle.dumps(foreign_files.numbered(Net(10).entries()) | {"W_7": Net(10).weights[2]}),
            "numbered from 0 on",
        ),
        (changed(4, CENTRE[:5]), "5 scales for the parameters"),
        (changed(5, np.zeros(6)), "a parameter has no scale"),
        (changed(6, np.full(10, np.nan)), "empty or holds what is no number"),
        (changed(7, np.ones(9)), "scale has shape|with m = "),
        (changed(9, [1, 2]), "parameters is no list of names"),
        (changed(9, ["h"] * 6), "holds a name twice"),
        (changed(11, MODES[:9]), "10 values for 9 modes"),
        (changed(0, "text"), "weights_ is missing, or no list"),
    ],
)
def test_damaged_cosmopower_files(content: bytes, message: str, tmp_path: Path):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(EmulatorError, match=message):
        read_foreign(tmp_path / "a.pkl")


def test_missing_file(tmp_path: Path):
    with pytest.raises(EmulatorError, match="is missing"):
        read_foreign(tmp_path / "a.pkl")


def setup(change: Any) -> Any:
    def apply(folder: Path) -> None:
        path = folder / "nn_setup.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (setup(lambda c: c.update(n_hidden_layers=10**9)), "hidden layers; expected 1 to 100"),
        (setup(lambda c: c.update(n_hidden_layers=True)), "hidden layers"),
        (setup(lambda c: c["layers"].pop("layer_2")), "lacks 'layer_2'"),
        (setup(lambda c: c["layers"]["layer_1"].update(n_neurons=-4)), "expected whole numbers"),
        (setup(lambda c: c["layers"]["layer_1"].update(n_neurons=5)), "weights for layers"),
        (
            setup(lambda c: c["layers"]["layer_1"].update(activation_function="os.system")),
            "known are tanh",
        ),
        (setup(lambda c: c.update(n_input_features=7)), "inminmax and outminmax"),
        (lambda f: (f / "nn_setup.json").write_text("{"), "nn_setup.json is damaged"),
        (lambda f: (f / "weights.npy").unlink(), "is missing"),
        (lambda f: np.save(f / "weights.npy", np.ones(7)), "7 weights for layers"),
        (lambda f: np.save(f / "weights.npy", np.array([os.system])), "not on the list"),
        (lambda f: np.save(f / "l.npy", np.arange(3)), "10 values for 3 modes"),
    ],
)
def test_damaged_capse_folders(change: Any, message: str, tmp_path: Path):
    foreign_files.capse(tmp_path / "c")
    change(tmp_path / "c")
    with pytest.raises(EmulatorError, match=message):
        read_foreign(tmp_path / "c", OURS)


class Evil:
    def __init__(self, *calls: Any) -> None:
        self.calls = calls

    def __reduce__(self) -> Any:
        return self.calls


def nested(depth: int, width: int) -> list:
    """Lists that share one another: small in a file, and width ** depth values."""
    value: list = []
    for _ in range(depth):
        value = [value] * width
    return value


def circle() -> list:
    value: list = []
    value.append(value)
    return value


TRACE = Path(tempfile.gettempdir()) / "volvelle-evil"
FLOATS = b"cnumpy\ndtype\n(X\x02\x00\x00\x00f8tR"
VOIDS = FLOATS.replace(b"f8", b"V8")
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Evil(os.system, (f"touch {TRACE}",))), "'posix.system', which is not"),
        (pickle.dumps(Evil(eval, ("1",)), protocol=0), "builtins.eval|__builtin__.eval"),
        (pickle.dumps([np.array([Evil(os.system, ("x",))])]), "posix.system"),
        (b"cos\nsystem\n(S'x'\ntR.", "'os.system', which is not on the list"),
        (b"cnumpy\nload\n(S'x'\ntR.", "'numpy.load', which is not on the list"),
        (b"cnumpy\nndarray\n(I9999999999\ntR.", "calls numpy.ndarray"),
        (b"cnumpy\ndtype\n(I1\ntR.", "calls numpy.dtype"),
        (b"(S'x'\ni__main__\nf\n.", "S|STRING|INST"),
        (b"]r\xff\xff\xff\x7f.", None),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged"),
        (b"\x8b\xff\xff\xff\x7f.", "damaged"),
        (b"\x8a\x09" + b"\xff" * 8 + b"\x7f.", "more than 64 bits"),
        (ARRAY + b"(I1\n(I999999999999\nt" + FLOATS + b"I00\nC\x01xtb.", "another size"),
        (ARRAY + b"(I1\n(I-1\nt" + FLOATS + b"I00\nC\x00tb.", "no shape"),
        (ARRAY + b"(I1\n(I1\nt" + VOIDS + b"I00\nC\x08xxxxxxxxtb.", "of type 'V8'"),
        (ARRAY + b".", "without content"),
        (pickle.dumps(nested(40, 2)), "without end"),
        (pickle.dumps(nested(6, 10)), "without end"),
        (pickle.dumps(nested(100, 1)), "without end"),
        (pickle.dumps(circle()), "without end"),
        (pickle.dumps({(1, 2): 3}), "keys are no names"),
        (pickle.dumps({1.5: 3}), "keys are no names"),
        (pickle.dumps({1, 2}), "EMPTY_SET"),
        (pickle.dumps(1j), "builtins.complex|__builtin__"),
        (pickle.dumps(b"bytes"), "a bytes"),
        (b".", "end in the middle"),
        (b"h\x05.", "never remembered"),
        (b"a.", "stack that is empty"),
        (b"t.", "before its beginning"),
        (b"(q\x00.", "nothing to remember"),
        (b"Q.", "BINPERSID|damaged|stack"),
        (b"\x80\x04" + b"N0" * 300_000 + b"N.", "POP"),
        (b"]" + b"Na" * 300_000 + b".", "operations"),
    ],
)  # fmt: skip
def test_pickles_that_do_more_than_hold_numbers(content: bytes, message: str | None):
    if message is None:  # a place in the memory far away costs nothing
        assert read_pickle(content) == []
        return
    with pytest.raises(EmulatorError, match=message):
        read_pickle(content)
    assert not TRACE.exists()


LARGE = 2**20
MADE = {
    "arrays": b"(B" + LARGE.to_bytes(4, "little") + b"x" * LARGE + b"q\x00" + FLOATS + b"q\x01"
    + b"cnumpy.core.numeric\n_frombuffer\n(h\x00h\x01(I131072\ntX\x01\x00\x00\x00CtR" * 200
    + b"l.",
    "texts": b"(X" + LARGE.to_bytes(4, "little") + b"x" * LARGE + b"q\x00"
    + b"c_codecs\nencode\n(h\x00X\x06\x00\x00\x00latin1tR" * 200 + b"l.",
    "copies": pickle.dumps([np.zeros(LARGE // 8)] * 200),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(MADE))
def test_a_small_pickle_takes_little_memory(kind: str):
    """A megabyte, made into an array or text two hundred times, or taken as often."""
    tracemalloc.start()
    try:
        with pytest.raises(EmulatorError, match="the same bytes over and over"):
            read_pickle(MADE[kind])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * LARGE


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_of_plain_values(protocol: int):
    given = {
        "a": [1, -2, 2**40, 1.5, True, None, "ä", (1, 2), {}],
        "b": np.arange(6.0).reshape(2, 3),
        "c": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "d": np.float32(2.5),
        "e": np.arange(3, dtype=">f8"),
        "f": np.array([], dtype="i4"),
    }
    found = read_pickle(pickle.dumps(given, protocol=protocol))
    assert found["a"] == [1, -2, 2**40, 1.5, True, None, "ä", [1, 2], {}]
    for key in "bcef":
        np.testing.assert_array_equal(found[key], given[key])
        assert found[key].dtype.isnative
    assert found["d"] == 2.5


def npy_of(shape: str, kind: str, rest: bytes) -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + rest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy_of("(10**12,)", "<f8", b"x"), "damaged"),
        (npy_of("(1000000000000,)", "<f8", b"x"), "as many as it says"),
        (npy_of("(-1,)", "<f8", b""), "as many as it says|damaged"),
        (npy_of("(1,)", "<c16", b"x" * 16), "expected real or whole"),
        (npy_of("()", "|V99999", b"x"), "expected real or whole"),
        (npy_of("(1,)", "|O", pickle.dumps(Evil(os.system, ("x",)))), "posix.system"),
        (npy_of("__import__('os')", "<f8", b""), "damaged"),
        (b"\x93NUMPY\x09\x00", r"version \(9, 0\)"),
        (b"no array", "damaged"),
        (b"", "damaged"),
    ],
)
def test_damaged_npy(content: bytes, message: str):
    with pytest.raises(EmulatorError, match=message):
        read_npy(content)


def test_archives_that_are_none(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(EmulatorError, match="npz file is damaged"):
        read_npz(b"PK no archive")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../evil.py", "print()")
    with pytest.raises(EmulatorError, match=r"'\.\./evil.py', which is no .npy file"):
        read_npz(stream.getvalue())
    content = npz(a=np.zeros(1000))
    monkeypatch.setattr("volvelle.emulator.plain_arrays.LARGEST", 4000)
    with pytest.raises(EmulatorError, match="unpacks to 1 files of 8128 bytes"):
        read_npz(content)
