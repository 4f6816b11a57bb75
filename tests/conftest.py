"""Tests run in float64, with rank promotion an error and shapes checked at every call."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest
from jaxtyping import install_import_hook

from qra_jax._programs import little_effort

little_effort()
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

install_import_hook("qra_jax", "beartype.beartype")


def pytest_addoption(parser):
    parser.addoption(
        "--data", default=None, help="folder of measured training runs, for the tests that use them"
    )


@pytest.fixture(scope="module", autouse=True)
def _programs_forgotten():
    """Compiled programs hold memory maps, of which a process may have 65530: fewer than all the tests need."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="module")
def compiled_plainly():
    """For tests of networks, which compile much longer than they run: without most of the compiler's passes.

    Such programs are kept out of the compilation cache, which cannot write all of them.
    """
    plain = {"jax_disable_most_optimizations": True, "jax_persistent_cache_min_compile_time_secs": 1e9}
    usual = {name: jax.config.values[name] for name in plain}
    for settings in (plain, usual):
        for name, value in settings.items():
            jax.config.update(name, value)
        if settings is plain:
            yield
