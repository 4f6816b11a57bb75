"""What the study of critical tokens stands on: comparing networks place by place, and random changes as far."""

import jax
import numpy as np
import pytest

from qra_jax import transformer
from qra_jax.problem import examples, stack
from qra_jax.studies.networks import _changes as changes
from qra_jax.transformer import probe

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def network():
    task = transformer.controlled(stack([examples.worked()] * 4), announced=0.9, steps=(1, 2, 3), digits=1)
    model = transformer.Lookup(task.vocabulary)
    base = transformer.init(KEY, model)
    noise = transformer.init(jax.random.key(1), model)
    now = jax.tree.map(
        lambda a, b: a + 0.3 * (b + 1.0 * jax.random.normal(KEY, b.shape, b.dtype)), base, noise
    )
    return task, model, base, now


def test_a_network_differs_from_itself_nowhere(network):
    task, model, base, now = network
    same, other = (jax.jit(lambda n: changes.compared(KEY, model, task, base, n, 8))(n) for n in (base, now))
    for name in ("reranked", "top", "kl", "kl_reranked"):
        np.testing.assert_allclose(same[name], 0, atol=1e-5)
    np.testing.assert_allclose(same["similarity"], same["places"], rtol=1e-4)
    assert other["kl"].sum() > 0
    assert (other["kl_reranked"] <= other["kl"] + 1e-6).all()
    assert (other["reranked"] <= other["places"]).all()


def test_a_random_change_is_as_far_from_the_base(network):
    task, model, base, now = network
    random = jax.jit(lambda now: changes.random_change(KEY, model, task, base, now, 16))(now)
    asked, drawn = task.questions(np.arange(task.number)), changes.sampled(KEY, model, task, base, 16)
    far = [
        np.sum(np.where(drawn.where, probe.change(model, base, params, asked, drawn.tokens).kl, 0))
        for params in (now, random)
    ]
    assert far[0] > 0
    assert far[1] == pytest.approx(far[0], rel=0.02)
    first, second = (
        np.concatenate([np.ravel(x - b) for x, b in zip(*pair, strict=True)])
        for pair in (
            (jax.tree.leaves(now), jax.tree.leaves(base)),
            (jax.tree.leaves(random), jax.tree.leaves(base)),
        )
    )
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2
