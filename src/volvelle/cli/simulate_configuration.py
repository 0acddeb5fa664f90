"""A file for ``volvelle simulate``, checked before anything is computed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, ValidationError

from .blocks import Block, Count, FilePath, Positive, empty, offer
from .compute_block import ComputeBlock
from .configuration import computed_where
from .document import Document
from .lightcone_block import LightconeBlock, checked_lightcone, lightcone_summary
from .maps_plan import BLOCKS, SkyPlan, checked_sky, maps_memory, sky_summary
from .messages import first_error
from .tiles_block import TilesBlock, checked_tiling, tiles_summary

if TYPE_CHECKING:
    from ..cosmology import Cosmology
    from ..nbody import Lightcone, Mesh, Tiling

CROSSING = 120
"""Bytes of a particle that crosses a lightcone while a step's are put together: 42 in parts, 42
joined, and room."""
PLACE = {"output", "workers", "compute"}
"""Keys that change where, not what."""


class BoxBlock(Block):
    """The periodic cube and the numbers of particles and cells per side."""

    size: Positive
    """[Mpc/h]."""
    particles: Annotated[int, Field(ge=4, multiple_of=2)]
    mesh: Annotated[int, Field(ge=4, multiple_of=2)] | None = None
    """Of the force; twice the particles if null."""


class InitialBlock(Block):
    """How the Gaussian field is drawn."""

    fixed_amplitude: bool = False
    """Every mode as large as its mean: less scatter at the same mean."""
    f_nl: float = 0.0
    """Local primordial non-Gaussianity; it needs A_s."""
    order: Literal[1, 2, 3] = 2
    """Of Lagrangian perturbation theory."""


class StepsBlock(Block):
    """From where, in how many steps."""

    start: Annotated[float, Field(gt=0)] = 9.0
    """Redshift."""
    number: Count = 10
    spacing: Literal["linear", "log", "growth"] = "linear"
    """Equal steps of a, of ln a, of the growth factor."""


class PMBlock(Block):
    """The force of the mesh alone."""

    assignment: Literal["cic", "tsc", "pcs"] = "tsc"
    gradient: Literal["spectral", "finite-difference"] = "spectral"


class P3MBlock(Block):
    """The force of the mesh and of pairs."""

    softening: Positive | None = None
    """As of Plummer's [Mpc/h]; 1/30 of the particles' distance if null."""
    cutoff: Annotated[float, Field(ge=3, le=6)] = 4.0
    """[cells]."""


class ForceBlock(Block):
    """One of the two."""

    pm: Annotated[PMBlock | None, BeforeValidator(empty)] = None
    p3m: Annotated[P3MBlock | None, BeforeValidator(empty)] = None


class LinearBlock(Block):
    """Models of P(k): of the initial conditions, and what the report draws beside."""

    linear: Literal["learned", "extended", "eisenstein_hu"] = "learned"
    nonlinear: Literal["hmcode", "halofit"] = "hmcode"


class SimulateFile(Block):
    """The keys at the top of the file."""

    output: FilePath
    cosmology: str | dict[str, float | list[float]]
    neutrino_hierarchy: Literal["single", "degenerate", "normal", "inverted"] = "single"
    box: BoxBlock
    initial: Annotated[InitialBlock, BeforeValidator(empty)] = InitialBlock()
    steps: Annotated[StepsBlock, BeforeValidator(empty)] = StepsBlock()
    integrator: Literal["cola", "cola-quinn", "kdk", "fastpm", "bullfrog"] = "bullfrog"
    neutrinos: Literal["none", "grid"] = "none"
    """Whether massive neutrinos are a linear density on the mesh, or part of the one fluid."""
    force: ForceBlock = ForceBlock(pm=PMBlock())
    tiles: TilesBlock | None = None
    """The box in parts that are simulated apart; whole if null."""
    lightcone: LightconeBlock | None = None
    """What an observer in the box sees; nothing if null."""
    power: Annotated[LinearBlock, BeforeValidator(empty)] = LinearBlock()
    snapshots: list[Annotated[float, Field(ge=0)]] = Field(default_factory=lambda: [0.0])
    write_snapshots: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    realisations: Count = 1
    paired: bool = False
    precision: Literal["float32", "float64"] = "float32"
    workers: Count | None = None
    compute: ComputeBlock | None = None


@dataclass(frozen=True)
class Realisation:
    """One simulation of an ensemble: its seed, and whether its phases are turned by pi."""

    seed: int
    paired: bool

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"seed_{self.seed:05d}{'_paired' if self.paired else ''}"


@dataclass(frozen=True)
class SimulateConfiguration:
    """What simulations need to know, from a file that has passed every check."""

    source: Path
    text: str
    hash: str
    """sha256 of all that decides the result."""
    output: Path
    cosmology: Cosmology
    mesh: Mesh
    """Whose points are the grid of particles."""
    file: SimulateFile
    compute: ComputeBlock
    tiling: Tiling | None
    """How the box is cut; None for no tiles."""
    lightcone: Lightcone | None
    """None where none is asked for."""
    sky: SkyPlan | None
    """What is made of it; None for nothing."""

    @property
    def cells(self) -> int:
        """Of the mesh of the force, per side."""
        return self.file.box.mesh or 2 * self.file.box.particles

    @property
    def start(self) -> float:
        """Scale factor."""
        return 1.0 / (1.0 + self.file.steps.start)

    @property
    def times(self) -> tuple[float, ...]:
        """Scale factors of the snapshots, ascending."""
        return tuple(sorted(1.0 / (1.0 + z) for z in set(self.file.snapshots)))

    @property
    def stops(self) -> tuple[float, ...]:
        """Scale factors at which steps end, ascending: snapshots, and where a lightcone begins that
        is nearer. The last is the end."""
        cone = self.lightcone
        near = 0.0 if cone is None else 1.0 / (1.0 + cone.redshifts[0])
        return self.times if near <= max(self.times, default=0.0) else (*self.times, near)

    @property
    def species(self) -> Literal["matter", "cb"]:
        """What particles are."""
        return "cb" if self.file.neutrinos == "grid" else "matter"

    @property
    def forces(self) -> int:
        """Evaluations of the force."""
        number = self.file.steps.number
        return number if self.file.integrator in ("fastpm", "bullfrog") else number + 1

    @property
    def realisations(self) -> tuple[Realisation, ...]:
        """All, pairs together."""
        pair = (False, True) if self.file.paired else (False,)
        seeds = range(self.file.seed, self.file.seed + self.file.realisations)
        return tuple(Realisation(seed, turned) for seed in seeds for turned in pair)

    @property
    def memory(self) -> int:
        """Bytes that one simulation needs, or one worker of those that run its tiles."""
        from ..nbody import memory_needed, tile_memory

        if self.tiling is not None:
            fields = {1: 1, 2: 2, 3: 5}[self.file.initial.order]
            return tile_memory(self.tiling, fields, self.file.precision)
        needed = memory_needed(
            self.mesh.cells,
            self.cells,
            order=self.file.initial.order,
            dtype=self.file.precision,  # pyright: ignore[reportArgumentType]
        )
        if self.lightcone is None:
            return needed
        return max(needed + int(CROSSING * self._fullest(self.lightcone)), self.sky_memory)

    @property
    def sky_memory(self) -> int:
        """Bytes that the maps of one lightcone need, beside tiles too; 0 without maps."""
        if self.sky is None:
            return 0
        return maps_memory(self.sky, self.mesh.cells, self.file.precision)

    def _fullest(self, cone: Lightcone) -> float:
        """Particles that cross in the step in which most do."""
        from ..nbody import step_times

        steps, stops = self.file.steps, self.stops
        when = step_times(
            cone.growth, self.start, stops[-1], steps.number, steps.spacing, stops[:-1]
        )
        chi = np.clip([cone.distance(float(a)) for a in when], cone.near, cone.far)
        most = np.max(chi[:-1] ** 3 - chi[1:] ** 3) / (cone.far**3 - cone.near**3)
        return float(most * cone.volume * (self.mesh.cells / self.mesh.box_size) ** 3)

    @classmethod
    def load(cls, path: str | Path, *, output: str | Path | None = None) -> SimulateConfiguration:
        """Read and check a file; raises ConfigurationError: one line with file, line and key."""
        from ..nbody import Mesh

        document = Document.load(Path(path))
        try:
            file = SimulateFile.model_validate(document.data)
        except ValidationError as error:
            raise first_error(document, error) from error
        if (file.force.pm is None) == (file.force.p3m is None):
            raise document.error(("force",), "expected one of pm: and p3m:")
        if not file.snapshots and file.lightcone is None:
            raise document.error(
                ("snapshots",), "nothing to look at; give a redshift, or a lightcone"
            )
        last = max(file.snapshots, default=0.0)
        if last >= file.steps.start:
            raise document.error(
                ("snapshots",),
                f"a snapshot at redshift {last:g} of a simulation from {file.steps.start:g}; "
                "expected lower redshifts than steps.start",
            )
        if file.steps.number < len(set(file.snapshots)):
            raise document.error(
                ("steps", "number"),
                f"{file.steps.number} steps to {len(set(file.snapshots))} snapshots; expected one "
                "step at least to each",
            )
        cosmology = _universe(document, file)
        if file.initial.f_nl and cosmology.A_s is None:
            raise document.error(
                ("initial", "f_nl"), "needs A_s or ln10A_s in cosmology, which gives sigma8"
            )
        content = file.model_dump(mode="json", exclude=PLACE)
        for name in ("tiles", "lightcone"):  # files without them are what they were before them
            if content[name] is None:
                del content[name]
        for name in BLOCKS if file.lightcone is not None else ():
            del content["lightcone"][name]  # what is made of a lightcone leaves it as it is
        _check_neutrinos(document, file, cosmology)
        mesh = Mesh(file.box.particles, file.box.size)
        cells = file.box.mesh or 2 * file.box.particles
        cone = checked_lightcone(document, file, cosmology, mesh)
        sky = None
        if cone is not None and file.lightcone is not None:
            sky = checked_sky(document, file, cosmology, mesh, cone)
        found = cls(
            source=document.path,
            text=document.text,
            hash=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
            output=Path(output or file.output),
            cosmology=cosmology,
            mesh=mesh,
            file=file,
            compute=computed_where(document, file.compute, file.workers),
            tiling=checked_tiling(document, file, mesh, cells),
            lightcone=cone,
            sky=sky,
        )
        _check_power(document, found)
        if found.output.is_file():
            raise document.error(("output",), f"{found.output} is a file; name a folder")
        return found

    def summary(self) -> dict[str, Any]:
        """What is asked for, and what it costs in memory and forces."""
        file = self.file
        whose = "" if self.tiling is None else "worker "
        mean = file.box.particles**3 / file.box.size**3
        return {
            "box": f"{file.box.size:g} Mpc/h",
            "particles": f"{file.box.particles}^3",
            "mesh": f"{self.cells}^3",
            "force": "p3m" if file.force.p3m is not None else "pm",
            "integrator": f"{file.integrator}, {self.forces} forces from redshift "
            f"{file.steps.start:g}",
            "snapshots at redshift": ", ".join(f"{1.0 / a - 1.0:g}" for a in self.times) or "none",
            "simulations": len(self.realisations),
            f"memory of each {whose}[GiB]": round(self.memory / 2**30, 2),
            **({} if self.tiling is None else tiles_summary(self.tiling)),
            **({} if self.lightcone is None else lightcone_summary(self.lightcone, mean)),
            **({} if self.sky is None else sky_summary(self.sky)),
            "output": self.output,
        }


def _universe(document: Document, file: SimulateFile) -> Cosmology:
    from .. import cosmology as universes

    given = file.cosmology
    if isinstance(given, str):
        named = [n for n in universes.__all__ if n.startswith(("planck", "wmap", "abacus"))]
        if given not in named:
            raise document.error(("cosmology",), f"{given!r} is no universe; {offer(given, named)}")
        return getattr(universes, given)()
    known = [*universes.INPUT_PARAMETERS, "Omega_b", "Omega_cdm"]
    for name in given:
        if name not in known:
            raise document.error(
                ("cosmology", name), f"is no parameter of the universe; {offer(name, known)}"
            )
    if "theta_star_100" in given:
        raise document.error(
            ("cosmology", "theta_star_100"), "only a solver knows h of it; give h or H0"
        )
    for name, value in given.items():
        if isinstance(value, list) and name != "m_nu":
            raise document.error(("cosmology", name), f"is {value}; expected a number")
    values = {"tau_reio": 0.054, **given}  # which changes nothing here
    hierarchy = file.neutrino_hierarchy if "neutrino_hierarchy" in file.model_fields_set else None
    try:
        return universes.Cosmology.from_parameters(values, neutrino_hierarchy=hierarchy)
    except universes.CosmologyError as error:
        raise document.error(("cosmology",), str(error)) from error


def _check_neutrinos(document: Document, file: SimulateFile, cosmology: Cosmology) -> None:
    """Neutrinos on the mesh have mass, a known power, and an integrator that lets them."""
    if file.neutrinos == "none":
        return
    key = ("neutrinos",)
    if not np.sum(np.asarray(cosmology.m_nu)) > 0.0:
        raise document.error(key, "grid, and the universe has m_nu = 0; give it mass, or none")
    if file.power.linear != "learned":
        raise document.error(key, "grid needs power: {linear: learned}, which knows neutrinos")
    if file.initial.order > 2:
        raise document.error(key, "grid, and initial.order is 3; choose 1 or 2 beside neutrinos")
    if file.integrator in ("fastpm", "bullfrog"):
        raise document.error(
            key,
            f"grid, and the growth of {file.integrator} is the same for all waves; choose "
            "integrator: cola, cola-quinn or kdk",
        )


def _check_power(document: Document, found: SimulateConfiguration) -> None:
    """The power spectrum covers the box and knows the universe."""
    from ..nbody import BoxPower, InitialConditionsError
    from ..power import PowerError, power_model

    linear = power_model(found.file.power.linear, "none")
    try:
        BoxPower.of(found.cosmology, found.mesh, linear)
    except InitialConditionsError as error:
        raise document.error(("box",), str(error)) from error
    except PowerError as error:
        raise document.error(("cosmology",), str(error)) from error
