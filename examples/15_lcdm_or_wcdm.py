"""Lambda or not? The evidence of wCDM against LCDM by two independent methods.

    python examples/15_lcdm_or_wcdm.py

DESI DR2 BAO and Union3 supernovae, with omega_b from nucleosynthesis. Both models are run with
nested sampling and with NUTS, whose chains give ln Z by bridge sampling; each is corrected by the
mean weight of fresh exact solutions. ln B > 0 favours w0 as a parameter: how much depends on its
prior, here flat from -2 to -1/3, and doubling that width costs ln 2. Everything is kept in the
folder of the output, and the command continues there. Minutes on two cores, most of them CLASS's.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import volvelle
from volvelle.inference import Evidence

PARAMS: dict[str, Any] = {
    "omega_b": {
        "prior": {"dist": "norm", "loc": 0.02218, "scale": 0.00055},
        "ref": {"loc": 0.02218, "scale": 0.00055},
    },
    "omega_cdm": {"prior": {"min": 0.05, "max": 0.25}, "ref": {"loc": 0.12, "scale": 0.008}},
    "h": {"prior": {"min": 0.5, "max": 0.9}, "ref": {"loc": 0.68, "scale": 0.012}},
    "n_s": 0.965,
    "ln10A_s": 3.045,
    "tau_reio": 0.055,
    "m_nu": 0.06,
}
W0 = {"prior": {"min": -2.0, "max": -0.3333}, "ref": {"loc": -0.95, "scale": 0.06}}
MODELS: dict[str, dict[str, Any]] = {"LCDM": PARAMS, "wCDM": {**PARAMS, "w0": W0}}
WAYS: dict[str, dict[str, Any]] = {
    "nested": {"nested": {"live": 1000}},
    "nuts": {"nuts": {"chains": 4, "draws": 4000}, "evidence": True},
}


def evidence(model: str, way: str, folder: Path) -> tuple[Evidence, bool]:
    """ln Z with exact solutions, and whether the run may be used."""
    content = {
        "output": str(folder / f"{model}-{way}"),
        "seed": 1,
        "theory": {"class": {}},
        "params": MODELS[model],
        "likelihood": ["desi_dr2_bao", "union3"],
        "sampler": WAYS[way],
        "emulator": {"accuracy": 0.03},
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{model}-{way}.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    good = volvelle.run(file) == 0
    found = json.loads((folder / f"{model}-{way}" / "summary.json").read_text())["diagnostics"]
    numbers = found["found"]
    value, error = (float(numbers[f"log_evidence_exact{end}"]) for end in ("", "_error"))
    return Evidence(value, error, way), good


def main() -> int:
    """Run what is missing, compare; 0 if the methods agree and every run is in order."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/lcdm-or-wcdm"))
    folder = parser.parse_args().output
    found, good = {}, True
    for model in MODELS:
        for way in WAYS:
            found[model, way], usable = evidence(model, way, folder)
            good = good and usable
    print(f"{'':6}" + "".join(f"{way:>18}" for way in WAYS))
    for model in MODELS:
        values = "".join(
            f"{found[model, way].log_z:10.3f} +- {found[model, way].error:.3f}" for way in WAYS
        )
        print(f"{model:6}{values}")
        agree = found[model, "nested"].agrees(found[model, "nuts"])
        good = good and agree
        print(f"{'':6}{'agree' if agree else 'DISAGREE'} within three errors")
    for way in WAYS:
        factor = found["wCDM", way].against(found["LCDM", way])
        odds = float(np.exp(factor.log_z))
        print(f"ln B by {way}: {factor.log_z:+.3f} +- {factor.error:.3f}, odds {odds:.2f} to 1")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
