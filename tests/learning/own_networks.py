"""Architectures of a user, as they would stand in a user's own file."""

import equinox as eqx
import jax
import jax.numpy as jnp


class Residual(eqx.Module):
    """Every layer adds to what it is given."""

    first: eqx.nn.Linear
    layers: list[eqx.nn.Linear]
    last: eqx.nn.Linear

    def __call__(self, x):
        h = self.first(x)
        for layer in self.layers:
            h = h + jax.nn.silu(layer(h))
        return self.last(h)


def residual(key, inputs, outputs, depth, width, kind=Residual):
    first, last, *keys = jax.random.split(key, depth + 2)
    return kind(
        eqx.nn.Linear(inputs, width, key=first),
        [eqx.nn.Linear(width, width, key=k) for k in keys],
        eqx.nn.Linear(width, outputs, key=last),
    )


class Bent(Residual):
    """The same arrays, another function."""

    def __call__(self, x):
        return super().__call__(jnp.sin(x))


def bent(key, inputs, outputs, depth, width):
    return residual(key, inputs, outputs, depth, width, Bent)


def shallow(key, inputs, outputs, depth, width):
    return residual(key, inputs, outputs, 1, width)


def narrow(key, inputs, outputs, depth, width):
    return residual(key, inputs, outputs, depth, width // 2)


class Shuffled(eqx.Module):
    """Holds an array of whole numbers and a function beside what is trained."""

    order: jax.Array
    weight: jax.Array
    bend: object

    def __call__(self, x):
        return self.bend(x[self.order]) @ self.weight


def shuffled(key, inputs, outputs, depth, width):
    order = jax.random.permutation(key, inputs)
    return Shuffled(order, 0.1 * jax.random.normal(key, (inputs, outputs)), jnp.tanh)


def total(key, inputs, outputs, depth, width):
    return jax.tree_util.Partial(lambda w, x: jnp.sum(w * x), jnp.ones(inputs))


def infinite(key, inputs, outputs, depth, width):
    return jax.tree_util.Partial(lambda w, x: jnp.log(x) @ w, jnp.ones((inputs, outputs)))


def unused(key, inputs, outputs, depth, width):
    return jax.tree_util.Partial(lambda w, x: x[:outputs], jnp.ones(inputs))


def untrained(key, inputs, outputs, depth, width):
    return lambda x: x[:outputs]


def complex_numbers(key, inputs, outputs, depth, width):
    w = jnp.ones((2, inputs, outputs), jnp.float32)
    return jax.tree_util.Partial(lambda w, z, x: x @ w, w[0], w[1] + 1j)


def with_keys(key, inputs, outputs, depth, width):
    return eqx.nn.Sequential([eqx.nn.Linear(inputs, outputs, key=key), eqx.nn.Dropout(0.5)])


def two_arguments(key, inputs):
    return eqx.nn.Linear(inputs, 1, key=key)
