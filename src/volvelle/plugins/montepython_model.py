"""A model of MontePython as a black box, from the ``log.param`` that a run leaves in its folder.

MontePython: Audren et al. 2013, arXiv:1210.7183; Brinckmann & Lesgourgues 2019, arXiv:1804.07261.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from volvelle.boltzmann import SolverError, load_classy
from volvelle.boltzmann.library import extension_of, file_sha256
from volvelle.inference import Prior, Uniform
from volvelle.inference.chain_files import LOG_PARAM
from volvelle.plugins.class_words import STAND_IN, VARIABLE
from volvelle.plugins.errors import ForeignError
from volvelle.plugins.theory import digest_of
from volvelle.training import REFERENCE_WIDTHS

ROOT = re.compile(r"^\s*data\.path\['root'\]\s*=\s*(['\"])(?P<root>.*)\1\s*$", re.MULTILINE)
VERSION = "VERSION"  # the file in MontePython's root that names its version
SELF = "volvelle_"  # begins the names of inputs and outputs of the stand-in for CLASS's own
BBN = "sBBN file"


@dataclass(frozen=True)
class MontePythonModel:
    """ln L and derived parameters of a ``log.param``, whose text is ``text``.

    The file is code that MontePython executes: load only what you trust. ``root`` is the folder of
    MontePython; ``environment``: variables that are set while it loads and computes;
    ``with_class``: the theory is CLASS itself, also where the run found Volvelle's stand-in for it.
    Parameters have MontePython's names and scales, as in its chains.
    """

    text: str
    root: str
    environment: tuple[tuple[str, str], ...] = ()
    with_class: bool = False

    @classmethod
    def load(cls, folder: Path, root: Path | None = None) -> MontePythonModel:
        """From the folder of a run; ``root`` where MontePython has moved since.

        Raises ForeignError without a ``log.param``, or where MontePython is not on this machine.
        """
        path = folder / LOG_PARAM
        if not path.exists():
            raise ForeignError(f"{folder} has no {LOG_PARAM}; give the folder of MontePython's run")
        text = path.read_text(errors="replace")
        found = ROOT.search(text)
        place = root or (Path(found["root"]) if found else None)
        if place is None or not (place / "montepython" / "initialise.py").exists():
            raise ForeignError(
                f"{path} was written by a MontePython in {place}, which is not there; give the "
                "folder that holds its montepython/ (--montepython)"
            )
        if found and root:
            text = text[: found.start("root")] + str(root) + text[found.end("root") :]
        return cls(text, str(place.resolve()))

    def with_environment(self, **variables: str) -> MontePythonModel:
        """The same, computed with these environment variables."""
        return replace(self, environment=tuple(sorted(variables.items())))

    def of_class(self) -> MontePythonModel:
        """The same, with CLASS itself as the theory."""
        return replace(self, with_class=True)

    @property
    def name(self) -> str:
        """For messages and results."""
        return "montepython"

    @property
    def cites(self) -> tuple[str, ...]:
        """MontePython's own papers."""
        return ("montepython_2013", "montepython_2019")

    def identity(self) -> dict[str, str]:
        """Its text, MontePython's version, its likelihoods' code and settings, the theory code's
        version, and what the environment changes; the likelihoods' data are not looked at."""
        version = Path(self.root) / VERSION
        return {
            "solver": self.name,
            "version": version.read_text().strip() if version.exists() else "unknown",
            "model": hashlib.sha256(self.text.encode()).hexdigest(),
            "environment": "; ".join(f"{name}={value}" for name, value in self.environment),
            "theory": self._theory(),
            "likelihoods": self._likelihoods(),
        }

    def _likelihoods(self) -> str:
        """Hash of all files in the folders of the likelihoods."""
        digest = hashlib.sha256()
        for name in self._loaded.data.experiments:
            folder = Path(self.root) / "montepython" / "likelihoods" / name
            for path in sorted(p for p in folder.glob("*") if p.suffix in (".py", ".data")):
                digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()

    def _theory(self) -> str:
        """Which code computes: a CLASS by its library, or an emulator by its hash."""
        module = self._loaded.classy
        if getattr(module, "STANDS_IN", False):
            variables = {**os.environ, **dict(self.environment)}
            emulator = self.cosmo_arguments.get(STAND_IN) or variables.get(VARIABLE, "")
            return f"emulator {digest_of(emulator)}"
        version = getattr(module, "__version__", "unknown")
        return f"classy {version} {file_sha256(extension_of(module))}"

    @property
    def _loaded(self) -> _Loaded:
        with _environment(self.environment):
            return _load(self)

    @property
    def sampled(self) -> tuple[str, ...]:
        """Names of the varying parameters, in the order of the chains' columns."""
        return tuple(self._loaded.data.get_mcmc_parameters(["varying"]))

    @property
    def derived(self) -> tuple[str, ...]:
        """Names of the derived parameters, without what an emulator says of itself."""
        names = self._loaded.data.get_mcmc_parameters(["derived"])
        return tuple(name for name in names if not name.startswith(SELF))

    def evaluate(self, parameters: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """ln L and the derived parameters, as MontePython would write them into a chain.

        Raises SolverError where MontePython rejects the point, ForeignError for anything else that
        goes wrong, which says nothing of the point.
        """
        loaded = self._loaded
        data = loaded.data
        for name in self.sampled:
            data.mcmc_parameters[name]["current"] = float(parameters[name])
        data.update_cosmo_arguments()
        data.need_cosmo_update = True
        for likelihood in data.lkl.values():
            likelihood.need_update = True
        said = io.StringIO()
        try:
            with (
                _environment(self.environment),
                _classy_of(self),
                contextlib.redirect_stderr(said),
            ):
                value = float(loaded.compute_lkl(loaded.cosmo, data))
        except Exception as error:  # its likelihoods are anybody's code
            words = " ".join(str(error).split())
            raise ForeignError(f"MontePython: {type(error).__name__}: {words}") from error
        if value <= data.boundary_loglike:
            words = " ".join(said.getvalue().split())
            raise SolverError(f"MontePython has no likelihood there: {words or 'no reason given'}")
        return value, {name: float(data.mcmc_parameters[name]["current"]) for name in self.derived}

    @property
    def cosmo_arguments(self) -> dict[str, Any]:
        """What MontePython gives to its theory code besides the parameters."""
        return dict(self._loaded.data.cosmo_arguments)

    def priors(self) -> tuple[Prior, ...]:
        """Uniform ones between the edges that the file gives.

        Raises ForeignError for a parameter without an edge, or with another prior.
        """
        return tuple(self._prior(name) for name in self.sampled)

    def _prior(self, name: str) -> Prior:
        parameter = self._loaded.data.mcmc_parameters[name]
        low, high = parameter["initial"][1:3]
        kind = parameter["prior"].prior_type
        if low is None or high is None or kind != "flat":
            raise ForeignError(
                f"{LOG_PARAM} gives {name} a {kind} prior from {low} to {high}; expected a flat "
                "one with both edges: [value, min, max, step, scale, role]"
            )
        return Uniform(float(low), float(high))

    def reference(self) -> tuple[tuple[float, float], ...]:
        """Value and half width of each sampled parameter's first box."""
        found = (self._loaded.data.mcmc_parameters[name]["initial"] for name in self.sampled)
        return tuple((float(each[0]), REFERENCE_WIDTHS * float(each[3])) for each in found)


@dataclass(frozen=True)
class _Loaded:
    """MontePython's own objects."""

    cosmo: Any
    data: Any
    compute_lkl: Any
    classy: Any


@lru_cache(maxsize=4)
def _load(model: MontePythonModel) -> _Loaded:
    """What MontePython makes of a log.param: its ``initialise``, in a folder of our own."""
    root = model.root
    folder = Path(tempfile.mkdtemp(prefix="volvelle-montepython-"))
    said = io.StringIO()
    place = str(Path(root) / "montepython")
    try:
        (folder / LOG_PARAM).write_text(model.text)
        sys.path.insert(0, place)
        with contextlib.redirect_stdout(said), _classy_of(model):
            initialise = importlib.import_module("initialise").initialise
            classy = importlib.import_module("classy")
            cosmo, data, _, _ = initialise(f"run -o {folder} -N 1 --silent")
        if model.with_class:
            data.cosmo_arguments = _for_class(data.cosmo_arguments)
        return _Loaded(cosmo, data, importlib.import_module("sampler").compute_lkl, classy)
    except (Exception, SystemExit) as error:  # its own classes, and those of its likelihoods
        words = " ".join(f"{said.getvalue()} {error}".split())
        raise ForeignError(
            f"MontePython in {root} cannot load the run again: {type(error).__name__}: {words}"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if place in sys.path:
            sys.path.remove(place)


def _for_class(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs without the stand-in's own, and without a table of BBN that its folder does not have
    (CLASS then takes the one that it comes with)."""
    kept = {name: value for name, value in arguments.items() if not name.startswith(SELF)}
    if not Path(str(kept.get(BBN, ""))).is_file():
        kept.pop(BBN, None)
    return kept


@contextlib.contextmanager
def _classy_of(model: MontePythonModel) -> Iterator[None]:
    """What MontePython is to find as ``classy``: CLASS, or Volvelle's stand-in as in the run."""
    named = STAND_IN in model.text or VARIABLE in {*os.environ, *dict(model.environment)}
    if not model.with_class and not named:
        yield
        return
    before = sys.modules.get("classy")
    stand_in = "volvelle.plugins.montepython"
    found = load_classy(None) if model.with_class else importlib.import_module(stand_in)
    sys.modules["classy"] = found
    try:
        yield
    finally:
        if before is None:
            del sys.modules["classy"]
        else:
            sys.modules["classy"] = before


@contextlib.contextmanager
def _environment(variables: tuple[tuple[str, str], ...]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name, _ in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
