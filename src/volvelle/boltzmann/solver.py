"""The protocol of exact solvers, and their registry."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..cosmology import Cosmology
from .errors import SolverError
from .request import Request

Theory = Mapping[str, Any]
"""Outputs by name; units in ``request``."""

NON_LINEAR: tuple[str, ...] = ("none", "halofit", "hmcode")
"""Non-linear models both codes have; ``halofit`` is Takahashi+ 2012, ``hmcode`` is HMcode-2020."""


@runtime_checkable
class Solver(Protocol):
    """Parameters in, named spectra out. Picklable; loads its library at the first call."""

    @property
    def name(self) -> str:
        """Short name: ``class``, ``camb``."""
        ...

    def identity(self) -> dict[str, str]:
        """All that decides the numbers besides the parameters: code, version, hash, settings."""
        ...

    def solve(self, cosmology: Cosmology, request: Request) -> Theory:
        """Solve one model.

        Raises SolverError, with the solver's own words, on failure or a NaN in any output.
        """
        ...

    def check(self, cosmology: Cosmology, request: Request) -> None:
        """Read all inputs and compute next to nothing; h and the amplitude may be stand-ins.

        Raises SolverError, with the solver's own words, for inputs that it does not know or that
        contradict each other.
        """
        ...


def check_non_linear(non_linear: str) -> None:
    """Refuse an unknown non-linear model."""
    if non_linear not in NON_LINEAR:
        raise SolverError(f"non_linear is '{non_linear}'; expected {', '.join(NON_LINEAR)}")


def check_request(request: Request, non_linear: str) -> None:
    """Refuse a request that the settings cannot serve."""
    wanted = [name for name in request.names() if name.endswith("power_nonlinear")]
    if wanted and non_linear == "none":
        raise SolverError(
            f"{wanted[0]} cannot be had with non_linear 'none'; use halofit or hmcode"
        )


def check_finite(theory: Theory, request: Request, solver: str) -> dict[str, Any]:
    """The outputs of ``request`` in its order, after a check that each is there and finite."""
    result: dict[str, Any] = {}
    for name in request.names():
        value = np.asarray(theory[name], dtype=np.float64)
        if not np.all(np.isfinite(value)):
            raise SolverError(f"{solver} returned a value that is not finite in {name}")
        result[name] = value if value.ndim else float(value)
    return result


def with_any_hubble_and_amplitude(cosmology: Cosmology) -> Cosmology:
    """The cosmology with the alternatives that take a search (theta_star_100, sigma8) replaced."""
    changes: dict[str, float | None] = {}
    if cosmology.h is None:
        changes |= {"h": 0.67, "theta_star_100": None}
    if cosmology.A_s is None:
        changes |= {"A_s": 2.1e-9, "sigma8": None}
    return cosmology.replace(**changes)


def canonical_json(settings: Mapping[str, Any]) -> str:
    """Settings as text that is the same for equal settings."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


def one_line(message: object) -> str:
    """A solver's own words on a single line."""
    return " ".join(str(message).split())


def _class_solver(**settings: Any) -> Solver:
    from .class_solver import ClassSolver

    return ClassSolver(**settings)


def _camb_solver(**settings: Any) -> Solver:
    from .camb_solver import CambSolver

    return CambSolver(**settings)


SOLVERS: dict[str, Callable[..., Solver]] = {"class": _class_solver, "camb": _camb_solver}
"""Registered solvers by name."""


def get_solver(name: str, **settings: Any) -> Solver:
    """A registered solver with settings; raises SolverError for an unknown name or setting."""
    if name not in SOLVERS:
        raise SolverError(f"unknown solver '{name}'; known: {', '.join(SOLVERS)}")
    try:
        return SOLVERS[name](**settings)
    except TypeError as error:
        raise SolverError(f"solver {name}: {one_line(error)}") from error
