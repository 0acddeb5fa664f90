"""Foreign snapshots, made from the formats' descriptions by struct and h5py alone."""

import base64
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np

A, BOX, OMEGA_M, H = 0.25, 50.0, 0.3175, 0.6711
"""Scale factor, box [Mpc/h]."""
CRITICAL = 27.7536627
"""[1e10 Msun/h / (Mpc/h)^3]"""


def made(counts: tuple[int, int] = (60, 40), seed: int = 0) -> dict[int, dict[str, np.ndarray]]:
    """Types 1 and 2: positions [Mpc/h], peculiar velocities [km/s], ids."""
    rng = np.random.default_rng(seed)
    found, start = {}, 1
    for kind, count in zip((1, 2), counts, strict=True):
        found[kind] = {
            "pos": rng.uniform(0.0, BOX, (count, 3)),
            "vel": rng.normal(0.0, 300.0, (count, 3)),
            "ids": np.arange(start, start + count)[::-1],
        }
        start += count
    return found


def mass_table(counts: tuple[int, ...]) -> list[float]:
    """Masses [1e10 Msun/h] of types 1 and 2 that make up OMEGA_M, 10% of it in type 2."""
    total = CRITICAL * OMEGA_M * BOX**3
    return [0.0, 0.9 * total / counts[1], 0.1 * total / counts[2], 0.0, 0.0, 0.0]


def binary(
    path: Path,
    kinds: dict[int, dict[str, np.ndarray]],
    *,
    order: str = "<",
    labelled: bool = False,
    unit: float = 1000.0,
    real: str = "f4",
    id_type: str = "u4",
    totals: tuple[int, ...] | None = None,
    files: int = 1,
    masses: list[float] | None = None,
    own_masses: np.ndarray | None = None,
    left_out: tuple[str, ...] = (),
    header: dict[str, float] | None = None,
) -> None:
    """One file of GADGET-2; ``unit``: lengths per Mpc/h."""
    counts = tuple(len(kinds[k]["ids"]) if k in kinds else 0 for k in range(6))
    totals = totals or counts
    values = {"a": A, "z": 1 / A - 1, "box": BOX * unit, "Om": OMEGA_M, "OL": 1 - OMEGA_M, "h": H}
    values.update(header or {})
    head = struct.pack(f"{order}6I", *counts)
    head += struct.pack(f"{order}6d", *(mass_table(totals) if masses is None else masses))
    head += struct.pack(f"{order}dd", values["a"], values["z"])
    head += struct.pack(f"{order}2i", 0, 0) + struct.pack(f"{order}6I", *totals)
    head += struct.pack(f"{order}2i", 0, files)
    head += struct.pack(f"{order}4d", values["box"], values["Om"], values["OL"], values["h"])
    head = head.ljust(256, b"\0")
    speed = 1.0 / np.sqrt(A)
    blocks = {
        "HEAD": head,
        "POS ": b"".join((k["pos"] * unit).astype(order + real).tobytes() for k in kinds.values()),
        "VEL ": b"".join((k["vel"] * speed).astype(order + real).tobytes() for k in kinds.values()),
        "ID  ": b"".join(k["ids"].astype(order + id_type).tobytes() for k in kinds.values()),
    }
    if own_masses is not None:
        blocks["MASS"] = own_masses.astype(order + real).tobytes()
    with path.open("wb") as stream:
        for name, content in blocks.items():
            if name.strip() in left_out:
                continue
            if labelled:
                stream.write(struct.pack(f"{order}I4sII", 8, name.encode(), len(content) + 8, 8))
            mark = struct.pack(f"{order}I", len(content))
            stream.write(mark + content + mark)


def hdf5(
    path: Path,
    kinds: dict[int, dict[str, np.ndarray]],
    *,
    unit: float = 1000.0,
    totals: tuple[int, ...] | None = None,
    files: int = 1,
    masses: list[float] | None = None,
    left_out: tuple[str, ...] = (),
    header: dict[str, Any] | None = None,
    parameters: dict[str, float] | None = None,
    **options: Any,
) -> None:
    """One file with the names of Quijote's, which states no units; ``options`` of every block."""
    counts = tuple(len(kinds[k]["ids"]) if k in kinds else 0 for k in range(6))
    totals = totals or counts
    attributes = {
        "NumPart_ThisFile": np.array(counts, np.int32),
        "NumPart_Total": np.array(totals, np.uint32),
        "NumPart_Total_HighWord": np.zeros(6, np.uint32),
        "MassTable": np.array(mass_table(totals) if masses is None else masses),
        "Time": A,
        "Redshift": 1 / A - 1,
        "BoxSize": BOX * unit,
        "NumFilesPerSnapshot": np.int32(files),
        "Omega0": OMEGA_M,
        "OmegaLambda": 1 - OMEGA_M,
        "HubbleParam": H,
        **(header or {}),
    }
    with h5py.File(path, "w") as file:
        group = file.create_group("Header")
        for name, value in attributes.items():
            if name not in left_out:
                group.attrs[name] = value
        for name, value in (parameters or {}).items():
            file.require_group("Parameters").attrs[name] = value
        for kind, content in kinds.items():
            blocks = {
                "Coordinates": (content["pos"] * unit).astype(np.float32),
                "Velocities": (content["vel"] / np.sqrt(A)).astype(np.float32),
                "ParticleIDs": content["ids"].astype(np.uint32),
            }
            for name, values in blocks.items():
                if name not in left_out:
                    file.create_dataset(f"PartType{kind}/{name}", data=values, **options)


def blosc_positions() -> np.ndarray:
    """[kpc/h] of shape (100, 3): what `BLOSC` holds."""
    return 125.0 * np.arange(300.0).reshape(100, 3)


def blosc(path: Path) -> None:
    """As `hdf5` of 100 particles, but with positions compressed as Quijote's are: Blosc with zstd.

    The chunk was made once, by h5py with hdf5plugin 7.1 of `blosc_positions` in float32; HDF5 lets
    it be stored without the filter at hand.
    """
    masses = [0.0, CRITICAL * OMEGA_M * BOX**3 / 100, 0.0, 0.0, 0.0, 0.0]
    hdf5(path, {1: made((100, 0))[1]}, masses=masses, left_out=("Coordinates",))
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((100, 3))
    settings = (2, 2, 4, 1200, 9, 1, 5)
    plan.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, settings)
    space = h5py.h5s.create_simple((100, 3))
    with h5py.File(path, "a") as file:
        group = file["PartType1"].id
        made_ = h5py.h5d.create(group, b"Coordinates", h5py.h5t.IEEE_F32LE, space, plan)
        made_.write_direct_chunk((0, 0), base64.b64decode(BLOSC))


BLOSC = (
    "AgGRBLAEAACwBAAAlQIAABQAAAB9AgAAKLUv/WCwA50TANQlAIAAQIDAAKBA4IAgwGAA0KBwQBDgsIBQIPDAkGAw"
    "AOjQuKCIcFhAKBD44MiwmIBoUDggCPDYwKiQeGBIMBgA6Ojc0MS4rKCUiHxwZFhMQDQoHBAE+Ozg1Mi8sKSYjIB0"
    "aFxQRDgsIBQI/PDk2MzAtKickIR4bGBUSDwwJBgMAPTo3Oji3NbQysS+uLKspqCalI6Ignx2cGpkXlhSTEZAOjQu"
    "KCIcFhAKBP748uzm4NrUzsjCvLawqqSemJKMhoB6dG5oYlxWUEpEPjgyLCYgGhQOCAL89vDq5N7Y0szGwLq0rqii"
    "nJaQioR+eHJsZmBaVE5IQjw2MCokHhgSDAYA+vTua+hl4l/cWdZT0E3KR8RBvju4NbIvrCmmI6AdmheUEY4LiAWC"
    "/wD6erv6HDtaeoycq7vL2ur6BAwUHCQrMztDS1JaYmpyeoCEiIyQlJicoKSnq6+zt7u/w8fLz9LW2t7i5uru8vb6"
    "/QACBAYICgwOEBIUFhgaHB4gIiQmJykrLS8xMzU3OTs9P0FDRUdJS01PUFJUVlhaXF5gYmRmaGpsbnBydHZ4ent9"
    "f4CBgoOEhYaHiImKi4yNjo+QkZKTlJWWl5iZmpucnZ6foKGio6SlpqanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/"
    "wMHCw8TFxsfIycrLzM3Oz9DQ0dLT1NXW19jZ2tvc3d7f4OHi4+Tl5ufo6err7O3u7/Dx8vP09fb3+Pn6+vv8/f7/"
    "AAABAQICAwMEBAUFBgYHBwgICQkKCgsLDAwNDQ4ODw8QEBEREQBCQ0NDREVGR0cGAACJQUCxQBSunDEFDB4wKypg"
    "Aw=="
)
