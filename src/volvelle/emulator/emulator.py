"""The learned solver: parameters in, named spectra out, with its domain and its error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.compute import require_float64
from volvelle.emulator.amplitude import Amplitude
from volvelle.emulator.block import Block, scalings
from volvelle.emulator.domain import Box, Domain
from volvelle.emulator.errors import EmulatorError, OutsideDomainError
from volvelle.emulator.features import Features
from volvelle.learning import StorageError, load_model, save_model, storable
from volvelle.learning.checking import Validated, require


class Prediction(eqx.Module):
    """Outputs of one call with what is known of their error.

    ``delta_chi2``: expected Delta chi2 of the error, against the data the emulator was made for;
    ``distance``: from the centre of the domain in units of its boundary (above 1: extrapolation).
    """

    theory: dict[str, Array]
    delta_chi2: Float[Array, ""]
    distance: Float[Array, ""]

    @property
    def inside(self) -> bool:
        """Whether the parameters lie in the region that the training solutions cover."""
        return bool(self.distance <= 1.0)


@storable
class Emulator(Validated):
    """A surrogate of an exact solver over ``parameters``, all others fixed.

    ``emulator(x)`` is a pure differentiable function of the vector of parameters;
    ``emulator.predict(mapping)`` adds names, domain and error, and refuses what it cannot know.
    """

    features: Features
    amplitude: Amplitude
    blocks: tuple[Block, ...]
    domain: Domain | Box
    parameters: tuple[str, ...] = eqx.field(static=True)
    fixed: tuple[tuple[str, float], ...] = eqx.field(static=True)

    def __call__(self, x: Float[Array, " d"]) -> dict[str, Array]:
        """All outputs at the parameters ``x``, in the order of ``parameters``."""
        z = self.features(x)
        ln = scalings(self.amplitude, x)
        result: dict[str, Array] = {}
        for block in self.blocks:
            result.update(block.predict(z, ln))
        return result

    def delta_chi2(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """Expected Delta chi2 of the error at ``x``, summed over the blocks that the data see; NaN
        where there are none, and so nothing to measure it in."""
        z = self.features(x)
        terms = [block.delta_chi2(z) for block in self.blocks if block.in_data]
        return jnp.sum(jnp.stack(terms)) if terms else jnp.full((), jnp.nan)

    def distance(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """Distance from the centre of the domain in units of its boundary."""
        if isinstance(self.domain, Box):
            return self.domain.distance(x)
        return self.domain.distance(self.features.physical(x))

    def validate(self) -> None:
        names, d = self.parameters, len(self.parameters)
        every = [*names, *(name for name, _ in self.fixed)]
        require(d > 0 and len(set(every)) == len(every), f"parameters {every[:9]}: none or twice")
        require(self.features.whitening.centre.shape == (d,), f"features are not of {d} parameters")
        require(self.domain.lower.shape == (d,), f"the domain is not one of {d} parameters")
        known = self.amplitude.parameters
        require(known in ((), names), f"the amplitude is one of {known[:9]}")
        require(len(set(self.outputs)) == len(self.outputs) > 0, "an output stands there twice")
        for block in self.blocks:
            m = block.basis.shape[0]
            require(block.regressor.maps(d, m), f"a regressor does not map {d} features to {m}")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that were learned."""
        return tuple(output.name for block in self.blocks for output in block.outputs)

    def vector(self, parameters: Mapping[str, Any]) -> Float[Array, " d"]:
        """The vector of the named parameters; fixed ones may be given if they agree.

        Raises:
            EmulatorError: a parameter is missing, unknown, no single number, or differs from its
                fixed value.
        """
        require_float64("the emulator")
        fixed = dict(self.fixed)
        for name, value in parameters.items():
            if name in fixed or name in self.parameters:
                _check_number(name, value)
            if name in fixed and not np.isclose(float(value), fixed[name], rtol=1e-12, atol=0.0):
                raise EmulatorError(
                    f"{name} = {float(value):g} was given, but this emulator was trained at "
                    f"{name} = {fixed[name]:g}; train one that samples {name}"
                )
            if name not in fixed and name not in self.parameters:
                raise EmulatorError(
                    f"unknown parameter {name!r}; this emulator takes {', '.join(self.parameters)}"
                )
        missing = [name for name in self.parameters if name not in parameters]
        if missing:
            raise EmulatorError(
                f"missing {', '.join(missing)}; this emulator takes {', '.join(self.parameters)}"
            )
        return jnp.stack([jnp.asarray(parameters[name], dtype=float) for name in self.parameters])

    def predict(self, parameters: Mapping[str, Any], outside: str = "raise") -> Prediction:
        """Outputs at named parameters, with their expected error and the domain check.

        Args:
            outside: what to do out of the domain: 'raise', or 'flag' to return the prediction
                with ``distance`` above 1.

        Raises:
            OutsideDomainError: out of the domain, with ``outside='raise'``.
            EmulatorError: missing, unknown or contradicting parameters.
        """
        if outside not in ("raise", "flag"):
            raise EmulatorError(f"outside={outside!r}; expected 'raise' or 'flag'")
        x = self.vector(parameters)
        distance = self.distance(x)
        if outside == "raise" and not float(distance) <= 1.0:  # NaN is outside too
            values = dict(zip(self.parameters, np.asarray(x).tolist(), strict=True))
            if impossible := {n: v for n, v in values.items() if not np.isfinite(v)}:
                words = ", ".join(f"{name} = {value}" for name, value in impossible.items())
                raise OutsideDomainError(f"{words}; expected finite numbers")
            raise OutsideDomainError(
                f"the parameters lie at {float(distance):.2f} times the edge of the region that "
                "the training solutions cover; solve exactly, train there, or ask with "
                "outside='flag'"
            )
        return Prediction(self(x), self.delta_chi2(x), distance)

    def output(self, parameters: Mapping[str, Any], name: str) -> Array:
        """One output at named parameters; a spectrum that was never learned is an error."""
        if name not in self.outputs:
            raise EmulatorError(
                f"{name!r} was not learned; this emulator has {', '.join(self.outputs)}"
            )
        return self.predict(parameters).theory[name]

    def batch(self, x: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Some outputs at many points [n, d], in pieces that fit in memory."""

        def few(v: Array) -> dict[str, Array]:
            theory = self(v)
            return {name: theory[name] for name in names}

        function = jax.jit(jax.vmap(few))
        pieces = [
            {k: np.asarray(v) for k, v in function(jnp.asarray(part)).items()}
            for part in np.array_split(x, max(1, len(x) // 2000))
        ]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}

    def distances(self, x: np.ndarray) -> np.ndarray:
        """``distance`` at many points [n, d]."""
        return np.asarray(_distances(self, jnp.asarray(x)))

    def expected(self, x: np.ndarray) -> np.ndarray:
        """``delta_chi2`` at many points [n, d]."""
        return np.asarray(_expected(self, jnp.asarray(x)))

    def save(self, folder: str | Path, record: dict[str, Any]) -> None:
        """Write weights (safetensors), structure and ``record`` (JSON), hashed."""
        save_model(self, Path(folder), record)


def _check_number(name: str, value: Any) -> None:
    """Raise EmulatorError unless a value is one number, which JAX may trace."""
    try:
        number = np.shape(jnp.asarray(value, dtype=float)) == ()
    except (TypeError, ValueError):
        number = False
    if not number:
        raise EmulatorError(
            f"{name} = {value!r}; expected one number (for many points: Emulator.batch)"
        )


@eqx.filter_jit
def _expected(emulator: Emulator, x: Array) -> Array:
    return jax.lax.map(emulator.delta_chi2, x, batch_size=100)


@eqx.filter_jit
def _distances(emulator: Emulator, x: Array) -> Array:
    return jax.vmap(emulator.distance)(x)


def load_emulator(
    folder: str | Path, functions: Mapping[str, Callable[..., Any]] | None = None
) -> tuple[Emulator, dict[str, Any]]:
    """Read an emulator and its record (solver, training, certificate).

    Args:
        functions: by the names that the training's settings gave them, for a network with an
            activation or an architecture of the user's own: its code is not stored, and nothing
            that the folder names is imported.

    Raises:
        StorageError: missing or damaged files, or a function that is not given or another one.
        EmulatorError: another kind of model. PrecisionError: JAX computes in float32.
    """
    require_float64("an emulator")
    model, record = load_model(Path(folder), functions)
    if not isinstance(model, Emulator):
        raise EmulatorError(f"{folder} holds a {type(model).__name__}, not an emulator")
    leaves, structure = jax.tree.flatten(model)
    try:
        _try_out(structure, tuple((leaf.shape, leaf.dtype.name) for leaf in leaves))
    except StorageError as error:
        raise StorageError(f"{folder}: {error}") from error
    return model, record


@lru_cache(maxsize=32)
def _try_out(structure: Any, arrays: tuple[tuple[tuple[int, ...], str], ...]) -> None:
    """Raise StorageError unless an emulator of this structure gives what it declares.

    Nothing is computed: shapes and types are followed through.
    """
    shapes = [jax.ShapeDtypeStruct(shape, jnp.dtype(kind)) for shape, kind in arrays]
    model = jax.tree.unflatten(structure, shapes)
    wanted = {output.name: output.shape for block in model.blocks for output in block.outputs}
    wanted |= {"the error": (), "the distance": ()}

    def everything(emulator: Emulator, x: Array) -> dict[str, Array]:
        numbers = {"the error": emulator.delta_chi2(x), "the distance": emulator.distance(x)}
        return {**emulator(x), **numbers}

    try:
        x = jax.ShapeDtypeStruct((len(model.parameters),), jnp.dtype(float))
        found = jax.eval_shape(everything, model, x)
    except Exception as error:  # whatever a stored structure brings JAX to say
        words = " ".join(str(error).split())[:200]
        raise StorageError(
            f"the stored emulator cannot be evaluated ({type(error).__name__}: {words}); train "
            "again or ask its author"
        ) from error
    for name, shape in wanted.items():
        if found[name].shape != shape or not jnp.issubdtype(found[name].dtype, jnp.floating):
            raise StorageError(
                f"the stored emulator gives {found[name]} for {name}, not real numbers of shape "
                f"{shape}; train again or ask its author"
            )
