"""jaxcapse in an environment of its own: times a call whenever it is asked to.

Run by ``peers.py`` with another Python. Four networks of the shape of Bonici et al. 2023
(arXiv:2307.14339), five hidden layers of 64 with tanh, with random weights: the arithmetic is what
is timed. Reads lines ``value``, ``gradient``, ``batch N``; answers with seconds per call.
"""

from __future__ import annotations

import os
import sys
import time

os.environ["JAXCAPSE_NO_AUTO_DOWNLOAD"] = "1"

import itertools

import jax
import jax.numpy as jnp
import jaxace
import jaxcapse
import numpy as np

INPUTS, OUTPUTS, LAYERS, WIDTH, SPECTRA = 6, 2507, 5, 64, 4


def network(rng: np.random.Generator) -> jaxcapse.MLP:
    """One spectrum's network."""
    layers = {
        f"layer_{i + 1}": {"n_neurons": WIDTH, "activation_function": "tanh"} for i in range(LAYERS)
    }
    description = {
        "n_input_features": INPUTS,
        "n_output_features": OUTPUTS,
        "n_hidden_layers": LAYERS,
        "layers": layers,
    }
    sizes = [INPUTS] + [WIDTH] * LAYERS + [OUTPUTS]
    count = sum((a + 1) * b for a, b in itertools.pairwise(sizes))
    emulator = jaxace.init_emulator(description, 0.1 * rng.normal(size=count))
    ends = np.array([[0.0, 1.0]])
    return jaxcapse.MLP(
        emulator,
        np.repeat(ends, INPUTS, axis=0),
        np.repeat(ends, OUTPUTS, axis=0),
        lambda x, y: y * jnp.exp(x[0]),
        {},
        np.arange(2, OUTPUTS + 2),
        interpolation="none",
    )


def main() -> None:
    """Answer until the input ends."""
    rng = np.random.default_rng(1)
    networks = [network(rng) for _ in range(SPECTRA)]

    def spectra(x: jax.Array) -> jax.Array:
        return jnp.concatenate([each.get_Cl(x) for each in networks])

    value = jax.jit(spectra)
    gradient = jax.jit(jax.value_and_grad(lambda x: jnp.sum(spectra(x) ** 2)))
    batch = jax.jit(jax.vmap(spectra))
    x = jnp.asarray(rng.uniform(size=INPUTS))
    print(f"jaxcapse {jaxcapse.__version__}, jax {jax.__version__}", flush=True)
    for line in sys.stdin:
        what, *number = line.split()
        job, argument = {"value": (value, x), "gradient": (gradient, x)}.get(what, (batch, x))
        if what == "batch":
            argument = jnp.tile(x, (int(number[0]), 1))
        jax.block_until_ready(job(argument))
        times: list[float] = []
        started = time.perf_counter()
        while not times or time.perf_counter() - started < 0.3:
            before = time.perf_counter()
            jax.block_until_ready(job(argument))
            times.append(time.perf_counter() - before)
        print(float(np.median(times)), flush=True)


if __name__ == "__main__":
    main()
