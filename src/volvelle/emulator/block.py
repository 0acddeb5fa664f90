"""A block of outputs that share a transformation, a basis and a regressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.emulator.amplitude import Amplitude
from volvelle.emulator.basis import Basis
from volvelle.learning.regressor import Regressor
from volvelle.learning.storage import storable

TINY = 1e-300


def transform_of(name: str) -> str:
    """How an output is transformed before fitting: 'cmb', 'potential', 'log' or 'linear'."""
    if name.startswith(("lensed_", "unlensed_")):
        return "cmb"
    if name == "phiphi":
        return "potential"
    if name in ("hubble", "transverse_comoving_distance"):
        return "log"
    if name.startswith("matter_power"):
        return "log_amplitude"
    return "linear"


@storable
class Output(eqx.Module):
    """One named output within a block: its shape, its transformation, its known zeros.

    The first ``skip`` elements are zero by definition (l = 0, 1; the distance to z = 0).
    """

    name: str = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    transform: str = eqx.field(static=True)
    skip: int = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Number of values that are learned."""
        return int(np.prod(self.shape)) - self.skip

    def forward(self, value: np.ndarray, ln_scaling: tuple[float, float]) -> np.ndarray:
        """Values of one solution to the vector that is fitted."""
        y = np.asarray(value, dtype=float).reshape(-1)[self.skip :]
        if self.transform == "cmb":
            return y * np.exp(-ln_scaling[0])
        if self.transform == "potential":
            return y * np.exp(-ln_scaling[1])
        if self.transform == "log":
            return np.log(np.maximum(y, TINY))
        if self.transform == "log_amplitude":
            return np.log(np.maximum(y, TINY)) - ln_scaling[1]
        return y

    def forward_noise(
        self, noise: np.ndarray, value: np.ndarray, ln: tuple[float, float]
    ) -> np.ndarray:
        """Noise of the values to noise of the fitted vector, at a reference solution."""
        sigma = np.asarray(noise, dtype=float).reshape(-1)[self.skip :]
        if self.transform in ("log", "log_amplitude"):
            return sigma / np.abs(np.asarray(value, dtype=float).reshape(-1)[self.skip :])
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
        elif self.transform == "log":
            y = jnp.exp(y)
        elif self.transform == "log_amplitude":
            y = jnp.exp(y + ln_scaling[1])
        return jnp.concatenate([jnp.zeros(self.skip, y.dtype), y]).reshape(self.shape)


def output_of(name: str, value: np.ndarray) -> Output:
    """The description of an output from one of its values."""
    transform = transform_of(name)
    skip = 2 if transform in ("cmb", "potential") else int(name == "transverse_comoving_distance")
    return Output(name, tuple(np.shape(value)), transform, skip)


@storable
class Block(eqx.Module):
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
