"""One simulation of an ensemble: made, measured, stored step by step, whoever runs it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from ..learning import write_atomically
from ..nbody import (
    P3M,
    InitialConditions,
    Mesh,
    ParticleMesh,
    Particles,
    Simulation,
    Snapshot,
    State,
    Watch,
    gaussian,
    moment,
    peak_memory,
    prepare,
    write_snapshot,
)
from ..power import power_model
from ..statistics import Density, power_spectrum
from .lightcone_task import keep_step, put_together, steps_of
from .maps_task import map_sky
from .simulate_configuration import Realisation, SimulateConfiguration
from .verbs import enable_float64

DONE, STATE = "simulation.json", "state.safetensors"
LINEAR = 0.05  # [h/Mpc] of waves whose growth is judged; those twice the box at least
SLAB = 10.0  # [Mpc/h] that a picture is thick, at least twice the particles' distance
SMOOTHING = 0.7  # of pictures, in particles' distances: their lattice is not seen
SOFTENING = 1.0 / 30.0  # of the particles' distance

Progress = Callable[[int, int], None]


def redshift_name(a: float) -> str:
    """Of the files of a snapshot: ``z0.500``."""
    return f"z{1.0 / a - 1.0:.3f}"


@dataclass
class Clock:
    """Seconds by what they went into, and the most memory this process has had when it ended."""

    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    """[bytes]."""

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started
        self.peaks[name] = max(self.peaks.get(name, 0), peak_memory())


def realise(task: tuple[str, int, bool]) -> str:
    """A realisation of the ensemble in a folder, by its seed; returns the name of its own folder.

    The folder holds the configuration; what is there already is not computed again.
    """
    enable_float64()
    folder, seed, paired = task
    configuration = SimulateConfiguration.load(Path(folder) / "config.yaml", output=folder)
    one = Realisation(seed, paired)
    run(configuration, one)
    if configuration.sky is not None:
        map_sky(configuration, one)
    return one.name


def run(
    configuration: SimulateConfiguration, one: Realisation, progress: Progress | None = None
) -> dict[str, Any]:
    """Simulate, measure and store; returns the content of ``simulation.json``.

    After every stage its state is on the disk, and a repeated call goes on from there to the same
    bits. ``progress`` is called with (stages done, stages).
    """
    folder = configuration.output / one.name
    if (folder / DONE).exists():
        return json.loads((folder / DONE).read_text())
    clock = Clock()
    with clock.of("initial conditions"):
        initial, simulation = _prepared(configuration, one)
        state = simulation.init()
        jax.block_until_ready(state)
    state, clock = _restored(folder / STATE, configuration.hash, state, clock)
    wanted = {simulation.stage_at(a): a for a in configuration.times}
    cone, watch = configuration.lightcone, None
    if cone is not None and not simulation.done(state):
        watch = Watch(cone, moment(simulation, state))
    number = simulation.stages.number
    while True:
        done = int(state.stage)
        name = redshift_name(wanted[done]) if done in wanted else None
        if name is not None and not (folder / f"{name}.safetensors").exists():
            with clock.of("measuring and writing"):
                _measure(configuration, folder, name, initial, simulation.particles(state))
        if progress is not None:
            progress(done, number)
        if simulation.done(state):
            break
        with clock.of("steps"):
            state = simulation.step(state)
            jax.block_until_ready(state)
        if watch is not None:
            with clock.of("lightcone"):
                found = watch(moment(simulation, state))
                keep_step(folder, int(state.stage), found)
        with clock.of("keeping the state"):
            _keep(folder / STATE, configuration.hash, state, clock)
    seen: dict[str, Any] = {}
    if cone is not None:
        block = configuration.file.lightcone
        assert block is not None, "where the cone is from"
        with clock.of("lightcone"):
            end = simulation.particles(state)
            last = [np.asarray(end.positions)] if configuration.times else None
            number = configuration.mesh.cells**3
            seen["lightcone"] = put_together(
                cone, folder, steps_of(folder), number, block.thickness, last
            )
    content = {
        "seed": one.seed,
        "paired": one.paired,
        "configuration": configuration.hash,
        "stages": number,
        "seconds": {name: round(value, 2) for name, value in clock.seconds.items()},
        "memory": peak_memory(),
        "peaks": clock.peaks,
        "snapshots": {redshift_name(a): facts(folder, a) for a in configuration.times},
        **seen,
    }
    write_atomically(folder / DONE, json.dumps(content, indent=1).encode())
    (folder / STATE).unlink(missing_ok=True)
    return content


def _prepared(
    configuration: SimulateConfiguration, one: Realisation
) -> tuple[InitialConditions, Simulation]:
    file = configuration.file
    linear = power_model(file.power.linear, "none")
    initial = gaussian(
        configuration.cosmology,
        configuration.mesh,
        one.seed,
        power=linear,
        species=configuration.species,
        fixed_amplitude=file.initial.fixed_amplitude,
        paired=one.paired,
        f_nl=file.initial.f_nl,
        dtype=jnp.dtype(file.precision),
    )
    simulation = prepare(
        configuration.cosmology,
        initial,
        start=configuration.start,
        end=configuration.stops[-1],
        steps=file.steps.number,
        spacing=file.steps.spacing,
        through=configuration.stops[:-1],
        integrator=file.integrator,
        force=_force(configuration),
        order=file.initial.order,
        neutrinos=linear if file.neutrinos == "grid" else None,
        adjoint="direct",
    )
    return initial, simulation


def _force(configuration: SimulateConfiguration) -> ParticleMesh | P3M:
    block, mesh = configuration.file.force, Mesh(configuration.cells, configuration.mesh.box_size)
    if block.pm is not None:
        return ParticleMesh(mesh, block.pm.assignment, block.pm.gradient)
    assert block.p3m is not None, "one of the two, as was checked"
    softening = block.p3m.softening or SOFTENING * configuration.mesh.cell
    return P3M(mesh, softening, block.p3m.cutoff)


def _keep(path: Path, owner: str, state: State, clock: Clock) -> None:
    arrays = {
        "displacement": np.asarray(state.displacement),
        "momentum": np.asarray(state.momentum),
        "stage": np.asarray(state.stage),
    }
    metadata = {"configuration": owner, "clock": json.dumps(asdict(clock))}
    write_atomically(path, save(arrays, metadata))


def _restored(path: Path, owner: str, start: State, clock: Clock) -> tuple[State, Clock]:
    """The last state that was kept, with its clock; the start and its own without one."""
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
    except (FileNotFoundError, SafetensorError):
        return start, clock
    if metadata.get("configuration") != owner:
        return start, clock
    arrays = load_file(path)
    kept = State(*(jnp.asarray(arrays[n]) for n in ("displacement", "momentum", "stage")))
    return kept, Clock(**json.loads(metadata["clock"]))


def _measure(
    configuration: SimulateConfiguration,
    folder: Path,
    name: str,
    initial: InitialConditions,
    particles: Particles,
) -> None:
    """P(k), a picture, the growth of the lowest modes and the momentum; and the snapshot's file."""
    positions = np.asarray(particles.positions)
    size, cosmology = configuration.mesh.box_size, configuration.cosmology
    density = Density.of_catalogue(positions, size, cells=configuration.cells)
    momenta = np.asarray(particles.momentum, dtype=np.float64)
    if configuration.file.write_snapshots:
        path = folder / f"{name}.hdf5"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_snapshot(path, _snapshot(particles, positions, cosmology, size))
    mesh = initial.mesh
    store_measured(
        configuration,
        folder / f"{name}.safetensors",
        density,
        float(particles.a),
        grown(lowest_modes(initial.modes, mesh), mesh, density),
        float(np.linalg.norm(momenta.mean(axis=0)) / np.sqrt(np.mean(momenta**2))),
    )


def store_measured(
    configuration: SimulateConfiguration,
    path: Path,
    density: Density,
    a: float,
    growth: float,
    momentum: float,
) -> None:
    """P(k) and a picture of a density, and two numbers, in a file."""
    power = power_spectrum(density)
    between = configuration.mesh.cell
    layers = max(1, round(max(SLAB, 2.0 * between) / density.mesh.cell))
    arrays = {
        "k": power.k,
        "power": power.values,
        "modes": power.modes.astype(np.float64),
        "slice": _slab(density, SMOOTHING * between, layers),
        "a": np.float64(a),
        "grown": np.float64(growth),
        "momentum": np.float64(momentum),
    }
    arrays = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    write_atomically(path, save(arrays))


def _slab(density: Density, radius: float, layers: int) -> np.ndarray:
    """The mean of the first layers along the last axis, smoothed by a Gaussian [Mpc/h]."""
    modes = density.modes.copy()
    for k in density.mesh.wavenumbers():
        modes *= np.exp(-0.5 * (radius * k) ** 2).astype(density.precision)
    return replace(density, modes=modes).field()[:, :, :layers].mean(axis=2).astype(np.float32)


def _snapshot(particles: Particles, positions: np.ndarray, cosmology: Any, size: float) -> Snapshot:
    return Snapshot(
        positions,
        np.asarray(particles.velocities),
        a=float(particles.a),
        box_size=size,
        Omega_m=float(cosmology.Omega_m),
        Omega_de=float(cosmology.Omega_de),
        h=float(cosmology.hubble_parameter),
    )


def longest(mesh: Mesh) -> int:
    """Multiples of the fundamental wavenumber up to which waves count as the longest."""
    return max(2, int(LINEAR / mesh.fundamental))


def lowest_modes(modes: Any, mesh: Mesh) -> np.ndarray:
    """Those whose growth is judged, over the number of cells."""
    return np.asarray(modes[lowest(mesh)[0]]) / mesh.cells**3


def lowest(mesh: Mesh) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Where the longest waves are in a Fourier field of any mesh, and which of them count."""
    most = min(longest(mesh), mesh.cells // 2 - 1)
    low = [*range(most + 1), *range(-most, 0)]
    square = np.add.outer(np.add.outer(np.square(low), np.square(low)), np.arange(most + 1) ** 2)
    return np.ix_(low, low, range(most + 1)), (square > 0) & (square <= most**2)


def grown(initial: np.ndarray, mesh: Mesh, density: Density) -> float:
    """The amplitude over the linear one of today, of the box's longest waves.

    initial: their ``lowest_modes`` on the mesh of the particles.
    """
    at, weight = lowest(mesh)
    later = np.abs(density.modes[at]) ** 2 * weight / density.cells**6
    first = np.abs(initial) ** 2 * weight
    return float(np.sqrt(np.sum(later) / np.sum(first)))


def facts(folder: Path, a: float) -> dict[str, float]:
    """Numbers of a snapshot that was measured."""
    arrays = load_file(folder / f"{redshift_name(a)}.safetensors")
    return {name: arrays[name].item() for name in ("a", "grown", "momentum")}
