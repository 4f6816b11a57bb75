r"""Chance of a question's history, given where its logit starts and by which clock it moves.

With F(z) = ∫ dz / f(z), f the clock's speed of the logit, a question that starts at z₀ is at

$$ z_j = F^{-1}(F(z_0) + s_j) $$

at visit j: one curve serves all starts. s is the common course of time, in logits at accuracy ½.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from qra_jax import _check
from qra_jax.fit.questions.histories import Histories

END = 14.0
"""Logits are followed within ± END, where one rollout in a million says anything else."""
EXPONENTS = (-2.0, 3.0)
"""Range of the exponent."""
FINE = np.linspace(-END, END, 2801)
"""Logits at which clocks are tabulated."""
NODES = np.linspace(-3, 3, 41)
"""Rates that vary, in standard deviations: close enough for paths that lie as close as the data can tell apart."""
NODE_SHARES = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()
CEILINGS = (1.0, 0.9, 0.75, 0.5, 0.2)
"""Highest accuracies that questions may have, where ceilings are free."""
SUBSTEPS = 2
"""Steps of the lattice between two visits, where questions drift at random."""
RATES = ("one", "lognormal", "normal")


@dataclass(frozen=True)
class QuestionModel:
    """What questions may do besides moving at one constant rate.

    Attributes:
      course: pieces of equal length in which the common rate is free, ≥ 1.
      rates: `"one"` for all questions; `"lognormal"` or `"normal"` (some questions fall) with a fitted relative
        deviation, whatever the start.
      drift: whether each logit also walks at random (normal steps, their deviation per visit is fitted).
      ceilings: whether each question has a highest accuracy c of its own, ρ = c σ(z), with any joint distribution
        with the starts.

    Raises:
      ValueError: course < 1, or an unknown name.
    """

    course: int = 1
    rates: str = "one"
    drift: bool = False
    ceilings: bool = False

    def __post_init__(self) -> None:
        _check.integer("course", self.course, low=1)
        _check.choice("rates", self.rates, RATES)

    def names(self) -> tuple[str, ...]:
        """Parameters besides the distribution of kinds."""
        rates = tuple(f"log_rate{i}" for i in range(self.course))
        spread = ("log_spread",) * (self.rates != "one")
        return ("exponent", *rates, *spread, *(("log_drift",) * self.drift))

    def initial(self, visits: int) -> np.ndarray:
        """Parameters to start from, `[tries, parameters]`: one logit over all visits, narrow or wide spread."""
        spreads = [[np.log(0.3)], [np.log(0.9)]] if self.rates != "one" else [[]]
        rates = [-np.log(max(visits - 1, 1))] * self.course
        return np.array([[0.0, *rates, *spread, *[np.log(0.05)] * self.drift] for spread in spreads])

    def starts(self, tries: int) -> np.ndarray:
        """Starting logits: even in 2 asin √ρ, at the precision of `tries` rollouts, and on to both ends.

        Where kinds have more than a start, or move at random, fewer are enough.
        """
        density = 0.5 if self.ceilings else 0.75 if self.drift or self.rates != "one" else 1.5
        count = int(np.clip(density * np.pi * np.sqrt(tries), 24, 120))
        share = np.sin((np.arange(count) + 0.5) * np.pi / (2 * count)) ** 2
        middle = np.log(share / (1 - share))
        tail = np.linspace(middle[-1], END - 2, max(int(END - 2 - middle[-1]) + 1, 2))[1:]
        return np.concatenate([-tail[::-1], middle, tail])


def log_likelihood(
    model: QuestionModel, theta: Array, log_speed: Array, z0: Array, right: Array, wrong: Array
) -> Array:
    """Log chance of each history for each kind of question, without binomial coefficients.

    Args:
      model: what is free.
      theta: `[parameters]`, in the order of `model.names()`.
      log_speed: `[FINE]`, log f of the clock, to which exponent · log 4ρ(1 − ρ) is added.
      z0: `[starts]`.
      right: `[questions, visits]`, rollouts that were right; 0 where missing.
      wrong: `[questions, visits]`, those that were not; 0 where missing.

    Returns:
      `[questions, kinds]`; kinds are starts, or ceilings × starts.
    """
    rates, ceilings, shares = variants(model, theta)
    course = times(model, theta, right.shape[1])
    clock = _clock(theta, log_speed)
    drift = jnp.exp(theta[-1]) if model.drift else None

    def at(variant: tuple[Array, Array]) -> Array:
        path = logits(clock, z0, course * variant[0])
        hit, miss = _log_rates(path, variant[1])
        if drift is None:
            return right @ hit.T + wrong @ miss.T
        return _walk(path, hit, miss, drift, right, wrong)

    every = jax.lax.map(at, (rates, ceilings))  # [variants, questions, starts]
    if model.rates != "one":
        every = jnp.reshape(every + jnp.log(shares)[:, None, None], (len(NODES), -1, *every.shape[1:]))
        every = jax.nn.logsumexp(every, axis=0)
    return jnp.moveaxis(every, 0, 1).reshape(right.shape[0], -1)


def forecast_errors(
    model: QuestionModel,
    theta: Array,
    log_speed: Array,
    weights: Array,
    z0: Array,
    right: Array,
    wrong: Array,
) -> tuple[Array, Array]:
    """How far each visit is from its forecast by the visits before, summed over visits.

    Args:
      weights: `[kinds]`, w.

    As for [`log_likelihood`][]: `model`, `theta`, `log_speed`, `z0`, `right`, `wrong`.

    Returns:
      Squared errors of the number of right rollouts and their variances under the model, `[questions]` each.
    """
    rates, ceilings, shares = variants(model, theta)
    course = times(model, theta, right.shape[1])
    path = jax.vmap(lambda rate: logits(_clock(theta, log_speed), z0, course * rate))(rates)
    hit, miss = jax.vmap(_log_rates)(path, ceilings)
    prior = weights.reshape(-1, len(z0))
    prior = jnp.tile(prior, (len(rates) // len(prior), 1)) * shares[:, None]
    chances = jax.vmap(lambda path: _chances(path, jnp.exp(theta[-1])))(path) if model.drift else None

    def visit(belief: Array, now: tuple[Any, ...]) -> tuple[Array, tuple[Array, Array]]:
        right, wrong, hit, miss, chances = now
        tries, rho = right + wrong, jnp.exp(hit)
        mean = jnp.einsum("qvs,vs->q", belief, rho)
        doubt = jnp.maximum(jnp.einsum("qvs,vs->q", belief, rho**2) - mean**2, 0.0)
        variance = tries * mean * (1 - mean) + tries * (tries - 1) * doubt
        log_chance = right[:, None, None] * hit[None] + wrong[:, None, None] * miss[None]
        top = jnp.max(jnp.where(belief > 0, log_chance, -jnp.inf), axis=(1, 2), keepdims=True)
        belief = belief * jnp.exp(log_chance - top)
        belief = belief / jnp.sum(belief, axis=(1, 2), keepdims=True)
        if chances is not None:
            up, down = (chance[None] for chance in chances)
            for _ in range(SUBSTEPS):
                belief = (1 - up - down) * belief + _shift(up * belief, 1) + _shift(down * belief, -1)
        return belief, ((right - tries * mean) ** 2, variance)

    first = jnp.broadcast_to(prior[None], (right.shape[0], *prior.shape))
    last = lambda array: jnp.moveaxis(array, -1, 0)  # noqa: E731
    scanned = (right.T, wrong.T, last(hit), last(miss), jax.tree.map(last, chances))
    _, (error, variance) = jax.lax.scan(visit, first, scanned)
    return jnp.sum(error, axis=0), jnp.sum(variance, axis=0)


def variants(model: QuestionModel, theta: Array) -> tuple[Array, Array, Array]:
    """Rates (over the common one) and ceilings that occur, and their shares where these are not free (else 1)."""
    rates, shares = jnp.ones(1), jnp.ones(1)
    if model.rates != "one":
        spread = jnp.exp(theta[model.names().index("log_spread")])
        rates = jnp.exp(spread * NODES) if model.rates == "lognormal" else 1 + spread * NODES
        shares = jnp.asarray(NODE_SHARES)
    tops = jnp.asarray(CEILINGS if model.ceilings else (1.0,))
    n, m = len(rates), len(tops)
    return jnp.repeat(rates, m, total_repeat_length=n * m), jnp.tile(tops, n), jnp.repeat(shares, m)


def _clock(theta: Array, log_speed: Array) -> Array:
    return log_speed + jnp.clip(theta[0], *EXPONENTS) * log_slope(jnp.asarray(FINE))


def times(model: QuestionModel, theta: Array, visits: int) -> Array:
    """Course of time at the visits, `[visits]`, in logits at accuracy ½; 0 at the first."""
    steps = max(visits - 1, 1)
    rates = jnp.exp(theta[1 : 1 + model.course])
    return jnp.concatenate([jnp.zeros(1), jnp.cumsum(rates[np.arange(steps) * model.course // steps])])[
        :visits
    ]


def log_slope(z: Array) -> Array:
    """log 4ρ(1 − ρ) at logit z."""
    return np.log(4) + jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z)


def logits(log_speed: Array, z0: Array, course: Array) -> Array:
    """Logits `[starts, visits]` under a clock `[FINE]`, at times `[visits]`."""
    slow = jnp.exp(-log_speed)
    time = jnp.concatenate([jnp.zeros(1), jnp.cumsum((slow[1:] + slow[:-1]) / 2 * np.diff(FINE))])
    start = jnp.interp(z0, FINE, time)
    return jnp.interp(start[:, None] + course[None], time, FINE)


def _log_rates(path: Array, ceiling: Array) -> tuple[Array, Array]:
    """log ρ and log(1 − ρ) with ρ = c σ(z)."""
    hit = jnp.log(ceiling) + jax.nn.log_sigmoid(path)
    return hit, jnp.log((1 - ceiling) + ceiling * jax.nn.sigmoid(-path))


def _chances(path: Array, drift: Array) -> tuple[Array, Array]:
    """Chances of a step up and down to the neighbours on a lattice that moves with the clock, `[starts, visits]`.

    They make it a step of mean 0 and variance σ²/substeps, and are capped where the lattice is too fine for that.
    """
    gaps = jnp.diff(path, axis=0)
    edge = jnp.full((1, path.shape[1]), jnp.inf)
    up, down = jnp.concatenate([gaps, edge]), jnp.concatenate([edge, gaps])
    inside = jnp.isfinite(up) & jnp.isfinite(down)
    up, down = (jnp.where(inside, jnp.maximum(d, 1e-6), 1.0) for d in (up, down))
    variance = jnp.minimum(drift**2 / SUBSTEPS, 0.95 * up * down)
    chance = jnp.where(inside, variance / (up + down), 0.0)
    return chance / up, chance / down


def _shift(array: Array, by: int) -> Array:
    """The last axis moved by one place up (1) or down (−1), zero at the end."""
    rest = [(0, 0)] * (array.ndim - 1)
    if by > 0:
        return jnp.pad(array[..., :-1], [*rest, (1, 0)])
    return jnp.pad(array[..., 1:], [*rest, (0, 1)])


def _walk(path: Array, hit: Array, miss: Array, drift: Array, right: Array, wrong: Array) -> Array:
    """Chance of the histories of logits that drift, `[questions, starts]`: backward over the visits."""

    def back(later: tuple[Array, Array], visit: tuple[Array, ...]) -> tuple[tuple[Array, Array], None]:
        rest, scale = later
        right, wrong, hit, miss, up, down = visit
        for _ in range(SUBSTEPS):
            moved = up[None] * _shift(rest, -1) + down[None] * _shift(rest, 1)
            rest = (1 - up - down)[None] * rest + moved
        log_rest = (
            jnp.log(jnp.maximum(rest, 1e-300)) + right[:, None] * hit[None] + wrong[:, None] * miss[None]
        )
        top = jax.lax.stop_gradient(jnp.max(log_rest, axis=1, keepdims=True))
        return (jnp.exp(log_rest - top), scale + top), None

    visits = (right.T, wrong.T, hit.T, miss.T, *(chance.T for chance in _chances(path, drift)))
    first = (jnp.ones((right.shape[0], path.shape[0])), jnp.zeros((right.shape[0], 1)))
    (rest, scale), _ = jax.lax.scan(back, first, visits, reverse=True)
    return jnp.log(jnp.maximum(rest, 1e-300)) + scale


def counts(histories: Histories) -> tuple[Array, Array]:
    """Right and wrong rollouts of every visit, `[questions, visits]` each."""
    right = np.where(histories.seen, histories.correct, 0)
    wrong = np.where(histories.seen, histories.tries - histories.correct, 0)
    return jnp.asarray(right, float), jnp.asarray(wrong, float)
