"""A mock data vector goes into the likelihood as it stands."""

from pathlib import Path

import healpy
import numpy as np
import pytest

from volvelle.cosmology import planck18
from volvelle.likelihood import get_likelihood
from volvelle.power import EisensteinHu, Halofit
from volvelle.probes import Table
from volvelle.statistics import SkyError, SkySample, mock_data_vector

Z = np.linspace(0.0, 2.0, 41)


def samples() -> dict[str, SkySample]:
    """White noise for maps: what is tested is the way from them to a likelihood."""
    rng = np.random.default_rng(1)
    area = healpy.nside2pixarea(16)
    made = {}
    for name, kind, mean, noise in (
        ("lens", "galaxy_density", 0.5, 1e-5),
        ("source", "galaxy_shear", 1.0, 1e-8),
    ):
        sky = np.sqrt(noise / area) * rng.standard_normal(healpy.nside2npix(16))
        table = Table(Z, np.exp(-0.5 * ((Z - mean) / 0.15) ** 2))
        made[name] = SkySample(kind, sky, table, noise)
    return made


def test_likelihood_reads_it(tmp_path: Path) -> None:
    edges = np.array([8, 16, 24, 32])
    universe, power = planck18(), Halofit(EisensteinHu())
    made = mock_data_vector(universe, samples(), edges, power=power)
    assert len(made.mean) == 9
    made.save_fits(str(tmp_path / "mock.fits"))
    likelihood = get_likelihood(
        "two_point", file=str(tmp_path / "mock.fits"), linear="eisenstein_hu"
    )
    values = {name: parameter.ref for name, parameter in likelihood.nuisance.items()}
    assert set(values) >= {"bias_lens", "m_source", "dz_lens"}
    assert np.isfinite(float(likelihood.log_prob({"cosmology": universe}, values)))


def test_order_of_samples() -> None:
    with pytest.raises(SkyError, match="first"):
        mock_data_vector(planck18(), dict(reversed(samples().items())), [8, 16])
