"""Models on disk: the same bits, or an error."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load, save

import volvelle
from stored_files import forge
from volvelle.learning import (
    StorageError,
    fit_gaussian_process,
    fit_polynomial,
    load_model,
    save_model,
    storable,
    storage,
)
from volvelle.learning.untrusted import digest_of

SOURCE = Path(volvelle.__file__).parents[1]


class Foreign(eqx.Module):
    value: jax.Array


def model(seed: int = 0):
    x = np.random.default_rng(seed).normal(size=(30, 2))
    return fit_polynomial(x, np.sin(x), 2)[0]


def bits(tree) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("kind", ["polynomial", "process"])
def test_round_trip_keeps_every_bit(kind, tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 2))
    stored = model() if kind == "polynomial" else fit_gaussian_process(x, np.sin(x), 1)[0]
    save_model(stored, tmp_path / "m", {"why": "test", "n": 3})
    loaded, record = load_model(tmp_path / "m")
    assert type(loaded) is type(stored)
    assert jax.tree.structure(loaded) == jax.tree.structure(stored)
    assert bits(loaded) == bits(stored)
    assert record == {"why": "test", "n": 3}
    point = jnp.array([0.1, 0.2])
    assert bits(loaded(point)) == bits(stored(point))


def test_files_are_safetensors_and_json(tmp_path):
    save_model(model(), tmp_path, {})
    names = sorted(path.suffix for path in tmp_path.iterdir())
    assert names == [".json", ".safetensors"]
    content = json.loads((tmp_path / "model.json").read_text())
    weights = (tmp_path / content["weights"]).read_bytes()
    assert not weights.startswith(b"\x80"), "a pickle"
    sources = (SOURCE / "volvelle" / "learning").glob("*.py")
    for source in sources:
        text = source.read_text()
        assert "import pickle" not in text and "eval(" not in text.replace("_eval(", "")


def test_damaged_weights(tmp_path):
    save_model(model(), tmp_path, {})
    (path,) = tmp_path.glob("weights-*")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match="is damaged: SHA-256"):
        load_model(tmp_path)


def test_damaged_structure(tmp_path):
    save_model(model(), tmp_path, {})
    path = tmp_path / "model.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(StorageError, match="is damaged"):
        load_model(tmp_path)


@pytest.mark.parametrize("missing", ["model.json", "weights-*"])
def test_missing_file(missing, tmp_path):
    save_model(model(), tmp_path, {})
    (path,) = tmp_path.glob(missing)
    path.unlink()
    with pytest.raises(StorageError, match="is missing"):
        load_model(tmp_path)


def field(name, value):
    return lambda c: c["model"]["fields"].update({name: value})


def nested(depth):
    value = {"value": 1}
    for _ in range(depth):
        value = {"tuple": [value]}
    return value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=99), "has format 99, this version reads 1 to 3"),
        (lambda c: c.update(format="2"), "has format '2'"),
        (lambda c: c.update(format=True), "has format True"),
        (lambda c: c["model"].update({"class": "Popen"}), "'Popen', which this version does not"),
        (lambda c: c["model"].update({"class": ["a"]}), "which this version does not"),
        (lambda c: c["model"].pop("fields"), "has no fields"),
        (lambda c: c["model"]["fields"].pop("degree"), "lacks its field 'degree'"),
        (lambda c: c["model"]["fields"]["residual"].update(tensor="other"), "lacks the array"),
        (field("coefficients", {"tensor": "residual"}), "lacks the array 'residual'"),
        (field("extra", {"value": 1}), "has a field \\['extra'\\] that this version"),
        (field("residual", {"value": 1.0}), "residual holds a float, expected an array"),
        (field("degree", {"value": "2"}), "degree holds a str, expected int"),
        (field("degree", {"value": True}), "degree holds a bool, expected int"),
        (field("degree", {"value": 2.0}), "degree holds a float, expected int"),
        (field("degree", {"value": None}), "degree holds nothing, expected int"),
        (field("degree", {"value": -1}), "degree -1 is not possible"),
        (field("degree", {"value": 10**9}), "degree 1000000000 is not possible"),
        (field("degree", {"value": 10**99}), "beyond what is possible"),
        (field("degree", {"value": [2]}), "no plain value"),
        (field("degree", {"value": 2, "tuple": []}), "of no known kind or of several"),
        (field("degree", {"function": "os:system"}), "never imported"),
        (field("degree", {"function": ["os"]}), "names no function"),
        (field("degree", 2), "is no node"),
        (field("degree", nested(20)), "degree holds a tuple, expected int"),
        (field("degree", nested(50)), "nested more than 64 levels deep"),
        (lambda c: c.pop("model"), "is damaged"),
        (lambda c: c.update(model=[]), "is damaged"),
        (lambda c: c.update(record=[]), "is damaged"),
    ],
)
def test_forged_structure(change, message, tmp_path):
    save_model(model(), tmp_path, {})
    forge(tmp_path, change)
    with pytest.raises(StorageError, match=message):
        load_model(tmp_path)


def tensors_of(folder):
    (path,) = folder.glob("weights-*")
    return load(path.read_bytes())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("residual", np.ones(3), "residual has shape \\(3,\\), but \\[m\\] with m = 2"),
        ("covariance", np.ones((6, 5)), "covariance has shape \\(6, 5\\)"),
        ("coefficients", np.ones(12), "coefficients has shape \\(12,\\), expected \\[p, m\\]"),
        ("residual", np.array([1, 2]), "residual is of int64, expected Float"),
        ("residual", np.ones(2, np.float16), "'residual' has type float16"),
        ("residual", np.array([1.0, np.nan]), "residual holds a value that is no number"),
        ("residual", np.array([1.0, -np.inf]), "residual holds a value that is no number"),
        ("more", np.ones(2), "holds arrays \\['more'\\] that no part of its model names"),
    ],
)
def test_forged_weights(name, value, message, tmp_path):
    save_model(model(), tmp_path, {})
    forge(tmp_path, lambda content: None, save({**tensors_of(tmp_path), name: value}))
    with pytest.raises(StorageError, match=message):
        load_model(tmp_path)


@pytest.mark.parametrize("cut", [0, 4, 8, 60, -1])
def test_forged_weights_that_are_no_safetensors(cut, tmp_path):
    save_model(model(), tmp_path, {})
    (path,) = tmp_path.glob("weights-*")
    forge(tmp_path, lambda content: None, path.read_bytes()[:cut])
    with pytest.raises(StorageError, match="no safetensors file"):
        load_model(tmp_path)


def test_truncated_weights(tmp_path):
    save_model(model(), tmp_path, {})
    (path,) = tmp_path.glob("weights-*")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(StorageError, match="is damaged: SHA-256"):
        load_model(tmp_path)


def test_one_altered_byte_is_refused_wherever_it_stands(tmp_path):
    save_model(model(), tmp_path, {"accuracy": 0.125})
    path = tmp_path / "model.json"
    content = path.read_bytes()
    original = json.loads(content)
    spaces = 0
    for at in range(len(content)):
        for bits in (1, 2, 3, 4, 16, 128):  # 2 makes format 3 the first, which had no hash
            other = bytes([content[at] ^ bits])
            path.write_bytes(content[:at] + other + content[at + 1 :])
            if other in b" \t\n" and content[at] in b" \n":  # layout, if it stands between things
                continue
            with pytest.raises(StorageError):
                load_model(tmp_path)
        spaces += content[at] in b" \n"
    assert spaces > 50, "white space too: a flipped bit makes it something else"
    for number in (1, 2, 3):  # a file that has a hash of its content is checked by it
        path.write_text(json.dumps({**original, "format": number, "record": {"accuracy": 1}}))
        with pytest.raises(StorageError, match="does not have the SHA-256"):
            load_model(tmp_path)
    path.write_text(json.dumps(original))  # another layout of the same content
    assert load_model(tmp_path)[1] == {"accuracy": 0.125}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 2, "format": 1}', "the key 'format' stands there twice"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "no mapping"),
        ("\\xff", "is damaged"),
        ('{"format": ' + "9" * 5000 + "}", "is damaged"),
        ("", "is damaged"),
    ],
)
def test_text_that_is_no_structure(text, message, tmp_path):
    save_model(model(), tmp_path, {})
    (tmp_path / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StorageError, match=message):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["../weights-0123456789ab.safetensors", "/etc/passwd", "a\0b", ""])
def test_weights_outside_the_folder(name, tmp_path):
    save_model(model(), tmp_path, {})
    path = tmp_path / "model.json"
    content = json.loads(path.read_text()) | {"weights": name}
    content["sha256"] = digest_of({k: v for k, v in content.items() if k != "sha256"})
    path.write_text(json.dumps(content))
    with pytest.raises(StorageError, match="expected weights-HASH"):
        load_model(tmp_path)


def test_no_pipe_or_huge_file_is_read(tmp_path, monkeypatch):
    save_model(model(), tmp_path, {})
    path = tmp_path / "model.json"
    monkeypatch.setattr(storage, "LARGEST_TEXT", 100)
    with pytest.raises(StorageError, match="more than the 100 that are read"):
        load_model(tmp_path)
    path.unlink()
    os.mkfifo(path)  # to read it would wait for ever
    with pytest.raises(StorageError, match="is no regular file"):
        load_model(tmp_path)


def test_a_tree_of_too_many_parts(tmp_path, monkeypatch):
    save_model(model(), tmp_path, {})
    monkeypatch.setattr(storage, "MOST_NODES", 3)
    with pytest.raises(StorageError, match="more than 3 parts"):
        load_model(tmp_path)


def test_what_could_not_be_read_is_not_written(tmp_path):
    wrong = eqx.tree_at(lambda m: m.residual, model(), jnp.array([1.0, jnp.nan]))
    with pytest.raises(StorageError, match="residual holds a value that is no number"):
        save_model(wrong, tmp_path, {})
    assert not list(tmp_path.iterdir())


def test_a_record_without_infinities(tmp_path):
    record = {"error": float("inf"), "points": [[1.5, float("nan")]], "n": np.float64(2.0)}
    save_model(model(), tmp_path, record)
    assert "Infinity" not in (tmp_path / "model.json").read_text()
    assert load_model(tmp_path)[1] == {"error": None, "points": [[1.5, None]], "n": 2.0}


def test_older_formats_are_upgraded_step_by_step(tmp_path, monkeypatch):
    """Two made-up later formats: the first renames a field, the second adds an array."""
    save_model(model(), tmp_path, {})
    path = tmp_path / "model.json"
    content = json.loads(path.read_text())
    fields = content["model"]["fields"]
    fields["order"] = fields.pop("degree")
    weights = tensors_of(tmp_path)
    residual = weights.pop("residual")
    del fields["residual"]
    forge(tmp_path, lambda old: old.update(content), save(weights))

    def rename(content, tensors):
        fields = dict(content["model"]["fields"])
        fields["degree"] = fields.pop("order")
        return {**content, "model": {**content["model"], "fields": fields}}, tensors

    def add(content, tensors):
        fields = {**content["model"]["fields"], "residual": {"tensor": "residual"}}
        model = {**content["model"], "fields": fields}
        return {**content, "model": model}, {**tensors, "residual": residual}

    monkeypatch.setattr(storage, "UPGRADES", {**storage.UPGRADES, 3: rename, 4: add})
    monkeypatch.setattr(storage, "FORMAT", 5)
    loaded, _ = load_model(tmp_path)
    assert bits(loaded) == bits(model())
    save_model(loaded, tmp_path, {})
    assert json.loads(path.read_text())["format"] == 5
    assert bits(load_model(tmp_path)[0]) == bits(model())


def test_only_storable_classes(tmp_path):
    with pytest.raises(StorageError, match="Foreign at the top is not storable"):
        save_model(Foreign(jnp.zeros(2)), tmp_path, {})
    with pytest.raises(StorageError, match="two storable classes are called 'Polynomial'"):
        storable(type("Polynomial", (eqx.Module,), {}))


KILLED = """
import os, signal, sys
import jax; jax.config.update("jax_enable_x64", True)
import numpy as np
from pathlib import Path
from volvelle.learning import fit_polynomial, save_model, storage
x = np.random.default_rng(1).normal(size=(30, 2))
new = fit_polynomial(x, np.sin(x), 2)[0]
write = storage.write_atomically
def killed(path, content):
    if path.name == "model.json":
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, content)
storage.write_atomically = killed
save_model(new, Path(sys.argv[1]), {"number": 2})
"""


def test_kill_between_weights_and_structure_leaves_the_old_model(tmp_path):
    save_model(model(), tmp_path, {"number": 1})
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("weights-*"))) == 2, "the new weights were written"
    loaded, record = load_model(tmp_path)
    assert record == {"number": 1} and bits(loaded) == bits(model())
    save_model(model(1), tmp_path, {"number": 2})
    assert len(list(tmp_path.glob("weights-*"))) == 1
    assert bits(load_model(tmp_path)[0]) == bits(model(1))


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/a'"):
        storage.write_atomically(tmp_path / "a", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
