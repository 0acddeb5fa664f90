"""A chain that Cobaya made, its model loaded again from the ``.updated.yaml`` beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from volvelle.inference import ChainFiles
from volvelle.inference.chain_files import UPDATED
from volvelle.plugins.certify_chain import ForeignChain, check_solver
from volvelle.plugins.cobaya_model import CobayaModel, import_cobaya
from volvelle.plugins.errors import ForeignError

THEORY = "volvelle.plugins.cobaya.VolvelleTheory"
PRIOR = "minuslogprior__0"  # of the product of the one-dimensional priors
POST = "minuslogpost"


def cobaya_chain(
    files: ChainFiles, exact: str | Mapping[str, Any], packages_path: str | None = None
) -> ForeignChain:
    """A chain with its model, and the same model with an exact theory.

    Args:
        exact: a solver's name, or another ``theory`` block; packages_path: of Cobaya.

    Raises ForeignError for a chain at a temperature, or a model that cannot be made again.
    """
    import_cobaya()
    from cobaya.yaml import yaml_load_file

    path = files.root.with_name(files.root.name + UPDATED)
    info = yaml_load_file(str(path))
    _refuse_temperature(info, str(path))
    emulated = CobayaModel.of(info, packages_path)
    theory = exact_theory(info.get("theory") or {}, exact) if isinstance(exact, str) else exact
    sampled = emulated.sampled
    return ForeignChain(
        files=files,
        sampled=sampled,
        derived=tuple(name for name in emulated.derived if name in files.names),
        log_like=files.column(PRIOR) - files.rows[:, 1],
        emulated=emulated,
        exact=emulated.with_theory(theory),
    )


def exact_theory(block: Mapping[str, Any], solver: str) -> dict[str, Any]:
    """A ``theory`` block with Volvelle's own theory in it, made to solve every point exactly.

    Args:
        solver: the exact solver that the user asks for.

    Raises ForeignError without Volvelle's theory, or for another solver than the training's.
    """
    result = {name: dict(options or {}) for name, options in block.items()}
    for name, options in result.items():
        if THEORY not in (name, options.get("class")):
            continue
        check_solver(options["emulator"], solver)
        options["always_exact"] = True
        return result
    raise ForeignError(
        f"the chain was not made with Volvelle's theory (its theory is {', '.join(block) or 'none'}"
        f"), so {solver} does not know which settings to solve with; give --with FILE.yaml, a file "
        "with the `theory` block that is to take the emulator's place"
    )


def _refuse_temperature(info: Mapping[str, Any], where: str) -> None:
    for name, options in (info.get("sampler") or {}).items():
        temperature = (options or {}).get("temperature") or 1
        if float(temperature) != 1.0:
            raise ForeignError(
                f"{where}: the chain was made by {name} at temperature {temperature}; expected a "
                "chain of the posterior itself (temperature 1)"
            )
