"""Asymptotic laws of the two penalties, which the study `kl-variants` draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import theory
from qra_jax.problem import examples


def test_the_rest_vanishes_like_beta_under_k3_and_exponentially_under_reverse_kl():
    problem, betas = examples.worked(), jnp.geomspace(1e-3, 1e-2, 9)
    rests = [
        jax.nn.logsumexp(jax.vmap(lambda beta, form=form: form(problem, beta))(betas)[:, 1:], axis=1)
        for form in (theory.k3_policy, theory.optimal_policy)
    ]
    assert np.polyfit(np.log(betas), rests[0], 1)[0] == pytest.approx(1, abs=0.01)
    assert np.polyfit(1 / betas, rests[1], 1)[0] == pytest.approx(-0.3, abs=1e-6)


def test_times_to_come_back_have_their_powers():
    shares = np.array([1e-12, 1e-10])
    slow, fast = (np.log(theory.return_time(shares, beta=0.5, penalty=name)) for name in theory.PENALTIES)
    x = np.log(1 / shares)
    assert np.diff(slow)[0] / np.diff(x - np.log(x))[0] == pytest.approx(1, abs=0.01)
    assert np.diff(fast)[0] / np.diff(np.log(x))[0] == pytest.approx(1, abs=0.02)
