"""CLASS against CAMB: lensed spectra and derived parameters, for eight universes.

Writes docs/validation/class_camb.md and class_camb.png. About two minutes on one core.
"""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from volvelle.boltzmann import SCALARS, CambSolver, ClassSolver, Request, local_rms
from volvelle.cosmology import Cosmology, planck18

LIMIT = 0.003
"""Largest difference allowed, in units of the local rms of the spectrum."""
JUDGED = ("lensed_tt", "lensed_te", "lensed_ee")
SHOWN = (*JUDGED, "lensed_bb", "phiphi")
FOLDER = Path(__file__).parents[1] / "docs" / "validation"


def universes() -> dict[str, Cosmology]:
    """The models compared, by the words of the table."""
    fiducial = planck18()
    return {
        "fiducial (one neutrino of 0.06 eV)": fiducial,
        "m_nu = 0.3 eV, degenerate": fiducial.replace(m_nu=0.3, neutrino_hierarchy="degenerate"),
        "m_nu = 0.06 eV, normal": fiducial.replace(neutrino_hierarchy="normal"),
        "m_nu = 0.11 eV, inverted": fiducial.replace(m_nu=0.11, neutrino_hierarchy="inverted"),
        "m_nu = 0": fiducial.replace(m_nu=0.0),
        "N_eff = 3.5": fiducial.replace(N_eff=3.5),
        "w0 = -0.9, wa = 0.1": fiducial.replace(w0=-0.9, wa=0.1),
        "Omega_k = 0.01": fiducial.replace(Omega_k=0.01),
    }


def differences(solution: dict, reference: dict) -> dict[str, np.ndarray]:
    """(CAMB - CLASS) / local rms of CLASS, from l = 2."""
    return {
        name: ((solution[name] - reference[name]) / local_rms(reference[name]))[2:]
        for name in SHOWN
    }


def main() -> None:
    """Solve, compare, write."""
    request = Request(spectra=SHOWN)
    spectra, scalars, curves = [], [], {}
    for words, cosmology in universes().items():
        reference = ClassSolver().solve(cosmology, request)
        solution = CambSolver().solve(cosmology, request)
        shared = CambSolver().solve(cosmology.replace(Y_he=reference["Y_he"]), request)
        curves[words] = differences(solution, reference)
        worst = differences(shared, reference)
        cells = []
        for name in JUDGED:
            own = np.abs(curves[words][name])
            same_helium = 100 * np.abs(worst[name]).max()
            cells.append(f"{100 * own.max():.2f} (l={own.argmax() + 2}) / {same_helium:.2f}")
        high = np.abs(curves[words]["phiphi"][100:2000]).max()
        spectra.append(f"| {words} | {' | '.join(cells)} | {100 * high:.2f} |")
        ratios = [f"{solution[name] / reference[name] - 1.0:+.1e}" for name in SCALARS]
        distance = "transverse_comoving_distance"
        grids = [
            f"{np.max(np.abs(solution[key][1:] / reference[key][1:] - 1.0)):.1e}"
            for key in ("hubble", distance)
        ]
        scalars.append(f"| {words} | {' | '.join(ratios + grids)} |")
        print(spectra[-1], flush=True)
        print(scalars[-1], flush=True)
    (FOLDER / "class_camb.md").write_text(page(spectra, scalars, curves))
    draw(curves)


def page(spectra: list[str], scalars: list[str], curves: dict) -> str:
    """The page, with its verdict."""
    passed = all(np.abs(c[name]).max() <= LIMIT for c in curves.values() for name in JUDGED)
    versions = [
        f"{name} {solver.identity()['version']}"
        for name, solver in (("CLASS", ClassSolver()), ("CAMB", CambSolver()))
    ]
    header = f"| | {' | '.join(SCALARS)} | H(z) | D_M(z) |"
    return "\n".join(
        [
            "# CLASS against CAMB",
            "",
            f"{versions[0]} and {versions[1]}, as the solvers set them. Made by "
            "`validation/class_camb.py`. "
            + ("All within" if passed else "**NOT all within**")
            + f" {100 * LIMIT:.1f}% of the local rms (docs/conventions.md).",
            "",
            "Largest difference of the lensed spectra, l = 2 to 2508, in percent of the local rms: "
            "each code with its own helium table / both with the helium fraction of CLASS. phiphi: "
            "l = 102 to 2001.",
            "",
            "| | TT | TE | EE | phiphi |",
            "|---|---|---|---|---|",
            *spectra,
            "",
            "Derived parameters, CAMB/CLASS - 1; background: largest over the grid.",
            "",
            header,
            "|---" * (len(SCALARS) + 3) + "|",
            *scalars,
            "",
            "![differences](class_camb.png)",
            "",
        ]
    )


def draw(curves: dict[str, dict[str, np.ndarray]]) -> None:
    """Differences against l, one panel per spectrum."""
    figure, axes = plt.subplots(len(JUDGED), 1, figsize=(8, 8), sharex=True)
    for axis, name in zip(axes, JUDGED, strict=True):
        for words, curve in curves.items():
            axis.semilogx(
                np.arange(2, 2 + len(curve[name])), 100 * curve[name], lw=0.7, label=words
            )
        axis.axhspan(-100 * LIMIT, 100 * LIMIT, color="0.92", zorder=0)
        axis.set_ylabel(f"{name.split('_')[1].upper()}: (CAMB - CLASS) / rms [%]")
        axis.set_ylim(-0.6, 0.6)
    axes[0].legend(fontsize=7, ncol=2)
    axes[-1].set_xlabel("l")
    figure.tight_layout()
    figure.savefig(FOLDER / "class_camb.png", dpi=130)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    main()
