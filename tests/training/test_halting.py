"""When the iteration ends: two criteria, one patience."""

import numpy as np
import pytest

from volvelle.training import Halt, TrainingError
from volvelle.training.halting import r_minus_1


@pytest.mark.parametrize(
    ("halt", "distance", "fraction", "met"),
    [
        (Halt(), 0.009, 1.0, True),
        (Halt(), 0.011, 0.0, False),
        (Halt(), None, 0.0, False),
        (Halt(r_minus_1=None, new_points=0.1), 0.0, 0.2, False),
        (Halt(r_minus_1=None, new_points=0.1), 5.0, 0.05, True),
        (Halt(r_minus_1=None, new_points=0.1), 5.0, None, False),
        (Halt(new_points=0.1), 0.009, 0.5, True),
        (Halt(new_points=0.1), 0.5, 0.05, True),
        (Halt(new_points=0.1), 0.5, 0.5, False),
        (Halt(new_points=0.1, when="both"), 0.009, 0.5, False),
        (Halt(new_points=0.1, when="both"), 0.5, 0.05, False),
        (Halt(new_points=0.1, when="both"), 0.009, 0.05, True),
        (Halt(when="both"), 0.009, 0.5, True),
    ],
)
def test_criteria(halt: Halt, distance: float | None, fraction: float | None, met: bool):
    assert halt.met(distance, fraction) is met


def test_no_criterion_is_refused():
    with pytest.raises(TrainingError, match="neither r_minus_1 nor new_points; give a number"):
        Halt(r_minus_1=None)


def test_stalled_after_three_iterations_without_a_smaller_distance():
    halt = Halt(0.01)
    falling = [0.5, 0.3, 0.2, 0.1, 0.05, 0.02]
    assert not any(halt.stalled(falling[:n]) for n in range(len(falling) + 1))
    assert not halt.stalled([0.5, 0.1, 0.2, 0.3])
    assert halt.stalled([0.5, 0.1, 0.2, 0.3, 0.15])
    assert not halt.stalled([0.5, 0.1, 0.2, 0.3, 0.09])
    assert halt.stalled([0.1, 0.1, 0.1, 0.1]), "as small as before is not smaller"
    assert not halt.stalled([0.004, 0.006, 0.006, 0.006]), "met; another criterion may be awaited"
    assert not Halt(None, 0.1).stalled([0.1] * 9), "it is not asked to fall"


def test_r_minus_1():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5000, 3))
    assert abs(r_minus_1(a, b)) < 1e-3
    b[:, 2] += 1.0
    # means one sigma apart: their variance is 1/2
    assert r_minus_1(a, b) == pytest.approx(0.5, abs=0.04)
