"""Pairs of rollouts: their law under each rule, DPO on them, and what is read of both sides."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qra_jax as qra
from qra_jax import flow, training, transformer as tf
from qra_jax.algorithm import preference
from qra_jax.problem import Problem
from qra_jax.reward import Reward
from qra_jax.studies.credit import _preference_networks as networks, _preference_paths as paths
from qra_jax.training.rollouts import GroupSampler
from qra_jax.transformer import preferences, rl
from tests.test_transformer_preferences import BASE, MODEL, TASK

KEY, BETA = jax.random.key(0), 0.7
REF = np.array([0.1, 0.4, 0.3, 0.2])
POLICY = np.array([0.3, 0.25, 0.05, 0.4])
SUCCESS = np.array([0.9, 0.4, 0.0, 0.6])
LENGTHS = np.array([2.0, 5.0, 7.0, 5.0])
WORLD = Problem.from_probs(ref=REF.tolist(), success=SUCCESS.tolist(), lengths=LENGTHS.tolist())
SHORT = Reward(
    "right and short",
    lambda params, problem, log_policy: problem.success - 0.1 * problem.lengths,
    False,
    True,
    spread=lambda params, problem, log_policy: (
        jnp.stack([1 - 0.1 * problem.lengths, -0.1 * problem.lengths], axis=-1),
        jnp.stack([problem.success, 1 - problem.success], axis=-1),
    ),
)
RULES = {"random": qra.verifiable(), "longest": qra.verifiable(), "extremes": SHORT}


def pairs_of(group, rule):
    """All pairs of a group of (pattern, right) that a rule leaves, none where there is no pair."""
    values = [right - 0.1 * LENGTHS[r] if rule == "extremes" else float(right) for r, right in group]
    if max(values) == min(values):
        return []
    chosen = [r for (r, _), value in zip(group, values, strict=True) if value == max(values)]
    rejected = [r for (r, _), value in zip(group, values, strict=True) if value == min(values)]
    if rule == "longest":
        chosen = [r for r in chosen if LENGTHS[r] == max(LENGTHS[chosen])]
    return list(itertools.product(chosen, rejected))


def enumerated(rule, source, group):
    """The law of pairs, over all groups of rollouts one by one."""
    law, kept = np.zeros((4, 4)), 0.0
    for drawn in itertools.product(itertools.product(range(4), (True, False)), repeat=group):
        chance = np.prod([source[r] * (SUCCESS[r] if right else 1 - SUCCESS[r]) for r, right in drawn])
        pairs = pairs_of(drawn, rule)
        kept += chance * bool(pairs)
        for chosen, rejected in pairs:
            law[chosen, rejected] += chance / len(pairs)
    return law if rule == "extremes" else law / kept


def pulled(law, log_ratio):
    """Drift of the logits: each pair by itself."""
    moved = np.zeros(4)
    for chosen, rejected in np.argwhere(law > 0):
        pull = law[chosen, rejected] * BETA / (1 + np.exp(BETA * (log_ratio[chosen] - log_ratio[rejected])))
        moved[chosen] += pull
        moved[rejected] -= pull
    return moved


@pytest.mark.parametrize("group", [2, 3, 4])
@pytest.mark.parametrize("pairs", preference.PAIRS)
@pytest.mark.parametrize("rule", preference.PAIRINGS)
def test_the_drift_is_that_of_all_groups(rule, pairs, group):
    algorithm = qra.dpo(BETA, pairs=pairs, pairing=rule, group_size=group)
    found = flow.drift(WORLD, jnp.log(POLICY), algorithm=algorithm, reward=RULES[rule])
    law = enumerated(rule, POLICY if pairs == "policy" else REF, group)
    np.testing.assert_allclose(found, pulled(law, np.log(POLICY / REF)), atol=1e-12)
    if group > 2 and rule != "random":
        plain = qra.dpo(BETA, pairs=pairs, group_size=group)
        assert np.abs(flow.drift(WORLD, jnp.log(POLICY), algorithm=plain) - found).max() > 1e-3


@pytest.mark.parametrize("rule", ["longest", "extremes"])
def test_a_traced_group_size_has_the_same_law(rule):
    algorithm = qra.dpo(BETA, pairing=rule, group_size=6)

    def drift(algorithm):
        return flow.drift(WORLD, jnp.log(POLICY), algorithm=algorithm, reward=RULES[rule])

    traced = jax.jit(lambda size: drift(algorithm.with_group_size(size)))(3)
    np.testing.assert_allclose(traced, drift(qra.dpo(BETA, pairing=rule, group_size=3)), atol=1e-14)


@pytest.mark.parametrize("rule", preference.PAIRINGS)
def test_offline_pairs_descend_their_loss(rule):
    law = enumerated(rule, REF, 3)

    def loss(logits):
        ratio = logits - np.log(np.exp(logits).sum()) - np.log(REF)
        return np.sum(law * np.log1p(np.exp(-BETA * (ratio[:, None] - ratio[None]))))

    logits, step = np.log(POLICY), 1e-5
    slopes = [(loss(logits + e) - loss(logits - e)) / (2 * step) for e in step * np.eye(4)]
    algorithm = qra.dpo(BETA, pairs="reference", pairing=rule, group_size=3)
    found = flow.drift(WORLD, jnp.asarray(logits), algorithm=algorithm, reward=RULES[rule])
    np.testing.assert_allclose(found, -np.array(slopes), atol=1e-9)


@pytest.mark.parametrize("rule", preference.PAIRINGS)
def test_a_sampled_group_weighs_its_pairs_alike(rule):
    """Of groups one by one, against a loop over their pairs."""
    random, group = np.random.default_rng(1), 5
    reward, patterns = RULES[rule], np.arange(4)
    values, chances = SHORT.outcomes(WORLD)
    sampler = GroupSampler(
        weighing="pairs",
        group=group,
        size=jnp.asarray(float(group)),
        seed=jnp.zeros(2, jnp.uint32),
        alive=jnp.ones(4, bool),
        part={},
        beta=jnp.asarray(BETA),
        lengths=jnp.asarray(LENGTHS) if rule == "longest" else None,
        constant_cells=(jnp.ravel(values), jnp.ravel(chances)) if rule == "extremes" else None,
    )
    log_ratio, silent = np.log(POLICY / REF), 0
    for _ in range(60):
        drawn = [(random.choice(4, p=POLICY), bool(random.random() < 0.5)) for _ in range(group)]
        right, wrong = (
            np.array([sum(one == (r, kind) for one in drawn) for r in patterns]) for kind in (True, False)
        )
        if rule == "extremes":
            counts = jnp.asarray(np.cumsum(np.stack([right, wrong], axis=1).ravel()), float), None
        else:
            number = np.cumsum([*right, *wrong])
            counts = jnp.asarray(number[:4], float), jnp.asarray(number[4:], float)
        shares = sampler.weigh(jnp.log(POLICY), counts, jnp.log(REF))
        law, pairs = np.zeros((4, 4)), pairs_of(drawn, rule)
        for pair in pairs:
            law[pair] += 1 / len(pairs)
        np.testing.assert_allclose(shares.up, pulled(law, log_ratio), atol=1e-12)
        assert bool(shares.silent) == (not pairs)
        silent += not pairs
    assert reward.binary == (rule != "extremes")
    assert silent > 0


def test_pairs_without_order_are_random():
    """Equal lengths, groups of two, and best with worst of right and wrong."""
    drift = lambda world, **options: flow.drift(  # noqa: E731
        world, jnp.log(POLICY), algorithm=qra.dpo(BETA, **options)
    )
    plain = Problem.from_probs(ref=REF.tolist(), success=SUCCESS.tolist())
    expected = drift(plain)
    for world in (plain, Problem.from_probs(ref=REF.tolist(), success=SUCCESS.tolist(), lengths=[3.0] * 4)):
        np.testing.assert_allclose(drift(world, pairing="longest", group_size=5), expected, atol=1e-14)
    np.testing.assert_allclose(drift(WORLD, pairing="longest", group_size=2), expected, atol=1e-14)
    rho = float(POLICY @ SUCCESS)
    mixed = 1 - rho**5 - (1 - rho) ** 5
    np.testing.assert_allclose(drift(plain, pairing="extremes", group_size=5), mixed * expected, atol=1e-14)


def test_the_first_step_is_the_policy_gradient_over_its_variance():
    rho = float(REF @ SUCCESS)
    for pairs in preference.PAIRS:
        found = flow.drift(WORLD, WORLD.log_ref, algorithm=qra.dpo(BETA, pairs=pairs))
        np.testing.assert_allclose(
            found, BETA / 2 * REF * (SUCCESS - rho) / (rho * (1 - rho)), rtol=1e-12, atol=1e-15
        )


def test_random_pairs_balance_at_odds_to_the_inverse_of_beta():
    success = np.array([0.9, 0.4, 0.2, 0.6])
    world = Problem.from_probs(ref=REF.tolist(), success=success.tolist())
    optimum = jax.nn.log_softmax(jnp.log(REF) + jnp.log(success / (1 - success)) / BETA)
    for pairs in preference.PAIRS:
        algorithm = qra.dpo(BETA, pairs=pairs)
        assert np.abs(flow.drift(world, optimum, algorithm=algorithm)).max() < 1e-14
        assert np.abs(flow.drift(world, world.log_ref, algorithm=algorithm)).max() > 1e-2


def test_sides_move_apart_at_first():
    """Per unit of β/2: the chosen side by (1 − ρ)|c − b|², the rejected one by −ρ|c − b|²; others by the rest."""
    law = preference.right_and_wrong(WORLD.ref, WORLD.success)
    apart = np.asarray(jnp.sum(law, axis=1) - jnp.sum(law, axis=0))
    rho, square = float(REF @ SUCCESS), np.sum(apart**2)
    moved = lambda s: jax.nn.log_softmax(WORLD.log_ref + s * jnp.asarray(apart))  # noqa: E731
    slope = jax.jacfwd(lambda s: preference.sides(law, moved(s)))(0.0)
    np.testing.assert_allclose(
        (slope.chosen, slope.rejected), ((1 - rho) * square, -rho * square), rtol=1e-12
    )
    pair = jnp.zeros((4, 4)).at[0, 1].set(1.0)
    seen = preference.sides(pair, jnp.log(jnp.stack([POLICY, REF])))
    assert seen.chosen.shape == (2,)
    seen = jax.tree.map(lambda leaf: leaf[0], seen)
    np.testing.assert_allclose(seen, np.log([0.3, 0.25, 0.45]), rtol=1e-14)


def test_a_longer_pattern_counts_its_odds_times_the_number_of_right_ones():
    for short, group in itertools.product((0.3, 0.8), (2, 5, 16)):
        tiny = 1e-9
        source, rates = jnp.array([1 - tiny, tiny]), jnp.array([short, 0.4])
        law = preference.right_and_wrong(source, rates, lengths=jnp.array([1.0, 2.0]), group=group)
        chosen = float(jnp.sum(law, axis=1)[1]) / tiny * short / 0.4
        assert chosen == pytest.approx(paths.factor(short, group), rel=1e-6)
    assert paths.factor(0.3, 2) == pytest.approx(1.0)


@pytest.mark.parametrize("features", [0, 5])
def test_single_pairs_are_where_gradient_descent_takes_them(features):
    """Any step size, on the loss itself; and the first slope is minus the score of centred features."""
    members, random = 3, np.random.default_rng(4)
    seen = paths.single_pairs(random, 0.8, members, features=features)
    random = np.random.default_rng(4)
    logits = 1.5 * random.standard_normal((members, 8))
    h = random.standard_normal((members, 8, max(features, 1))) / np.sqrt(max(features, 1))
    h[:, 1] = 0.8 * h[:, 0] + 0.6 * h[:, 1]
    h = h if features else np.tile(np.eye(8), (members, 1, 1))
    for i in range(members):
        start, phi = jnp.asarray(logits[i]), jnp.asarray(h[i])

        def scores(psi, start=start, phi=phi):
            return jax.nn.log_softmax(start + phi @ psi)

        def margin(psi, scores=scores):
            moved = scores(psi) - scores(0 * psi)
            return moved[0] - moved[1]

        def loss(psi, margin=margin):
            return -jax.nn.log_sigmoid(BETA * margin(psi))

        slope, psi = jax.jit(jax.grad(loss)), jnp.zeros(phi.shape[1])
        first = jax.jvp(scores, (psi,), (phi[0] - phi[1],))[1][0]
        np.testing.assert_allclose(first, -seen["centred"][i], rtol=1e-10)
        while margin(psi) < 1:
            last, psi = psi, psi - 0.05 * slope(psi)
        part = (1 - margin(last)) / (margin(psi) - margin(last))
        psi = last + part * (psi - last)
        moved = scores(psi) - scores(0 * psi)
        np.testing.assert_allclose(moved[:2], (seen["chosen"][i], seen["rejected"][i]), atol=1e-10)


def test_without_shared_features_a_pair_raises_its_chosen_answer_and_lowers_its_rejected_one():
    seen = paths.single_pairs(np.random.default_rng(0), 0.0, 500, features=0)
    assert (seen["chosen"] > 0).all()
    assert (seen["rejected"] < 0).all()
    shared = paths.single_pairs(np.random.default_rng(0), 0.95, 500, features=6)
    assert (shared["chosen"][shared["centred"] > 0] < 0).all()
    assert (shared["centred"] > 0).any()


# --- Networks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", preference.PAIRINGS)
def test_pairs_of_sequences_against_a_loop(rule):
    random = np.random.default_rng(2)
    rewards = jnp.asarray(random.integers(0, 2 if rule != "extremes" else 4, (40, 5)), float)
    length = jnp.asarray(random.integers(1, 4, (40, 5)))
    drawn = jax.vmap(lambda key: preferences.paired(key, rewards, length, rule)[0])(
        jax.random.split(KEY, 400)
    )
    _, known = preferences.paired(KEY, rewards, length, rule)
    for i, (earned, long) in enumerate(zip(np.asarray(rewards), np.asarray(length), strict=True)):
        chosen = {g for g in range(5) if earned[g] > 0}
        rejected = {g for g in range(5) if earned[g] <= 0}
        if rule == "extremes":
            chosen = {g for g in range(5) if earned[g] == max(earned)}
            rejected = {g for g in range(5) if earned[g] == min(earned)}
        assert bool(known[i]) == bool(chosen and rejected and not chosen & rejected)
        if not known[i]:
            continue
        if rule == "longest":
            chosen = {g for g in chosen if long[g] == max(long[list(chosen)])}
        for side, kept in enumerate((chosen, rejected)):
            times = np.bincount(np.asarray(drawn[:, i, side]), minlength=5)
            assert set(np.flatnonzero(times)) == kept
            assert (np.abs(times[list(kept)] - 400 / len(kept)) < 5 * np.sqrt(400 / len(kept))).all()


def test_likelihoods_and_scores_of_sequences_against_a_loop():
    asked, tokens, where = networks.known(TASK)
    found = preferences.log_likelihoods(MODEL, BASE, asked, tokens, where)
    pair, shown = tokens[:, jnp.array([0, 5])], where[:, jnp.array([0, 5])]
    score = preferences.similarity(MODEL, BASE, asked, pair, shown)
    every = jax.nn.log_softmax(tf.score(MODEL, BASE, asked.prompt, asked.real, tokens)[0])
    hidden = np.asarray(tf.score(MODEL, BASE, asked.prompt, asked.real, pair)[1])
    for n in range(2):
        for g in range(tokens.shape[1]):
            own = sum(float(every[n, g, t, tokens[n, g, t]]) for t in range(TASK.length) if where[n, g, t])
            assert found[n, g] == pytest.approx(own, rel=1e-10)
        plus, minus = (np.asarray(shown[n, g], float) @ hidden[n, g] for g in (0, 1))
        assert score[n] == pytest.approx(plus @ minus - plus @ plus, rel=1e-10)


def test_the_longest_right_sequence_by_its_rule_and_by_what_it_earns(compiled_plainly):
    """The study's one program for both kinds of pairs takes the very steps of the two rules."""
    options = {"beta": BETA, "steps": 3, "questions": 2, "learning_rate": 0.3, "optimizer": optax.sgd}

    def run(**more):
        return tf.prefer(KEY, MODEL, BASE, TASK, **options, **more).params

    ends = {}
    for rule in ("random", "longest"):
        own = run(pairing=rule)
        ends[rule] = run(pairing="extremes", reward=networks.preferred(rule == "longest"))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), own, ends[rule])
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), *ends.values())
    assert max(jax.tree.leaves(moved)) > 1e-4


def test_a_step_descends_the_loss_of_its_pairs(compiled_plainly):
    """One SGD step along the longest pairs, against central differences of the loss of the very pairs it drew."""
    rate, keys = 0.1, jax.random.split(jax.random.fold_in(KEY, 0), 5)
    run = tf.prefer(
        KEY,
        MODEL,
        BASE,
        TASK,
        beta=BETA,
        steps=1,
        questions=2,
        learning_rate=rate,
        pairing="longest",
        optimizer=optax.sgd,
    )
    asked = TASK.draw(keys[0], 2)
    rollouts = tf.sample(keys[1], MODEL, BASE, asked, group=8, length=TASK.length, end=TASK.end)
    verdict = TASK.verify(keys[2], asked, rollouts)
    rewards = tf.reward.verifiable()(keys[3], rollouts, verdict)
    pair, known = preferences.paired(keys[4], rewards, rollouts.length, "longest")

    @jax.jit
    def margins(params):
        every = rl.log_probs(MODEL, params, asked, rollouts.tokens)
        own = jnp.take_along_axis(every, rollouts.tokens[..., None], axis=-1)[..., 0]
        own = jnp.sum(jnp.where(rollouts.where, own, 0.0), axis=-1)
        return jnp.stack([own[n, pair[n, 0]] - own[n, pair[n, 1]] for n in range(2)])

    first = margins(BASE)

    def loss(params):
        off = np.log1p(np.exp(-BETA * np.asarray(margins(params) - first)))
        return float(off @ np.asarray(known)) / 2

    way = jax.tree.map(lambda new, old: (new - old) / rate, run.params, BASE)
    size = sum(float(jnp.sum(x**2)) for x in jax.tree.leaves(way))
    ahead, behind = (loss(jax.tree.map(lambda x, d, s=s: x + s * d, BASE, way)) for s in (1e-4, -1e-4))
    assert bool(known.any())
    assert size > 0
    assert (ahead - behind) / 2e-4 == pytest.approx(-size, rel=1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: qra.dpo(0.1, pairing="best"), "pairing: 'best'; must be one of 'random', 'longest', 'extremes'"),
        (lambda: tf.prefer(KEY, MODEL, {}, TASK, beta=1.0, steps=1, questions=1, learning_rate=0.1, pairing="x"),
         "pairing: 'x'; must be one of"),
        (lambda: flow.drift(
            WORLD, WORLD.log_ref, algorithm=qra.dpo(0.1, pairing="longest").with_group_size(None)
        ), "group_size: None; DPO"),
        (lambda: flow.drift(WORLD, WORLD.log_ref, algorithm=qra.dpo(0.1, pairing="longest"), reward=SHORT),
         "must be binary"),
    ],
)  # fmt: skip
def test_what_pairs_cannot_be_is_refused_by_name(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("pairs", ["policy", "reference"])
def test_one_sampled_step_averages_to_the_drift(rule, pairs):
    algorithm, runs = qra.dpo(BETA, pairs=pairs, pairing=rule, group_size=4), 4000
    given = {"algorithm": algorithm, "reward": RULES[rule]}
    drift = np.asarray(flow.drift(WORLD, jnp.log(POLICY), **given))
    given |= {"steps": 1, "learning_rate": 1.0, "log_policy0": jnp.log(POLICY)}
    path = jax.vmap(lambda key: training.train(key, WORLD, **given).log_policy)(jax.random.split(KEY, runs))
    moved = np.asarray(path[:, 1] - path[:, 0])
    moved = moved - moved.mean(axis=-1, keepdims=True)
    error = moved.std(axis=0) / np.sqrt(runs)
    assert np.all(np.abs(moved.mean(axis=0) - drift) <= 4.5 * error + 1e-12)
