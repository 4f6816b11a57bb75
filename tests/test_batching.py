"""Mapping over huge batches: a function's own batched form runs in place of the map."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

import qra_jax as qra
from qra_jax.batching import with_batched_form

calls = []


def doubled(x, *, by=2.0, block=None, chunk=8192, workers=None, progress=None):
    calls.append((by, block, chunk, workers))
    return x * by


@with_batched_form(doubled)
def double(x, *, by=2.0):
    return x * by


@pytest.fixture(autouse=True)
def _no_calls():
    calls.clear()


def test_the_batched_form_runs_with_the_keywords_of_a_partial():
    x = jnp.arange(3.0)
    assert qra.many(double)(x).tolist() == [0, 2, 4]
    assert qra.many(partial(partial(double, by=1.0), by=3.0), block=4, chunk=8, workers=1)(x).tolist() == [
        0,
        3,
        6,
    ]
    assert calls == [(2.0, None, 8192, None), (3.0, 4, 8, 1)]
    assert double(2.0) == 4.0


def test_other_functions_are_mapped():
    x = jnp.arange(3.0)
    np.testing.assert_array_equal(qra.many(lambda x: double(x))(x), 2 * x)
    np.testing.assert_array_equal(qra.many(partial(jnp.multiply, 3.0))(x), 3 * x)
    bound = partial(double, 1.5)  # its argument is given: nothing is left to map over
    assert qra.many(lambda x: bound() + x)(x).tolist() == [3, 4, 5]
    assert not calls


def test_positional_arguments_of_a_partial_are_not_mapped_over():
    problem = qra.problem.examples.worked()
    targets = jnp.array([0.5, 0.9])
    mapped = qra.many(partial(qra.orbit.log_hitting_time, problem), block=2, workers=1)(targets)
    np.testing.assert_allclose(mapped[1], qra.orbit.log_hitting_time(problem, 0.9), rtol=1e-9)


@pytest.mark.parametrize(("name", "value"), [("block", 0), ("chunk", 0), ("workers", 0)])
def test_bad_sizes(name, value):
    problems = qra.problem.stack([qra.problem.examples.worked()])
    with pytest.raises(ValueError, match=f"{name}: 0; must be 1 or above"):
        qra.many(qra.orbit.hit, **{name: value})(problems)
    with pytest.raises(ValueError, match=f"{name}: 0; must be 1 or above"):
        qra.many(jnp.sin, **{name: value})(jnp.ones(2))


def test_what_many_stands_on_is_not_public():
    assert qra.batching.__all__ == ["many", "with_batched_form"]
    assert not {"hit_batch", "hit_pool"} & set(qra.orbit.__all__)
