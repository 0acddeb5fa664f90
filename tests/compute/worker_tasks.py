"""Tasks for the executor tests, in a module of their own because worker processes import them."""

import os
import signal
import time
from pathlib import Path


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
