"""Networks that were trained elsewhere, as emulators: what their files do not say, the user says.

CosmoPower (Spurio Mancini et al. 2022, arXiv:2106.03846), as ``cosmopower_NN`` and
``cosmopower_PCAplusNN`` save them and as cosmopower_jax packages them; Capse.jl (Bonici et al.
2024, arXiv:2307.14339). Such an emulator knows its domain and nothing of its error: it has no
certificate until exact solutions have checked it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.boltzmann import OUTPUTS, OutputInfo
from volvelle.emulator.amplitude import A_S_PIVOT, Amplitude
from volvelle.emulator.basis import Basis, PrincipalComponents
from volvelle.emulator.block import Block, Output
from volvelle.emulator.domain import box_of
from volvelle.emulator.emulator import Emulator
from volvelle.emulator.errors import EmulatorError
from volvelle.emulator.features import Features, Physical, Whitening
from volvelle.emulator.nodes import Standardised
from volvelle.learning import Regressor, storable
from volvelle.learning.checking import require
from volvelle.learning.network import Perceptron

UNITS = {"muK^2": 1.0, "K^2": 1e12, "T_CMB^2": 2.7255e6**2, "1": 1.0}
"""Of spectra, in ours."""
QUANTITIES = {"C_l": 0, "D_l": 1, "D_l_phi": 2}
"""Power of l (l + 1) in it; over 2 pi where there is one."""
SCALINGS = ("none", "exp(ln10A_s - 3)")
"""By which a network's values are multiplied; the second: as the published Capse networks."""


@storable
class ForeignNetwork(Regressor):
    """A perceptron between shifted and scaled parameters and the values it was trained on.

    It computes in the precision of its inputs. Nothing is known of its error: the variance is NaN.
    """

    centre: Float[Array, " d"]
    scale: Float[Array, " d"]
    perceptron: Perceptron

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        return self.perceptron((x - self.centre) / self.scale).astype(x.dtype)

    def variance(self, x: Float[Array, " d"]) -> Float[Array, " m"]:
        return jnp.full(self.perceptron.layers[-1].bias.shape, jnp.nan)

    def maps(self, inputs: int, outputs: int) -> bool:
        return self.centre.shape == (inputs,) and self.perceptron.maps(inputs, outputs)

    def validate(self) -> None:
        require(bool(jnp.all(self.scale != 0.0)), "a parameter has no scale")


@storable
class Elementwise(Basis):
    """y = offset + scale * s, as many values as coefficients."""

    offset: Float[Array, " m"]
    scale: Float[Array, " m"]

    def decode(self, s: Float[Array, " m"]) -> Float[Array, " k"]:
        return self.offset + self.scale * s

    @property
    def shape(self) -> tuple[int, int]:
        return self.offset.shape[0], self.offset.shape[0]


@dataclass(frozen=True)
class Foreign:
    """What a foreign file says.

    ``basis``: from the perceptron's output to the values; ``modes``: where these are [k];
    ``ranges``: of the training's parameters, where the file has them; ``hints``: else their mean
    and standard deviation.
    """

    layout: str
    parameters: tuple[str, ...]
    network: ForeignNetwork
    basis: Standardised | Elementwise
    modes: np.ndarray
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    hints: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """What the user says of a foreign network.

    Args:
        output: its name here; unit: a key of ``UNITS`` for a spectrum of ours, any text else;
        quantity: a key of ``QUANTITIES``; values: 'linear' or 'log10', what the network gives;
        scaling: one of ``SCALINGS``; rename: names of parameters, theirs to ours;
        ranges: of each parameter (ours), where it was trained; fixed: the other parameters' values.
    """

    output: str
    unit: str
    quantity: str = "C_l"
    values: str = "linear"
    scaling: str = "none"
    rename: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)


def import_network(foreign: Foreign, said: Statement) -> tuple[Emulator, dict[str, Any]]:
    """The emulator and its record; uncertified.

    Raises:
        EmulatorError: a statement that is unknown, missing, or contradicts the file.
    """
    _known("quantity", said.quantity, QUANTITIES)
    _known("values", said.values, ("linear", "log10"))
    _known("scaling", said.scaling, SCALINGS)
    names = _names(foreign, said)
    lower, upper = _ranges(foreign, said, names)
    shape, zeros, factor = _form(foreign, said)
    basis, transform = _basis(foreign.basis, np.log(factor), factor, said)
    if said.scaling != "none" and "ln10A_s" not in names:
        raise EmulatorError(
            f"scaling {said.scaling} needs ln10A_s among the parameters ({', '.join(names)}); name "
            "theirs with rename"
        )
    scaled = said.scaling != "none"
    amplitude = Amplitude(("ln10A_s",) if scaled else (), names if scaled else (), (), ())
    k, m = basis.shape[1], basis.shape[0]
    output = Output(said.output, shape, transform, zeros)
    if output.size != k:
        raise EmulatorError(f"{said.output} of shape {shape} and {k} values do not fit")
    whitening = Whitening(jnp.zeros(len(names)), jnp.eye(len(names)))
    block = Block((output,), basis, foreign.network, jnp.asarray(1.0), jnp.ones(m), False)
    fixed = tuple(sorted((name, float(value)) for name, value in said.fixed.items()))
    features = Features(Physical(None, ()), whitening)
    emulator = Emulator(features, amplitude, (block,), box_of(lower, upper), names, fixed)
    record = {
        "solver": None,
        "parameters": list(names),
        "fixed": dict(fixed),
        "points": [],
        "imported": {"layout": foreign.layout, "statement": asdict(said)},
        "units": {said.output: _unit(said)},
        "modes": foreign.modes.tolist(),
        "certificate": None,
    }
    return emulator, record


def _unit(said: Statement) -> str:
    return OUTPUTS[said.output].unit if said.output in OUTPUTS else said.unit


def _known(what: str, given: str, known: Any) -> None:
    if given not in known:
        raise EmulatorError(f"{what} is {given!r}; choose {', '.join(known)}")


def _names(foreign: Foreign, said: Statement) -> tuple[str, ...]:
    unknown = [name for name in said.rename if name not in foreign.parameters]
    if unknown:
        raise EmulatorError(
            f"rename speaks of {unknown[0]!r}; the network takes {', '.join(foreign.parameters)}"
        )
    names = tuple(said.rename.get(name, name) for name in foreign.parameters)
    both = set(names) & set(said.fixed)
    if len(set(names)) < len(names) or both:
        twice = ", ".join(both) or ", ".join(names)
        raise EmulatorError(f"a parameter stands there twice: {twice}; mend rename or fixed")
    return names


def _ranges(
    foreign: Foreign, said: Statement, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the box: the user's, else the file's."""
    theirs = dict(zip(names, foreign.parameters, strict=True))
    foreign_names = [name for name in said.ranges if name not in names]
    if foreign_names:
        raise EmulatorError(
            f"range speaks of {foreign_names[0]!r}; the parameters are {', '.join(names)}"
        )
    ends: list[tuple[float, float]] = []
    for name in names:
        given = said.ranges.get(name, foreign.ranges.get(theirs[name]))
        if given is None:
            hint = foreign.hints.get(theirs[name])
            words = ""
            if hint is not None:
                a, b = hint[0] - 3**0.5 * hint[1], hint[0] + 3**0.5 * hint[1]
                words = f"; if its training was uniform, it was from {a:.6g} to {b:.6g}"
            raise EmulatorError(
                f"the file does not say where {name} was trained{words}; give its range, as the "
                "network's author states it"
            )
        if not (np.isfinite(given[0]) and np.isfinite(given[1]) and given[0] < given[1]):
            raise EmulatorError(f"the range of {name} runs from {given[0]:g} to {given[1]:g}")
        ends.append((float(given[0]), float(given[1])))
    lower, upper = np.array(ends).T
    return lower, upper


def _form(foreign: Foreign, said: Statement) -> tuple[tuple[int, ...], int, np.ndarray]:
    """Shape and known zeros of the output, and factors from the network's values to ours [k]."""
    k = len(foreign.modes)
    if said.output not in OUTPUTS:
        if said.quantity != "C_l":
            raise EmulatorError(
                f"quantity {said.quantity} is for spectra of ours and {said.output!r} is none; "
                "leave it out"
            )
        return (k,), 0, np.ones(k)
    info = OUTPUTS[said.output]
    if info.kind != "spectrum":
        return _on_grid(info, foreign, said)
    _known("unit", said.unit, UNITS)
    if (said.output == "phiphi") != (said.unit == "1"):
        raise EmulatorError(
            f"{said.output} has unit {info.unit or '1'} here, which {said.unit!r} cannot become; "
            f"choose {'1' if said.output == 'phiphi' else 'muK^2, K^2 or T_CMB^2'}"
        )
    ell = np.asarray(foreign.modes, dtype=float)
    if not np.array_equal(ell, np.arange(2, k + 2)):
        raise EmulatorError(
            f"the network gives {k} multipoles from {ell[0]:g} to {ell[-1]:g}; {said.output} is a "
            "spectrum at every l from 2 on, and nothing is filled in; import it under another name"
        )
    power = QUANTITIES[said.quantity]
    factor = UNITS[said.unit] * (2.0 * np.pi if power else 1.0) / (ell * (ell + 1.0)) ** power
    return (k + 2,), 2, factor


def _on_grid(
    info: OutputInfo, foreign: Foreign, said: Statement
) -> tuple[tuple[int, ...], int, np.ndarray]:
    """An output that is no spectrum: only on our own grid, in our own unit."""
    fits = len(info.grids) == 1 and len(info.grids[0]) == len(foreign.modes)
    fits = fits and np.allclose(info.grids[0], foreign.modes, rtol=1e-6)
    scalar = not info.grids and len(foreign.modes) == 1
    if not (fits or scalar) or said.unit != info.unit or said.quantity != "C_l":
        raise EmulatorError(
            f"{info.name} is in {info.unit or 'no unit'} on a grid of {info.shape} here, which the "
            f"network's {len(foreign.modes)} values in {said.unit!r} are not; import it under "
            "another name"
        )
    return info.shape, 0, np.ones(len(foreign.modes))


def _basis(
    basis: Standardised | Elementwise, ln_factor: np.ndarray, factor: np.ndarray, said: Statement
) -> tuple[Basis, str]:
    """The basis in our units, and the transformation behind it."""
    if said.scaling != "none":
        # ours is A_s / A_s,pivot
        constant = np.log(1e10 * A_S_PIVOT) - 3.0
        ln_factor, factor = ln_factor + constant, factor * np.exp(constant)
    if said.values == "log10":
        if said.scaling != "none":
            raise EmulatorError("a scaling is for linear values; choose values: linear")
        return _affine(basis, np.full(len(factor), np.log(10.0)), ln_factor), "log"
    transform = "linear" if said.scaling == "none" else "potential"
    return _affine(basis, factor, np.zeros(len(factor))), transform


def _affine(
    basis: Standardised | Elementwise, factor: np.ndarray, constant: np.ndarray
) -> Standardised | Elementwise:
    """``basis`` times a factor, plus a constant, element by element."""
    if isinstance(basis, Elementwise):
        return Elementwise(basis.offset * factor + constant, basis.scale * factor)
    inner = basis.basis
    assert isinstance(inner, PrincipalComponents), "a foreign basis has no other"
    moved = PrincipalComponents(inner.mean * factor + constant, inner.components * factor)
    return Standardised(basis.offset, basis.scale, moved)
