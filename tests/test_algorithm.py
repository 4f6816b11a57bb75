"""Algorithms: the mean of the sampled gradient is the clock's drift, exactly, for every member."""

import itertools
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import binom

import qra_jax as qra
from qra_jax.problem import random
from tests.laws.members import ALGORITHMS

MEMBERS = {**ALGORITHMS, "grpo, sample std": (lambda g: qra.grpo(g, ddof=1), 2)}
FINITE = ("rloo", "opo", "pass@2 training", "paired_grpo", "grpo_passk", "grpo_passk, ÷ std")
"""Members that need a group size; the others have a limit G → ∞, too."""
GROUPED = [(name, g) for name, (_, low) in MEMBERS.items() for g in (1, 2, 3, 4) if g >= low]
RHO = jnp.array([1e-300, 1e-12, 1e-3, 0.2, 0.5, 0.9, 1 - 1e-9])


def make(name, group):
    return MEMBERS[name][0](group)


def close(actual, expected, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=tolerance, atol=tolerance)


# --- (a) The mean of the sampled gradient is the drift -----------------------------------------------------


@pytest.mark.parametrize("patterns", [2, 3])
@pytest.mark.parametrize(("name", "group"), GROUPED)
def test_mean_gradient_over_all_groups_is_the_drift(name, group, patterns):
    algorithm = make(name, group)
    problem = random(jax.random.key(patterns), patterns)
    pi, p = np.asarray(problem.ref), np.asarray(problem.success)
    # Every outcome of one rollout: pattern r, reward R; every group of them, with its probability.
    outcomes = [(r, reward) for r in range(patterns) for reward in (0.0, 1.0)]
    chance = np.array([pi[r] * (p[r] if reward else 1 - p[r]) for r, reward in outcomes])
    groups = np.array(list(itertools.product(range(len(outcomes)), repeat=group)))
    weight = chance[groups].prod(axis=1)
    chosen = np.array([r for r, _ in outcomes])[groups]
    rewards = np.array([reward for _, reward in outcomes])[groups]
    if algorithm.resamples_silent:
        weight = weight * (rewards.min(axis=1) != rewards.max(axis=1))
        weight = weight / weight.sum()
    advantages = np.asarray(jax.jit(jax.vmap(algorithm.weights))(jnp.asarray(rewards)))
    score = np.eye(patterns)[chosen] - pi
    mean = np.einsum("c,cg,cgr->r", weight, advantages, score) / group
    rho = pi @ p
    close(mean, float(algorithm.clock(jnp.asarray(rho))) * pi * (p - rho))


@pytest.mark.parametrize("name", ["grpo", "rloo", "filtered_sft per accepted", "pass@3", "tsallis .3"])
def test_mean_gradient_by_monte_carlo(name):
    group, draws = 8, 125_000  # a million rollouts
    algorithm, problem = make(name, group), random(jax.random.key(7), 3)
    keys = jax.random.split(jax.random.key(0))
    chosen = jax.random.categorical(keys[0], problem.log_ref, shape=(draws, group))
    rewards = jax.random.bernoulli(keys[1], problem.success[chosen]).astype(jnp.float64)
    advantages = jax.vmap(algorithm.weights)(rewards)
    gradients = jnp.mean(
        advantages[..., None] * (jax.nn.one_hot(chosen, 3) - problem.ref[None, None]), axis=1
    )
    rho = problem.accuracy_ref
    drift = algorithm.clock(rho) * problem.ref * (problem.success - rho)
    z = (gradients.mean(axis=0) - drift) / (gradients.std(axis=0) / np.sqrt(draws))
    assert np.abs(z).max() < 4.5


# --- (b) Clocks in closed form -----------------------------------------------------------------------------


def grpo_clock(rho, group):
    k = np.arange(1, group)
    return (binom.pmf(k, group, rho) * np.sqrt(k / group * (1 - k / group))).sum() / (rho * (1 - rho))


@pytest.mark.parametrize("group", [2, 3, 8, 16, 64])
def test_finite_group_clocks_of_the_table(group):
    rho = jnp.array([1e-6, 1e-3, 0.2, 0.5, 0.9, 1 - 1e-6])
    expected = np.array([grpo_clock(float(r), group) for r in rho])
    silent = 1 - np.asarray(rho) ** group - (1 - np.asarray(rho)) ** group
    close(qra.grpo(group).clock(rho) / expected, 1.0, 1e-9)
    close(qra.grpo(group, ddof=1).clock(rho) / expected, np.sqrt((group - 1) / group), 1e-9)
    close(qra.grpo(group, resample_silent=True).clock(rho) * silent / expected, 1.0, 1e-8)
    close(qra.dr_grpo(group).clock(rho), (group - 1) / group)
    close(qra.rloo(group).clock(rho), 1.0)
    none = -np.expm1(group * np.log1p(-np.asarray(rho)))
    close(qra.filtered_sft(per="accepted", group_size=group).clock(rho) * rho / none, 1.0)


def test_clocks_that_do_not_depend_on_the_group():
    for algorithm, expected in [
        (qra.reinforce(0.7), 1.0),
        (qra.filtered_sft(), 1.0),
        (qra.filtered_sft("negative"), 1.0),
        (qra.filtered_sft("both"), 2.0),
        (qra.filtered_sft("both", negative_weight=0.25), 1.25),
        (qra.dr_grpo(), 1.0),
    ]:
        close(algorithm.clock(RHO), expected)
    close(qra.grpo().clock(RHO) * jnp.sqrt(RHO * (1 - RHO)), 1.0)
    close(qra.grpo(resample_silent=True).clock(RHO) / qra.grpo().clock(RHO), 1.0)
    close(qra.filtered_sft(per="accepted").clock(RHO) * RHO, 1.0)
    close(qra.tsallis(0.0).clock(RHO), 1.0)
    close(qra.tsallis(0.5).clock(RHO) * RHO**0.5, 1.0)
    close(qra.tsallis(1.0).clock(RHO) / qra.filtered_sft(per="accepted").clock(RHO), 1.0)


@pytest.mark.parametrize(("k", "group"), [(1, 1), (1, 8), (2, 2), (2, 8), (4, 5), (8, 8), (5, 64)])
def test_pass_at_k_clock_does_not_depend_on_the_group(k, group):
    rho = RHO[:-1]
    close(qra.pass_at_k(k, group).clock(rho) / (k * (1 - rho) ** (k - 1)), 1.0, 1e-9)
    close(qra.pass_at_k(k).clock(rho) / (k * (1 - rho) ** (k - 1)), 1.0)


@pytest.mark.parametrize("name", MEMBERS)
def test_log_clock_is_the_log_of_the_clock(name):
    for algorithm in (make(name, 3), *([make(name, None)] if name not in FINITE else [])):
        close(algorithm.log_clock_function()(RHO, 1 - RHO), jnp.log(algorithm.clock(RHO)), 1e-10)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_log_clock_outlives_the_underflow_of_the_clock(dtype):
    rho = jnp.asarray(0.75, dtype)
    for algorithm in (qra.pass_at_k(1000), qra.pass_at_k(1000, 1024)):
        log_clock = algorithm.log_clock_function()
        assert algorithm.clock(rho) == 0
        found = log_clock(rho, 1 - rho)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, np.log(1000) + 999 * np.log(0.25), rtol=1e-6)
        slope = jax.grad(lambda r, f=log_clock: f(r, 1 - r))(rho)
        np.testing.assert_allclose(slope, -999 / 0.25, rtol=1e-6)
    one, zero = jnp.ones((), dtype), jnp.zeros((), dtype)
    assert qra.pass_at_k(4).log_clock_function()(one, zero) == -jnp.inf
    assert qra.pass_at_k(1).log_clock_function()(one, zero) == 0
    with pytest.raises(ValueError, match="mine needs a finite group size"):
        qra.Algorithm("mine", qra.rloo(2).weigh).log_clock_function()


def test_clocks_at_the_ends():
    zero, one = jnp.asarray(0.0), jnp.asarray(1.0)
    for group in (2, 8, 64):
        for end in (zero, one):
            close(qra.grpo(group).clock(end), np.sqrt(group - 1), 1e-10)
            assert qra.grpo(group, resample_silent=True).clock(end) == jnp.inf
        close(qra.grpo(group).clock(jnp.asarray(1e-300)), np.sqrt(group - 1), 1e-10)
        close(qra.filtered_sft(per="accepted", group_size=group).clock(zero), group)
    close(qra.grpo(8, resample_silent=True).clock(jnp.asarray(1e-290)) * 8e-290, np.sqrt(7), 1e-10)
    assert qra.grpo().clock(zero) == jnp.inf
    assert qra.pass_at_k(4).clock(one) == 0
    assert qra.pass_at_k(1).clock(one) == 1
    # The caller may know 1 − ρ better than a subtraction would.
    miss = jnp.asarray(1e-40)
    close(qra.grpo().clock(one, miss) * 1e-20, 1.0)
    close(qra.pass_at_k(3, 8).clock(one, miss) / (3 * miss**2), 1.0, 1e-9)


def test_large_groups_approach_the_limit():
    rho = jnp.array([0.1, 0.5, 0.7])
    for name in (
        "grpo",
        "grpo, dynamic sampling",
        "dr_grpo",
        "maxrl",
        "filtered_sft per accepted",
        "tsallis .3",
    ):
        limit = MEMBERS[name][0](None).clock(rho)
        errors = [np.abs(make(name, g).clock(rho) / limit - 1).max() for g in (64, 256)]
        assert errors[1] < max(errors[0] / 3, 1e-9)
        assert errors[0] < 0.08


def test_a_clock_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="group_size: None; mine needs a finite group size"):
        qra.Algorithm("mine", qra.rloo(2).weigh).clock(jnp.asarray(0.5))
    with pytest.raises(ValueError, match="group_size: None; REINFORCE has no table of weights"):
        qra.reinforce().speed_table()


@pytest.mark.parametrize("name", [n for n in MEMBERS if not n.endswith("dynamic sampling")])
def test_clock_from_the_table_of_weights(name):
    """Members with a closed clock must agree with the clock their weights imply."""
    group = 5
    algorithm = make(name, group)
    weigh = jax.vmap(algorithm.weights)
    right = weigh(jnp.asarray(np.tri(group, group)))[:, 0]  # row j: the first right, j more right
    wrong = weigh(jnp.asarray(np.tri(group, group, -1)))[:, -1]
    for rho in (0.01, 0.5, 0.93):
        implied = (binom.pmf(np.arange(group), group - 1, rho) * (right - wrong)).sum()
        close(algorithm.clock(jnp.asarray(rho)), implied, 1e-10)


# --- (c) Weights against plain NumPy -----------------------------------------------------------------------


def reference(name, rewards):
    r = np.asarray(rewards, float)
    g, mean = r.size, r.mean()
    if name.startswith("reinforce"):
        return r - (0.4 if "baseline" in name else 0.0)
    if name == "rloo":
        return np.array([r[i] - np.delete(r, i).mean() for i in range(g)])
    if name in ("dr_grpo", "dr_grpo, dynamic sampling", "grpo, no scale", "opo"):
        return r - mean
    if name.startswith("grpo_passk"):
        second, top = np.sort(r)[-2:]
        gap = (top - second) / (r.std(ddof=1) if "÷" in name and top > second else 1.0)
        return np.where(np.arange(g) == r.argmax(), gap, 0.0)
    if name.startswith("grpo"):
        ddof = int(name in ("grpo, sample std", "grpo, as trainers run it"))
        epsilon = {"grpo, as trainers run it": 1e-4, "grpo, large epsilon": 0.3}.get(name, 0.0)
        return np.zeros(g) if np.ptp(r) == 0 else (r - mean) / (r.std(ddof=ddof) + epsilon)
    if name == "paired_grpo":  # a best with a worst one, whichever of several equal ones
        equal = (r[:, None] == r[None]).sum(axis=1)
        return np.zeros(g) if np.ptp(r) == 0 else (r - mean) / r.std(ddof=1) * g / (2 * equal)
    if name == "maxrl":
        return np.zeros(g) if mean == 0 else (r - mean) / mean
    if name == "signed":
        return 2 * r - 1
    if name in ("filtered_sft +", "remax"):  # the greedy rollout is none of the group's
        return r
    if name == "filtered_sft −":
        return r - 1
    if name == "filtered_sft ±":
        return r - 0.5 * (1 - r)
    if name == "filtered_sft per accepted":
        return np.zeros(g) if mean == 0 else r / mean
    if name.startswith("tsallis"):
        return np.zeros(g) if mean == 0 else r * mean ** -float(name.split()[1])
    if (
        name == "pass@2 training"
    ):  # a rollout's mean over the pairs that it is in, standardised over all pairs
        pairs = list(itertools.combinations(range(g), 2))
        best = np.array([r[list(pair)].max() for pair in pairs])
        if np.ptp(best) == 0:
            return np.zeros(g)
        standard = (best - best.mean()) / best.std()
        return np.array([standard[[i in pair for pair in pairs]].mean() for i in range(g)])
    # pass@k: k times the mean, over k − 1 companions drawn from the others, of whether one of the k is right.
    k = int(name[-1])
    out = []
    for i in range(g):
        others = np.delete(r, i)
        draws = [max((r[i], *others[list(c)])) for c in itertools.combinations(range(g - 1), k - 1)]
        out.append(k * np.mean(draws))
    return np.array(out)


@pytest.mark.parametrize(("name", "group"), [*GROUPED, *[(n, 6) for n in MEMBERS]])
def test_weights_of_every_binary_group(name, group):
    algorithm = make(name, group)
    rewards = np.array(list(itertools.product((0.0, 1.0), repeat=group)))
    expected = np.array([reference(name, r) for r in rewards])
    close(jax.jit(jax.vmap(algorithm.weights))(jnp.asarray(rewards)), expected, 1e-11)


@pytest.mark.parametrize("name", ["reinforce", "rloo", "grpo", "grpo, sample std", "dr_grpo"])
@given(seed=st.integers(0, 10_000), shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
@settings(deadline=None, max_examples=15)
def test_weights_of_real_rewards(name, seed, shift, scale):
    rewards = np.asarray(jax.random.normal(jax.random.key(seed), (5,)))
    weights = make(name, 5).weights(jnp.asarray(rewards))
    close(weights, reference(name, rewards), 1e-9)
    if name != "reinforce":  # a group baseline forgets the level; dividing by the spread forgets the unit
        moved = make(name, 5).weights(jnp.asarray(rewards * scale + shift))
        close(moved, weights * (1 if "grpo" in name and name != "dr_grpo" else scale), 1e-7)
        close(weights.sum(), 0, 1e-9)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1 / 3, -2.7, 1e-8, 1e8])
def test_a_silent_group_of_any_reward_weighs_nothing(value):
    for group in (2, 3, 7, 64):
        silent = jnp.full(group, value)
        for algorithm in (
            qra.grpo(group),
            qra.grpo(group, ddof=1, epsilon=1e-6),
            qra.grpo(group, resample_silent=True),
        ):
            assert (algorithm.weights(silent) == 0).all()
            assert (algorithm.weights(silent.astype(jnp.float32)) == 0).all()
            assert jnp.isfinite(jax.grad(lambda r, a=algorithm: a.weights(r).sum())(silent)).all()


# --- (d), (e) Padding and permutations ---------------------------------------------------------------------


@pytest.mark.parametrize("name", MEMBERS)
def test_padding_changes_nothing(name):
    algorithm = make(name, 4)
    where = jnp.array([True, False, True, True, False, True, False])
    for bits in itertools.product((0.0, 1.0), repeat=4):
        rewards = jnp.zeros(7).at[jnp.flatnonzero(where)].set(jnp.array(bits)).at[1].set(1.0).at[4].set(123.0)
        padded = algorithm.weights(rewards, where)
        assert (padded[~where] == 0).all()
        close(padded[where], algorithm.weights(jnp.array(bits)), 1e-11)


def test_padding_that_leaves_too_few_rollouts_weighs_nothing():
    rewards = jnp.array([1.0, 0.0, 1.0, 0.0])
    for algorithm, enough in [(qra.rloo(4), 2), (qra.pass_at_k(3, 4), 3), (qra.pass_at_k(1, 4), 1)]:
        for alive in range(5):
            weights = algorithm.weights(rewards, jnp.arange(4) < alive)
            assert bool((weights != 0).any()) == (alive >= enough)
            assert jnp.isfinite(weights).all()


@pytest.mark.parametrize("name", MEMBERS)
def test_permuting_rollouts_permutes_weights(name):
    algorithm, order = make(name, 6), np.array([2, 5, 0, 3, 1, 4])
    rewards = jnp.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
    close(algorithm.weights(rewards[order]), algorithm.weights(rewards)[order])


# --- (f), (g) Objectives and derivatives -------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 5])
def test_pass_at_k_climbs_its_objective(k):
    problem = random(jax.random.key(1), 4)

    def objective(logits):
        return qra.metrics.pass_at_k(qra.metrics.accuracy(jax.nn.log_softmax(logits), problem.success), k)

    step, rho = 1e-6, problem.accuracy_ref
    eye = jnp.eye(4) * step
    slope = [(objective(problem.log_ref + e) - objective(problem.log_ref - e)) / (2 * step) for e in eye]
    drift = problem.ref * (problem.success - rho)
    for algorithm in (qra.pass_at_k(k), qra.pass_at_k(k, 7)):
        close(algorithm.clock(rho) * drift, jnp.stack(slope), 1e-9)


def test_tsallis_climbs_its_objective():
    problem = random(jax.random.key(1), 4)
    for q in (0.0, 0.3, 0.99):

        def objective(logits, q=q):
            return qra.metrics.accuracy(jax.nn.log_softmax(logits), problem.success) ** (1 - q) / (1 - q)

        rho = problem.accuracy_ref
        drift = qra.tsallis(q).clock(rho) * problem.ref * (problem.success - rho)
        close(jax.grad(objective)(problem.log_ref), drift, 1e-10)


@pytest.mark.parametrize("name", MEMBERS)
def test_clocks_are_differentiable_in_accuracy(name):
    for algorithm in (make(name, 6), make(name, 3)):
        clock, slope = algorithm.clock, jax.jit(jax.grad(algorithm.clock))
        for rho in (1e-3, 0.5, 0.9):
            step = 1e-6 * rho
            numeric = float(clock(jnp.asarray(rho + step)) - clock(jnp.asarray(rho - step))) / (2 * step)
            gradient = float(slope(jnp.asarray(rho)))
            close(gradient / (1 + abs(numeric)), numeric / (1 + abs(numeric)), 1e-6)
        if not algorithm.resamples_silent:  # that clock is infinite at the ends
            for end in (0.0, 1.0):
                step = 1e-6 if end == 0 else -1e-6
                numeric = float(clock(jnp.asarray(end + step)) - clock(jnp.asarray(end))) / step
                close(float(slope(jnp.asarray(end))), numeric, 1e-4)


def test_clocks_are_differentiable_in_parameters():
    rho = jnp.asarray(0.2)
    close(jax.grad(lambda q: qra.tsallis(q).clock(rho))(0.4), -np.log(0.2) * 0.2**-0.4)
    both = jax.grad(lambda w: qra.filtered_sft("both", negative_weight=w).clock(rho))
    close(both(0.5), 1.0)
    for group in (1, 4):
        slope = jax.grad(lambda q, g=group: qra.tsallis(q, g).clock(rho))(0.4)
        numeric = (
            qra.tsallis(0.4 + 1e-6, group).clock(rho) - qra.tsallis(0.4 - 1e-6, group).clock(rho)
        ) / 2e-6
        close(slope, numeric, 1e-8)
    close(jax.vmap(lambda q: qra.tsallis(q).clock(rho))(jnp.array([0.0, 1.0])), [1.0, 5.0])


# --- (h) Bad hyperparameters -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: qra.rloo(1), "group_size: 1; must be 2 or above"),
        (lambda: qra.grpo(1), "group_size: 1; must be 2 or above"),
        (lambda: qra.grpo(0), "group_size: 0; must be 2 or above"),
        (lambda: qra.dr_grpo(1), "group_size: 1; must be 2 or above"),
        (lambda: qra.grpo(-3, resample_silent=True), "group_size: -3; must be 2 or above"),
        (lambda: qra.grpo(4, ddof=2), "ddof: 2; must be one of 0, 1"),
        (lambda: qra.grpo(4, epsilon=-1e-4), "epsilon: -0.0001; must be zero or positive"),
        (lambda: qra.grpo(4, scale="question"), "scale: 'question'; must be one of 'group', 'batch', 'none'"),
        (lambda: qra.maxrl(1), "group_size: 1; must be 2 or above"),
        (lambda: qra.maxrl(4, epsilon=-1.0), "epsilon: -1; must be zero or positive"),
        (lambda: qra.signed(0), "group_size: 0; must be 1 or above"),
        (lambda: qra.remax(0), "group_size: 0; must be 1 or above"),
        (lambda: qra.opo(1), "group_size: 1; must be 2 or above"),
        (lambda: qra.gpg(1), "group_size: 1; must be 2 or above"),
        (lambda: qra.reinforce_pp(1, baseline="group"), "group_size: 1; must be 2 or above"),
        (lambda: qra.reinforce_pp(4, baseline="token"), "baseline: 'token'; must be one of 'batch', 'group'"),
        (lambda: qra.passk_training(2, 2), "group_size: 2; must be 3 or above"),
        (lambda: qra.grpo_passk(1), "group_size: 1; must be 2 or above"),
        (lambda: qra.dpo(0.1, pairs="both"), "pairs: 'both'; must be one of 'policy', 'reference'"),
        (lambda: qra.normalized(qra.grpo(4), "token"), "normalize: 'token'; must be one of"),
        (lambda: qra.filtered_sft(per="accepted", group_size=0), "group_size: 0; must be 1 or above"),
        (lambda: qra.filtered_sft("all"), "keep: 'all'; must be one of 'positive', 'negative', 'both'"),
        (lambda: qra.filtered_sft(per="token"), "per: 'token'; must be one of 'rollout', 'accepted'"),
        (
            lambda: qra.filtered_sft("both", per="accepted"),
            "keep: 'both' with per='accepted'; must be 'positive'",
        ),
        (
            lambda: qra.filtered_sft("both", negative_weight=-0.5),
            r"negative_weight: -0\.5; must be zero or positive",
        ),
        (lambda: qra.pass_at_k(0), "k: 0; must be 1 or above"),
        (lambda: qra.pass_at_k(4, 3), "group_size: 3; must be 4 or above"),
        (lambda: qra.tsallis(1.5), r"q: 1\.5; must be in \[0, 1\]"),
        (lambda: qra.tsallis(float("nan")), r"q: nan; must be in \[0, 1\]"),
        (lambda: qra.tsallis(0.5, 0), "group_size: 0; must be 1 or above"),
        (lambda: qra.grpo(True), "group_size: True; must be a whole number, 2 or above"),
        (lambda: qra.reinforce(float("nan")), "baseline: nan; must be finite"),
    ],
)
def test_bad_hyperparameters_are_refused_by_name(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# --- (i) Compilation and precision -------------------------------------------------------------------------


@pytest.mark.parametrize("name", MEMBERS)
def test_building_twice_compiles_once(name):
    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(algorithm, rewards):
        return algorithm.weights(rewards), algorithm.clock(jnp.mean(rewards))

    chex.clear_trace_counter()
    for _ in range(2):
        step(make(name, 4), jnp.array([1.0, 0.0, 0.0, 1.0]))


def test_changing_a_parameter_does_not_recompile():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def speed(algorithm):
        return algorithm.clock(jnp.asarray(0.3))

    chex.clear_trace_counter()
    close([speed(qra.tsallis(q)) for q in (0.0, 0.5, 1.0)], [1.0, 0.3**-0.5, 1 / 0.3])


@pytest.mark.parametrize("name", MEMBERS)
def test_float32_stays_float32(name):
    rho = jnp.asarray([1e-30, 1e-3, 0.5, 0.999], jnp.float32)
    algorithm = make(name, 4)
    assert algorithm.weights(jnp.asarray([1.0, 0.0, 0.0, 1.0], jnp.float32)).dtype == jnp.float32
    for one in (algorithm, *([make(name, None)] if name not in FINITE else [])):
        speed = jax.jit(one.clock)(rho)
        assert speed.dtype == jnp.float32
        np.testing.assert_allclose(speed, one.clock(rho.astype(jnp.float64)), rtol=3e-5)
        assert jax.grad(lambda r, a=one: a.clock(r).sum())(rho).dtype == jnp.float32
        for real_clock in (one.real_clock, one.limit_real_clock):
            if real_clock is not None:
                group = jnp.inf if one.group_size is None else one.group_size
                assert real_clock(one.params, rho[1], group).dtype == jnp.float32


def test_clock_of_real_rewards():
    """Exact at every G where weights are linear in the rewards; GRPO has one in the limit G → ∞ alone."""
    std = jnp.asarray(0.25)
    for algorithm, group, expected in [
        (qra.reinforce(), jnp.inf, 1.0),
        (qra.reinforce(), 3, 1.0),
        (qra.rloo(4), 4, 1.0),
        (qra.dr_grpo(), jnp.inf, 1.0),
        (qra.dr_grpo(4), 4, 0.75),
        (qra.opo(4), 4, 0.75),
    ]:
        close(algorithm.real_clock(algorithm.params, std, group), expected)
    for algorithm, expected in [
        (qra.grpo(), 4.0),
        (qra.grpo(epsilon=0.15), 2.5),
        (qra.dr_grpo(resample_silent=True), 1.0),
    ]:
        assert algorithm.real_clock is None
        close(algorithm.limit_real_clock(algorithm.params, std, jnp.inf), expected)
    assert qra.pass_at_k(2).real_clock is qra.pass_at_k(2).limit_real_clock is None


@pytest.mark.parametrize(
    ("weigh", "message"),
    [
        (
            lambda params, rewards, where: rewards[:4],
            r"weigh: returned shape \(4,\); must be \(8,\), one weight",
        ),
        (lambda params, rewards, where: 1.0, r"weigh: returned 1\.0; must be an array \(8,\), one weight"),
        (lambda params, rewards, where: None, r"weigh: returned None; must be an array \(8,\), one weight"),
        (
            lambda params, rewards: rewards,
            r"weigh: takes \(params, rewards\); must be a function of \(params,",
        ),
        ("mean", r"weigh: 'mean'; must be a function of \(params, rewards, where\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weigh, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users call it
    with pytest.raises(ValueError, match="^" + message):
        qra.Algorithm("mine", weigh, 8).clock(0.5)
    with pytest.raises(ValueError, match="^" + message):
        qra.training.train(
            jax.random.key(0),
            qra.problem.examples.worked(),
            steps=1,
            learning_rate=0.1,
            algorithm=qra.Algorithm("mine", weigh, 8),
        )


@pytest.mark.parametrize("make", [qra.rloo, qra.grpo, lambda g: replace(qra.reinforce(), group_size=g)])
def test_a_traced_group_size_says_where_it_belongs(make, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users call it
    with pytest.raises(
        ValueError,
        match=r"^group_size: traced; must be a static whole number \(with_group_size takes a traced one",
    ):
        jax.vmap(lambda g: make(g).clock(0.5))(jnp.arange(2, 5))


@pytest.mark.parametrize("name", [name for name in MEMBERS if name not in ("pass@3", "pass@2 training")])
def test_a_traced_group_size_is_that_of_a_smaller_group(name):
    """Weights, tables and clock of the padded group are those of the group itself; no number compiles anew."""
    largest, rho = make(name, 6), jnp.array([0.0, 1e-3, 0.4, 0.9])
    clocks = jax.vmap(lambda size: largest.with_group_size(size).clock(rho))(jnp.arange(2, 7))
    for size, clock in zip(range(2, 7), clocks, strict=True):
        alone = largest.with_group_size(size)
        assert (alone.group_size, alone.size) == (size, None)
        np.testing.assert_allclose(clock, alone.clock(rho), rtol=1e-9, atol=1e-12)
        for padded, table in zip(largest.tables(6, size), alone.tables(), strict=True):
            close(padded[: size + 1], table)
    with pytest.raises(ValueError, match=r"^group_size: traced; give the algorithm the largest one first"):
        jax.vmap(lambda size: qra.grpo().with_group_size(size).clock(0.5))(jnp.arange(2, 5))
