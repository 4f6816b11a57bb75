"""Penalties in discrete training: their estimates on samples, and references that move, against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qra_jax as qra
from qra_jax import flow, training
from qra_jax.off_policy import OffPolicy
from qra_jax.regularizer import Reference

SILENT = qra.Problem.from_probs(ref=[0.2, 0.3, 0.5], success=[0.0, 0.0, 0.0])
"""No rollout earns anything, so that a step is the penalty's alone."""
PROBLEM = qra.Problem.from_probs(ref=[0.2, 0.3, 0.5], success=[0.8, 0.4, 0.1])
POLICY = jnp.array([0.5, 0.35, 0.15])
BEHAVIOR = jnp.array([0.2, 0.4, 0.4])
BETA, GROUP, DRAWS = 0.4, 4, 40_000
FRESH = OffPolicy()
OLD = OffPolicy(behavior=jnp.log(BEHAVIOR))


def one_step(key, term, off_policy, mode="sampled"):
    path = training.train(
        key,
        SILENT,
        steps=1,
        learning_rate=1.0,
        algorithm=qra.reinforce(group_size=GROUP),
        regularizers=[term],
        log_policy0=jnp.log(POLICY),
        off_policy=off_policy,
        mode=mode,
    )
    change = path.log_policy[-1] - path.log_policy[0]
    return change - jnp.mean(change)


def samples(term, off_policy=FRESH):
    run = jax.jit(jax.vmap(lambda key: one_step(key, term, off_policy)))
    return np.asarray(run(jax.random.split(jax.random.key(3), DRAWS)))


def z_scores(draws, mean):
    return np.abs((draws.mean(axis=0) - mean) / (draws.std(axis=0) / np.sqrt(len(draws)))).max()


# --- Estimates --------------------------------------------------------------------------------------------------


def test_k1_in_the_loss_is_noise_without_a_pull():
    """The step is −β(n/G − π), n the rollouts of each pattern: of mean zero and covariance β²(diag π − ππᵀ)/G."""
    draws = samples(qra.k1_loss(BETA))
    assert z_scores(draws, 0.0) < 4.5
    covariance = BETA**2 * (jnp.diag(POLICY) - jnp.outer(POLICY, POLICY)) / GROUP
    products = draws[:, :, None] * draws[:, None]
    assert z_scores(products, np.asarray(covariance)) < 4.5
    mean = one_step(jax.random.key(0), qra.k1_loss(BETA), FRESH, "mean")
    np.testing.assert_allclose(mean, 0.0, atol=1e-15)
    exact = one_step(jax.random.key(0), qra.k1_loss(BETA, estimate="exact"), FRESH)
    np.testing.assert_allclose(exact, 0.0, atol=1e-15)


@pytest.mark.parametrize(
    ("term", "exact"),
    [
        (qra.k2_loss(BETA), qra.reverse_kl(BETA)),
        (qra.k3_k2_loss(BETA), qra.reverse_kl(BETA)),
        (qra.k3_loss(BETA, estimate="samples"), qra.k3_loss(BETA)),
    ],
    ids=["k2", "k3_k2", "k3"],
)
def test_samples_have_the_mean_of_the_exact_penalty(term, exact):
    velocity = np.asarray(exact.velocity(jnp.log(POLICY), SILENT.log_ref))
    assert np.abs(velocity).max() > 0.05
    draws = samples(term)
    assert z_scores(draws, velocity) < 4.5
    assert draws.std(axis=0).min() > 0.01
    for one, mode in ((term, "mean"), (exact, "sampled"), (exact, "mean")):
        found = one_step(jax.random.key(0), one, FRESH, mode)
        np.testing.assert_allclose(found, velocity, atol=1e-14)


def test_old_samples_are_corrected_by_the_ratio_where_asked():
    """Uncorrected, the pull of a pattern counts as often as the old policy samples it."""
    term = qra.reverse_kl(BETA)
    exact = np.asarray(term.velocity(jnp.log(POLICY), SILENT.log_ref))
    pull = BEHAVIOR * term.advantage(jnp.log(POLICY), SILENT.log_ref)
    wrong = np.asarray(pull - POLICY * pull.sum())
    wrong = wrong - wrong.mean()
    assert np.abs(exact - wrong).max() > 0.05
    for estimate, mean in (("corrected", exact), ("samples", wrong)):
        term = qra.reverse_kl(BETA, estimate=estimate)
        found = one_step(jax.random.key(0), term, OLD, "mean")
        np.testing.assert_allclose(found, mean, atol=1e-14)
        assert z_scores(samples(term, OLD), mean) < 4.5


def test_corrected_samples_are_plain_ones_on_policy():
    draws = samples(qra.k3_loss(BETA, estimate="corrected"))
    np.testing.assert_allclose(draws, samples(qra.k3_loss(BETA, estimate="samples")), atol=1e-14)


# --- References that move ---------------------------------------------------------------------------------------

STEPS, RATE = 9, 0.7


def plain_loop(every, mixing, target, horizon, still=0.0):
    """REINFORCE's mean with a reverse KL from a reference that moves, and one from a reference that does not."""
    softmax = lambda z: np.exp(z) / np.exp(z).sum()  # noqa: E731
    success = np.asarray(PROBLEM.success)
    first = reference = np.asarray(PROBLEM.log_ref)
    theta, coefficient, path = np.log(np.asarray(POLICY)), 1.0, []
    for step in range(1, STEPS + 1):
        policy = softmax(theta)
        advantage = success - BETA * coefficient * (np.log(policy) - np.log(softmax(reference)))
        advantage = advantage - still * (np.log(policy) - first)
        theta = theta + RATE * policy * (advantage - policy @ advantage)
        if target is not None:  # the divergence of the policy that the step began with
            divergence = policy @ (np.log(policy) - np.log(softmax(reference)))
            coefficient *= 1 + np.clip(divergence / target - 1, -0.2, 0.2) / horizon
        policy = softmax(theta)
        if every is not None and step % every == 0:
            reference = mixing * theta + (1 - mixing) * reference
        path.append(np.log(policy))
    return np.array(path)


def trained(terms, **options):
    return training.train(
        jax.random.key(0),
        PROBLEM,
        steps=STEPS,
        learning_rate=RATE,
        algorithm=qra.reinforce(group_size=GROUP),
        regularizers=terms,
        log_policy0=jnp.log(POLICY),
        mode="mean",
        **options,
    ).log_policy[1:]


@pytest.mark.parametrize(
    ("every", "mixing", "target", "horizon"),
    [
        (3, 1.0, None, 100.0),
        (2, 0.6, None, 100.0),
        (1, 0.1, None, 100.0),
        (None, 1.0, 0.3, 2.0),
        (None, 1.0, 0.01, 1.5),
        (4, 0.5, 0.1, 1.0),
    ],
)
def test_references_and_controllers_are_those_of_a_plain_loop(every, mixing, target, horizon):
    reference = Reference(every=every, mixing=mixing, target_kl=target, horizon=horizon)
    found = trained([qra.reverse_kl(BETA, reference=reference)])
    np.testing.assert_allclose(found, plain_loop(every, mixing, target, horizon), atol=1e-12)
    assert np.abs(np.asarray(found) - plain_loop(None, 1.0, None, 1.0)).max() > 1e-3


def test_a_term_without_a_reference_of_its_own_keeps_the_first():
    moving = qra.reverse_kl(BETA, reference=Reference(every=2, target_kl=0.1, horizon=1.0))
    found = trained([moving, qra.reverse_kl(0.3)])
    np.testing.assert_allclose(found, plain_loop(2, 1.0, 0.1, 1.0, still=0.3), atol=1e-12)


def test_samples_of_a_moving_reference_have_its_mean():
    """At a small rate the average of sampled paths is the mean path: a reset makes the penalty vanish at once."""
    reference = Reference(every=1)
    options = {"steps": 2, "learning_rate": 0.5, "algorithm": qra.reinforce(group_size=GROUP)}
    options |= {"log_policy0": jnp.log(POLICY), "regularizers": [qra.k2_loss(BETA, reference=reference)]}
    path = training.train(jax.random.key(0), SILENT, **options).log_policy
    # The rollouts of the second step see a reference that is the policy itself: its penalty is zero on each.
    np.testing.assert_allclose(path[2], path[1], atol=1e-14)
    assert np.abs(np.asarray(path[1] - path[0])).max() > 0.01


def test_numbers_of_a_reference_may_be_traced():
    def end(mixing, target, horizon):
        reference = Reference(every=2, mixing=mixing, target_kl=target, horizon=horizon)
        return trained([qra.reverse_kl(BETA, reference=reference)])

    rows = jnp.array([[0.3, 0.1, 2.0], [1.0, 0.4, 3.0]])
    found = jax.jit(jax.vmap(end))(*rows.T)
    for row, path in zip(rows, found, strict=True):
        mixing, target, horizon = (float(x) for x in row)
        np.testing.assert_allclose(path, plain_loop(2, mixing, target, horizon), atol=1e-12)

    @jax.jit
    @jax.vmap
    def status(mixing, target, horizon):
        reference = Reference(every=2, mixing=mixing, target_kl=target, horizon=horizon)
        options = {"steps": 2, "learning_rate": 0.1, "algorithm": qra.reinforce(group_size=GROUP)}
        terms = [qra.reverse_kl(BETA, reference=reference)]
        return training.train(jax.random.key(0), PROBLEM, regularizers=terms, **options).status

    bad = [
        [1.5, 0.1, 2.0],
        [-0.1, 0.1, 2.0],
        [0.5, 0.0, 2.0],
        [0.5, -1.0, 2.0],
        [0.5, 0.1, 0.0],
        [np.nan, 0.1, 1.0],
    ]
    rows = jnp.array([[0.5, 0.1, 2.0], *bad])
    assert status(*rows.T).tolist() == [qra.Status.OK] + [qra.Status.INVALID] * len(bad)


@pytest.mark.parametrize(
    "other",
    [
        Reference(every=3),
        Reference(every=2, mixing=0.5),
        Reference(every=2, target_kl=0.1),
        Reference(target_kl=0.1),
    ],
)
def test_terms_follow_one_reference(other):
    terms = [qra.reverse_kl(0.1, reference=Reference(every=2)), qra.k3_loss(0.1, reference=other)]
    for given in (terms, terms[::-1]):
        with pytest.raises(
            ValueError, match=r"^regularizers: references that change differently; must be one"
        ):
            trained(given)


def test_flows_have_no_steps_for_a_reference_to_move_at():
    term = qra.reverse_kl(0.1, reference=Reference(every=2))
    message = "^reference: given with the regularizer 'reverse KL'; must be None in a flow"
    with pytest.raises(ValueError, match=message):
        flow.drift(PROBLEM, PROBLEM.log_ref, regularizers=[term])
    with pytest.raises(ValueError, match=message):
        flow.solve(PROBLEM, ts=[1.0], regularizers=[term])
