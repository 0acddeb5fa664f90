"""The linear density of today, from which particles start: Gaussian, or with local f_NL.

    delta(k) = w(k) sqrt(P(k) / V_cell),    <w(x) w(y)> = 1 in the same cell and 0 elsewhere,

P the linear spectrum of a = 1. Here lengths go from Mpc to Mpc/h, and nowhere else in this folder.
With local primordial non-Gaussianity the potential is Phi = phi + f_NL (phi^2 - <phi^2>), where
Phi = (3/5) R has the power (9/25) (2 pi^2 / k^3) A_s (k / k_p)^(n_s - 1) and the sign with which
f_NL > 0 makes more dense peaks, and delta(k) = sqrt(P(k) / P_Phi(k)) Phi(k).
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volvelle.cosmology import Cosmology
from volvelle.cosmology.interpolation import Curve, Nodes
from volvelle.cosmology.neutrinos import is_traced
from volvelle.power import Model, learned_power, nonlinear_spectrum
from volvelle.power.eisenstein_hu import PIVOT
from volvelle.power.errors import RedshiftError, WavenumberError

from .errors import InitialConditionsError
from .mesh import Mesh
from .modes import Modes, product, real_dtype, refined
from .white_noise import Seed, white_noise

_NODES = 512
"""Of ln P between the box's smallest and largest wavenumber."""

Field = Float[Array, "n n n"]
Power = Model | Callable[[Array, Array], Array] | None


class InitialConditions(eqx.Module):
    """The linear density contrast today on the grid that particles start from.

    Raises InitialConditionsError for another shape than the mesh's, and for values that are not
    finite.
    """

    mesh: Mesh
    density: Field

    def __init__(self, mesh: Mesh, density: Field | np.ndarray) -> None:
        """Take a field [n, n, n] of ``mesh``; NumPy's float64 is kept where JAX has it."""
        if np.shape(density) != mesh.shape:
            raise InitialConditionsError(
                f"a density of shape {np.shape(density)}; expected {mesh.shape}, one value for "
                "each point of the mesh"
            )
        if not is_traced(density) and not np.all(np.isfinite(density)):
            bad = int(np.sum(~np.isfinite(density)))
            raise InitialConditionsError(
                f"the density has {bad} values that are not finite, of {np.size(density)}; "
                "expected the linear density contrast of today: look at what made it"
            )
        self.mesh, self.density = mesh, jnp.asarray(density)

    @property
    def modes(self) -> Modes:
        """The density as a Fourier field."""
        return jnp.fft.rfftn(self.density)


class BoxPower(eqx.Module):
    """Linear P(k) [(Mpc/h)^3] of one time at the wavenumbers [h/Mpc] of a mesh."""

    log_power: Curve

    @classmethod
    def of(
        cls,
        cosmology: Cosmology,
        mesh: Mesh,
        power: Power = None,
        species: str = "matter",
        a: float = 1.0,
    ) -> "BoxPower":
        """Evaluate a model between the mesh's fundamental wavenumber and sqrt(3) times Nyquist's.

        Args:
            power: a model of ``volvelle.power`` (the learned one, if None), or a function of k
                [1/Mpc] and a that returns P [Mpc^3].
            species: ``matter`` or ``cb``, of a model.

        Raises InitialConditionsError where the model does not cover the box, or what it returns is
        no power; ParameterError without h.
        """
        x = log_wavenumbers(mesh, _NODES)
        low, high = np.exp(x[[0, -1]])
        h = cosmology.hubble_parameter
        k, at = jnp.exp(jnp.asarray(x)) * h, jnp.full(_NODES, a)
        model = learned_power() if power is None else power
        if isinstance(model, Model):
            spectrum = nonlinear_spectrum(cosmology, model)
            try:
                spectrum.checked(k, at)
            except (WavenumberError, RedshiftError) as error:
                raise InitialConditionsError(
                    f"the box of {mesh.box_size:g} Mpc/h with {mesh.cells} cells per side has "
                    f"wavenumbers from {low:.4g} to {high:.4g} h/Mpc (h = {_known(h)}), at "
                    f"a = {a:g}; {error}"
                ) from error
            found = spectrum(k, at, species)
        else:
            found = jnp.asarray(model(k, at))
        found = found * h**3
        if not is_traced(found) and not np.all((np.asarray(found) > 0) & np.isfinite(found)):
            at = np.flatnonzero(~((np.asarray(found) > 0) & np.isfinite(found)))[0]
            raise InitialConditionsError(
                f"P is {float(found[at]):.4g} (Mpc/h)^3 at k = {np.exp(x[at]):.4g} h/Mpc; expected "
                f"finite values above 0 from {low:.4g} to {high:.4g} h/Mpc"
            )
        return cls(Curve.through(Nodes.of(x), jnp.log(found)))

    def on(self, mesh: Mesh, dtype: jnp.dtype) -> Float[Array, "n n half"]:
        """P of every mode; 0 at k = 0."""
        return self.at(mesh.k_squared().astype(dtype), mesh)

    def at(self, square: Float[Array, "*s"], mesh: Mesh) -> Float[Array, "*s"]:
        """P where k^2 [(h/Mpc)^2] is one of the mesh; 0 at k = 0."""
        curve = Curve(
            self.log_power.nodes,
            self.log_power.values.astype(square.dtype),
            self.log_power.slopes.astype(square.dtype),
        )
        safe = jnp.where(square > 0.0, square, mesh.fundamental**2)
        return jnp.where(square > 0.0, jnp.exp(curve(0.5 * jnp.log(safe))), 0.0)


def log_wavenumbers(mesh: Mesh, number: int) -> np.ndarray:
    """ln k [h/Mpc] in equal steps over all wavenumbers of a mesh, and a bit beyond."""
    low, high = mesh.fundamental * (1 - 1e-4), np.sqrt(3.0) * mesh.nyquist * (1 + 1e-4)
    return np.linspace(np.log(low), np.log(high), number)


def _known(value: Array | float) -> str:
    return "traced" if is_traced(value) else f"{float(value):.4f}"


def gaussian(
    cosmology: Cosmology,
    mesh: Mesh,
    seed: Seed,
    *,
    power: Power = None,
    species: str = "matter",
    fixed_amplitude: bool = False,
    paired: bool = False,
    f_nl: Float[Array, ""] | float = 0.0,
    dtype: jnp.dtype | type = jnp.float32,
) -> InitialConditions:
    """Initial conditions from a seed; arguments are those of ``white_noise`` and
    ``from_white_noise``, and so are the errors.
    """
    noise = white_noise(seed, mesh, fixed_amplitude=fixed_amplitude, paired=paired, dtype=dtype)
    return from_white_noise(cosmology, mesh, noise, power=power, species=species, f_nl=f_nl)


def from_white_noise(
    cosmology: Cosmology,
    mesh: Mesh,
    noise: Field | np.ndarray,
    *,
    power: Power = None,
    species: str = "matter",
    f_nl: Float[Array, ""] | float = 0.0,
) -> InitialConditions:
    """Initial conditions from white noise of unit variance per cell, one's own for example.

    Args:
        noise: [n, n, n]; its precision is that of all that follows.
        power: a linear model of ``volvelle.power`` (the learned one, if None), or a function of k
            [1/Mpc] and a that returns P [Mpc^3]; of the universe today.
        species: ``matter``, or ``cb`` for baryons and cold dark matter.
        f_nl: local primordial non-Gaussianity, of the potential; it needs A_s. The square is made
            on 3/2 of the mesh, so that it has no aliases.

    Differentiable in the cosmology, the noise and f_nl. Raises InitialConditionsError for noise
    that is no field of the mesh, for a P that does not cover the box, and for f_nl without A_s.
    """
    modes = InitialConditions(mesh, noise).modes  # the same is asked of a density
    spectrum = BoxPower.of(cosmology, mesh, power, species)
    if not is_traced(f_nl) and float(f_nl) == 0.0:
        return InitialConditions(mesh, _coloured(modes, spectrum, mesh))
    scale, tilt = _primordial(cosmology)
    found = _with_square(modes, spectrum, mesh, scale, tilt, jnp.asarray(f_nl))
    return InitialConditions(mesh, found)


def to_white_noise(
    cosmology: Cosmology,
    initial: InitialConditions,
    *,
    power: Power = None,
    species: str = "matter",
) -> Field:
    """The white noise of Gaussian initial conditions, of mean 0: ``from_white_noise`` undone."""
    spectrum = BoxPower.of(cosmology, initial.mesh, power, species)
    return _bleached(initial.modes, spectrum, initial.mesh)


@eqx.filter_jit
def _coloured(modes: Modes, spectrum: BoxPower, mesh: Mesh) -> Field:
    scale = _root(spectrum.on(mesh, real_dtype(modes)) / mesh.cell**3)
    return jnp.fft.irfftn(modes * scale, s=mesh.shape)


@eqx.filter_jit
def _bleached(modes: Modes, spectrum: BoxPower, mesh: Mesh) -> Field:
    scale = _root(spectrum.on(mesh, real_dtype(modes)) / mesh.cell**3)
    modes = jnp.where(scale > 0.0, modes / jnp.where(scale > 0.0, scale, 1.0), 0.0)
    return jnp.fft.irfftn(modes, s=mesh.shape)


@eqx.filter_jit
def _with_square(
    modes: Modes, spectrum: BoxPower, mesh: Mesh, scale: Array, tilt: Array, f_nl: Array
) -> Field:
    """The density whose primordial power is scale k^(tilt - 3), bent by f_nl."""
    dtype = real_dtype(modes)
    square = mesh.k_squared().astype(dtype)
    k = jnp.sqrt(jnp.where(square > 0.0, square, mesh.fundamental**2))
    power = scale.astype(dtype) * k ** (tilt.astype(dtype) - 3.0)
    primordial = jnp.where(square > 0.0, power, 0.0)
    phi = modes * _root(primordial / mesh.cell**3)

    def squared(field: Callable[[Modes], Field]) -> Field:
        return field(phi) ** 2

    squares = product(squared, mesh.cells, refined(mesh, 1.5)).at[0, 0, 0].set(0.0)
    bent = phi + f_nl.astype(dtype) * squares
    bent = bent * _root(spectrum.on(mesh, dtype) / jnp.where(primordial > 0.0, primordial, 1.0))
    return jnp.fft.irfftn(bent, s=mesh.shape)


def _root(values: Array) -> Array:
    """sqrt, with the derivative 0 at 0."""
    return jnp.where(values > 0.0, jnp.sqrt(jnp.where(values > 0.0, values, 1.0)), 0.0)


def _primordial(cosmology: Cosmology) -> tuple[Array, Array]:
    """Power of the primordial potential at k = 1 h/Mpc [(Mpc/h)^3], and n_s - 1."""
    if cosmology.A_s is None:
        raise InitialConditionsError(
            "f_nl with a cosmology given by sigma8; the potential's amplitude follows from A_s: "
            "give A_s in its place"
        )
    tilt = jnp.asarray(cosmology.n_s) - 1.0
    pivot = PIVOT / jnp.asarray(cosmology.hubble_parameter)
    return 9.0 / 25.0 * 2.0 * np.pi**2 * cosmology.A_s * pivot**-tilt, tilt
