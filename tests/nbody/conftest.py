"""The two ways in which particles are summed on CPUs: tests that take ``backend`` run by both."""

import pytest

from volvelle.nbody import compiled


@pytest.fixture(params=["compiled", "plain"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Switches to the compiled kernel, or to plain JAX."""
    if request.param == "compiled" and compiled.find_compiler() is None:
        pytest.skip("no C compiler here")
    monkeypatch.setenv(compiled.VARIABLE, "on" if request.param == "compiled" else "off")
    return request.param
