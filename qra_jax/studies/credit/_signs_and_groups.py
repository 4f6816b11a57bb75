"""Runs of the study of small groups: advantages of ±1, abstention, and group sizes at several budgets."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax import flow
from qra_jax.algorithm import dr_grpo, grpo, signed
from qra_jax.problem import Problem
from qra_jax.reward import Reward, verifiable
from qra_jax.shaping import abstaining
from qra_jax.studies import lab
from qra_jax.studies.credit._rollouts_kept import RATES, base

MOST, PATTERNS, STEPS = 32, 6, 100
ARMS = ("±1", "same rate", "same speed", "same speed and noise")
"""Advantages of ±1; Dr.GRPO at the same learning rate, and at that with the same speed; and ±1 from as many rollouts
as give its update, at this speed, the noise of Dr.GRPO's."""
PENALTIES, ANSWERED = (0.25, 1.0, 4.0), 0.6
"""Penalties λ of a wrong answer; share of right answers of the question that is trained on."""


def sampled(
    key: jax.Array,
    problem: Problem,
    weigh: Callable[[Any, Any], Any],
    *,
    reward: Reward,
    size: Any,
    most: int,
    rate: Any,
    steps: int,
) -> jax.Array:
    """log π after each step of sampled training with groups of `size` rollouts, `most` or fewer, `[step, patterns]`."""
    values, chances = (jnp.asarray(x, jnp.float32) for x in reward.outcomes(problem))
    outcomes = values.shape[1]
    where, places = jnp.arange(most) < size, jnp.arange(problem.patterns)

    def step(logits: jax.Array, index: Any) -> Any:
        policy = jax.nn.softmax(logits)
        ladder = jnp.cumsum((policy[:, None] * chances).ravel())
        drawn = jax.random.uniform(jax.random.fold_in(key, index), (most,), jnp.float32) * ladder[-1]
        cell = jnp.sum(drawn[:, None] > ladder[None, :-1], axis=1)
        weights = jnp.where(where, weigh(values.ravel()[cell], where), 0.0) / jnp.asarray(size, jnp.float32)
        total = jnp.sum(weights[:, None] * (cell[:, None] // outcomes == places[None]), axis=0)
        logits = logits + jnp.asarray(rate, jnp.float32) * (total - policy * jnp.sum(total))
        return logits, jax.nn.log_softmax(logits)

    return jax.lax.scan(step, jnp.asarray(problem.log_ref, jnp.float32), jnp.arange(steps))[1]


def noise(problem: Problem, size: Any) -> tuple[jax.Array, jax.Array]:
    r"""Total variance of one group's update over its speed squared, of ±1 and of Dr.GRPO, at the base policy.

    With s = e_r − π, b = ½ and μ = E[Rs] it is (E[(R − b)²|s|²] − |μ|²)/G, and

    (E[(R − ρ)²|s|²] + ρ(1−ρ) E|s|²/(G−1) − |μ|² + |μ|²/(G−1))/G.
    """
    policy, success, rho = problem.ref, problem.success, problem.accuracy_ref
    square = 1 - 2 * policy + jnp.sum(policy**2)
    about = lambda b: jnp.sum(policy * square * (success * (1 - b) ** 2 + (1 - success) * b**2))  # noqa: E731
    along = jnp.sum((policy * (success - rho)) ** 2)
    whole, others = jnp.sum(policy * square), size - 1
    centred = about(rho) + rho * (1 - rho) * whole / others - along + along / others
    return (about(0.5) - along) / size, centred / size


def questions(random: np.random.Generator, number: int) -> Problem:
    """Random questions `[level, number]`: middling (success rates Beta(1, 1)) and hard (Beta(.15, 1.2))."""
    ref = random.dirichlet(np.ones(PATTERNS), number)
    success = np.stack([random.beta(a, b, ref.shape) for a, b in ((1.0, 1.0), (0.15, 1.2))])
    return Problem(jnp.log(np.broadcast_to(ref, success.shape)), jnp.asarray(success))


def signs(cell: Any, asked: Problem, key: jax.Array) -> dict[str, jax.Array]:
    """Accuracy and share of the best pattern after sampled training of one arm on a random question."""
    problem = jax.tree.map(lambda x: jnp.asarray(x)[cell.level.astype(int), cell.seed.astype(int)], asked)
    plain, centred = noise(problem, cell.size)
    size = jnp.where(cell.arm == 3, jnp.clip(jnp.round(cell.size * plain / centred), 1, MOST), cell.size)
    by_sign = (cell.arm == 0) | (cell.arm == 3)
    rules = signed(MOST), dr_grpo(MOST)

    def weigh(rewards: Any, where: Any) -> Any:
        return jnp.where(by_sign, *(rule.weights(rewards, where) for rule in rules))

    rate = jnp.where(cell.arm == 2, 2 * cell.size / (cell.size - 1), 1.0) * cell.rate
    options = {"reward": verifiable(), "size": size, "most": MOST, "rate": rate, "steps": STEPS}
    own = jax.random.fold_in(key, cell.seed.astype(int))
    policy = jnp.exp(sampled(own, problem, weigh, **options)[-1])
    return {"accuracy": policy @ problem.success, "best": policy[problem.best]}


def abstention(rate: Any, share: Any, penalty: Any) -> tuple[Problem, Reward]:
    """Answering, right by `rate`, or abstaining, by `share`; and the reward."""
    problem = Problem(jnp.log(jnp.stack([1 - share, share])), jnp.stack([rate, jnp.zeros_like(rate)]))
    return problem, abstaining(verifiable(), [0.0, 1.0], penalty)


def thresholds(size: int, shares: Any, *, divide: bool) -> np.ndarray:
    """Success rate above which answering gains on abstaining, `[penalty, share of abstaining]`, by the exact drift."""
    rates, rule = jnp.linspace(0.02, 0.98, 49), (grpo if divide else dr_grpo)(size)

    def gain(penalty: Any, share: Any, rate: Any) -> Any:
        problem, reward = abstention(rate, share, penalty)
        return flow.drift(problem, problem.log_ref, algorithm=rule, reward=reward)[0]

    grid = jax.vmap(jax.vmap(jax.vmap(gain, (None, None, 0)), (None, 0, None)), (0, None, None))
    found = np.asarray(jax.jit(grid)(jnp.asarray(PENALTIES), jnp.asarray(shares), rates))
    return np.array([[np.interp(0.0, row, rates) for row in rows] for rows in found])


def answers(cell: Any, key: jax.Array, most: int) -> dict[str, jax.Array]:
    """Share of answering at every tenth of 400 sampled steps, from one half on."""
    problem, reward = abstention(jnp.asarray(ANSWERED), jnp.asarray(0.5), cell.penalty)
    rules = grpo(most), dr_grpo(most)

    def weigh(rewards: Any, where: Any) -> Any:
        return jnp.where(cell.rule < 1, *(rule.weights(rewards, where) for rule in rules))

    options = {"reward": reward, "size": cell.size, "most": most, "rate": 0.2, "steps": 400}
    return {"answers": jnp.exp(sampled(key, problem, weigh, **options)[9::10, 0])}


def spent(size: int, rates: Any, budgets: Any, seeds: int, key: jax.Array) -> xr.DataArray:
    """Accuracy of GRPO with groups of one size once so many rollouts are spent, `[rate, seed, budget]`."""
    last = np.array(budgets) // size - 1

    def one(cell: Any, key: jax.Array) -> dict[str, jax.Array]:
        problem = Problem(jnp.log(base(0.1)), jnp.asarray(RATES, jnp.float64))
        options = {"reward": verifiable(), "size": size, "most": size, "rate": cell.rate}
        path = sampled(key, problem, grpo(size).weights, steps=int(last[-1]) + 1, **options)
        return {"accuracy": jnp.exp(path[last]) @ jnp.asarray(RATES, jnp.float32)}

    axes, dims = {"rate": rates}, {"accuracy": ["budget"]}
    found = lab.cells(one, key=key, seeds=seeds, axes=axes, dims=dims, block=256)
    return found.accuracy.assign_coords(budget=list(budgets))
