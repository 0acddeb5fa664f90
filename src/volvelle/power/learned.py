"""The linear power spectrum learned from CLASS, which the package ships.

    ln P(k, z) = ln P_EH(k, z) + 2 W(k) ln(D_all/D_cb) + 2 ln|1 - 3 K / k^2| + r(k, z; parameters),

with Eisenstein & Hu's fit (right amplitude, tilt, growth and oscillations to some percent), growth
with clustering neutrinos (D_all) on scales that they cannot leave, W = 1 there, and the curvature
K = -Omega_k H0^2 / c^2. The rest r, principal components of exact solutions' tables as a smooth
function of eight parameters, is small and holds the physics that the fits lack. Amplitude and tilt
enter exactly. From its last redshift on r stays as it is there.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.background import densities
from volvelle.cosmology.constants import HUBBLE_DISTANCE
from volvelle.cosmology.growth import GrowthTable, growth_table
from volvelle.cosmology.interpolation import Nodes
from volvelle.cosmology.neutrinos import is_traced
from volvelle.emulator.basis import PrincipalComponents
from volvelle.learning.checking import Validated, require
from volvelle.learning.errors import StorageError
from volvelle.learning.process_mean import ProcessMean
from volvelle.learning.storage import load_model, storable

from .base import Model, Spectrum
from .eisenstein_hu import EisensteinHu, EisensteinHuSpectrum
from .errors import DomainError
from .table import Surface
from .variance import eight

PARAMETERS = ("omega_b", "omega_cdm", "h", "m_nu", "N_eff", "Omega_k", "w0", "wa")
"""What the rest depends on, in the order of the features."""
SPECIES = ("matter", "cb")
SHIPPED = "linear"
T_CMB = 2.7255
"""Of the training [K]."""
DARK_ENERGY_LEAST = 0.05
"""Of Omega_de today in the training: the box has corners that are left out."""
FIRST = 1e-3
"""The earliest a, shortly before last scattering."""
_SCALE, _SLOPE, _SMALL = 0.12, 1.5, 1e-4
"""W = 1 / (1 + (k / k_half)^_SLOPE), k_half = _SCALE sqrt(m_nu omega_m / eV) [1/Mpc], a few times
the largest free-streaming scale; m_nu is rounded off at _SMALL [eV]."""
LOWEST_MODE = 8.0
"""In a closed universe there is no mode below k^2 = 8 K."""

Points = Float[Array, " *k"]


class Analytic(eqx.Module):
    """What is known without learning, of one universe."""

    fit: EisensteinHuSpectrum
    all_growth: GrowthTable
    streaming: Float[Array, ""]
    """(k^_SLOPE) at which W is a half."""
    neutrinos: Float[Array, ""]
    """Their fraction of all matter today."""
    curvature: Float[Array, ""]
    """K [1/Mpc^2]."""

    @classmethod
    def of(cls, cosmology: Cosmology) -> Analytic:
        """Raises ParameterError without h."""
        found = densities(cosmology)
        scale = (
            _SCALE**2 * jnp.sqrt(jnp.asarray(cosmology.m_nu) ** 2 + _SMALL**2) * cosmology.omega_m
        )
        hubble = jnp.asarray(cosmology.hubble_parameter) / HUBBLE_DISTANCE
        return cls(
            fit=EisensteinHu().spectrum(cosmology),
            all_growth=growth_table(found, clustering_neutrinos=True),
            streaming=jnp.asarray(scale) ** (_SLOPE / 2.0),
            neutrinos=jnp.asarray(cosmology.omega_nu / cosmology.omega_m),
            curvature=-jnp.asarray(cosmology.Omega_k) * hubble**2,
        )

    def exists(self, k: Points) -> Points:
        """Whether the universe has modes of k."""
        return k**2 >= LOWEST_MODE * self.curvature

    def log_power(self, k: Points, a: Points) -> tuple[Points, Points]:
        """ln P of matter and of baryons + cold dark matter, where there are modes."""
        both = [
            jnp.log(growth(a)[0]) - jnp.log(growth.growth[0])
            for growth in (self.all_growth, self.fit.growth)
        ]
        free = jnp.exp(_SLOPE * jnp.log(k))
        weight = self.streaming / (self.streaming + free)
        bent = jnp.where(self.exists(k), 1.0 - 3.0 * self.curvature / k**2, 1.0)
        cb = jnp.log(self.fit.matter(k, a)) + 2.0 * weight * (both[0] - both[1])
        cb = cb + 2.0 * jnp.log(jnp.abs(bent))
        return cb + 2.0 * jnp.log1p(-self.neutrinos * (1.0 - weight)), cb


class LearnedSpectrum(Spectrum):
    """P of one universe; NaN where a closed universe has no mode, or outside of the domain."""

    k_min: float = eqx.field(static=True)
    k_max: float = eqx.field(static=True)
    a_min: float = eqx.field(static=True)
    known: Analytic
    rest: tuple[Surface, Surface]
    factor: Float[Array, ""]
    """What sigma8 makes of the amplitude; NaN outside of the training's domain."""

    def matter(self, k: Points, a: Points) -> Points:
        """P of all matter."""
        return self._power(0, k, a)

    def cb(self, k: Points, a: Points) -> Points:
        """P of baryons and cold dark matter."""
        return self._power(1, k, a)

    def _power(self, species: int, k: Points, a: Points) -> Points:
        surface = self.rest[species]
        y = jnp.minimum(-jnp.log(a), surface.y.values[-1])
        known = self.known.log_power(k, a)[species]
        exists = jnp.where(self.known.exists(k), self.factor, jnp.nan)
        return exists * jnp.exp(known + surface(jnp.log(k), y))


def features_of(cosmology: Cosmology) -> Float[Array, " f"]:
    """What the rest is a smooth function of.

    The parameters that set the early universe and curvature, and dark energy by its pressure: its
    perturbations near the horizon are driven by (1 + w) Omega_de at the times ``_DARK``.
    """
    found = densities(cosmology)
    a = jnp.asarray(_DARK)
    equation = found.w0 + found.wa * (1.0 - a)
    dark = (1.0 + equation) * found.dark(a) / found.total(a)
    middle, half = np.array(_FEATURES).T
    own = [jnp.asarray(getattr(cosmology, name)) for name in PARAMETERS[: len(_FEATURES)]]
    return jnp.concatenate([(jnp.stack(own) - middle) / half, _DARK_SCALE * dark])


@storable
class WavenumberBlock(Validated):
    """Some wavenumbers' rest: components on their nodes, and what maps features to them."""

    basis: PrincipalComponents
    regressor: ProcessMean

    def __call__(self, x: Float[Array, " f"]) -> Float[Array, " o"]:
        """The rest [species, z, k], as one row."""
        return self.basis.decode(self.regressor(x))

    def validate(self) -> None:
        m, _ = self.basis.shape
        require(self.regressor.beta.shape[0] == m, "regressor and basis differ in size")
        width = len(_FEATURES) + len(_DARK)
        require(self.regressor.points.shape[1] == width, f"its features are not {width}")


@storable
class LearnedPower(Model, Validated):
    """Linear P(k, z) of matter and of baryons + cold dark matter, from CLASS's solutions.

    ``lower``, ``upper``: edges of ``PARAMETERS``; ``early``: the largest w0 + wa; ``log_k``,
    ``log_z``: nodes in ln k [1/Mpc] and ln(1 + z). The neutrinos' mass is that of one state, the
    hierarchy ``single``.
    """

    lower: tuple[float, ...] = eqx.field(static=True)
    upper: tuple[float, ...] = eqx.field(static=True)
    early: float = eqx.field(static=True)
    log_k: tuple[float, ...] = eqx.field(static=True)
    log_z: tuple[float, ...] = eqx.field(static=True)
    blocks: tuple[WavenumberBlock, ...]
    """Of consecutive wavenumbers."""

    @staticmethod
    def load(folder: Path) -> tuple[LearnedPower, dict[str, Any]]:
        """A stored one and the record of its training. Raises StorageError where there is none."""
        found, record = load_model(folder)
        if not isinstance(found, LearnedPower):
            raise StorageError(f"{folder} holds a {type(found).__name__}, no learned linear power")
        return found, record

    def _inside(self, cosmology: Cosmology) -> Array:
        point = jnp.stack([jnp.asarray(value) for value in self._point(cosmology)])
        low, high = np.array(self.lower), np.array(self.upper)
        edge = _ROUNDING * (high - low)
        inside = jnp.all((point >= low - edge) & (point <= high + edge))
        inside &= cosmology.w0 + cosmology.wa <= self.early + _ROUNDING
        inside &= _dark_energy(cosmology) >= DARK_ENERGY_LEAST - _ROUNDING
        return inside & (jnp.abs(cosmology.T_cmb - T_CMB) <= _ROUNDING)

    @staticmethod
    def _point(cosmology: Cosmology) -> tuple[Array | float, ...]:
        if cosmology.neutrino_hierarchy != "single":
            raise DomainError(
                f"the learned linear spectrum is of one massive neutrino; neutrino_hierarchy is "
                f"{cosmology.neutrino_hierarchy}: set single, or take a solver's table"
            )
        _ = cosmology.hubble_parameter, cosmology.N_eff_total  # which raise where there is none
        values: list[Any] = [getattr(cosmology, name) for name in PARAMETERS]
        return tuple(values)

    def spectrum(self, cosmology: Cosmology) -> LearnedSpectrum:
        """All that depends on the cosmology.

        Raises DomainError outside of the training's domain; traced parameters outside give NaN.
        """
        self.check(cosmology)
        if cosmology.sigma8 is None:
            return self._spectrum(cosmology)
        trial = cosmology.replace(sigma8=None, A_s=_TRIAL)
        made = self._spectrum(trial)
        factor = (cosmology.sigma8 / eight(trial, made, jnp.ones(()), "matter")) ** 2
        return eqx.tree_at(lambda s: s.factor, made, made.factor * factor)

    def _spectrum(self, cosmology: Cosmology) -> LearnedSpectrum:
        k, z = Nodes.of(self.log_k), Nodes.of(self.log_z)
        x, shape = features_of(cosmology), (len(SPECIES), len(z.values), -1)
        rest = jnp.concatenate([jnp.reshape(block(x), shape) for block in self.blocks], axis=-1)
        return LearnedSpectrum(
            k_min=float(np.exp(k.values[0])),
            k_max=float(np.exp(k.values[-1])),
            a_min=FIRST,
            known=Analytic.of(cosmology),
            rest=(Surface.through(k, z, rest[0]), Surface.through(k, z, rest[1])),
            factor=jnp.where(self._inside(cosmology), 1.0, jnp.nan),
        )

    def check(self, cosmology: Cosmology) -> None:
        """Raise DomainError for known parameters outside of the training's domain."""
        point = self._point(cosmology)
        if cosmology.Y_he is not None:
            raise DomainError(
                "Y_he is given; the learned linear spectrum has the helium of nucleosynthesis: "
                "leave it out, or take a solver's table"
            )
        if not is_traced(cosmology.T_cmb) and abs(float(cosmology.T_cmb) - T_CMB) > _ROUNDING:
            raise DomainError(
                f"T_cmb is {float(cosmology.T_cmb):.6g} K; the learned linear spectrum is of "
                f"{T_CMB} K: take a solver's table (power.TabulatedPower) or EisensteinHu"
            )
        for name, value, low, high in zip(PARAMETERS, point, self.lower, self.upper, strict=True):
            edge = _ROUNDING * (high - low)
            if not is_traced(value) and not low - edge <= float(value) <= high + edge:
                raise DomainError(
                    f"{name} is {float(value):.6g}; the learned linear spectrum is known for "
                    f"{low:.4g} to {high:.4g}: take a solver's table "
                    "(power.TabulatedPower) or EisensteinHu"
                )
        dark = [value for name, value in zip(PARAMETERS, point, strict=True) if name[0] == "w"]
        if not any(is_traced(value) for value in dark) and sum(map(float, dark)) > self.early:
            raise DomainError(
                f"w0 + wa is {sum(map(float, dark)):.4g}; the learned linear spectrum is known up "
                f"to {self.early:.4g}: dark energy matters early beyond"
            )

        least = _dark_energy(cosmology)
        if not is_traced(least) and float(least) < DARK_ENERGY_LEAST - _ROUNDING:
            raise DomainError(
                f"Omega_de is {float(least):.4g}, what matter and curvature leave; the learned "
                f"linear spectrum is known from {DARK_ENERGY_LEAST} on"
            )

    def validate(self) -> None:
        outputs = len(SPECIES) * len(self.log_k) * len(self.log_z)
        rows = len(SPECIES) * len(self.log_z)
        sizes = [block.basis.shape[1] for block in self.blocks]
        require(sum(sizes) == outputs, f"its blocks have {sum(sizes)} numbers, not {outputs}")
        require(all(size % rows == 0 for size in sizes), "a block ends within a wavenumber")
        d = len(PARAMETERS)
        require(len(self.lower) == len(self.upper) == d, f"it has no {d} parameters")
        require(bool(np.all(np.less(self.lower, self.upper))), "the domain has no inside")
        for nodes in (self.log_k, self.log_z):
            require(len(nodes) >= _LEAST and bool(np.all(np.diff(nodes) > 0.0)), "bad nodes")
        require(self.log_z[0] == 0.0, "its redshifts do not begin today")


_FEATURES = ((0.0225, 0.0055), (0.135, 0.065), (0.725, 0.225), (0.3, 0.3), (3.25, 1.25), (0.0, 0.1))
"""Middle and half width of the first six parameters, for their features."""
_DARK, _DARK_SCALE = (1.0, 0.75, 0.5, 0.3), 3.0
_ROUNDING = 1e-9


def _dark_energy(cosmology: Cosmology) -> Array:
    """Omega_de today; radiation is left out, as in the design of the training."""
    return jnp.asarray(1.0 - cosmology.Omega_k - cosmology.Omega_m)


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
    where = resources.files("volvelle.power") / SHIPPED
    # the first call may come while JAX traces
    with resources.as_file(where) as folder, jax.ensure_compile_time_eval():
        return LearnedPower.load(Path(folder))
