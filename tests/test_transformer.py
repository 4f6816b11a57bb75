"""The token-level twin: against finite differences, enumeration of every sequence, and tabular training."""

import itertools
import math
from dataclasses import replace
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings, strategies as st
from jax.flatten_util import ravel_pytree
from scipy import stats

from qra_jax import algorithm as rules, metrics, training, transformer as tf
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem, random, stack
from qra_jax.regularizer import entropy_bonus, k3_loss, reverse_kl
from qra_jax.trajectory import Status
from qra_jax.transformer import learning, model as network, probe, reward as rewards, rl
from qra_jax.transformer.sampling import PAD, Questions, Rollouts

pytestmark = pytest.mark.usefixtures("compiled_plainly")

SMEARED = pytest.mark.parametrize("smeared", [False, True])
LIMIT = 4.5  # of a z-score: one false alarm in 10⁵
KEY = jax.random.key(0)
init = jax.jit(tf.init, static_argnums=1)
read = jax.jit(network.read, static_argnums=0)
score = jax.jit(network.score, static_argnums=0)
read_out = jax.jit(tf.read_out, static_argnums=0)
forced_log_probs = jax.jit(rl.log_probs, static_argnums=0)


def decoder(vocabulary, width=8, dtype=jnp.float64, **options):
    return tf.Decoder(
        vocabulary, **({"depth": 1, "hidden": 2} | options), width=width, dtype=dtype, param_dtype=dtype
    )


def pick(values, tokens):
    return jnp.take_along_axis(values, tokens[..., None], axis=-1)[..., 0]


# The network


@SMEARED
def test_a_token_sees_its_prompt_and_what_was_written_before_it(smeared):
    """Every place has a token of its own, so rows of the embedding stand for places."""
    questions, size, group, length = 2, 2, 2, 3
    prompt = 1 + jnp.arange(questions * size).reshape(questions, size)
    tokens = 5 + jnp.arange(questions * group * length).reshape(questions, group, length)
    net = decoder(5 + tokens.size, smeared=smeared)
    params = init(KEY, net)

    def logits(table):
        return network.score(net, params | {"embedding": {"embedding": table}}, prompt, None, tokens)[0]

    slope = jax.jit(jax.jacrev(logits))(params["embedding"]["embedding"])
    seen = np.asarray(jnp.abs(slope).sum(axis=(-1, 3)))  # [N, G, T, token]
    for n, g, t in np.ndindex(questions, group, length):
        before = {*np.asarray(prompt[n]).tolist(), *np.asarray(tokens[n, g, :t]).tolist()}
        assert {int(token) for token in np.flatnonzero(seen[n, g, t])} == before
    assert seen[seen > 0].min() > 1e-6


@SMEARED
def test_prompts_may_be_padded_and_shared(smeared):
    net = decoder(9, smeared=smeared)
    params = init(KEY, net)
    prompt = jnp.array([[3, 5, 1], [2, 2, 7]])
    tokens = jax.random.randint(KEY, (2, 3, 4), 1, 9)
    padded = Questions(jnp.pad(prompt, ((0, 0), (2, 0))), jnp.arange(2))
    # Without sharing: each sequence with its prompt in front, read as one.
    alone = jnp.concatenate([jnp.repeat(prompt, 3, axis=0), tokens.reshape(6, 4)], axis=1)

    @jax.jit
    def all_ways(params):
        known = (network.score(net, params, padded.prompt, real, tokens)[0] for real in (padded.real, None))
        return network.score(net, params, prompt, None, tokens), *known, network.read(net, params, alone)[0]

    (plain, features), found, wrong, output = all_ways(params)
    np.testing.assert_allclose(found, plain, atol=1e-12, rtol=0)
    np.testing.assert_allclose(output.logits[:, 0, 2:-1].reshape(plain.shape), plain, atol=1e-12, rtol=0)
    np.testing.assert_allclose(output.features[:, 0, 2:-1].reshape(features.shape), features, atol=1e-12)
    assert jnp.abs(wrong - plain).max() > 1e-3  # padding that is read as tokens


def test_rotation_tells_distance_alone():
    q, k = jax.random.normal(KEY, (2, 1, 8, 5, 1))
    at = jnp.arange(5)

    def products(shift, stretch=1):
        a, b = (network.rotated(x, shift + stretch * at)[0, :, :, 0] for x in (q, k))
        return a.T @ b

    np.testing.assert_allclose(products(11), products(0), atol=1e-12)
    assert jnp.abs(products(0, 2) - products(0)).max() > 1e-2


@pytest.mark.parametrize("length", [1, 6, 11])
def test_few_tokens_are_attended_to_as_many(length):
    keys = jax.random.split(KEY, 4)
    q, slope = (jax.random.normal(key, (2, 4, length, 5)) for key in keys[:2])
    k, v = (jax.random.normal(key, (2, 4, length + 2, 5)) for key in keys[2:])
    place, source = jnp.arange(length)[:, None, None], jnp.arange(length + 2)[None, :, None]
    padding = jnp.array([0, 1, 3, 0, 2])[None, None]
    seen = (source <= place + 2) & (source >= padding)

    def derivatives(attend):
        mixed, back = jax.vjp(lambda q, k, v: attend(q, k, v, seen), q, k, v)
        return mixed, back(slope)

    few, many = (jax.jit(partial(derivatives, f))() for f in (network.attended_few, network.attended))
    chex.assert_trees_all_close(few, many, atol=1e-13, rtol=0)
    assert not seen[0, :, 2].any()  # a place of padding, which sees nothing


def test_smeared_keys_find_what_followed_a_token():
    """A head asks for the token that it stands on, which no key is but that of what followed it."""
    net = decoder(4, width=4, hidden=1, heads=1, smeared=True)
    params = init(KEY, net)
    attention = params["attention_0"]
    assert attention["smear"]["scale"].shape == (1,)
    attention["qkv"]["kernel"] = jnp.concatenate([4e3 * jnp.eye(4), jnp.eye(4), jnp.eye(4)], axis=1)
    attention["smear"]["scale"], params["in_0"]["kernel"] = -jnp.full(1, 30.0), jnp.zeros((4, 4))
    attention["out"]["kernel"], params["unembedding"]["kernel"] = 1e3 * jnp.eye(4), jnp.eye(4)
    params["embedding"]["embedding"] = jnp.eye(4)[jnp.array([0, 1, 2, 3])]
    logits, _ = score(net, params, jnp.array([[1, 3]]), None, jnp.array([[[2, 1, 0]]]))
    assert jnp.argmax(logits[0, 0, 2]) == 3


@SMEARED
def test_long_sequences_are_sampled_as_they_are_scored(smeared):
    length = 9
    assert (length - 1) * (ASKED.prompt.shape[1] + length - 1) > network.FEW
    net = replace(TALKER, smeared=smeared)
    params = init(KEY, net)
    drawn = jax.jit(lambda key: tf.sample(key, net, params, ASKED, group=8, length=length, end=STOP))(KEY)
    log_probs = forced_log_probs(net, params, ASKED, drawn.tokens)
    found = jnp.where(drawn.where, pick(log_probs, drawn.tokens), 0)
    np.testing.assert_allclose(drawn.log_prob, found, atol=1e-5, rtol=0)


def test_half_precision_is_near():
    params = init(KEY, decoder(7, dtype=jnp.float32))
    prompt, tokens = jnp.array([[3, 4]]), jnp.array([[[1, 2, 3]]])
    full = score(decoder(7, dtype=jnp.float32), params, prompt, None, tokens)[0]
    half = decoder(7, dtype=jnp.bfloat16)
    low = score(half, jax.tree.map(lambda x: x.astype(jnp.bfloat16), params), prompt, None, tokens)[0]
    assert low.dtype == full.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(init(KEY, half))} == {jnp.dtype(jnp.bfloat16)}
    assert 0 < jnp.abs(low - full).max() < 0.1  # 2⁻⁸ a rounding, some ten of them


def test_half_precision_trains():
    """Optimisers work in float32: the change is that of a float32 network, but for rounding of the result."""
    half = tf.Decoder(COIN.vocabulary, width=8, depth=1, heads=1, param_dtype=jnp.bfloat16)
    low = init(KEY, half)
    high = jax.tree.map(lambda x: x.astype(jnp.float32), low)
    options = {"algorithm": rules.grpo(4), "steps": 1, "questions": 2, "learning_rate": 0.02}
    options |= {"reward": rewards.token_entropy()}
    rounded = tf.train(KEY, half, low, COIN, **options).params
    assert {x.dtype for x in jax.tree.leaves(rounded)} == {jnp.dtype(jnp.bfloat16)}
    exact = tf.train(KEY, half.clone(param_dtype=jnp.float32), high, COIN, **options).params
    changes = [
        ravel_pytree(jax.tree.map(lambda now, then: now.astype(jnp.float32) - then, after, high))[0]
        for after in (rounded, exact)
    ]
    assert np.corrcoef(*changes)[0, 1] > 0.9
    assert (changes[0] != 0).mean() > 0.5


def test_sizes_of_a_network_are_checked():
    for options, name in (
        ({"width": 6, "heads": 2}, "width"),
        ({"depth": -1}, "depth"),
        ({"heads": 0}, "heads"),
    ):
        with pytest.raises(ValueError, match=f"^{name}: "):
            tf.init(KEY, decoder(5, **options))


# Sampling

TALKER = decoder(6, width=16, depth=2, dtype=jnp.float32)
TALK = init(jax.random.key(3), TALKER)
ASKED = Questions(jnp.array([[0, 3, 4], [1, 2, 5], [0, 0, 1]]), jnp.arange(3))
STOP = 5


@jax.jit
def talk(key, temperature, opening):
    both = {"group": 8, "length": 5, "end": STOP, "temperature": temperature}
    plain = tf.sample(key, TALKER, TALK, ASKED, **both)
    return plain, tf.sample(key, TALKER, TALK, ASKED, **both, greedy=True, opening=opening)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_sampling_knows_its_own_log_probabilities(temperature):
    opening = jnp.broadcast_to(jnp.array([[4, 1]]), (3, 8, 2))
    for rollouts in talk(KEY, temperature, opening):
        log_probs = forced_log_probs(TALKER, TALK, ASKED, rollouts.tokens, temperature)
        assert rollouts.log_prob.dtype == log_probs.dtype == jnp.float32
        expected = (
            pick(log_probs, rollouts.tokens),
            -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1),
            jnp.mean(log_probs, axis=-1),
        )
        found = rollouts.log_prob, rollouts.entropy, rollouts.mean_log_prob
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, jnp.where(rollouts.where, other, 0), atol=1e-5, rtol=0)


def test_sequences_end_once():
    rollouts, _ = talk(jax.random.key(1), 1.0, jnp.ones((3, 8, 1), int))
    ended = 0
    for tokens, where, length in zip(
        *(np.asarray(x).reshape(24, -1) for x in (rollouts.tokens, rollouts.where, rollouts.length)),
        strict=True,
    ):
        stop = list(tokens).index(STOP) + 1 if STOP in tokens else 5
        ended += stop < 5
        assert length == stop
        assert where.tolist() == [True] * stop + [False] * (5 - stop)
        assert (tokens[stop:] == PAD).all()
    assert 0 < ended < 24


def test_greedy_follows_an_opening_with_the_likeliest_tokens():
    opening = jnp.broadcast_to(jnp.array([[4, 1]]), (3, 8, 2)).at[0, :, 1].set(STOP)
    _, rollouts = talk(KEY, 0.6, opening)
    best = jnp.argmax(forced_log_probs(TALKER, TALK, ASKED, rollouts.tokens), axis=-1)
    np.testing.assert_array_equal(rollouts.tokens[..., :2], opening)
    chosen = rollouts.where & (jnp.arange(5) >= 2)[None, None]
    np.testing.assert_array_equal(rollouts.tokens[chosen], best[chosen])
    assert (rollouts.length[0] == 2).all()
    assert chosen[1:].any()


# Every sequence of a small language: three letters, of which the last ends, at most three of them.

LETTERS = decoder(3, width=4, heads=1)
SPEECH = init(jax.random.key(1), LETTERS)
PAIR = Questions(jnp.array([[1, 2], [2, 1]]), jnp.arange(2))


def _sequences():
    rows = set()
    for row in itertools.product(range(3), repeat=3):
        stop = row.index(2) + 1 if 2 in row else 3
        rows.add((*row[:stop], *[PAD] * (3 - stop), stop))
    rows = np.array(sorted(rows))
    where = np.arange(3) < rows[:, 3:]
    return (jnp.broadcast_to(jnp.asarray(x)[None], (2, *x.shape)) for x in (rows[:, :3], where))


EVERY, WHERE = _sequences()
SIZE = EVERY.shape[1]
TABLE = jnp.asarray(np.random.default_rng(0).normal(size=(2, SIZE)))
forced = jax.jit(lambda params: rl.log_probs(LETTERS, params, PAIR, EVERY))
pull = jax.jit(
    lambda params, slope: jax.vjp(lambda p: rl.log_probs(LETTERS, p, PAIR, EVERY), params)[1](slope)[0]
)


def log_chance(params):
    """log P(o|q) of every sequence, `[2, S]`."""
    return jnp.sum(jnp.where(WHERE, pick(forced(params), EVERY), 0.0), axis=-1)


def gradient(ascended, params=SPEECH):
    """Of a function of the log-probabilities."""
    return pull(params, jax.jit(jax.grad(ascended))(forced(params)))


def assert_gradient(found, function, params=SPEECH):
    """The gradient is that of a function of the parameters, by central differences in random directions."""
    flat, unravel = ravel_pytree(params)
    step = 1e-5
    for key in jax.random.split(jax.random.key(7), 3):
        way = jax.random.normal(key, flat.shape)
        ends = [function(unravel(flat + sign * step * way)) for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert abs(slope) > 1e-5
        np.testing.assert_allclose(ravel_pytree(found)[0] @ way, slope, rtol=1e-6, atol=1e-9)


def in_groups(values, group):
    """All groups of G sequences: `[2, S, ...]` to `[2 · S^G, G, ...]`."""
    index = np.array(list(itertools.product(range(SIZE), repeat=group)))
    return values[:, index].reshape(-1, group, *values.shape[2:])


def test_chances_of_every_sequence_sum_to_one():
    np.testing.assert_allclose(jnp.exp(log_chance(SPEECH)).sum(axis=1), 1, rtol=1e-12)


def test_sampled_frequencies_are_the_chances():
    draw = jax.jit(lambda key: tf.sample(key, LETTERS, SPEECH, PAIR, group=20_000, length=3, end=2))
    tokens = np.asarray(draw(KEY).tokens)
    same = (tokens[:, :, None] == np.asarray(EVERY)[:, None]).all(axis=-1)
    assert (same.sum(axis=-1) == 1).all()
    for found, chance in zip(same.sum(axis=1), np.exp(log_chance(SPEECH)), strict=True):
        assert stats.chisquare(found, 20_000 * chance).pvalue > 1e-5


@pytest.mark.parametrize("normalize", ["constant", "length"])
def test_gradient_is_that_of_the_expected_reward(normalize):
    chance = jnp.exp(log_chance(SPEECH))
    found = gradient(lambda z: rl.objective(z, EVERY, WHERE, chance * TABLE * SIZE, normalize=normalize))
    share = 1 if normalize == "constant" else WHERE.sum(axis=-1)
    assert_gradient(found, lambda p: jnp.sum(jnp.exp(log_chance(p)) * TABLE / share) / 2)


@pytest.mark.parametrize("algorithm", [rules.grpo(2), rules.grpo(3), rules.rloo(2)], ids=lambda a: a.name)
def test_gradient_over_all_groups_is_the_clock_times_that_of_accuracy(algorithm):
    group, right = algorithm.group_size, (TABLE > 0.3).astype(float)
    chance = jnp.exp(log_chance(SPEECH))
    weights = jax.vmap(algorithm.weights)(in_groups(right, group))
    weights = weights * jnp.prod(in_groups(chance, group), axis=1, keepdims=True) * SIZE**group
    tokens, where = in_groups(EVERY, group), in_groups(WHERE, group)
    found = gradient(lambda z: rl.objective(in_groups(z, group), tokens, where, weights))
    clock = algorithm.clock(jnp.sum(chance * right, axis=1))
    assert_gradient(found, lambda p: clock @ jnp.sum(jnp.exp(log_chance(p)) * right, axis=1) / 2)


def test_sequence_penalty_is_the_reverse_kl_of_whole_sequences():
    anchor, chance = forced(init(jax.random.key(2), LETTERS)), jnp.exp(log_chance(SPEECH))
    base = jnp.sum(jnp.where(WHERE, pick(anchor, EVERY), 0.0), axis=-1)
    share = jnp.prod(in_groups(chance, 2), axis=1)

    def one(z, tokens, where, anchor):
        options = {"regularizers": [reverse_kl(0.7)], "penalty": "sequence", "anchor": anchor[None]}
        return rl.objective(z[None], tokens[None], where[None], jnp.zeros((1, 2)), **options)

    fixed = [in_groups(x, 2) for x in (EVERY, WHERE, anchor)]
    found = gradient(lambda z: share @ jax.vmap(one)(in_groups(z, 2), *fixed) / 2)

    def kl(params):
        own = log_chance(params)
        return -0.7 * jnp.sum(jnp.exp(own) * (own - base)) / 2

    assert_gradient(found, kl)


@pytest.mark.parametrize(
    ("regularizer", "ascended"),
    [
        (k3_loss(0.7), lambda z, base: 0.7 * jnp.sum(jnp.exp(base) * jax.nn.log_softmax(z))),
        (
            reverse_kl(0.7),
            lambda z, base: -0.7 * jnp.sum(jax.nn.softmax(z) * (jax.nn.log_softmax(z) - base)),
        ),
        (entropy_bonus(0.7), lambda z, base: -0.7 * jnp.sum(jax.nn.softmax(z) * jax.nn.log_softmax(z))),
    ],
    ids=["k3", "reverse KL", "entropy"],
)
def test_position_penalties_are_exact_at_every_place(regularizer, ascended):
    scores, base = jax.random.normal(KEY, (2, 2, 4, 3, 5))
    base = jax.nn.log_softmax(base)
    tokens, learns = jnp.zeros((2, 4, 3), int), jax.random.bernoulli(KEY, 0.6, (2, 4, 3))

    def objective(z):
        options = {"anchor": base, "regularizers": [regularizer]}
        return rl.objective(jax.nn.log_softmax(z), tokens, learns, jnp.zeros((2, 4)), **options)

    slopes = jax.jit(jax.vmap(jax.vmap(jax.vmap(jax.grad(ascended)))))(scores, base)
    if regularizer.name.startswith("k3"):
        np.testing.assert_allclose(slopes, -0.7 * (jax.nn.softmax(scores) - jnp.exp(base)), atol=1e-14)
    np.testing.assert_allclose(
        jax.jit(jax.grad(objective))(scores), jnp.where(learns[..., None], slopes, 0) / 8, atol=1e-14, rtol=0
    )


@pytest.fixture(scope="module")
def batch():
    """Two groups of three sequences, four tokens of five letters: what a step knows of them."""
    keys = jax.random.split(KEY, 4)
    log_probs = jax.nn.log_softmax(jax.random.normal(keys[0], (2, 3, 4, 5)))
    tokens = jax.random.randint(keys[1], (2, 3, 4), 0, 5)
    where = jnp.arange(4)[None, None] < jnp.array([[4, 1, 2], [3, 3, 1]])[..., None]
    weights = jnp.array([[1.0, -2.0, 0.5], [-1.0, 0.0, 3.0]])
    return (
        log_probs,
        tokens,
        where,
        weights,
        pick(log_probs, tokens) + jax.random.normal(keys[2], (2, 3, 4)) / 3,
    )


@pytest.mark.parametrize("normalize", rl.NORMALIZATIONS)
def test_tokens_weigh_as_normalised(batch, normalize):
    log_probs, tokens, where, weights, _ = batch
    slope = jax.jit(jax.grad(lambda z: rl.objective(z, tokens, where, weights, normalize=normalize)))(
        log_probs
    )
    nu = {
        "constant": np.ones((2, 3)),
        "length": 1 / np.array([[4, 1, 2], [3, 3, 1]]),
        "tokens": np.array([[3 / 7] * 3, [3 / 7] * 3]),
        "batch_tokens": np.full((2, 3), 6 / 14),
    }[normalize]
    expected = np.asarray(where) * (np.asarray(weights) * nu / 6)[..., None]
    np.testing.assert_allclose(pick(slope, tokens), expected, rtol=1e-12)
    np.testing.assert_allclose(slope.sum(axis=-1), expected, rtol=1e-12)


@pytest.mark.parametrize("clip", [None, (0.2, 0.28), (0.0, 0.0)])
def test_clipping_is_that_of_ppo(batch, clip):
    log_probs, tokens, where, weights, old = batch
    options = {"old": old, "off_policy": OffPolicy(clip=clip)}
    slope = jax.jit(jax.grad(lambda z: rl.objective(z, tokens, where, weights, **options)))(log_probs)
    ratio = np.exp(pick(log_probs, tokens) - old)
    gain = np.broadcast_to(np.asarray(weights)[..., None], ratio.shape)
    low, high = (np.inf, np.inf) if clip is None else clip
    clipped = ((gain > 0) & (ratio > 1 + high)) | ((gain < 0) & (ratio < 1 - low))
    expected = np.where(np.asarray(where) & ~clipped, gain * ratio / 6, 0)
    np.testing.assert_allclose(pick(slope, tokens), expected, rtol=1e-12)
    assert clipped.any() == (clip is not None)


def test_ratios_of_one_are_on_policy(batch):
    log_probs, tokens, where, weights, _ = batch
    on = jax.grad(lambda z: rl.objective(z, tokens, where, weights))(log_probs)
    old = pick(log_probs, tokens)
    options = {"old": old, "off_policy": OffPolicy(clip=(0.1, 0.1))}
    off = jax.grad(lambda z: rl.objective(z, tokens, where, weights, **options))(log_probs)
    np.testing.assert_allclose(off, on, atol=1e-15)


# Rewards

NOTHING = tf.Verification(*(jnp.zeros((2, SIZE), kind) for kind in (bool, bool, int, bool, int)))


def spoken(params=SPEECH):
    """Every sequence as if it had been sampled."""
    log_probs = forced(params)
    entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
    numbers = pick(log_probs, EVERY), entropy, jnp.mean(log_probs, axis=-1)
    return Rollouts(EVERY, WHERE, *(jnp.where(WHERE, x, 0.0) for x in numbers))


def policy_gradient(reward, learns):
    earned = reward(KEY, spoken(), NOTHING)
    return gradient(lambda z: rl.objective(z, EVERY, learns, jnp.exp(log_chance(SPEECH)) * earned * SIZE))


def test_trajectory_log_prob_descends_the_entropy_of_sequences():
    def entropy(params):
        own = log_chance(params)
        return -jnp.sum(jnp.exp(own) * own) / 2

    found = policy_gradient(rewards.trajectory_log_prob(), WHERE)
    assert_gradient(jax.tree.map(jnp.negative, found), entropy)


def test_certainty_does_not_move_the_last_decision():
    last = WHERE & (jnp.arange(3) == 2)[None, None]
    for reward in (rewards.self_certainty(), rewards.token_entropy()):
        largest = [
            jnp.abs(ravel_pytree(policy_gradient(reward, learns))[0]).max() for learns in (last, WHERE)
        ]
        assert largest[0] < 1e-15
        assert largest[1] > 1e-3
    moved = ravel_pytree(policy_gradient(rewards.trajectory_log_prob(), last))[0]
    assert jnp.abs(moved).max() > 1e-3


def test_internal_rewards_by_hand():
    where = jnp.array([[[True, True, False]]])
    log_probs = np.log([[[[0.5, 0.25, 0.25], [0.8, 0.1, 0.1], [1.0, 1.0, 1.0]]]])
    entropy, mean = -(np.exp(log_probs) * log_probs).sum(axis=-1), log_probs.mean(axis=-1)
    rollouts = Rollouts(
        jnp.zeros((1, 1, 3), int), where, *map(jnp.asarray, (log_probs[..., 0], entropy, mean))
    )
    h = [1.5 * math.log(2), -0.8 * math.log(0.8) - 0.2 * math.log(0.1)]
    certain = [-(math.log(0.5) + 2 * math.log(0.25)) / 3, -(math.log(0.8) + 2 * math.log(0.1)) / 3]
    for reward, expected in (
        (rewards.token_entropy(), -sum(h) / 2),
        (rewards.self_certainty(), sum(certain) / 2),
    ):
        np.testing.assert_allclose(reward(KEY, rollouts, NOTHING), [[expected]], rtol=1e-12)


def judged(answer, formatted=True, right=False):
    answer = jnp.asarray(answer)
    fill = lambda value, kind: jnp.broadcast_to(jnp.asarray(value, kind), answer.shape)  # noqa: E731
    verdict = tf.Verification(
        fill(right, bool), fill(formatted, bool), fill(0, int), fill(True, bool), answer
    )
    numbers = jnp.zeros((*answer.shape, 1))
    return Rollouts(numbers.astype(int), numbers == 0, numbers, numbers, numbers), verdict


def test_verifiers_err_at_their_rates():
    number = 20_000
    right = jnp.broadcast_to(jnp.array([True, True, False, False]), (number, 4))
    formatted = jnp.broadcast_to(jnp.array([True, False, True, False]), (number, 4))
    seen = judged(jnp.zeros((number, 4), int), formatted, right)
    for announced, chance in ((True, [0.8, 0.3, 0.3, 0.3]), (False, [0.8, 0.8, 0.3, 0.3])):
        earned = rewards.verifiable(0.8, 0.3, announced=announced)(KEY, *seen)
        deviation = np.sqrt(np.multiply(chance, np.subtract(1, chance)) / number)
        assert (np.abs((earned.mean(axis=0) - np.array(chance)) / deviation) < LIMIT).all()
    np.testing.assert_array_equal(rewards.verifiable()(KEY, *seen)[0], [1, 0, 0, 0])
    with pytest.raises(ValueError, match=r"^tpr: 1\.2"):
        rewards.verifiable(1.2)
    with pytest.raises(ValueError, match=r"^fpr: -0\.1"):
        rewards.verifiable(0.8, -0.1)


@pytest.mark.parametrize(
    ("answers", "formatted", "earned"),
    [
        ([2, 2, 0, 1], True, [1, 1, 0, 0]),
        ([-1, -1, 5, -1], True, [0, 0, 1, 0]),  # none is no answer
        ([-1, -1, -1, -1], True, [0, 0, 0, 0]),
        ([4, 4, 4, 7], [False, False, True, True], [0, 0, 1, 0]),
        ([4, 4, 7, 7], [False, False, False, True], [0, 0, 0, 1]),
    ],
)
def test_majority(answers, formatted, earned):
    seen = judged([answers], formatted)
    np.testing.assert_array_equal(rewards.majority_vote()(KEY, *seen), [earned])


def test_ties_are_broken_uniformly_among_the_tied_answers():
    """As by the first of them to be sampled, in all orders of the group."""
    group = [3, 3, 3, 1, 1, 1, 8, 8, 8, 5, 5, -1]
    seen = judged([group])
    earned = jax.vmap(lambda key: rewards.majority_vote()(key, *seen)[0])(jax.random.split(KEY, 9000))
    assert {tuple(row) for row in np.asarray(earned).tolist()} == {
        tuple(float(answer == winner) for answer in group) for winner in (3, 1, 8)
    }
    counts = [int(earned[:, i].sum()) for i in (0, 3, 6)]
    assert sum(counts) == 9000
    rng = np.random.default_rng(0)
    first = [next(x for x in rng.permutation(group) if x in (1, 3, 8)) for _ in range(9000)]
    for drawn in (counts, [first.count(x) for x in (3, 1, 8)]):
        assert stats.chisquare(drawn).pvalue > 1e-5


def test_majority_of_all_answers():
    earned = rewards.majority_vote(announced=False)(KEY, *judged([[4, 4, 7]], [[False, True, True]]))
    np.testing.assert_array_equal(earned, [[1, 1, 0]])


# The controlled task

SHAPE = 5, 3, 4  # questions, patterns, answers
PACES = 2, 0, 1


def drawn_task(seed, **options):
    rng = np.random.default_rng(seed)
    questions, patterns, answers = SHAPE
    table = rng.dirichlet(np.ones(answers), (questions, patterns))
    problem = Problem(
        jnp.log(rng.dirichlet(np.ones(patterns), questions)), jnp.asarray(table[..., 0]), jnp.asarray(table)
    )
    announced, key = rng.random(patterns), rng.integers(0, answers, questions)
    return tf.controlled(problem, answer_key=key, announced=announced, steps=PACES, **options)


def written(task, pattern, answer, marked=True):
    """A sequence as the corpus writes it."""
    first = task.first_step + sum(PACES[:pattern])
    row = [task.first_pattern + pattern, *range(first, first + PACES[pattern]), *[task.MARKER] * marked]
    row += [task.first_answer + answer, task.end]
    return row + [PAD] * (task.length - len(row))


def as_rollouts(tokens):
    tokens = jnp.asarray(tokens)
    zeros = jnp.zeros(tokens.shape)
    return Rollouts(tokens, tokens != PAD, zeros, zeros, zeros)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_corpus_is_the_problem(seed):
    task = drawn_task(seed)
    shown = task.demonstrations()
    questions, patterns, answers = SHAPE
    assert shown.tokens.shape == (questions, 2 * patterns, task.length)
    share, key = np.asarray(task.announced), np.asarray(task.key)
    for g, (marked, r) in enumerate(itertools.product((True, False), range(patterns))):
        weight = task.problem.ref[:, r] * (share[r] if marked else 1 - share[r])
        np.testing.assert_allclose(shown.weight[:, g], weight, atol=1e-15)
        for i in range(questions):
            assert shown.tokens[i, g].tolist() == written(task, r, key[i], marked)
            assert shown.answer_at[i, g] == 1 + PACES[r] + marked
            law = np.zeros(task.vocabulary)
            law[task.first_answer + (key[i] + np.arange(answers)) % answers] = task.problem.answer_table()[
                i, r
            ]
            np.testing.assert_allclose(shown.answers[i, g], law, atol=1e-15)
    np.testing.assert_allclose(shown.weight.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(shown.where, shown.tokens != PAD)
    assert len({tuple(row) for row in shown.questions.prompt.tolist()}) == questions


@pytest.fixture(scope="module")
def task():
    return drawn_task(1)


def test_mixtures_and_success_rates_take_the_place_of_the_problems(task):
    shown = task.demonstrations(mixture=[0.5, 0.2, 0.3], success=[0.9, 0.1, 1.0])
    weight = np.asarray(shown.weight).reshape(5, 2, 3)
    np.testing.assert_allclose(weight.sum(axis=1), np.tile([0.5, 0.2, 0.3], (5, 1)), rtol=1e-12)
    for i in range(5):
        law = np.asarray(shown.answers[i, :3, task.first_answer :])
        law = np.roll(law, -int(task.key[i]), axis=1)
        np.testing.assert_allclose(law[:, 0], [0.9, 0.1, 1.0], rtol=1e-12)
        wrong = task.problem.answer_table()[i, :, 1:]
        expected = (1 - law[:, :1]) * wrong / wrong.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(law[:, 1:], expected, rtol=1e-12)
    some = task.demonstrations(KEY, 2)
    rows = {int(i): row for i, row in enumerate(task.demonstrations().weight)}
    for i, row in zip(some.questions.truth.tolist(), some.weight, strict=True):
        np.testing.assert_array_equal(row, rows[i])


def test_questions_are_drawn_in_rounds(task):
    assert sorted(task.draw(KEY, 5).truth.tolist()) == list(range(5))
    assert len(set(task.draw(KEY, 3).truth.tolist())) == 3
    many = np.bincount(np.asarray(task.draw(KEY, 12).truth), minlength=5)
    assert many.sum() == 12
    assert set(many.tolist()) == {2, 3}
    assert (task.draw(KEY, 12).truth != task.draw(jax.random.key(1), 12).truth).any()
    kept = tf.controlled(task.problem, held_out=2)
    assert set(kept.draw(KEY, 30).truth.tolist()) == set(kept.draw(KEY, 3).truth.tolist()) == {0, 1, 2}
    assert kept.demonstrations().questions.number == 5
    asked = task.questions([3, 1])
    np.testing.assert_array_equal(asked.prompt - 3, [[1, 0], [0, 1]])  # 3 and 1 with digits to the base 3


def test_the_verifier_knows_the_corpus(task):
    cases = list(itertools.product(range(3), range(4), (True, False)))
    tokens = np.array([[written(task, *case) for case in cases]] * 5)
    verdict = task.verify(KEY, task.questions(jnp.arange(5)), as_rollouts(tokens))
    pattern, answer, marked = (np.broadcast_to(x, (5, 24)) for x in zip(*cases, strict=True))
    np.testing.assert_array_equal(verdict.pattern, pattern)
    np.testing.assert_array_equal(verdict.answer, answer)
    np.testing.assert_array_equal(verdict.formatted, marked)
    np.testing.assert_array_equal(verdict.right, answer == np.asarray(task.key)[:, None])
    assert verdict.steps.all()


def test_the_verifier_knows_what_is_none_of_the_corpus(task):
    good = written(task, 0, int(task.key[0]))  # pattern, step, step, marker, answer, end
    place = {"swapped": 2, "foreign": 1, "no end": 5, "no answer": 4, "twice": 3}
    wrong = {
        "swapped": good[1],
        "foreign": task.first_step + 2,
        "no end": PAD,
        "no answer": task.MARKER,
        "twice": task.first_answer,
    }
    bad = [[*good[: place[name]], wrong[name], *good[place[name] + 1 :]] for name in wrong]
    bad += [[*good[:1], *good[2:], PAD], [PAD, *good[:-1]], [task.first_pattern + 1, *good[1:]]]
    short = written(task, 1, int(task.key[0]))  # pattern, marker, answer, end
    bad += [[*short[:4], task.end, PAD], [*short[:3], PAD, PAD, task.end], [PAD] * 6]
    verdict = task.verify(KEY, task.questions([0]), as_rollouts([[good, short, *bad]]))
    for field, none in (
        ("right", False),
        ("formatted", False),
        ("steps", False),
        ("pattern", -1),
        ("answer", -1),
    ):
        values = getattr(verdict, field)[0].tolist()
        assert none not in values[:2]
        assert values[2:] == [none] * len(bad), field


def test_coins_decide_at_the_success_rates():
    task, number = drawn_task(2, coin=True), 20_000
    rows = [written(task, r, a) for r, a in ((0, 0), (1, 3), (2, 1))] + [[PAD] * task.length]
    tokens = jnp.broadcast_to(jnp.asarray(rows)[None], (2, 4, task.length))
    judge = jax.jit(lambda key: task.verify(key, task.questions([4, 2]), as_rollouts(tokens)).right)
    right = np.asarray(jax.vmap(judge)(jax.random.split(KEY, number)))
    chance = np.asarray(task.problem.success)[[4, 2]]
    found = right.mean(axis=0)
    assert (found[:, 3] == 0).all()
    assert (np.abs(found[:, :3] - chance) < LIMIT * np.sqrt(chance * (1 - chance) / number)).all()


def test_kinds_of_tokens(task):
    kinds = {task.MARKER: "marker", task.end: "end"}
    kinds |= {task.first_pattern + r: "pattern" for r in range(3)}
    kinds |= {task.first_step + s: "step" for s in range(3)}
    kinds |= {task.first_answer + a: "answer" for a in range(4)}
    names = [*tf.task.KINDS, None]
    found = [names[k] for k in task.kinds(jnp.arange(task.vocabulary))]
    assert found == [kinds.get(token) for token in range(task.vocabulary)]
    assert len(kinds) == task.vocabulary - 1 - task.base


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("answer_key", {"answer_key": [0, 1]}),
        ("answer_key", {"answer_key": [0, 1, 2]}),
        ("answer_key", {"answer_key": [-1, 1, 0]}),
        ("steps", {"steps": (1,)}),
        ("steps", {"steps": (1, -1)}),
        (r"announced\[1\]", {"announced": [0.5, 1.5]}),
        ("digits", {"digits": 0}),
        ("held_out", {"held_out": 3}),
        ("held_out", {"held_out": -1}),
    ],
)
def test_controlled_names_what_is_wrong(name, options):
    problem = Problem.from_probs(ref=[0.5, 0.5], success=[0.9, 0.1])
    with pytest.raises(ValueError, match=f"^{name}: "):
        tf.controlled(stack([problem] * 3), **options)
    with pytest.raises(ValueError, match=r"^problem: .*stacked"):
        tf.controlled(problem)


# The tabular limit

WORLD = stack(
    [
        Problem.from_probs(ref=[0.2, 0.5, 0.3], success=[0.9, 0.6, 0.1]),
        Problem.from_probs(ref=[0.1, 0.3, 0.6], success=[0.3, 0.8, 0.5]),
    ]
)
COIN = tf.controlled(WORLD, coin=True, steps=(0, 1, 2))
ROWS = tf.Lookup(COIN.vocabulary, param_dtype=jnp.float64)


def _table():
    """A lookup table that chooses patterns by π_ref and then writes as the corpus does, any answer."""
    table = np.full((COIN.vocabulary, COIN.vocabulary), -1e3)
    for row in np.asarray(COIN.demonstrations().tokens[:, :3]).reshape(-1, COIN.length):
        for token, following in itertools.pairwise(row):
            table[token, following] = 0
    table[COIN.MARKER, COIN.first_answer :] = 0
    last = np.asarray(COIN.draw(KEY, 2).prompt)[:, -1]
    assert len(set(last)) == 2
    table[last, COIN.first_pattern : COIN.first_step] = WORLD.log_ref
    return {"table": jnp.asarray(table)}, last


LISTED, LAST = _table()


def chosen(params):
    """log π(r|q) of a lookup table, `[..., questions, patterns]`."""
    return jax.nn.log_softmax(params["table"][..., LAST, COIN.first_pattern : COIN.first_step])


@pytest.mark.parametrize(
    ("algorithm", "group", "regularizers"),
    [
        (rules.reinforce(0.3), 1, []),
        (rules.grpo(2), 2, [reverse_kl(0.3)]),
        (rules.grpo(3), 3, [k3_loss(0.2), entropy_bonus(0.1)]),
    ],
    ids=["REINFORCE", "GRPO 2", "GRPO 3"],
)
def test_a_lookup_table_trains_as_the_tabular_model(algorithm, group, regularizers):
    """Every group of patterns and verdicts, weighted by its chance, against the exact mean of tabular training."""
    steps, rate, questions = 25, 0.8, COIN.draw(KEY, 2)
    index = np.array(list(itertools.product(range(6), repeat=group)))
    pattern, right = index // 2, (index % 2).astype(float)
    groups = len(index)
    tokens = COIN.demonstrations().tokens[:, :3]
    batch = tokens[:, pattern].reshape(2 * groups, group, COIN.length)
    learns = jnp.broadcast_to(jnp.arange(COIN.length) == 0, batch.shape)
    weights = jax.vmap(algorithm.weights)(jnp.asarray(right))
    verdict = jnp.where(right[None] == 1, WORLD.success[:, pattern], 1 - WORLD.success[:, pattern])
    arrange = lambda z: z[:, pattern].reshape(2 * groups, group, *z.shape[2:])  # noqa: E731
    anchor = arrange(rl.log_probs(ROWS, LISTED, questions, tokens))

    def step(params, _):
        chance = jnp.prod(jnp.exp(chosen(params))[:, pattern] * verdict, axis=-1, keepdims=True)
        weighted = (chance * weights[None] * groups).reshape(2 * groups, group)

        def ascended(params):
            log_probs = arrange(rl.log_probs(ROWS, params, questions, tokens))
            options = {"anchor": anchor, "regularizers": regularizers}
            return rl.objective(log_probs, batch, learns, weighted, **options)

        slope = jax.grad(ascended)(params)
        params = jax.tree.map(lambda x, g: x + 2 * rate * g, params, slope)  # two questions share a step
        return params, chosen(params)

    found = jax.jit(lambda params: jax.lax.scan(step, params, length=steps)[1])(LISTED)
    options = {"learning_rate": rate, "regularizers": regularizers, "mode": "mean"}
    sized = algorithm.with_group_size(group)
    expected = training.train(KEY, WORLD, steps=steps, algorithm=sized, **options)
    np.testing.assert_allclose(found, jnp.moveaxis(expected.log_policy, 0, 1)[1:], atol=1e-12, rtol=0)
    assert jnp.abs(found[-1] - WORLD.log_ref).max() > 0.2


def lookup_run(key, task=COIN, **options):
    chosen_options = {
        "steps": 20,
        "questions": 2,
        "learning_rate": 1.0,
        "optimizer": optax.sgd,
        "probe": chosen,
    }
    return tf.train(key, ROWS, LISTED, task, **(chosen_options | {"decisions": "pattern"} | options))


CROWD = jax.random.split(jax.random.key(5), 400)
crowd = jax.jit(jax.vmap(lambda key, task: lookup_run(key, task, algorithm=rules.grpo(4)), in_axes=(0, None)))


def test_a_lookup_table_trains_as_sampled_tabular_training():
    runs = crowd(CROWD, COIN)

    @jax.jit
    @jax.vmap
    def tabular(key):
        options = {"algorithm": rules.grpo(4), "learning_rate": 0.5, "record_every": 20}
        return training.train(key, WORLD, steps=20, **options).log_policy[:, -1]

    ours, theirs = np.exp(runs.seen[:, -1]), np.exp(tabular(CROWD))
    spread = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / len(CROWD))
    z = (ours.mean(axis=0) - theirs.mean(axis=0)) / spread
    assert (np.abs(z) < LIMIT).all(), z
    assert np.abs(ours.mean(axis=0) - WORLD.ref).max() > 0.1
    assert (spread < 0.025).all()
    assert (runs.stats["formatted"] == 1).all()


# Reinforcement learning


def test_silent_groups_are_left_out_by_dynamic_sampling():
    hopeless = Problem.from_probs(ref=[0.2, 0.5, 0.3], success=[0, 0, 0])
    problem = stack([hopeless, jax.tree.map(lambda x: x[1], WORLD)])
    task = tf.controlled(problem, coin=True, steps=(0, 1, 2))
    dapo = jax.jit(
        jax.vmap(
            lambda key: lookup_run(
                key, task, algorithm=rules.grpo(4, resample_silent=True), steps=2, record_every=1
            )
        )
    )(CROWD[:40])
    grpo = jax.tree.map(lambda x: x[:40], crowd(CROWD, task))
    mixed = np.flatnonzero(grpo.stats["silent"][:, 0] == 0.5)
    assert len(mixed) > 20
    shifts = []
    for run in (grpo, dapo):
        change = np.asarray(run.seen[mixed, 1] - run.seen[mixed, 0])
        shifts.append(change - change.mean(axis=-1, keepdims=True))  # of scores, which have a free constant
    np.testing.assert_allclose(shifts[1][:, 1], 2 * shifts[0][:, 1], atol=1e-12)
    np.testing.assert_allclose(shifts[1][:, 0], 0, atol=1e-12)
    assert np.abs(shifts[0][:, 1]).max() > 0.05


def test_records_do_not_change_the_run():
    often = jax.tree.map(lambda x: x[0], crowd(CROWD, COIN))
    seldom = jax.jit(lambda key: lookup_run(key, algorithm=rules.grpo(4), record_every=5))(CROWD[0])
    np.testing.assert_array_equal(seldom.step, range(0, 21, 5))
    np.testing.assert_array_equal(often.step, range(21))
    np.testing.assert_allclose(often.seen[0], WORLD.log_ref, atol=1e-12)
    np.testing.assert_allclose(often.seen[-1], chosen(often.params), rtol=1e-12)
    np.testing.assert_allclose(seldom.seen, often.seen[::5], rtol=1e-9)
    for name, value in seldom.stats.items():
        np.testing.assert_allclose(value, often.stats[name].reshape(4, 5).mean(axis=1), rtol=1e-9, atol=1e-12)
    assert often.status == Status.OK
    assert ((often.stats["length"] >= 4) & (often.stats["length"] <= 6)).all()


def assert_same(one, other):
    assert one.status == other.status
    if one.status == Status.OK:
        chex.assert_trees_all_close(
            (one.params, one.stats), (other.params, other.stats), rtol=1e-9, atol=1e-12
        )


def test_runs_side_by_side_are_the_runs_alone():
    """Of one program with everything in it; the learning rate is an array, and the last one absurd."""
    options = {"algorithm": rules.grpo(3), "steps": 2}
    options |= {"off_policy": OffPolicy(epochs=2, clip=(0.1, 0.2), temperature=1.3)}
    options |= {"reward": rewards.self_certainty(), "normalize": "tokens", "decisions": "all"}
    options |= {"regularizers": [reverse_kl(0.1)]}
    keys, rates = CROWD[:3], jnp.array([0.1, 1.0, jnp.inf])

    def run(key, rate):
        return lookup_run(key, learning_rate=rate, **options)

    once = jax.jit(chex.assert_max_traces(run, 1))
    together = jax.jit(jax.vmap(run))(keys, rates)
    for i in range(3):
        assert_same(once(keys[i], rates[i]), jax.tree.map(lambda x, i=i: x[i], together))
    assert together.status.tolist() == [Status.OK, Status.OK, Status.DIVERGED]
    assert (jnp.abs(together.seen[:2, -1] - together.seen[:2, 0]).max(axis=(1, 2)) > 1e-3).all()


def test_networks_side_by_side_are_the_networks_alone():
    net = decoder(COIN.vocabulary)
    options = {
        "algorithm": rules.grpo(3),
        "steps": 1,
        "questions": 2,
        "reward": rewards.trajectory_log_prob(),
    }

    def run(key):
        return tf.train(key, net, init(key, net), COIN, learning_rate=0.1, optimizer=optax.sgd, **options)

    together, alone = jax.jit(jax.vmap(run))(CROWD[:2]), jax.jit(run)(CROWD[1])
    assert_same(alone, jax.tree.map(lambda x: x[1], together))
    moved = jax.tree.map(lambda x, y: jnp.abs(x - y).max(), alone.params, init(CROWD[1], net))
    assert max(jax.tree.leaves(moved)) > 1e-3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("steps", {"steps": 0}),
        ("questions", {"questions": 0}),
        ("record_every", {"record_every": 7}),
        ("record_every", {"record_every": 0}),
        ("normalize", {"normalize": "mean"}),
        ("penalty", {"penalty": "token"}),
        ("decisions", {"decisions": "answer"}),
        ("learning_rate", {"learning_rate": -1.0}),
        ("learning_rate", {"learning_rate": math.nan}),
        ("group_size", {"algorithm": rules.reinforce()}),
        ("group_size", {"group_size": 3}),
        ("group_size: 0", {"group_size": 0}),
        ("group_size: 0", {"algorithm": rules.reinforce(), "group_size": 0}),
        ("group_size", {"algorithm": rules.reinforce(), "group_size": -1}),
    ],
)
def test_train_names_what_is_wrong(name, options):
    with pytest.raises(ValueError, match=f"^{name}[:;]"):
        lookup_run(KEY, **({"algorithm": rules.grpo(4)} | options))


# Evolution strategies


def test_evolution_climbs_along_the_gradient():
    """For a reward that is linear over σ the mean update is the unit gradient, times E[std] of M normal numbers."""
    members, keys = 6, CROWD

    def function(params, key, rollouts, verdict):
        return params["slope"] * rollouts.entropy[..., 0]

    def evolve(key, slope, block):
        reward = rewards.SequenceReward("entropy", function, {"slope": slope})
        options = {"questions": 2, "learning_rate": 0.5, "noise": 1e-6, "population": members}
        run = tf.evolve(key, ROWS, LISTED, COIN, steps=1, reward=reward, block=block, **options)
        return run.params["table"] - LISTED["table"], run.stats["silent"]

    evolves = {block: jax.jit(jax.vmap(lambda k, s, b=block: evolve(k, s, b), (0, None))) for block in (3, 6)}
    found, silent = evolves[3](keys, 1.0)
    assert not silent.any()

    def entropy(table):
        log_probs = jax.nn.log_softmax(table[LAST])
        return -jnp.mean(jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1))

    slope = np.asarray(jax.grad(entropy)(LISTED["table"])).ravel()
    unit, steps = slope / np.linalg.norm(slope), np.asarray(found).reshape(len(keys), -1) / 0.5
    others = np.random.default_rng(0).normal(size=(unit.size, 5))
    others = np.linalg.qr(np.concatenate([unit[:, None], others], axis=1))[0][:, 1:]
    expected = math.sqrt(2 / members) * math.gamma(members / 2) / math.gamma((members - 1) / 2)
    for way, mean in ((unit, expected), *((one, 0.0) for one in others.T)):
        along = steps @ way
        assert abs(along.mean() - mean) < LIMIT * along.std() / math.sqrt(len(keys))
    np.testing.assert_allclose(evolves[6](keys, 1.0)[0], found, atol=1e-6)  # blocks change rounding alone
    still, silent = evolves[3](keys, 0.0)  # all earn the same
    assert jnp.abs(still).max() == 0
    assert (silent == 1).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("questions", 0),
        ("population", 1),
        ("noise", 0.0),
        ("learning_rate", -1.0),
        ("record_every", 2),
    ],
)
def test_evolve_names_what_is_wrong(name, value):
    options = {"steps": 3, "questions": 2, "learning_rate": 0.5, name: value}
    with pytest.raises(ValueError, match=f"^{name}: "):
        tf.evolve(KEY, ROWS, LISTED, COIN, **options)


# Supervised learning


def test_cosine_rises_and_falls():
    rate = learning.cosine(2.0, 100, 10)
    steps = np.arange(101)
    rise = 2 / 11 + (2 - 2 / 11) * steps / 10
    expected = np.where(steps < 10, rise, 1 + np.cos(np.pi * (steps - 10) / 90))
    np.testing.assert_allclose([rate(int(step)) for step in steps], expected, atol=1e-6)
    np.testing.assert_allclose(learning.cosine(2.0, 100)(5), 2.0, atol=1e-6)
    with pytest.raises(ValueError, match=r"^peak: 0"):
        learning.cosine(0.0, 10)


def test_cross_entropy_is_that_of_the_corpus(task):
    """Over all sequences of the corpus, one by one; what follows the answer is read after the right one."""
    net = decoder(task.vocabulary)
    params, shown = init(KEY, net), task.demonstrations()
    cases = list(itertools.product(range(3), range(4), (True, False)))
    tokens = jnp.asarray([[written(task, *case) for case in cases]] * 5)
    log_probs = np.asarray(pick(forced_log_probs(net, params, shown.questions, tokens), tokens))
    total = 0.0
    for i, (g, (r, answer, marked)) in itertools.product(range(5), enumerate(cases)):
        end = 2 + PACES[r] + marked
        right = cases.index((r, int(task.key[i]), marked))
        own = log_probs[i, g, :end].sum() + log_probs[i, right, end]
        law = task.problem.answer_table()[i, r, (answer - int(task.key[i])) % 4]
        share = task.announced[r] if marked else 1 - task.announced[r]
        total -= float(task.problem.ref[i, r] * share * law) * own / 5
    found = jax.jit(learning.cross_entropy, static_argnums=0)(net, params, shown)
    np.testing.assert_allclose(found, total, rtol=1e-12)


def lookup_learn(**options):
    model = tf.Lookup(COIN.vocabulary)
    chosen_options = {"steps": 6, "questions": 2, "every": 4, "learning_rate": 0.3} | options
    return tf.learn(jax.random.split(KEY, 2), model, COIN.demonstrations, **chosen_options)


class Killed(Exception):
    pass


def test_an_interrupted_run_is_the_run(tmp_path):
    whole, file = lookup_learn(), tmp_path / "run.msgpack"

    def kill(done):
        raise Killed(done)

    with pytest.raises(Killed, match="4"):
        lookup_learn(checkpoint=file, progress=kill)
    told = []
    resumed = lookup_learn(checkpoint=file, progress=told.append)
    assert told == [6]
    chex.assert_trees_all_equal((resumed.params, resumed.loss), (whole.params, whole.loss))
    assert whole.loss.shape == (2, 6)
    assert (whole.loss[:, -1] < whole.loss[:, 0]).all()
    again = lookup_learn(checkpoint=file, progress=told.append)
    assert told == [6]
    chex.assert_trees_all_equal((again.params, again.loss), (whole.params, whole.loss))
    with pytest.raises(
        ValueError, match=r"^checkpoint: 'run.msgpack' is of another run; differs in learning_rate$"
    ):
        lookup_learn(checkpoint=file, learning_rate=0.2)
    with pytest.raises(ValueError, match=r"differs in .*params"):
        lookup_learn(checkpoint=file, params=whole.params)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"^checkpoint: 'run.msgpack' cannot be read .*; remove it"):
        lookup_learn(checkpoint=file)


def test_kept_runs_are_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("QRA_CACHE", str(tmp_path / "cache"))
    told = []
    first = lookup_learn(keep=True, steps=2, progress=told.append)
    second = lookup_learn(keep=True, steps=2, progress=told.append)
    assert told == [2]
    chex.assert_trees_all_equal((first.params, first.loss), (second.params, second.loss))
    lookup_learn(keep=True, steps=1, progress=told.append)
    assert told == [2, 1]
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_fine_tuning_moves_the_choice_to_its_mixture():
    mixture = jnp.array([0.6, 0.1, 0.3])
    params = jax.tree.map(lambda x: x[None], LISTED)
    learnt = tf.learn(
        KEY[None],
        ROWS,
        lambda key, number: COIN.demonstrations(key, number, mixture=mixture),
        steps=200,
        questions=2,
        learning_rate=0.1,
        params=params,
        optimizer=optax.adam,
    )
    found = np.exp(chosen(learnt.params))[0]
    np.testing.assert_allclose(found, np.tile(mixture, (2, 1)), atol=0.01)


def test_learn_names_what_is_wrong():
    for name in ("steps", "questions", "every"):
        with pytest.raises(ValueError, match=f"^{name}: 0"):
            lookup_learn(**{name: 0})


# Read-outs

BASE = tf.controlled(
    stack([random(key, 3) for key in jax.random.split(jax.random.key(4), 4)]), announced=[1.0, 0.7, 0.4]
)
SMALL = tf.Decoder(BASE.vocabulary, width=16, depth=1)


@pytest.fixture(scope="module")
def base():
    """A pre-trained network of one block, on four questions."""
    learnt = tf.learn(KEY[None], SMALL, BASE.demonstrations, steps=800, questions=4, learning_rate=1e-2)
    return jax.tree.map(lambda x: x[0], learnt.params)


def test_pre_training_is_calibrated(base):
    """To one per cent in the choice and two in success, from 800 steps."""
    seen = read_out(SMALL, base, BASE.demonstrations())
    off = probe.calibration(seen, BASE.problem.ref, BASE.problem.success)
    assert off["policy_max"] < 0.01
    assert off["success_max"] < 0.02
    assert off["leak_max"] < 0.01
    assert off["steps_min"] > 0.99
    np.testing.assert_allclose(seen.announced, np.tile([1.0, 0.7, 0.4], (4, 1)), atol=0.02)
    assert off["policy_mean"] <= off["policy_max"]
    np.testing.assert_allclose(off["policy_max"], jnp.abs(seen.policy - BASE.problem.ref).max(), rtol=1e-6)


def test_accuracy_is_what_sampling_measures(base):
    group, asked = 8000, BASE.questions(jnp.arange(4))

    @jax.jit
    def measure(key):
        options = {"group": group, "length": BASE.length, "end": BASE.end}
        verdict = BASE.verify(key, asked, tf.sample(key, SMALL, base, asked, **options))
        return verdict.right & verdict.formatted

    exact = np.asarray(read_out(SMALL, base, BASE.demonstrations()).accuracy)
    measured = np.asarray(measure(KEY)).mean(axis=1)
    assert (np.abs(measured - exact) < LIMIT * np.sqrt(exact * (1 - exact) / group)).all()


@pytest.fixture(scope="module")
def untrained():
    net = decoder(BASE.vocabulary)
    return net, init(jax.random.key(8), net)


def test_read_outs_are_those_of_reading_token_by_token(untrained):
    net, params = untrained
    shown = BASE.demonstrations()
    tokens, where = np.asarray(shown.tokens), np.asarray(shown.where)
    rows, length = [], BASE.length
    for i, g, t in np.ndindex(tokens.shape):
        row = [*np.asarray(shown.questions.prompt)[i], *tokens[i, g, :t]]
        rows.append([PAD] * (length + 1 - t) + row)
    prompts = jnp.asarray(rows)
    output, _ = read(net, params, prompts[:, 1:], prompts[:, 1:] != PAD)
    law = np.asarray(jax.nn.softmax(output.logits[:, 0, -1])).reshape(*tokens.shape, -1)
    seen = read_out(net, params, shown)
    first = BASE.first_pattern + np.arange(3)
    for i in range(4):
        start = law[i, 0, 0]
        np.testing.assert_allclose(seen.policy[i], start[first] / start[first].sum(), rtol=1e-9)
        np.testing.assert_allclose(seen.leak[i], 1 - start[first].sum(), rtol=1e-9)
        for r, steps in enumerate(BASE.steps):
            own = [law[i, r, t, tokens[i, r, t]] for t in range(steps + 4)]  # … steps, marker, answer, end
            np.testing.assert_allclose(seen.steps[i, r], np.prod(own[1 : steps + 1]), rtol=1e-9)
            np.testing.assert_allclose(seen.success[i, r], own[steps + 2], rtol=1e-9)
            np.testing.assert_allclose(seen.whole[i, r], np.prod(own[1:]), rtol=1e-9)
            plain = law[i, 3 + r, steps + 1]
            np.testing.assert_allclose(seen.plain[i, r], plain[tokens[i, 3 + r, steps + 1]], rtol=1e-9)
            begun = plain[BASE.first_answer :].sum()
            share = plain[BASE.MARKER] / (plain[BASE.MARKER] + begun)
            np.testing.assert_allclose(seen.announced[i, r], share, rtol=1e-9)
    entropy = np.where(where, -(law * np.log(law)).sum(axis=-1), 0)
    np.testing.assert_allclose(seen.entropy, entropy, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(seen.selected, (seen.policy * seen.success).sum(axis=1), rtol=1e-12)
    short = jax.tree.map(lambda x: x[:, :5] if x.ndim > 1 and x.shape[1] == 6 else x, shown)
    with pytest.raises(ValueError, match=r"^shown: 5 sequences"):
        tf.read_out(net, params, short)


def test_small_divergences_are_no_rounding():
    logits, change = jax.random.normal(KEY, (2, 64, 30))
    for size in (1e-5, 1e-3, 3.0):
        new, old = jax.nn.log_softmax(logits + size * change), jax.nn.log_softmax(logits)
        exact = jnp.sum(jnp.exp(new) * (new - old), axis=-1)
        found = probe._divergence(new.astype(jnp.float32), old.astype(jnp.float32))
        assert found.min() >= 0
        np.testing.assert_allclose(found.mean(), exact.mean(), rtol=0.02)


def test_changes_place_by_place(untrained):
    net, params = untrained
    later = jax.tree.map(lambda x, e: x + 0.3 * e, params, init(jax.random.key(9), net))
    asked, tokens = BASE.questions([1, 3]), jax.random.randint(KEY, (2, 3, 5), 0, BASE.vocabulary)
    compare = jax.jit(lambda now: probe.change(net, params, now, asked, tokens))
    same, other = compare(params), compare(later)
    assert not same.reranked.any()
    assert not same.top.any()
    np.testing.assert_allclose(same.kl, 0, atol=1e-14)
    np.testing.assert_allclose(same.similarity, 1, rtol=1e-12)
    (old, before), (new, now) = (score(net, p, asked.prompt, asked.real, tokens) for p in (params, later))
    old, new, before, now = (np.asarray(x) for x in (old, new, before, now))
    for place in np.ndindex(tokens.shape):
        token = int(tokens[place])
        ranks = [np.argsort(-z[place]).tolist().index(token) for z in (old, new)]
        assert other.reranked[place] == (ranks[0] != ranks[1])
        assert other.top[place] == (old[place].argmax() != new[place].argmax())
        kl = stats.entropy(np.exp(new[place]), np.exp(old[place]))
        np.testing.assert_allclose(other.kl[place], kl, rtol=1e-9)
        cosine = before[place] @ now[place] / np.linalg.norm(before[place]) / np.linalg.norm(now[place])
        np.testing.assert_allclose(other.similarity[place], cosine, rtol=1e-9)
    assert 0 < other.reranked.mean() < 1
    assert 0 < other.top.mean() < 1


def test_features_of_questions_are_compared_pair_by_pair(untrained):
    net, params = untrained
    asked = BASE.questions(jnp.arange(4))
    output, _ = read(net, params, asked.prompt)
    features = np.asarray(output.features[:, 0, -1])
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    pairs = [a @ b for a, b in itertools.combinations(unit, 2)]
    np.testing.assert_allclose(probe.feature_similarity(net, params, asked), np.mean(pairs), rtol=1e-9)
    assert probe.feature_similarity(net, params, BASE.questions([1, 1])) == pytest.approx(1)


def test_pass_at_k_counts_subsets():
    right = np.arange(6) < np.arange(7)[:, None]
    for k in range(1, 7):
        expected = [np.mean([any(s) for s in itertools.combinations(row, k)]) for row in right]
        np.testing.assert_allclose(metrics.pass_at_k_estimate(jnp.asarray(right), k), expected, atol=1e-12)
    for k in (0, 7):
        with pytest.raises(ValueError, match=f"^k: {k}; must be"):
            metrics.pass_at_k_estimate(jnp.asarray(right), k)
