"""Building the kernel: once, whole, under its own name; what is said where it is not there."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volvelle.nbody import KernelError, Mesh, compiled, operations, paint, painting_backend, read

COMPILER = compiled.find_compiler()
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler here")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Path, None, None]:
    """An empty cache, and a process that knows no library."""
    monkeypatch.setenv("VOLVELLE_CACHE", str(tmp_path))
    monkeypatch.delenv(compiled.VARIABLE, raising=False)
    compiled.kernel.cache_clear()
    yield tmp_path
    compiled.kernel.cache_clear()


@needs_compiler
def test_two_processes_build_it_at_once(tmp_path: Path) -> None:
    code = (
        "from volvelle.nbody import *; print(painting_backend());"
        "print(float(paint(Mesh(8, 8.0), [[1.0, 2.0, 3.0]]).sum()))"
    )
    environment = {**os.environ, "VOLVELLE_CACHE": str(tmp_path), "VOLVELLE_KERNEL": "on"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in processes]
    (library,) = (tmp_path / "kernels").iterdir()
    for each in said:
        assert each.startswith(f"compiled ({library}, ") and each.endswith("\n1.0\n")
    assert library.name.startswith("volvelle-") and library.suffix == ".so"


def test_off_and_other_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.VARIABLE, "off")
    assert compiled.kernel_threads() == 0
    assert painting_backend() == "pure JAX (VOLVELLE_KERNEL is 'off')"
    monkeypatch.setenv(compiled.VARIABLE, "maybe")
    with pytest.raises(KernelError, match="'maybe'; expected 'on' or 'off'"):
        paint(Mesh(8, 8.0), np.zeros((1, 3)))


@needs_compiler
def test_threads_are_those_of_openmp_or_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(compiled.VARIABLE, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert compiled.kernel_threads() == 3
    assert painting_backend().endswith(", 3 threads)")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert compiled.kernel_threads() == compiled.available_cores()


def test_without_a_compiler(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.delenv("CC", raising=False)
    assert painting_backend().startswith("pure JAX (no C compiler: none of $CC, cc, gcc, clang")
    np.testing.assert_allclose(paint(Mesh(8, 8.0), [[1.0, 2.0, 3.0]])[1, 2, 3], 1.0)
    monkeypatch.setenv(compiled.VARIABLE, "on")
    with pytest.raises(KernelError, match="is 'on' and there is no kernel: no C compiler"):
        paint(Mesh(8, 8.0), [[1.0, 2.0, 3.0]])


@pytest.mark.skipif(os.name != "posix", reason="a shell script as compiler")
def test_a_compiler_that_fails_is_warned_of(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = fresh / "broken-cc"
    broken.write_text(
        '#!/bin/sh\ncase "$1" in --version) exit 0;; esac\necho no luck >&2; exit 1\n'
    )
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.warns(
        RuntimeWarning, match="slower, in pure JAX; .*broken-cc could not make it: no luck"
    ):
        assert compiled.kernel_threads() == 0
    assert "no luck" in painting_backend()
    assert list((fresh / "kernels").iterdir()) == [], "nothing half made is left"


@needs_compiler
def test_the_name_holds_source_compiler_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [str(COMPILER), *compiled.FLAGS]
    names = {compiled._fingerprint(command), compiled._fingerprint([*command, "-g"])}
    with monkeypatch.context() as patch:
        patch.setattr(compiled.jaxlib.version, "__version__", "0.0.1")
        names.add(compiled._fingerprint(command))
    with monkeypatch.context() as patch:
        patch.setattr(compiled, "_processor", lambda: "another")
        names.add(compiled._fingerprint(command))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda self: b"another source")
        names.add(compiled._fingerprint(command))
    assert len(names) == 5
    assert compiled._fingerprint(command) in names


def test_programs_for_gpus_are_plain_and_refuse_slow_scatters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def program() -> str:
        traced = jax.jit(lambda x: paint(Mesh(8, 8.0), x)).trace(jnp.zeros((4, 3)))
        return traced.lower(lowering_platforms=("cuda",)).as_text()

    text = program()
    assert "scatter" in text and "volvelle_spread" not in text
    monkeypatch.setattr(operations.jaxlib.version, "__version__", "0.10.2")
    with pytest.raises(KernelError, match=r"jaxlib 0\.10\.2 compiles sums onto a mesh into a loop"):
        program()
    reading = jax.jit(lambda x, f: read(Mesh(8, 8.0), f, x))
    reading.trace(jnp.zeros((4, 3)), jnp.ones((8, 8, 8))).lower(lowering_platforms=("cuda",))
