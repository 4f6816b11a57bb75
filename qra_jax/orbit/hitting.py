r"""When something happens on an orbit: the place, the log time, and first derivatives of both.

An event is a function of the policy that turns from negative to non-negative: the mean, less its level, of success
rates or of what is one for r* alone, so that both are one program; or for the peak of accuracy its slope, with the
other sign. The walk stops at the first panel in which it does (for the peak it goes to the end and keeps the highest),
a bracketed Newton iteration finds the place, and a last panel ends there.

Derivatives follow from the implicit function theorem. With $F(\tau_f,\varphi) = \log\int_0^{\tau_f} f\,d\tau$ and the
event $e(\tau_f,\varphi) = 0$, $dF = \partial_\varphi F - (f/t)\,\partial_\varphi e/\partial_\tau e$; the integral
$\partial_\varphi F$ is summed along a second walk over the same panels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from qra_jax import _check, _show
from qra_jax._batches import pooled_while
from qra_jax.orbit import curve as _curve, panels as _panels
from qra_jax.orbit.curve import Leaf, Lines, Place
from qra_jax.orbit.panels import Walk
from qra_jax.orbit.setting import Setting
from qra_jax.trajectory import Outcome, Status, outcomes

BEST, ACCURACY, PEAK = "best", "accuracy", "peak"
EVENTS = (BEST, ACCURACY, PEAK)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Hit(Outcome):
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


def check(event: str, target: Any) -> None:
    """Reject unknown events and targets out of range.

    Raises:
      ValueError: an unknown event, a target outside (0, 1).
    """
    _check.choice("event", event, EVENTS)
    if event != PEAK:
        _check.open_unit_interval("target", target)


def event_value(peak: bool, geometry: str, setting: Setting, ratio: Array) -> Array:
    """What turns from negative to non-negative at the event."""
    policy = ratio / jnp.sum(ratio)
    if not peak:
        return jnp.sum(policy * (setting.seen - setting.target))
    # Slope of accuracy, dρ/dτ ∝ Cov_π(p, (R − R̄) m) with m = 1/w (softmax, over the leader's) or 1 (natural),
    # measured from the leader: its terms are then exactly zero, and no rounding is left where all others are gone.
    leader = jnp.argmax(ratio)
    reward = jnp.where(ratio > 0, setting.reward - setting.reward[leader], 0.0)
    pull = (reward - jnp.sum(policy * reward)) * (ratio if geometry == _curve.SOFTMAX else 1.0)
    return -jnp.sum(policy * (setting.seen - setting.seen[leader]) * (pull - jnp.sum(policy * pull)))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Search:
    """A walk that looks for an event.

    Attributes:
      walk: how far it has come.
      before: the walk up to the panel that holds the bracket.
      low: where the bracket begins, as a distance in τ from there.
      high: where it ends.
      bracketed: the event lies in the bracket.
      done: the orbit is over.
      value: the event's value at the end of the last panel: at a vertex the next one may round to the other side.
      ends: the event's values at both ends of the bracket.
      height: highest accuracy at a bracketed peak so far.
      last_height: accuracy at the end of the last panel.
      first: the event's value at t = 0.
      first_height: accuracy at t = 0.
    """

    walk: Walk
    before: Walk
    low: Leaf
    high: Leaf
    bracketed: Leaf
    done: Leaf
    value: Leaf
    ends: Leaf
    height: Leaf
    last_height: Leaf
    first: Leaf
    first_height: Leaf


def begin(peak: bool, geometry: str, setting: Setting) -> Search:
    """The search at t = 0."""
    lines = Lines.through(setting.log_ref, setting.reward, geometry)
    walk, ratio = _panels.begin(lines)
    zero, no = jnp.zeros_like(walk.step), jnp.asarray(False)
    value = event_value(peak, geometry, setting, ratio)
    height = jnp.sum(ratio * setting.seen) / jnp.sum(ratio)
    none, ends = zero - jnp.inf, jnp.stack([zero, zero])
    return Search(walk, walk, zero, zero, no, no, value, ends, none, none, value, height)


def over(peak: bool, search: Search) -> Bool[Array, ""]:
    """Whether the search is over: bracketed (for the peak, at the end of the orbit), or unable to go on."""
    stop = search.done if peak else search.done | search.bracketed
    return stop | _panels.exhausted(search.walk)


def step(peak: bool, geometry: str, binary: bool, question: tuple[Setting, Lines], search: Search) -> Search:
    """Try the next panel of a question, given with its lines."""
    setting, lines = question
    rate = _panels.rate_function(lines, setting.algorithm, binary)
    before = search.walk
    tried, length, good, walk = _panels.attempt(lines, rate, before)
    values = jax.vmap(partial(event_value, peak, geometry, setting))(tried.ratio)
    last, values = values[-1], jnp.append(search.value, values)
    crossed = (values[:-1] < 0) & (values[1:] >= 0)
    height, last_height = search.height, search.last_height
    if peak:
        accuracy = tried.policy @ setting.seen
        heights = jnp.where(crossed, jnp.maximum(accuracy, jnp.append(accuracy[0], accuracy[:-1])), -jnp.inf)
        index = jnp.argmax(heights)
        use = good & (heights[index] > height)
        height, last_height = (
            jnp.where(use, heights[index], height),
            jnp.where(good, accuracy[-1], last_height),
        )
    else:
        index = jnp.argmax(crossed)
        use = good & crossed[index]
    points = jnp.asarray(np.append(0.0, _panels.POINTS), length.dtype) * length
    ends = jnp.stack([values[index], values[index + 1]])
    new = before, points[index], points[index + 1], ends
    old = search.before, search.low, search.high, search.ends
    kept, low, high, ends = jax.tree.map(lambda a, b: jnp.where(use, a, b), new, old)
    done = good & _panels.settled(lines, walk, tried.ratio[-1])
    value = jnp.where(good, last, search.value)
    return replace(
        search,
        walk=walk,
        before=kept,
        low=low,
        high=high,
        bracketed=search.bracketed | use,
        done=done,
        value=value,
        ends=ends,
        height=height,
        last_height=last_height,
    )


def _refine(value: Any, low: Array, high: Array, ends: Array) -> Array:
    """The root of an increasing-through-zero function in a bracket, by Newton steps kept inside it."""
    tolerance = 2 * jnp.finfo(low.dtype).eps

    def going(state: tuple[Array, ...]) -> Array:
        _, low, high, step, count = state
        return (jnp.abs(step) > tolerance * high) & (high - low > tolerance * high) & (count < 80)

    def newton(state: tuple[Array, ...]) -> tuple[Array, ...]:
        at, low, high, _, count = state
        here, slope = jax.jvp(value, (at,), (jnp.ones_like(at),))
        low, high = jnp.where(here < 0, at, low), jnp.where(here < 0, high, at)
        to = at - here / slope
        inside = (to >= low) & (to <= high) & (count < 40)
        to = jnp.where(inside, to, 0.5 * (low + high))
        return to, low, high, to - at, count + 1

    start = low + (high - low) * jnp.clip(ends[0] / (ends[0] - ends[1]), 0.01, 0.99)
    start = jnp.where(jnp.isfinite(start), start, 0.5 * (low + high))
    return jax.lax.while_loop(going, newton, (start, low, high, high - low, jnp.asarray(0)))[0]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Event:
    """Where and when an event happens.

    Attributes:
      log_time: natural logarithm of the time.
      place: the place on the orbit.
      status: a `Status`.
      panels: panels evaluated.
      before: the walk up to the panel that holds the event.
      distance: length in τ from there to the event.
    """

    log_time: Leaf
    place: Place
    status: Leaf
    panels: Leaf
    before: Walk
    distance: Leaf


def search(peak: bool, geometry: str, binary: bool, setting: Setting) -> Search:
    """Walk until the search is over."""
    lines = Lines.through(setting.log_ref, setting.reward, geometry)
    advance = partial(step, peak, geometry, binary, (setting, lines))
    return jax.lax.while_loop(lambda state: ~over(peak, state), advance, begin(peak, geometry, setting))


def finish(peak: bool, geometry: str, binary: bool, setting: Setting, search: Search) -> Event:
    """From the bracket to the place and the time of the event."""
    lines = Lines.through(setting.log_ref, setting.reward, geometry)
    origin = _curve.start(lines)
    value = partial(event_value, peak, geometry, setting)
    before = search.before

    def at(distance: Array) -> Array:
        return value(_curve.ratios(lines, _curve.gaps_at(lines, before.place, distance))[0])

    distance = _refine(at, search.low, search.high, search.ends)
    rate = _panels.rate_function(lines, setting.algorithm, binary)
    last = _panels.panel(lines, rate, before.place, distance)
    log_time = jnp.logaddexp(before.log_time, last.log_time)
    place = _panels.end(lines, before.place, distance, last)

    met, happened = search.first >= 0, search.bracketed
    if peak:
        height = search.first_height
        slack = 8 * jnp.finfo(height.dtype).eps
        happened &= search.done & (search.height > search.last_height + slack) & (search.height >= height)
        met = search.done & ~happened & (height >= search.last_height - slack)
    else:
        met |= happened & jnp.isneginf(log_time)  # bracketed at the very start, by rounding
    levels = (setting.log_ref, setting.seen, setting.target)
    valid = jnp.all(jnp.isfinite(lines.reward)) & ~jnp.any(jnp.array([jnp.any(jnp.isnan(x)) for x in levels]))

    def choose(met_value: Any, happened_value: Any, else_value: Any) -> Any:
        return jax.tree.map(
            lambda a, b, c: jnp.where(met, a, jnp.where(happened, b, c)),
            met_value,
            happened_value,
            else_value,
        )

    precise = jnp.where(jnp.isfinite(log_time), Status.OK, Status.OUT_OF_PRECISION)
    lost = jnp.where(search.walk.step > 0, Status.NOT_CONVERGED, Status.OUT_OF_PRECISION)
    status = choose(Status.ALREADY_MET, precise, jnp.where(search.done, Status.UNREACHABLE, lost))
    infinity = jnp.full_like(log_time, jnp.inf)
    return Event(
        jnp.where(valid, choose(-infinity, log_time, infinity), jnp.nan),
        choose(origin, place, search.walk.place),
        jnp.where(valid, status, Status.INVALID).astype(jnp.int32),
        search.walk.tried,
        before,
        distance,
    )


def _first(peak: bool, geometry: str, binary: bool, setting: Setting) -> Event:
    return finish(peak, geometry, binary, setting, search(peak, geometry, binary, setting))


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def find(peak: bool, geometry: str, binary: bool, setting: Setting) -> tuple[Array, Array, Event]:
    """Log time and τ of an event, both with first derivatives, and everything else about it."""
    first = _first(peak, geometry, binary, setting)
    return first.log_time, first.place.tau, first


@find.defjvp
def _find_jvp(
    peak: bool, geometry: str, binary: bool, primals: tuple[Setting], tangents: tuple[Setting]
) -> Any:
    (setting,), (dsetting,) = primals, tangents
    along = TimeGradient(geometry, binary, setting)

    def advance(state: tuple[Search, Setting, Setting]) -> tuple[Search, Setting, Setting]:
        """One panel more of the search, its gradient so far, and the gradient up to the bracket."""
        last, total, kept = state
        now = step(peak, geometry, binary, (setting, along.lines), last)
        bracketed = now.before.tried != last.before.tried
        kept = jax.tree.map(lambda a, b: jnp.where(bracketed, a, b), total, kept)
        return now, along.add(total, last.walk, now.walk), kept

    nothing = along.nothing()
    begun = begin(peak, geometry, setting), nothing, nothing
    ended, _, gradient = jax.lax.while_loop(lambda state: ~over(peak, state[0]), advance, begun)
    first = finish(peak, geometry, binary, setting, ended)
    place = first.place
    time_gradient, log_speed = along.finish(gradient, first.before, first.distance)

    def value(setting: Setting, tau: Array) -> Array:
        lines = Lines.through(setting.log_ref, setting.reward, geometry)
        return event_value(
            peak,
            geometry,
            setting,
            _curve.ratios(lines, _curve.follow(lines, replace(place, tau=tau)))[0],
        )

    event_gradient, event_slope = jax.grad(value, argnums=(0, 1))(setting, place.tau)
    # Where nothing happens derivatives are zero; masked before the products, or 0 · nan would come back in reverse.
    happened = first.status == Status.OK
    time_gradient, event_gradient = jax.tree.map(
        lambda g: jnp.where(happened, g, 0.0), (time_gradient, event_gradient)
    )
    dtau = -inner(event_gradient, dsetting) / jnp.where(happened, event_slope, 1.0)
    rate = jnp.where(happened, jnp.exp(log_speed - first.log_time), 0.0)
    dlog_time = inner(time_gradient, dsetting) + rate * dtau
    return (first.log_time, place.tau, first), (dlog_time, dtau, zero_tangent(first))


def log_policy(setting: Setting, geometry: str, place: Place, tau: Array) -> Float[Array, " patterns"]:
    """log π at a place of the orbit, a differentiable function of the setting and of τ."""
    lines = Lines.through(setting.log_ref, setting.reward, geometry)
    return _curve.log_policy(lines, _curve.follow(lines, replace(place, tau=tau)), place.log_min)


def find_many(peak: bool, geometry: str, binary: bool, settings: Setting, lanes: int) -> Event:
    """Many events at once, without derivatives; the settings have a leading axis."""

    def prepare(setting: Setting) -> tuple[Search, Lines]:
        return begin(peak, geometry, setting), Lines.through(setting.log_ref, setting.reward, geometry)

    starts, lines = jax.lax.map(prepare, settings, batch_size=lanes)
    advance = partial(step, peak, geometry, binary)
    searches = pooled_while(partial(over, peak), advance, (settings, lines), starts, lanes)
    last = partial(finish, peak, geometry, binary)
    return jax.lax.map(lambda each: last(*each), (settings, searches), batch_size=lanes)


class TimeGradient:
    """Sums ∂ log t/∂(setting) at fixed τ along the panels of a walk, each weighted by its share of the time.

    It goes along with the walk: a second walk over the same orbit, compiled beside other things, need not take the same
    panels, as their lengths follow from errors that are rounding.
    """

    def __init__(self, geometry: str, binary: bool, setting: Setting):
        self.geometry, self.binary, self.setting = geometry, binary, setting
        self.lines = Lines.through(setting.log_ref, setting.reward, geometry)
        self.rate = _panels.rate_function(self.lines, setting.algorithm, binary)

    def nothing(self) -> Setting:
        """The gradient at t = 0."""
        return jax.tree.map(jnp.zeros_like, self.setting)

    def add(self, total: Setting, before: Walk, after: Walk) -> Setting:
        """The gradient after one more panel, if the walk went on by one."""
        moved = (after.place.tau != before.place.tau) | (after.log_time != before.log_time)
        return self._add(total, before, after.last, moved)[0]

    def finish(self, total: Setting, walk: Walk, distance: Array) -> tuple[Setting, Float[Array, ""]]:
        """The gradient `distance` beyond the end of the walk, and log dt/dτ there."""
        return self._add(total, walk, distance, jnp.asarray(True))

    def _log_time(self, setting: Setting, place: Place, length: Array) -> tuple[Array, tuple[Array, Array]]:
        lines = Lines.through(setting.log_ref, setting.reward, self.geometry)
        rate = _panels.rate_function(lines, setting.algorithm, self.binary)
        result = _panels.panel(lines, rate, replace(place, gaps=_curve.follow(lines, place)), length)
        return result.log_time, (result.log_time, result.log_speed)

    def _add(self, total: Setting, walk: Walk, length: Array, use: Array) -> tuple[Setting, Array]:
        use &= length > 0
        length = jnp.where(use, length, 1.0)
        gradient, (part, log_speed) = jax.grad(self._log_time, has_aux=True)(self.setting, walk.place, length)
        after = jnp.logaddexp(walk.log_time, part)
        keep, share = jnp.exp(walk.log_time - after), jnp.exp(part - after)
        total = jax.tree.map(lambda t, g: jnp.where(use, keep * t + share * g, t), total, gradient)
        return total, jnp.where(use, log_speed[-1], log_speed[0])


def inner(gradient: Any, tangent: Any) -> Array:
    """Inner product of a gradient with a tangent, over all leaves."""
    parts = jax.tree.map(lambda g, t: jnp.sum(g * t), gradient, tangent)
    return jax.tree.reduce(jnp.add, parts)


def zero_tangent(tree: Any) -> Any:
    """The zero tangent of a tree whose derivatives are not defined."""
    return jax.tree.map(
        lambda x: np.zeros(x.shape, jax.dtypes.float0) if x.dtype.kind in "ib" else jnp.zeros_like(x), tree
    )
