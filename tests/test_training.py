"""Training: its random numbers, its groups, its gradients and its loop, each against an independent account."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import product

import jax
import jax.extend
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from scipy import stats

import qra_jax as qra
from qra_jax import flow, training
from qra_jax._closures import hoisted
from qra_jax.training import bits, groups
from qra_jax.training.api import _train

PROBLEM = qra.Problem.from_probs(ref=[0.05, 0.6, 0.25, 0.1], success=[0.9, 0.6, 0.1, 0.3])
ALGORITHMS = {
    "reinforce": qra.reinforce(0.3, group_size=5),
    "rloo": qra.rloo(5),
    "grpo": qra.grpo(8),
    "grpo, sample std": qra.grpo(5, ddof=1),
    "dr_grpo": qra.dr_grpo(4),
    "grpo, dynamic sampling": qra.grpo(5, resample_silent=True),
    "filtered_sft, both": qra.filtered_sft("both", group_size=3, negative_weight=0.5),
    "filtered_sft, negative": qra.filtered_sft("negative", group_size=4),
    "filtered_sft, accepted": qra.filtered_sft(per="accepted", group_size=4),
    "pass_at_k": qra.pass_at_k(3, 8),
    "tsallis": qra.tsallis(0.5, 6),
}


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def one_step(key, problem=PROBLEM, **options):
    """The gradient of one step at the reference policy, up to a constant, which is removed."""
    options = {"steps": 1, "learning_rate": 1.0, **options}
    change = training.train(key, problem, **options).log_policy[-1] - problem.log_ref
    return change - jnp.mean(change)


def z_scores(draws, mean):
    draws = np.asarray(draws, np.float64)
    return (draws.mean(0) - np.asarray(mean)) / (draws.std(0) / np.sqrt(len(draws)))


# Random numbers


def test_threefry_is_the_hash_of_jax():
    key, counter = jnp.array([7, 2**31 + 5], jnp.uint32), jnp.arange(20, dtype=jnp.uint32) * 123456789
    x, y = bits.threefry((key[0], key[1]), (counter[:10], counter[10:]), rounds=20)
    expected = jax.extend.random.threefry_2x32(key, counter)
    np.testing.assert_array_equal(jnp.concatenate([x, y]), expected)


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x9D1C5EC6, 0x8BD50731)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0xFD36D048, 0x2D17272C)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xBA3E4725, 0xF27D669E)),
    ],
)
def test_threefry_with_13_rounds_gives_the_known_answers(key, counter, expected):
    words = bits.threefry(*((jnp.uint32(a), jnp.uint32(b)) for a, b in (key, counter)))
    assert tuple(int(word) for word in words) == expected


def test_words_of_neighbouring_counters_are_far_apart():
    """One flipped bit of key, step or index flips each output bit with chance one half (avalanche)."""
    base = jax.random.bits(jax.random.key(1), (4, 4096), jnp.uint32)
    words = bits.threefry((base[0], base[1]), (base[2], base[3]))
    worst = 0.0
    for which in range(4):
        for bit in (0, 1, 7, 16, 31):
            near = base.at[which].set(base[which] ^ jnp.uint32(1 << bit))
            other = bits.threefry((near[0], near[1]), (near[2], near[3]))
            for word, changed in zip(words, other, strict=True):
                flipped = (np.asarray(word ^ changed)[:, None] >> np.arange(32, dtype=np.uint32)) & 1
                worst = max(worst, np.abs(flipped.mean(0) - 0.5).max() * 2 * np.sqrt(4096))
    assert worst < 5  # of 1280 standard normal deviates


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_uniforms_are_uniform_and_independent(dtype):
    seed = jax.random.bits(jax.random.key(0), (2, 4096), jnp.uint32)
    dtype = jnp.dtype(dtype)
    halves = [bits.uniforms(seed, jnp.asarray(step), 4, dtype) for step in range(4)]
    numbers = np.asarray(jnp.stack([jnp.concatenate(pair) for pair in halves]))  # [steps, 8, cells]
    assert numbers.dtype == dtype
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-3
    table = numbers.reshape(32, -1)
    correlation = np.corrcoef(table)[~np.eye(32, dtype=bool)]
    assert np.abs(correlation).max() < 5 / np.sqrt(table.shape[1])
    apart = np.asarray(jnp.concatenate(bits.uniforms(seed, jnp.asarray(0), 4, dtype, stream=2)))
    assert abs(np.corrcoef(apart.ravel(), numbers[0].ravel())[0, 1]) < 5 / np.sqrt(apart.size)


def test_uniforms_fill_the_bits_of_float64():
    seed = jax.random.bits(jax.random.key(0), (2, 1000), jnp.uint32)
    first, second = bits.uniforms(seed, jnp.asarray(0), 1, jnp.dtype(jnp.float64))
    fine = np.asarray(first[0]) * 2.0**32 % 1
    assert stats.kstest(fine, "uniform").pvalue > 1e-3
    assert np.asarray(second).shape == (1, 1000)


def test_normals_are_normal():
    seed = jax.random.bits(jax.random.key(0), (2, 4096), jnp.uint32)
    numbers = bits.normals(seed, jnp.asarray(3), 5, jnp.dtype(jnp.float32))
    assert numbers.shape == (5, 4096)
    assert stats.kstest(np.asarray(numbers).ravel(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("end", ["first", "last"])
def test_normals_are_finite_at_both_ends(dtype, end, monkeypatch):
    last = np.nextafter(np.array(1, dtype), np.array(0, dtype))
    extreme = jnp.full((1, 1), 0.0 if end == "first" else last, dtype)
    monkeypatch.setattr(bits, "uniforms", lambda *args, **kwargs: (extreme, extreme))
    assert jnp.isfinite(
        bits.normals(jnp.zeros((2, 1), jnp.uint32), jnp.asarray(0), 2, jnp.dtype(dtype))
    ).all()


# Groups


def plain_weights(name, rewards, k=3, q=0.5):
    """The algorithms written out for one group, with nothing but sums and loops."""
    rewards = [float(r) for r in rewards]
    size, mean = len(rewards), sum(rewards) / len(rewards)
    if name == "rloo":
        return [r - (sum(rewards) - r) / (size - 1) for r in rewards]
    if name == "dr_grpo":
        return [r - mean for r in rewards]
    if len(set(rewards)) == 1:
        return [0.0] * size
    ddof = 1 if name == "grpo, sample std" else 0
    std = (sum((r - mean) ** 2 for r in rewards) / (size - ddof)) ** 0.5
    return [(r - mean) / std for r in rewards]


@pytest.mark.parametrize("name", ["rloo", "dr_grpo", "grpo", "grpo, sample std", "grpo, dynamic sampling"])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_tables_hold_the_weights_of_every_group(name, size):
    """All groups of right and wrong rollouts, silent ones too, also as the unpadded part of a larger group."""
    algorithm = ALGORITHMS[name]
    exact = algorithm.with_group_size(size).tables()
    masked = algorithm.tables(algorithm.group_size, jnp.asarray(float(size)))
    for rewards in product([0, 1], repeat=size):
        weights, right = plain_weights(name, rewards), sum(rewards)
        for reward, weight in zip(rewards, weights, strict=True):
            for tables in (exact, masked):
                table = tables.right if reward else tables.wrong
                assert abs(table[right] - weight) < 1e-14


@pytest.mark.parametrize("name", ["dr_grpo", "grpo"])
def test_a_group_of_one_says_nothing(name):
    """A group of one rollout, masked or not, is its own baseline: weight 0, and training stands still."""
    algorithm = ALGORITHMS[name].with_group_size(4)
    for alone in (replace(algorithm, size=1.0), algorithm.with_group_size(1)):
        run = training.train(jax.random.key(0), PROBLEM, algorithm=alone, steps=20, learning_rate=1.0)
        np.testing.assert_allclose(run.log_policy[-1], PROBLEM.log_ref, atol=1e-14)
        assert (run.stats["silent"] == 1).all()


def test_counts_are_the_number_below():
    levels = jnp.array([0.1, 0.5, 0.9])[:, None] * jnp.ones((3, 2))
    for pairs in (3, 50):  # written out, and as a loop
        halves = tuple(jax.random.uniform(key, (pairs, 2)) for key in keys(2))
        counted = groups.below(levels, halves)
        expected = (np.concatenate(halves)[None] < np.asarray(levels)[:, None]).sum(1)
        np.testing.assert_array_equal(counted, expected)


def test_patterns_without_mass_or_success_are_never_drawn():
    """Cells of zero width stay empty, at the end of the ladder too, whatever the rounding of the sums."""
    scores = jnp.asarray(np.random.default_rng(0).random((7, 500)), jnp.float32).at[6].set(0)
    rates = jnp.full((7, 500), 0.3, jnp.float32).at[2].set(0).at[5].set(1)
    almost_one = jnp.full((4, 500), 1 - 2.0**-24, jnp.float32)
    right, wrong = groups.draw_verdicts(scores, rates, (almost_one, almost_one))
    assert (right[-1] == 0).all()
    assert (wrong[4] == 8).all()
    tables = groups.Tables(jnp.ones((9, 500), jnp.float32), jnp.ones((9, 500), jnp.float32))
    shares = groups.weigh_verdicts((right, wrong), tables, jnp.asarray(8.0, jnp.float32), split=False)
    np.testing.assert_allclose(jnp.sum(shares.up, axis=0), 1.0)
    assert (shares.up[6] == 0).all()
    assert (shares.up[5] == 0).all()  # its wrong cell is empty: the last mass is that of pattern 4


def test_resampled_groups_follow_the_conditional_law():
    """The number of right rollouts is binomial without both ends; patterns follow given the verdict."""
    scores, rates = (jnp.tile(x[:, None], 100_000) for x in (PROBLEM.ref, PROBLEM.success))
    halves = tuple(jax.random.uniform(key, (3, 100_000)) for key in keys(2))
    halves = groups.padded(halves, 5)
    lot = jax.random.uniform(jax.random.key(5), (100_000,))
    right, _ = groups.draw_mixed_verdicts(scores, rates, halves, lot, 5, jnp.asarray(5.0))
    chance = stats.binom.pmf(np.arange(1, 5), 5, float(PROBLEM.accuracy_ref))
    counted = np.bincount(np.asarray(right[-1]).astype(int), minlength=6)
    assert counted[0] == counted[5] == 0
    assert stats.chisquare(counted[1:5], chance / chance.sum() * 100_000).pvalue > 1e-3
    share = np.diff(np.asarray(right).sum(1), prepend=0) / np.asarray(right[-1]).sum()
    expected = np.asarray(PROBLEM.ref * PROBLEM.success / PROBLEM.accuracy_ref)
    assert np.abs(share - expected).max() < 5 * np.sqrt(0.25 / np.asarray(right[-1]).sum())


def test_a_question_that_is_always_right_cannot_be_resampled():
    problem = qra.Problem.from_probs(ref=[0.5, 0.5], success=[1.0, 1.0])
    algorithm = qra.grpo(4, resample_silent=True)
    run = training.train(jax.random.key(0), problem, algorithm=algorithm, steps=10, learning_rate=1.0)
    assert run.status == qra.Status.OK
    np.testing.assert_allclose(run.log_policy[-1], problem.log_ref)


# Gradients


@pytest.mark.parametrize("name", ALGORITHMS)
def test_mean_of_sampled_gradients_is_the_drift(name):
    """One million groups each; the exact mean is the drift of the flow, the noise has the exact covariance."""
    algorithm = ALGORITHMS[name]
    sample = qra.many(lambda key: one_step(key, algorithm=algorithm), block=512, chunk=65536)
    draws = np.asarray(sample(keys(1_000_000, seed=11)))
    mean = one_step(jax.random.key(0), algorithm=algorithm, mode="mean")
    np.testing.assert_allclose(mean, flow.drift(PROBLEM, PROBLEM.log_ref, algorithm=algorithm), atol=1e-14)
    assert np.abs(z_scores(draws, mean)).max() < 4.5
    exact = training.gradient_covariance(PROBLEM, PROBLEM.log_ref, algorithm=algorithm)
    centred = draws - draws.mean(0)
    products = centred[:, :, None] * centred[:, None]
    assert np.abs(z_scores(products, exact)).max() < 4.5


@pytest.mark.parametrize(
    "options",
    [
        {"reward": qra.verifiable(0.8, 0.2)},
        {"algorithm": replace(qra.grpo(6), size=4.0)},
        {"reward": qra.verifiable(0.8, 0.2), "off_policy": qra.OffPolicy(correlation=0.5)},
        {"reward": qra.verifiable(0.3, 0.6), "off_policy": qra.OffPolicy(correlation=0.7)},
        {"off_policy": qra.OffPolicy(sampling_temperature=1.5)},
        {"off_policy": qra.OffPolicy("none", sampling_temperature=1.5)},
        {"off_policy": qra.OffPolicy(sampling_temperature=0.5, clip=(0.1, 0.2))},
        {"geometry": "natural"},
        {"off_policy": qra.OffPolicy(behavior=jnp.log(jnp.array([0.4, 0.3, 0.2, 0.1])), clip=0.3)},
        {
            "regularizers": [qra.reverse_kl(0.1), qra.entropy_bonus(0.1)],
            "off_policy": qra.OffPolicy(sampling_temperature=2.0),
        },
    ],
    ids=lambda options: ", ".join(str(value) for value in options.values()),
)
def test_mean_of_sampled_gradients_with_every_option(options):
    options = {"algorithm": qra.grpo(6), **options}
    draws = qra.many(lambda key: one_step(key, **options), block=512)(keys(200_000, seed=5))
    assert np.abs(z_scores(draws, one_step(jax.random.key(0), mode="mean", **options))).max() < 4.5


@pytest.mark.parametrize("name", ["reinforce", "grpo", "grpo, dynamic sampling", "pass_at_k"])
def test_the_normal_noise_has_the_exact_moments(name):
    options = {"algorithm": ALGORITHMS[name]}
    draws = np.asarray(jax.jit(jax.vmap(lambda key: one_step(key, mode="sde", **options)))(keys(100_000)))
    assert np.abs(z_scores(draws, one_step(jax.random.key(0), mode="mean", **options))).max() < 4.5
    exact = training.gradient_covariance(PROBLEM, PROBLEM.log_ref, algorithm=ALGORITHMS[name])
    products = (draws - draws.mean(0))[:, :, None] * (draws - draws.mean(0))[:, None]
    assert np.abs(z_scores(products, exact)).max() < 4.5
    np.testing.assert_allclose(exact.sum(0), 0, atol=1e-15)


@pytest.mark.parametrize("mode", ["mean", "sampled"])
def test_clipped_epochs_ascend_the_clipped_objective(mode):
    """Three epochs against autodiff of E[min(ratio·A, clip(ratio)·A)] at a given group (or its mean)."""
    low, high, rate, baseline = 0.05, 0.1, 3.0, 0.3
    algorithm = qra.reinforce(baseline, group_size=8)
    off_policy = qra.OffPolicy(epochs=3, clip=(low, high))
    options = {"steps": 1, "off_policy": off_policy, "mode": mode, "learning_rate": rate}
    run = training.train(jax.random.key(4), PROBLEM, algorithm=algorithm, **options)
    if mode == "mean":
        mass = jnp.stack([PROBLEM.ref * PROBLEM.success, PROBLEM.ref * (1 - PROBLEM.success)])
    else:
        seed = jax.random.bits(jax.random.key(4), (2,), jnp.uint32)
        halves = bits.uniforms(seed, jnp.asarray(0), 4, jnp.dtype(jnp.float64))
        right, wrong = groups.draw_verdicts(PROBLEM.ref, PROBLEM.success, halves)
        mass = jnp.stack([jnp.diff(right, prepend=0), jnp.diff(wrong, prepend=right[-1])]) / 8
    advantage = jnp.array([1 - baseline, -baseline])[:, None]

    def objective(logits):
        ratio = (jax.nn.softmax(logits) / PROBLEM.ref)[None]
        clipped = jnp.clip(ratio, 1 - low, 1 + high)
        return jnp.sum(mass * jnp.minimum(ratio * advantage, clipped * advantage))

    logits = PROBLEM.log_ref
    for _ in range(3):
        logits = logits + rate * jax.grad(objective)(logits)
    np.testing.assert_allclose(run.log_policy[-1], jax.nn.log_softmax(logits), atol=1e-12)
    assert float(run.stats["clipped"][0]) > 0


def test_clipping_at_ratio_one_is_no_clipping():
    """On the policy's own fresh rollouts the ratio is one: even ε = 0 changes no bit."""
    options = {"algorithm": qra.grpo(8), "steps": 50, "learning_rate": 0.3}
    free = training.train(jax.random.key(0), PROBLEM, **options)
    # A temperature of one makes the ratio be computed; it is then one to rounding, so ε = 0 would clip half of it.
    off_policy = qra.OffPolicy(clip=1e-9, sampling_temperature=1.0)
    clipped = training.train(jax.random.key(0), PROBLEM, off_policy=off_policy, **options)
    np.testing.assert_allclose(free.log_policy, clipped.log_policy, atol=1e-9)
    assert (clipped.stats["clipped"] == 0).all()


def test_real_rewards_are_weighed_as_the_algorithm_says():
    """Self-certainty under GRPO: one sampled step against the weights of the rollouts one by one."""
    reward = qra.self_certainty()
    rates = np.asarray(reward.rates(PROBLEM))
    for size in (None, 5.0):
        algorithm = replace(qra.grpo(8), size=size)
        found = one_step(jax.random.key(9), algorithm=algorithm, reward=reward)
        seed = jax.random.bits(jax.random.key(9), (2,), jnp.uint32)
        numbers = np.asarray(bits.uniforms(seed, jnp.asarray(0), 4, jnp.dtype(jnp.float64))).T.ravel()[
            : int(size or 8)
        ]
        chosen = np.searchsorted(np.cumsum(PROBLEM.ref), numbers, side="right")
        weights = plain_weights("grpo", rates[chosen])
        gradient = np.zeros(4)
        for pattern, weight in zip(chosen, weights, strict=True):
            gradient += weight * (np.eye(4)[pattern] - np.asarray(PROBLEM.ref)) / len(chosen)
        np.testing.assert_allclose(found, gradient - gradient.mean(), atol=1e-12)


def test_mean_of_real_rewards_is_the_flow():
    """At a finite G both are the exact mean of the sampled step, which the limit G → ∞ is not."""
    options = {"algorithm": qra.grpo(8), "reward": qra.self_certainty()}
    drift = flow.drift(PROBLEM, PROBLEM.log_ref, **options)
    np.testing.assert_allclose(one_step(jax.random.key(0), mode="mean", **options), drift, atol=1e-14)
    draws = qra.many(lambda key: one_step(key, **options), block=512)(keys(100_000, seed=3))
    assert np.abs(z_scores(draws, drift)).max() < 4.5
    limit = flow.drift(PROBLEM, PROBLEM.log_ref, **{**options, "algorithm": qra.grpo()})
    mean = one_step(jax.random.key(0), mode="mean", **{**options, "algorithm": qra.grpo()})
    np.testing.assert_allclose(mean, limit, atol=1e-14)
    assert np.abs(z_scores(draws, limit)).max() > 4.5


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": qra.rloo(5)},
        {"algorithm": replace(qra.dr_grpo(16), size=4.0)},
        {"algorithm": qra.dr_grpo().with_group_size(4)},
        {"algorithm": qra.reinforce(1.2).with_group_size(3)},
    ],
    ids=lambda options: ", ".join(str(getattr(value, "name", value)) for value in options.values()),
)
def test_mean_of_real_rewards_is_that_of_finite_groups(options):
    options = {"reward": qra.self_certainty(), **options}
    draws = qra.many(lambda key: one_step(key, **options), block=512)(keys(100_000, seed=3))
    assert np.abs(z_scores(draws, one_step(jax.random.key(0), mode="mean", **options))).max() < 4.5


# The loop


def reference_loop(steps, rate, staleness, schedule, of, regularizer, epochs=1):
    """Mean training with REINFORCE by plain NumPy: rollouts from an older policy, without importance weights."""
    ref, success = np.asarray(PROBLEM.ref), np.asarray(PROBLEM.success)
    softmax = lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum()  # noqa: E731
    past = [np.log(ref)]
    for step in range(steps):
        lag = step % staleness if schedule == "held" else min(staleness, step)
        old = softmax(past[step - lag])
        now = old if of == "gradient" else softmax(past[-1])
        weights = old * (success - 0.4)
        gradient = weights - now * weights.sum()
        penalty = -regularizer * np.log(now / ref)
        past.append(past[-1] + rate * (gradient + now * (penalty - (now * penalty).sum())))
    return np.log(np.array([softmax(z) for z in past]))


@pytest.mark.parametrize("schedule", ["delayed", "held"])
@pytest.mark.parametrize("of", ["rollouts", "gradient"])
def test_staleness_is_that_of_a_plain_loop(schedule, of):
    expected = reference_loop(25, 0.8, 4, schedule, of, 0.2)
    run = training.train(
        jax.random.key(0),
        PROBLEM,
        algorithm=qra.reinforce(0.4, group_size=3),
        regularizers=[qra.reverse_kl(0.2)],
        steps=25,
        learning_rate=0.8,
        mode="mean",
        off_policy=qra.OffPolicy("none", staleness=4, schedule=schedule, of=of),
    )
    np.testing.assert_allclose(run.log_policy, expected, atol=1e-12)


def test_off_policy_reinforce_ends_in_water_filling():
    """Baseline below the behaviour's value: the limit is (μ(r − V) − τ)₊, normalised (arXiv 2506.20520)."""
    value = 0.45
    behavior = jnp.log(jnp.array([0.3, 0.3, 0.2, 0.2]))
    run = training.train(
        jax.random.key(0),
        PROBLEM,
        algorithm=qra.reinforce(value, group_size=1),
        mode="mean",
        off_policy=qra.OffPolicy("none", behavior=behavior),
        steps=200_000,
        record_every=200_000,
        learning_rate=1.0,
    )
    a, total = np.exp(behavior) * (np.asarray(PROBLEM.success) - value), None
    total = float(np.asarray(a).sum())
    assert total > 0
    taus = np.linspace(min(a) - total, max(a), 200_001)
    filled = np.maximum(np.asarray(a)[None] - taus[:, None], 0)
    limit = filled[np.argmin(np.abs(filled.sum(1) - total))] / total
    np.testing.assert_allclose(run.policy[-1], limit, atol=2e-4)


def test_training_goes_to_the_flow():
    """Mean training with halved steps: the error against the flow halves, too."""
    ts = jnp.array([20.0])
    exact = flow.solve(PROBLEM, ts=ts, algorithm=qra.grpo(8)).log_policy[-1]
    errors = []
    for rate in (0.2, 0.1, 0.05):
        steps = round(20 / rate)
        options = {"steps": steps, "record_every": steps, "learning_rate": rate}
        run = training.train(jax.random.key(0), PROBLEM, algorithm=qra.grpo(8), mode="mean", **options)
        assert float(run.time[-1]) == pytest.approx(20)
        errors.append(float(jnp.abs(run.log_policy[-1] - exact).max()))
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    np.testing.assert_allclose(orders, 1, atol=0.1)


def test_mapping_is_looping():
    """Seeds, rates, group sizes and even an optimiser's hidden momentum, mapped at once."""

    def run(key, rate, size, momentum):
        optimizer = optax.sgd(rate, momentum=momentum)
        options = {"optimizer": optimizer, "steps": 30, "record_every": 10}
        return training.train(key, PROBLEM, algorithm=qra.grpo(8).with_group_size(size), **options)

    sizes, rates = jnp.array([8, 3, 5]), jnp.array([0.1, 0.4, 0.2])
    mapped = jax.jit(jax.vmap(run))(keys(3), rates, sizes, jnp.array([0.0, 0.5, 0.9]))
    for i in range(3):
        single = run(keys(3)[i], rates[i], int(sizes[i]), jnp.array([0.0, 0.5, 0.9])[i])
        np.testing.assert_allclose(mapped.log_policy[i], single.log_policy, rtol=1e-10)
    grid = jax.vmap(jax.vmap(run, (0, None, None, None)), (None, 0, None, None))(keys(2), rates, 8, 0.5)
    assert grid.log_policy.shape == (3, 2, 4, 4)
    single = run(keys(2)[1], rates[2], 8, 0.5)
    np.testing.assert_allclose(grid.log_policy[2, 1], single.log_policy, rtol=1e-10)


def test_runs_do_not_depend_on_blocks_or_seeds_on_anything():
    run = lambda key: training.train(  # noqa: E731
        key, PROBLEM, algorithm=qra.grpo(8), steps=100, record_every=100, learning_rate=0.2
    ).log_policy[-1]
    results = [
        qra.many(run, block=block, chunk=chunk)(keys(100)) for block, chunk in ((8, 100), (64, 64), (100, 8))
    ]
    np.testing.assert_array_equal(results[0], qra.many(run, block=8, chunk=100)(keys(100)))
    for other in results[1:]:
        np.testing.assert_allclose(results[0], other, atol=1e-9)


def test_runs_do_not_depend_on_the_number_of_devices():
    program = """
import jax, jax.numpy as jnp, numpy as np, qra_jax as qra
from jax.sharding import Mesh, NamedSharding, PartitionSpec
jax.config.update("jax_enable_x64", True)
assert len(jax.devices()) == 4
problem = qra.problem.examples.worked()
run = jax.jit(jax.vmap(lambda key: qra.training.train(
    key, problem, algorithm=qra.grpo(8), steps=50, record_every=50, learning_rate=.2).log_policy[-1]))
keys = jax.random.split(jax.random.key(0), 16)
alone = run(keys)
mesh = Mesh(np.array(jax.devices()), ("runs",))
spread = run(jax.device_put(keys, NamedSharding(mesh, PartitionSpec("runs"))))
assert len(spread.sharding.device_set) == 4
np.testing.assert_allclose(alone, spread, atol=1e-9)
"""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, **flags}, timeout=300)


def test_changing_a_number_compiles_nothing():
    def run(rate=0.1, beta=0.1, epsilon=0.2, tpr=0.9, size=4, temperature=1.0, correlation=0.1, steps=6):
        training.train(
            jax.random.key(0),
            PROBLEM,
            algorithm=replace(qra.grpo(6), size=size),
            optimizer=optax.adam,
            learning_rate=rate,
            regularizers=[qra.reverse_kl(beta)],
            reward=qra.verifiable(tpr, 0.1),
            off_policy=qra.OffPolicy(
                clip=epsilon,
                sampling_temperature=temperature,
                correlation=correlation,
                epochs=2,
            ),
            steps=steps,
        )

    run()
    size = _train._cache_size()
    run(0.2, 0.3, 0.1, 0.8, 6, 1.5, 0.4)
    assert _train._cache_size() == size
    run(steps=7)
    assert _train._cache_size() == size + 1


def test_records():
    """Recording less often changes nothing; metrics are those of the policies they replace."""
    options = {"algorithm": qra.grpo(8), "steps": 12, "learning_rate": 0.5}
    fine = training.train(jax.random.key(1), PROBLEM, **options)
    coarse = training.train(jax.random.key(1), PROBLEM, record_every=4, **options)
    np.testing.assert_array_equal(fine.log_policy[::4], coarse.log_policy)
    np.testing.assert_allclose(coarse.time, [0, 2, 4, 6])
    np.testing.assert_allclose(fine.stats["reward"].reshape(3, 4).mean(1), coarse.stats["reward"])
    names = ("accuracy", "best", "entropy", "herfindahl", "kl")
    seen = training.measure(names, jax.random.key(1), PROBLEM, record_every=4, **options)
    np.testing.assert_allclose(seen.values["accuracy"], coarse.accuracy, rtol=1e-12)
    np.testing.assert_allclose(seen.values["entropy"], coarse.entropy, rtol=1e-12)
    np.testing.assert_allclose(seen.values["best"], coarse.policy[:, 0], rtol=1e-12)
    np.testing.assert_allclose(seen.values["herfindahl"], (coarse.policy**2).sum(1), rtol=1e-12)
    np.testing.assert_array_equal(seen.log_policy, coarse.log_policy[-1])
    np.testing.assert_array_equal(seen.time, coarse.time)
    np.testing.assert_array_equal(seen.stats["reward"], coarse.stats["reward"])
    assert seen.status == qra.Status.OK
    own = {"odds": lambda log_policy, problem: log_policy - problem.log_ref}
    mapped = jax.vmap(
        lambda key: training.measure(own, key, PROBLEM, record_every=6, **options).values["odds"]
    )(keys(2))
    assert mapped.shape == (2, 3, 4)
    odd = {
        "log_policy": lambda log_policy, problem: 42.0,
        "wrong": lambda log_policy, problem: {"a": log_policy},
    }
    seen = training.measure(odd, jax.random.key(1), PROBLEM, record_every=6, **options)
    np.testing.assert_array_equal(seen.values["log_policy"], [42.0] * 3)
    np.testing.assert_array_equal(seen.values["wrong"]["a"], fine.log_policy[::6])
    np.testing.assert_array_equal(seen.log_policy, fine.log_policy[-1])
    nothing = training.train(jax.random.key(1), PROBLEM, **{**options, "steps": 0})
    np.testing.assert_allclose(nothing.log_policy, PROBLEM.log_ref[None])


def test_group_statistics():
    """Mean reward and silent groups on record are those expected of the starting policy."""
    options = {"algorithm": qra.grpo(3), "steps": 1, "learning_rate": 0.0, "reward": qra.verifiable(0.9, 0.2)}
    moody = {**options, "off_policy": qra.OffPolicy(correlation=0.4)}
    exact = training.train(jax.random.key(0), PROBLEM, mode="mean", **moody).stats
    seen = jax.vmap(lambda key: training.train(key, PROBLEM, **moody).stats)(keys(40_000))
    for name in ("reward", "silent"):
        assert abs(z_scores(seen[name][:, 0], exact[name][0])) < 4
    redrawn = {**options, "algorithm": replace(qra.grpo(4, resample_silent=True), size=3.0)}
    exact_redrawn = training.train(jax.random.key(0), PROBLEM, mode="mean", **redrawn).stats
    seen = jax.vmap(lambda key: training.train(key, PROBLEM, **redrawn).stats)(keys(40_000))
    assert abs(z_scores(seen["reward"][:, 0], exact_redrawn["reward"][0])) < 4
    assert (seen["silent"] == 0).all()
    assert exact_redrawn["silent"][0] == 0
    independent = training.train(jax.random.key(0), PROBLEM, mode="mean", **options).stats
    assert exact["silent"][0] > independent["silent"][0] + 0.05


def test_mean_training_is_differentiable():
    """Final accuracy differentiated in the learning rate, β and the base policy, against differences."""

    def accuracy(rate, beta, log_ref):
        run = training.train(
            jax.random.key(0),
            PROBLEM.with_ref(log_ref),
            algorithm=qra.grpo(8),
            regularizers=[qra.reverse_kl(beta)],
            steps=40,
            learning_rate=rate,
            mode="mean",
        )
        return run.accuracy[-1]

    at = (jnp.asarray(0.3), jnp.asarray(0.05), PROBLEM.log_ref)
    slopes = jax.grad(accuracy, argnums=(0, 1, 2))(*at)
    step = 1e-5
    for i, direction in ((0, 1.0), (1, 1.0), (2, jnp.array([1.0, 0, 0, 0]))):
        ahead, behind = list(at), list(at)
        ahead[i], behind[i] = at[i] + step * direction, at[i] - step * direction
        difference = (accuracy(*ahead) - accuracy(*behind)) / (2 * step)
        assert abs(jnp.sum(slopes[i] * direction) / difference - 1) < 1e-5


# Several questions


def test_questions_without_features_are_runs_of_their_own():
    problem = jax.vmap(lambda key: qra.problem.random(key, 4))(keys(3))
    options = {"algorithm": qra.grpo(4), "steps": 10, "learning_rate": 0.5}
    together = training.train(jax.random.key(7), problem, **options)
    assert together.log_policy.shape == (3, 11, 4)
    for i, key in enumerate(jax.random.split(jax.random.key(7), 3)):
        alone = training.train(key, jax.tree.map(lambda leaf, i=i: leaf[i], problem), **options)
        np.testing.assert_allclose(together.log_policy[i], alone.log_policy, rtol=1e-9, atol=1e-12)


def test_real_rewards_go_with_features():
    problem = jax.vmap(lambda key: qra.problem.random(key, 3))(keys(2))
    options = {"algorithm": qra.grpo(4), "steps": 1, "learning_rate": 1.0, "reward": qra.self_certainty()}
    identity = jnp.eye(6).reshape(2, 3, 6)
    shared, apart = (
        jax.vmap(lambda key, kw=kw: training.train(key, problem, **kw, **options).log_policy)(
            keys(4000, seed)
        )
        for seed, kw in ((0, {"features": identity}), (1, {}))
    )
    a, b = (np.asarray(x)[:, :, -1].reshape(4000, -1) for x in (shared, apart))
    assert np.abs((a.mean(0) - b.mean(0)) / np.sqrt((a.var(0) + b.var(0)) / 4000)).max() < 4.5


@pytest.mark.parametrize("mode", ["mean", "sampled", "sde"])
def test_features_of_their_own_uncouple_the_questions(mode):
    """With Φ the identity, shared parameters are independent questions: same paths, same moments."""
    problem = jax.vmap(lambda key: qra.problem.random(key, 3))(keys(2))
    identity = jnp.eye(6).reshape(2, 3, 6)
    options = {"algorithm": qra.grpo(4), "steps": 10, "record_every": 10, "learning_rate": 0.5, "mode": mode}
    options |= {"regularizers": [qra.reverse_kl(0.1)]}
    count = 1 if mode == "mean" else 4000
    shared = jax.vmap(lambda key: training.train(key, problem, features=identity, **options))(keys(count))
    apart = jax.vmap(lambda key: training.train(key, problem, **options))(keys(count, seed=1))
    assert shared.log_policy.shape == apart.log_policy.shape == (count, 2, 2, 3)
    assert shared.stats["reward"].shape == apart.stats["reward"].shape == (count, 2, 1)
    if mode == "mean":
        np.testing.assert_allclose(shared.log_policy, apart.log_policy, rtol=1e-9, atol=1e-12)
        return
    a, b = (np.asarray(run.log_policy)[:, :, -1].reshape(count, -1) for run in (shared, apart))
    z = (a.mean(0) - b.mean(0)) / np.sqrt((a.var(0) + b.var(0)) / count)
    assert np.abs(z).max() < 4.5
    assert np.abs(np.log(a.var(0) / b.var(0))).max() < 0.25


def test_one_feature_moves_all_questions_alike():
    """One shared logit of the right pattern: every question shifts by the same amount."""
    problem = qra.problem.stack([qra.Problem.from_probs([x, 1 - x], [1.0, 0.0]) for x in (0.1, 0.5, 0.8)])
    features = jnp.broadcast_to(jnp.array([[1.0], [0.0]]), (3, 2, 1))
    options = {"steps": 50, "learning_rate": 0.3, "optimizer": optax.adam, "algorithm": qra.grpo(8)}
    run = training.train(jax.random.key(0), problem, features=features, **options)
    shift = (run.log_policy - problem.log_ref[:, None]) @ jnp.array([1.0, -1.0])
    np.testing.assert_allclose(shift[0], shift[1], atol=1e-10)
    np.testing.assert_allclose(shift[0], shift[2], atol=1e-10)
    assert shift[0, -1] > 1


# What can go wrong


def test_outcomes():
    # The penalty's natural gradient multiplies the logits by 1 − ηβ = −99 a step: overflow within 160 steps.
    run = training.train(
        jax.random.key(0),
        PROBLEM,
        algorithm=qra.grpo(8),
        regularizers=[qra.reverse_kl(1.0)],
        geometry="natural",
        steps=300,
        record_every=100,
        learning_rate=100.0,
    )
    assert run.status == qra.Status.DIVERGED
    assert run.stats["diverged"] == 200
    assert jnp.isnan(run.log_policy[2:]).all()
    algorithm = qra.reinforce(group_size=2)
    fine = training.train(jax.random.key(0), PROBLEM, steps=20, learning_rate=0.1, algorithm=algorithm)
    assert fine.status == qra.Status.OK
    assert fine.stats["diverged"] == -1
    certain = qra.Problem.from_probs([0.5, 0.5], [1.0, 0.5])
    options = {"steps": 2, "learning_rate": 0.1, "algorithm": qra.grpo(2)}
    infinite = training.train(jax.random.key(0), certain, reward=qra.self_certainty(), **options)
    assert infinite.status == qra.Status.INVALID
    no_mass = qra.Problem.from_probs([1.0, 0.0], [0.5, 0.9])
    start = jnp.log(jnp.array([0.5, 0.5]))
    penal = training.train(
        jax.random.key(0), no_mass, log_policy0=start, regularizers=[qra.reverse_kl(0.1)], **options
    )
    assert penal.status == qra.Status.INVALID
    dead = training.train(jax.random.key(0), no_mass, **options)
    assert dead.status == qra.Status.OK
    np.testing.assert_array_equal(dead.policy[-1], [1.0, 0.0])
    blind = training.train(jax.random.key(0), PROBLEM, log_policy0=jnp.full(4, jnp.nan), **options)
    assert blind.status == qra.Status.INVALID


def test_patterns_that_the_sampler_never_picks_do_no_harm():
    """The ratio π/μ is infinite there; it must not meet a weight of zero."""
    behavior = jnp.log(jnp.array([0.5, 0.5, 0.0, 0.0]))
    for mode in ("sampled", "mean"):
        run = training.train(
            jax.random.key(0),
            PROBLEM,
            off_policy=qra.OffPolicy(behavior=behavior),
            mode=mode,
            steps=3,
            learning_rate=0.1,
            algorithm=qra.grpo(8),
        )
        assert run.status == qra.Status.OK
        assert jnp.isfinite(run.log_policy).all()


@pytest.mark.parametrize("optimizer", [optax.adam, optax.adamw, optax.lion, optax.lamb])
def test_optimisers_that_read_the_logits_bear_patterns_without_mass(optimizer):
    problem = qra.Problem.from_probs([0.5, 0.5, 0.0], [0.9, 0.3, 0.1])
    options = {"algorithm": qra.grpo(8), "steps": 50, "learning_rate": 0.05}
    run = training.train(jax.random.key(0), problem, optimizer=optimizer, **options)
    assert run.status == qra.Status.OK
    assert (run.policy[:, 2] == 0).all()
    assert run.accuracy[-1] > 0.7


def test_the_natural_metric_moves_patterns_that_have_underflown():
    problem = qra.Problem(jnp.array([np.log(0.5), np.log(0.5), -800.0]), jnp.array([0.2, 0.4, 0.9]))
    options = {"algorithm": qra.reinforce(group_size=4), "steps": 1, "learning_rate": 1.0}
    run = training.train(jax.random.key(1), problem, geometry="natural", **options)
    change = np.asarray(run.log_policy[-1] - problem.log_ref)
    reward = float(run.stats["reward"][0])  # unsampled, its logit moves by −mean reward, up to the constant
    counts = change - change[2] - reward
    assert abs(float(run.policy[0] @ (counts + reward)) - reward) < 1e-12


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -0.1),
        ("learning_rate", np.inf),
        ("tpr", 1.5),
        ("sampling_temperature", -1.0),
        ("sampling_temperature", 0.0),
        ("correlation", 2.0),
        ("low", -1.0),
        ("low", 3.0),
        ("size", 0.0),
        ("size", 2.5),
        ("size", 100.0),
    ],
)
def test_traced_numbers_out_of_range_are_invalid(name, value):
    def run(x):
        given = {
            "learning_rate": 0.1,
            "tpr": 0.9,
            "sampling_temperature": 1.0,
            "correlation": 0.1,
            "low": 0.2,
            "size": 4,
        }
        given[name] = x
        return training.train(
            jax.random.key(0),
            PROBLEM,
            algorithm=replace(qra.grpo(8), size=given["size"]),
            learning_rate=given["learning_rate"],
            reward=qra.verifiable(given["tpr"], 0.1),
            off_policy=qra.OffPolicy(
                sampling_temperature=given["sampling_temperature"],
                correlation=given["correlation"],
                clip=(given["low"], None),
            ),
            steps=2,
        ).status

    good = {
        "learning_rate": 0.1,
        "tpr": 0.9,
        "sampling_temperature": 1.0,
        "correlation": 0.1,
        "low": 0.2,
        "size": 4.0,
    }
    status = jax.jit(jax.vmap(run))(jnp.array([good[name], value]))
    assert status.tolist() == [qra.Status.OK, qra.Status.INVALID]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": jnp.array([0.1, 0.2])}, r"learning_rate: shape \(2,\); must be one number"),
        (
            {"off_policy": qra.OffPolicy(correlation=0.1), "mode": "sde"},
            r"correlation: given with mode='sde'",
        ),
        (
            {"algorithm": qra.grpo(4, resample_silent=True), "reward": qra.self_certainty()},
            r"reward: 'self-certainty' with GRPO, dynamic sampling; must be binary",
        ),
        ({"learning_rate": -0.1}, r"learning_rate: -0.1; must be zero or positive"),
        ({"learning_rate": None}, r"learning_rate: missing"),
        ({"optimizer": optax.sgd(0.1)}, r"learning_rate: given with a ready-made optimizer"),
        (lambda: {"algorithm": qra.grpo(8).with_group_size(0)}, r"group_size: 0; must be 1 or above"),
        (lambda: {"algorithm": qra.grpo(8).with_group_size(2.5)}, r"group_size: 2.5; must be a whole number"),
        (lambda: {"off_policy": qra.OffPolicy(clip=1.5)}, r"clip \(low\): 1.5; must be in \[0, 1\]"),
        (
            lambda: {"off_policy": qra.OffPolicy(clip=(0.2, -0.1))},
            r"clip \(high\): -0.1; must be zero or positive",
        ),
        (
            lambda: {"off_policy": qra.OffPolicy("none", clip=0.2)},
            r"clip: 0.2 with surrogate 'none'; must be None",
        ),
        (lambda: {"off_policy": qra.OffPolicy(staleness=-1)}, r"staleness: -1; must be 0 or above"),
        (lambda: {"off_policy": qra.OffPolicy(epochs=0)}, r"epochs: 0; must be 1 or above"),
        ({"steps": -1}, r"steps: -1; must be 0 or above"),
        ({"record_every": 3}, r"record_every: 3; must divide steps = 10"),
        (
            lambda: {"off_policy": qra.OffPolicy(sampling_temperature=0.0)},
            r"sampling_temperature: 0; must be positive",
        ),
        (lambda: {"off_policy": qra.OffPolicy(correlation=1.1)}, r"correlation: 1.1; must be in \[0, 1\]"),
        (
            {"off_policy": qra.OffPolicy(correlation=0.1), "reward": qra.self_certainty()},
            r"correlation: .* must be 'verifiable'",
        ),
        (
            {"off_policy": qra.OffPolicy(correlation=0.1), "algorithm": qra.grpo(4, resample_silent=True)},
            r"correlation: given with GRPO, dynamic sampling, which draws silent groups again",
        ),
        ({"algorithm": qra.reinforce()}, r"group_size: None; sampled training needs"),
        (
            {"algorithm": qra.grpo(), "mode": "mean", "off_policy": qra.OffPolicy(epochs=2)},
            r"mode: 'mean' off-policy or with several epochs",
        ),
        ({"mode": "exact"}, r"mode: 'exact'; must be one of"),
        ({"mode": "sde", "off_policy": qra.OffPolicy(epochs=2)}, r"mode: 'sde'; needs epochs=1"),
        (
            {"mode": "sde", "reward": qra.self_certainty()},
            r"mode: 'sde'; needs a finite group_size and a binary",
        ),
        ({"geometry": "fisher"}, r"geometry: 'fisher'; must be one of"),
        (
            {"features": jnp.ones((4, 1))},
            r"features: shape \(4, 1\); must be \[questions, patterns, features\]",
        ),
        ({"log_policy0": jnp.zeros(3)}, r"log_policy0: shape \(3,\); must be \(4,\)"),
        (
            {"off_policy": qra.OffPolicy(behavior=jnp.zeros(3))},
            r"behavior: shape \(3,\); must be \(4,\)",
        ),
        (
            {"mode": "mean", "algorithm": qra.filtered_sft(), "reward": qra.self_certainty()},
            r"reward: 'self-certainty' with filtered SFT⁺, which weighs right and wrong rollouts; must be binary",
        ),
        (
            {"algorithm": qra.filtered_sft(group_size=4), "reward": qra.self_certainty()},
            r"reward: 'self-certainty' with filtered SFT⁺, which weighs right and wrong rollouts; must be binary",
        ),
    ],
    ids=lambda value: ", ".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_bad_arguments_are_named(options, message):
    usual = {"algorithm": qra.grpo(8), "learning_rate": 0.1, "steps": 10}

    def run():
        training.train(
            jax.random.key(0), PROBLEM, **{**usual, **(options() if callable(options) else options)}
        )

    with pytest.raises(ValueError, match=message):
        run()


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"reward": lambda log_policy, problem: 1.0}, r"metrics: 'reward' is recorded anyway"),
        (("accurcy",), r"metrics: 'accurcy'; must be one of"),
    ],
)
def test_bad_metrics_are_named(metrics, message):
    options = {"algorithm": qra.grpo(8), "learning_rate": 0.1, "steps": 10}
    with pytest.raises(ValueError, match=message):
        training.measure(metrics, jax.random.key(0), PROBLEM, **options)


def test_staleness_names():
    with pytest.raises(ValueError, match=r"schedule: 'old'; must be one of"):
        qra.OffPolicy(staleness=2, schedule="old")
    with pytest.raises(ValueError, match=r"of: 'weights'; must be one of"):
        qra.OffPolicy(staleness=2, of="weights")


def test_hoisting_leaves_nothing_behind():
    """A function with traced values inside becomes a function of them."""

    def outer(x, y):
        pure, held = hoisted(lambda z: {"sum": x + z}, y)
        return pure([2 * one for one in held], y)["sum"]

    assert jax.vmap(outer)(jnp.array([1.0, 2.0]), jnp.array([10.0, 20.0])).tolist() == [12.0, 24.0]
    assert outer(1.0, 10.0) == 11.0  # nothing was traced


def test_float32_runs_stay_float32_and_right():
    problem = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), PROBLEM)
    run = lambda key, problem: training.train(  # noqa: E731
        key, problem, algorithm=qra.grpo(8), steps=200, record_every=200, learning_rate=0.1
    ).log_policy[-1]
    single = qra.many(lambda key: run(key, problem), block=256)(keys(2000))
    double = qra.many(lambda key: run(key, PROBLEM), block=256)(keys(2000, seed=1))
    assert single.dtype == jnp.float32
    a, b = np.exp(np.asarray(single, float)), np.exp(np.asarray(double))
    z = (a.mean(0) - b.mean(0)) / np.sqrt((a.var(0) + b.var(0)) / 2000)
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": 0}, r"key: 0; must be a PRNG key, such as jax\.random\.key\(0\)$"),
        ({"key": keys(3)}, r"key: shape \(3,\); must be one PRNG key, jax\.vmap over several$"),
        ({"algorithm": "grpo"}, r"algorithm: 'grpo'; must be an Algorithm, such as qra\.grpo\(8\)$"),
        ({"reward": "verifiable"}, "reward: 'verifiable'; must be a Reward, such as"),
        (
            {"regularizers": qra.reverse_kl(0.01)},
            "regularizers: Regularizer.*; must be a list of Regularizers",
        ),
        (
            {"regularizers": [qra.reverse_kl]},
            r"regularizers\[0\]: the function reverse_kl; must be a Regularizer",
        ),
        (
            {"problem": replace(PROBLEM, log_ref=PROBLEM.ref)},
            "log_ref: exponentials sum to .*; must sum to 1",
        ),
    ],
)
def test_wrong_objects_are_refused(options, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users call it
    asked = {"key": jax.random.key(0), "problem": PROBLEM, "steps": 1, "learning_rate": 0.1, **options}
    with pytest.raises(ValueError, match="^" + message):
        training.train(**asked)


@pytest.mark.parametrize("mode", ["sampled", "sde"])
def test_runs_with_noise_have_no_derivative(mode):
    def end(rate, log_ref):
        problem = replace(PROBLEM, log_ref=log_ref)
        run = training.train(
            jax.random.key(0), problem, steps=3, learning_rate=rate, algorithm=qra.grpo(4), mode=mode
        )
        return run.accuracy[-1]

    at = 0.1, PROBLEM.log_ref
    for derivative in (jax.grad(end), jax.grad(end, argnums=1), jax.jacfwd(end), jax.jit(jax.grad(end))):
        with pytest.raises(ValueError, match=f"^mode: '{mode}' has no derivative; must be 'mean'"):
            derivative(*at)
    constant = jax.value_and_grad(
        lambda rate: (rate**2, end(jax.lax.stop_gradient(rate), at[1])), has_aux=True
    )
    (_, aside), slope = constant(0.1)
    assert slope == pytest.approx(0.2)
    assert aside == pytest.approx(float(end(*at)), rel=1e-12)


def test_runs_that_diverged_are_told_apart(monkeypatch):
    def run(rate):
        adds = lambda rate: optax.stateless(lambda change, _: jax.tree.map(lambda x: -x / (1 - rate), change))  # noqa: E731
        return training.train(
            jax.random.key(0), PROBLEM, steps=2, learning_rate=rate, mode="mean", optimizer=adds
        )

    assert repr(run(1.0)).endswith("accuracy 0.46 → nan, DIVERGED)")
    many = jax.vmap(run)(jnp.array([0.0, 1.0, 0.5]))
    assert "mean accuracy of 2 of 3 runs 0.46 → 0." in repr(many)
    assert repr(many).endswith("OK 2, DIVERGED 1)")
    assert "mean accuracy 0.46 → nan" in repr(jax.vmap(run)(jnp.array([1.0, 1.0])))
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for status in (0, np.int32(0), qra.Status.OK):
        assert repr(replace(run(0.1), status=status)).endswith("OK)")
