"""Tests run in float64, with rank promotion an error and shapes checked at every call."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

install_import_hook("qra_jax", "beartype.beartype")


def pytest_addoption(parser):
    parser.addoption(
        "--data", default=None, help="folder of measured training runs, for the tests that use them"
    )
