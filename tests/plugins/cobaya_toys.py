"""A theory and a likelihood for Cobaya whose posterior is known, quick to evaluate."""

from typing import Any, ClassVar

from cobaya.likelihood import Likelihood
from cobaya.theory import Theory

SIGMA_A, SIGMA_B = 0.3, 0.2


class ToyTheory(Theory):
    """``height`` = a + bias, as an emulator with a bias would give it; ``twice`` = 2 height."""

    bias: float = 0.0
    params: ClassVar = {"a": None}

    def get_can_provide(self) -> list[str]:
        return ["height"]

    def get_can_provide_params(self) -> list[str]:
        return ["twice"]

    def calculate(self, state: dict, want_derived: bool = True, **params: Any) -> None:
        state["height"] = params["a"] + self.bias
        state["derived"] = {"twice": 2.0 * state["height"]}

    def get_height(self) -> float:
        return self.current_state["height"]


class ToyLikelihood(Likelihood):
    """height + b ~ N(1, SIGMA_A), b ~ N(0, SIGMA_B)."""

    params: ClassVar = {"b": None}

    def get_requirements(self) -> dict[str, Any]:
        return {"height": None}

    def logp(self, **params: Any) -> float:
        b = params["b"]
        residual = (self.provider.get_height() + b - 1.0) / SIGMA_A
        return -0.5 * (residual**2 + (b / SIGMA_B) ** 2)


class Sigma8Likelihood(Likelihood):
    """sigma8 = 0.81 +- 0.005, from any theory that gives it."""

    def get_requirements(self) -> dict[str, Any]:
        return {"sigma8": None}

    def logp(self, **params: Any) -> float:
        return -0.5 * ((self.provider.get_param("sigma8") - 0.81) / 0.005) ** 2


class Broken(ToyTheory):
    """Fails everywhere."""

    def calculate(self, state: dict, want_derived: bool = True, **params: Any) -> bool:
        return False
