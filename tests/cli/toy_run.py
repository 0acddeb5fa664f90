"""``volvelle`` with the toy solver in CAMB's place: a program that a test can kill.

``python toy_run.py SECONDS_PER_SOLUTION FAILS_ABOVE run FILE.yaml ...``
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from toy_solver import ToySolver

    from volvelle.cli import app, setup

    solver = ToySolver(seconds=float(sys.argv.pop(1)), fails_above=float(sys.argv.pop(1)))
    setup.get_solver = lambda name, **settings: solver
    app.main()
