"""What the studies in networks are made of: read-outs along paths, tabular predictions, exact sequences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from qra_jax import orbit, theory, transformer as tf
from qra_jax.algorithm import grpo
from qra_jax.problem import examples, stack
from qra_jax.studies.networks import _bases, _paths, _rlif, _sequences, _sft, _shares

DIMS = ("start", "seed", "step", "pattern")
TIMES = np.concatenate([[0.0], np.logspace(-2, 4, 1200)])


@pytest.fixture(scope="module")
def curves():
    """Orbits of the worked example, put in the place of a network's path."""
    problem = examples.worked()
    path = xr.DataArray(np.asarray(problem.ref)[None, None, None], dims=DIMS).isel(step=[0, 0])
    path = path.assign_coords(start=["Regime 2"], pattern=["best", "rival", "third"])
    return _paths.orbits(path, [problem.success], times=TIMES, algorithm=grpo(8))


def test_the_first_integral_is_one_on_its_own_orbit_alone(curves):
    assert abs(curves.natural_integral.item() - 1) > 0.5
    along = curves.softmax.rename(time="step")
    again = _paths.orbits(along, [examples.worked().success], times=TIMES, algorithm=grpo(8))
    np.testing.assert_allclose(again.integral.item(), 1, rtol=1e-6)


def test_a_path_on_the_orbit_has_its_clock(curves):
    step = np.arange(0, 200, 8)
    path = (
        curves.softmax.interp(time=0.3 * step).drop_vars("time").rename(time="step").assign_coords(step=step)
    )
    assert _paths.distance(path, curves.softmax).max() < 0.02
    _, slope, off = _paths.clock(path, curves.softmax, until=0.9)
    np.testing.assert_allclose(slope, 0.3, rtol=0.02)
    assert off.item() < 0.02
    assert np.isnan(_paths.clock(path * np.nan, curves.softmax, until=0.9)[1]).all()


def test_predicted_times_are_those_of_the_exact_orbit():
    problem = examples.worked()
    policy, success = (
        xr.DataArray(np.asarray(x)[None], dims=("run", "pattern")) for x in (problem.ref, problem.success)
    )
    found = _paths.predicted(policy, success, target=0.9, algorithm=grpo(8))
    for geometry in ("softmax", "natural"):
        exact = orbit.log_hitting_time(problem, target=0.9, algorithm=grpo(8), geometry=geometry)
        np.testing.assert_allclose(found[geometry].item(), float(exact), atol=2e-3)
    np.testing.assert_allclose(found.rarity.item(), -np.log(policy[0, 0].item()), rtol=1e-6)
    turned = _paths.predicted(policy, success[:, ::-1], target=0.9, algorithm=grpo(8))
    assert np.isinf(turned.softmax.item())
    assert np.isnan(_paths.predicted(policy * np.nan, success, target=0.9, algorithm=grpo(8)).softmax.item())


def test_gains_add_up_to_the_change_of_accuracy():
    rng = np.random.default_rng(0)
    policy, success = (
        xr.DataArray(x, dims=("step", "question", "pattern"))
        for x in (rng.dirichlet(np.ones(3), (7, 4)), rng.random((7, 4, 3)))
    )
    coords = {"step": np.arange(7)}
    parts = _paths.gains(policy.assign_coords(coords), success.assign_coords(coords))
    accuracy = (policy * success).sum("pattern")
    np.testing.assert_allclose(parts.selection + parts.answers, accuracy[-1] - accuracy[0], rtol=1e-12)


def test_a_crossing_is_interpolated():
    path = xr.DataArray(
        [[0.5, 0.8, 1.0], [0.95, 1.0, 1.0], [0.1, 0.1, 0.2], [np.nan, 1, 1]],
        dims=("run", "step"),
        coords={"step": [0, 10, 20]},
    )
    np.testing.assert_allclose(_paths.crossing(path, 0.9), [15, 0, np.inf, np.nan])


def test_a_pooled_share_stands_networks_without_any_of_the_whole():
    part, whole = (xr.DataArray(x, dims="seed") for x in ([3.0, 0.0, 8.0, 0.0], [4.0, 0.0, 10.0, 0.0]))
    found = _shares.pooled("part", part, whole)
    assert found.value.item() == pytest.approx(11 / 14)
    assert found.n == 2
    off = np.array([3, 8]) - 11 / 14 * np.array([4, 10])
    assert found.error is not None
    assert found.error.item() == pytest.approx(np.sqrt(2 * np.sum(off**2)) / 14)
    assert _shares.pooled("part", part, part).above(0.5).decide(0.05).kind == "open"  # all the same
    assert _shares.pooled("part", part * np.nan, whole).above(0.5).decide(0.05).kind == "open"


def test_a_pooled_share_scatters_as_its_error_says():
    random = np.random.default_rng(0)
    whole = xr.DataArray(random.poisson(20.0, (2000, 12)), dims=("run", "seed")).astype(float)
    part = whole * xr.DataArray(random.uniform(0.2, 0.8, (2000, 12)), dims=("run", "seed"))
    found = _shares.pooled("part", part, whole)
    assert found.error is not None
    assert float(np.sqrt((found.error**2).mean())) == pytest.approx(float(found.value.std()), rel=0.05)


def test_a_gain_is_read_where_the_others_peak():
    curves = xr.DataArray(
        [[0.0, 1.0, 0.0, 3.0], [0.0, 0.5, 0.2, 0.0], [0.0, 0.6, 0.1, 0.0]], dims=("seed", "step")
    )
    assert _rlif.gains(curves).values.tolist() == [1.0, 0.0, 0.0]


def test_the_deepest_fall_is_from_the_highest_value_before():
    best = xr.DataArray([0.2, 0.8, 0.5, 0.9], dims="step")
    policy = xr.concat([best, 1 - best], "pattern").expand_dims("question")
    success = policy * 0 + xr.DataArray([1.0, 0.0], dims="pattern")
    np.testing.assert_allclose(_rlif.fall(xr.Dataset({"policy": policy, "success": success})), 0.3)


@pytest.fixture(scope="module")
def small():
    """One program that reads a small network in every way."""
    task = tf.controlled(_sequences.questions(6), announced=0.8, steps=(1, 1, 1), digits=1)
    model, known = tf.Decoder(task.vocabulary, width=8, depth=1), _sequences.language(task)

    def read(key):
        params = tf.init(key, model)
        _, rollouts = _sequences.likelihood(model, params, known)
        judged = task.verify(key, task.questions(jnp.arange(6)), rollouts)
        names = ("verifiable", "self_certainty", "token_entropy", "trajectory_log_prob", "majority_vote")
        made = [getattr(tf.reward, name)() for name in names] + [
            tf.reward.verifiable(0.5, 0.5),
            tf.reward.verifiable(),
        ]
        named = jnp.stack([one(key, rollouts, judged) for one in made])
        chosen = jax.vmap(lambda which: _sequences.chosen(which)(key, rollouts, judged))(
            jnp.arange(len(made))
        )
        scores = _sequences.look(model, params, known), tf.read_out(model, params, task.demonstrations())
        return (
            scores,
            _sequences.expected(model, params, known),
            _sequences.earned(model, params, known),
            (named, chosen),
        )

    return jax.jit(read)(jax.random.key(0))


def test_scores_are_those_of_the_read_out(small):
    seen, read = small[0]
    np.testing.assert_allclose(seen["formatted"], np.mean(read.accuracy), rtol=1e-5)
    assert seen["plain"] > seen["formatted"] > 0
    np.testing.assert_allclose(np.sum(seen["policy"], axis=-1), 1, rtol=1e-5)


def test_rewards_of_patterns_are_expectations(small):
    start, (chance, reward) = small[1], [np.asarray(x) for x in small[2]]
    weights = chance / chance.sum(axis=(1, 3), keepdims=True)
    np.testing.assert_allclose(start["rates"], (reward * weights[None]).sum(axis=(2, 4)), rtol=1e-4)
    np.testing.assert_allclose(np.sum(start["seen"], axis=-1), 1, rtol=1e-4)
    np.testing.assert_allclose(np.diag(start["cosine"]), 1, rtol=1e-4)
    right = chance[:, 0, :, 0] / chance.sum(
        axis=(1, 3)
    )  # of binary rewards, the verifier's is this probability
    np.testing.assert_allclose(start["rates"][0], right, rtol=1e-4)


def test_a_traced_reward_is_the_named_one(small):
    named, chosen = small[3]
    np.testing.assert_allclose(chosen, named, rtol=1e-6)


def test_the_weak_base_is_entangled_and_its_lessons_lie_on_both_sides_of_the_threshold():
    problem = _sft.weak()
    assert bool(theory.regime(problem).entangled)
    assert float(problem.success.max()) < 0.5
    shown = _sft.lessons(problem, (5, 40))
    last = {
        kind: _sft.longest(shown.mixture, kind).values
        for kind in (_sft.FAR, _sft.NEAR, _sft.GOOD, _sft.RIVAL)
    }
    second = np.sort(np.asarray(problem.success))[-2]
    reached = {kind: float(mixture @ np.asarray(problem.success)) >= second for kind, mixture in last.items()}
    assert reached == {_sft.FAR: False, _sft.NEAR: False, _sft.GOOD: True, _sft.RIVAL: False}
    np.testing.assert_allclose(shown.mixture.sum("pattern"), 1, rtol=1e-12)


def test_a_base_learns_the_shares_of_its_own_task_and_training_reads_it():
    problems = [tf.controlled(stack([start()] * 2), digits=1) for start in (examples.fast, examples.worked)]
    model = tf.Decoder(problems[0].vocabulary, width=8, depth=1)
    params = _bases.learnt(tuple(problems), model, seed=0, seeds=2, steps=150, rate=3e-2)
    one = jax.tree.map(lambda leaf: jnp.asarray(leaf[1, 0]), params)
    options = {"adam": jnp.asarray(False), "rates": (1e-3, 1e-4), "steps": 2, "every": 1, "group": 2}
    seen = jax.jit(lambda key: _bases.trained(key, model, one, problems[1], **options))(jax.random.key(0))
    assert seen["policy"].shape == (3, 2, 3)
    np.testing.assert_allclose(seen["policy"][0, 0], problems[1].problem.ref[0], atol=0.1)
    assert set(_bases.RECORDED) | {"status"} == set(seen)
