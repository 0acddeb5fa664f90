"""Figures 3 to 5 of Nygaard et al. 2022, by example 4, to docs/validation/network_study.md."""

import runpy
import sys

from common import PAGES, ROOT

if __name__ == "__main__":
    quick = "--quick" in sys.argv
    given = [argument for argument in sys.argv[1:] if argument != "--quick"]
    sizes = ["--start", "30", "--points", "40", "--epochs", "50"] if quick else []
    sys.argv = ["04_network_study.py", "--pages", str(PAGES), *sizes, *given]
    runpy.run_path(str(ROOT / "examples" / "04_network_study.py"), run_name="__main__")
