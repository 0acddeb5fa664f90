"""How to cite a run: the BibTeX of everything it used."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from .record import read_summary

PACKAGE = "volvelle.report"
ALWAYS = ("volvelle", "connect", "r_hat", "jax", "numpy", "scipy", "getdist", "matplotlib")
# What a run records in `cites` and `data` -> entries of references.bib. A key of references.bib
# stands for itself.
USED: dict[str, tuple[str, ...]] = {
    "class": ("class",),
    "classy": ("class",),
    "camb": ("camb", "camb_2012"),
    "hyrec": ("hyrec", "hyrec_2"),
    "halofit": ("halofit", "halofit_2012", "halofit_neutrinos"),
    "hmcode": ("hmcode_2016", "hmcode_2020"),
    "planck_2018_plik_lite": ("planck_2018_v", "prince_dunkley_2019"),
    "planck_2018_low_l": ("planck_2018_v", "prince_dunkley_2022"),
    "planck_2018_best_fit": ("planck_2018_vi",),
    "desi_dr2_bao": ("desi_dr2",),
    "desi_dr1_bao": ("desi_2024_vi",),
    "pantheon_binned": ("pantheon",),
    "nuts": ("nuts", "blackjax"),
    "hmc": ("hmc", "blackjax"),
    "metropolis": ("metropolis", "hastings"),
    "ensemble": ("goodman_weare", "emcee"),
    "mclmc": ("mclmc", "blackjax"),
    "adjusted_mclmc": ("mclmc", "blackjax"),
    "svi": ("svi", "numpyro", "psis", "psis_vi"),
    "neural_transport": ("neutra", "numpyro", "nuts", "blackjax"),
    "nested": ("nested_sampling", "nested_slices", "blackjax"),
    "laplace": ("psis", "psis_vi"),
    "network": ("equinox", "optax", "adam"),
    "emulator": ("equinox",),
    "pareto": ("psis",),
}
# A user's own data and code: theirs to cite.
NOTHING = {"gaussian", "external"}
# What each solver computes recombination with, when the run does not say.
RECOMBINATION = {"class": "hyrec", "classy": "hyrec", "camb": "recfast"}


def references() -> dict[str, str]:
    """The entries of the package's `references.bib` by key."""
    text = files(PACKAGE).joinpath("references.bib").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=@)", text.strip())
    return {re.match(r"@\w+\{([^,]+),", entry)[1]: entry.strip() for entry in entries}  # type: ignore[index]


def cited_keys(summary: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The keys of references.bib that a run used, and what it used that has no entry."""
    used = [_normal(word) for word in [*(summary.get("cites") or []), *(summary.get("data") or {})]]
    if not set(used) & {"hyrec", "recfast", "hyrec_2"}:
        used += [RECOMBINATION[word] for word in used if word in RECOMBINATION]
    if (summary.get("certificate") or {}).get("pareto_k") is not None:
        used.append("psis")
    known = references()
    keys: list[str] = list(ALWAYS)
    unknown: list[str] = []
    for word in used:
        found = USED.get(word) or ((word,) if word in known else ())
        keys += found
        if not found and word not in NOTHING:
            unknown.append(word)
    return list(dict.fromkeys(keys)), list(dict.fromkeys(unknown))


def cite(folder: Path) -> str:
    """The BibTeX of everything that the run in `folder` used.

    What has no entry in the package's references stands as a comment at the end.
    """
    summary = read_summary(Path(folder))
    keys, unknown = cited_keys(summary)
    entries = references()
    version = str((summary.get("versions") or {}).get("volvelle", "unknown"))
    blocks = [entries[key].replace("@VERSION@", version) for key in keys]
    blocks += [f"% '{word}' was used too; Volvelle knows no reference for it" for word in unknown]
    return "\n\n".join(blocks) + "\n"


def _normal(word: object) -> str:
    return str(word).strip().lower().replace("-", "_")
