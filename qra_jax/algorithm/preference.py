r"""Preferences: DPO on pairs of a chosen and a rejected rollout.

A pair (w, l) pulls $\theta$ by $\beta\,\sigma(-\beta(\ell_w-\ell_l))\,(e_w - e_l)$ with
$\ell=\log(\pi/\pi_{\rm ref})$: what it weighs depends on the policy, so the path is no orbit. Which pairs there are is
a law $J_{wl}$ over pairs of patterns: it depends on the rule by which a group of rollouts is paired.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.algorithm.base import PAIRS, Algorithm, Params
from qra_jax.registry import ALGORITHMS

PAIRINGS = ("random", "longest", "extremes")
"""A random right one with a random wrong one; the longest right one with a random wrong one; best with worst."""


@ALGORITHMS.enter(
    "dpo",
    colors={"DPO": "#999933"},
    trainers={"TRL": "DPOTrainer, OnlineDPOTrainer"},
    note="No orbit: pulls fade as the log-ratio of a pair grows, and bystanders move only by the softmax.",
)
def dpo(
    beta: float | Array, *, pairs: str = "policy", pairing: str = "random", group_size: int = 2
) -> Algorithm:
    r"""DPO on pairs of rollouts, from the current policy (iterated) or from the reference (offline).

    $$ \dot\theta = E_{(w,l)\sim J}\bigl[\beta\,\sigma(-\beta(\ell_w-\ell_l))\,(e_w-e_l)\bigr],\qquad
       \ell = \log\frac{\pi}{\pi_{\rm ref}} $$

    With random pairs J is the product of πp/ρ and π(1 − p)/(1 − ρ), for every G. Groups are drawn again until they
    hold a right and a wrong rollout; under `"extremes"` a group in which all rollouts earn the same is not drawn again
    and has no pair. Pairs of a group between which the rule does not decide count alike.

    Args:
      beta: β > 0.
      pairs: `"policy"`, drawn from the policy of the step; `"reference"`, from π_ref throughout.
      pairing: `"random"`, a right rollout and a wrong one; `"longest"`, the longest right rollout (by the lengths of
        the problem, all equal where it has none) and a wrong one; `"extremes"`, the rollout that earns most and the
        one that earns least, by any reward that does not depend on the policy.
      group_size: G ≥ 2, rollouts from which the pairs of a step are made.

    Returns:
      An `Algorithm` for flow and training; it has no clock.

    Raises:
      ValueError: β not positive, unknown pairs or pairing, or G < 2.

    Reference: Rafailov et al., arXiv 2305.18290, eq. 7; Tu et al., arXiv 2503.12854 (the longest right one).
    """
    _check.positive("beta", beta)
    _check.choice("pairs", pairs, PAIRS)
    _check.choice("pairing", pairing, PAIRINGS)
    group = _check.group_size(group_size, low=2)
    told = ["offline"] * (pairs == "reference") + [pairing] * (pairing != "random")
    return Algorithm(
        f"DPO ({', '.join(told)})" if told else "DPO",
        _with_lengths if pairing == "longest" else _by_log_ratio,
        group,
        resamples_silent=pairing != "extremes",
        binary_only=pairing != "extremes",
        by_length=pairing == "longest",
        pairs=pairs,
        params={"beta": beta},
    )


def _by_log_ratio(params: Params, rewards: Array, where: Array | None) -> Array:
    raise ValueError(
        "algorithm: DPO weighs pairs by their log-ratio to the reference, not rollouts by their rewards"
    )


def _with_lengths(params: Params, rewards: Array, where: Array | None, lengths: Array) -> Array:
    return _by_log_ratio(params, rewards, where)


def right_and_wrong(
    source: Float[Array, " patterns"],
    rates: Float[Array, " patterns"],
    *,
    lengths: Float[Array, " patterns"] | None = None,
    group: Any = None,
    most: int | None = None,
) -> Float[Array, "patterns patterns"]:
    r"""The law of a right and a wrong rollout of a group that holds both, $J_{wl}=c_w b_l$.

    $b\propto\pi(1-p)$. Without lengths $c\propto\pi p$. With lengths w is the longest right rollout, ties broken at
    random: $c_w\propto\pi_w p_w\,q_w$, where q counts the groups in which nothing longer is right.

    Args:
      source: `[patterns]`, π that the rollouts are drawn from.
      rates: `[patterns]`, p, chance that a rollout is right; 0 where a pattern has no mass.
      lengths: `[patterns]`, tokens of a rollout, where the longest is chosen.
      group: G ≥ 2 rollouts, may be traced; not used without lengths.
      most: largest G, where `group` is traced.

    Returns:
      `[patterns, patterns]`, sums to one; zero where every rollout is right, or none.

    >>> import jax.numpy as jnp
    >>> source, rates = jnp.array([.5, .5]), jnp.array([.5, .5])
    >>> right_and_wrong(source, rates, lengths=jnp.array([1., 2.]), group=3).sum(axis=1).tolist()
    [0.375, 0.625]
    """
    mass = source * rates
    right, wrong = (_shares(x) for x in (mass, source * (1 - rates)))
    if lengths is not None:
        shorter, equal = lengths[None] < lengths[:, None], lengths[None] == lengths[:, None]
        below, level = (jnp.sum(jnp.where(which, mass[None], 0.0), axis=1) for which in (shorter, equal))
        missed = jnp.sum(source * (1 - rates))
        right = _shares(right * _both_ends(level, missed, below, group, most))
    return right[:, None] * wrong[None]


def best_and_worst(
    source: Float[Array, " patterns"],
    values: Float[Array, "patterns outcomes"],
    chances: Float[Array, "patterns outcomes"],
    *,
    group: Any,
    most: int | None = None,
) -> Float[Array, "patterns patterns"]:
    r"""The law of the rollouts of a group that earn most and least, ties broken at random.

    $$ J_{wl} = \sum_{v>u} P(\max=v,\ \min=u)\;P(w\mid v)\;P(l\mid u) $$

    Args:
      source: `[patterns]`, π that the rollouts are drawn from.
      values: `[patterns, outcomes]`, what rollouts of each pattern earn.
      chances: `[patterns, outcomes]`, how often.
      group: G ≥ 2 rollouts, may be traced.
      most: largest G, where `group` is traced.

    Returns:
      `[patterns, patterns]`, sums to the chance that not all rollouts of a group earn the same.
    """
    mass, value = (source[:, None] * chances).ravel(), values.ravel()
    equal = value[:, None] == value[None]
    level = jnp.sum(jnp.where(equal, mass[None], 0.0), axis=1)
    inside = (value[None, None] < value[:, None, None]) & (value[None, None] > value[None, :, None])
    between = jnp.sum(jnp.where(inside, mass[None, None], 0.0), axis=-1)
    ways = _both_ends(level[:, None], level[None], between, group, most)
    law = jnp.where(value[:, None] > value[None], mass[:, None] * mass[None] * ways, 0.0)
    patterns = source.shape[0]
    return jnp.sum(law.reshape(patterns, -1, patterns, values.shape[1]), axis=(1, 3))


def _both_ends(top: Array, bottom: Array, between: Array, group: Any, most: int | None) -> Array:
    """Chance that G rollouts all lie between two ends and reach both, over the masses of these ends.

    A recursion over the rollouts, in sums of positive terms alone: groups at neither end yet, at one, at both.
    """

    def draw(step: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        neither, upper, lower, both = state
        drawn = (
            neither * between,
            upper * (between + top) + neither,
            lower * (between + bottom) + neither,
            both * (between + top + bottom) + upper + lower,
        )
        return tuple(jnp.where(step < group, new, old) for new, old in zip(drawn, state, strict=True))

    zero = jnp.zeros(jnp.broadcast_shapes(top.shape, bottom.shape, between.shape), between.dtype)
    return jax.lax.scan(
        lambda state, step: (draw(step, state), None),
        (zero + 1, zero, zero, zero),
        jnp.arange(group if most is None else most),
    )[0][3]


def _shares(mass: Array) -> Array:
    total = jnp.sum(mass)
    return mass / jnp.where(total > 0, total, 1.0)


def law_weights(
    beta: Array, law: Float[Array, "patterns patterns *cells"], log_ratio: Float[Array, " patterns *cells"]
) -> Float[Array, " patterns *cells"]:
    r"""Summed weights of the patterns over all pairs, $w_r = \sum_s [J_{rs}\,g(r,s) - J_{sr}\,g(s,r)]$ with
    $g(r,s)=\beta\,\sigma(-\beta(\ell_r-\ell_s))$.

    Args:
      beta: β.
      law: `[patterns, patterns, ...]`, J, how often pattern r is chosen and pattern s rejected.
      log_ratio: `[patterns, ...]`, ℓ; finite.

    Returns:
      `[patterns, ...]`; sums to zero.
    """
    pull = beta * jax.nn.sigmoid(-beta * (log_ratio[:, None] - log_ratio[None]))  # [chosen, rejected, ...]
    pairs = law * pull
    return jnp.sum(pairs, axis=1) - jnp.sum(pairs, axis=0)


class Sides(NamedTuple):
    """Log-likelihoods of the two sides of pairs, and of what is in no pair."""

    chosen: Float[Array, "*b"]
    """Mean log-probability of the chosen side, in nats."""
    rejected: Float[Array, "*b"]
    """The same of the rejected side."""
    bystanders: Float[Array, "*b"]
    """Log of the summed probability of all that is in no pair; −inf where there is nothing."""


def sides(law: Float[Array, "patterns patterns"], log_policy: Float[Array, "*b patterns"]) -> Sides:
    r"""How likely a policy makes both sides of pairs, $\sum_{wl}J_{wl}\log\pi_w$ and $\sum_{wl}J_{wl}\log\pi_l$.

    Args:
      law: `[patterns, patterns]`, J, how often pattern w is chosen and pattern l rejected; sums to one.
      log_policy: `[..., patterns]`, log π, e.g. along training.

    Returns:
      `Sides`, each `[...]`.

    Reference: Razin et al., arXiv 2410.08847 (likelihood displacement).
    """
    ends = [jnp.broadcast_to(jnp.sum(law, axis=axis), log_policy.shape) for axis in (1, 0)]
    chosen, rejected = (jnp.sum(jnp.where(end > 0, end * log_policy, 0.0), axis=-1) for end in ends)
    outside = jnp.where(ends[0] + ends[1] > 0, -jnp.inf, log_policy)
    return Sides(chosen, rejected, jax.nn.logsumexp(outside, axis=-1))


def ches(chosen: Float[Array, "*b width"], rejected: Float[Array, "*b width"]) -> Float[Array, "*b"]:
    r"""Centred hidden-embedding similarity of a pair, $\langle\sum h^+,\sum h^-\rangle - \|\sum h^+\|^2$.

    Args:
      chosen: `[..., width]`, Σh⁺, hidden states of the chosen answer summed over its tokens; of a policy with
        features, those of its pattern.
      rejected: `[..., width]`, Σh⁻ of the rejected one.

    Returns:
      `[...]`; large where the two are alike.

    Reference: Razin et al., arXiv 2410.08847, definition 2.
    """
    return jnp.sum(chosen * (rejected - chosen), axis=-1)
