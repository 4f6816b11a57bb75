r"""The exact orbit of a question: one curve in the simplex for every on-policy algorithm, each with its clock.

$$ \dot\theta = c(\rho)\;\pi\odot(R-\bar R) \quad\text{(softmax policy gradient)},\qquad
   \dot\theta = c(\rho)\,R \quad\text{(natural gradient)} $$

Times span 1e-10 to 1e300, so events return *log* time. All functions act on one problem, run under `jit` and
`vmap`, and carry exact first derivatives (not second ones) with respect to the reference policy, the success rates,
the target and the parameters of reward and algorithm. Nothing here has regularisers: use `qra_jax.flow` for those.

Reference: Chen, Li, Zou, arXiv 2506.04695, §4; the closed form is derived in this package's documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from qra_jax import _check, _show
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.batching import chunked
from qra_jax.orbit import curve as _curve, envelope, hitting, sampling
from qra_jax.orbit.curve import Lines, Place
from qra_jax.orbit.envelope import Dominance
from qra_jax.orbit.hitting import EVENTS, Setting
from qra_jax.problem import Problem
from qra_jax.regularizer import GEOMETRIES
from qra_jax.reward import Reward, verifiable
from qra_jax.trajectory import Trajectory, outcomes

__all__ = [
    "Dominance",
    "Hit",
    "dominance",
    "hit",
    "hit_batch",
    "hit_pool",
    "lines",
    "log_hitting_time",
    "log_transition_time",
    "policy",
    "solve",
]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Hit:
    """When and where something happens on an orbit.

    Attributes:
      log_time: natural log of the training time (unit learning rate); −inf if it holds at the start, +inf if never.
      log_policy: `[patterns]`, log π there (where the orbit ends, if never).
      status: a `Status`: OK, ALREADY_MET, UNREACHABLE, NOT_CONVERGED, OUT_OF_PRECISION or INVALID.
      panels: quadrature panels evaluated, the measure of work.
    """

    log_time: Float[Array, "*batch"]
    log_policy: Float[Array, "*batch patterns"]
    status: Int[Array, "*batch"]
    panels: Int[Array, "*batch"]

    def __repr__(self) -> str:
        if not _show.concrete(self.log_time, self.status):
            return f"Hit(log_time={_show.shape(self.log_time)}, log_policy={_show.shape(self.log_policy)})"
        if self.log_time.ndim:
            batch = " × ".join(map(str, self.log_time.shape))
            return f"Hit({', '.join(filter(None, [f'{batch} problems', outcomes(self.status)]))})"
        return f"Hit(t = {_show.from_log(float(self.log_time))}, {outcomes(self.status)})"


def hit(
    problem: Problem,
    target: float | Array = 0.99,
    *,
    event: str = "best",
    algorithm: Algorithm | None = None,
    reward: Reward | None = None,
    geometry: str = "softmax",
) -> Hit:
    r"""First time of an event on the exact orbit.

    $$ t = \int_0^{\tau_f} \frac{Z(\tau)}{c(\rho(\tau))}\,d\tau $$

    Args:
      problem: one question.
      target: level in (0, 1): a share for `"best"`, an accuracy for `"accuracy"`; `"peak"` ignores it.
      event: `"best"`, π(r*) ≥ target; `"accuracy"`, ρ ≥ target; `"peak"`, the highest accuracy on the whole
        orbit (UNREACHABLE when accuracy is highest in the limit t → ∞, ALREADY_MET when at the start).
      algorithm: sets the clock; REINFORCE where left out.
      reward: sets the orbit; the perfect verifier where left out. Must not depend on the policy.
      geometry: `"softmax"` for the policy gradient, `"natural"` for the natural gradient.

    Returns:
      A `Hit`. `log_time` and `log_policy` carry first derivatives.

    Raises:
      ValueError: target outside (0, 1), unknown event or geometry, a reference policy that does not sum to one, a
        reward that depends on the policy, or an algorithm without a clock for this reward.

    >>> import qra_jax as qra
    >>> result = hit(qra.problem.examples.worked(), 0.99)
    >>> result, round(float(jnp.exp(result.log_time)), 3)
    (Hit(t = 271, OK), 270.957)
    """
    _check_event(event, target)
    setting, binary = _setting(problem, algorithm, reward, geometry, target)
    log_time, tau, found = hitting.find(event, geometry, binary, setting)
    log_policy = _log_policy(setting, geometry, jax.lax.stop_gradient(found.place), tau)
    return Hit(log_time, log_policy, found.status, found.panels)


def log_hitting_time(
    problem: Problem,
    target: float | Array = 0.99,
    *,
    event: str = "best",
    algorithm: Algorithm | None = None,
    reward: Reward | None = None,
    geometry: str = "softmax",
) -> Float[Array, ""]:
    """Natural log of the first time of an event; the arguments are those of [`hit`][].

    Returns:
      Scalar; −inf if it holds at the start, +inf if it never happens, NaN only for invalid input.

    >>> import qra_jax as qra
    >>> problem = qra.problem.examples.worked()
    >>> round(float(jnp.exp(log_hitting_time(problem, target=.99, algorithm=qra.grpo(group_size=8)))), 3)
    127.128
    """
    return hit(problem, target, event=event, algorithm=algorithm, reward=reward, geometry=geometry).log_time


def hit_batch(
    problems: Problem,
    target: float | Array = 0.99,
    *,
    event: str = "best",
    algorithm: Algorithm | None = None,
    reward: Reward | None = None,
    geometry: str = "softmax",
    lanes: int = 128,
    chunk: int = 8192,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Hit:
    """[`hit`][] for a batch of any size, on all cores, in bounded memory; no derivatives.

    A lane that is done with its problem takes up the next, so that easy problems do not wait for hard ones: faster
    than `jax.vmap(hit)`, with the same results to rounding.

    Args:
      problems: a `Problem` with a leading axis `[problems]`.
      lanes: problems that are worked on at a time by one thread, ≥ 1.
      chunk: problems in one compiled call, ≥ 1; bounds the memory in flight.
      workers: threads; all of this process's cores on CPU, one elsewhere.
      progress: called with the number of problems finished after each chunk.

    As for [`hit`][]; the same for all problems: `target`, `event`, `algorithm`, `reward`, `geometry`.

    Returns:
      A `Hit` whose arrays have a leading axis `[problems]`.

    Raises:
      ValueError: as for [`hit`][], or problems without a leading axis.
    """
    _check_event(event, target)
    _check.problem(problems, "problems")
    if problems.log_ref.ndim != 2:
        raise ValueError(f"problems: shape {problems.log_ref.shape}; must be [problems, patterns]")
    _check.integer("lanes", lanes, low=1)

    algorithm, reward = _parts(algorithm, reward)
    settings = _settings(problems, algorithm, reward, target, geometry)
    return _batch(event, geometry, reward.binary, lanes, chunk, workers)(settings, progress=progress)


@partial(jax.jit, static_argnames="geometry")
def _settings(problems: Problem, algorithm: Algorithm, reward: Reward, target: Any, geometry: str) -> Setting:
    return jax.vmap(lambda problem: _setting(problem, algorithm, reward, geometry, target)[0])(problems)


@lru_cache
def _batch(
    event: str, geometry: str, binary: bool, lanes: int, chunk: int, workers: int | None
) -> Callable[..., Hit]:
    """The batched search, compiled once for each shape."""

    return chunked(partial(_pool, event, geometry, binary, lanes), chunk=chunk, workers=workers)


def _pool(event: str, geometry: str, binary: bool, lanes: int, settings: Setting) -> Hit:
    def outcome(setting: Setting, found: hitting.Found) -> Hit:
        log_policy = _log_policy(setting, geometry, found.place, found.place.tau)
        return Hit(found.log_time, log_policy, found.status, found.panels)

    found = hitting.find_many(event, geometry, binary, settings, lanes)
    return jax.lax.map(lambda each: outcome(*each), (settings, found), batch_size=lanes)


def hit_pool(
    problems: Problem,
    targets: Array,
    algorithms: Algorithm,
    rewards: Reward,
    *,
    event: str = "best",
    geometry: str = "softmax",
    lanes: int = 128,
) -> Hit:
    """What [`hit_batch`][] computes in one call, under `jit`: every array has a leading axis `[problems]`.

    So targets, and the parameters of algorithm and reward, may differ from problem to problem. Where `lanes` divides
    the number of problems, the result for one does not depend on the others.

    Args:
      lanes: as for [`hit_batch`][].

    As for [`hit`][], stacked: `problems`, `targets`, `algorithms`, `rewards`.

    As for [`hit`][]: `event`, `geometry`.

    Returns:
      A `Hit` whose arrays have a leading axis `[problems]`.

    Raises:
      ValueError: as for [`hit`][].
    """
    _check_event(event, targets)

    def setting(each: tuple[Problem, Array, Algorithm, Reward]) -> Setting:
        problem, target, algorithm, reward = each
        return _setting(problem, algorithm, reward, geometry, target)[0]

    settings = jax.lax.map(setting, (problems, targets, algorithms, rewards), batch_size=lanes)
    return _pool(event, geometry, rewards.binary, lanes, settings)


def _check_event(event: str, target: Any) -> None:
    _check.choice("event", event, EVENTS)
    if event != hitting.PEAK:
        _check.open_unit_interval("target", target)


def log_transition_time(
    problem: Problem,
    *,
    algorithm: Algorithm | None = None,
    reward: Reward | None = None,
    geometry: str = "softmax",
) -> Float[Array, ""]:
    """Log of T_0, the time at which accuracy exceeds the second-best success rate and the entanglement is over.

    As for [`hit`][]: `problem`, `algorithm`, `reward`, `geometry`.

    Returns:
      Scalar; −inf in the fast regime.

    Reference: Chen, Li, Zou, arXiv 2506.04695, Theorem 5.4.

    >>> import qra_jax as qra
    >>> round(float(jnp.exp(log_transition_time(qra.problem.examples.worked()))), 3)
    42.683
    """
    _check.problem(problem)
    setting, binary = _setting(problem, algorithm, reward, geometry, problem.second_best)
    return hitting.find(hitting.ACCURACY, geometry, binary, setting)[0]


def solve(
    problem: Problem,
    ts: Any = None,
    *,
    log_ts: Any = None,
    algorithm: Algorithm | None = None,
    reward: Reward | None = None,
    geometry: str = "softmax",
) -> Trajectory:
    """The orbit sampled at given times, exactly: no step size, no drift, any time up to 1e300.

    Args:
      problem: one question.
      ts: `[times]`, increasing, zero or above; or
      log_ts: `[times]`, their natural logs.

    As for [`hit`][]: `algorithm`, `reward`, `geometry`.

    Returns:
      A `Trajectory` with first derivatives; `stats["panels"]` is the work done, `stats["log_time"]` and
      `stats["log_tau"]` are the logs of time and of orbit time.

    Raises:
      ValueError: neither or both of `ts` and `log_ts`, times that are negative, NaN or not increasing; or as for
        [`hit`][].
    """
    if (ts is None) == (log_ts is None):
        raise ValueError("ts, log_ts: give exactly one of them")
    setting, binary = _setting(problem, algorithm, reward, geometry, 0.5)
    dtype = problem.log_ref.dtype
    if log_ts is None:
        ts = jnp.asarray(_check.times("ts", ts), dtype)
        log_times = jnp.log(ts)
    else:
        log_times = jnp.asarray(_check.increasing("log_ts", log_ts), dtype)
        ts = jnp.exp(log_times)
    tau, places, status, panels = sampling.sample(geometry, binary, setting, log_times)
    frozen, walls = jax.lax.stop_gradient(places), Lines.through(setting.log_ref, setting.reward, geometry)
    log_policy = jax.vmap(lambda place, tau: _log_policy(setting, geometry, place, tau))(frozen, tau)
    moved = tau > 0
    log_tau = jnp.where(moved, jnp.log(jnp.where(moved, tau, 1.0)), -jnp.inf) + walls.log_unit
    stats = {"panels": panels, "log_time": log_times, "log_tau": log_tau}
    return Trajectory(ts, log_policy, problem.success, status, stats)


def policy(
    problem: Problem,
    tau: float | Array,
    *,
    reward: Reward | None = None,
    geometry: str = "softmax",
) -> Float[Array, " patterns"]:
    """log π at orbit time τ, which all clocks share.

    Args:
      problem: one question.
      tau: orbit time, zero or above, in the gauge θ_0 = log π_ref.

    As for [`hit`][]: `reward`, `geometry`.

    Returns:
      `[patterns]`, log π.

    Raises:
      ValueError: τ negative, unknown geometry, a reward that depends on the policy.
    """
    _check.nonnegative("tau", tau)
    setting, _ = _setting(problem, None, reward, geometry, 0.5, clocked=False)
    walls = Lines.through(setting.log_ref, setting.reward, geometry)
    scaled = jnp.asarray(tau, problem.log_ref.dtype) * jnp.exp(-walls.log_unit)
    heights = jnp.where(walls.mass > 0, walls.offset - walls.reward * scaled, jnp.inf)
    gaps = jnp.where(walls.mass > 0, heights - jnp.min(heights), 1.0)
    return _curve.log_policy(walls, gaps)


def dominance(problem: Problem, *, reward: Reward | None = None, geometry: str = "softmax") -> Dominance:
    """Who leads when: the lower envelope of the lines u_r − R_r τ.

    Switches happen at τ = (u_j − u_i)/(R_j − R_i); a pattern off the envelope never leads.

    As for [`hit`][]: `problem`, `reward`, `geometry`.

    Returns:
      A `Dominance`.

    >>> import qra_jax as qra
    >>> dominance(qra.problem.examples.worked()).leaders.tolist()
    [1, 0, -1]
    """
    setting, _ = _setting(problem, None, reward, geometry, 0.5, clocked=False)
    return envelope.lower_envelope(Lines.through(setting.log_ref, setting.reward, geometry))


def lines(
    problem: Problem, *, reward: Reward | None = None, geometry: str = "softmax"
) -> tuple[Float[Array, " patterns"], Float[Array, " patterns"]]:
    """The lines whose lower envelope names the leader: offsets 1/π_ref (natural: −log π_ref) and slopes R.

    As for [`hit`][]: `problem`, `reward`, `geometry`.

    Returns:
      `[patterns]` offsets (`inf` without reference mass) and `[patterns]` rewards.
    """
    setting, _ = _setting(problem, None, reward, geometry, 0.5, clocked=False)
    offset = -problem.log_ref if geometry == _curve.NATURAL else jnp.exp(-problem.log_ref)
    return offset, setting.reward


def _parts(algorithm: Algorithm | None, reward: Reward | None) -> tuple[Algorithm, Reward]:
    """The parts that were given, the usual ones where none were."""
    algorithm = reinforce() if algorithm is None else algorithm
    reward = verifiable() if reward is None else reward
    return _check.part("algorithm", algorithm, Algorithm), _check.part("reward", reward, Reward)


def _log_policy(setting: Setting, geometry: str, place: Place, tau: Array) -> Float[Array, " patterns"]:
    walls = Lines.through(setting.log_ref, setting.reward, geometry)
    return _curve.log_policy(walls, _curve.follow(walls, replace(place, tau=tau)))


def _setting(
    problem: Problem,
    algorithm: Algorithm | None,
    reward: Reward | None,
    geometry: str,
    target: Any,
    *,
    clocked: bool = True,
) -> tuple[Setting, bool]:
    """Check the arguments and gather what the orbit depends on."""
    _check.choice("geometry", geometry, GEOMETRIES)
    _check.problem(problem)
    algorithm, reward = _parts(algorithm, reward)
    if problem.log_ref.ndim != 1:
        raise ValueError(f"problem: shape {problem.log_ref.shape}; must be one problem, batch with jax.vmap")
    if not reward.fixed:
        raise ValueError(
            f"reward: {reward.name} depends on the policy and has no closed orbit; use qra_jax.flow"
        )
    if clocked and not reward.binary and algorithm.real_clock is None:
        raise ValueError(f"algorithm: {algorithm.name} has no clock for the real-valued reward {reward.name}")
    dtype = problem.log_ref.dtype
    as_float = lambda leaf: jnp.asarray(leaf, dtype)  # noqa: E731
    setting = Setting(
        problem.log_ref,
        as_float(reward.rates(problem)),
        as_float(problem.success),
        as_float(target),
        jax.tree.map(as_float, algorithm),
    )
    return setting, reward.binary
