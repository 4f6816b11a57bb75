"""Shaped rewards: their laws, against all groups written out by hand, in every way of running them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qra_jax as qra
from qra_jax import flow, orbit, recipe, shaping, training

REF, SUCCESS, LENGTHS = [0.2, 0.3, 0.5], [0.9, 0.6, 0.1], [40.0, 200.0, 700.0]
PROBLEM = qra.Problem.from_probs(ref=REF, success=SUCCESS, lengths=LENGTHS)
POLICY = np.array([0.25, 0.45, 0.3])
BONUS, SCORE, RATE, ABSTAINS = [0.3, -0.1, 0.05], [0.2, 1.0, 0.5], [0.9, 0.4, 0.0], [0.0, 0.25, 1.0]
VERDICT, NOISY = qra.verifiable(), qra.verifiable(0.9, 0.2)


def seen(p):
    """Chance of a verdict of the noisy verifier."""
    return 0.2 + 0.7 * p


# What a rollout of a pattern earns, and how often, by hand: {name: (reward, law(pattern) -> [(value, chance)])}.
LAWS = {
    "bonus": (
        qra.shaped(VERDICT, BONUS),
        lambda r, p: [(1 + BONUS[r], p), (BONUS[r], 1 - p)],
    ),
    "bonus on a noisy verdict": (
        qra.shaped(NOISY, BONUS),
        lambda r, p: [(1 + BONUS[r], seen(p)), (BONUS[r], 1 - seen(p))],
    ),
    "process behind the verdict": (
        qra.gated(VERDICT, SCORE),
        lambda r, p: [(0.2 + 0.8 * SCORE[r], p), (0.0, 1 - p)],
    ),
    "c/L": (
        qra.length_term(VERDICT, -30.0),
        lambda r, p: [(1 - 30 / LENGTHS[r], p), (-30 / LENGTHS[r], 1 - p)],
    ),
    "cL": (
        qra.length_term(VERDICT, -0.001, "linear"),
        lambda r, p: [(1 - 0.001 * LENGTHS[r], p), (-0.001 * LENGTHS[r], 1 - p)],
    ),
    "format before the answer": (
        qra.formatted(VERDICT, RATE, 0.3, 0.7),
        lambda r, p: (
            [(0.3 + 0.7 * right, RATE[r] * (p if right else 1 - p)) for right in (1, 0)]
            + [(0.0, 1 - RATE[r])]
        ),
    ),
    "format beside the answer": (
        qra.formatted(VERDICT, RATE, 0.3, 0.7, gate=False),
        lambda r, p: [
            (0.3 * form + 0.7 * right, (RATE[r] if form else 1 - RATE[r]) * (p if right else 1 - p))
            for form in (1, 0)
            for right in (1, 0)
        ],
    ),
    "abstention": (
        qra.abstaining(VERDICT, ABSTAINS, 0.5),
        lambda r, p: [(0.0, ABSTAINS[r]), (1.0, (1 - ABSTAINS[r]) * p), (-0.5, (1 - ABSTAINS[r]) * (1 - p))],
    ),
    "bonus, then length": (
        qra.length_term(qra.shaped(VERDICT, BONUS), -30.0),
        lambda r, p: [(v + BONUS[r] - 30 / LENGTHS[r], q) for v, q in ((1, p), (0, 1 - p))],
    ),
    "sum of a verdict and a format": (
        qra.several([VERDICT, qra.verifiable(0.5, 0.25)], [1.0, 0.4]),
        lambda r, p: [
            (a + 0.4 * b, (p if a else 1 - p) * (0.25 + 0.25 * p if b else 0.75 - 0.25 * p))
            for a in (1, 0)
            for b in (1, 0)
        ],
    ),
}
every_law = pytest.mark.parametrize("name", LAWS)


def grpo(rewards):
    spread = rewards.std()
    return np.zeros(len(rewards)) if spread < 1e-12 else (rewards - rewards.mean()) / spread


def dr_grpo(rewards):
    return rewards - rewards.mean()


def rloo(rewards):
    return np.array([r - np.delete(rewards, i).mean() for i, r in enumerate(rewards)])


RULES = {"grpo": (qra.grpo, grpo), "dr_grpo": (qra.dr_grpo, dr_grpo), "rloo": (qra.rloo, rloo)}


def by_hand(law, weigh, group):
    """Mean of (1/G) Σ A_i (e_{r_i} − π) over every ordered group; `law(r, p)` lists (what is earned, chance)."""
    cells = [(r, v, POLICY[r] * q) for r in range(3) for v, q in law(r, SUCCESS[r]) if q > 0]
    total = np.zeros(3)
    for rollouts in itertools.product(cells, repeat=group):
        chance = np.prod([cell[2] for cell in rollouts])
        weights = weigh(np.array([cell[1] for cell in rollouts]))
        for (r, _, _), weight in zip(rollouts, weights, strict=True):
            total += chance * weight / group * (np.eye(3)[r] - POLICY)
    return total


@pytest.mark.parametrize("rule", RULES)
@every_law
def test_the_drift_is_the_sum_over_all_groups(name, rule):
    reward, law = LAWS[name]
    make, weigh = RULES[rule]
    group = 3 if rule == "grpo" else 2
    expected = by_hand(law, weigh, group)
    options = {"algorithm": make(group), "reward": reward}
    drift = jax.jit(lambda policy: flow.drift(PROBLEM, jnp.log(policy), **options))(POLICY)
    np.testing.assert_allclose(drift, expected, rtol=0, atol=1e-12)
    if rule != "grpo":
        return
    options |= {"steps": 1, "learning_rate": 1.0, "mode": "mean", "log_policy0": jnp.log(POLICY)}
    path = training.train(jax.random.key(0), PROBLEM, **options).log_policy
    moved = np.asarray(path[1] - path[0])
    np.testing.assert_allclose(moved - moved.mean(), expected - expected.mean(), rtol=0, atol=1e-12)


@every_law
def test_rates_chances_and_the_limit_of_large_groups(name):
    reward, law = LAWS[name]
    lists = [law(r, p) for r, p in enumerate(SUCCESS)]
    mean = np.array([sum(v * q for v, q in one) for one in lists])
    variance = np.array([sum(v * v * q for v, q in one) for one in lists]) - mean**2
    values, chances = reward.outcomes(PROBLEM)
    np.testing.assert_allclose(jnp.sum(chances, axis=-1), 1, atol=1e-15)
    assert values.shape == chances.shape
    np.testing.assert_allclose(reward.rates(PROBLEM), mean, atol=1e-15)
    np.testing.assert_allclose(reward.variance(PROBLEM), variance, atol=1e-14)
    # GRPO's clock in the limit is one over the standard deviation over and within patterns.
    rho = POLICY @ mean
    std = np.sqrt(POLICY @ (variance + (mean - rho) ** 2))
    drift = flow.drift(PROBLEM, jnp.log(POLICY), algorithm=qra.grpo(), reward=reward)
    np.testing.assert_allclose(drift, POLICY * (mean - rho) / std, atol=1e-12)
    # The orbit and the flow are one path.
    ts = jnp.array([0.0, 1.0, 20.0])
    exact = orbit.solve(PROBLEM, ts, reward=reward).log_policy
    solved = flow.solve(PROBLEM, ts=ts, reward=reward, rtol=1e-11, atol=1e-11).log_policy
    np.testing.assert_allclose(solved, exact, atol=1e-7)
    narrow = jax.tree.map(lambda x: x.astype(jnp.float32), PROBLEM)
    assert reward.rates(narrow).dtype == jnp.float32
    np.testing.assert_allclose(reward.rates(narrow), mean, atol=1e-6)


DRAWS = 20_000


@every_law
def test_the_average_of_sampled_steps_is_the_drift(name):
    reward, _ = LAWS[name]
    options = {"algorithm": qra.grpo(4), "reward": reward}

    def step(key):
        path = training.train(
            key, PROBLEM, steps=1, learning_rate=1.0, log_policy0=jnp.log(POLICY), **options
        )
        return path.log_policy[1] - path.log_policy[0], path.stats["reward"][0]

    moved, earned = jax.jit(jax.vmap(step))(jax.random.split(jax.random.key(1), DRAWS))
    moved = np.asarray(moved - moved.mean(axis=-1, keepdims=True))
    drift = flow.drift(PROBLEM, jnp.log(POLICY), **options)
    assert np.abs((moved.mean(axis=0) - drift) / (moved.std(axis=0) / np.sqrt(DRAWS))).max() < 5
    mean = POLICY @ np.asarray(reward.rates(PROBLEM))
    assert abs(earned.mean() - mean) < 5 * earned.std() / np.sqrt(DRAWS)


# --- Traced numbers -----------------------------------------------------------------------------------------


MAKERS = {
    "bonus": lambda x: qra.shaped(VERDICT, x * jnp.array([1.0, 0.5, 0.0])),
    "list": lambda x: qra.shaped(VERDICT, [x, 0.5 * x, 0.0]),
    "score": lambda x: qra.gated(VERDICT, jnp.array([0.1, 0.2, 0.3]), x, 1 - x),
    "length": lambda x: qra.length_term(VERDICT, -20 * x),
    "format": lambda x: qra.formatted(VERDICT, x * jnp.array([1.0, 0.5, 0.2]), x, 1 - x),
    "abstention": lambda x: qra.abstaining(VERDICT, jnp.array([0.1, 0.2, 0.3]) * x, x),
    "sum": lambda x: qra.several([VERDICT, qra.verifiable(x)], [1.0, x]),
}


@pytest.mark.parametrize("name", MAKERS)
def test_derivatives_are_finite_differences(name):
    @jax.jit
    def end(x):
        run = training.train(
            jax.random.key(0),
            PROBLEM,
            steps=5,
            learning_rate=0.5,
            mode="mean",
            algorithm=qra.grpo(3),
            reward=MAKERS[name](x),
        )
        return run.accuracy[-1]

    slope, step = jax.grad(end)(0.4), 1e-5
    assert abs(slope) > 1e-5
    np.testing.assert_allclose(slope, (end(0.4 + step) - end(0.4 - step)) / (2 * step), rtol=1e-6)
    many = jax.vmap(end)(jnp.array([0.2, 0.4]))
    np.testing.assert_allclose(many[1], end(0.4), rtol=1e-12)


# --- Several rewards, each by its own standard deviation ----------------------------------------------------


PARTS = {
    "two verdicts": ([VERDICT, qra.verifiable(0.5, 0.25)], [1.0, 1.0]),
    "a verdict and a length": (
        [VERDICT, qra.length_term(qra.verifiable(0.0, 0.0), 30.0)],
        [1.0, 0.3],
    ),
}


def part_laws(name):
    """`law(r, p)` of vectors, by hand."""
    if name == "two verdicts":
        return lambda r, p: [
            ((a, b), (p if a else 1 - p) * (0.25 + 0.25 * p if b else 0.75 - 0.25 * p))
            for a in (1.0, 0.0)
            for b in (1.0, 0.0)
        ]
    return lambda r, p: [((1.0, 30 / LENGTHS[r]), p), ((0.0, 30 / LENGTHS[r]), 1 - p)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", PARTS)
def test_rewards_apart_are_the_sum_over_all_groups(name, rule):
    rewards, weights = PARTS[name]
    make, weigh = RULES[rule]
    group = 3
    expected = by_hand(
        part_laws(name),
        lambda earned: sum(w * weigh(column) for w, column in zip(weights, earned.T, strict=True)),
        group,
    )
    algorithm, reward = shaping.separately(make(group), qra.several(rewards, weights), PROBLEM)
    drift = flow.drift(PROBLEM, jnp.log(POLICY), algorithm=algorithm, reward=reward)
    np.testing.assert_allclose(drift, expected, rtol=0, atol=1e-12)
    # In expectation the drifts of the single rewards add up, whatever is drawn together.
    single = [flow.drift(PROBLEM, jnp.log(POLICY), algorithm=make(group), reward=one) for one in rewards]
    np.testing.assert_allclose(
        drift, sum(w * one for w, one in zip(weights, single, strict=True)), atol=1e-12
    )
    together = flow.drift(
        PROBLEM, jnp.log(POLICY), algorithm=make(group), reward=qra.several(rewards, weights)
    )
    if rule == "grpo":
        assert np.abs(together - drift).max() > 1e-2
    else:  # what divides by nothing cannot tell the two
        np.testing.assert_allclose(together, drift, atol=1e-12)


def test_rewards_apart_when_sampled():
    rewards, weights = PARTS["two verdicts"]
    total = qra.several(rewards, weights)
    algorithm, reward = shaping.separately(qra.grpo(4), total, PROBLEM)

    def step(key):
        path = training.train(
            key,
            PROBLEM,
            steps=1,
            learning_rate=1.0,
            log_policy0=jnp.log(POLICY),
            algorithm=algorithm,
            reward=reward,
        )
        return path.log_policy[1] - path.log_policy[0], path.stats["reward"][0], path.stats["silent"][0]

    moved, earned, silent = jax.jit(jax.vmap(step))(jax.random.split(jax.random.key(1), DRAWS))
    moved = np.asarray(moved - moved.mean(axis=-1, keepdims=True))
    drift = flow.drift(PROBLEM, jnp.log(POLICY), algorithm=algorithm, reward=reward)
    assert np.abs((moved.mean(axis=0) - drift) / (moved.std(axis=0) / np.sqrt(DRAWS))).max() < 5
    assert abs(earned.mean() - POLICY @ np.asarray(total.rates(PROBLEM))) < 5 * earned.std() / np.sqrt(DRAWS)
    # Silent is a group in which no reward differs: neither (1, 0) beside (0, 1), which have one sum.
    cells = {}
    for r, p in enumerate(SUCCESS):
        for pair, chance in part_laws("two verdicts")(r, p):
            cells[pair] = cells.get(pair, 0) + POLICY[r] * chance
    share = sum(chance**4 for chance in cells.values())
    assert abs(silent.mean() - share) < 5 * np.sqrt(share / DRAWS)


def test_rewards_apart_in_single_precision():
    narrow = jax.tree.map(lambda x: x.astype(jnp.float32), PROBLEM)
    found = []
    for problem in (PROBLEM, narrow):
        algorithm, reward = shaping.separately(qra.grpo(3), qra.several(PARTS["two verdicts"][0]), problem)
        found.append(flow.drift(problem, problem.log_ref, algorithm=algorithm, reward=reward))
    assert found[1].dtype == jnp.float32
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)


# --- Phases -------------------------------------------------------------------------------------------------


def test_a_bonus_that_is_switched_off_is_two_phases():
    bonus = qra.shaped(VERDICT, [0.5, 0.0, 0.0])
    plan = recipe.Recipe((recipe.rlvr(time=3.0, reward=bonus), recipe.rlvr(time=4.0)))
    first = orbit.solve(PROBLEM, jnp.array([3.0]), reward=bonus).log_policy[-1]
    second = orbit.solve(PROBLEM.with_ref(first), jnp.array([4.0])).log_policy[-1]
    np.testing.assert_allclose(plan.run(PROBLEM).log_policy, second, atol=1e-10)

    def annealed(level, runner="flow"):
        phases = [
            recipe.rlvr(time=1.0, reward=qra.shaped(VERDICT, [level * share, 0.0, 0.0]), runner=runner)
            for share in (1.0, 0.5, 0.0)
        ]
        return recipe.Recipe(tuple(phases)).run(PROBLEM).log_policy[0]

    slope = jax.grad(annealed)(0.5)
    np.testing.assert_allclose(slope, (annealed(0.5 + 1e-4) - annealed(0.5 - 1e-4)) / 2e-4, rtol=1e-4)
    np.testing.assert_allclose(annealed(0.5, "orbit"), annealed(0.5), atol=1e-6)
    sampled = recipe.Recipe(
        (
            recipe.rlvr(steps=20, runner="sampled", algorithm=qra.grpo(8), reward=bonus, learning_rate=0.1),
            recipe.rlvr(steps=20, runner="sampled", algorithm=qra.grpo(8), learning_rate=0.1),
        )
    ).run(PROBLEM, key=jax.random.key(0))
    assert jnp.isfinite(sampled.log_policy).all()
    assert "shaped" in plan.to_toml()
    again = recipe.Recipe.from_toml(plan.to_toml())
    np.testing.assert_array_equal(again.run(PROBLEM).log_policy, plan.run(PROBLEM).log_policy)


# --- What has no meaning ------------------------------------------------------------------------------------


VOTE, REAL = qra.majority_vote(), qra.self_certainty()
SUM = qra.several([VERDICT, NOISY])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: qra.shaped(VOTE, BONUS), "reward: 'majority-vote' is the verdict of a group"),
        (lambda: qra.shaped(VERDICT, [0.1, float("nan")]), r"bonus\[1\]: nan; must be finite"),
        (lambda: qra.shaped(VERDICT, jnp.asarray(0.3)), r"bonus: shape \(\); must have 1 dimension"),
        (lambda: qra.shaped(VERDICT, [0.1]).rates(PROBLEM), r"bonus: shape \(1,\); must be \(3,\)"),
        (lambda: qra.gated(REAL, SCORE), "reward: 'self-certainty' is real-valued; must be binary"),
        (lambda: qra.gated(VOTE, SCORE), "is the verdict of a group"),
        (lambda: qra.gated(VERDICT, [0.1, 1.2]), r"score\[1\]: 1\.2; must be in \[0, 1\]"),
        (lambda: qra.gated(VERDICT, SCORE, floor=float("inf")), "floor: inf; must be finite"),
        (lambda: qra.length_term(VERDICT, 1.0, "cosine"), "form: 'cosine'; must be"),
        (lambda: qra.length_term(VERDICT, float("nan")), "coefficient: nan; must be finite"),
        (
            lambda: qra.length_term(VERDICT, 1.0).rates(qra.problem.examples.worked()),
            "lengths: None, with a reward that has a term in the length",
        ),
        (lambda: qra.formatted(VERDICT, [-0.1, 0.5]), r"rate\[0\]: -0\.1; must be in \[0, 1\]"),
        (lambda: qra.abstaining(REAL, ABSTAINS), "must be binary, a verdict on the answer"),
        (lambda: qra.abstaining(VERDICT, ABSTAINS, -1.0), "penalty: -1; must be zero or positive"),
        (lambda: qra.several([]), "rewards: none; must be at least one Reward"),
        (lambda: qra.several([VERDICT], [1.0, 2.0]), "weights: length 2; must be 1, one for each reward"),
        (lambda: qra.several([VERDICT, VOTE]), "is the verdict of a group"),
        (lambda: shaping.separately(qra.grpo(), SUM, PROBLEM), "group_size: None; GRPO with rewards apart"),
        (lambda: shaping.separately(qra.grpo(4), VERDICT, PROBLEM), r"must be made by several\(\)"),
        (
            lambda: shaping.separately(
                qra.grpo(4), qra.several([VERDICT, qra.trajectory_log_prob()]), PROBLEM
            ),
            "of rewards that do not depend on the policy",
        ),
        (lambda: shaping.separately(qra.gpg(4), SUM, PROBLEM), "must weigh the rewards of one group"),
        (lambda: shaping.separately(qra.remax(4), SUM, PROBLEM), "must weigh the rewards of one group"),
        (
            lambda: shaping.separately(qra.grpo(4, resample_silent=True), SUM, PROBLEM),
            "must weigh the rewards of one group, each drawn once",
        ),
        (
            lambda: shaping.separately(qra.maxrl(4), qra.several([VERDICT, REAL]), PROBLEM),
            "each must be binary",
        ),
        (
            lambda: shaping.separately(qra.grpo(4), SUM, qra.problem.stack([PROBLEM, PROBLEM])),
            r"problem: shape \(2, 3\); must be one question",
        ),
        (
            lambda: flow.drift(
                PROBLEM, PROBLEM.log_ref, algorithm=qra.maxrl(4), reward=qra.shaped(VERDICT, BONUS)
            ),
            "must be binary",
        ),
    ],
)
def test_what_has_no_meaning_is_refused_in_one_line(build, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_a_clock_that_sees_spread_within_patterns_has_no_orbit():
    problem = qra.problem.examples.worked()
    reward = qra.shaped(qra.verifiable(), [0.5, 0.0, 0.0])
    with pytest.raises(ValueError, match="differs between rollouts of a pattern"):
        qra.orbit.hit(problem, 0.99, algorithm=qra.grpo(), reward=reward)
    assert qra.orbit.hit(problem, 0.99, algorithm=qra.reinforce(), reward=reward).ok
