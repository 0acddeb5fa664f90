"""Run with several devices forced on the host: forces over them against forces of one."""

import jax
import jax.numpy as jnp
import numpy as np

from volvelle.nbody import P3M, ForceError, Mesh, ParticleMesh, SlabParticleMesh

DEVICES = 4
ROUNDING = 1e-12


def close(one: jax.Array, other: jax.Array) -> None:
    np.testing.assert_allclose(one, other, atol=ROUNDING * float(jnp.abs(other).max()))


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    assert len(jax.devices()) == DEVICES
    mesh, rng = Mesh(16, 40.0), np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(-40.0, 80.0, (512, 3)))
    towards = jnp.asarray(rng.normal(size=x.shape))
    hooks = {
        "modification": lambda k, a: 1.0 + a / (1.0 + k**2),
        "density": lambda a: a * jnp.ones(mesh.fourier_shape, complex),
        "fraction": jnp.asarray(0.8),
    }
    slabs, alone = SlabParticleMesh(mesh, "tsc", **hooks), ParticleMesh(mesh, "tsc", **hooks)
    shared = slabs.share(x)
    found = slabs(shared, 0.5)
    assert len({shard.device for shard in found.addressable_shards}) == DEVICES
    assert found.addressable_shards[0].data.shape == (len(x) // DEVICES, 3)
    close(found, alone(x, 0.5))
    slopes = (
        jax.jit(jax.grad(lambda y, f=f: jnp.vdot(f(y, 0.5), towards)))(y)
        for f, y in ((slabs, shared), (alone, x))
    )
    close(*slopes)
    force = P3M(mesh, 0.1)
    close(force(shared), force(x))  # sharded particles, a mesh on every device
    for call, words in (
        (lambda: slabs(x[:-1]), "511 particles on 4 devices"),
        (lambda: SlabParticleMesh(Mesh(18, 40.0)), "18 cells per side in slabs on 4 devices"),
    ):
        try:
            call()
        except ForceError as error:
            assert words in str(error)
        else:
            raise AssertionError(words)


if __name__ == "__main__":
    main()
