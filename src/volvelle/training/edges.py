"""Solutions that count for a whole line: where an input is unset, another one means nothing.

Without what decays its rate has no effect: one exact solution without it is that of every rate. A
process that is told so at a few rates knows the edge as a line, which single points, each at a rate
of its own, do not tell it; and there the posterior runs into a neck where the edge is near.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volvelle.emulator.build import NETWORK
from volvelle.training.problem import Problem

COPIES = 4  # values of an input that means nothing, over the range of what was solved
MOST_LINES = 40  # solutions that are copied: a fit costs the cube of all points
EVERY = 8  # of so many new points one is put on an edge
NEAR = 0.1  # of the range of the walkers: how near one of them has to come to the edge


@dataclass(frozen=True)
class Edge:
    """The column of an input, the value at which it is unset, and columns that are idle there."""

    leader: int
    value: float
    idle: tuple[int, ...]

    def holds(self, x: np.ndarray) -> np.ndarray:
        """Which points [n, d] lie on it [n]."""
        return x[:, self.leader] == self.value


def edges_of(problem: Problem, kind: str) -> tuple[Edge, ...]:
    """Edges inside of the priors, with all columns whose change leaves the universe the same.

    None for a network: copies in other folds would foretell what a fold is to tell.
    """
    if kind == NETWORK:
        return ()
    found = []
    parametrisation = problem.parametrisation
    unset = dict(parametrisation.unset)
    for leader in dict.fromkeys(leader for _, leader in parametrisation.idle):
        column = problem.theory_names.index(leader)
        low, high = problem.priors[column].bounds
        if low <= unset[leader] <= high:
            at = problem.ref_loc.copy()
            at[column] = unset[leader]
            same = [j for j in range(problem.n_theory) if j != column and _idle(problem, at, j)]
            found.append(Edge(column, unset[leader], tuple(same)))
    return tuple(found)


def _idle(problem: Problem, at: np.ndarray, j: int) -> bool:
    moved, (low, high) = at.copy(), problem.priors[j].bounds
    step = 0.5 * problem.ref_scale[j]
    moved[j] += step if at[j] + step <= high else -step
    inside = bool(moved[j] >= low)
    return inside and problem.cosmology(moved).canonical() == problem.cosmology(at).canonical()


def can_be_left_out(edges: tuple[Edge, ...], x: np.ndarray) -> np.ndarray:
    """Which points [n, d] say how well the others foretell them [n]: those on no edge, or all."""
    free = np.all([np.ones(len(x), bool), *(~edge.holds(x) for edge in edges)], axis=0)
    return free if np.any(free) else np.ones(len(x), bool)


def copies(edges: tuple[Edge, ...], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """More points with a solution [m, d], and the rows [m] of ``x`` whose solution it is."""
    rows, points = [np.empty(0, int)], [np.empty((0, x.shape[1]))]
    for edge in edges:
        lines = np.flatnonzero(edge.holds(x))
        some = np.linspace(0, len(lines) - 1, min(len(lines), MOST_LINES)).astype(int)
        for row in lines[some]:
            for j in edge.idle:
                values = np.linspace(np.min(x[:, j]), np.max(x[:, j]), COPIES)
                others = np.delete(values, np.argmin(np.abs(values - x[row, j])))
                more = np.tile(x[row], (COPIES - 1, 1))
                more[:, j] = others
                points.append(more)
                rows.append(np.full(COPIES - 1, row))
    return np.concatenate(points), np.concatenate(rows)


def moved_onto(edges: tuple[Edge, ...], x: np.ndarray, walkers: np.ndarray) -> np.ndarray:
    """New points [n, d], one of every ``EVERY`` moved to an edge: those that are nearest to it.

    Not where the posterior is elsewhere, by the walkers that were chosen from.
    """
    x = x.copy()
    for edge in edges:
        away = np.abs(walkers[:, edge.leader] - edge.value)
        if np.min(away) <= NEAR * np.ptp(walkers[:, edge.leader]):
            nearest = np.argsort(np.abs(x[:, edge.leader] - edge.value), kind="stable")
            x[nearest[: max(len(x) // EVERY, 1)], edge.leader] = edge.value
    return x
