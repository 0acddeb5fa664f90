"""The noise in whose units surrogates are built: the data's own, and a weak floor elsewhere.

The floor lets outputs that the present data do not see be learned too, for the next data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

FLOOR_COSMIC_VARIANCE = 3.0  # times the full-sky cosmic variance
FLOOR_RELATIVE = {
    "phiphi": 0.02,
    "hubble": 1e-3,
    "transverse_comoving_distance": 1e-3,
    "matter_power": 1e-2,
    "matter_power_nonlinear": 1e-2,
    "cb_power": 1e-2,
    "cb_power_nonlinear": 1e-2,
    "transfer_b": 5e-3,
    "transfer_cdm": 5e-3,
    "transfer_tot": 5e-3,
}
FLOOR_OTHER = 1e-3  # of scalars, growth, ionisation and visibility
VISIBLE = 0.01  # fraction of the visibility's maximum below which its error counts as absolute


def cosmic_variance(name: str, theory: Mapping[str, np.ndarray]) -> np.ndarray:
    """Full-sky sigma(C_l) of a CMB spectrum [muK^2]; the auto-spectra give that of TE."""
    kind, pair = name.split("_")
    spectrum = np.asarray(theory[name])
    ell = np.arange(len(spectrum))
    modes = np.sqrt(2.0 * ell + 1.0)
    auto = (f"{kind}_tt", f"{kind}_ee")
    if pair == "te" and all(a in theory for a in auto):
        tt, ee = (np.asarray(theory[a]) for a in auto)
        return np.sqrt(spectrum**2 + tt * ee) / modes
    return np.sqrt(2.0) * np.abs(spectrum) / modes


def floor(name: str, theory: Mapping[str, np.ndarray]) -> np.ndarray:
    """The weak noise given to an output that no data constrain."""
    value = np.abs(np.asarray(theory[name], dtype=float))
    if name.startswith(("lensed_", "unlensed_")):
        return FLOOR_COSMIC_VARIANCE * cosmic_variance(name, theory)
    if name == "visibility":
        value = value + VISIBLE * np.max(value)
    return FLOOR_RELATIVE.get(name, FLOOR_OTHER) * value


def combined_noise(
    names: Sequence[str],
    theory: Mapping[str, np.ndarray],
    noises: Sequence[Mapping[str, np.ndarray]],
) -> tuple[dict[str, np.ndarray], frozenset[str]]:
    """Noise of every output, and the outputs that some data constrain.

    Args:
        names: outputs; theory: a solution near the centre, for the floor;
        noises: of each likelihood, output to 1-sigma noise per element (inf: no information).
    """
    result: dict[str, np.ndarray] = {}
    seen: set[str] = set()
    for name in names:
        sigma = floor(name, theory)
        positive = sigma > 0
        precision = np.where(positive, 1.0 / np.where(positive, sigma, 1.0) ** 2, 0.0)
        for noise in noises:
            if name not in noise:
                continue
            own = np.asarray(noise[name], dtype=float)
            information = np.zeros_like(precision)
            information.flat[: own.size] = np.where(np.isfinite(own), 1.0 / own**2, 0.0).ravel()
            precision = precision + information
            seen.add(name)
        result[name] = np.where(precision > 0, 1.0 / np.sqrt(np.maximum(precision, 1e-300)), 1.0)
    return result, frozenset(seen)
