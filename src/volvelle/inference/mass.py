"""Which entries of a mass matrix are learned: all, the diagonal, or blocks of named parameters."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np

from volvelle.inference.errors import InferenceError
from volvelle.inference.laplace import Laplace

Mass = Literal["dense", "diagonal"] | tuple[tuple[str, ...], ...]
"""Of all parameters together, of each alone, or of the named blocks; who is in none is alone."""
Groups = tuple[int, ...]
"""The block of every parameter; empty where all are in one."""


def groups_of(mass: Mass, names: tuple[str, ...]) -> Groups:
    """The block of every parameter in ``names``.

    Raises:
        InferenceError: a block names what is not sampled, or a parameter stands in two.
    """
    if mass == "dense":
        return ()
    if mass == "diagonal":
        return tuple(range(len(names)))
    if isinstance(mass, str):
        raise InferenceError(f"mass is {mass!r}; choose dense, diagonal or blocks of names")
    given = Counter(name for block in mass for name in block)
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InferenceError(
            f"a block of the mass matrix names {', '.join(unknown)}; sampled are {', '.join(names)}"
        )
    twice = [name for name, number in given.items() if number > 1]
    if twice:
        raise InferenceError(
            f"{', '.join(twice)} stands in two blocks of the mass matrix; leave it in one"
        )
    block = {name: i for i, part in enumerate(mass) for name in part}
    return tuple(block.get(name, len(mass) + i) for i, name in enumerate(names))


def mask_of(groups: Groups) -> np.ndarray:
    """Which entries [d, d] lie inside a block."""
    labels = np.array(groups)
    return labels[:, None] == labels[None, :]


def within_blocks(laplace: Laplace, groups: Groups) -> Laplace:
    """The approximation without correlations across blocks, its factor L lower triangular.

    So every coordinate of the chains belongs to one block, and what is learned of a block stays in
    it. The block-diagonal part of a covariance is one.
    """
    if not groups:
        return laplace
    factor = np.linalg.cholesky(np.where(mask_of(groups), laplace.covariance, 0.0))
    return Laplace(laplace.u, factor, laplace.x, laplace.log_prob)
