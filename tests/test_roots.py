"""Roots in a bracket: to rounding, under every transformation, and what happens where there is none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from qra_jax import _roots

LEVELS = np.array([1e-3, 0.3, 2.0, 9.0])


def cubic(x, level):
    return x**3 + x - level


@pytest.mark.parametrize("find", [_roots.bisect, _roots.root])
def test_roots_are_those_of_scipy(find):
    found = jax.jit(jax.vmap(lambda level: find(lambda x: cubic(x, level), 0.0, 10.0)))(LEVELS)
    expected = [brentq(cubic, 0, 10, args=(level,), xtol=1e-15) for level in LEVELS]
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)  # the bracket that scipy ends with
    np.testing.assert_allclose(
        [_roots.brent(lambda x, level=level: cubic(x, level), 0.0, 10.0) for level in LEVELS],
        expected,
        rtol=1e-14,
        atol=1e-15,
    )


def test_roots_in_single_precision():
    found = _roots.root(lambda x: x**2 - 2, jnp.float32(0), jnp.float32(2))
    assert found.dtype == jnp.float32
    assert float(found) == pytest.approx(np.sqrt(2), rel=2e-7)


def test_a_root_is_differentiable_and_a_bisection_is_constant():
    of = lambda find: lambda level: find(lambda x: cubic(x, level), 0.0, 10.0)  # noqa: E731
    x = float(of(_roots.root)(2.0))
    for derivative in (jax.grad, jax.jacfwd):
        assert float(derivative(of(_roots.root))(2.0)) == pytest.approx(1 / (3 * x**2 + 1), rel=1e-12)
        assert derivative(of(_roots.bisect))(2.0) == 0


@pytest.mark.parametrize("find", [_roots.bisect, _roots.brent, _roots.halve])
def test_without_a_change_of_sign_the_nearer_end_is_the_answer(find):
    assert find(lambda x: x + 5, 0.0, 1.0) == pytest.approx(0, abs=1e-12)
    assert find(lambda x: x - 5, 0.0, 1.0) == pytest.approx(1, abs=1e-12)


def test_brent_ends_where_the_function_is_not_negative():
    for level in LEVELS:
        above = lambda x, level=level: cubic(x, level)  # noqa: E731
        assert above(_roots.brent(above, 0.0, 10.0)) >= 0
    jump = _roots.brent(lambda x: 1.0 if x >= 0.7 else -1.0, 0.0, 1.0)
    assert jump == pytest.approx(0.7, rel=1e-14)
    assert jump >= 0.7
