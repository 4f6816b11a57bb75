r"""Geometry: how an advantage over patterns becomes a velocity of the logits."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import _check

GEOMETRIES = ("softmax", "natural")
"""Names of the geometries known to [`ascend`][]."""


def ascend(
    advantage: Float[Array, " patterns"], policy: Float[Array, " patterns"], geometry: str = "softmax"
) -> Float[Array, " patterns"]:
    r"""Logit velocity of steepest ascent on an advantage.

    $$ v = \pi\odot(a-\bar a)\ \ (\text{softmax}),\qquad v = a-\bar a\ \ (\text{natural}),\qquad
       \bar a = \textstyle\sum_s\pi_s a_s $$

    Args:
      advantage: `[patterns]`, a; any common constant drops out.
      policy: `[patterns]`, π.
      geometry: `"softmax"` (plain policy gradient) or `"natural"` (Fisher metric, the replicator equation).

    Returns:
      `[patterns]`; sums to zero under `"softmax"`, has π-mean zero under `"natural"`.

    Raises:
      ValueError: an unknown geometry.
    """
    _check.choice("geometry", geometry, GEOMETRIES)
    centred = advantage - jnp.sum(policy * advantage)
    return policy * centred if geometry == "softmax" else centred
