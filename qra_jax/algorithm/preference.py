r"""Preferences: DPO on pairs of a right and a wrong rollout.

A pair (w, l) pulls $\theta$ by $\beta\,\sigma(-\beta(\ell_w-\ell_l))\,(e_w - e_l)$ with
$\ell=\log(\pi/\pi_{\rm ref})$: what it weighs depends on the policy, so the path is no orbit.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check
from qra_jax.algorithm.base import PAIRS, Algorithm, Params
from qra_jax.registry import ALGORITHMS


@ALGORITHMS.enter(
    "dpo",
    colors={"DPO": "#999933"},
    trainers={"TRL": "DPOTrainer, OnlineDPOTrainer"},
    note="No orbit: pulls fade as the log-ratio of a pair grows, and bystanders move only by the softmax.",
)
def dpo(beta: float | Array, *, pairs: str = "policy", group_size: int = 2) -> Algorithm:
    r"""DPO on right and wrong rollouts, from the current policy (iterated) or from the reference (offline).

    $$ \dot\theta = E_{w\sim\pi p,\;l\sim\pi(1-p)}\bigl[\beta\,\sigma(-\beta(\ell_w-\ell_l))\,(e_w-e_l)\bigr],\qquad
       \ell = \log\frac{\pi}{\pi_{\rm ref}} $$

    Groups are drawn again until they hold a right and a wrong rollout; all pairs of a group count alike.

    Args:
      beta: β > 0.
      pairs: `"policy"`, drawn from the policy of the step; `"reference"`, from π_ref throughout.
      group_size: G ≥ 2, rollouts from which the pairs of a step are made.

    Returns:
      An `Algorithm` for flow and training; it has no clock.

    Raises:
      ValueError: β not positive, unknown pairs, or G < 2.

    Reference: Rafailov et al., arXiv 2305.18290, eq. 7.
    """
    _check.positive("beta", beta)
    _check.choice("pairs", pairs, PAIRS)
    group = _check.group_size(group_size, low=2)
    name = "DPO" if pairs == "policy" else "DPO (offline)"
    return Algorithm(
        name,
        _by_log_ratio,
        group,
        resamples_silent=True,
        binary_only=True,
        pairs=pairs,
        params={"beta": beta},
    )


def _by_log_ratio(params: Params, rewards: Array, where: Array | None) -> Array:
    raise ValueError(
        "algorithm: DPO weighs pairs by their log-ratio to the reference, not rollouts by their rewards"
    )


def pair_weights(
    beta: Array,
    right: Float[Array, " patterns *cells"],
    wrong: Float[Array, " patterns *cells"],
    log_ratio: Float[Array, " patterns *cells"],
) -> Float[Array, " patterns *cells"]:
    r"""Summed weights of the patterns over all pairs, $w_r = \sum_s [a_r b_s\,g(r,s) - a_s b_r\,g(s,r)]$ with
    $g(r,s)=\beta\,\sigma(-\beta(\ell_r-\ell_s))$.

    Args:
      beta: β.
      right: `[patterns, ...]`, a, shares of the patterns among right rollouts; sums to one (or zero).
      wrong: `[patterns, ...]`, b, the same among wrong ones.
      log_ratio: `[patterns, ...]`, ℓ; finite.

    Returns:
      `[patterns, ...]`; sums to zero.
    """
    pull = beta * jax.nn.sigmoid(-beta * (log_ratio[:, None] - log_ratio[None]))  # [right, wrong, ...]
    pairs = right[:, None] * wrong[None] * pull
    return jnp.sum(pairs, axis=1) - jnp.sum(pairs, axis=0)
