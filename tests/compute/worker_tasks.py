"""Tasks for the executor tests, in a module of their own because worker processes import them."""

import os
import pickle
import signal
import time
from pathlib import Path

from volvelle.compute import UnfitWorkerError


def square(number: float) -> float:
    if number < 0:
        raise ValueError(f"{number} is negative\nsecond line")
    return number * number


def unless_crash(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    return os.getpid()


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def announce_and_sleep(path: str | None) -> None:
    if path is None:
        return time.sleep(1.0)
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)


def threads_of_jax(_: object) -> tuple[str, int, float]:
    import jax
    import jax.numpy as jnp

    matrix = jnp.ones((800, 800))
    product = jax.jit(jnp.dot)
    jax.block_until_ready(product(matrix, matrix))
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(5):
        jax.block_until_ready(product(matrix, matrix))
    load = (time.process_time() - processor) / (time.perf_counter() - wall)
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return os.environ["OMP_NUM_THREADS"], names.count("tf_XLAEigen"), load


def lambda_of(_: object) -> object:
    return lambda: None


def leave(code: int) -> None:
    raise SystemExit(code)


def vanish(code: int) -> None:
    os._exit(code)


def chatter(_: object) -> None:
    os.write(1, b"from C\n")
    print("from Python")


def unfit(place: str) -> None:
    raise UnfitWorkerError(f"not at {place}")


def note(folder: str, what: object) -> None:
    """One file per call, so that calls can be counted."""
    (Path(folder) / f"{what}-{time.monotonic_ns()}-{os.getpid()}").touch()


def count_and_sleep(task: tuple[str, int, float]) -> int:
    folder, number, seconds = task
    note(folder, number)
    time.sleep(seconds)
    return number


def die_from_outside(folder: str) -> None:
    note(folder, "died")
    os.kill(os.getpid(), signal.SIGKILL)


def kill_parent(folder: str) -> None:
    note(folder, "killed")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def hang_once(path: str) -> int:
    """Never returns the first time; says who ran it the second time."""
    if not Path(path).exists():
        Path(path).write_text(str(os.getpid()))
        time.sleep(300)
    return os.getpid()


def parent_and_sleep(task: tuple[str, float]) -> int:
    """Says who the Dask worker is, then sleeps."""
    path, seconds = task
    Path(path).write_text(str(os.getppid()))
    time.sleep(seconds)
    return os.getppid()


def unpickle(data: bytes) -> bool:
    return pickle.loads(data) is not None
