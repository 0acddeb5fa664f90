"""A block of outputs that share a transformation, a basis and a regressor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.boltzmann import HISTORY_Z, OUTPUTS, is_spectrum
from volvelle.emulator.amplitude import Amplitude
from volvelle.emulator.basis import Basis
from volvelle.emulator.errors import EmulatorError
from volvelle.emulator.reionisation import EXTRA, STEPPED
from volvelle.emulator.reionisation import noise as step_noise
from volvelle.learning.checking import Validated, require
from volvelle.learning.regressor import Regressor
from volvelle.learning.storage import storable

TINY = 1e-300


AMPLITUDE_POWER = {"log": 0.0, "log_amplitude": 1.0, "log_root_amplitude": 0.5}
"""Transformations to a logarithm, with the power of A_s that is taken out."""
MOST_SKIPPED = 10_000
"""Known zeros of a stored output: they take no room in a file, and much in memory."""
TRANSFORMS = ("linear", "cmb", "potential", "depth", *AMPLITUDE_POWER, *STEPPED)
WITHOUT_STEP = {"ionisation": "log", "visibility": "linear"}
"""What takes the place of a transformation that knows the step of reionisation."""


def transform_of(name: str, values: Sequence[np.ndarray]) -> str:
    """How an output is transformed before fitting, given its values in all solutions.

    'cmb' and 'potential' take the scaling with A_s and tau out; the logarithms of AMPLITUDE_POWER
    are for what is positive over decades; those of STEPPED see ``reionisation``; 'depth' learns a
    redshift as (1+z)^1.5, in which the optical depth to it is nearly linear. What does not suit the
    transformation of the registry gets the next simpler one, 'linear' in the end.
    """
    transform = OUTPUTS[name].transform if name in OUTPUTS else "linear"
    if transform in STEPPED and any(STEPPED[transform].split(value) is None for value in values):
        transform = WITHOUT_STEP[transform]
    if transform in AMPLITUDE_POWER:
        skip = known_zeros(name)
        if any(np.min(np.ravel(value)[skip:]) <= 0.0 for value in values):
            return "linear"
    return transform


def known_zeros(name: str) -> int:
    """How many first elements are zero by definition (l = 0, 1; the distance to z = 0)."""
    return 2 if is_spectrum(name) else int(name == "transverse_comoving_distance")


@storable
class Output(Validated):
    """One named output within a block: its shape, its transformation, its known zeros.

    The first ``skip`` elements are known zeros.
    """

    name: str = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    transform: str = eqx.field(static=True)
    skip: int = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Number of values that are learned."""
        extra = EXTRA if self.transform in STEPPED else 0
        return math.prod(self.shape) - self.skip + extra

    def validate(self) -> None:
        require(self.transform in TRANSFORMS, f"{self.name} has transformation {self.transform!r}")
        elements = math.prod(self.shape)
        require(
            all(n > 0 for n in self.shape) and 0 <= self.skip <= min(elements, MOST_SKIPPED),
            f"{self.name} has shape {self.shape} with {self.skip} known zeros",
        )
        if self.transform in STEPPED:
            fits = elements - self.skip == len(HISTORY_Z)
            require(fits, f"{self.name} is not on the {len(HISTORY_Z)} redshifts of its kind")

    def forward(self, value: np.ndarray, ln_scaling: tuple[float, float]) -> np.ndarray:
        """Values of one solution to the vector that is fitted."""
        y = np.asarray(value, dtype=float).reshape(-1)[self.skip :]
        if self.transform == "cmb":
            return y * np.exp(-ln_scaling[0])
        if self.transform == "potential":
            return y * np.exp(-ln_scaling[1])
        if self.transform in AMPLITUDE_POWER:
            power = AMPLITUDE_POWER[self.transform]
            return np.log(np.maximum(y, TINY)) - power * ln_scaling[1]
        if self.transform in STEPPED:
            history = STEPPED[self.transform].split(y)
            if history is None:
                raise EmulatorError(
                    f"{self.name} has no tanh step, unlike the solutions this was made from; "
                    "build the emulator from all solutions together"
                )
            return history
        if self.transform == "depth":
            return (1.0 + y) ** 1.5
        return y

    def forward_noise(
        self, noise: np.ndarray, value: np.ndarray, ln: tuple[float, float]
    ) -> np.ndarray:
        """Noise of the values to noise of the fitted vector, at a reference solution."""
        sigma = np.asarray(noise, dtype=float).reshape(-1)[self.skip :]
        size = np.abs(np.asarray(value, dtype=float).reshape(-1)[self.skip :])
        if self.transform in AMPLITUDE_POWER:
            return sigma / size
        if self.transform in STEPPED:
            return step_noise(self.transform, self.forward(value, ln), sigma)
        if self.transform == "depth":
            return sigma * 1.5 * np.sqrt(1.0 + size)
        scaling = {"cmb": ln[0], "potential": ln[1]}.get(self.transform, 0.0)
        return sigma * np.exp(-scaling)

    def inverse(
        self, y: Float[Array, " k"], ln_scaling: tuple[Float[Array, ""], Float[Array, ""]]
    ) -> Array:
        """The fitted vector back to values, in the output's own shape."""
        if self.transform == "cmb":
            y = y * jnp.exp(ln_scaling[0])
        elif self.transform == "potential":
            y = y * jnp.exp(ln_scaling[1])
        elif self.transform in AMPLITUDE_POWER:
            y = jnp.exp(y + AMPLITUDE_POWER[self.transform] * ln_scaling[1])
        elif self.transform in STEPPED:
            y = STEPPED[self.transform].join(y)
        elif self.transform == "depth":
            y = jnp.cbrt(y) ** 2 - 1.0
        return jnp.concatenate([jnp.zeros(self.skip, y.dtype), y]).reshape(self.shape)


def output_of(name: str, *values: np.ndarray) -> Output:
    """The description of an output from its values in all solutions."""
    shape = tuple(np.shape(values[0]))
    return Output(name, shape, transform_of(name, values), known_zeros(name))


@storable
class Block(Validated):
    """x -> features -> coefficients -> vector -> named outputs, with the error in chi2."""

    outputs: tuple[Output, ...]
    basis: Basis
    regressor: Regressor
    calibration: Float[Array, ""]  # mean square of left-out residuals over predicted variance
    weight: Float[Array, " m"]  # Delta chi2 of a unit error of each coefficient
    in_data: bool = eqx.field(static=True)

    def predict(self, z: Float[Array, " d"], ln: tuple[Array, Array]) -> dict[str, Array]:
        """Outputs at the features ``z``, given the logarithms of the known scalings."""
        return self.split(self.basis.decode(self.regressor(z)), ln)

    def split(self, vector: Float[Array, " k"], ln: tuple[Any, Any]) -> dict[str, Array]:
        """The named outputs of a fitted vector."""
        result: dict[str, Array] = {}
        start = 0
        for output in self.outputs:
            result[output.name] = output.inverse(vector[start : start + output.size], ln)
            start += output.size
        return result

    def delta_chi2(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        """Expected Delta chi2 of the prediction's error, in the noise the block was built with."""
        return self.calibration * jnp.sum(self.weight * self.regressor.variance(z))

    def validate(self) -> None:
        names = [output.name for output in self.outputs]
        require(len(set(names)) == len(names) > 0, f"outputs {names[:9]}: expected different ones")
        coefficients, values = self.basis.shape
        learned = sum(output.size for output in self.outputs)
        require(values == learned, f"its basis has {values} values for outputs of {learned}")
        require(self.weight.shape == (coefficients,), f"{coefficients} weights are due")


def scalings(
    amplitude: Amplitude, x: Float[Array, " d"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """ln of the known scaling of CMB spectra, and of the potential and the matter power."""
    return amplitude.ln_scaling(x, True), amplitude.ln_scaling(x, False)


def stack(
    outputs: Sequence[Output],
    theories: Sequence[dict[str, np.ndarray]],
    ln: Sequence[tuple[float, float]],
) -> np.ndarray:
    """The fitted vectors of many solutions, as an array [n, k]."""
    rows = [
        np.concatenate([o.forward(theory[o.name], scale) for o in outputs])
        for theory, scale in zip(theories, ln, strict=True)
    ]
    return np.array(rows)
