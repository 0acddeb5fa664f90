"""Snapshots: round trips, foreign files in all their variants, and what is refused."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

import gadget_files as foreign
from volvelle.nbody import Snapshot, SnapshotError, read_header, read_snapshot, write_snapshot

SINGLE = 3e-7
"""Relative, of numbers that went through float32 and a unit."""


def check(read: Snapshot, kind: int, expected: dict | None = None) -> None:
    """What was read is what was made, in Mpc/h and peculiar km/s."""
    expected = expected or foreign.made()[kind]
    np.testing.assert_allclose(read.positions, expected["pos"], rtol=SINGLE, atol=1e-5)
    np.testing.assert_allclose(read.velocities, expected["vel"], rtol=2 * SINGLE)
    np.testing.assert_array_equal(read.ids, expected["ids"])
    assert read.a == foreign.A
    assert read.box_size == pytest.approx(foreign.BOX)
    assert (read.Omega_m, read.h) == (foreign.OMEGA_M, foreign.H)
    assert read.Omega_de == 1 - foreign.OMEGA_M


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("unit", [1.0, 1000.0], ids=["Mpc", "kpc"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("labelled", [False, True], ids=["format1", "format2"])
def test_binary_files(tmp_path: Path, labelled: bool, order: str, unit: float, kind: int) -> None:
    path = tmp_path / "snap_000"
    foreign.binary(path, foreign.made(), order=order, labelled=labelled, unit=unit)
    read = read_snapshot(path, kind=kind)
    check(read, kind)
    count = 60 if kind == 1 else 40
    assert read.masses == pytest.approx(foreign.mass_table((0, 60, 40))[kind])
    assert read.count == count
    assert read.positions.dtype == np.float32
    assert read.positions.dtype.isnative


def test_binary_files_in_double_precision_with_long_ids(tmp_path: Path) -> None:
    foreign.binary(tmp_path / "snap", foreign.made(), real="f8", id_type="u8", order=">")
    read = read_snapshot(tmp_path / "snap", kind=2)
    check(read, 2)
    assert (read.positions.dtype, read.ids.dtype) == (np.float64, np.uint64)


@pytest.mark.parametrize("form", ["binary", "hdf5"])
@pytest.mark.parametrize("given", ["snap", "first", "last"])
def test_many_files(tmp_path: Path, form: str, given: str) -> None:
    end = ".hdf5" if form == "hdf5" else ""
    whole = foreign.made()
    for number in range(3):
        part = {k: {n: v[number::3] for n, v in c.items()} for k, c in whole.items()}
        write = getattr(foreign, form)
        write(tmp_path / f"snap.{number}{end}", part, totals=(0, 60, 40, 0, 0, 0), files=3)
    name = {"snap": "snap", "first": f"snap.0{end}", "last": f"snap.2{end}"}[given]
    read = read_snapshot(tmp_path / name)
    order = np.concatenate([np.arange(60)[number::3] for number in range(3)])
    check(read, 1, {n: v[order] for n, v in whole[1].items()})


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_files_of_quijote(tmp_path: Path, compression: str | None) -> None:
    """Positions in kpc/h, no unit stated, compressed blocks in chunks."""
    options = {"compression": compression, "chunks": True} if compression else {}
    foreign.hdf5(tmp_path / "snap_004.hdf5", foreign.made(), **options)
    for kind in (1, 2):
        check(read_snapshot(tmp_path / "snap_004", kind=kind), kind)


@pytest.mark.skipif(find_spec("hdf5plugin") is None, reason="hdf5plugin is not installed")
def test_positions_compressed_by_blosc(tmp_path: Path) -> None:
    foreign.blosc(tmp_path / "snap.hdf5")
    read = read_snapshot(tmp_path / "snap")
    np.testing.assert_allclose(read.positions, foreign.blosc_positions() / 1e3, rtol=SINGLE)


def test_a_compression_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign.blosc(tmp_path / "snap.hdf5")
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    monkeypatch.setattr(
        "volvelle.nbody.gadget_hdf5.h5py.h5z.filter_avail", lambda number: number != 32001
    )
    with pytest.raises(SnapshotError, match=r"by filter 32001 .*pip install hdf5plugin"):
        read_snapshot(tmp_path / "snap")


@pytest.mark.parametrize(("unit", "size"), [(1000.0, 3.085678e21), (1.0, 3.085677581e24)])
@pytest.mark.parametrize("group", ["header", "parameters"])
def test_units_that_a_file_states(tmp_path: Path, unit: float, size: float, group: str) -> None:
    units = {group: {"UnitLength_in_cm": size}}
    foreign.hdf5(tmp_path / "snap.hdf5", foreign.made(), unit=unit, **units)
    check(read_snapshot(tmp_path / "snap.hdf5"), 1)
    assert read_header(tmp_path / "snap").length == ("kpc/h" if unit == 1000.0 else "Mpc/h")


def test_other_units_of_velocity_and_mass(tmp_path: Path) -> None:
    """In m/s and solar masses: 1e3 and 1e10 times the numbers."""
    kinds = foreign.made()
    kinds[1]["vel"] = kinds[1]["vel"] * 1e3
    table = [1e10 * mass for mass in foreign.mass_table((0, 60, 40))]
    units = {"UnitVelocity_in_cm_per_s": 100.0, "UnitMass_in_g": 1.989e33}
    foreign.hdf5(tmp_path / "snap.hdf5", kinds, masses=table, header=units)
    read = read_snapshot(tmp_path / "snap.hdf5")
    check(read, 1)
    assert read.masses == pytest.approx(table[1] / 1e10)


def test_particles_with_masses_of_their_own(tmp_path: Path) -> None:
    """Type 2 has a block of masses, type 1 the table's; nothing but an argument tells the unit."""
    kinds, table = foreign.made(), foreign.mass_table((0, 60, 40))
    own = table[2] * np.linspace(0.5, 1.5, 40)
    table[2] = 0.0
    foreign.binary(tmp_path / "snap", kinds, masses=table, own_masses=own)
    with pytest.raises(SnapshotError, match="say length='kpc/h' or length='Mpc/h'"):
        read_snapshot(tmp_path / "snap", kind=2)
    read = read_snapshot(tmp_path / "snap", kind=2, length="kpc/h")
    check(read, 2)
    np.testing.assert_allclose(read.masses, own, rtol=SINGLE)
    assert read_snapshot(tmp_path / "snap", length="kpc/h").masses == pytest.approx(table[1])


def ours(count: int = 30, **changes: object) -> Snapshot:
    rng = np.random.default_rng(3)
    return Snapshot(
        rng.uniform(0.0, foreign.BOX, (count, 3)).astype(np.float32),
        rng.normal(0.0, 200.0, (count, 3)).astype(np.float32),
        a=foreign.A,
        box_size=foreign.BOX,
        Omega_m=foreign.OMEGA_M,
        Omega_de=1 - foreign.OMEGA_M,
        h=foreign.H,
        **changes,
    )


@pytest.mark.parametrize("length", ["kpc/h", "Mpc/h"])
@pytest.mark.parametrize("own", [False, True], ids=["table", "masses"])
def test_round_trip(tmp_path: Path, length: str, own: bool) -> None:
    ids = np.arange(30)[::-1].astype(np.uint64) + 2**40
    masses = np.linspace(1.0, 2.0, 30) if own else None
    written = ours(ids=ids, masses=masses)
    read = read_snapshot(write_snapshot(tmp_path / "a" / "snap.hdf5", written, length=length))
    np.testing.assert_allclose(read.positions, written.positions, rtol=SINGLE)
    np.testing.assert_allclose(read.velocities, written.velocities, rtol=SINGLE)
    np.testing.assert_array_equal(read.ids, ids)
    np.testing.assert_allclose(read.masses, written.masses, rtol=1e-12)
    for name in ("a", "box_size", "Omega_m", "Omega_de", "h"):
        assert getattr(read, name) == pytest.approx(getattr(written, name), rel=1e-12)


def test_what_is_written_follows_the_convention(tmp_path: Path) -> None:
    """Read by h5py alone: u = v / sqrt(a), kpc/h, a header that other readers know."""
    written = ours()
    write_snapshot(tmp_path / "snap.hdf5", written)
    with h5py.File(tmp_path / "snap.hdf5") as file:
        header, group = file["Header"].attrs, file["PartType1"]
        np.testing.assert_allclose(group["Coordinates"][:], 1e3 * written.positions, rtol=SINGLE)
        np.testing.assert_allclose(
            group["Velocities"][:], written.velocities / np.sqrt(foreign.A), rtol=SINGLE
        )
        np.testing.assert_array_equal(group["ParticleIDs"][:], np.arange(1, 31))
        assert list(header["NumPart_Total"]) == list(header["NumPart_ThisFile"])
        assert list(header["NumPart_Total"]) == [0, 30, 0, 0, 0, 0]
        assert header["BoxSize"] == pytest.approx(1e3 * foreign.BOX)
        assert header["Redshift"] == pytest.approx(3.0)
        assert header["MassTable"][1] == pytest.approx(
            foreign.CRITICAL * foreign.OMEGA_M * foreign.BOX**3 / 30
        )


def test_positions_at_the_edge_are_wrapped(tmp_path: Path) -> None:
    kinds = foreign.made()
    kinds[1]["pos"][0] = (foreign.BOX, -0.01, foreign.BOX + 0.25)
    foreign.hdf5(tmp_path / "snap.hdf5", kinds)
    positions = read_snapshot(tmp_path / "snap.hdf5").positions
    np.testing.assert_allclose(positions[0], (0.0, foreign.BOX - 0.01, 0.25), atol=1e-5)
    assert positions.min() >= 0.0
    assert positions.max() < foreign.BOX


def test_ids_may_be_left_out(tmp_path: Path) -> None:
    foreign.hdf5(tmp_path / "snap.hdf5", foreign.made(), left_out=("ParticleIDs",))
    assert read_snapshot(tmp_path / "snap.hdf5", ids=False).ids is None
    with pytest.raises(SnapshotError, match="no block PartType1/ParticleIDs"):
        read_snapshot(tmp_path / "snap.hdf5")


@pytest.mark.parametrize("block", ["Coordinates", "Velocities"])
def test_missing_blocks(tmp_path: Path, block: str) -> None:
    foreign.hdf5(tmp_path / "snap.hdf5", foreign.made(), left_out=(block,))
    with pytest.raises(SnapshotError, match=f"no block PartType1/{block}; it has"):
        read_snapshot(tmp_path / "snap.hdf5")


@pytest.mark.parametrize("block", ["POS", "VEL", "ID"])
def test_missing_blocks_of_labelled_files(tmp_path: Path, block: str) -> None:
    foreign.binary(tmp_path / "snap", foreign.made(), labelled=True, left_out=(block,))
    with pytest.raises(SnapshotError, match=f"has no block {block} "):
        read_snapshot(tmp_path / "snap")


def test_missing_blocks_of_files_without_labels(tmp_path: Path) -> None:
    """The ids are then where velocities should be."""
    foreign.binary(tmp_path / "snap", foreign.made(), left_out=("VEL",))
    with pytest.raises(SnapshotError, match="a block before it is missing"):
        read_snapshot(tmp_path / "snap")


@pytest.mark.parametrize(
    ("attribute", "words"),
    [("NumPart_Total", "no attribute NumPart_Total"), ("Omega0", "no attribute Omega0")],
)
def test_missing_attributes(tmp_path: Path, attribute: str, words: str) -> None:
    foreign.hdf5(tmp_path / "snap.hdf5", foreign.made(), left_out=(attribute,))
    with pytest.raises(SnapshotError, match=words):
        read_snapshot(tmp_path / "snap.hdf5")


def test_hdf5_without_header(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["chains"] = np.zeros(3)
    with pytest.raises(SnapshotError, match="no group Header; it holds chains"):
        read_snapshot(tmp_path / "other.hdf5")


def test_snapshots_of_swift(tmp_path: Path) -> None:
    foreign.hdf5(tmp_path / "snap.hdf5", foreign.made())
    with h5py.File(tmp_path / "snap.hdf5", "a") as file:
        file.create_group("Cosmology").attrs["Omega_m"] = 0.3
    with pytest.raises(SnapshotError, match="SWIFT"):
        read_snapshot(tmp_path / "snap.hdf5")


@pytest.mark.parametrize("form", ["binary", "labelled", "hdf5"])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_truncated_files(tmp_path: Path, form: str, kept: float) -> None:
    path = tmp_path / "snap"
    if form == "hdf5":
        foreign.hdf5(path, foreign.made())
    else:
        foreign.binary(path, foreign.made(), labelled=form == "labelled")
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(SnapshotError, match="truncated"):
        read_snapshot(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=r"is no file; looked for snap, snap\.hdf5"):
        read_snapshot(tmp_path / "snap")
    (tmp_path / "text").write_text("positions and so on")
    with pytest.raises(SnapshotError, match="no GADGET snapshot"):
        read_snapshot(tmp_path / "text")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(SnapshotError, match="no GADGET snapshot"):
        read_snapshot(tmp_path / "empty")


def test_damaged_marks(tmp_path: Path) -> None:
    path = tmp_path / "snap"
    foreign.binary(path, foreign.made())
    content = bytearray(path.read_bytes())
    content[260] ^= 1  # the count after the header
    path.write_bytes(content)
    with pytest.raises(SnapshotError, match="is said to have 256 bytes at its beginning"):
        read_snapshot(path)


def test_units_against_masses(tmp_path: Path) -> None:
    foreign.binary(tmp_path / "snap", foreign.made())
    with pytest.raises(SnapshotError, match=r"in Mpc/h its particles have .* another unit"):
        read_snapshot(tmp_path / "snap", length="Mpc/h")
    foreign.hdf5(tmp_path / "stated.hdf5", foreign.made(), header={"UnitLength_in_cm": 3.085678e24})
    with pytest.raises(SnapshotError, match="in Mpc/h its particles have"):
        read_snapshot(tmp_path / "stated.hdf5")
    with pytest.raises(SnapshotError, match="states Mpc/h, and length='kpc/h'"):
        read_snapshot(tmp_path / "stated.hdf5", length="kpc/h")
    foreign.hdf5(tmp_path / "other.hdf5", foreign.made(), header={"UnitLength_in_cm": 1.0})
    with pytest.raises(SnapshotError, match="neither kpc/h"):
        read_snapshot(tmp_path / "other.hdf5")
    with pytest.raises(SnapshotError, match="length 'pc' is not known"):
        read_snapshot(tmp_path / "snap", length="pc")
    foreign.binary(tmp_path / "light", foreign.made(), masses=[0, 1e-3, 1e-3, 0, 0, 0])
    with pytest.raises(SnapshotError, match="does not state its unit"):
        read_snapshot(tmp_path / "light")


def test_positions_in_another_unit_than_the_box(tmp_path: Path) -> None:
    kinds = foreign.made()
    kinds[1]["pos"] = kinds[1]["pos"] * 1e3
    foreign.hdf5(tmp_path / "snap.hdf5", kinds)
    with pytest.raises(SnapshotError, match="they and the box are in different units"):
        read_snapshot(tmp_path / "snap.hdf5")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"box": 0.0}, "box_size = 0.0; only periodic"),
        ({"Om": 0.0}, "Omega_m = 0.0"),
        ({"a": 0.5}, r"Time has to be the scale factor 1 / \(1 \+ Redshift\)"),
    ],
)
def test_headers_that_make_no_sense(tmp_path: Path, header: dict, words: str) -> None:
    foreign.binary(tmp_path / "snap", foreign.made(), header=header)
    with pytest.raises(SnapshotError, match=words):
        read_snapshot(tmp_path / "snap")


def test_types_that_are_not_there(tmp_path: Path) -> None:
    foreign.hdf5(tmp_path / "snap.hdf5", foreign.made())
    for kind in (0, 7):
        with pytest.raises(SnapshotError, match=f"no particles of type {kind}; it has 60 of type"):
            read_snapshot(tmp_path / "snap.hdf5", kind=kind)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    both = {"totals": (0, 120, 80, 0, 0, 0), "files": 2}
    foreign.hdf5(tmp_path / "snap.0.hdf5", foreign.made(), **both)
    with pytest.raises(SnapshotError, match=r"1 are missing: snap\.1\.hdf5"):
        read_snapshot(tmp_path / "snap")
    foreign.hdf5(tmp_path / "snap.1.hdf5", foreign.made(), header={"Omega0": 0.3}, **both)
    with pytest.raises(SnapshotError, match="not files of the same snapshot"):
        read_snapshot(tmp_path / "snap")
    foreign.hdf5(tmp_path / "snap.1.hdf5", foreign.made((30, 40)), **both)
    with pytest.raises(SnapshotError, match="hold 90 particles of type 1, the header says 120"):
        read_snapshot(tmp_path / "snap")
    foreign.hdf5(tmp_path / "alone.hdf5", foreign.made(), **both)
    with pytest.raises(SnapshotError, match="its name has no number"):
        read_snapshot(tmp_path / "alone.hdf5")


def test_blocks_of_another_size_than_the_header_says(tmp_path: Path) -> None:
    foreign.hdf5(tmp_path / "snap.hdf5", foreign.made())
    with h5py.File(tmp_path / "snap.hdf5", "a") as file:
        file["Header"].attrs["NumPart_ThisFile"] = np.array([0, 61, 40, 0, 0, 0])
    with pytest.raises(SnapshotError, match=r"has shape \(60, 3\), while the header counts 61"):
        read_snapshot(tmp_path / "snap.hdf5")


FULL = """
import resource, signal, sys
import numpy as np
from volvelle.nbody import Snapshot, SnapshotError, write_snapshot
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # as on a full disk
zeros = np.zeros((20_000, 3))
given = Snapshot(zeros, zeros, a=1.0, box_size=1.0, Omega_m=0.3, Omega_de=0.7, h=0.7)
try:
    write_snapshot(sys.argv[1], given)
except SnapshotError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_previous_snapshot(tmp_path: Path) -> None:
    path = write_snapshot(tmp_path / "snap.hdf5", ours())
    before = path.read_bytes()
    found = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True
    )
    assert "could not be written" in found.stdout
    assert "the one that was there before is whole" in found.stdout
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["snap.hdf5"]


KILLED = """
import os, sys
import numpy as np
from volvelle.nbody import Snapshot, gadget_hdf5, write_snapshot
zeros = np.zeros((2000, 3))
given = Snapshot(zeros, zeros, a=1.0, box_size=1.0, Omega_m=0.3, Omega_de=0.7, h=0.7)
whole = gadget_hdf5._write_header
def half(file, header):
    whole(file, header)
    file.flush()
    os.kill(os.getpid(), 9)
gadget_hdf5._write_header = half
write_snapshot(sys.argv[1], given)
"""


def test_a_kill_leaves_the_previous_snapshot(tmp_path: Path) -> None:
    path = write_snapshot(tmp_path / "snap.hdf5", ours())
    before = path.read_bytes()
    found = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert found.returncode == -9
    assert path.read_bytes() == before
    assert read_snapshot(path).count == 30


def test_too_little_room_is_said_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("volvelle.nbody.snapshot_files.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(SnapshotError, match=r"needs 1\.0 MB and 0\.0 MB are free"):
        write_snapshot(tmp_path / "snap.hdf5", ours())
    assert not list(tmp_path.iterdir())


def test_folders_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SnapshotError, match="could not be written"):
        write_snapshot(tmp_path / "file" / "snap.hdf5", ours())
    with pytest.raises(SnapshotError, match="length 'Mpc' is not known"):
        write_snapshot(tmp_path / "snap.hdf5", ours(), length="Mpc")
