"""What a finished run looks like: the HTML report, its figures, the terminal summary, BibTeX."""

from .citations import cite, cited_keys, references
from .ellipses import Gaussian, ellipse, ellipse_triangle
from .errors import MissingFileError, ReportError
from .forecast import (
    forecast_table,
    forecast_triangle,
    holds_forecast,
    write_forecast_report,
)
from .html import write_report
from .measurements import (
    holds_measurements,
    measurements_figure,
    measurements_table,
    write_measurements_report,
)
from .overlay import chain_of, overlay
from .plots import derived, distances, history, spectra, timing, triangle, two_point, write_figures
from .profile import figure_of_profile, profile_figure, profile_words
from .record import Chain, read_chain, read_summary
from .simulation import simulation_words, write_simulation_report
from .simulation_content import holds_simulation
from .terminal import render_summary
from .words import Verdict, certificate_sentences, verdict

__all__ = [
    "Chain",
    "Gaussian",
    "MissingFileError",
    "ReportError",
    "Verdict",
    "certificate_sentences",
    "chain_of",
    "cite",
    "cited_keys",
    "derived",
    "distances",
    "ellipse",
    "ellipse_triangle",
    "figure_of_profile",
    "forecast_table",
    "forecast_triangle",
    "history",
    "holds_forecast",
    "holds_measurements",
    "holds_simulation",
    "measurements_figure",
    "measurements_table",
    "overlay",
    "profile_figure",
    "profile_words",
    "read_chain",
    "read_summary",
    "references",
    "render_summary",
    "simulation_words",
    "spectra",
    "timing",
    "triangle",
    "two_point",
    "verdict",
    "write_figures",
    "write_forecast_report",
    "write_measurements_report",
    "write_report",
    "write_simulation_report",
]
