"""Emulators of the toy universe as one version of Volvelle writes them, with what they give.

``python make.py FOLDER`` writes FOLDER/surrogates, FOLDER/network and FOLDER/masses. What is
committed here was written by a version that had the format which the folder is named for; it is
never made again, so that later versions are seen to open it.
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

LMAX = 12
NAMES = ("omega_cdm", "h", "ln10A_s")
HEAVY = ("omega_cdm", "h", "m_nu")  # the last is ln10A_s less 2.8, to the toy
CENTRE = np.array([0.12, 0.67, 3.045])
WIDTH = np.array([0.004, 0.01, 0.03])
POINTS = np.array([[0.0, 0.0, 0.0], [0.5, -0.3, 0.2], [-0.4, 0.6, -0.7]])


def solutions(n: int) -> tuple[np.ndarray, list[dict]]:
    """Points in a box and their solutions, TT and EE to a small l and two scalars."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import toy
    from volvelle.boltzmann import Request
    from volvelle.cosmology import Cosmology

    fixed = {"omega_b": 0.0224, "n_s": 0.965, "tau_reio": 0.054}
    x = CENTRE + WIDTH * np.random.default_rng(1).uniform(-1.0, 1.0, size=(n, 3))
    request = Request(spectra=("lensed_tt", "lensed_ee"), lmax=LMAX, background=False)
    theories = []
    for row in x:
        given = {**fixed, **dict(zip(NAMES, map(float, row), strict=True))}
        solved = toy.ToySolver().solve(Cosmology.from_parameters(given), request)
        kept = ("lensed_tt", "lensed_ee", "theta_star_100", "sigma8")
        theories.append({name: np.asarray(solved[name]) for name in kept})
    return x, theories


def main(folder: Path) -> None:
    """Train, store, and write what the stored ones give at ``POINTS``."""
    from volvelle.emulator import build_emulator, load_emulator
    from volvelle.learning import NetworkSettings

    x, theories = solutions(14)
    fixed = {"omega_b": 0.0224, "n_s": 0.965, "tau_reio": 0.054}
    noise = {key: 0.01 * value + 1e-6 for key, value in theories[0].items()}
    network = NetworkSettings(depth=2, width=4, epochs=200, folds=0)
    shift = np.array([0.0, 0.0, 2.8])
    cases = (
        ("surrogates", "auto", NAMES),
        ("network", "network", NAMES),
        ("masses", "auto", HEAVY),
    )
    for name, kind, names in cases:
        less = shift if names == HEAVY else np.zeros(3)
        emulator, report = build_emulator(
            names, fixed, x - less, theories, [noise], None, kind, network, folder / "checkpoints"
        )
        record = {
            "solver": {"solver": "toy", "version": "1", "settings": "{}"},
            "parameters": list(names),
            "fixed": fixed,
            "points": (x - less).tolist(),
            "surrogates": report.surrogates,
        }
        emulator.save(folder / name, record)
        again, _ = load_emulator(folder / name)
        expected = [
            {
                "parameters": dict(zip(names, row, strict=True)),
                "theory": {k: np.asarray(v).tolist() for k, v in again(jnp.asarray(row)).items()},
                "delta_chi2": float(again.expected(row[None])[0]),
                "distance": float(again.distances(row[None])[0]),
            }
            for row in CENTRE - less + WIDTH * POINTS
        ]
        (folder / name / "expected.json").write_text(json.dumps(expected, indent=1))
        print(name, report.surrogates)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(Path(sys.argv[1]))
