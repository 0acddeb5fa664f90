"""An emulator as one ``.npz`` file of plain arrays, which NumPy alone can evaluate.

Every part of an emulator is written as a few kinds of steps on a vector, in version ``VERSION`` of
a format that docs/emulator-files.md describes together with a reader of thirty lines. Bases are
multiplied out, so that the reader need not know them. All steps begin at the vector of parameters
[x, p, ln x], where p are the parameters with the angular scale and masses in their places.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volvelle.boltzmann import OUTPUTS
from volvelle.emulator.amplitude import A_S_PIVOT, Amplitude
from volvelle.emulator.basis import Basis
from volvelle.emulator.block import AMPLITUDE_POWER, Block, Output
from volvelle.emulator.domain import Domain
from volvelle.emulator.emulator import Emulator
from volvelle.emulator.errors import EmulatorError
from volvelle.emulator.features import Whitening
from volvelle.emulator.foreign import ForeignNetwork
from volvelle.emulator.nodes import Joined, Standardised
from volvelle.emulator.reionisation import STEPPED
from volvelle.emulator.scaling import Logarithm
from volvelle.learning import (
    AlsingActivation,
    GaussianProcess,
    Polynomial,
    Regressor,
    write_atomically,
)
from volvelle.learning.activation import FixedActivation
from volvelle.learning.network import Network, Perceptron
from volvelle.learning.polynomial import monomials

ACTIVATIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "tanh": ("tanh", (1.0, 1.0, 0.0)),
    "sigmoid": ("tanh", (0.5, 0.5, 0.5)),
    "silu": ("alsing", (1.0, 0.0)),
    "relu": ("bent", (0.0, 0.0)),
    "leaky_relu": ("bent", (0.01, 0.0)),
    "elu": ("bent", (0.0, 1.0)),
    "gelu": ("gelu", ()),
}
"""Activations as steps with numbers; those of tanh: factor before it, factor and shift after it."""
KIND = "volvelle emulator"
VERSION = 1
Steps = list[list[str]]


class _Writer:
    """Arrays under short names, each once."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def step(self, kind: str, *arrays: Any) -> list[str]:
        """A step of this kind with its arrays."""
        return [kind, *(self.name(array) for array in arrays)]

    def name(self, array: Any) -> str:
        """Under which an array is stored."""
        name = f"a{len(self.arrays)}"
        self.arrays[name] = np.asarray(array, dtype=float)
        return name


def export_emulator(
    emulator: Emulator, path: Path, outputs: Sequence[str] = (), record: Mapping[str, Any] = {}
) -> tuple[str, ...]:
    """Write an emulator for readers without Volvelle; returns the outputs that it holds.

    Args:
        path: the ``.npz`` file; outputs: those to write, all by default;
        record: of the emulator, of which solver and certificate go along.

    Raises:
        EmulatorError: an unknown output, one whose form has no place in the format (the
            ionisation history), a function of the user's, an amplitude defined by an expression.
    """
    unknown = [name for name in outputs if name not in emulator.outputs]
    if unknown:
        raise EmulatorError(
            f"{unknown[0]!r} was not learned; this emulator has {', '.join(emulator.outputs)}"
        )
    wanted = tuple(outputs) or emulator.outputs
    writer = _Writer()
    d = len(emulator.parameters)
    domain = emulator.domain
    lower, upper = np.asarray(domain.lower), np.asarray(domain.upper)
    width, middle = upper - lower, 0.5 * (upper + lower)
    matrix, constant = np.diag(2.0 / width), -2.0 * middle / width
    around = [[writer.step("affine", _rows(matrix, d, int(isinstance(domain, Domain))), constant)]]
    if isinstance(domain, Domain):
        first = _whiten(writer, domain.whitening, 1, 1.0 / float(domain.radius))
        around.append([first, *_power_of_squares(writer, d, 0.5)])
    physical = emulator.features.physical
    replaced: list[tuple[int, Steps]] = []
    if physical.angular_scale is not None:
        angular = physical.angular_scale
        steps = [_whiten(writer, angular.inputs, 0), *_regressor(writer, angular.regressor, d)]
        steps.append(writer.step("affine", [[angular.scale]], [angular.offset]))
        replaced.append((d + angular.index, steps))
    for i in physical.masses:
        pair = np.zeros((3 * d, 2))
        pair[i, 0] = 1.0
        both = writer.step("affine", pair, [0.0, physical.mass_scale])
        replaced.append((d + i, [both, *_power_of_squares(writer, 2, physical.mass_power)]))
    features = _whiten(writer, emulator.features.whitening, 1)
    constants, *factors = _logarithms(emulator.amplitude, d)
    scalings = np.concatenate([factors[0], np.zeros((2, d)), factors[1]], axis=1), constants
    parts = [
        {**part, "steps": [features, *part["steps"]]}
        for block in emulator.blocks
        for part in _parts(writer, block, d, wanted, scalings, record)
    ]
    content = {
        "kind": KIND,
        "version": VERSION,
        "parameters": list(emulator.parameters),
        "fixed": dict(emulator.fixed),
        "replaced": replaced,
        "parts": parts,
        "domain": around,
        "grids": {
            name: [writer.name(grid) for grid in _grids(name, emulator, record)] for name in wanted
        },
        "solver": record.get("solver"),
        "certificate": record.get("certificate"),
    }
    text = json.dumps(content, allow_nan=False)
    stream = io.BytesIO()
    arrays: dict[str, Any] = {"meta": np.array(text), **writer.arrays}
    np.savez_compressed(stream, **arrays)
    write_atomically(path, stream.getvalue())
    return tuple(name for name in emulator.outputs if name in wanted)


def _rows(matrix: np.ndarray, d: int, place: int) -> np.ndarray:
    """A matrix [d, m] on x (place 0) or p (1), as one on [x, p, ln x]."""
    full = np.zeros((3 * d, matrix.shape[1]))
    full[place * d : (place + 1) * d] = matrix
    return full


def _whiten(writer: _Writer, whitening: Whitening, place: int, factor: float = 1.0) -> list[str]:
    matrix = factor * np.asarray(whitening.matrix).T
    constant = -np.asarray(whitening.centre) @ matrix
    return writer.step("affine", _rows(matrix, len(whitening.centre), place), constant)


def _power_of_squares(writer: _Writer, n: int, power: float) -> Steps:
    """The sum of the squares of a vector [n], to a power: its norm for 1/2."""
    return [
        writer.step("monomials", 2.0 * np.eye(n)),
        writer.step("affine", np.ones((n, 1)), [0.0]),
        writer.step("monomials", [[power]]),
    ]


def _grids(name: str, emulator: Emulator, record: Mapping[str, Any]) -> tuple[np.ndarray, ...]:
    """Where an output's values are: those of the registry, or of the file that it came from."""
    if name in OUTPUTS:
        return OUTPUTS[name].grids
    size = next(o.shape for b in emulator.blocks for o in b.outputs if o.name == name)
    modes = record.get("modes")
    if record.get("imported") is None or not isinstance(modes, list) or size != (len(modes),):
        return ()
    if not all(type(v) is float for v in modes):
        raise EmulatorError(
            f"the record's modes of {name} are no numbers; import the network again"
        )
    return (np.array(modes, dtype=float),)


def _logarithms(amplitude: Amplitude, d: int) -> tuple[np.ndarray, ...]:
    """ln of the two known scalings: constants [2], and factors of x and of ln x [2, d]."""
    linear, of_log, constant = np.zeros((2, d)), np.zeros((2, d)), np.zeros(2)
    for term in amplitude.terms:
        if term not in amplitude.parameters:
            text = dict(amplitude.definitions).get(term)
            raise EmulatorError(
                f"{term} is defined by an expression ({text}), for which the exported format has "
                "no place; export an emulator that samples it"
            )
        i = amplitude.parameters.index(term)
        if term == "ln10A_s":
            linear[:, i] = 1.0
            constant -= np.log(1e10 * A_S_PIVOT)
        elif term == "A_s":
            of_log[:, i] = 1.0
            constant -= np.log(A_S_PIVOT)
        else:
            linear[0, i] = -2.0
    return constant, linear, of_log


def _regressor(writer: _Writer, regressor: Regressor, d: int) -> Steps:
    """Steps from features to coefficients; the last one is linear."""
    if isinstance(regressor, Polynomial):
        exponents = _exponents(d, regressor.degree)
        m = regressor.coefficients.shape[1]
        return [
            writer.step("monomials", exponents),
            writer.step("affine", regressor.coefficients, np.zeros(m)),
        ]
    if isinstance(regressor, GaussianProcess):
        m = regressor.beta.shape[0]
        step = writer.step(
            "process",
            _exponents(d, regressor.degree),
            regressor.beta,
            regressor.points,
            -0.5 * np.exp(-2.0 * np.asarray(regressor.log_length)),
            regressor.weights,
        )
        return [step, writer.step("affine", np.eye(m), np.zeros(m))]
    if isinstance(regressor, (Network, ForeignNetwork)) and isinstance(
        regressor.perceptron, Perceptron
    ):
        inverse = 1.0 / np.asarray(regressor.scale)
        standardise = np.diag(inverse), -np.asarray(regressor.centre) * inverse
        return [writer.step("affine", *standardise), *_layers(writer, regressor.perceptron)]
    raise EmulatorError(
        "a network of the user's own architecture cannot be exported: its code is not part of the "
        "emulator; export one with the perceptron"
    )


def _layers(writer: _Writer, perceptron: Perceptron) -> Iterator[list[str]]:
    """Steps of layers and activations; what an activation does linearly goes into the layers."""
    shift, factor = 0.0, 1.0
    for layer, activation in zip(perceptron.layers, (*perceptron.activations, None), strict=True):
        weight, bias = np.asarray(layer.weight, float), np.asarray(layer.bias, float)
        bias, weight = bias + shift * np.sum(weight, axis=0), factor * weight
        kind, arrays, before, factor, shift = _activation(activation)
        yield writer.step("affine", before * weight, before * bias)
        if kind:
            yield writer.step(kind, *arrays)


def _activation(activation: Any) -> tuple[str, tuple[Any, ...], float, float, float]:
    """Kind and arrays of a step, the factor before it, and factor and shift after it."""
    if activation is None:
        return "", (), 1.0, 1.0, 0.0
    if isinstance(activation, AlsingActivation):
        return "alsing", (activation.beta, activation.gamma), 1.0, 1.0, 0.0
    if not isinstance(activation, FixedActivation):
        raise EmulatorError(
            "an activation of the user's own cannot be exported: its code is not part of the "
            "emulator; export one with a named activation"
        )
    kind, numbers = ACTIVATIONS[activation.name]
    if kind != "tanh":
        return kind, numbers, 1.0, 1.0, 0.0
    before, factor, shift = numbers
    return kind, (), before, factor, shift


def _exponents(d: int, degree: int) -> np.ndarray:
    """Of every monomial [p, d]."""
    return np.array([np.bincount(term, minlength=d) for term in monomials(d, degree)], dtype=float)


def _pieces(basis: Basis) -> list[tuple[int, Basis]]:
    """Bases side by side, with their numbers of coefficients."""
    if isinstance(basis, Joined):
        return list(zip(basis.sizes, basis.bases, strict=True))
    return [(basis.shape[0], basis)]


def _parts(
    writer: _Writer,
    block: Block,
    d: int,
    wanted: Sequence[str],
    scalings: tuple[np.ndarray, np.ndarray],
    record: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """A block as programs, each from features to outputs that stand side by side."""
    if not any(output.name in wanted for output in block.outputs):
        return
    *body, last = _regressor(writer, block.regressor, d)
    matrix, offset = (writer.arrays.pop(name) for name in last[1:])
    waiting = list(block.outputs)
    start = 0
    for m, basis in _pieces(block.basis):
        columns = slice(start, start + m)
        start += m
        outputs, size = [], 0
        while size < basis.shape[1]:
            outputs.append(waiting.pop(0))
            size += outputs[-1].size
        if size > basis.shape[1]:
            raise EmulatorError(f"{outputs[-1].name} stands in two bases and cannot be exported")
        if any(output.name in wanted for output in outputs):
            steps = _decode(writer, basis, matrix[:, columns], offset[columns])
            kept = np.repeat([o.name in wanted for o in outputs], [o.size for o in outputs])
            for name in steps[-1][1:]:
                writer.arrays[name] = writer.arrays[name][..., kept]
            chosen, at = [], 0
            for output in outputs:
                if output.name in wanted:
                    written = _output(writer, output, scalings, record)
                    chosen.append({**written, "slice": [at, at + output.size]})
                    at += output.size
            yield {"steps": [*body, *steps], "outputs": chosen}


def _decode(writer: _Writer, basis: Basis, matrix: np.ndarray, offset: np.ndarray) -> Steps:
    """Steps from where coefficients are ``v @ matrix + offset`` to the basis's vector."""
    if isinstance(basis, Standardised):
        scale = np.asarray(basis.scale)
        offset = np.asarray(basis.offset) + offset * scale
        return _decode(writer, basis.basis, matrix * scale, offset)
    if isinstance(basis, Logarithm):
        m = basis.shape[0]
        first = [writer.step("affine", matrix, offset), writer.step("exp", basis.shift)]
        return [*first, *_decode(writer, basis.basis, np.eye(m), np.zeros(m))]
    decode = jax.jit(jax.vmap(basis.decode))  # linear: what it does to rows is all there is to know
    zero = np.asarray(decode(jnp.zeros((1, len(offset)))))[0]
    rows = np.asarray(decode(jnp.asarray(matrix))) - zero
    constant = np.asarray(decode(jnp.asarray(offset)[None]))[0]
    return [writer.step("affine", rows, constant)]


def _output(
    writer: _Writer,
    output: Output,
    scalings: tuple[np.ndarray, np.ndarray],
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """How an output follows from its piece of the vector, and its factor from the parameters.

    ``scalings``: ln of the two known factors, as a matrix [2, 3 d] and a constant [2].
    """
    if output.transform in STEPPED:
        raise EmulatorError(
            f"{output.name} is learned with the step of reionisation taken out, for which the "
            "exported format has no place; choose the other outputs"
        )
    power = {"cmb": [1.0, 0.0], "potential": [0.0, 1.0]}.get(output.transform, [0.0, 0.0])
    steps: Steps = []
    if output.transform == "depth":
        steps = [writer.step("monomials", [[2.0 / 3.0]]), writer.step("affine", [[1.0]], [-1.0])]
    if output.transform in AMPLITUDE_POWER:
        power = [0.0, AMPLITUDE_POWER[output.transform]]
        steps = [writer.step("exp", 0.0)]
    return {
        "name": output.name,
        "unit": _unit(output.name, record),
        "shape": list(output.shape),
        "zeros": output.skip,
        "steps": steps,
        "factor": [
            writer.step("affine", (power @ scalings[0])[:, None], [power @ scalings[1]]),
            writer.step("exp", 0.0),
        ],
    }


def _unit(name: str, record: Mapping[str, Any]) -> str:
    """The registry's, or the one stated at the import."""
    units = record.get("units")
    own = units.get(name, "") if isinstance(units, dict) else ""
    return OUTPUTS[name].unit if name in OUTPUTS else str(own)
