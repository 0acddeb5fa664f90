"""The block ``emulator``: how the surrogate is built, on what, and how good it has to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .blocks import Block, Count, FilePath, Positive, empty
from .designs import ADAPTIVE, AdaptiveDesign, DesignBlock
from .presets import PERCEPTRON, PRESETS, with_preset

DEFAULT_TOO = Field(validate_default=True)
"""An installed package may claim the name of a default."""


def _checked_activation(name: str) -> str:
    from ..learning import LearningError, check_activation

    try:
        check_activation(name)
    except LearningError as error:
        raise PydanticCustomError(
            "activation", "{words}", {"words": str(error).removeprefix("activation: ")}
        ) from error
    return name


def _checked_loss(name: str) -> str:
    from ..learning import LearningError, check_loss

    try:
        check_loss(name)
    except LearningError as error:
        raise PydanticCustomError(
            "loss", "{words}", {"words": str(error).removeprefix("loss: ")}
        ) from error
    return name


def _check_architecture(name: str, depth: int, width: int) -> None:
    from ..learning import LearningError, check_architecture

    try:
        check_architecture(name, depth, width)
    except LearningError as error:
        raise PydanticCustomError("architecture", "{words}", {"words": str(error)}) from error


def _checked_preset(name: str | None) -> str | None:
    if name is not None and name not in PRESETS:
        raise PydanticCustomError(
            "preset",
            "unknown preset {name}; known are {known}",
            {"name": repr(name), "known": ", ".join(sorted(PRESETS))},
        )
    return name


def _checked_folds(folds: int) -> int:
    if folds == 1:
        raise PydanticCustomError(
            "folds", "expected 0 (no cross-validation) or a whole number of at least 2, got 1"
        )
    return folds


class NetworkBlock(Block):
    """The paper's network, for ``kind: network``: its shape and its training."""

    architecture: str = PERCEPTRON
    """`perceptron`, or the user's function, which is handed depth and width: see below."""
    depth: Count = 6
    """Hidden layers."""
    width: Count = 512
    """Nodes in each."""
    epochs: Count = 300
    batch: Count = 32
    """Solutions per step of the optimiser."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Adam's at the start; it falls to zero along a cosine."""
    activation: Annotated[str, DEFAULT_TOO, AfterValidator(_checked_activation)] = "alsing"
    """One of `volvelle.learning.ACTIVATIONS`, or the user's: package.module:function,
    file.py:function, or the name of an entry point in volvelle.activations."""
    loss: Annotated[str, DEFAULT_TOO, AfterValidator(_checked_loss)] = "cosmic_variance"
    """One of `volvelle.learning.LOSSES`, or the weights of the user's own function, as above."""
    other_weight: Positive = 1.0
    """Factor on the weight of what is no multipole."""
    scaling: Literal["standardise", "min_max", "log", "double_log", "constant"] = "standardise"
    """Of the outputs; the inputs are always standardised."""
    held_out: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """Fraction of the solutions that decides when to stop."""
    patience: Count = 100
    """Epochs without a better held-out loss before stopping."""
    folds: Annotated[int, Field(ge=0), AfterValidator(_checked_folds)] = 4
    """Parts of the cross-validation; each is one more training. 0: none, not with ``adaptive``."""

    @model_validator(mode="after")
    def _architecture_works(self) -> NetworkBlock:
        if self.architecture != PERCEPTRON and "activation" in self.model_fields_set:
            raise PydanticCustomError(
                "architecture",
                "activation is {activation}, but the architecture {architecture} has its own; "
                "leave activation out, or choose architecture: perceptron",
                {"activation": self.activation, "architecture": self.architecture},
            )
        _check_architecture(self.architecture, self.depth, self.width)
        return self


def check_lmax(lmax: int, outputs: Sequence[str]) -> None:
    """Refuse an lmax beside outputs without a spectrum."""
    from ..boltzmann import is_spectrum  # brings JAX: only where it is needed

    if not any(map(is_spectrum, outputs)):
        raise PydanticCustomError(
            "lmax",
            "lmax is {lmax}, but outputs lists no spectrum that it could be of; add one, such "
            "as lensed_tt, or leave lmax out",
            {"lmax": lmax},
        )


class EmulatorBlock(Block):
    """How the surrogate is built and how good it has to be."""

    preset: Annotated[str | None, AfterValidator(_checked_preset)] = None
    """A name of `presets.PRESETS`: its keys hold where the file gives none."""
    kind: Literal["auto", "polynomial", "gaussian_process", "network"] = "auto"
    target: Literal["theory", "likelihood"] = "theory"
    """What is learned: what the likelihoods read, or ln L itself, of all sampled parameters."""
    design: DesignBlock = DesignBlock(adaptive=AdaptiveDesign())
    """Where the exact solutions are placed."""
    accuracy: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Largest shift of any parameter, two errors of the certificate included [sigma]."""
    max_training: Count = 500
    """Most exact solutions that the training may ask for."""
    initial: Count | None = None
    """Exact solutions of the space-filling start; chosen from the number of parameters if null."""
    batch: Count | None = None
    """Exact solutions per iteration; chosen from the number of parameters if null."""
    warm_start: list[FilePath] = Field(default_factory=list)
    """Output folders of earlier runs whose emulators are the first guess."""
    outputs: list[str] = Field(default_factory=list)
    """What is learned beside the outputs that the likelihoods read: names of `volvelle.OUTPUTS`,
    and derived numbers by the solver's own names."""
    lmax: Annotated[int, Field(ge=2)] = 2508
    """Largest multipole of the spectra among them; the likelihoods may need more."""
    width: Positive = 1.0
    """Half width of the adaptive design's box in units of each parameter's ref.scale."""
    network: Annotated[NetworkBlock | None, BeforeValidator(empty)] = None
    """Only with ``kind: network``."""

    @model_validator(mode="before")
    @classmethod
    def _take_preset(cls, given: Any) -> Any:
        return with_preset(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _network_is_used(self) -> EmulatorBlock:
        if "network" in self.model_fields_set and self.kind != "network":
            raise PydanticCustomError(
                "network",
                "network is given but kind is {kind}; set kind: network, or leave network out",
                {"kind": self.kind},
            )
        if self.kind == "network" and self.network is None:  # the defaults' names
            usual = NetworkBlock.model_construct()
            _checked_activation(usual.activation)
            _checked_loss(usual.loss)
            _check_architecture(usual.architecture, usual.depth, usual.width)
        return self

    @property
    def folds(self) -> int | None:
        """Of the network's cross-validation; None for another kind of surrogate."""
        if self.kind != "network":
            return None
        return (self.network or NetworkBlock.model_construct()).folds

    @model_validator(mode="after")
    def _outputs_are_learned(self) -> EmulatorBlock:
        if self.target == "theory" or not self.outputs:
            return self
        from ..boltzmann import OUTPUTS  # brings JAX: only where it is needed

        functions = [n for n in self.outputs if n in OUTPUTS and OUTPUTS[n].kind != "scalar"]
        if functions:
            raise PydanticCustomError(
                "target",
                "outputs lists {name}, but target: likelihood learns ln L and derived numbers "
                "only; leave {name} out, or choose target: theory",
                {"name": functions[0]},
            )
        return self

    @model_validator(mode="after")
    def _lmax_is_used(self) -> EmulatorBlock:
        if "lmax" in self.model_fields_set:
            check_lmax(self.lmax, self.outputs)
        return self

    @model_validator(mode="after")
    def _design_has_keys(self) -> EmulatorBlock:
        if self.design.name == ADAPTIVE:
            return self
        own = [key for key in ("initial", "batch", "width") if key in self.model_fields_set]
        own += ["warm_start"] * bool(self.warm_start)
        if own:
            raise PydanticCustomError(
                "design",
                "{key} belongs to the adaptive design and design is {name}; leave it out "
                "({name} has its numbers inside its own block), or choose adaptive",
                {"key": own[0], "name": self.design.name},
            )
        return self

    @model_validator(mode="after")
    def _start_fits(self) -> EmulatorBlock:
        start = {"initial": self.initial, **self.design.sizes()}
        key = "initial" if start["initial"] is not None else "points"
        number = start.get(key)
        if number is not None and number > self.max_training:
            raise PydanticCustomError(
                key,
                "{key} is {number}, more than max_training, which is {most}; lower the one or "
                "raise the other",
                {"key": key, "number": number, "most": self.max_training},
            )
        return self

    @model_validator(mode="after")
    def _adaptive_has_left_out_errors(self) -> EmulatorBlock:
        network = self.network
        if self.design.name == ADAPTIVE and network is not None and network.folds == 0:
            raise PydanticCustomError(
                "folds",
                "network.folds is 0 and the adaptive design is steered by left-out errors; give 2 "
                "or more, or choose another design",
            )
        return self
