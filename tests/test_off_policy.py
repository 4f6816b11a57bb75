"""Off-policy training: every surrogate is the gradient of its published loss, and its samples have that mean."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import qra_jax as qra
from qra_jax import flow, training
from qra_jax.off_policy import CORRECTIONS, SURROGATES, OffPolicy

PROBLEM = qra.Problem.from_probs(ref=[0.2, 0.3, 0.5], success=[0.8, 0.4, 0.1])
POLICY = jnp.array([0.5, 0.35, 0.15])
BEHAVIOR = jnp.array([0.2, 0.4, 0.4])
"""Ratios π/μ of 2.5, .875 and .375: beyond a clip on both sides, and within it."""
LOW, HIGH, DUAL, GATE, CAP, AGE = 0.2, 0.28, 1.5, (1.0, 1.7), 1.8, 0.5
MEMBERS = {
    "ratio": {},
    "clip": {"clip": (LOW, HIGH)},
    "dual clip": {"clip": (LOW, HIGH), "dual_clip": DUAL},
    "cispo": {"surrogate": "cispo", "clip": (LOW, HIGH)},
    "sapo": {"surrogate": "sapo", "gate": GATE},
    "none": {"surrogate": "none"},
    "truncate": {"correction": "truncate", "correction_cap": CAP},
    "mask": {"correction": "mask", "correction_cap": CAP},
    "old negatives": {"mask_old_negatives": AGE},
}
DRAWS = 20_000
every_member = pytest.mark.parametrize("name", MEMBERS)


def one_step(key, algorithm, problem=PROBLEM, **options):
    """One step of plain gradient ascent at unit rate, up to a constant, which is removed."""
    path = training.train(
        key, problem, steps=1, learning_rate=1.0, algorithm=algorithm, log_policy0=jnp.log(POLICY), **options
    )
    change = path.log_policy[-1] - path.log_policy[0]
    return change - jnp.mean(change)


def mean_step(algorithm, **options):
    return np.asarray(one_step(jax.random.key(0), algorithm, mode="mean", **options))


def z_scores(algorithm, mean, draws=DRAWS, **options):
    """How far the average of sampled steps is from a mean, in standard errors."""
    run = jax.jit(jax.vmap(lambda key: one_step(key, algorithm, **options)))
    moved = np.asarray(run(jax.random.split(jax.random.key(7), draws)))
    return np.abs((moved.mean(axis=0) - mean) / np.maximum(moved.std(axis=0) / np.sqrt(draws), 1e-12)).max()


# --- The object -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"surrogate": "ppo"},
            "surrogate: 'ppo'; must be one of 'clip', 'cispo', 'gspo', 'gmpo', 'sapo', 'none'",
        ),
        ({"clip": -0.1}, r"clip \(low\): -0\.1; must be in \[0, 1\]"),
        ({"clip": 1.2}, r"clip \(low\): 1\.2; must be in \[0, 1\]"),
        ({"clip": (0.2, -0.1)}, r"clip \(high\): -0\.1; must be zero or positive"),
        ({"clip": (0.2, float("nan"))}, r"clip \(high\): nan; must be zero or positive"),
        ({"dual_clip": 1.0}, r"dual_clip: 1\.0; must be above 1"),
        ({"surrogate": "sapo", "gate": (0.0, 1.0)}, "gate: 0; must be positive"),
        ({"surrogate": "sapo", "gate": (1.0, -1.0)}, "gate: -1; must be positive"),
        ({"correction": "drop"}, "correction: 'drop'; must be one of 'truncate', 'mask'"),
        ({"correction": "mask", "correction_cap": 0.0}, "correction_cap: 0; must be positive"),
        ({"correction_level": "batch"}, "correction_level: 'batch'; must be one of 'token', 'sequence'"),
        ({"mask_old_negatives": -0.1}, r"mask_old_negatives: -0\.1; must be zero or positive"),
        ({"epochs": 0}, "epochs: 0; must be 1 or above"),
        ({"epochs": 1.5}, r"epochs: 1\.5; must be a whole number"),
        ({"staleness": -1}, "staleness: -1; must be 0 or above"),
        ({"schedule": "late"}, "schedule: 'late'; must be one of 'delayed', 'held'"),
        ({"of": "weights"}, "of: 'weights'; must be one of 'rollouts', 'gradient'"),
        ({"sampling_temperature": 0.0}, "sampling_temperature: 0; must be positive"),
        ({"temperature": -1.0}, "temperature: -1; must be positive"),
        ({"correlation": 1.1}, r"correlation: 1\.1; must be in \[0, 1\]"),
        # Combinations that have no meaning.
        ({"surrogate": "none", "clip": 0.2}, "clip: 0.2 with surrogate 'none'; must be None"),
        ({"surrogate": "sapo", "clip": 0.2}, "clip: 0.2 with surrogate 'sapo'; must be None"),
        ({"surrogate": "cispo"}, "clip: None with surrogate 'cispo'; its upper end must be given"),
        ({"surrogate": "gspo", "clip": (0.2, None)}, "with surrogate 'gspo'; its upper end must be given"),
        ({"surrogate": "cispo", "clip": 0.2, "dual_clip": 3.0}, "dual_clip: given with surrogate 'cispo'"),
        ({"surrogate": "none", "correction": "mask"}, "correction: 'mask' with surrogate 'none'"),
        ({"surrogate": "none", "mask_old_negatives": 0.1}, "mask_old_negatives: given with surrogate 'none'"),
        (
            {"behavior": jnp.log(BEHAVIOR), "staleness": 2},
            "staleness: 2 with a behavior policy of its own; must be 0",
        ),
        ({"of": "gradient", "staleness": 2, "epochs": 2}, "epochs: 2 with a stale gradient; must be 1"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_bad_numbers_and_combinations_are_named(options, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users call it
    with pytest.raises(ValueError, match="^[^\n]*" + message):
        OffPolicy(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"off_policy": OffPolicy("gspo", clip=0.2)},
            "surrogate: 'gspo'; must be 'clip' in the tabular model",
        ),
        (
            {"off_policy": OffPolicy("gmpo", clip=0.2)},
            "surrogate: 'gmpo'; must be 'clip' in the tabular model",
        ),
        (
            {"off_policy": OffPolicy(correction="mask", correction_level="sequence")},
            "correction_level: 'sequence'",
        ),
        ({"off_policy": OffPolicy(clip=0.2), "mode": "sde"}, "mode: 'sde'; needs epochs=1 and no clip"),
        ({"off_policy": OffPolicy("sapo"), "mode": "sde"}, "mode: 'sde'; needs epochs=1 and no clip"),
        (
            {"off_policy": OffPolicy(mask_old_negatives=0.1), "mode": "sde"},
            "mode: 'sde'; needs weights without a sign",
        ),
        (
            {"off_policy": OffPolicy(epochs=2), "algorithm": qra.dpo(0.1)},
            "must be on-policy, pairs have no ratio",
        ),
        ({"off_policy": OffPolicy(clip=jnp.array([0.1, 0.2]))}, r"low: shape \(2,\); must be one number"),
        (
            {"off_policy": OffPolicy(staleness=2), "algorithm": qra.grpo(), "mode": "mean"},
            "mode: 'mean' off-policy or with several epochs; needs a finite group_size",
        ),
    ],
    ids=lambda value: ", ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_what_training_cannot_do_is_refused(options, message):
    options = {"algorithm": qra.grpo(4), **options}
    with pytest.raises(ValueError, match="^[^\n]*" + message):
        training.train(jax.random.key(0), PROBLEM, steps=1, learning_rate=0.1, **options)


def test_an_object_says_what_is_unusual():
    assert repr(OffPolicy()) == "OffPolicy(on-policy)"
    assert repr(OffPolicy(clip=0.2, epochs=4)) == "OffPolicy(clip = 0.2, epochs = 4)"
    assert repr(OffPolicy("cispo", clip=(None, 0.3))) == "OffPolicy(surrogate = 'cispo', clip = (None, 0.3))"
    assert OffPolicy(clip=0.2).on_policy
    assert OffPolicy(epochs=2).fresh
    for old in ({"staleness": 1}, {"sampling_temperature": 1.0}, {"behavior": jnp.log(BEHAVIOR)}):
        assert not OffPolicy(**old).fresh
    assert not OffPolicy(epochs=2).on_policy


RATIO = np.concatenate([np.linspace(0.01, 4, 60), [1 - LOW, 1 + HIGH, DUAL, 1.0]])


def plain_factor(surrogate, r, positive):
    """The published factors, a rollout at a time."""
    if surrogate == "none":
        return 1.0
    if surrogate == "sapo":
        gate = 1 / (1 + np.exp(-(GATE[0] if positive else GATE[1]) * (r - 1)))
        return 4 * r * gate * (1 - gate)
    if surrogate == "cispo":
        return min(max(r, 1 - LOW), 1 + HIGH)
    if positive:
        return r if r <= 1 + HIGH else 0.0
    return r if 1 - LOW <= r <= (DUAL if surrogate == "clip" else np.inf) else 0.0


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_factors_against_plain_formulas(surrogate):
    clip = None if surrogate in ("none", "sapo") else (LOW, HIGH)
    dual = DUAL if surrogate == "clip" else None
    off_policy = OffPolicy(surrogate, clip=clip, dual_clip=dual, gate=GATE)
    for positive in (True, False):
        expected = [plain_factor(surrogate, r, positive) for r in RATIO]
        np.testing.assert_allclose(off_policy.factor(jnp.asarray(RATIO), positive), expected, rtol=1e-13)
        assert off_policy.factor(jnp.asarray(RATIO, jnp.float32), positive).dtype == jnp.float32
        np.testing.assert_allclose(off_policy.factor(jnp.asarray(1.0), positive), 1.0, rtol=1e-13)


def test_sides_without_a_clip_are_open():
    ratio = jnp.asarray(RATIO)
    upper, lower = OffPolicy(clip=(None, HIGH)), OffPolicy(clip=(LOW, None))
    np.testing.assert_array_equal(upper.factor(ratio, False), ratio)
    np.testing.assert_array_equal(lower.factor(ratio, True), ratio)
    soft = OffPolicy("cispo", clip=(None, HIGH))
    np.testing.assert_array_equal(soft.factor(ratio, True), np.minimum(RATIO, 1 + HIGH))


def test_corrections_against_plain_formulas():
    ratio = jnp.asarray(RATIO)
    truncated, masked = (
        OffPolicy(correction=each, correction_cap=CAP).corrected(ratio) for each in CORRECTIONS
    )
    np.testing.assert_array_equal(truncated, np.minimum(RATIO, CAP))
    np.testing.assert_array_equal(masked, np.where(RATIO <= CAP, RATIO, 0))
    np.testing.assert_array_equal(OffPolicy().corrected(ratio), 1.0)


# --- Training ---------------------------------------------------------------------------------------------------

BASELINE = 0.3
MASS = jnp.stack([BEHAVIOR * PROBLEM.success, BEHAVIOR * (1 - PROBLEM.success)])
ADVANTAGE = jnp.array([1 - BASELINE, -BASELINE])[:, None]


def objective(name, logits, old):
    """The published objectives on expectations: rollouts of μ, REINFORCE's weights; `old` begins the step."""
    log_policy = jax.nn.log_softmax(logits)[None]
    policy, stop = jnp.exp(log_policy), jax.lax.stop_gradient
    ratio, old = policy / BEHAVIOR[None], old[None]
    clipped = jnp.clip(ratio, 1 - LOW, 1 + HIGH)
    ppo = jnp.minimum(ratio * ADVANTAGE, clipped * ADVANTAGE)
    trust = old / BEHAVIOR[None]
    gate = jnp.array(GATE)[:, None]
    terms = {
        "ratio": ratio * ADVANTAGE,
        "clip": ppo,
        "dual clip": jnp.where(ADVANTAGE < 0, jnp.maximum(ppo, DUAL * ADVANTAGE), ppo),
        "cispo": stop(clipped) * ADVANTAGE * log_policy,
        "sapo": 4 / gate * jax.nn.sigmoid(gate * (ratio - 1)) * ADVANTAGE,
        "none": ADVANTAGE * log_policy,
        "truncate": jnp.minimum(trust, CAP) * ADVANTAGE * policy / old,
        "mask": jnp.where(trust <= CAP, trust, 0.0) * ADVANTAGE * policy / old,
        "old negatives": jnp.where((ADVANTAGE < 0) & (stop(jnp.log(ratio)) < -AGE), 0.0, ratio * ADVANTAGE),
    }
    return jnp.sum(MASS * terms[name])


def ascended(name, epochs):
    logits = old = jnp.log(POLICY)
    for _ in range(epochs):
        logits = logits + jax.grad(lambda z: objective(name, z, jnp.exp(old)))(logits)
    change = jax.nn.log_softmax(logits) - jnp.log(POLICY)
    return np.asarray(change - jnp.mean(change))


@every_member
def test_expected_steps_ascend_the_published_objective(name):
    """Two epochs on old rollouts against autodiff; every member takes a step of its own."""
    off_policy = OffPolicy(behavior=jnp.log(BEHAVIOR), epochs=2, **MEMBERS[name])
    algorithm = qra.reinforce(BASELINE, group_size=4)
    np.testing.assert_allclose(mean_step(algorithm, off_policy=off_policy), ascended(name, 2), atol=1e-12)
    others = [ascended(other, 2) for other in MEMBERS if other != name]
    assert min(np.abs(ascended(name, 2) - other).max() for other in others) > 1e-3


@every_member
def test_average_of_old_samples_is_the_expected_step(name):
    """GRPO's weights depend on the group, which the old policy fills: its mean is that of the exact expectation."""
    off_policy, algorithm = OffPolicy(behavior=jnp.log(BEHAVIOR), **MEMBERS[name]), qra.grpo(4)
    mean = mean_step(algorithm, off_policy=off_policy)
    assert z_scores(algorithm, mean, off_policy=off_policy) < 5


@pytest.mark.parametrize("name", ["clip", "dual clip", "cispo", "sapo", "truncate"])
def test_on_policy_every_surrogate_is_the_policy_gradient(name):
    """The behaviour policy is the policy itself, so every ratio is computed, and one."""
    own = OffPolicy(behavior=jnp.log(POLICY), **MEMBERS[name])
    drift = flow.drift(PROBLEM, jnp.log(POLICY), algorithm=qra.grpo(4))
    np.testing.assert_allclose(mean_step(qra.grpo(4), off_policy=own), drift, atol=1e-13)


def test_traced_numbers_out_of_range_are_invalid():
    names = ("low", "high", "dual_clip", "cap", "age", "temperature", "sampling_temperature")
    usual = dict(zip(names, (0.2, 0.3, 3.0, 2.0, 0.1, 1.0, 1.0), strict=True))
    bad = [
        *[{"low": value} for value in (-0.1, 1.1, np.nan)],
        *[{"high": value} for value in (-0.1, np.nan)],
        *[{"dual_clip": value} for value in (0.9, np.nan)],
        *[{"cap": value} for value in (0.0, -1.0, np.inf, np.nan)],
        *[{"age": value} for value in (-0.1, np.nan)],
        *[{name: value} for name in ("temperature", "sampling_temperature") for value in (0.0, -1.0, np.nan)],
    ]
    rows = jnp.array([[{**usual, **change}[name] for name in names] for change in [{}, *bad]])

    @jax.jit
    @jax.vmap
    def status(row):
        low, high, dual_clip, cap, age, temperature, sampling_temperature = row
        off_policy = OffPolicy(
            clip=(low, high),
            dual_clip=dual_clip,
            correction="mask",
            correction_cap=cap,
            mask_old_negatives=age,
            temperature=temperature,
            sampling_temperature=sampling_temperature,
        )
        options = {"steps": 1, "learning_rate": 0.1, "algorithm": qra.grpo(4)}
        return training.train(jax.random.key(0), PROBLEM, off_policy=off_policy, **options).status

    assert status(rows).tolist() == [qra.Status.OK] + [qra.Status.INVALID] * len(bad)

    @jax.jit
    @jax.vmap
    def gated(up, down):
        off_policy = OffPolicy("sapo", gate=(up, down), sampling_temperature=1.5)
        options = {"steps": 1, "learning_rate": 0.1, "algorithm": qra.grpo(4)}
        return training.train(jax.random.key(0), PROBLEM, off_policy=off_policy, **options).status

    found = gated(jnp.array([1.0, 0.0, 1.0, np.nan]), jnp.array([1.0, 1.0, -1.0, 1.0]))
    assert found.tolist() == [qra.Status.OK] + [qra.Status.INVALID] * 3


# --- Temperatures -----------------------------------------------------------------------------------------------


def test_learning_at_a_temperature():
    """The policy that is sampled and learns is softmax(θ/T): the step is c(ρ_T)/T π_T ⊙ (p − ρ_T)."""
    temperature, algorithm, beta = 1.7, qra.grpo(4), 0.2
    warm = jax.nn.softmax(jnp.log(POLICY) / temperature)
    mean = warm @ PROBLEM.success
    expected = algorithm.clock(mean) / temperature * warm * (PROBLEM.success - mean)
    options = {"off_policy": OffPolicy(temperature=temperature)}
    np.testing.assert_allclose(mean_step(algorithm, **options), expected, atol=1e-13)
    assert z_scores(algorithm, expected, **options) < 5
    # A penalty is that of the policy at T from the reference at T.
    ratio = jnp.log(warm) - jax.nn.log_softmax(PROBLEM.log_ref / temperature)
    pull = -beta * warm * (ratio - warm @ ratio) / temperature
    found = mean_step(algorithm, regularizers=[qra.reverse_kl(beta)], **options)
    np.testing.assert_allclose(found, expected + pull, atol=1e-13)


def test_a_sampling_temperature_is_corrected_by_the_ratio():
    algorithm = qra.reinforce(BASELINE, group_size=4)
    drift = np.asarray(flow.drift(PROBLEM, jnp.log(POLICY), algorithm=algorithm))
    warm = {"off_policy": OffPolicy(sampling_temperature=1.7)}
    np.testing.assert_allclose(mean_step(algorithm, **warm), drift, atol=1e-13)
    assert z_scores(algorithm, drift, **warm) < 5
    # Without the ratio the rollouts count as the policy's own.
    uncorrected = {"off_policy": OffPolicy("none", sampling_temperature=1.7)}
    sampler = jax.nn.softmax(jnp.log(POLICY) / 1.7)
    weights = sampler * (PROBLEM.success - BASELINE)
    expected = np.asarray(weights - POLICY * weights.sum())
    np.testing.assert_allclose(mean_step(algorithm, **uncorrected), expected - expected.mean(), atol=1e-13)
    assert z_scores(algorithm, expected, **uncorrected) < 5
    assert z_scores(algorithm, drift, **uncorrected) > 10


# --- Lengths ----------------------------------------------------------------------------------------------------

LONG = replace(PROBLEM, lengths=jnp.array([3.0, 7.0, 20.0]))


@pytest.mark.parametrize(
    "algorithm",
    [
        qra.normalized(qra.grpo(3, ddof=1, epsilon=1e-4), "length"),
        qra.normalized(qra.grpo(3, ddof=1, epsilon=1e-4), "tokens"),
        qra.opo(3),
    ],
    ids=["length", "tokens", "opo"],
)
def test_samples_of_many_lengths_have_the_mean_of_the_flow(algorithm):
    drift = np.asarray(flow.drift(LONG, jnp.log(POLICY), algorithm=algorithm))
    np.testing.assert_allclose(mean_step(algorithm, problem=LONG), drift, atol=1e-13)
    assert z_scores(algorithm, drift, problem=LONG) < 5
    # Control: lengths matter.
    short = np.asarray(flow.drift(PROBLEM, jnp.log(POLICY), algorithm=algorithm))
    cosine = drift @ short / np.linalg.norm(drift) / np.linalg.norm(short)
    assert cosine < 0.9999
