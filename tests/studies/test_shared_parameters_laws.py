"""Laws of questions that share parameters: the kernel, one common feature, and matched entropies."""

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax import metrics, theory
from qra_jax.algorithm import grpo, reinforce
from qra_jax.problem import Problem, random
from qra_jax.studies.questions import _populations, _sharing
from qra_jax.training import train


def _stacked(key, questions, patterns):
    problems = [random(k, patterns) for k in jax.random.split(key, questions)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)


def test_kernel_is_the_derivative():
    problem = _stacked(jax.random.key(0), 3, 4)
    features = jax.random.normal(jax.random.key(1), (3, 4, 2))

    def total(weights):
        logits = problem.log_ref + jnp.einsum("qrf,f->qr", features, weights)
        return metrics.accuracy(jax.nn.log_softmax(logits, axis=-1), problem.success)

    slopes = jax.jacobian(total)(jnp.zeros(2))
    np.testing.assert_allclose(theory.influence(problem, features), slopes @ slopes.T, atol=1e-12)


def test_kernel_gives_the_first_move_at_every_overlap():
    problem, shared = _stacked(jax.random.key(2), 5, 3), jax.random.normal(jax.random.key(3), (5, 3, 4))
    for overlap in (0.0, 0.4, 1.0):
        features = _sharing.features(shared, jnp.asarray(overlap))
        end = _sharing.end(problem, features, 1e-6, 1, reinforce())
        gain = (metrics.accuracy(end, problem.success) - problem.accuracy_ref) / 1e-6
        np.testing.assert_allclose(gain, theory.influence(problem, features).sum(axis=1), atol=1e-5)


def test_one_shared_feature_shifts_all_logits_alike():
    logit = jnp.array([-3.0, 0.0, 2.0])
    log_ref = jnp.stack([jax.nn.log_sigmoid(logit), jax.nn.log_sigmoid(-logit)], axis=-1)
    problem = Problem(log_ref, jnp.broadcast_to(jnp.array([1.0, 0.0]), (3, 2)))
    features = jnp.broadcast_to(jnp.array([[1.0], [-1.0]]) / np.sqrt(2), (3, 2, 1))
    end = _sharing.end(problem, features, 0.3, 50, reinforce())
    change = end[:, 0] - end[:, 1] - logit
    assert change[0] > 0.5
    np.testing.assert_allclose(change, change[0], atol=1e-12)


def test_expected_training_of_independent_questions_lowers_no_accuracy():
    problem = _stacked(jax.random.key(4), 40, 6)
    options = {"steps": 200, "mode": "mean", "learning_rate": 0.1, "record_every": 20}
    accuracy = train(jax.random.key(0), problem, algorithm=grpo(8), **options).accuracy
    assert (np.diff(accuracy, axis=1) > -1e-12).all()


def test_matched_policies_have_each_others_entropy():
    rng = np.random.default_rng(3)
    ref = np.log(rng.dirichlet(np.ones(4), (1, 1, 2, 7)))
    end = 2.5 * ref - np.log(np.exp(2.5 * ref).sum(axis=-1, keepdims=True))
    success = rng.random(ref.shape)
    found = _populations.outcome(ref, end, success)
    np.testing.assert_allclose(found["cooled"][1], found["after"][1], atol=1e-9)
    np.testing.assert_allclose(found["heated"][1], found["base"][1], atol=1e-9)
