"""A user's activations and weights, as they would stand in a user's own file."""

import jax.numpy as jnp
import numpy as np


def bend(x):
    """A smooth bend without anything to train."""
    return jnp.where(x > 0, x, jnp.expm1(x))


def other_bend(x):
    """Another one."""
    return 0.5 * bend(x)


def total(x):
    """Loses the shape."""
    return jnp.sum(x)


def root(x):
    """Not a number below zero."""
    return jnp.sqrt(x)


def with_numpy(x):
    """Cannot be differentiated."""
    return np.tanh(np.asarray(x))


def polarisation(ell, noise, names):
    """EE counts ten times."""
    return np.array([10.0 if name == "lensed_ee" else 1.0 for name in names])


def one(ell, noise, names):
    """Too few."""
    return np.ones(1)


def negative(ell, noise, names):
    """No weights."""
    return -np.ones(len(ell))


def two_arguments(ell, noise):
    """Called with three."""
    return np.ones(len(ell))


NUMBER = 3
