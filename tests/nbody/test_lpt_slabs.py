"""Initial conditions and displacement fields slab by slab: those of the memory, to rounding."""

from pathlib import Path

import numpy as np
import pytest

from volvelle.cosmology import planck18
from volvelle.nbody import (
    Ground,
    InitialConditionsError,
    Slabs,
    Tiling,
    course,
    gaussian,
    lagrangian,
    lpt_slabs,
)
from volvelle.nbody.transposed import Transposed, largest_divisor
from volvelle.power import EisensteinHu

ROUNDING = {"float32": 3e-6, "float64": 1e-13}
"""Of transforms in another order, over the root mean square of a field."""


def begun(folder: Path, dtype: str, orders: int = 2, cells: int = 20) -> Ground:
    tiling = Tiling(cells, cells, 100.0, per_side=2, buffer=4, margin=1)
    found = course(planck18(), steps=2)
    return Ground.begin(folder, tiling, found, "slabs", orders=orders, dtype=dtype)


@pytest.mark.parametrize(
    ("dtype", "choices"),
    [("float32", {}), ("float64", {"fixed_amplitude": True, "paired": True})],
)
def test_fields_are_those_of_the_memory(
    tmp_path: Path, dtype: str, choices: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks of a few rows and columns; a mesh whose finer one has other divisors."""
    monkeypatch.setattr(lpt_slabs, "TOGETHER", 1000)
    ground = begun(tmp_path, dtype)
    slabs = Slabs(ground, planck18(), 5, EisensteinHu(), **choices)
    assert tuple(slabs.make()) == lpt_slabs.STEPS
    initial = gaussian(planck18(), slabs.mesh, 5, power=EisensteinHu(), dtype=dtype, **choices)
    for number, field in enumerate(lagrangian(initial, 2).fields):
        wanted = np.asarray(field).reshape(20, 20, 20, 3)
        found = np.load(ground.field_path(number))
        assert found.dtype == dtype
        np.testing.assert_allclose(found, wanted, atol=ROUNDING[dtype] * wanted.std(), rtol=0.0)
    modes = np.concatenate(list(slabs.waves()))
    wanted = np.asarray(initial.modes)
    np.testing.assert_allclose(modes, wanted, atol=ROUNDING[dtype] * np.abs(wanted).max())


def test_first_order_alone(tmp_path: Path) -> None:
    ground = begun(tmp_path, "float32", orders=1)
    slabs = Slabs(ground, planck18(), 5, EisensteinHu())
    assert tuple(slabs.make()) == ("waves", "slopes", "fields")
    initial = gaussian(planck18(), slabs.mesh, 5, power=EisensteinHu())
    wanted = np.asarray(lagrangian(initial, 1).fields[0]).reshape(20, 20, 20, 3)
    found = np.load(ground.field_path(0))
    np.testing.assert_allclose(found, wanted, atol=ROUNDING["float32"] * wanted.std(), rtol=0.0)


def test_steps_that_are_done_are_not_done_again(tmp_path: Path) -> None:
    """And what is made after an interruption is the same."""
    ground = begun(tmp_path / "one", "float32")
    slabs = Slabs(ground, planck18(), 5, EisensteinHu())
    for name in slabs.make():
        if name == "source":
            break
    assert tuple(slabs.make()) == ("slopes", "fields")
    assert tuple(slabs.make()) == ()
    other = begun(tmp_path / "other", "float32")
    assert len(tuple(Slabs(other, planck18(), 5, EisensteinHu()).make())) == 5
    for number in range(2):
        assert ground.field_path(number).read_bytes() == other.field_path(number).read_bytes()


def test_third_order_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InitialConditionsError, match="5 displacement fields slab by slab"):
        Slabs(begun(tmp_path, "float32", orders=5), planck18(), 5)


def test_rows_and_columns_of_a_file(tmp_path: Path) -> None:
    values = np.arange(6 * 8 * 3).reshape(6, 8, 3) + 1j
    file = Transposed(tmp_path / "file", (6, 8, 3), 2, 4, "complex128")
    for i in file.row_blocks:
        file.put_rows(i, values[2 * i : 2 * i + 2])
    np.testing.assert_array_equal(file.columns(1), values[:, 4:])
    other = Transposed(tmp_path / "other", (6, 8, 3), 3, 2, "complex128")
    for j in other.column_blocks:
        other.put_columns(j, values[:, 2 * j : 2 * j + 2])
    np.testing.assert_array_equal(other.rows(1), values[3:])
    assert [largest_divisor(n, most) for n, most in ((12, 5), (7, 6), (8, 99), (5, 0))] == [
        4, 1, 8, 1,
    ]  # fmt: skip
