"""The orbit's functions of one problem: events and their times, policies, leaders."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _check, _programs
from qra_jax.algorithm import Algorithm
from qra_jax.batching import with_batched_form
from qra_jax.orbit import batch, curve as _curve, envelope, hitting, sampling
from qra_jax.orbit.curve import Lines
from qra_jax.orbit.envelope import Dominance
from qra_jax.orbit.hitting import Hit
from qra_jax.orbit.setting import check, gather
from qra_jax.problem import Problem
from qra_jax.reward import Reward
from qra_jax.trajectory import Trajectory


@with_batched_form(batch.hits)
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

    For a large batch `qra.many(partial(orbit.hit, target=…))(problems)` is faster than `jax.vmap`, without derivatives.

    Args:
      problem: one question.
      target: level in (0, 1): a share for `"best"`, an accuracy for `"accuracy"`; `"peak"` ignores it.
      event: `"best"`, π(r*) ≥ target; `"accuracy"`, ρ ≥ target; `"peak"`, the highest accuracy on the whole
        orbit (UNREACHABLE when accuracy is highest in the limit t → ∞, ALREADY_MET when at the start).
      algorithm: sets the clock; default: REINFORCE.
      reward: sets the orbit; default: the perfect verifier. Must not depend on the policy.
      geometry: `"softmax"` for the policy gradient, `"natural"` for the natural gradient.

    Returns:
      A `Hit`. `log_time` and `log_policy` carry first derivatives.

    Raises:
      ValueError: target outside (0, 1), unknown event or geometry, a reference policy that does not sum to one, a
        reward that depends on the policy, or an algorithm without a clock for this reward: with real-valued rewards
        all algorithms whose weights at finite G are not linear in the rewards.

    >>> import qra_jax as qra
    >>> result = hit(qra.problem.examples.worked(), 0.99)
    >>> result, round(float(jnp.exp(result.log_time)), 3)
    (Hit(t = 271, OK), 270.957)
    """
    hitting.check(event, target)
    algorithm, reward = check(problem, algorithm, reward, geometry)
    best, peak = np.asarray(event == hitting.BEST), event == hitting.PEAK
    target = 0.5 if peak else target
    level = target if isinstance(target, jax.Array) else np.asarray(target, problem.log_ref.dtype)
    return find_hit(problem, level, best, algorithm, reward, geometry=geometry, peak=peak)


@_programs.brief("geometry", "peak")
def find_hit(
    problem: Problem,
    target: Any,
    best: Any,
    algorithm: Algorithm,
    reward: Reward,
    *,
    geometry: str = "softmax",
    peak: bool = False,
) -> Hit:
    """What [`hit`][] computes once all is checked, one program for both kinds of level.

    Args:
      best: whether the level is that of π(r*), and not of accuracy; may be traced.
      peak: whether the event is the peak of accuracy, which has no level.

    As for [`hit`][]: `problem`, `target`, `algorithm`, `reward`, `geometry`.
    """
    setting = gather(problem, algorithm, reward, target, best)
    log_time, tau, event = hitting.find(peak, geometry, reward.binary, setting)
    log_policy = hitting.log_policy(setting, geometry, jax.lax.stop_gradient(event.place), tau)
    return Hit(log_time, log_policy, event.status, event.panels)


@with_batched_form(batch.log_hitting_times)
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


@with_batched_form(batch.log_transition_times)
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
    algorithm, reward = check(problem, algorithm, reward, geometry)
    best = np.asarray(False)
    return find_hit(problem, problem.second_best, best, algorithm, reward, geometry=geometry).log_time


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
    algorithm, reward = check(problem, algorithm, reward, geometry)
    given = _check.increasing("log_ts", log_ts) if ts is None else _check.times("ts", ts)
    times = jnp.asarray(given, problem.log_ref.dtype)
    return _solve(problem, times, algorithm, reward, geometry=geometry, in_logs=ts is None)


@_programs.brief("geometry", "in_logs")
def _solve(
    problem: Problem, times: Array, algorithm: Algorithm, reward: Reward, *, geometry: str, in_logs: bool
) -> Trajectory:
    """What [`solve`][] computes once all is checked, with its times or their logs."""
    setting, binary = gather(problem, algorithm, reward), reward.binary
    ts, log_times = (jnp.exp(times), times) if in_logs else (times, jnp.log(times))
    tau, places, status, panels = sampling.sample(geometry, binary, setting, log_times)
    frozen, walls = jax.lax.stop_gradient(places), Lines.through(setting.log_ref, setting.reward, geometry)
    log_policy = jax.vmap(lambda place, tau: hitting.log_policy(setting, geometry, place, tau))(frozen, tau)
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
    setting = gather(problem, *check(problem, None, reward, geometry, clocked=False))
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
    setting = gather(problem, *check(problem, None, reward, geometry, clocked=False))
    return envelope.lower_envelope(Lines.through(setting.log_ref, setting.reward, geometry))


def lines(
    problem: Problem, *, reward: Reward | None = None, geometry: str = "softmax"
) -> tuple[Float[Array, " patterns"], Float[Array, " patterns"]]:
    """The lines whose lower envelope names the leader: offsets 1/π_ref (natural: −log π_ref) and slopes R.

    As for [`hit`][]: `problem`, `reward`, `geometry`.

    Returns:
      `[patterns]` offsets (`inf` without reference mass) and `[patterns]` rewards.
    """
    setting = gather(problem, *check(problem, None, reward, geometry, clocked=False))
    offset = -problem.log_ref if geometry == _curve.NATURAL else jnp.exp(-problem.log_ref)
    return offset, setting.reward
