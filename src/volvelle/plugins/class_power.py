"""Matter power and growth with the signatures of ``classy.Class``, from an emulator's tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ..boltzmann import POWER_K, POWER_Z
from .class_behind import severe
from .class_words import FULL, NON_LINEAR
from .solution import Solution


class PowerMethods(ABC):
    """The methods of ``classy.Class`` on P(k, z); CLASS itself answers what was not learned."""

    _pars: dict[str, Any]

    @property
    @abstractmethod
    def _solution(self) -> Solution: ...

    @property
    @abstractmethod
    def h(self) -> float:
        """H0 in units of 100 km/s/Mpc."""

    @abstractmethod
    def _delegate(self, method: str, level: str, *args: Any, **more: Any) -> Any: ...

    def pk(self, k: float, z: float) -> float:
        """P(k, z) [Mpc^3] of matter at k [1/Mpc], as non-linear as the input says."""
        return float(self._power("matter_power", self._non_linear, np.asarray(k), np.asarray(z)))

    def pk_cb(self, k: float, z: float) -> float:
        """P(k, z) [Mpc^3] of baryons and cold dark matter, as non-linear as the input says."""
        return float(self._power("cb_power", self._non_linear, np.asarray(k), np.asarray(z)))

    def pk_lin(self, k: float, z: float) -> float:
        """Linear P(k, z) [Mpc^3] of matter at k [1/Mpc]."""
        return float(self._power("matter_power", False, np.asarray(k), np.asarray(z)))

    def pk_cb_lin(self, k: float, z: float) -> float:
        """Linear P(k, z) [Mpc^3] of baryons and cold dark matter at k [1/Mpc]."""
        return float(self._power("cb_power", False, np.asarray(k), np.asarray(z)))

    def _cube(self, name: str, non_linear: bool, k: Any, z: Any) -> np.ndarray:
        k = np.asarray(k, dtype=float)
        return self._power(name, non_linear, k, np.asarray(z, dtype=float)[None, :, None])

    def get_pk(self, k: Any, z: Any, k_size: int, z_size: int, mu_size: int) -> np.ndarray:
        """``pk`` at k [n_k, n_z, n_mu] and z [n_z]."""
        return self._cube("matter_power", self._non_linear, k, z)

    def get_pk_cb(self, k: Any, z: Any, k_size: int, z_size: int, mu_size: int) -> np.ndarray:
        """``pk_cb`` at k [n_k, n_z, n_mu] and z [n_z]."""
        return self._cube("cb_power", self._non_linear, k, z)

    def get_pk_lin(self, k: Any, z: Any, k_size: int, z_size: int, mu_size: int) -> np.ndarray:
        """``pk_lin`` at k [n_k, n_z, n_mu] and z [n_z]."""
        return self._cube("matter_power", False, k, z)

    def get_pk_cb_lin(self, k: Any, z: Any, k_size: int, z_size: int, mu_size: int) -> np.ndarray:
        """``pk_cb_lin`` at k [n_k, n_z, n_mu] and z [n_z]."""
        return self._cube("cb_power", False, k, z)

    def get_pk_array(self, k: Any, z: Any, k_size: int, z_size: int, nonlinear: bool) -> np.ndarray:
        """P [Mpc^3] at k [n_k] and z [n_z] as one row, k running fastest."""
        grid = np.meshgrid(np.asarray(z, dtype=float), np.asarray(k, dtype=float), indexing="ij")
        return self._power("matter_power", bool(nonlinear), grid[1], grid[0]).ravel()

    def get_pk_cb_array(
        self, k: Any, z: Any, k_size: int, z_size: int, nonlinear: bool
    ) -> np.ndarray:
        """P of baryons and cold dark matter at k [n_k] and z [n_z] as one row."""
        grid = np.meshgrid(np.asarray(z, dtype=float), np.asarray(k, dtype=float), indexing="ij")
        return self._power("cb_power", bool(nonlinear), grid[1], grid[0]).ravel()

    def get_pk_and_k_and_z(
        self, nonlinear: bool = True, only_clustering_species: bool = False, h_units: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """P [n_k, n_z] [Mpc^3], k [1/Mpc] and decreasing z of the table (with h_units in Mpc/h)."""
        name = "cb_power" if only_clustering_species else "matter_power"
        if name + "_nonlinear" * bool(nonlinear) not in self._solution.theory:
            return self._delegate(
                "get_pk_and_k_and_z", FULL, nonlinear, only_clustering_species, h_units
            )
        table = self._solution.get(name + "_nonlinear" * bool(nonlinear))[::-1].T
        h = float(self.h) if h_units else 1.0
        return table * h**3, POWER_K / h, POWER_Z[::-1].copy()

    @property
    def _non_linear(self) -> bool:
        words = [str(self._pars[name]).strip().lower() for name in NON_LINEAR if name in self._pars]
        return bool(words) and words[0] != "none"

    def _power(self, name: str, non_linear: bool, k: np.ndarray, z: np.ndarray) -> np.ndarray:
        """P of the table, or of CLASS's whole computation where it was not learned."""
        ours = name + "_nonlinear" * non_linear
        k, z = np.broadcast_arrays(k, z)
        if ours in self._solution.theory:
            return severe(self._solution.power, ours, z, k)
        method = {"matter_power": "pk", "cb_power": "pk_cb"}[name] + ("" if non_linear else "_lin")
        values = [
            self._delegate(method, FULL, *map(float, at)) for at in zip(k.flat, z.flat, strict=True)
        ]
        return np.reshape(values, k.shape)

    def sigma(self, R: float, z: float, h_units: bool = False) -> float:
        """rms of linear matter in spheres of R [Mpc, or Mpc/h with h_units] at z."""
        radius = R if h_units else R * float(self.h)
        if abs(radius - 8.0) < 1e-9 and "sigma8_z" in self._solution.theory:
            return float(severe(self._solution.function, "sigma8_z", z))
        return self._delegate("sigma", FULL, R, z, h_units)

    def effective_f_sigma8(self, z: float, z_step: float = 0.1) -> float:
        """-(1+z) d sigma8/dz; the learned one has no step."""
        if "f_sigma8" in self._solution.theory:
            return float(severe(self._solution.function, "f_sigma8", z))
        return self._delegate("effective_f_sigma8", FULL, z, z_step)
