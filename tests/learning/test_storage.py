"""Models on disk: the same bits, or an error."""

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

import volvelle
from volvelle.learning import (
    StorageError,
    fit_gaussian_process,
    fit_polynomial,
    load_model,
    save_model,
    storable,
)

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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=99), "has format 99"),
        (lambda c: c["model"].update({"class": "Popen"}), "'Popen', which this version does not"),
        (lambda c: c["model"]["fields"].pop("degree"), "lacks its field 'degree'"),
        (lambda c: c["model"]["fields"]["residual"].update(tensor="other"), "lacks the array"),
        (lambda c: c.pop("weights_sha256"), "is damaged"),
        (lambda c: c.pop("model"), "is damaged"),
    ],
)
def test_changed_structure(change, message, tmp_path):
    save_model(model(), tmp_path, {})
    content = json.loads((tmp_path / "model.json").read_text())
    change(content)
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(StorageError, match=message):
        load_model(tmp_path)


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
