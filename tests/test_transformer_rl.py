"""Options of reinforcement learning of a network, against the published losses written out token by token."""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qra_jax import algorithm as rules, transformer as tf
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem, stack
from qra_jax.regularizer import (
    Reference,
    entropy_bonus,
    k1_loss,
    k2_loss,
    k3_k2_loss,
    k3_loss,
    reverse_kl,
)
from qra_jax.trajectory import Status
from qra_jax.transformer import batch as batches, history, penalty, reward as rewards, rl, surrogate
from qra_jax.transformer.masks import TokenMask

pytestmark = pytest.mark.usefixtures("compiled_plainly")

KEY = jax.random.key(0)
LENGTHS = np.array([[4, 1, 2], [3, 3, 1]])


def pick(values, tokens):
    return jnp.take_along_axis(values, tokens[..., None], axis=-1)[..., 0]


@dataclass(frozen=True)
class Batch:
    """Two groups of three sequences: what a step knows of them."""

    scores: Any
    tokens: Any
    where: Any
    weights: Any
    old: Any
    sampled: Any
    base: Any

    @property
    def log_probs(self):
        return jax.nn.log_softmax(self.scores)

    def slope(self, **options):
        def ascended(scores):
            return rl.objective(jax.nn.log_softmax(scores), self.tokens, self.where, self.weights, **options)

        return np.asarray(jax.jit(jax.grad(ascended))(self.scores))

    def loss_slope(self, loss):
        """Of minus a published loss, written for log π of the tokens `[B, T]`, weights `[B]`, lengths `[B]`."""

        def ascended(scores):
            own = pick(jax.nn.log_softmax(scores), self.tokens).reshape(6, 4)
            return -loss(own, self.weights.ravel(), jnp.asarray(LENGTHS.ravel()), self.flat)

        return np.asarray(jax.jit(jax.grad(ascended))(self.scores))

    @property
    def flat(self):
        names = ("old", "sampled", "where")
        return {name: getattr(self, name).reshape(6, 4) for name in names} | {
            "base": pick(self.base, self.tokens).reshape(6, 4)
        }


@pytest.fixture(scope="module")
def batch():
    keys = jax.random.split(jax.random.key(10), 6)  # ratios on both sides, see below
    scores, base = jax.random.normal(keys[0], (2, 2, 3, 4, 5))
    tokens = jax.random.randint(keys[1], (2, 3, 4), 0, 5)
    own = pick(jax.nn.log_softmax(scores), tokens)
    old = own + jax.random.normal(keys[2], own.shape) / 3
    return Batch(
        scores,
        tokens,
        jnp.arange(4)[None, None] < LENGTHS[..., None],
        jnp.array([[1.0, -2.0, 0.5], [-1.0, 0.0, 3.0]]),
        old,
        old + jax.random.normal(keys[3], own.shape) / 3,
        jax.nn.log_softmax(base),
    )


def assert_close(one, other):
    assert np.abs(other).max() > 1e-3
    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-14)


# Surrogates: the losses as trainers write them, token loss first, then the mean.


def sequence_mean(per_token, length, flat):
    """Mean over tokens of a sequence, then over sequences: GRPO's first form."""
    return jnp.mean(jnp.sum(jnp.where(flat["where"], per_token, 0.0), axis=1) / length)


def ppo(own, weights, length, flat, low=0.2, high=0.28, dual=None):
    ratio, gain = jnp.exp(own - flat["old"]), weights[:, None]
    clipped = jnp.clip(ratio, 1 - low, 1 + high)
    loss = jnp.maximum(-gain * ratio, -gain * clipped)
    if dual is not None:
        loss = jnp.where(gain < 0, jnp.minimum(loss, -gain * dual), loss)
    return sequence_mean(loss, length, flat)


def cispo(own, weights, length, flat):
    ratio = jax.lax.stop_gradient(jnp.exp(own - flat["old"]))
    return sequence_mean(-jnp.clip(ratio, 0.9, 1.2) * weights[:, None] * own, length, flat)


def sequence_ratio(own, length, flat):
    return jnp.exp(jnp.sum(jnp.where(flat["where"], own - flat["old"], 0.0), axis=1) / length)


def gspo(own, weights, length, flat):
    ratio = sequence_ratio(own, length, flat)
    return jnp.mean(jnp.maximum(-weights * ratio, -weights * jnp.clip(ratio, 0.96, 1.06)))


def gspo_token(own, weights, length, flat):
    ratio = sequence_ratio(own, length, flat)[:, None]
    ratio = jax.lax.stop_gradient(ratio) * jnp.exp(own - jax.lax.stop_gradient(own))
    gain = weights[:, None]
    return sequence_mean(jnp.maximum(-gain * ratio, -gain * jnp.clip(ratio, 0.96, 1.06)), length, flat)


def luspo(own, weights, length, flat):
    ratio = sequence_ratio(own, length, flat)
    return jnp.mean(jnp.maximum(-weights * ratio, -weights * jnp.clip(ratio, 0.96, 1.06)) * length)


def gmpo(own, weights, length, flat):
    sign = jnp.sign(weights)[:, None]
    log_ratio = jnp.where(flat["where"], own - flat["old"], 0.0)
    clamped = jnp.clip(log_ratio, np.log(0.8), np.log(1.28))
    least = sign * jnp.minimum(sign * log_ratio, sign * clamped)
    return -jnp.mean(weights * jnp.exp(jnp.sum(least, axis=1) / length))


def sapo(own, weights, length, flat):
    tau = jnp.where(weights > 0, 1.3, 2.0)[:, None]
    gate = jax.nn.sigmoid(tau * (jnp.exp(own - flat["old"]) - 1)) * 4 / tau
    return sequence_mean(-gate * weights[:, None], length, flat)


def plain(own, weights, length, flat):
    return sequence_mean(-weights[:, None] * own, length, flat)


PUBLISHED = {
    "ppo": (OffPolicy(clip=(0.2, 0.28)), "length", ppo),
    "unclipped": (OffPolicy(), "length", lambda *a: ppo(*a, low=1.0, high=1e9)),
    "dual clip": (OffPolicy(clip=0.2, dual_clip=1.3), "length", lambda *a: ppo(*a, 0.2, 0.2, 1.3)),
    "cispo": (OffPolicy("cispo", clip=(0.1, 0.2)), "length", cispo),
    "gspo": (OffPolicy("gspo", clip=(0.04, 0.06)), "length", gspo),
    "gspo-token": (OffPolicy("gspo", clip=(0.04, 0.06)), "length", gspo_token),
    "luspo": (OffPolicy("gspo", clip=(0.04, 0.06)), "constant", luspo),
    "gmpo": (OffPolicy("gmpo", clip=(0.2, 0.28)), "length", gmpo),
    "sapo": (OffPolicy("sapo", gate=(1.3, 2.0)), "length", sapo),
    "none": (OffPolicy("none"), "length", plain),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_gradients_are_those_of_the_published_losses(batch, name):
    off_policy, normalize, loss = PUBLISHED[name]
    expected = batch.loss_slope(loss)
    assert_close(batch.slope(off_policy=off_policy, old=batch.old, normalize=normalize), expected)


def test_every_surrogate_clips_something_here(batch):
    """So that the test above has its cases: some coefficients are cut, others are not."""
    ratio = np.exp(np.asarray(pick(batch.log_probs, batch.tokens) - batch.old))
    positive = np.asarray(batch.weights > 0)[..., None] & np.asarray(batch.where)
    negative = np.asarray(batch.weights < 0)[..., None] & np.asarray(batch.where)
    for cut in (
        positive & (ratio > 1.28),
        positive & (ratio < 0.8),
        negative & (ratio < 0.8),
        negative & (ratio > 1.3),
    ):
        assert cut.any()
    for name in ("ppo", "dual clip", "gspo", "gmpo"):
        off_policy = PUBLISHED[name][0]
        factor = surrogate.coefficients(
            off_policy, pick(batch.log_probs, batch.tokens) - batch.old, batch.where, batch.weights
        )
        used = factor[batch.where & (batch.weights != 0)[..., None]]
        assert 0 < (used == 0).sum() < used.size, name


@pytest.mark.parametrize("normalize", rl.NORMALIZATIONS)
@pytest.mark.parametrize("name", PUBLISHED)
def test_ratios_of_one_give_the_policy_gradient(batch, name, normalize):
    own = pick(batch.log_probs, batch.tokens)
    expected = batch.slope(normalize=normalize)
    assert_close(batch.slope(off_policy=PUBLISHED[name][0], old=own, normalize=normalize), expected)


def test_batch_tokens_is_the_mean_over_all_tokens(batch):
    def loss(own, weights, length, flat):
        per_token = -weights[:, None] * jnp.exp(own - flat["old"])
        return jnp.sum(jnp.where(flat["where"], per_token, 0.0)) / jnp.sum(length)

    assert_close(batch.slope(old=batch.old, normalize="batch_tokens"), batch.loss_slope(loss))


# Between trainer and sampler


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("kind", ["truncate", "mask"])
def test_corrections_weigh_by_trainer_over_sampler(batch, kind, level):
    off_policy = OffPolicy(clip=0.2, correction=kind, correction_cap=1.1, correction_level=level)

    def loss(own, weights, length, flat):
        apart = jnp.where(flat["where"], flat["old"] - flat["sampled"], 0.0)
        apart = jnp.sum(apart, axis=1, keepdims=True) if level == "sequence" else apart
        ratio = jnp.exp(apart)
        weight = jnp.minimum(ratio, 1.1) if kind == "truncate" else ratio * (ratio <= 1.1)
        gain, ratio = weights[:, None], jnp.exp(own - flat["old"])
        per_token = jnp.maximum(-gain * ratio, -gain * jnp.clip(ratio, 0.8, 1.2))
        return sequence_mean(per_token * weight, length, flat)

    weight = surrogate.correction(off_policy, batch.old, batch.sampled, batch.where)
    options = {"off_policy": off_policy, "old": batch.old, "correction": weight, "normalize": "length"}
    assert_close(batch.slope(**options), batch.loss_slope(loss))
    cut = weight[batch.where] == (1.1 if kind == "truncate" else 0)
    assert 0 < cut.sum() < cut.size


def test_old_negatives_are_dropped(batch):
    apart = np.sum(np.where(batch.where, batch.sampled - pick(batch.log_probs, batch.tokens), 0), axis=-1)
    apart, weights = apart / LENGTHS, np.asarray(batch.weights)
    delta = 0.1
    assert 0 < ((weights < 0) & (apart > delta)).sum() < (weights < 0).sum()
    assert ((weights > 0) & (apart > delta)).any()
    off_policy = OffPolicy(mask_old_negatives=delta)
    kept = replace(batch, weights=jnp.where((weights < 0) & (apart > delta), 0.0, weights))
    found = batch.slope(off_policy=off_policy, old=batch.old, sampled=batch.sampled)
    assert_close(found, kept.slope(old=batch.old))


# Token masks


def test_tokens_of_highest_entropy_learn(batch):
    law = np.exp(np.asarray(batch.log_probs))
    entropy, where = -(law * np.log(law)).sum(axis=-1), np.asarray(batch.where)
    for share in (0.0, 0.2, 0.5, 1.0):
        least = np.quantile(entropy[where], 1 - share)
        kept = where & (entropy >= least - 1e-12)
        mask = TokenMask("top_entropy", share)
        found = mask.keeps(KEY, batch.log_probs, batch.old, batch.where, batch.weights)
        np.testing.assert_array_equal(np.asarray(found) & where, kept)
        slope = batch.slope(token_mask=mask, key=KEY, normalize="tokens")
        full = batch.slope(normalize="tokens")
        np.testing.assert_allclose(slope, np.where(kept[..., None], full, 0), atol=1e-15)
    assert kept.sum() == where.sum() == 14


def covariances(batch):
    where = np.asarray(batch.where)
    own = np.asarray(pick(batch.log_probs, batch.tokens))
    gain = np.broadcast_to(np.asarray(batch.weights)[..., None], own.shape)
    return (own - own[where].mean()) * (gain - gain[where].mean())


def test_some_tokens_of_large_covariance_are_dropped(batch):
    where, own = np.asarray(batch.where), np.asarray(pick(batch.log_probs, batch.tokens))
    covariance, ratio = covariances(batch), np.exp(own - np.asarray(batch.old))
    gain = np.broadcast_to(np.asarray(batch.weights)[..., None], own.shape)
    clipped = ((gain > 0) & (ratio > 1.2)) | ((gain < 0) & (ratio < 0.8)) | (gain == 0)
    ends = np.sort(covariance[where & ~clipped])
    low, high = (ends[0] + ends[1]) / 2, (ends[-2] + ends[-1]) / 2
    within = where & ~clipped & (covariance > low) & (covariance < high)
    assert within.sum() == (where & ~clipped).sum() - 2 > 2
    off_policy = OffPolicy(clip=0.2)
    full = batch.slope(off_policy=off_policy, old=batch.old)
    dropped = []
    for share, number in ((0.0, 1), (0.15, 2), (1.0, int(within.sum()))):
        mask = TokenMask("clip_cov", share, low=low, high=high)
        for key in jax.random.split(KEY, 4):
            slope = batch.slope(off_policy=off_policy, old=batch.old, token_mask=mask, key=key)
            gone = (slope == 0).all(axis=-1) & ~(full == 0).all(axis=-1)
            assert gone.sum() == number
            assert (gone <= within).all()
            np.testing.assert_allclose(slope, np.where(gone[..., None], 0, full), atol=1e-15)
            dropped.append(gone.tobytes())
    assert len(set(dropped[4:8])) > 1
    assert len(set(dropped[8:])) == 1


def test_tokens_of_largest_covariance_are_held_back(batch):
    where, own = np.asarray(batch.where), np.asarray(pick(batch.log_probs, batch.tokens))
    order = np.argsort(np.where(where, covariances(batch), -np.inf).ravel())[::-1]
    chosen = np.isin(np.arange(24), order[:3]).reshape(6, 4)
    mask = TokenMask("kl_cov", 0.25, weight=0.7)

    def loss(now, weights, length, flat):
        per_token = -weights[:, None] * jnp.exp(now - flat["old"])
        per_token = per_token + jnp.where(chosen, 0.7 * jnp.abs(now - flat["old"]), 0.0)
        return sequence_mean(per_token, length, flat)

    found = batch.slope(old=batch.old, token_mask=mask, key=KEY, normalize="length")
    assert_close(found, batch.loss_slope(loss))
    np.testing.assert_array_equal(batch.slope(token_mask=mask, key=KEY), batch.slope())  # ratios of one
    assert np.abs(own - batch.old)[where].min() > 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("kind", {"kind": "entropy"}),
        ("share", {"share": 1.2}),
        ("low", {"low": np.nan}),
        ("high", {"high": np.inf}),
        ("weight", {"weight": -1.0}),
    ],
)
def test_token_masks_name_what_is_wrong(name, options):
    with pytest.raises(ValueError, match=rf"^token_mask\.{name}: "):
        TokenMask(**({"kind": "clip_cov", "share": 0.1} | options))


# Weights of the whole batch


def test_batch_rules_by_hand():
    rng = np.random.default_rng(0)
    earned = np.array([[1, 0, 0, 1], [1, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 0, 1.0]])
    weights = earned - earned.mean(axis=1, keepdims=True) + rng.normal(size=(5, 1))
    expected = {
        None: weights,
        "std": weights / earned.std(ddof=1),
        "advantage_std": weights / weights.std(ddof=1),
        "whiten": (earned - earned.mean()) / earned.std(ddof=1),
        "active": weights * 5 / 3,
    }
    for rule, values in expected.items():
        found = batches.batch_scaled(rule, jnp.asarray(earned), jnp.asarray(weights))
        np.testing.assert_allclose(found, values, rtol=1e-12)
    same = jnp.full((3, 2), 0.1)
    for rule in ("std", "whiten", "advantage_std"):
        np.testing.assert_array_equal(batches.batch_scaled(rule, same, same), jnp.zeros((3, 2)))
    np.testing.assert_array_equal(batches.batch_scaled("active", same, same), 3 * same)
    assert batches.batch_scaled("std", same[:1, :1], same[:1, :1]) == 0
    with pytest.raises(ValueError, match=r"^batch: 'mean'"):
        batches.batch_scaled("mean", same, same)


# Rewards


def test_overlong_sequences_are_punished_softly():
    length = jnp.array([[3, 6, 7, 8, 10, 12]])
    where = jnp.arange(12)[None, None] < length[..., None]
    zeros = jnp.zeros(where.shape)
    rollouts = tf.Rollouts(where.astype(int), where, zeros, zeros, zeros)
    fill = jnp.ones(length.shape, bool)
    verdict = tf.Verification(fill, fill, length, fill, length)
    found = rewards.overlong(rewards.verifiable(), 10, 4)(KEY, rollouts, verdict)
    np.testing.assert_allclose(found, [[1, 1, 0.75, 0.5, 0, 0]], rtol=1e-12)
    for name, options in (("length", (0, 1)), ("buffer", (4, 0)), ("buffer: 5", (4, 5))):
        with pytest.raises(ValueError, match=f"^{name}"):
            rewards.overlong(rewards.verifiable(), *options)


# Penalties on samples


def on_samples(term, **options):
    return replace(term, **{"estimate": "samples", **options})


LOSSES = {
    "k1": (k1_loss(0.7), lambda own, base: own - base),
    "k2": (k2_loss(0.7), lambda own, base: (own - base) ** 2 / 2),
    "k3": (on_samples(k3_loss(0.7)), lambda own, base: jnp.exp(base - own) - (base - own) - 1),
    "k3 with the gradient of k2": (k3_k2_loss(0.7), lambda own, base: (own - base) ** 2 / 2),
}


@pytest.mark.parametrize("name", LOSSES)
def test_penalties_on_samples_are_those_of_trainers(batch, name):
    term, divergence = LOSSES[name]

    def loss(own, weights, length, flat):
        ratio, gain = jnp.exp(own - flat["old"]), weights[:, None]
        per_token = -gain * ratio + 0.7 * divergence(own, flat["base"])
        return sequence_mean(per_token, length, flat)

    options = {"old": batch.old, "normalize": "length", "anchor": batch.base, "regularizers": [term]}
    assert_close(batch.slope(**options), batch.loss_slope(loss))


@pytest.mark.parametrize("name", LOSSES)
def test_penalties_on_samples_are_exact_on_average(batch, name):
    """Over all tokens with their probabilities: of k1 nothing is left, k2 is the reverse KL, k3 the forward one."""
    term, _ = LOSSES[name]
    exact = {"k1": None, "k3": k3_loss(0.7)}.get(name, reverse_kl(0.7))
    log_probs, base = batch.log_probs, batch.base
    every = jnp.broadcast_to(jnp.arange(5), log_probs.shape)
    advantage = penalty.sampled_advantage(term, log_probs, base)
    assert advantage.shape == every.shape
    law = jnp.exp(log_probs)
    mean = law * (advantage - jnp.sum(law * advantage, axis=-1, keepdims=True))
    expected = jnp.zeros_like(mean)
    if exact is not None:
        rows = [jnp.reshape(x, (-1, 5)) for x in (log_probs, base)]
        expected = jax.vmap(exact.velocity)(*rows).reshape(mean.shape)
        assert jnp.abs(expected).max() > 1e-2
    np.testing.assert_allclose(mean, expected, atol=1e-14)


def test_terms_exact_and_on_samples_add_up(batch):
    terms = [on_samples(k3_loss(0.7)), reverse_kl(0.2), entropy_bonus(0.1)]
    options = {"normalize": "length", "anchor": batch.base}
    found = batch.slope(**options, regularizers=terms)
    none = batch.slope(normalize="length")
    parts = [batch.slope(**options, regularizers=[term]) - none for term in terms]
    assert_close(found - none, sum(parts))
    scaled = batch.slope(**options, regularizers=terms, scale=[jnp.asarray(2.0), None, None])
    np.testing.assert_allclose(scaled - found, parts[0], rtol=1e-9, atol=1e-14)


# The loop: a lookup table that answers a task, followed by hand.

WORLD = stack(
    [
        Problem.from_probs(ref=[0.2, 0.5, 0.3], success=[0.9, 0.6, 0.1]),
        Problem.from_probs(ref=[0.1, 0.3, 0.6], success=[0.3, 0.8, 0.5]),
    ]
)
COIN = tf.controlled(WORLD, coin=True, steps=(0, 1, 2))
ROWS = tf.Lookup(COIN.vocabulary, param_dtype=jnp.float64)


def _table():
    table = np.full((COIN.vocabulary, COIN.vocabulary), -1e3)
    for row in np.asarray(COIN.demonstrations().tokens[:, :3]).reshape(-1, COIN.length):
        for token, following in itertools.pairwise(row):
            table[token, following] = 0
    table[COIN.MARKER, COIN.first_answer :] = 0
    last = np.asarray(COIN.draw(KEY, 2).prompt)[:, -1]
    table[last, COIN.first_pattern : COIN.first_step] = WORLD.log_ref
    return {"table": jnp.asarray(table)}


LISTED = _table()


def run(key=KEY, **options):
    usual = {"algorithm": rules.rloo(4), "steps": 6, "questions": 2, "learning_rate": 1.0}
    usual |= {"optimizer": optax.sgd, "probe": lambda params: params["table"]}
    return jax.jit(lambda key: tf.train(key, ROWS, LISTED, COIN, **(usual | options)))(key)


@pytest.fixture(scope="module")
def on():
    """A run on-policy, with nothing else."""
    return run()


SAME = {
    "clip": OffPolicy(clip=(0.2, 0.28), dual_clip=3.0),
    "cispo": OffPolicy("cispo", clip=0.2),
    "gspo": OffPolicy("gspo", clip=3e-4),
    "gmpo": OffPolicy("gmpo", clip=0.4),
    "sapo": OffPolicy("sapo"),
    "none": OffPolicy("none"),
    "truncate": OffPolicy(correction="truncate"),
    "mask": OffPolicy(correction="mask", correction_level="sequence"),
    "old negatives": OffPolicy(mask_old_negatives=0.0),
}


@pytest.mark.parametrize("name", SAME)
def test_on_policy_all_options_are_the_policy_gradient(on, name):
    assert on.status == Status.OK
    assert jnp.abs(on.seen[-1] - on.seen[0]).max() > 0.1
    chex.assert_trees_all_equal(run(off_policy=SAME[name]).params, on.params)


@pytest.fixture(scope="module")
def twice():
    return run(off_policy=OffPolicy(epochs=2), learning_rate=3.0, steps=2).params["table"]


@pytest.mark.parametrize("name", ["clip", "cispo", "gspo", "gmpo", "sapo", "none", "old negatives"])
def test_several_epochs_part_the_surrogates(twice, name):
    other = run(off_policy=replace(SAME[name], epochs=2), learning_rate=3.0, steps=2).params["table"]
    assert jnp.abs(other - twice).max() > 1e-3


def batch_of(index, source, temperature):
    """Questions, rollouts and weights of a step, as `train` draws them."""
    keys = jax.random.split(jax.random.fold_in(KEY, index), 4)
    asked = COIN.draw(keys[0], 2)
    options = {"group": 4, "length": COIN.length, "end": COIN.end, "temperature": temperature}
    rollouts = tf.sample(keys[1], ROWS, source, asked, **options)
    earned = rewards.verifiable()(keys[3], rollouts, COIN.verify(keys[2], asked, rollouts))
    return asked, rollouts, jax.vmap(rules.rloo(4).weights)(earned)[..., None]


def by_hand(off_policy, steps=6):
    """A run step by step: rollouts of the sampler's parameters, the objective ascended."""
    age, warm = off_policy.staleness, off_policy.temperature or 1.0
    hot = warm * (off_policy.sampling_temperature or 1.0)

    @jax.jit
    def step(index, source, params):
        asked, rollouts, gain = batch_of(index, source, hot)

        def score(params):
            return pick(rl.log_probs(ROWS, params, asked, rollouts.tokens, warm), rollouts.tokens)

        below = rollouts.log_prob
        if off_policy.correction:
            gain = gain * jnp.minimum(jnp.exp(score(params) - below), off_policy.correction_cap)
            below = score(params)

        def ascended(now):
            return jnp.sum(jnp.where(rollouts.where, gain * jnp.exp(score(now) - below), 0.0)) / 8

        for _ in range(off_policy.epochs):
            params = jax.tree.map(lambda x, g: x + g, params, jax.grad(ascended)(params))
        return params

    past = [LISTED]
    for index in range(steps):
        held = off_policy.schedule == "held" and age
        source = past[index // age * age if held else max(index - age, 0)]
        past.append(step(index, source, past[-1]))
    return past[-1]["table"]


@pytest.mark.parametrize(
    "off_policy",
    [
        OffPolicy(temperature=1.4),
        OffPolicy(sampling_temperature=0.7),
        OffPolicy(temperature=1.4, sampling_temperature=0.7, epochs=2),
        OffPolicy(sampling_temperature=0.7, correction="truncate", correction_cap=1.1),
        OffPolicy(staleness=2),
        OffPolicy(staleness=3, schedule="held"),
        OffPolicy(staleness=2, correction="truncate", correction_cap=1.1, epochs=2),
    ],
    ids=repr,
)
def test_runs_are_those_followed_by_hand(on, off_policy):
    found = run(off_policy=off_policy)
    assert found.status == Status.OK
    expected = by_hand(off_policy)
    assert np.abs(expected - LISTED["table"]).max() > 0.1
    np.testing.assert_allclose(found.params["table"], expected, rtol=1e-9, atol=1e-11)
    assert np.abs(found.params["table"] - on.params["table"]).max() > 1e-3


def test_samples_know_both_log_probabilities():
    asked = COIN.draw(KEY, 2)
    options = {"group": 8, "length": COIN.length, "end": COIN.end}
    both, alone = jax.jit(
        lambda key: [
            tf.sample(key, ROWS, LISTED, asked, temperature=0.6, own_temperature=own, **options)
            for own in (1.2, None)
        ]
    )(KEY)
    chex.assert_trees_all_equal((both.tokens, both.log_prob), (alone.tokens, alone.log_prob))
    assert alone.own_log_prob is None
    assert alone.own is alone.log_prob
    log_probs = rl.log_probs(ROWS, LISTED, asked, both.tokens, 1.2)
    law = jnp.exp(log_probs)
    for values, expected in (
        (both.own, pick(log_probs, both.tokens)),
        (both.entropy, -jnp.sum(law * log_probs, axis=-1)),
        (both.mean_log_prob, jnp.mean(log_probs, axis=-1)),
    ):
        np.testing.assert_allclose(values, jnp.where(both.where, expected, 0.0), atol=1e-9)
    earned = rewards.trajectory_log_prob()(KEY, both, COIN.verify(KEY, asked, both))
    np.testing.assert_allclose(earned, both.own.sum(axis=-1), rtol=1e-12)


def test_masks_act_in_the_loop(on, twice):
    options = {"algorithm": rules.reinforce(0.3), "group_size": 4, "steps": 1}
    first = run(token_mask=TokenMask("top_entropy", 0.0), **options)
    moved = np.abs(first.params["table"] - LISTED["table"]).max(axis=1) > 0
    assert moved.sum() == 1  # one row: that of the token of highest entropy, and its ties
    wide = TokenMask("clip_cov", 0.5, low=-9.0, high=9.0)
    assert jnp.abs(run(token_mask=wide).params["table"] - on.params["table"]).max() > 1e-3
    calm = {"token_mask": TokenMask("kl_cov", 0.3), "off_policy": OffPolicy(epochs=2)}
    calm = run(**calm, learning_rate=3.0, steps=2).params["table"]
    assert jnp.abs(calm - twice).max() > 1e-3


def test_batch_rules_act_in_the_loop():
    shifts = {
        rule: run(algorithm=replace(rules.rloo(4), batch=rule), steps=1).params["table"] - LISTED["table"]
        for rule in (None, "std")
    }
    moved = np.abs(shifts[None]) > 1e-6
    share = np.asarray(shifts["std"])[moved] / np.asarray(shifts[None])[moved]
    np.testing.assert_allclose(share, share[0], rtol=1e-6)
    assert share[0] > 1.5  # the rewards are 0 or 1, with a standard deviation near .5


def hand_reference(update, steps, beta):
    """A run with k2 on samples, followed by hand."""

    @jax.jit
    def step(index, params, base, scale):
        asked, rollouts, weights = batch_of(index, params, 1.0)

        def score(params):
            return pick(rl.log_probs(ROWS, params, asked, rollouts.tokens), rollouts.tokens)

        def ascended(now):
            gain = weights * score(now) - scale * beta * (score(now) - score(base)) ** 2 / 2
            return jnp.sum(jnp.where(rollouts.where, gain, 0.0)) / 8

        apart = jnp.where(rollouts.where, score(params) - score(base), 0.0)
        later = jax.tree.map(lambda x, g: x + g, params, jax.grad(ascended)(params))
        return later, jnp.sum(apart) / jnp.sum(rollouts.where)

    params, base, scales = LISTED, LISTED, [1.0]
    for index in range(steps):
        params, kl = step(index, params, base, scales[-1])
        if update.every and (index + 1) % update.every == 0:
            alpha = update.mixing
            base = jax.tree.map(lambda old, new, a=alpha: a * new + (1 - a) * old, base, params)
        if update.target_kl:
            error = np.clip(float(kl) / update.target_kl - 1, -0.2, 0.2)
            scales.append(scales[-1] * (1 + error / update.horizon))
    return params["table"], scales


@pytest.fixture(scope="module")
def anchored():
    return run(regularizers=[on_samples(reverse_kl(0.5))]).params["table"]


@pytest.mark.parametrize(
    "update",
    [
        Reference(),
        Reference(every=2),
        Reference(every=1, mixing=0.3),
        Reference(every=3, mixing=0.6),
        Reference(target_kl=0.01, horizon=2.0),
    ],
    ids=repr,
)
def test_references_move_and_coefficients_adapt(anchored, update):
    term = on_samples(reverse_kl(0.5), reference=update)
    found = run(regularizers=[term]).params["table"]
    expected, scales = hand_reference(update, 6, 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    assert (jnp.abs(found - anchored).max() > 1e-4) == (update != Reference())
    assert (len(set(scales)) > 1) == (update.target_kl is not None)


def test_exact_penalties_have_moving_references_too():
    exact = on_samples(reverse_kl(0.5), estimate="exact", reference=Reference(every=1))
    still = entropy_bonus(0.1)
    found = run(regularizers=[exact, still], steps=2)
    # A reference that is reset after each step never penalises the first of its steps.
    np.testing.assert_allclose(
        found.params["table"], run(regularizers=[still], steps=2).params["table"], atol=1e-12
    )


def test_everything_at_once_is_one_program_and_runs_side_by_side():
    options = {
        "off_policy": OffPolicy(
            "gmpo", clip=(0.2, 0.3), staleness=2, epochs=2, correction="truncate", mask_old_negatives=0.5
        ),
        "token_mask": TokenMask("clip_cov", 0.1, low=-1.0, high=1.0),
        "regularizers": [
            on_samples(k3_loss(0.1), reference=Reference(every=2)),
            on_samples(reverse_kl(0.1), estimate="exact", reference=Reference(target_kl=0.1, horizon=5.0)),
            entropy_bonus(0.01),
        ],
        "reward": rewards.overlong(rewards.verifiable(), 5, 2),
        "normalize": "batch_tokens",
        "record_every": 3,
    }
    keys = jax.random.split(KEY, 2)
    together, one = jax.vmap(lambda key: run(key, **options))(keys), run(keys[1], **options)
    assert one.status == Status.OK
    assert jnp.abs(one.seen[-1] - one.seen[0]).max() > 1e-3
    chex.assert_trees_all_close(one.seen, together.seen[1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("behavior", {"off_policy": OffPolicy(behavior=jnp.zeros((2, 3)))}),
        ("correlation", {"off_policy": OffPolicy(correlation=0.5)}),
        ("of", {"off_policy": OffPolicy(of="gradient", staleness=1)}),
        ("surrogate", {"off_policy": OffPolicy("gspo", clip=0.1), "decisions": "pattern"}),
        ("surrogate", {"off_policy": OffPolicy("gmpo", clip=0.1), "decisions": "pattern"}),
        ("staleness", {"off_policy": OffPolicy(staleness=history.LONGEST + 1)}),
        (
            "off_policy",
            {"regularizers": [reverse_kl(0.1)], "penalty": "sequence", "off_policy": OffPolicy(epochs=2)},
        ),
        (
            "off_policy",
            {
                "regularizers": [reverse_kl(0.1)],
                "penalty": "sequence",
                "off_policy": OffPolicy(sampling_temperature=0.5),
            },
        ),
        ("penalty", {"regularizers": [on_samples(reverse_kl(0.1))], "penalty": "sequence"}),
        ("estimate", {"regularizers": [on_samples(reverse_kl(0.1), estimate="corrected")]}),
    ],
)
def test_train_names_what_has_no_meaning(name, options):
    with pytest.raises(ValueError, match=f"^{name}: "):
        run(**options)


def test_long_ages_are_fine_where_one_copy_is_kept():
    calm = run(off_policy=OffPolicy(staleness=history.LONGEST + 1, schedule="held"), steps=2)
    assert calm.status == Status.OK


def test_single_decisions_have_no_sequence_ratio():
    with pytest.raises(ValueError, match=r"^surrogate: 'gspo' with answers of one decision"):
        surrogate.check(OffPolicy("gspo", clip=0.1), "all", 1)
