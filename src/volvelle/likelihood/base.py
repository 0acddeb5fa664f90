"""What every likelihood is: data in, log-probability of a theory out."""

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..boltzmann import Request
from ..compute import PrecisionError, require_float64
from .errors import NuisanceError, TheoryError

Theory = Mapping[str, Any]
Nuisance = Mapping[str, Any]


@dataclass(frozen=True)
class NuisanceParameter:
    """A parameter of the data rather than of the universe.

    ``prior`` is the default prior as a plain dict, ``{"dist": "norm", "loc": m, "scale": s}`` or
    ``{"min": a, "max": b}``; ``ref`` the value to start from; ``label`` its LaTeX name; ``of``
    marks what it is a property of, such as a sample of galaxies: where two likelihoods have a
    parameter of one name, prior and mark tell whether both mean the same. ``convention`` says what
    a value of it means, such as the redshift of an amplitude: of two of them no number is both.
    ``limits`` are values beyond which the likelihood knows no probability.
    """

    prior: Mapping[str, Any]
    ref: float
    label: str
    of: str = ""
    convention: str = ""
    limits: tuple[float, float] | None = None

    def same(self, other: "NuisanceParameter") -> bool:
        """Whether one number can stand for both."""
        return (dict(self.prior), self.ref, self.of) == (dict(other.prior), other.ref, other.of)


class Likelihood(eqx.Module):
    """The probability of a data vector given a theory, differentiable in the theory.

    A user's own likelihood derives from this class and gives every name below; see
    `external.load_external`.
    """

    name: eqx.AbstractVar[str]
    """Its name in results."""
    cites: eqx.AbstractVar[tuple[str, ...]]
    """BibTeX keys of the papers behind the data, for `volvelle.data.bibtex`."""
    simulated: eqx.AbstractVar[bool]
    """Whether the data vector was made from a theory."""

    @property
    @abstractmethod
    def requires(self) -> Request:
        """The theory outputs it reads."""

    @property
    def reads_cosmology(self) -> bool:
        """Whether it makes its prediction from the theory's ``cosmology``, which is then given to
        it beside a solver's outputs."""
        return False

    def lacks(self, outputs: Collection[str]) -> tuple[str, ...]:
        """Outputs that must be learned beside these, which take the place of its own theory."""
        return ()

    @property
    @abstractmethod
    def nuisance(self) -> dict[str, NuisanceParameter]:
        """Its nuisance parameters by name."""

    @property
    @abstractmethod
    def data_sha256(self) -> dict[str, str]:
        """Hashes of the data files, keyed ``SET/FILE``; empty when there are none."""

    @property
    @abstractmethod
    def max_log_prob(self) -> ArrayLike:
        """The largest value of `log_prob` over all predictions of the data; 0 for a Gaussian."""

    @abstractmethod
    def log_prob(self, theory: Theory, nuisance: Nuisance) -> Float[Array, ""]:
        """ln P(data | theory); for a Gaussian exactly -chi2/2, without the determinant.

        Args:
            theory: outputs by name, at least those of `requires`.
            nuisance: values of the nuisance parameters by name; names of others are ignored.

        Raises TheoryError, NuisanceError or PrecisionError.
        """

    @abstractmethod
    def noise(self) -> dict[str, np.ndarray]:
        """1-sigma noise of every element of every theory output it reads, in that output's unit.

        Infinite where the data say nothing. It is the metric in which surrogates are built: its
        sum over the elements of one datum reproduces the information of that datum for a
        displacement by equal multiples of the noise.
        """

    def chi2(self, theory: Theory, nuisance: Nuisance) -> Float[Array, ""]:
        """-2 (log_prob - max_log_prob); arguments as for `log_prob`."""
        return -2.0 * (self.log_prob(theory, nuisance) - self.max_log_prob)


class GaussianLikelihood(Likelihood):
    """ln P = -chi2/2 with chi2 = |W (d - t)|^2: what Gaussian data have in common."""

    hashes: eqx.AbstractVar[tuple[tuple[str, str], ...]]
    """Name and SHA-256 of every data file."""

    @abstractmethod
    def whitened_residual(self, theory: Theory, nuisance: Nuisance) -> Float[Array, " n"]:
        """W (d - t), independent unit normal numbers if the theory is true."""

    @property
    def max_log_prob(self) -> float:
        """0, as for every Gaussian."""
        return 0.0

    @property
    def data_sha256(self) -> dict[str, str]:
        """Hash of every data file."""
        return dict(self.hashes)

    def log_prob(self, theory: Theory, nuisance: Nuisance) -> Float[Array, ""]:
        """-chi2/2; see the class."""
        return -0.5 * jnp.sum(self.whitened_residual(theory, nuisance) ** 2)


def read_output(theory: Theory, name: str, who: str, size: int | None = None) -> Array:
    """A named output of the theory as float64; with ``size`` its first ``size`` elements.

    Raises TheoryError when it is absent or too short, PrecisionError when it is float32.
    """
    require_float64(who)
    if name not in theory:
        raise TheoryError(
            f"{who} needs the theory output {name!r} and got {', '.join(sorted(theory))}; "
            "ask the solver or emulator for all of its `requires`"
        )
    value = theory[name]
    if jnp.result_type(value) in (jnp.float32, jnp.float16, jnp.bfloat16):
        raise PrecisionError(
            f"{who} needs float64 and the theory output {name!r} is {jnp.result_type(value)}; "
            "compute the theory in double precision"
        )
    array = jnp.asarray(value, dtype=jnp.float64)
    if size is None:
        return array
    if array.ndim != 1 or array.shape[0] < size:
        raise TheoryError(
            f"{who} needs {size} elements of {name!r} and got shape {array.shape}; "
            f"ask for lmax >= {size - 1}, or for the standard grid"
        )
    return array[:size]


def read_nuisance(nuisance: Nuisance, name: str, who: str) -> Array:
    """The value of a nuisance parameter as float64.

    Raises NuisanceError when it is absent, PrecisionError when JAX computes in float32.
    """
    require_float64(who)
    if name not in nuisance:
        raise NuisanceError(
            f"{who} needs the nuisance parameter {name!r} and got "
            f"{', '.join(sorted(nuisance)) or 'none'}; add it to the parameters"
        )
    return jnp.asarray(nuisance[name], dtype=jnp.float64)
