"""Recipes: runners agree, derivatives are true, costs add up, plain data go both ways, designs are minima."""

from dataclasses import replace

import diffrax
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

import qra_jax as qra
from qra_jax import flow, parts, recipe as R, training
from qra_jax.recipe import run as runner, schedule
from qra_jax.trajectory import Status

WORKED = qra.problem.examples.worked()
GRPO = qra.grpo(8)
FORWARD = diffrax.ForwardMode()
"""Compiles in half the time of the default, which reverse mode needs."""


def one(phase, **options):
    return R.Recipe((phase,)).run(options.pop("problem", WORKED), **{"adjoint": FORWARD, **options})


# Runners.


def test_orbit_flow_and_fine_steps_agree():
    closed = one(R.rlvr(time=20.0, algorithm=GRPO), saves=2)
    solved = one(R.rlvr(time=20.0, algorithm=GRPO, runner="flow"), saves=2)
    np.testing.assert_allclose(solved.path, closed.path, atol=1e-6)
    errors = []
    for steps in (1000, 2000):
        stepped = one(R.rlvr(steps=steps, learning_rate=20 / steps, algorithm=GRPO), saves=2)
        errors.append(float(jnp.abs(stepped.policy - closed.policy).max()))
        assert stepped.log_cost == pytest.approx(np.log(steps))
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.02), "order one in the step"
    assert errors[1] < 1e-3


def test_mean_steps_are_those_of_training():
    phase = R.rlvr(
        steps=30, learning_rate=0.3, algorithm=GRPO, regularizers=[qra.k3_loss(0.1)], optimizer=optax.adam
    )
    stepped = one(phase, saves=3)
    run = training.train(
        jax.random.key(0),
        WORKED,
        steps=30,
        algorithm=GRPO,
        optimizer=optax.adam,
        learning_rate=0.3,
        regularizers=[qra.k3_loss(0.1)],
        mode="mean",
        record_every=10,
    )
    np.testing.assert_allclose(stepped.path[0], run.log_policy[1:], atol=1e-12)


def test_sft_is_the_flow_of_sft():
    mixture = [0.5, 0.2, 0.3]
    ours = one(R.sft(mixture=mixture, time=3.0))
    theirs = flow.sft(WORKED, mixture, ts=[0.0, 3.0])
    np.testing.assert_allclose(ours.log_policy, theirs.log_policy[-1], atol=1e-7)
    np.testing.assert_allclose(ours.demonstrations, [3.0], rtol=1e-7)
    faster = one(R.sft(mixture=mixture, time=1.0, weight=2.0, learning_rate=R.Schedule([0.0, 3.0])))
    np.testing.assert_allclose(faster.log_policy, ours.log_policy, atol=1e-7)


def test_kl_comes_to_rest_at_the_optimum():
    found = one(R.rlvr(time=4000.0, beta=0.2))
    optimum = WORKED.log_ref + WORKED.success / 0.2
    np.testing.assert_allclose(found.log_policy, jax.nn.log_softmax(optimum), atol=1e-5)


def test_schedules_of_constants_are_constants():
    moving = one(R.rlvr(time=5.0, q=R.Schedule([0.5, 0.5]), beta=R.Schedule([0.1, 0.1], "cosine")))
    still = flow.solve(WORKED, ts=[5.0], algorithm=qra.tsallis(0.5), regularizers=[qra.reverse_kl(0.1)])
    np.testing.assert_allclose(moving.log_policy, still.log_policy[-1], atol=1e-7)


@pytest.mark.parametrize("kind", schedule.KINDS)
def test_means_of_schedules(kind):
    ramp = R.Schedule([0.3, 1.0, 0.1], kind)
    fine = jnp.mean(jax.vmap(ramp)((jnp.arange(30000) + 0.5) / 30000))
    np.testing.assert_allclose(schedule.integral(ramp, 1.0, float), fine, atol=1e-4)
    np.testing.assert_allclose([ramp(-1.0), ramp(2.0)], [0.3, 0.1], atol=1e-12)
    assert R.Schedule([0.7], kind)(0.4) == pytest.approx(0.7)


# Targets, costs, outcomes.


def test_until():
    closed = one(R.rlvr(until=0.9, algorithm=GRPO), saves=2)
    np.testing.assert_allclose(closed.log_cost, qra.orbit.log_hitting_time(WORKED, 0.9, algorithm=GRPO))
    solved = one(R.rlvr(until=0.9, time=1e3, algorithm=GRPO, runner="flow"))
    np.testing.assert_allclose(solved.log_cost, closed.log_cost, rtol=1e-6)
    np.testing.assert_allclose(solved.policy, closed.policy, atol=1e-6)
    stepped = one(R.rlvr(until=0.9, steps=12000, learning_rate=0.01, algorithm=GRPO))
    np.testing.assert_allclose(0.01 * np.exp(stepped.log_cost), np.exp(closed.log_cost), rtol=1e-2)
    assert stepped.policy[0] == pytest.approx(0.9, abs=1e-3), "held where it was met"


@pytest.mark.parametrize(
    "how", [{"runner": "orbit"}, {"runner": "flow"}, {"steps": 30, "learning_rate": 0.1}]
)
def test_outcomes_are_status_codes(how):
    limit = {} if "steps" in how else {"time": 3.0}
    late = one(R.rlvr(until=0.9, **how, **limit))
    assert late.status[0] == Status.UNREACHABLE
    assert np.isposinf(late.log_cost)
    assert late.policy[0] < 0.2, "the policy at the end of the time"
    there = one(R.rlvr(until=0.02, **how, **limit))
    assert there.status[0] == Status.ALREADY_MET
    assert np.isneginf(there.log_cost)
    np.testing.assert_allclose(there.policy, WORKED.ref, atol=1e-12)


def test_no_mass_on_the_best_pattern():
    lost = qra.Problem.from_probs(ref=[0.0, 0.7, 0.3], success=[0.9, 0.6, 0.1])
    assert one(R.rlvr(until=0.9), problem=lost).status[0] == Status.UNREACHABLE
    kept, asked = (
        one(R.sft(mixture=mu, time=1.0), problem=lost) for mu in ([0.0, 0.5, 0.5], [0.5, 0.5, 0.0])
    )
    assert asked.status[0] == Status.INVALID, "demonstrations of a pattern without mass"
    assert one(R.sft(mixture=[0.5, 0.5, 0.0], steps=3), problem=lost).status[0] == Status.INVALID
    assert kept.status[0] == Status.OK
    assert np.isneginf(kept.log_policy[0])
    assert jnp.isnan(R.sensitivity(lost).teach).all()


def test_costs_add_up_with_derivatives_at_zero():
    def log_cost(time, price):
        first = R.sft(demonstrations=0.5, time=time, price=price, demonstration_price=2.0)
        return R.Recipe((first, R.rlvr(time=4.0, price=3.0))).run(WORKED, adjoint=FORWARD)

    found = log_cost(1.5, 0.5)
    np.testing.assert_allclose(np.exp(found.log_costs), [0.75 + 3.0, 12.0])
    np.testing.assert_allclose(np.exp(found.log_cost), 15.75)
    slope = jax.jvp(lambda time: log_cost(time, 0.5).log_cost, (0.0,), (1.0,))[1]
    np.testing.assert_allclose(slope, 2.5 / 12)
    shape = (3, 3)
    assert found.boundaries.shape == shape


def test_what_failed_has_no_cost():
    cut = one(R.rlvr(until=0.9, time=1e3, runner="flow"), max_steps=3)
    assert cut.status[0] == Status.NOT_CONVERGED
    assert jnp.isnan(cut.log_cost)
    free = one(R.rlvr(until=0.9, time=3.0, price=0.0, runner="flow"))
    assert np.isposinf(free.log_cost), "not reached, whatever it costs"
    still = one(R.rlvr(until=0.9, learning_rate=0.0))
    assert still.status[0] == Status.UNREACHABLE
    np.testing.assert_allclose(still.policy, WORKED.ref, atol=1e-12)


def test_orbit_and_flow_pass_the_same_places_under_a_schedule():
    options = {"time": 10.0, "learning_rate": R.Schedule([2.0, 0.0], "cosine")}
    closed, solved = (one(R.rlvr(runner=runner, **options), saves=2) for runner in ("orbit", "flow"))
    np.testing.assert_allclose(solved.path, closed.path, atol=1e-6)


def test_recipes_under_vmap_and_grad():
    plan = R.Recipe((R.sft(demonstrations=0.3, time=2.0), R.rlvr(until=0.9)))
    cost = jax.jit(lambda plan, problem: plan.run(problem, adjoint=FORWARD).log_cost)
    together = jax.vmap(cost, (None, 0))(plan, QUESTIONS)
    alone = [cost(plan, jax.tree.map(lambda leaf: leaf[i], QUESTIONS)) for i in range(2)]  # noqa: B023
    np.testing.assert_allclose(together[:2], alone, rtol=1e-10)


# Several questions, sampling.

QUESTIONS = jax.vmap(lambda key: qra.problem.random(key, 3))(jax.random.split(jax.random.key(1), 4))
FEATURES = jax.random.normal(jax.random.key(2), (4, 3, 5)) / 2


def test_shared_features_move_as_in_training():
    phase = R.rlvr(steps=20, learning_rate=0.2, algorithm=GRPO)
    stepped = one(phase, problem=QUESTIONS, features=FEATURES)
    run = training.train(
        jax.random.key(0),
        QUESTIONS,
        steps=20,
        algorithm=GRPO,
        learning_rate=0.2,
        mode="mean",
        features=FEATURES,
    )
    np.testing.assert_allclose(stepped.log_policy, run.log_policy[:, -1], atol=1e-12)
    fine = one(R.rlvr(steps=4000, learning_rate=1e-3, algorithm=GRPO), problem=QUESTIONS, features=FEATURES)
    solved = one(R.rlvr(time=4.0, algorithm=GRPO, runner="flow"), problem=QUESTIONS, features=FEATURES)
    np.testing.assert_allclose(solved.log_policy, fine.log_policy, atol=2e-3)


def test_questions_without_features_do_not_interact():
    phase = R.interleaved(demonstrations=0.5, time=4.0, unsolved=4)
    together = one(phase, problem=QUESTIONS)
    alone = [one(phase, problem=jax.tree.map(lambda leaf: leaf[i], QUESTIONS)) for i in range(2)]  # noqa: B023
    np.testing.assert_allclose(together.policy[:2], [run.policy for run in alone], atol=1e-7)
    total = one(R.rlvr(until=0.6, event="accuracy", time=1e3, runner="flow"), problem=QUESTIONS)
    assert jnp.mean(total.accuracy) == pytest.approx(0.6, abs=1e-6)


def test_a_sampled_step_has_the_mean_of_the_expected_one():
    phase = {"learning_rate": 1.0, "algorithm": qra.grpo(4), "demonstrations": 0.4, "unsolved": 4}
    phase |= {"steps": 1, "beta": 0.2}
    draws = 20_000
    run = lambda key: one(R.interleaved(runner="sampled", batch=3, **phase), key=key)  # noqa: E731
    keys = jax.random.split(jax.random.key(3), draws)
    runs = jax.jit(jax.vmap(lambda key: (lambda r: (r.log_policy, r.demonstrations))(run(key))))(keys)
    centred = runs[0] - jnp.mean(runs[0], axis=1, keepdims=True)
    mean = one(R.interleaved(runner="mean", **phase))
    wanted = mean.log_policy - jnp.mean(mean.log_policy)
    z = (centred.mean(0) - wanted) / (centred.std(0) / np.sqrt(draws))
    assert jnp.abs(z).max() < 4.5
    error = np.asarray(runs[1].std()) / np.sqrt(draws)
    assert abs(runs[1].mean() - mean.demonstrations[0]) < 4.5 * error
    np.testing.assert_allclose(mean.demonstrations[0], (1 - WORKED.accuracy_ref) ** 4, rtol=1e-12)


@pytest.mark.parametrize(
    "algorithm", [qra.grpo(4), qra.grpo(4, resample_silent=True)], ids=["grpo", "dynamic sampling"]
)
def test_sampled_interleaving_teaches_where_no_rollout_is_accepted(algorithm):
    """The gate is a coin with chance (1 − ρ)^G at a policy that stands still; ρ as a noisy verifier sees it."""
    problem = qra.Problem.from_probs(ref=[0.5, 0.5], success=[0.3, 0.3])
    options = {"demonstrations": 0.5, "unsolved": 4, "learning_rate": 0.0, "algorithm": algorithm}
    options |= {"reward": qra.verifiable(0.9, 0.2), "steps": 4000}
    taught = one(R.interleaved(runner="sampled", **options), problem=problem, key=jax.random.key(0))
    chance = (1 - 0.41) ** 4
    np.testing.assert_allclose(one(R.interleaved(**options), problem=problem).demonstrations, 4000 * chance)
    assert abs(taught.demonstrations[0] - 4000 * chance) < 4.5 * np.sqrt(4000 * chance * (1 - chance))


def test_plain_sampled_phases_are_runs_of_training():
    """Their mean over runs is that of the step-by-step loop, which a schedule asks for."""
    options = {
        "steps": 8,
        "learning_rate": 0.5,
        "algorithm": qra.grpo(4, resample_silent=True),
        "runner": "sampled",
    }
    ends = []
    for beta in (0.1, R.Schedule([0.1, 0.1])):
        plan = R.Recipe((R.rlvr(beta=beta, **options),))
        keys = jax.random.split(jax.random.key(4), 4000)
        ends.append(jax.jit(jax.vmap(lambda key: plan.run(WORKED, key=key, saves=2).path[0]))(keys))  # noqa: B023
    error = jnp.sqrt(ends[0].var(0) + ends[1].var(0)) / np.sqrt(4000)
    assert jnp.abs((ends[0].mean(0) - ends[1].mean(0)) / error).max() < 4.5


def test_sampled_internal_feedback_and_keys():
    phase = R.rlif(steps=50, learning_rate=0.1, algorithm=qra.grpo(5), runner="sampled")
    first, again, other = (one(phase, key=jax.random.key(seed)).log_policy for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


# Derivatives.

FULL = R.Recipe(
    (
        R.sft(mixture=[0.4, 0.4, 0.2], time=2.0, weight=R.Schedule([1.0, 0.5])),
        R.rlvr(
            time=10.0, q=R.Schedule([0.8, 0.2]), beta=R.Schedule([0.1, 0.02]), reward=qra.verifiable(0.9, 0.1)
        ),
    )
)


def test_gradient_of_a_full_recipe_is_that_of_differences():
    def loss(plan, log_ref, success):
        problem = replace(WORKED.with_ref(log_ref), success=success)
        return plan.run(problem).accuracy

    numbers, tree = jax.tree.flatten((FULL, WORKED.log_ref, WORKED.success))
    numbers = [jnp.asarray(number, float) for number in numbers]
    flat, restore = jax.flatten_util.ravel_pytree(numbers)
    value = jax.jit(lambda flat: loss(*jax.tree.unflatten(tree, restore(flat))))
    slope = jax.jit(jax.grad(value))(flat)
    assert jnp.isfinite(slope).all()
    for i, key in enumerate(jax.random.split(jax.random.key(0), 6)):
        towards = jax.random.normal(key, flat.shape)
        step = 1e-4
        difference = (value(flat + step * towards) - value(flat - step * towards)) / (2 * step)
        np.testing.assert_allclose(slope @ towards, difference, rtol=1e-5, atol=1e-6, err_msg=str(i))


def test_numbers_do_not_compile():
    plan = R.Recipe((R.rlvr(time=2.0, beta=0.1),))
    plan.run(WORKED)
    before = runner.run._cache_size()
    R.Recipe((R.rlvr(time=5.0, beta=0.3),)).run(qra.problem.examples.fast())
    assert runner.run._cache_size() == before


def test_float32_stays_float32():
    problem = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), WORKED)
    found = R.Recipe((R.rlvr(time=2.0, beta=0.1),)).run(problem)
    assert {leaf.dtype.name for leaf in (found.log_policy, found.log_cost)} == {"float32"}
    wanted = R.Recipe((R.rlvr(time=2.0, beta=0.1),)).run(WORKED)
    np.testing.assert_allclose(found.policy, wanted.policy, atol=1e-4)


def test_sensitivities():
    found = R.sensitivity(WORKED, algorithm=GRPO)
    time = lambda ref, success: qra.orbit.log_hitting_time(  # noqa: E731
        replace(WORKED.with_ref(jnp.log(ref)), success=success), algorithm=GRPO
    )
    time = jax.jit(time)
    np.testing.assert_allclose(found.log_time, time(WORKED.ref, WORKED.success))
    for r in range(3):
        unit, step = jnp.zeros(3).at[r].set(1.0), 1e-5
        moved = [time((1 - h) * WORKED.ref + h * unit, WORKED.success) for h in (step, -step)]
        np.testing.assert_allclose(found.share[r], (moved[0] - moved[1]) / (2 * step), rtol=1e-5)
        moved = [
            time(jax.nn.softmax(WORKED.log_ref + h * (unit - WORKED.ref)), WORKED.success)
            for h in (step, -step)
        ]
        np.testing.assert_allclose(found.teach[r], (moved[0] - moved[1]) / (2 * step), rtol=1e-5)
        moved = [time(WORKED.ref * jnp.exp(h * unit), WORKED.success) for h in (step, -step)]
        np.testing.assert_allclose(found.ref[r], (moved[0] - moved[1]) / (2 * step), rtol=1e-5)
        moved = [time(WORKED.ref, WORKED.success + h * unit) for h in (step, -step)]
        np.testing.assert_allclose(found.success[r], (moved[0] - moved[1]) / (2 * step), rtol=1e-5)
    np.testing.assert_allclose(found.ref.sum(), 0, atol=1e-9)
    assert found.what_to_teach == 0


# Design.


def test_the_best_split_is_that_of_a_grid():
    plan = R.Recipe((R.sft(demonstrations=0.5, time=3.0), R.rlvr(until=0.99)))
    found = R.optimize(plan, WORKED, free=("0.time",), steps=40)
    times = np.linspace(4, 10, 25)
    grid = [R.Recipe((replace(plan.phases[0], time=t), plan.phases[1])).run(WORKED).log_cost for t in times]
    assert found.value <= min(grid) + 1e-9
    assert float(found.recipe.phases[0].time) == pytest.approx(times[np.argmin(grid)], abs=0.25)
    assert found.gradient < 0.01
    assert found.history.shape == (1, 41)
    np.testing.assert_allclose(found.recipe.run(WORKED).log_cost, found.value, rtol=1e-10)


def test_budgets_are_spent_and_restarts_help():
    plan = R.Recipe((R.sft(mixture=[0.3, 0.4, 0.3], time=3.0, price=2.0), R.rlvr(time=20.0, q=0.5)))
    options = {"free": ("0.time", "1.time", "0.mixture", "1.q"), "objective": lambda run: -run.pass_at_k(2)}
    found = R.optimize(plan, WORKED, budget=30.0, steps=12, restarts=2, key=jax.random.key(0), **options)
    np.testing.assert_allclose(np.exp(found.recipe.run(WORKED).log_cost), 30.0, rtol=1e-9)
    np.testing.assert_allclose(found.recipe.phases[0].mixture.sum(), 1.0)
    assert found.value <= jnp.min(found.history) + 1e-12
    assert found.value < found.history[0, 0] - 0.01
    at_start = plan.phases[0].price * 3.0 + 20.0
    scaled = [replace(phase, time=phase.time * 30 / at_start) for phase in plan.phases]
    np.testing.assert_allclose(found.history[0, 0], -R.Recipe(scaled).run(WORKED).pass_at_k(2), rtol=1e-8)
    assert 0 < found.recipe.phases[1].q < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"free": ()}, "free: empty"),
        ({"free": ("2.time",)}, "'2.time'; must be 'phase.field' with a phase from 0 to 1"),
        ({"free": ("0.tme",)}, "'tme' is not known; did you mean 'time'?"),
        ({"free": ("0.mixture",)}, "'0.mixture' has no value"),
        ({"objective": "costs"}, "did you mean 'cost'?"),
        ({"budget": 10.0}, "must have a time and no `until`"),
        ({"budget": -1.0}, "budget: -1; must be positive"),
        (
            {"phases": (R.sft(demonstrations=0.5, time=3.0, price=0.0),), "budget": 5.0},
            "must be positive for a free",
        ),
        ({"restarts": 2}, "key: missing"),
        ({"steps": 0}, "steps: 0"),
    ],
)
def test_bad_designs(change, message):
    phases = (R.sft(demonstrations=0.5, time=3.0), R.rlvr(until=0.99))
    change = {"free": ("0.time",), **change}
    plan = R.Recipe(change.pop("phases", phases))
    with pytest.raises(ValueError, match="^[^\n]*" + message.replace("?", r"\?")):
        R.optimize(plan, WORKED, **change)


def test_sampled_phases_cannot_be_designed():
    plan = R.Recipe((R.rlvr(steps=3, runner="sampled", algorithm=GRPO, beta=0.1),))
    with pytest.raises(ValueError, match="no true derivative"):
        R.optimize(plan, WORKED, free=("0.beta",))


# Plain data.

RECIPES = [
    FULL,
    R.Recipe((R.sft(demonstrations=0.5, steps=8, optimizer=optax.adam), R.rlvr(until=0.99, algorithm=GRPO))),
    R.Recipe((R.rlif(time=3.0, reward=qra.self_certainty(0.01), geometry="natural"),)),
    R.Recipe(
        (
            R.interleaved(
                mixture=[0.5, 0.5],
                unsolved=None,
                steps=5,
                algorithm=qra.grpo(4, resample_silent=True),
                regularizers=[qra.k3_loss(0.1), qra.entropy_bonus(0.2)],
                optimizer=parts.optimizer({"name": "adam", "b1": 0.8}),
                runner="sampled",
            ),
        )
    ),
]


@pytest.mark.parametrize("plan", RECIPES, ids=range(len(RECIPES)))
def test_toml_both_ways(plan, tmp_path):
    text = plan.to_toml()
    again = R.Recipe.from_toml(text)
    assert jax.tree.structure(again) == jax.tree.structure(plan)
    for ours, theirs in zip(jax.tree.leaves(plan), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    (tmp_path / "recipe.toml").write_text(text)
    assert R.Recipe.from_toml(tmp_path / "recipe.toml").to_toml() == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no phases"),
        ("[[phases]]\nkind='sft'", "no phases"),
        ("[[phase]]\ntime=3.0", "phase 0: kind is missing"),
        ("[[phase]]\nkind='stf'", "'stf' is not known; did you mean 'sft'?"),
        ("[[phase]]\nkind='rlvr'\ntmie=3.0", "phase 0: 'tmie' is not known; did you mean 'time'?"),
        ("[[phase]]\nkind='rlvr'\ntime=-3.0", "phase 0: time: -3; must be zero or positive"),
        ("[[phase]]\nkind='rlvr'\ntime=3.0\nalgorithm={name='grpo',group_size=1}", "group_size: 1"),
        ("[[phase]]\nkind='rlvr'\ntime=3.0\nbeta={knot=[1.0]}", "'knot' is not known"),
        ("[[phase]\n", "not TOML"),
        ("nowhere.toml", "No such file"),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(ValueError, match="^[^\n]*" + message.replace("?", r"\?")):
        R.Recipe.from_toml(text)


def test_parts_that_have_no_plain_data():
    mine = replace(GRPO, weigh=lambda params, rewards, where: rewards)
    with pytest.raises(ValueError, match="'GRPO': changed since it was made, so it has no plain data"):
        R.Recipe((R.rlvr(time=1.0, algorithm=mine),)).to_toml()
    with pytest.raises(ValueError, match="'GRPO': changed since it was made, so it has no plain data"):
        parts.describe(qra.normalized(GRPO, "tokens"))
    with pytest.raises(ValueError, match="'mine': not made by this package, so it has no plain data"):
        parts.describe(qra.Algorithm("mine", GRPO.weigh, 4))
    kept = parts.describe(qra.k2_loss(0.1, reference=qra.regularizer.Reference(every=2)))
    assert kept == {"name": "k2_loss", "beta": 0.1, "reference": {"every": 2}}
    assert parts.describe(GRPO.with_group_size(5)) == {"name": "grpo", "group_size": 5}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: R.Recipe(()), "phases: empty"),
        (lambda: R.sft(time=1.0), "mixture, demonstrations: give exactly one"),
        (lambda: R.sft(demonstrations=1.5, time=1.0), "demonstrations: 1.5; must be in"),
        (lambda: R.sft(mixture=[0.5, 0.4], time=1.0), "mixture: sums to 0.9"),
        (lambda: R.sft(demonstrations=0.5), "time: missing"),
        (lambda: R.sft(demonstrations=0.5, time=1.0, runner="orbit"), "SFT has no closed orbit"),
        (lambda: R.rlvr(time=1.0, steps=3), "both are given"),
        (lambda: R.rlvr(time=1.0, beta=0.1, runner="orbit"), "regularizers bend the orbit"),
        (lambda: R.rlvr(time=1.0, runner="flows"), "must be one of 'orbit'"),
        (lambda: R.rlvr(until=1.0), "until: 1; must be in"),
        (lambda: R.rlvr(until=0.9, beta=0.1), "time: missing; runner 'flow'"),
        (lambda: R.rlvr(runner="mean", time=2.0), "steps: missing"),
        (lambda: R.rlvr(steps=3, geometry="natural"), "geometry: 'natural' with runner 'mean'"),
        (lambda: R.rlvr(time=1.0, q=0.5, algorithm=GRPO), "q: given with GRPO"),
        (lambda: R.rlvr(time=1.0, q=R.Schedule([0.5, 1.5])), r"q.knots\[1\]: 1.5"),
        (lambda: R.rlvr(time=1.0, beta=R.Schedule([0.5], "square")), "beta.kind: 'square'"),
        (lambda: R.rlvr(time=1.0, beta=-0.5), "beta: -0.5"),
        (lambda: R.rlvr(time=[1.0, 2.0]), r"time: shape \(2,\); must be one number"),
        (lambda: R.rlvr(time=1.0, beta=[0.1, 0.2]), r"beta: shape \(2,\); must be one number, or a Schedule"),
        (lambda: one(R.rlvr(steps=2), saves=4), "saves: 4; must be at most 2"),
        (lambda: one(R.rlvr(steps=2, runner="sampled", algorithm=GRPO)), "key: missing"),
        (lambda: one(R.rlvr(steps=2, runner="sampled"), key=jax.random.key(0)), "without group_size"),
        (lambda: one(R.sft(mixture=[0.5, 0.5], time=1.0)), r"mixture: shape \(2,\); must be \(3,\)"),
        (lambda: one(R.rlvr(time=1.0), log_policy0=jnp.zeros(2)), r"log_policy0: shape \(2,\)"),
        (lambda: one(R.rlvr(until=0.9), problem=QUESTIONS), "'orbit' with `until` and several questions"),
        (lambda: one(R.rlvr(time=1.0), problem=QUESTIONS, features=FEATURES), "'orbit' with shared features"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match="^[^\n]*" + message):
        make()


# Parts by name.


@pytest.mark.parametrize(
    "algorithm",
    [
        qra.reinforce(0.2),
        qra.rloo(4),
        qra.grpo(),
        qra.grpo(8, ddof=1),
        qra.grpo(8, ddof=1, epsilon=1e-4, scale="batch"),
        qra.dr_grpo(5),
        qra.grpo(4, resample_silent=True),
        qra.filtered_sft("negative"),
        qra.filtered_sft("both", negative_weight=0.3),
        qra.filtered_sft(per="accepted", group_size=4),
        qra.pass_at_k(3, 8),
        qra.tsallis(0.4, 7),
    ],
    ids=lambda algorithm: algorithm.name,
)
def test_algorithms_as_plain_data(algorithm):
    again = parts.algorithm(parts.describe(algorithm))
    assert jax.tree.structure(again) == jax.tree.structure(algorithm)
    assert jax.tree.leaves(again) == jax.tree.leaves(algorithm)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: parts.algorithm("grop"), "did you mean 'grpo'?"),
        (lambda: parts.algorithm({"name": "rloo"}), "group_size is missing"),
        (lambda: parts.problem({"reff": [1.0]}), "did you mean 'ref'?"),
        (lambda: parts.problem("random"), "needs a key"),
        (lambda: parts.problem({"success": [0.5]}), "ref is missing"),
        (lambda: parts.optimizer({"name": "adam", "learning_rate": 1}), "'learning_rate' is not known"),
        (lambda: parts.regularizers([{"beta": 1}]), "name is missing"),
        (lambda: parts.algorithm({"name": "grpo", "key": 1}), "'key' is not known"),
        (lambda: parts.algorithm({"name": ["grpo"]}), "must be a name"),
        (lambda: parts.optimizer({"name": "adam", "b1": "x"}), "b1 'x'; must be a number"),
        (lambda: parts.describe(optax.yogi), "has no plain data"),
    ],
)
def test_bad_parts(make, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        make()


def test_a_recipe_says_its_phases():
    plan = R.Recipe(
        [
            R.sft(demonstrations=0.5, time=8.0),
            R.rlvr(
                steps=10,
                learning_rate=R.Schedule([1.0, 0.0]),
                algorithm=GRPO,
                regularizers=[qra.reverse_kl(0.1)],
                runner="sampled",
            ),
        ]
    )
    assert repr(plan).splitlines() == [
        "Recipe(",
        "  sft (flow), time = 8, demonstrations = 0.5,",
        "  rlvr (sampled), steps = 10, learning_rate = linear [1 0], algorithm = GRPO, reward = verifiable, "
        "regularizers = [reverse KL],",
        ")",
    ]
    assert (
        repr(R.sft(mixture=[0.5, 0.5, 0.0], time=1.0)) == "Phase(sft (flow), time = 1, mixture = [0.5 0.5 0])"
    )
    seen = []
    jax.jit(lambda plan: seen.append(repr(plan)) or 0)(R.Recipe((R.rlvr(until=0.9),)))
    assert seen[0].startswith("Recipe(\n  rlvr (orbit), until = float64[], ")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: R.Recipe(R.rlvr(until=0.9)), r"phases: Phase\(rlvr .*; must be a list of Phases, such as"),
        (lambda: R.Recipe("rlvr"), "phases: 'rlvr'; must be a list of Phases"),
        (lambda: R.Recipe(("rlvr",)).run(WORKED), r"phases\[0\]: 'rlvr'; must be a Phase, such as"),
        (lambda: one(R.rlvr(until=0.9), key=0), "key: 0; must be a PRNG key"),
        (
            lambda: one(R.rlvr(until=0.9), problem=replace(WORKED, log_ref=WORKED.ref)),
            "log_ref: exponentials sum",
        ),
        (lambda: R.rlvr(until=0.9, algorithm="grpo"), "algorithm: 'grpo'; must be an Algorithm"),
        (
            lambda: R.rlif(time=1.0, reward=qra.self_certainty),
            "reward: the function self_certainty; must be a Rew",
        ),
        (
            lambda: R.rlvr(time=1.0, regularizers=qra.reverse_kl(0.1)),
            "regularizers: Regularizer.*; must be a list",
        ),
    ],
)
def test_wrong_objects_are_refused(make, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users call it
    with pytest.raises(ValueError, match="^" + message):
        make()
