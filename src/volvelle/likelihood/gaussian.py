"""A Gaussian on any theory outputs: scalars, or elements of spectra and background."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..boltzmann import OUTPUTS, SPECTRA, Request, RequestError, suggestion
from ..compute import require_float64
from .base import (
    GaussianLikelihood,
    Nuisance,
    NuisanceParameter,
    Theory,
    read_output,
)
from .errors import LikelihoodOptionError, TheoryError
from .gaussian_algebra import check_finite, conditional_sigma, noise_of_means, scattered, whitening

_OUTPUT = re.compile(r"^([\w*]+)(?:\[(\d+)(?:(:|,\s*)(\d+))?\])?$")


@dataclass(frozen=True)
class Selection:
    """Elements of one theory output: ``NAME`` (a scalar), ``NAME[i]``, ``NAME[i:j]`` (Python's
    half-open range; for a spectrum the index is l) or ``NAME[i,j]`` (an element of a table).

    A scalar that the registry does not have is one by the solver's own name, which the solver
    alone can refuse.
    """

    name: str
    start: int | None = None
    stop: int | None = None
    column: int | None = None

    @classmethod
    def parse(cls, text: str, who: str) -> Selection:
        """From its text; raises LikelihoodOptionError when it names nothing that exists."""
        match = _OUTPUT.match(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise LikelihoodOptionError(
                f"{who}: {text!r} is no output; write NAME, NAME[i], NAME[i:j] or NAME[i,j]"
            )
        name, first, mark, second = match.groups()
        if name not in OUTPUTS:
            return cls._native(name, first is not None, who)
        table = len(OUTPUTS[name].grids) == 2
        if (first is None) != (OUTPUTS[name].kind == "scalar") or (
            mark is not None and ":" not in mark
        ) != table:
            raise LikelihoodOptionError(
                f"{who}: {text!r} does not fit {name}; write scalars without brackets, spectra and "
                "functions of z as NAME[i] or NAME[i:j], functions of z and k as NAME[i,j]"
            )
        if first is None:
            return cls(name)
        start = int(first)
        if table:
            selection = cls(name, start, start + 1, int(second))
        else:
            selection = cls(name, start, start + 1 if mark is None else int(second))
        selection._check_range(text, who)
        return selection

    @classmethod
    def _native(cls, name: str, indexed: bool, who: str) -> Selection:
        if indexed:
            raise LikelihoodOptionError(
                f"{who}: there is no theory output {name!r} with elements; {suggestion(name)}"
            )
        try:
            Request.of([name])
        except RequestError as error:  # it only repeats another output
            raise LikelihoodOptionError(f"{who}: {error}") from error
        return cls(name)

    def _check_range(self, text: str, who: str) -> None:
        shape = OUTPUTS[self.name].shape
        assert self.start is not None and self.stop is not None
        if (
            self.stop <= self.start
            or (shape and self.stop > shape[0])
            or (self.column is not None and self.column >= shape[1])
        ):
            raise LikelihoodOptionError(f"{who}: the range in {text!r} is empty or off the grid")

    @property
    def size(self) -> int:
        """Number of elements."""
        return 1 if self.start is None or self.stop is None else self.stop - self.start

    def read(self, theory: Theory, who: str) -> Float[Array, " n"]:
        """The elements, shape (size,)."""
        value = read_output(theory, self.name, who)
        if self.start is None:
            return jnp.reshape(value, (1,))
        if value.ndim < 1 or value.shape[0] < (self.stop or 0):
            raise TheoryError(
                f"{who} needs {self.stop} elements of {self.name!r} and got shape {value.shape}"
            )
        part = value[self.start : self.stop]
        return part if self.column is None else part[:, self.column]


class Gaussian(GaussianLikelihood):
    """ln P = -1/2 (d - t)^T C^-1 (d - t) for chosen elements t of the theory."""

    data: Float[Array, " n"]
    whitener: Float[Array, "n n"]
    name: str = eqx.field(static=True)
    selections: tuple[Selection, ...] = eqx.field(static=True)
    hashes: tuple[tuple[str, str], ...] = eqx.field(static=True)
    cites: tuple[str, ...] = eqx.field(static=True, default=())
    simulated: bool = eqx.field(static=True, default=False)

    @classmethod
    def from_values(
        cls,
        mean: ArrayLike | Sequence[float] | str | Path,
        covariance: ArrayLike | Sequence[Any] | str | Path,
        outputs: Sequence[str] | str,
        name: str = "gaussian",
        cites: Sequence[str] = (),
    ) -> Gaussian:
        """From numbers, or from text files that `numpy.loadtxt` reads.

        Args:
            mean: the data, one number per element, in the unit of the output.
            covariance: a matrix, a vector of variances, or one variance.
            outputs: which elements, see `Selection`.
            name: its name in results, when a run has several.
            cites: BibTeX keys to cite.

        Raises LikelihoodOptionError, DataFormatError or PrecisionError.
        """
        require_float64(name)
        texts = [outputs] if isinstance(outputs, str) else list(outputs)
        if not texts:
            raise LikelihoodOptionError(f"{name}: outputs is empty; name at least one output")
        selections = tuple(Selection.parse(text, name) for text in texts)
        hashes: list[tuple[str, str]] = []
        vector = np.atleast_1d(_numbers(mean, "mean", name, hashes))
        matrix = _numbers(covariance, "covariance", name, hashes)
        n = sum(selection.size for selection in selections)
        if matrix.ndim < 2:
            matrix = np.diag(np.broadcast_to(matrix, (n,)) if matrix.size == 1 else matrix)
        if vector.shape != (n,) or matrix.shape != (n, n):
            raise LikelihoodOptionError(
                f"{name}: outputs have {n} elements, mean has shape {vector.shape}, covariance "
                f"{matrix.shape}; give {n} numbers and a {n}x{n} matrix (or {n} variances)"
            )
        check_finite(vector, "mean", name)
        return cls(
            data=jnp.asarray(vector),
            whitener=jnp.asarray(whitening(matrix, name)),
            name=name,
            selections=selections,
            hashes=tuple(hashes),
            cites=tuple(cites),
        )

    @property
    def requires(self) -> Request:
        """What the chosen outputs need."""
        longest = max((s.stop or 0 for s in self.selections if s.name in SPECTRA), default=3)
        return Request.of((s.name for s in self.selections), max(longest - 1, 2))

    @property
    def nuisance(self) -> dict[str, NuisanceParameter]:
        """None."""
        return {}

    def model(self, theory: Theory) -> Float[Array, " n"]:
        """The chosen elements of the theory, one after another."""
        return jnp.concatenate([s.read(theory, self.name) for s in self.selections])

    def whitened_residual(self, theory: Theory, nuisance: Nuisance) -> Float[Array, " n"]:
        """W (d - t)."""
        return self.whitener @ (self.data - self.model(theory))

    def noise(self) -> dict[str, np.ndarray]:
        """Conditional errors of the chosen elements, infinite elsewhere."""
        sigma = conditional_sigma(np.asarray(self.whitener))
        spectrum = (self.requires.lmax + 1,)
        shapes = {s.name: OUTPUTS[s.name].shape for s in self.selections if s.name in OUTPUTS}
        shapes |= {name: spectrum for name in shapes if name in SPECTRA}
        zeros = {s.name: jnp.zeros(shapes.get(s.name, ())) for s in self.selections}
        jacobian = jax.jacrev(self.model)(zeros)
        noise = {}
        for name, zero in zeros.items():
            window = np.asarray(jacobian[name]).reshape(len(sigma), -1)
            noise[name] = noise_of_means(window, sigma).reshape(zero.shape)
        return noise

    def simulate(self, theory: Theory, nuisance: Nuisance, key: Array | None = None) -> Gaussian:
        """The same likelihood with data made from a theory, with noise when a key is given."""
        drawn = scattered(self.model(theory), self.whitener, key)
        return replace(self, data=drawn, simulated=True)


def _numbers(value: Any, what: str, who: str, hashes: list[tuple[str, str]]) -> np.ndarray:
    """An array from numbers or from a text file, whose hash is noted."""
    if isinstance(value, (str, Path)):
        path = Path(value).expanduser()
        if not path.is_file():
            raise LikelihoodOptionError(f"{who}: {what} names the file {path}, which is not there")
        hashes.append((f"{who}/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest()))
        value = path
    try:
        return np.loadtxt(value) if isinstance(value, Path) else np.asarray(value, dtype=float)
    except (ValueError, TypeError) as error:
        raise LikelihoodOptionError(
            f"{who}: {what} is not numeric ({error}); give numbers or the name of a text file"
        ) from error
