"""The linear power spectrum learned from CLASS, which the package ships.

    ln P(k, z) = ln P_known(k, z) + e(u(k)) + l(k, z),

with the part that is known without learning (``analytic``), and two small rests that are principal
components of exact solutions' tables as smooth functions of parameters. The early one, e, is of
baryons and cold dark matter at a redshift long before dark energy; it depends on few parameters,
and its nodes u(k) move with the sound horizon, so that acoustic oscillations keep their phase. The
late one, l, of all eight, is what growth adds, of matter and of cb. They are learned with one
massive neutrino: those of several states are added up, and what pairs of heavy ones add to the sum
is learned apart, in units of the product of their masses. Amplitude and tilt enter exactly. From
its last redshift on l stays as it is there, and what radiation does to waves near the horizon
(``early``) is added.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import make_interp_spline

from volvelle.compute import require_float64
from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import densities
from volvelle.cosmology.interpolation import Curve, Nodes
from volvelle.cosmology.neutrinos import HIERARCHIES, MASSES, is_traced
from volvelle.emulator.basis import PrincipalComponents
from volvelle.learning.checking import Validated, require
from volvelle.learning.errors import StorageError
from volvelle.learning.process_mean import ProcessMean
from volvelle.learning.storage import load_model, storable

from .analytic import Analytic, stretched
from .base import Model, Spectrum
from .early import EarlyGrowth
from .eisenstein_hu import A_MIN
from .errors import DomainError
from .learned_features import (
    EARLY_WIDTH,
    LATE_WIDTH,
    PARAMETERS,
    early_features,
    excess_mass,
    late_features,
    massive_states,
    pair_products,
)
from .table import Surface
from .variance import eight

SPECIES = ("matter", "cb")
SHIPPED = "linear"
T_CMB = 2.7255
"""Of the training [K]."""
DARK_ENERGY_LEAST = 0.05
"""Of Omega_de today in the training: the box has corners that are left out."""

Points = Float[Array, " *k"]


class LearnedSpectrum(Spectrum):
    """P of one universe; NaN where a closed universe has no mode, or outside of the domain."""

    k_min: float = eqx.field(static=True)
    k_max: float = eqx.field(static=True)
    a_min: float = eqx.field(static=True)
    known: Analytic
    waves: Curve
    """The early rest, of ``stretched`` ln k."""
    rest: tuple[Surface, Surface]
    """The late one of matter and of cb."""
    early: EarlyGrowth
    factor: Float[Array, ""]
    """What sigma8 makes of the amplitude; NaN outside of the training's domain."""

    @property
    def first_mode(self) -> Array | float:
        """Of a closed universe; next to nothing in others, ``k_min`` in one known to be flat."""
        found = self.known.first_mode
        return self.k_min if found is None else found

    def matter(self, k: Points, a: Points) -> Points:
        """P of all matter."""
        return self._power(0, k, a)

    def cb(self, k: Points, a: Points) -> Points:
        """P of baryons and cold dark matter."""
        return self._power(1, k, a)

    def _power(self, species: int, k: Points, a: Points) -> Points:
        surface = self.rest[species]
        last = surface.y.values[-1]
        y = jnp.minimum(-jnp.log(a), last)
        known = self.known.log_power(k, a)[species]
        # the rest knows what it is up to its last redshift
        known = known + self.early(k, a) - self.early(k, jnp.maximum(a, np.exp(-last)))
        log_k = jnp.log(k)
        waves = self.waves(stretched(log_k, self.known.sound_horizon))
        exists = jnp.where(self.known.exists(k), self.factor, jnp.nan)
        return exists * jnp.exp(known + waves + surface(log_k, y))


def normalised(
    cosmology: Cosmology, make: Callable[[Cosmology], LearnedSpectrum]
) -> LearnedSpectrum:
    """A spectrum as ``make`` makes it of A_s, with the cosmology's sigma8 if it has that."""
    if cosmology.sigma8 is None:
        return make(cosmology)
    trial = cosmology.replace(sigma8=None, A_s=_TRIAL)
    made = make(trial)
    factor = (cosmology.sigma8 / eight(trial, made, jnp.ones(()), "matter")) ** 2
    return eqx.tree_at(lambda s: s.factor, made, made.factor * factor)


@storable
class WavenumberBlock(Validated):
    """A rest at some wavenumbers: components on their nodes, and what maps features to them."""

    basis: PrincipalComponents
    regressor: ProcessMean

    def __call__(self, x: Float[Array, " f"]) -> Float[Array, " o"]:
        """The rest, as one row: of wavenumbers the early one, of [species, z, k] the late one."""
        return self.basis.decode(self.regressor(x))

    def validate(self) -> None:
        m, _ = self.basis.shape
        require(self.regressor.beta.shape[0] == m, "regressor and basis differ in size")

    @property
    def width(self) -> int:
        """How many features it is a function of."""
        return int(self.regressor.points.shape[1])


@storable
class LearnedPower(Model, Validated):
    """Linear P(k, z) of matter and of baryons + cold dark matter, from CLASS's solutions.

    ``lower``, ``upper``: edges of ``PARAMETERS``; ``largest_early``: the largest w0 + wa;
    ``log_k``, ``log_z``: nodes in ln k [1/Mpc] and ln(1 + z), of the early rest in ``stretched``
    ln k. ``pairs``: what two states of neutrinos add to the sum of their rests, over the product of
    their masses [1/eV^2]; none where it was not learned.
    """

    lower: tuple[float, ...] = eqx.field(static=True)
    upper: tuple[float, ...] = eqx.field(static=True)
    largest_early: float = eqx.field(static=True)
    log_k: tuple[float, ...] = eqx.field(static=True)
    log_z: tuple[float, ...] = eqx.field(static=True)
    early: tuple[WavenumberBlock, ...]
    late: tuple[WavenumberBlock, ...]
    """Both of consecutive wavenumbers."""
    pairs: WavenumberBlock | None = None

    @staticmethod
    def load(folder: Path) -> tuple[LearnedPower, dict[str, Any]]:
        """A stored one and the record of its training. Raises StorageError where there is none."""
        found, record = load_model(folder)
        if not isinstance(found, LearnedPower):
            raise StorageError(f"{folder} holds a {type(found).__name__}, no learned linear power")
        return found, record

    def _inside(self, cosmology: Cosmology, names: tuple[str, ...]) -> Array:
        kept = np.isin(PARAMETERS, names)
        point = jnp.stack([jnp.asarray(value) for value in self._point(cosmology)])[kept]
        low, high = np.array(self.lower)[kept], np.array(self.upper)[kept]
        edge = _ROUNDING * (high - low)
        inside = jnp.all((point >= low - edge) & (point <= high + edge))
        inside &= cosmology.w0 + cosmology.wa <= self.largest_early + _ROUNDING
        inside &= _dark_energy(cosmology) >= DARK_ENERGY_LEAST - _ROUNDING
        return inside & (jnp.abs(cosmology.T_cmb - T_CMB) <= _ROUNDING)

    @staticmethod
    def _point(cosmology: Cosmology) -> tuple[Array | float, ...]:
        if cosmology.neutrino_hierarchy not in (*HIERARCHIES, MASSES):
            raise DomainError(
                f"neutrino_hierarchy is {cosmology.neutrino_hierarchy}; the learned linear "
                f"spectrum knows {', '.join(HIERARCHIES)} and {MASSES}: set one, or take a "
                "solver's table"
            )
        _ = cosmology.hubble_parameter, cosmology.N_eff_total  # which raise where there is none
        values: dict[str, Any] = {name: getattr(cosmology, name) for name in PARAMETERS}
        return tuple((values | {"m_nu": cosmology.M_nu}).values())

    def spectrum(self, cosmology: Cosmology) -> LearnedSpectrum:
        """All that depends on the cosmology.

        Raises DomainError outside of the training's domain; traced parameters outside give NaN.
        Raises PrecisionError without float64: sums of large weights lose percents of P without.
        """
        require_float64("the learned linear power spectrum")
        self.check(cosmology)
        return normalised(cosmology, self.made)

    def made(self, cosmology: Cosmology, names: tuple[str, ...] = PARAMETERS) -> LearnedSpectrum:
        """The spectrum of a cosmology with A_s; NaN where one of ``names`` is outside of the
        domain, and with the rests of the domain's nearest point where another one is (linear in
        the masses)."""
        k, z = Nodes.of(self.log_k), Nodes.of(self.log_z)
        known, shape = Analytic.of(cosmology), (len(SPECIES), len(z.values), -1)
        masses, numbers = massive_states(cosmology)
        light = jnp.sum((numbers * jnp.exp(-((masses / _LIGHT) ** 2)))[1:])

        def of_mass(mass: Array) -> tuple[Array, Array]:
            x, y = early_features(cosmology, mass), late_features(cosmology, mass)
            late = [jnp.reshape(block(y), shape) for block in self.late]
            early = [block(x) for block in self.early]
            return jnp.concatenate(early), jnp.concatenate(late, axis=-1)

        early, late = jax.vmap(of_mass)(masses)
        none = late[0, 1] - late[0, 0]
        early, late = (jnp.tensordot(numbers, each, 1) for each in (early, late))
        if "m_nu" not in names:
            last, excess = excess_mass(masses, numbers)
            _, slopes = jax.jvp(of_mass, (jnp.asarray(last),), (jnp.asarray(1.0),))
            early, late = (each + excess * s for each, s in zip((early, late), slopes, strict=True))
        late = late.at[0].add((numbers[0] + light) * none)
        if self.pairs is not None and cosmology.neutrino_hierarchy != "single":
            products, each = pair_products(masses, numbers)
            found = self.pairs(late_features(cosmology, each))
            late = late + products * jnp.reshape(found, shape)
        finer, matrix = _between(self.log_k)
        return LearnedSpectrum(
            k_min=float(np.exp(k.values[0])),
            k_max=float(np.exp(k.values[-1])),
            a_min=A_MIN,
            known=known,
            waves=Curve.through(finer, jnp.asarray(matrix) @ early),
            rest=(Surface.through(k, z, late[0]), Surface.through(k, z, late[1])),
            early=EarlyGrowth.of(densities(cosmology)),
            factor=jnp.where(self._inside(cosmology, names), 1.0, jnp.nan),
        )

    def check(self, cosmology: Cosmology) -> None:
        """Raise DomainError for known parameters outside of the training's domain."""
        if cosmology.Y_he is not None:
            raise DomainError(
                "Y_he is given; the learned linear spectrum has the helium of nucleosynthesis: "
                "leave it out, or take a solver's table"
            )
        self.refuse(cosmology, PARAMETERS)

    def refuse(self, cosmology: Cosmology, names: tuple[str, ...]) -> None:
        """Raise DomainError for known parameters of these names outside of the domain, or for
        another temperature of the CMB."""
        point = self._point(cosmology)
        if not is_traced(cosmology.T_cmb) and abs(float(cosmology.T_cmb) - T_CMB) > _ROUNDING:
            raise DomainError(
                f"T_cmb is {float(cosmology.T_cmb):.6g} K; the learned linear spectrum is of "
                f"{T_CMB} K: take a solver's table (power.TabulatedPower) or EisensteinHu"
            )
        for name, value, low, high in zip(PARAMETERS, point, self.lower, self.upper, strict=True):
            edge = _ROUNDING * (high - low)
            if name not in names or is_traced(value):
                continue
            if not low - edge <= float(value) <= high + edge:
                wide = "ExtendedPower (linear: extended), " if names == PARAMETERS else ""
                raise DomainError(
                    f"{name} is {float(value):.6g}; the learned linear spectrum is known for "
                    f"{low:.4g} to {high:.4g}: take {wide}a solver's table "
                    "(power.TabulatedPower) or EisensteinHu"
                )
        dark = [value for name, value in zip(PARAMETERS, point, strict=True) if name[0] == "w"]
        if (
            not any(is_traced(value) for value in dark)
            and sum(map(float, dark)) > self.largest_early
        ):
            raise DomainError(
                f"w0 + wa is {sum(map(float, dark)):.4g}; the learned linear spectrum is known up "
                f"to {self.largest_early:.4g}: dark energy matters early beyond"
            )

        least = _dark_energy(cosmology)
        if not is_traced(least) and float(least) < DARK_ENERGY_LEAST - _ROUNDING:
            raise DomainError(
                f"Omega_de is {float(least):.4g}, what matter and curvature leave; the learned "
                f"linear spectrum is known from {DARK_ENERGY_LEAST} on"
            )

    def validate(self) -> None:
        rows = len(SPECIES) * len(self.log_z)
        for name, blocks, each, width in (
            ("early", self.early, 1, EARLY_WIDTH),
            ("late", self.late, rows, LATE_WIDTH),
        ):
            sizes, outputs = [block.basis.shape[1] for block in blocks], each * len(self.log_k)
            found = f"its {name} blocks have"
            require(sum(sizes) == outputs, f"{found} {sum(sizes)} numbers, not {outputs}")
            require(all(size % each == 0 for size in sizes), f"{found} an end within a wavenumber")
            require(all(b.width == width for b in blocks), f"{found} not {width} features")
        if self.pairs is not None:
            outputs = rows * len(self.log_k)
            require(self.pairs.basis.shape[1] == outputs, f"its pairs have not {outputs} numbers")
            require(self.pairs.width == LATE_WIDTH, f"its pairs have not {LATE_WIDTH} features")
        d = len(PARAMETERS)
        require(len(self.lower) == len(self.upper) == d, f"it has no {d} parameters")
        require(bool(np.all(np.less(self.lower, self.upper))), "the domain has no inside")
        for nodes, least in ((self.log_k, DEGREE + 1), (self.log_z, _LEAST)):
            require(len(nodes) >= least and bool(np.all(np.diff(nodes) > 0.0)), "bad nodes")
        require(self.log_z[0] == 0.0, "its redshifts do not begin today")


_LIGHT = 3e-3
"""Of neutrinos that are hardly matter until today [eV]. CLASS counts the massive ones as matter
while they are relativistic, and never the massless: its P of matter jumps by 1e-3 at no mass, as
r(0) of what was learned with mass differs between matter and cb. Below this mass they go from one
to the other."""
_ROUNDING = 1e-9


def _dark_energy(cosmology: Cosmology) -> Array:
    """Omega_de today; radiation is left out, as in the design of the training."""
    return jnp.asarray(1.0 - cosmology.Omega_k - cosmology.Omega_m)


DEGREE = 7
"""Of the splines through the early rest's nodes: at 0.34/Mpc there are less than three per acoustic
oscillation, of which a cubic loses a tenth and this a seventieth."""


@lru_cache(maxsize=4)
def _between(log_k: tuple[float, ...]) -> tuple[Nodes, np.ndarray]:
    """Nodes twice as dense, and the matrix from values to those of the spline at these."""
    coarse = np.array(log_k)
    fine = np.sort(np.concatenate([coarse, 0.5 * (coarse[1:] + coarse[:-1])]))
    return Nodes.of(fine), make_interp_spline(coarse, np.eye(coarse.size), k=DEGREE)(fine)


_LEAST = 4  # nodes of a cubic
_TRIAL = 2e-9  # A_s


@lru_cache(maxsize=1)
def learned_power() -> LearnedPower:
    """The one that the package ships; its certificate is ``learned_record()['certificate']``."""
    return _shipped()[0]


def learned_record() -> dict[str, Any]:
    """How the shipped one was trained, and what was found at fresh solutions."""
    return dict(_shipped()[1])


@lru_cache(maxsize=1)
def _shipped() -> tuple[LearnedPower, dict[str, Any]]:
    found = resources.as_file(resources.files("volvelle.power") / SHIPPED)
    with found as folder, jax.ensure_compile_time_eval():  # the first call may be traced
        return LearnedPower.load(Path(folder))
