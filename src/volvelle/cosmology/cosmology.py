"""The universe as a frozen, differentiable pytree."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .errors import ParameterError
from .neutrinos import (
    MASSES,
    NATIVE,
    check_mass_sum,
    check_masses,
    is_traced,
    minimal_sum,
    neutrino_masses,
    omega_nu,
)
from .parameters import INPUT_PARAMETERS, PARAMETERS, nearest_names

Scalar = Float[Array, ""] | float

_STANDARD_NEUTRINOS = {"m_nu": 0.06, "N_eff": 3.044}
_ALTERNATIVES = (("h", "theta_star_100"), ("A_s", "sigma8"))
_NEEDED = ("omega_b", "omega_cdm", "n_s", "tau_reio")
_ROUNDING = 1e-12
_FRACTIONS = {"Omega_b": "omega_b", "Omega_cdm": "omega_cdm"}
# Open limits (name, low, high) that refuse nonsense (a wrong unit or sign), not unusual physics.
_LEAST = -1e-30  # 0 is allowed, in single precision too
_LIMITS: tuple[tuple[str, float, float], ...] = (
    ("omega_b", 0.0, 1.0),
    ("omega_cdm", _LEAST, 10.0),
    ("h", 0.05, 5.0),
    ("theta_star_100", 0.1, 10.0),
    ("A_s", 0.0, 1e-6),
    ("sigma8", 0.0, 10.0),
    ("n_s", -5.0, 5.0),
    ("tau_reio", 0.0, 1.0),
    ("m_nu", _LEAST, 100.0),
    ("N_eff", 0.0, 30.0),
    ("w0", -10.0, 1.0 / 3.0),
    ("wa", -20.0, 10.0),
    ("Omega_k", -1.0, 1.0),
    ("T_cmb", 0.1, 30.0),
    ("Y_he", 0.0, 1.0),
)


def _scalar(value: Any) -> Any:
    """Python and NumPy numbers become floats; arrays and tracers pass."""
    if value is None or isinstance(value, jax.Array):
        return value
    if isinstance(value, (bool, str)):
        raise ParameterError(f"a cosmological parameter is {value!r}; expected a number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ParameterError(f"a cosmological parameter is {value!r}; expected a number") from None


def _masses(value: Any) -> Any:
    """A list of numbers becomes an array, of double precision where they are known."""
    if isinstance(value, (list, tuple)):
        each = [_scalar(mass) for mass in value]
        known = all(isinstance(mass, float) for mass in each)
        return np.array(each, dtype=float) if known else jnp.stack([jnp.asarray(m) for m in each])
    return np.array(value, dtype=float) if _listed(value) else _scalar(value)


def _listed(value: Any) -> bool:
    """Whether it can only be masses of several states; an array of JAX may be a batch of sums."""
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): _scalar(value) for name, value in values.items()}


class Cosmology(eqx.Module):
    """Parameters of a universe, under the field's names; omega is Omega h^2.

    ``Omega_b`` and ``Omega_cdm`` may be given in the place of ``omega_b`` and ``omega_cdm``, with
    ``h``; what is kept, and stays when another parameter is replaced, is omega. Exactly one of
    ``h`` and ``theta_star_100``, and exactly one of ``A_s`` and ``sigma8``.
    ``theta_star_100`` is 100 r_s(z_*)/D_M(z_*) with z_* where the optical depth without
    reionisation is 1. ``m_nu`` [eV] is the sum, split by ``neutrino_hierarchy`` (``single`` unless
    said otherwise), or a list or array of the masses of any number of states (hierarchy
    ``masses``); ``N_eff`` is the total, massive states included (see ``neutrinos``), and stays
    where a mass goes to 0; None means 0.06 and 3.044. ``Y_he`` None
    means big-bang nucleosynthesis. ``extra`` holds numeric inputs that only one solver knows, in
    its own words (CLASS: ``Gamma_dcdm``; CAMB: an attribute path such as
    ``Reion.delta_redshift``). With ``neutrino_hierarchy`` ``native`` they hold all neutrinos
    (CLASS: ``N_ur``, ``N_ncdm``, ``m_ncdm``, ...): ``m_nu`` and ``N_eff`` are None, and what
    needs them (omega_nu, Omega_m) is for a solver to say.

    Raises ParameterError and NeutrinoError; where values are traced, what is computed of a universe
    that cannot be is NaN.
    """

    omega_b: Scalar = eqx.field(converter=_scalar)
    omega_cdm: Scalar = eqx.field(converter=_scalar)
    n_s: Scalar = eqx.field(converter=_scalar)
    tau_reio: Scalar = eqx.field(converter=_scalar)
    h: Scalar | None = eqx.field(converter=_scalar)
    theta_star_100: Scalar | None = eqx.field(converter=_scalar)
    A_s: Scalar | None = eqx.field(converter=_scalar)
    sigma8: Scalar | None = eqx.field(converter=_scalar)
    m_nu: Scalar | Float[Array, " n"] | np.ndarray | None = eqx.field(converter=_masses)
    N_eff: Scalar | None = eqx.field(converter=_scalar)
    w0: Scalar = eqx.field(converter=_scalar)
    wa: Scalar = eqx.field(converter=_scalar)
    Omega_k: Scalar = eqx.field(converter=_scalar)
    T_cmb: Scalar = eqx.field(converter=_scalar)
    Y_he: Scalar | None = eqx.field(converter=_scalar)
    extra: dict[str, Scalar] = eqx.field(converter=_scalars)
    neutrino_hierarchy: str = eqx.field(static=True)

    def __init__(
        self,
        *,
        omega_b: Any = None,
        omega_cdm: Any = None,
        n_s: Any = None,
        tau_reio: Any = None,
        h: Any = None,
        theta_star_100: Any = None,
        A_s: Any = None,
        sigma8: Any = None,
        m_nu: Any = None,
        N_eff: Any = None,
        w0: Any = -1.0,
        wa: Any = 0.0,
        Omega_k: Any = 0.0,
        T_cmb: Any = 2.7255,
        Y_he: Any = None,
        Omega_b: Any = None,
        Omega_cdm: Any = None,
        extra: Mapping[str, Any] | None = None,
        neutrino_hierarchy: str | None = None,
    ) -> None:
        given = {"omega_b": omega_b, "omega_cdm": omega_cdm, "n_s": n_s, "tau_reio": tau_reio}
        given |= _from_fractions({"Omega_b": Omega_b, "Omega_cdm": Omega_cdm}, given, h)
        missing = [name for name in _NEEDED if given[name] is None]
        if missing:
            raise ParameterError(f"missing {', '.join(missing)}; every cosmology needs them")
        self.omega_b, self.omega_cdm = given["omega_b"], given["omega_cdm"]
        self.n_s, self.tau_reio = given["n_s"], given["tau_reio"]
        self.h, self.theta_star_100, self.A_s, self.sigma8 = h, theta_star_100, A_s, sigma8
        if neutrino_hierarchy is None:
            neutrino_hierarchy = _form_of(m_nu)
        elif _listed(m_nu) and neutrino_hierarchy != MASSES:
            raise ParameterError(
                f"m_nu is a list of {len(m_nu)} masses and neutrino_hierarchy is "
                f"{neutrino_hierarchy}, which splits a sum; leave it out, or give the sum"
            )
        native = neutrino_hierarchy == NATIVE
        self.m_nu = _STANDARD_NEUTRINOS["m_nu"] if m_nu is None and not native else m_nu
        self.N_eff = _STANDARD_NEUTRINOS["N_eff"] if N_eff is None and not native else N_eff
        self.w0, self.wa, self.Omega_k, self.T_cmb, self.Y_he = w0, wa, Omega_k, T_cmb, Y_he
        self.extra = dict(extra or {})
        self.neutrino_hierarchy = neutrino_hierarchy

    def __check_init__(self) -> None:
        for first, second in _ALTERNATIVES:
            given = [name for name in (first, second) if getattr(self, name) is not None]
            if len(given) != 1:
                raise ParameterError(
                    f"{' and '.join(given) if given else 'neither'} given; "
                    f"expected exactly one of {first} and {second}"
                )
        for name, low, high in _LIMITS:
            value = getattr(self, name)
            if value is None or is_traced(value):
                continue
            each = np.ravel(value) if jnp.ndim(value) == 0 or self._own_masses(name) else ()
            for one in each:
                if not low < float(one) < high:
                    raise ParameterError(
                        f"{name} is {float(one):.6g}; expected a value between "
                        f"{max(low, -1e30):.6g} and {high:.6g}"
                    )
        given = [name for name in _STANDARD_NEUTRINOS if getattr(self, name) is not None]
        if self.neutrino_hierarchy == NATIVE:
            if given:
                raise ParameterError(
                    f"{given[0]} cannot be given with neutrino_hierarchy {NATIVE}: the solver's "
                    "own inputs (CLASS: N_ur, N_ncdm, m_ncdm, ...) set all neutrinos; drop the one "
                    "or the other"
                )
        elif self.neutrino_hierarchy == MASSES:
            check_masses(self._neutrino("m_nu"))
        elif jnp.ndim(self._neutrino("m_nu")) == 0:
            check_mass_sum(self._neutrino("m_nu"), self.neutrino_hierarchy)

    def _own_masses(self, name: str) -> bool:
        return name == "m_nu" and self.neutrino_hierarchy == MASSES

    @property
    def possible(self) -> Bool[Array, ""] | bool:
        """Whether traced parameters are within the limits that known ones are held to.

        What is computed of a universe that is not is NaN (``background.densities``).
        """
        result: Bool[Array, ""] | bool = True
        for name, low, high in _LIMITS:
            value = getattr(self, name)
            if is_traced(value):
                within = (value > low) & (value < high)
                result = result & (jnp.all(within, -1) if self._own_masses(name) else within)
        if self.neutrino_hierarchy not in (NATIVE, MASSES) and is_traced(self.m_nu):
            smallest = minimal_sum(self.neutrino_hierarchy)
            result = result & (self._neutrino("m_nu") >= smallest * (1.0 - _ROUNDING))
        return result

    @classmethod
    def from_parameters(
        cls,
        parameters: Mapping[str, Any],
        *,
        neutrino_hierarchy: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> "Cosmology":
        """Build from a mapping of registry names, ``H0`` [km/s/Mpc] and ``ln10A_s`` included.

        Raises ParameterError for unknown names (the nearest are offered), derived names and
        conflicts.
        """
        values = dict(parameters)
        hierarchy = values.pop("neutrino_hierarchy", neutrino_hierarchy)
        for name in values:
            _check_input_name(name)
        for groups in (("h", "H0", "theta_star_100"), ("A_s", "ln10A_s", "sigma8")):
            given = [name for name in groups if values.get(name) is not None]
            if len(given) != 1:
                raise ParameterError(
                    f"{' and '.join(given) if given else 'none'} given; "
                    f"expected exactly one of {', '.join(groups)}"
                )
        if values.get("H0") is not None:
            values["h"] = _scalar(values["H0"]) / 100.0
        if values.get("ln10A_s") is not None:
            values["A_s"] = _exp(_scalar(values["ln10A_s"])) * 1e-10
        values.pop("H0", None)
        values.pop("ln10A_s", None)
        return cls(**values, neutrino_hierarchy=hierarchy, extra=dict(extra or {}))

    def replace(self, **changes: Any) -> "Cosmology":
        """A copy with some fields changed, checked again.

        ``Omega_b`` and ``Omega_cdm`` set omega_b and omega_cdm, by the new ``h`` if it is changed
        too; a list of masses in the place of a sum, or a sum in the place of masses, sets the
        hierarchy as a new cosmology would, unless that is given too. Raises ParameterError without
        h, and for unknown names.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fractions = {name: changes.pop(name) for name in _FRACTIONS if name in changes}
        own = {name: changes.get(name) for name in _FRACTIONS.values()}
        changes |= _from_fractions(fractions, own, changes.get("h", self.h))
        if "m_nu" in changes and "neutrino_hierarchy" not in changes:
            own = self.neutrino_hierarchy == MASSES
            if own != (_form_of(changes["m_nu"]) == MASSES):
                changes["neutrino_hierarchy"] = None
        unknown = [name for name in changes if name not in fields]
        if unknown:
            near = nearest_names(unknown[0], list(fields))
            raise ParameterError(f"unknown field '{unknown[0]}'; did you mean {', '.join(near)}?")
        return Cosmology(**{**fields, **changes})

    @property
    def omega_nu(self) -> Scalar:
        """Omega_nu h^2 of non-relativistic neutrinos."""
        return omega_nu(self.M_nu, self.T_cmb)

    @property
    def M_nu(self) -> Scalar:
        """Sum of the neutrino masses [eV]."""
        given = self._neutrino("m_nu")
        if self.neutrino_hierarchy != MASSES:
            return given
        return float(np.sum(given)) if isinstance(given, np.ndarray) else jnp.sum(given, -1)

    @property
    def omega_m(self) -> Scalar:
        """Omega_m h^2, massive neutrinos included."""
        return self.omega_b + self.omega_cdm + self.omega_nu

    @property
    def neutrino_masses(self) -> Float[Array, " n"]:
        """Masses of the massive states [eV]."""
        return neutrino_masses(self._neutrino("m_nu"), self.neutrino_hierarchy)

    @property
    def Omega_m(self) -> Scalar:
        """Matter density today, massive neutrinos included and taken as non-relativistic."""
        return self.omega_m / self.hubble_parameter**2

    @property
    def Omega_b(self) -> Scalar:
        """Baryon density today, a fraction of the critical one."""
        return self.omega_b / self.hubble_parameter**2

    @property
    def Omega_cdm(self) -> Scalar:
        """Density of cold dark matter today, a fraction of the critical one."""
        return self.omega_cdm / self.hubble_parameter**2

    @property
    def Omega_de(self) -> Scalar:
        """Density of dark energy today: what closes the sum of all others, which may be negative.

        Photons and neutrinos, with their kinetic energy, are among the others. Raises what
        ``background.densities`` raises.
        """
        from .background import densities  # which is made of cosmologies

        return densities(self).dark_energy / self.hubble_parameter**2

    @property
    def H0(self) -> Scalar:
        """Hubble constant [km/s/Mpc]."""
        return 100.0 * self.hubble_parameter

    @property
    def ln10A_s(self) -> Scalar:
        """ln(10^10 A_s)."""
        if self.A_s is None:
            raise ParameterError("ln10A_s of a cosmology given by sigma8; a solver must find A_s")
        if isinstance(self.A_s, float):
            return math.log(1e10 * self.A_s)
        return jnp.log(1e10 * self.A_s)

    @property
    def N_eff_total(self) -> Scalar:
        """N_eff; raises ParameterError where one solver's own inputs set the neutrinos."""
        return self._neutrino("N_eff")

    def _neutrino(self, name: str) -> Any:
        value = getattr(self, name)
        if value is None:
            raise ParameterError(
                f"{name} of a cosmology whose neutrinos are set by the solver's own inputs "
                f"(neutrino_hierarchy {NATIVE}); take what you need from a solution "
                "(theory['Omega_m'])"
            )
        return value

    @property
    def hubble_parameter(self) -> Scalar:
        """h; raises ParameterError where only a solver knows it."""
        if self.h is None:
            raise ParameterError(
                "h of a cosmology given by theta_star_100; a solver must find it (theory['h'])"
            )
        return self.h

    def canonical(self) -> dict[str, float | str]:
        """Every field that is set, as plain floats and strings: the identity of the model.

        Masses of several states appear as ``m_nu.1``, ``m_nu.2``, lightest first.
        Solver-native inputs appear as ``extra.NAME``. Unset alternatives, an unset Y_he and, with
        native neutrinos, m_nu and N_eff are absent.
        """
        result: dict[str, float | str] = {"neutrino_hierarchy": self.neutrino_hierarchy}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("neutrino_hierarchy", "extra") or value is None:
                continue
            if self._own_masses(field.name):
                masses = sorted(float(mass) for mass in value)
                result |= {f"m_nu.{n}": mass for n, mass in enumerate(masses, 1)}
                continue
            result[field.name] = float(value)
        result.update({f"extra.{name}": float(value) for name, value in self.extra.items()})
        return dict(sorted(result.items()))

    @classmethod
    def from_canonical(cls, values: Mapping[str, float | str]) -> "Cosmology":
        """Inverse of ``canonical``."""
        fields: dict[str, Any] = {n: v for n, v in values.items() if "." not in n}
        masses = [v for n, v in values.items() if n.startswith("m_nu.")]
        if masses:
            fields["m_nu"] = masses
        extra = {n[len("extra.") :]: v for n, v in values.items() if n.startswith("extra.")}
        return cls(**fields, extra=extra)


def _form_of(m_nu: Any) -> str:
    """The hierarchy that a cosmology has unless one is given."""
    return MASSES if m_nu is not None and jnp.ndim(_masses(m_nu)) > 0 else "single"


def _from_fractions(
    fractions: Mapping[str, Any], given: Mapping[str, Any], h: Any
) -> dict[str, Any]:
    """omega = Omega h^2 of the fractions that are not None."""
    result = {}
    for name, value in fractions.items():
        own = _FRACTIONS[name]
        if value is None:
            continue
        if given[own] is not None or h is None:
            words = f"{own} is given too; drop one" if h is not None else "give h beside it"
            raise ParameterError(f"{name} is a fraction of the critical density; {words}")
        result[own] = _scalar(value) * _scalar(h) ** 2
    return result


def _exp(value: Any) -> Any:
    return math.exp(value) if isinstance(value, float) else jnp.exp(value)


def _check_input_name(name: str) -> None:
    if name in INPUT_PARAMETERS or name in _FRACTIONS:
        return
    if name in PARAMETERS:
        raise ParameterError(f"'{name}' is a derived quantity; give the inputs it follows from")
    near = nearest_names(name, INPUT_PARAMETERS)
    offer = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(INPUT_PARAMETERS)}"
    raise ParameterError(f"unknown parameter '{name}'; {offer} (solver-native inputs go in extra)")
