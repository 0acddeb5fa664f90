"""A model of Cobaya as a black box: its likelihoods as a target, its chains to be certified.

Cobaya: Torrado & Lewis 2021, arXiv:2005.05290.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from volvelle.inference import LogUniform, Normal, Prior, Uniform
from volvelle.plugins.errors import ForeignError
from volvelle.training import REFERENCE_WIDTHS

BLOCKS = ("theory", "likelihood", "prior", "params", "packages_path")
"""The parts of an input file that decide the posterior."""
NOT_DERIVED = ("chi2", "minuslogprior", "volvelle_")
"""How names begin of parts of ln L, and of what an emulator says of itself."""


def import_cobaya() -> Any:
    """The package. Raises ForeignError that says how to install it."""
    try:
        import cobaya
    except ImportError as error:
        raise ForeignError(
            f"Cobaya cannot be imported ({error}); install it with `pip install 'volvelle[cobaya]'`"
        ) from error
    return cobaya


@dataclass(frozen=True)
class CobayaModel:
    """ln L and derived parameters of a model, from the text of its input (YAML).

    ln L is the sum of all likelihoods and of the priors in the ``prior`` block, which are no
    functions of one parameter. Several processes each make the model anew.
    """

    text: str

    @classmethod
    def of(cls, info: Mapping[str, Any], packages_path: str | None = None) -> CobayaModel:
        """From an input as Cobaya has it in memory.

        Raises ForeignError for a likelihood, prior or theory that is a Python object: another
        process cannot make it from text.
        """
        import_cobaya()
        from cobaya.yaml import yaml_dump

        kept = {name: info[name] for name in BLOCKS if info.get(name) is not None}
        if packages_path is not None:
            kept["packages_path"] = packages_path
        _refuse_objects(kept)
        return cls(yaml_dump(kept))

    @classmethod
    def load(cls, path: Path, packages_path: str | None = None) -> CobayaModel:
        """From an input file, or the ``.updated.yaml`` of a run."""
        import_cobaya()
        from cobaya.input import load_input
        from cobaya.log import LoggedError
        from cobaya.yaml import InputSyntaxError

        try:
            info: Any = load_input(str(path))
        except (LoggedError, InputSyntaxError, OSError, ValueError, TypeError) as error:
            # the last two for what is no text, and for a file that is no mapping
            raise ForeignError(f"{path} cannot be read by Cobaya: {error}") from error
        for block in ("likelihood", "params"):
            if not isinstance(info, Mapping) or not isinstance(info.get(block), Mapping):
                raise ForeignError(
                    f"{path} has no block {block}: with names in it; expected the input file of a "
                    "`cobaya-run`, with likelihood: and params:"
                )
        return cls.of(info, packages_path)

    @property
    def name(self) -> str:
        """For messages and results."""
        return "cobaya"

    @property
    def cites(self) -> tuple[str, ...]:
        """Cobaya's own paper."""
        return ("cobaya2021",)

    def identity(self) -> dict[str, str]:
        """Its input as Cobaya completes it, and the versions of Cobaya and of all components."""
        from cobaya.yaml import yaml_dump

        versions = self.model.get_versions()
        complete = self.model.info()
        decisive = {name: complete.get(name) for name in BLOCKS if name != "packages_path"}
        return {
            "solver": self.name,
            "version": import_cobaya().__version__,
            "model": hashlib.sha256(yaml_dump(decisive).encode()).hexdigest(),
            "components": json.dumps(versions, sort_keys=True, default=str),
        }

    @property
    def model(self) -> Any:
        """The ``cobaya.model.Model``, made once per process.

        Raises ForeignError with Cobaya's words where it cannot be made.
        """
        return _make(self.text)

    @property
    def info(self) -> dict[str, Any]:
        """The input as Cobaya reads it."""
        from cobaya.yaml import yaml_load

        return dict(yaml_load(self.text))

    @property
    def sampled(self) -> tuple[str, ...]:
        """Names of the sampled parameters, in Cobaya's order."""
        return tuple(self.model.parameterization.sampled_params())

    @property
    def derived(self) -> tuple[str, ...]:
        """Names of the derived parameters, without chi2 and priors."""
        names = self.model.parameterization.derived_params()
        return tuple(name for name in names if not name.startswith(NOT_DERIVED))

    def evaluate(self, parameters: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """ln L (-inf where Cobaya gives no probability) and derived parameters; see the class.

        Raises ForeignError, with Cobaya's words, for what stops a run of Cobaya's.
        """
        from cobaya.log import LoggedError

        model = self.model
        point = {name: float(parameters[name]) for name in self.sampled}
        try:
            inputs = model.parameterization.to_input(point)
            others = float(np.sum(model.prior.logps_external(inputs)))
            likes, derived = model.loglikes(point, as_dict=True, cached=False)
        except (LoggedError, ArithmeticError, ValueError) as error:
            raise ForeignError(f"Cobaya: {type(error).__name__}: {error}") from error
        value = float(sum(likes.values())) + others
        return value, {name: float(derived[name]) for name in self.derived}

    def priors(self) -> tuple[Prior, ...]:
        """Of the sampled parameters, one each.

        Raises ForeignError for a distribution that Volvelle does not have.
        """
        info = self.model.parameterization.sampled_params_info()
        return tuple(_prior(name, info[name]["prior"]) for name in self.sampled)

    def reference(self) -> tuple[tuple[float, float], ...]:
        """Value and half width of each sampled parameter's first box, from ``ref``, ``proposal``
        and ``prior``, in this order."""
        info = self.model.parameterization.sampled_params_info()
        made = zip(self.sampled, self.priors(), strict=True)
        return tuple(_reference(name, info[name], prior) for name, prior in made)

    def with_theory(self, theory: Mapping[str, Any]) -> CobayaModel:
        """The same likelihoods and parameters with another ``theory`` block."""
        return CobayaModel.of({**copy.deepcopy(self.info), "theory": dict(theory)})


@lru_cache(maxsize=4)
def _make(text: str) -> Any:
    import_cobaya()
    from cobaya.log import LoggedError
    from cobaya.model import get_model
    from cobaya.yaml import yaml_load

    try:
        level: Any = logging.getLogger().level  # which Cobaya would change
        info: Any = yaml_load(text)
        return get_model(info, debug=level, stop_at_error=False)
    except (LoggedError, ImportError, ValueError) as error:
        words = " ".join(str(error).split())
        raise ForeignError(
            f"Cobaya cannot make the model: {words}; see that `cobaya-run` accepts the file here, "
            "with the same packages_path"
        ) from error


def _refuse_objects(info: Any, where: str = "") -> None:
    """Raise ForeignError for what cannot be written as YAML."""
    if isinstance(info, Mapping):
        for key, value in info.items():
            _refuse_objects(value, f"{where}: {key}" if where else str(key))
    elif isinstance(info, (list, tuple)):
        for value in info:
            _refuse_objects(value, where)
    elif not isinstance(info, (str, int, float, np.generic, type(None))):
        raise ForeignError(
            f"{where} is a Python object ({type(info).__name__}), which a process of its own "
            "cannot make again; write it into a module and name it as text, such as "
            "'import_module(\"mine\").function'"
        )


def _prior(name: str, given: Any) -> Prior:
    settings = {"min": given[0], "max": given[1]} if isinstance(given, (list, tuple)) else given
    keys = set(settings) - {"dist"}
    kind = settings.get("dist", "uniform")
    if kind == "uniform" and keys <= {"min", "max"}:
        return Uniform(float(settings.get("min", 0.0)), float(settings.get("max", 1.0)))
    if kind == "uniform" and keys <= {"loc", "scale"}:
        low = float(settings.get("loc", 0.0))
        return Uniform(low, low + float(settings.get("scale", 1.0)))
    if kind == "norm" and keys <= {"loc", "scale"}:
        return Normal(float(settings.get("loc", 0.0)), float(settings.get("scale", 1.0)))
    if kind == "loguniform" and keys <= {"a", "b"}:
        return LogUniform(float(settings["a"]), float(settings["b"]))
    raise ForeignError(
        f"the prior of {name} is {dict(settings)}; expected uniform (min, max), norm (loc, scale) "
        "or loguniform (a, b); another one can stand in the file's `prior` block, beside a uniform"
    )


def _reference(name: str, info: Mapping[str, Any], prior: Prior) -> tuple[float, float]:
    ref = info.get("ref")
    value = scale = None
    if isinstance(ref, Mapping):
        value, scale = ref.get("loc"), ref.get("scale")
    elif isinstance(ref, (int, float)):
        value = ref
    if scale is None:
        scale = info.get("proposal")
    if value is None:
        value = _quantile(prior, 0.5)
    if scale is None:
        return float(value), (_quantile(prior, 0.841) - _quantile(prior, 0.159)) / 2.0
    return float(value), REFERENCE_WIDTHS * float(scale)


def _quantile(prior: Prior, p: float) -> float:
    return float(prior.quantile(jnp.asarray(p)))
