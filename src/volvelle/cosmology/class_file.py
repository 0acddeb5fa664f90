"""Parameter files of CLASS: a name, an equals sign and a value per line."""

import os
from pathlib import Path
from typing import Any

from .conversions import from_class, to_class
from .cosmology import Cosmology
from .errors import ConversionError

_SETTINGS = {
    "output",
    "root",
    "overwrite_root",
    "headers",
    "format",
    "lensing",
    "gauge",
    "recombination",
    "reio_parametrization",
    "non linear",
    "non_linear",
    "P_k_max_h/Mpc",
    "P_k_max_1/Mpc",
    "z_pk",
    "z_max_pk",
    "k_output_values",
    "selection",
    "extra metric transfer functions",
}
_SETTINGS_BEGIN = ("l_max_", "write_", "write ", "selection_")
_SETTINGS_END = ("_verbose",)
_USUAL = {"ic": "ad", "modes": "s", "P_k_ini type": "analytic_Pk"}
"""Words that say what is so anyway; other values are another model."""


def write_class_ini(
    cosmology: Cosmology, path: str | os.PathLike[str], settings: dict[str, Any] | None = None
) -> None:
    """Write the input of CLASS (``to_class``) as a file that its executable reads.

    Args:
        settings: more lines, such as ``{"output": "tCl,lCl", "lensing": "yes"}``.

    Raises ConversionError as ``to_class``, and for settings that repeat a parameter.
    """
    parameters, more = to_class(cosmology), settings or {}
    twice = sorted(set(parameters) & set(more))
    if twice:
        raise ConversionError(f"{', '.join(twice)} of the settings follow from the cosmology")
    lines = [f"{name} = {value}" for name, value in {**parameters, **more}.items()]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_class_ini(path: str | os.PathLike[str]) -> Cosmology:
    """The cosmology of a parameter file of CLASS (``from_class``).

    Lines that say what is computed and written (``output``, ``l_max_scalars``, ``..._verbose``,
    ``recombination``) are no part of a cosmology and are left aside; numbers that are not known
    are kept in ``extra``.

    Raises ConversionError as ``from_class``, for a name that is given twice, and for words that
    are another model (isocurvature, tensors, reionisation other than by its depth).
    """
    given: dict[str, Any] = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        name, equals, value = (part.strip() for part in line.partition("#")[0].partition("="))
        if not equals or not value:
            continue
        if name in given:
            raise ConversionError(f"{name} stands twice in {path}; CLASS refuses that as well")
        given[name] = _number(value)
    for name, usual in _USUAL.items():
        if str(given.pop(name, usual)) != usual:
            raise ConversionError(f"{name} in {path} is not {usual}, which has no counterpart here")
    if str(given.get("reio_parametrization", "reio_camb")) != "reio_camb":
        raise ConversionError(
            f"reio_parametrization in {path} is {given['reio_parametrization']}; expected reio_camb"
        )
    return from_class({name: value for name, value in given.items() if not _is_setting(name)})


def _is_setting(name: str) -> bool:
    return name in _SETTINGS or name.startswith(_SETTINGS_BEGIN) or name.endswith(_SETTINGS_END)


def _number(value: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
