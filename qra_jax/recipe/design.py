"""Designing by gradient: recipes that reach a target soonest, or get furthest on a budget; and what to teach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, Float, Int

from qra_jax import _check, orbit, parts
from qra_jax.algorithm import Algorithm
from qra_jax.problem import Problem
from qra_jax.recipe.recipe import Recipe
from qra_jax.recipe.run import RecipeRun
from qra_jax.recipe.schedule import Schedule
from qra_jax.reward import Reward
from qra_jax.trajectory import Outcome, Status

OBJECTIVES: dict[str, Callable[[RecipeRun], Array]] = {
    "cost": lambda run: run.log_cost,
    "accuracy": lambda run: -jnp.mean(run.accuracy),
}
"""What can be minimised by name: log of the total cost; minus the mean accuracy at the end."""

POSITIVE = ("time", "learning_rate", "beta", "weight", "unsolved")
SHARES = ("demonstrations", "q", "until")
SIMPLEX = ("mixture",)
INSIDE = 1e-3
"""Numbers in [0, 1] and simplex entries start at least this far inside."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Design:
    """A recipe found by gradient.

    Attributes:
      recipe: the best one met.
      value: its objective.
      gradient: largest absolute derivative of the objective there, in the unconstrained parameters (logarithms of
        positive numbers, logits of shares): near zero where the search has come to rest.
      history: `[restarts, steps + 1]`, the objective on the way.
    """

    recipe: Recipe
    value: Float[Array, ""]
    gradient: Float[Array, ""]
    history: Float[Array, "restarts records"]


def optimize(
    recipe: Recipe,
    problem: Problem,
    *,
    free: Sequence[str],
    objective: str | Callable[[RecipeRun], Array] = "cost",
    budget: float | None = None,
    optimizer: optax.GradientTransformation | None = None,
    steps: int = 100,
    restarts: int = 1,
    spread: float = 1.0,
    key: Any = None,
    **options: Any,
) -> Design:
    r"""Improve numbers of a recipe by gradient descent through all of its phases.

    Times, rates, β and weights move on a log scale, q, shares and levels on a logit scale, mixtures through a softmax,
    so that every iterate is a valid recipe. With a budget B the free times share what it leaves,
    $\text{price}_i T_i = (B - \text{fixed})\,\mathrm{softmax}(z)_i$: all of it is spent (demonstration prices aside).
    A point where a phase fails is never the best one.

    The derivatives are true ones for phases that run as orbit, flow or mean, see [`Recipe.run`][]; sampled phases are
    refused.

    Args:
      recipe: where to start.
      problem: the question, or questions.
      free: what may change, as `"phase.field"`: `("0.time", "0.demonstrations", "1.beta")`. A field that is a
        `Schedule` gives all its knots. Fields: time, learning_rate, beta, weight, unsolved, demonstrations, q, until,
        mixture.
      objective: `"cost"`, log of the total cost (phases that end at `until`); `"accuracy"`, minus the final mean
        accuracy; or a function of the [`RecipeRun`][] to be minimised, such as `lambda run: -run.pass_at_k(8)`.
      budget: total of price × time over all phases, for recipes whose phases all have a `time` and no `until`.
      optimizer: optax transformation; default: Adam with a rate that falls from 0.1 to 0.
      steps: of the optimizer, ≥ 1.
      restarts: searches, ≥ 1; all but the first start from a normal distance away.
      spread: its standard deviation, in logarithms and logits.
      key: PRNG key, needed with several restarts.
      **options: for [`Recipe.run`][].

    Returns:
      A [`Design`][].

    Raises:
      ValueError: a name that is not there or has no value, an unknown objective, a sampled phase, a budget that is
        already spent or does not apply.

    Reference: *derived here*; the orbit's derivatives are in `qra_jax.orbit`.
    """
    if not free:
        raise ValueError("free: empty; must name at least one number, such as '0.time'")
    _check.integer("steps", steps, low=1)
    _check.integer("restarts", restarts, low=1)
    if restarts > 1 and key is None:
        raise ValueError("key: missing; several restarts need a PRNG key")
    if isinstance(objective, str):
        parts.check_keys("objective", [objective], OBJECTIVES)
        objective = OBJECTIVES[objective]
    for place, phase in enumerate(recipe.phases):
        if phase.runner == "sampled":
            raise ValueError(f"phases[{place}].runner: 'sampled' has no true derivative; must be another one")
    dtype = problem.log_ref.dtype
    names = [_locate(recipe, name) for name in dict.fromkeys(free)]
    given = {name: _free(getattr(recipe.phases[name[0]], name[1]), name[1], dtype) for name in names}
    build = _builder(recipe, names, _allowance(recipe, names, budget), dtype)

    def loss(numbers: Any) -> Array:
        run = build(numbers).run(problem, **options)
        failed = jnp.any(run.status >= Status.NOT_CONVERGED)
        return jnp.where(failed, jnp.nan, objective(run))  # pyright: ignore[reportCallIssue]

    numbers = [given[name] for name in names]
    starts = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (restarts, *leaf.shape)), numbers)
    if restarts > 1:
        keys = jax.random.split(key, len(names))
        starts = [
            leaf.at[1:].add(spread * jax.random.normal(sub, leaf[1:].shape, dtype))
            for leaf, sub in zip(starts, keys, strict=True)
        ]
    transform = optimizer or optax.adam(optax.cosine_decay_schedule(0.1, steps))
    best, values, slopes, history = jax.jit(jax.vmap(lambda start: _descend(loss, transform, steps, start)))(
        starts
    )
    winner = jnp.argmin(jnp.where(jnp.isnan(values), jnp.inf, values))
    chosen = jax.tree.map(lambda leaf: leaf[winner], best)
    return Design(build(chosen), values[winner], slopes[winner], history)


def _descend(loss: Any, transform: Any, steps: int, start: Any) -> tuple[Any, Array, Array, Array]:
    """The best point on the way of an optimiser, its value and steepness, and the values on the way."""

    def keep(best: Any, point: Any, value: Array, slope: Any) -> Any:
        steep = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(slope)]))
        better = jnp.isfinite(value) & (value < best[1])
        return jax.tree.map(lambda old, new: jnp.where(better, new, old), best, (point, value, steep))

    def step(carry: Any, _: None) -> tuple[Any, Array]:
        point, memory, best = carry
        value, slope = jax.value_and_grad(loss)(point)
        best = keep(best, point, value, slope)
        slope = jax.tree.map(lambda leaf: jnp.where(jnp.isfinite(leaf), leaf, 0.0), slope)
        change, memory = transform.update(slope, memory, point)
        return (optax.apply_updates(point, change), memory, best), value

    nothing = jnp.full((), jnp.inf, jax.tree.leaves(start)[0].dtype)
    first = (start, transform.init(start), (start, nothing, nothing))
    (_, _, best), history = jax.lax.scan(step, first, None, steps + 1)
    return (*best, history)


def _locate(recipe: Recipe, name: str) -> tuple[int, str]:
    """Phase and field of a name, which must have a value."""
    place, _, field = name.partition(".")
    known = (*POSITIVE, *SHARES, *SIMPLEX)
    if not place.isdigit() or int(place) >= len(recipe.phases):
        last = len(recipe.phases) - 1
        raise ValueError(f"free: {name!r}; must be 'phase.field' with a phase from 0 to {last}")
    parts.check_keys(f"free, phase {place}", [field], known)
    if getattr(recipe.phases[int(place)], field) is None:
        raise ValueError(f"free: {name!r} has no value in the recipe to start from")
    return int(place), field


def _free(value: Any, field: str, dtype: Any) -> Array:
    """A field as unconstrained numbers."""
    value = value.knots if isinstance(value, Schedule) else value
    number = jnp.asarray(value, dtype)
    if field in POSITIVE:
        if not isinstance(value, Tracer) and not np.all(np.asarray(value) > 0):
            raise ValueError(f"free: {field} starts at {np.min(np.asarray(value)):g}; must be positive")
        return jnp.log(number)
    inside = jnp.clip(number, INSIDE, 1 - INSIDE)
    return jnp.log(inside) if field in SIMPLEX else jnp.log(inside) - jnp.log1p(-inside)


def _constrain(number: Array, field: str) -> Array:
    if field in POSITIVE:
        return jnp.exp(number)
    return jax.nn.softmax(number, axis=-1) if field in SIMPLEX else jax.nn.sigmoid(number)


def _allowance(recipe: Recipe, names: list[tuple[int, str]], budget: float | None) -> float | None:
    """What a budget leaves for the free times."""
    if budget is None:
        return None
    _check.positive("budget", budget)
    free = [place for place, field in names if field == "time"]
    if not free:
        raise ValueError("budget: given, but no time is free; name one, such as '0.time'")
    for place, phase in enumerate(recipe.phases):
        if phase.time is None or phase.until is not None:
            raise ValueError(f"budget: phases[{place}] must have a time and no `until`")
        if place in free and not float(phase.price) > 0:
            raise ValueError(
                f"budget: phases[{place}].price: {float(phase.price):g}; must be positive for a free time"
            )
    spent = sum(float(p.price) * float(p.time) for i, p in enumerate(recipe.phases) if i not in free)
    if spent >= budget:
        raise ValueError(f"budget: {budget:g}; must be above {spent:g}, which the fixed phases cost")
    return budget - spent


def _builder(
    recipe: Recipe, names: list[tuple[int, str]], allowance: float | None, dtype: Any
) -> Callable[[list[Array]], Recipe]:
    def build(numbers: list[Array]) -> Recipe:
        values = {name: _constrain(number, name[1]) for name, number in zip(names, numbers, strict=True)}
        if allowance is not None:
            times = [name for name in names if name[1] == "time"]
            prices = jnp.stack([jnp.asarray(recipe.phases[place].price, dtype) for place, _ in times])
            costs = prices * jnp.stack([values[name] for name in times])
            for i, name in enumerate(times):
                values[name] = allowance * costs[i] / jnp.sum(costs) / prices[i]
        phases = list(recipe.phases)
        for (place, field), value in values.items():
            old = getattr(phases[place], field)
            value = replace(old, knots=value) if isinstance(old, Schedule) else value
            phases[place] = replace(phases[place], **{field: value})
        return Recipe(tuple(phases))

    return build


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sensitivity(Outcome):
    r"""How the time to a target changes with the base model: true derivatives of the exact hitting time.

    Attributes:
      log_time: log T.
      ref: `[patterns]`, $g_r=\partial\log T/\partial\theta_r$, θ the logits of π_ref: percent of time for a percent of
        the pattern's own odds, the others giving way in proportion; sums to zero.
      share: `[patterns]`, $g_r/\pi_r$: percent of time for a point of probability moved to the pattern,
        $\pi_{\rm ref}\to(1-\varepsilon)\pi_{\rm ref}+\varepsilon e_r$.
      teach: `[patterns]`, $g_r-\sum_s\pi_s g_s$: how log T changes in a unit of time of SFT on the pattern alone,
        $\dot\theta=e_r-\pi$; μ·teach for a mixture μ.
      success: `[patterns]`, ∂ log T / ∂ p_r: percent of time for a point of success rate.
      status: a `Status`.
    """

    log_time: Float[Array, ""]
    ref: Float[Array, " patterns"]
    share: Float[Array, " patterns"]
    teach: Float[Array, " patterns"]
    success: Float[Array, " patterns"]
    status: Int[Array, ""]

    @property
    def what_to_teach(self) -> Int[Array, "*batch"]:
        """The pattern on which a little SFT saves most time: the most negative `teach`."""
        return jnp.argmin(jnp.where(jnp.isnan(self.teach), jnp.inf, self.teach), axis=-1)


def sensitivity(
    problem: Problem,
    target: float | Array = 0.99,
    *,
    event: str = "best",
    algorithm: Algorithm | None = None,
    reward: Reward | None = None,
    geometry: str = "softmax",
) -> Sensitivity:
    r"""Derivatives of the log of the hitting time with respect to the base policy and the success rates.

    Which pattern, if SFT raised it a little, would save most RL time? See [`Sensitivity`][] for what is derived from
    the gradient $g$ in the logits of π_ref.

    Args:
      problem: one question.

    As for `orbit.hit`: `target`, `event`, `algorithm`, `reward`, `geometry`.

    Returns:
      A [`Sensitivity`][]; NaN for patterns without mass, and throughout where the target is met at the start or never.

    Raises:
      ValueError: as for `orbit.hit`.

    Reference: *derived here*.

    >>> from qra_jax.problem import examples
    >>> int(sensitivity(examples.worked()).what_to_teach)
    0
    """

    def log_time(log_ref: Array, success: Array) -> tuple[Array, Array]:
        asked = replace(problem.with_ref(log_ref), success=success)
        hit = orbit.hit(asked, target, event=event, algorithm=algorithm, reward=reward, geometry=geometry)
        return hit.log_time, hit.status

    differentiate = jax.value_and_grad(log_time, argnums=(0, 1), has_aux=True)
    (value, status), (ref, success) = differentiate(problem.log_ref, problem.success)
    known = jnp.isfinite(value)
    ref, success = (jnp.where(known, slope, jnp.nan) for slope in (ref, success))
    massless = jnp.isneginf(problem.log_ref)
    policy = jnp.where(massless, 1.0, problem.with_ref(problem.log_ref).ref)
    teach = ref - jnp.sum(jnp.where(massless, 0.0, policy * ref))
    share, teach = (jnp.where(massless, jnp.nan, slope) for slope in (ref / policy, teach))
    return Sensitivity(value, ref, share, teach, success, status)
