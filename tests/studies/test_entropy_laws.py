"""Laws that the studies of entropy rest on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import flow, metrics, theory
from qra_jax.algorithm import grpo, reinforce
from qra_jax.problem import Problem
from qra_jax.regularizer import reverse_kl
from qra_jax.training import train


@pytest.mark.parametrize("algorithm", [reinforce(group_size=8), grpo(8)], ids=lambda a: a.name)
@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_entropy_moves_by_the_covariance_along_mean_training(algorithm, beta):
    """ΔH/η = −Cov(log π, v) + O(η): the error halves with η, at equal time."""
    share = 1 / jnp.arange(1.0, 9)
    problem = Problem(jnp.log(share / share.sum()), jnp.array([0.3, 0.8, 0.5, 0.2, 0.6, 0.1, 0.7, 0.4]))
    terms = [reverse_kl(beta)]

    def error(rate):
        options = {"steps": round(6 / rate), "learning_rate": rate, "mode": "mean", "regularizers": terms}
        path = train(jax.random.key(0), problem, algorithm=algorithm, **options).log_policy
        velocity = jax.vmap(lambda z: flow.drift(problem, z, algorithm=algorithm, regularizers=terms))(path)
        rates = jax.vmap(theory.entropy_rate)(path, velocity)
        entropy = jax.vmap(metrics.entropy)(path)
        return jnp.max(jnp.abs(jnp.diff(entropy) / rate - rates[:-1]))

    found = np.array([error(rate) for rate in (0.1, 0.05)])
    np.testing.assert_allclose(np.log2(found[0] / found[1]), 1, atol=0.1)
