"""Compiled loops: the same runs as the general loop, drawn by the same words."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qra_jax as qra
from qra_jax import training
from qra_jax.training import bits, fused, groups
from qra_jax.training.api import _train

pytest.importorskip("llvmlite")
PROBLEM = qra.Problem.from_probs(ref=[0.05, 0.6, 0.25, 0.1], success=[0.9, 0.6, 0.1, 0.3])
ALGORITHMS = {
    "reinforce": qra.reinforce(0.3, group_size=5),
    "reinforce, one rollout": qra.reinforce(group_size=1),
    "grpo": qra.grpo(16),
    "dr_grpo": qra.dr_grpo(20),
    "filtered_sft": qra.filtered_sft("both", group_size=3, negative_weight=0.5),
}


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def problems(patterns, runs, seed=0, dtype=jnp.float64):
    rng = np.random.default_rng(seed)
    log_ref = jnp.log(jnp.asarray(rng.dirichlet(np.ones(patterns), runs), dtype))
    return qra.Problem(log_ref, jnp.asarray(rng.random((runs, patterns)), dtype))


@pytest.fixture
def both(monkeypatch):
    """A run by the compiled loops, and the same one without them."""

    def call(function, *args):
        with monkeypatch.context() as patch:
            patch.setattr(fused, "available", lambda: True)
            one = function(*args)
            patch.setattr(fused, "available", lambda: False)
            return one, function(*args)

    return call


def calls(**options):
    """Which compiled loops a run would call."""
    key, shape = jax.random.key(0), {"steps": 4, "learning_rate": 0.1, "algorithm": qra.grpo(8)}
    options = {"problem": PROBLEM, **shape, **options}
    problem = options.pop("problem")
    if "optimizer" in options and hasattr(options["optimizer"], "init"):
        del options["learning_rate"]
    text = jax.jit(lambda key: training.train(key, problem, **options)).lower(key).as_text()
    return {kind for kind in ("group", "steps") if f"qra_jax.training.{kind}." in text}


@partial(jax.jit, static_argnums=0)
def drawn(group, seed, log_policy, rates, size, step):
    """Running counts of a group, as the general loop has them."""
    halves = bits.uniforms(seed, step, (group + 1) // 2, log_policy.dtype)
    return jnp.concatenate(groups.draw_verdicts(jnp.exp(log_policy), rates, groups.padded(halves, size)))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(("group", "patterns"), [(1, 10), (2, 1), (5, 37), (16, 10), (17, 2), (64, 3)])
def test_groups_are_those_of_the_general_loop(group, patterns, dtype):
    problem = problems(patterns, 65, dtype=dtype)
    seed = jax.random.bits(jax.random.key(1), (2, 65), jnp.uint32)
    args = seed, problem.log_ref.T, problem.success.T, jnp.asarray(group, dtype)
    for step in (0, 12345):
        counts = np.asarray(fused.verdicts(*args, jnp.asarray(step), group, padded=False))
        different = np.mean(counts != drawn(group, *args, jnp.asarray(step)))
        assert counts.dtype == dtype
        assert different <= (2e-4 if dtype == jnp.float32 else 0)  # an edge within rounding of a number
        assert np.all(counts[-1] == group)


@pytest.mark.parametrize("runs", [1, 31, 32, 33, 65])
def test_a_group_does_not_depend_on_its_neighbours(runs):
    problem = problems(5, 65, dtype=jnp.float32)
    seed = jax.random.bits(jax.random.key(1), (2, 65), jnp.uint32)
    args = seed, problem.log_ref.T, problem.success.T
    size, step = jnp.asarray(6.0, jnp.float32), jnp.asarray(3)
    whole = fused.verdicts(*args, size, step, 6, padded=False)
    part = fused.verdicts(*(arg[:, :runs] for arg in args), size, step, 6, padded=False)
    np.testing.assert_array_equal(part, whole[:, :runs])


def test_groups_of_fewer_rollouts_than_the_most():
    seed = jax.random.bits(jax.random.key(1), (2, 6), jnp.uint32)
    problem, sizes = problems(4, 6), jnp.asarray([1.0, 2, 3, 8, 19, 20])
    args = seed, problem.log_ref.T, problem.success.T, sizes, jnp.asarray(0)
    np.testing.assert_array_equal(fused.verdicts(*args, 20, padded=True), drawn(20, *args))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_runs_are_those_of_the_general_loop(name, both):
    def run(keys):
        one = lambda key: training.train(  # noqa: E731
            key, PROBLEM, steps=30, record_every=3, learning_rate=0.3, algorithm=ALGORITHMS[name]
        )
        return jax.vmap(one)(keys)

    compiled, general = both(run, keys(33))
    np.testing.assert_allclose(compiled.log_policy, general.log_policy, rtol=0, atol=1e-11)
    for each in ("step", "reward", "silent", "clipped", "diverged"):
        np.testing.assert_allclose(compiled.stats[each], general.stats[each], atol=1e-13)
    np.testing.assert_array_equal(compiled.status, general.status)
    assert np.ptp(compiled.log_policy[:, -1, 0]) > 0.01  # runs differ


def test_runs_in_float32(both):
    batch = problems(10, 64, dtype=jnp.float32)

    def run(keys):
        one = lambda key, problem: training.train(  # noqa: E731
            key, problem, steps=20, learning_rate=0.1, algorithm=qra.reinforce(group_size=16)
        )
        return jax.vmap(one)(keys, batch)

    compiled, general = both(run, keys(64))
    assert compiled.log_policy.dtype == jnp.float32
    apart = np.abs(compiled.log_policy - general.log_policy).max(axis=(1, 2))
    assert np.sum(apart > 2e-4) <= 1  # a rollout that falls on an edge leaves its run


def test_long_runs_have_one_distribution(both):
    """Other keys, so that equal words do not help: means and spreads to four standard errors."""
    batch, runs = problems(6, 2000, dtype=jnp.float32), 2000
    options = {"steps": 200, "record_every": 200, "learning_rate": 0.5, "algorithm": qra.grpo(4)}

    def run(seed):
        def one(key, problem):
            return training.measure(["accuracy", "herfindahl"], key, problem, **options).values

        return jax.vmap(one)(keys(runs, seed), batch)

    compiled, _ = both(run, 1)
    _, general = both(run, 2)
    for name in ("accuracy", "herfindahl"):
        difference = np.asarray(compiled[name] - general[name], np.float64)[:, -1]
        assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(runs)
        assert difference.std() > 0.01


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": optax.adam, "regularizers": [qra.reverse_kl(0.1)]},
        {
            "off_policy": qra.OffPolicy(
                epochs=3, clip=0.2, staleness=3, temperature=0.7, sampling_temperature=1.2
            ),
            "geometry": "natural",
        },
        {"off_policy": qra.OffPolicy(correlation=0.4), "reward": qra.verifiable(0.9, 0.2)},
        {"algorithm": qra.remax(8)},
    ],
    ids=lambda options: "-".join(options),
)
def test_groups_alone_where_steps_are_not_plain(options, both):
    options = {"algorithm": qra.grpo(8), "learning_rate": 0.1, "steps": 12, **options}
    assert calls(**options) == {"group"}
    run = lambda keys: jax.vmap(lambda key: training.train(key, PROBLEM, **options))(keys)  # noqa: E731
    compiled, general = both(run, keys(9))
    np.testing.assert_allclose(compiled.log_policy, general.log_policy, rtol=0, atol=1e-10)
    for name in ("reward", "silent", "clipped"):
        np.testing.assert_allclose(compiled.stats[name], general.stats[name], atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"off_policy": qra.OffPolicy(temperature=0.7)},
        {"geometry": "natural"},
        {"optimizer": optax.sgd(0.1)},
        {"regularizers": [qra.entropy_bonus(0.1)]},
        {"off_policy": qra.OffPolicy(behavior=PROBLEM.log_ref)},
    ],
    ids=lambda options: "-".join(options),
)
def test_steps_are_not_plain(options):
    assert calls(**options) == {"group"}


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "mean"},
        {"mode": "sde"},
        {"algorithm": qra.grpo(8, resample_silent=True)},
        {"algorithm": qra.dpo(0.5, group_size=8)},
        {"reward": qra.self_certainty()},
        {
            "problem": qra.problem.stack([PROBLEM, PROBLEM]),
            "features": jnp.ones((2, 4, 3)),
        },
    ],
    ids=lambda options: "-".join(options),
)
def test_what_is_not_covered_goes_to_the_general_loop(options):
    assert calls(**options) == set()


def test_verifier_noise_traced_numbers_and_several_questions(both):
    batch = problems(4, 3)

    def run(keys, rate, size, tpr):
        def one(key, rate, size, tpr):
            return training.train(
                key,
                batch,
                steps=15,
                record_every=5,
                learning_rate=rate,
                algorithm=qra.grpo(10).with_group_size(size),
                reward=qra.verifiable(tpr, 0.1),
            )

        return jax.vmap(one)(keys, rate, size, tpr)

    numbers = jnp.array([0.1, 0.5, 1.0]), jnp.array([2.0, 7.0, 10.0]), jnp.array([1.0, 0.8, 0.6])
    compiled, general = both(run, keys(3), *numbers)
    assert compiled.log_policy.shape == (3, 3, 4, 4)
    np.testing.assert_allclose(compiled.log_policy, general.log_policy, rtol=0, atol=1e-11)
    np.testing.assert_allclose(compiled.stats["silent"], general.stats["silent"], atol=1e-13)


def test_patterns_without_mass_and_sure_ones(both):
    ref = [[0.0, 0.5, 0.0, 0.3, 0.2, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0], [0.5, 0.0, 0.5, 0.0, 0.0, 0.0]]
    success = [[1.0, 0.0, 0.5, 1.0, 0.3, 0.0], [0.4] * 6, [1.0] * 6]
    cases = zip(ref, success, strict=True)
    batch = qra.problem.stack([qra.Problem.from_probs(ref=one, success=rates) for one, rates in cases])
    options = {"steps": 50, "learning_rate": 2.0, "algorithm": qra.grpo(6)}
    run = lambda keys: jax.vmap(lambda key: training.train(key, batch, **options))(keys)  # noqa: E731
    compiled, general = both(run, keys(40))
    np.testing.assert_allclose(compiled.policy, general.policy, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(compiled.policy[:, :, -1] == 0, np.tile(np.array(ref) == 0, (40, 1, 1)))
    np.testing.assert_array_equal(compiled.stats["silent"], general.stats["silent"])
    assert np.all(compiled.status == qra.Status.OK)
    assert np.all(compiled.stats["silent"][:, 2] == 1)


def test_outcomes_are_those_of_the_general_loop(both):
    def run(rate, success):
        one = lambda rate, success: training.train(  # noqa: E731
            jax.random.key(0),
            qra.Problem(PROBLEM.log_ref, success),
            steps=6,
            learning_rate=rate,
            algorithm=qra.reinforce(30.0, group_size=4),
        )
        return jax.vmap(one)(rate, success)

    rates = jnp.array([0.1, 1e308, -1.0, jnp.nan, 0.1, 0.1])
    success = jnp.stack([PROBLEM.success] * 4 + [PROBLEM.success * 2, PROBLEM.success * jnp.nan])
    compiled, general = both(run, rates, success)
    np.testing.assert_array_equal(compiled.status, general.status)
    assert compiled.status.tolist() == [qra.Status.OK, qra.Status.DIVERGED, *[qra.Status.INVALID] * 4]
    np.testing.assert_array_equal(compiled.stats["diverged"][:2], general.stats["diverged"][:2])


def test_no_run_depends_on_its_block():
    batch = problems(7, 90, dtype=jnp.float32)

    def run(key, problem):
        return training.measure(
            {"logits": lambda log_policy, problem: log_policy[1] - log_policy[0]},
            key,
            problem,
            steps=40,
            record_every=40,
            learning_rate=0.2,
            algorithm=qra.rloo(6),
        ).values["logits"][-1]

    found = [qra.many(run, block=block, chunk=64)(keys(90), batch) for block in (3, 90)]
    np.testing.assert_allclose(*found, rtol=0, atol=2e-6)  # XLA rounds a logarithm either way


def test_changed_numbers_compile_nothing():
    run = lambda rate, beta: training.train(  # noqa: E731
        jax.random.key(0), PROBLEM, steps=4, learning_rate=rate, algorithm=qra.reinforce(beta, group_size=4)
    )
    run(0.1, 0.2)
    before = _train._cache_size()
    run(0.3, 0.4)
    assert _train._cache_size() == before


def test_a_run_has_no_derivative():
    def run(rate):
        key = jax.random.key(0)
        return training.train(key, PROBLEM, steps=4, learning_rate=rate, algorithm=qra.grpo(4)).log_policy

    with pytest.raises(ValueError, match="no derivative"):
        jax.jacobian(run)(0.1)


@pytest.mark.parametrize("optimizer", [optax.sgd, optax.adam])
def test_another_device_gets_the_general_loop(optimizer):
    def run(key):
        options = {"steps": 4, "learning_rate": 0.1, "algorithm": qra.grpo(8), "optimizer": optimizer}
        return training.train(key, PROBLEM, **options)

    traced = jax.jit(run).trace(jax.random.key(0))
    assert "qra_jax.training." in traced.lower(lowering_platforms=("cpu",)).as_text()
    assert "qra_jax.training." not in traced.lower(lowering_platforms=("tpu",)).as_text()


def test_the_switch(monkeypatch):
    monkeypatch.setenv(fused.SWITCH, "0")
    assert calls() == set()
    monkeypatch.setenv(fused.SWITCH, "1")
    assert calls() == {"steps"}


def test_without_the_compiler_the_general_loop_runs():
    """In a process of its own, where llvmlite cannot be imported."""
    code = (
        "import sys; sys.modules['llvmlite'] = None\n"
        "import jax, qra_jax as qra\n"
        "from qra_jax.training import fused\n"
        "assert not fused.available()\n"
        "problem = qra.Problem.from_probs(ref=[.5, .5], success=[1., 0.])\n"
        "run = qra.training.train(jax.random.key(0), problem, steps=9, learning_rate=.1, algorithm=qra.grpo(4))\n"
        "assert run.log_policy.shape == (10, 2)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
