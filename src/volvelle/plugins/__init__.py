"""Volvelle in other people's samplers, and their likelihoods and chains in Volvelle."""

from volvelle.plugins.certify_chain import ForeignChain, certify_chain, write_certified
from volvelle.plugins.errors import ForeignError

__all__ = ["ForeignChain", "ForeignError", "certify_chain", "write_certified"]
