"""Numbers that change in the course of a phase."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, Float

from qra_jax import _check

KINDS = ("linear", "step", "cosine")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Schedule:
    r"""A number as a function of the progress s ∈ [0, 1] of its phase, through equally spaced knots.

    `linear`: straight lines between knots; `step`: K knots are constant over K equal parts; `cosine`: half a
    cosine from one knot to the next.

    Attributes:
      knots: `[knots]`, values; differentiable.
      kind: `"linear"`, `"step"` or `"cosine"`.

    >>> Schedule([1.0, 0.0])(0.25).tolist()
    0.75
    """

    knots: Any
    kind: str = field(default="linear", metadata={"static": True})

    def __post_init__(self) -> None:
        if isinstance(self.knots, (list, tuple)):
            object.__setattr__(self, "knots", np.asarray(self.knots, float))

    def __call__(self, progress: Any) -> Float[Array, ""]:
        """The value at some progress.

        Args:
          progress: s in [0, 1]; held at the ends outside.

        Returns:
          Scalar.
        """
        knots, progress = jnp.asarray(self.knots, float), jnp.asarray(progress)
        count = knots.shape[0]
        if self.kind == "step":
            return knots[jnp.clip((progress * count).astype(int), 0, count - 1)]
        if count == 1:
            return knots[0]
        place = jnp.clip(progress, 0.0, 1.0) * (count - 1)
        low = jnp.clip(jnp.floor(place).astype(int), 0, count - 2)
        part = place - low
        if self.kind == "cosine":
            part = (1 - jnp.cos(jnp.pi * part)) / 2
        return knots[low] + part * (knots[low + 1] - knots[low])


def at(value: Any, progress: Any, dtype: Any) -> Float[Array, ""]:
    """A number or schedule at some progress, in a dtype."""
    return jnp.asarray(value(progress) if isinstance(value, Schedule) else value, dtype)


def integral(value: Any, progress: Any, dtype: Any) -> Float[Array, ""]:
    """Its integral from 0 to some progress s in [0, 1]; at 1 the mean over the phase."""
    if not isinstance(value, Schedule):
        return jnp.asarray(value, dtype) * progress
    knots, progress = jnp.asarray(value.knots, dtype), jnp.asarray(progress, dtype)
    if value.kind == "step" or knots.shape[0] == 1:
        count = knots.shape[0]
        return jnp.sum(knots * jnp.clip(progress * count - jnp.arange(count), 0.0, 1.0)) / count
    count = knots.shape[0] - 1
    part = jnp.clip(progress * count - jnp.arange(count), 0.0, 1.0)
    risen = part**2 / 2
    if value.kind == "cosine":
        risen = part / 2 - jnp.sin(jnp.pi * part) / (2 * jnp.pi)
    return jnp.sum(knots[:-1] * part + (knots[1:] - knots[:-1]) * risen) / count


def check(name: str, value: Any, *, share: bool = False) -> Any:
    """Reject knots out of range.

    Args:
      name: of the argument.
      value: number or `Schedule`.
      share: must be in [0, 1]; else zero or positive.

    Returns:
      The value.

    Raises:
      ValueError: a knot is out of range, there are none, or an unknown kind.
    """
    if isinstance(value, Schedule):
        _check.choice(f"{name}.kind", value.kind, KINDS)
        knots, name = value.knots, f"{name}.knots"
        if not isinstance(knots, Tracer) and np.ndim(knots) != 1:
            raise ValueError(f"{name}: shape {np.shape(knots)}; must be [knots]")
    else:
        knots = value
        if np.ndim(value):
            raise ValueError(f"{name}: shape {np.shape(value)}; must be one number, or a Schedule")
    (_check.unit_interval if share else _check.nonnegative)(name, knots)
    return value
