"""What every runner returns, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, Bool, Float, Int

from qra_jax import _show, metrics


class Status(IntEnum):
    """How a computation ended; an array of these survives jit and vmap where an exception could not.

    A member's `__doc__` says what it means.
    """

    OK = 0, "The answer is right to the precision asked for."
    ALREADY_MET = 1, "The event holds at time zero: time 0, log time −inf."
    UNREACHABLE = 2, "The event never happens on this orbit: time and log time +inf."
    NOT_CONVERGED = 3, "A solver ran out of steps; the value is the last one reached."
    OUT_OF_PRECISION = 4, "The dtype cannot resolve the answer; use float64."
    INVALID = 5, "The input is out of range (NaN, infinite reward, negative mass); the value is NaN."
    DIVERGED = 6, "Training left the numbers (NaN or overflow); NaN from there on."

    def __new__(cls, value: int, meaning: str) -> Status:
        """A number with its meaning."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.__doc__ = meaning
        return member

    @staticmethod
    def worst(*statuses: Any, axis: int | tuple[int, ...] | None = ()) -> Int[Array, ...]:
        """The most serious of several statuses, element by element; works under `jit` and `vmap`.

        From harmless to serious: OK, ALREADY_MET, UNREACHABLE, NOT_CONVERGED, OUT_OF_PRECISION, DIVERGED, INVALID. A
        result that rests on an invalid input is invalid, whatever else happened.

        Args:
          statuses: members or integer arrays `[...]` of them, one or more, whose shapes broadcast.
          axis: axes over which the most serious is taken as well; `None` for all, default: none.

        Returns:
          `[...]`, int32.

        Raises:
          ValueError: no status, or shapes that do not broadcast.

        >>> Status.worst(np.array([0, 2, 5]), Status.DIVERGED).tolist()
        [6, 6, 5]
        """
        if not statuses:
            raise ValueError("statuses: none; must be one or more")
        rank = jnp.asarray(_RANK, jnp.int32)
        ranks = [rank[status] for status in jnp.broadcast_arrays(*map(jnp.asarray, statuses))]
        return rank[jnp.max(jnp.stack(ranks), axis=0).max(axis=axis)]


_RANK = [0, 1, 2, 3, 4, 6, 5]
"""How serious each status is; its own inverse, as only INVALID and DIVERGED change places."""


def outcomes(status: Any) -> str:
    """Names of statuses, with their numbers where there are several.

    >>> outcomes(np.array([0, 2, 0]))
    'OK 2, UNREACHABLE 1'
    """
    values, counts = np.unique(np.asarray(status), return_counts=True)
    several = np.size(status) > 1
    return ", ".join(
        f"{Status(value).name}{f' {count}' if several else ''}"
        for value, count in zip(values, counts, strict=True)
    )


class Outcome:
    """What every result with a `status` can say about how it ended."""

    status: Any

    @property
    def ok(self) -> Bool[Array, ...]:
        """Whether there is an answer, `[...]` as `status`: OK or ALREADY_MET."""
        status = jnp.asarray(self.status)
        return (status == Status.OK) | (status == Status.ALREADY_MET)

    def explain(self) -> str:
        """How it ended in plain words: a line for each status that occurs, with its number where there are several.

        Returns:
          Lines such as `UNREACHABLE (2 of 50): The event never happens …`.

        Raises:
          ValueError: called under `jit` or `vmap`, where the status is not known.

        >>> import qra_jax as qra
        >>> print(qra.orbit.hit(qra.problem.examples.worked(), .01).explain())
        ALREADY_MET: The event holds at time zero: time 0, log time −inf.
        """
        if isinstance(self.status, Tracer):
            raise ValueError("status: traced; must be concrete, explain a result outside jit and vmap")
        values, counts = np.unique(np.asarray(self.status), return_counts=True)
        total = np.size(self.status)
        lines = []
        for status, count in zip(map(Status, values), counts, strict=True):
            lines.append(f"{status.name}{f' ({count} of {total})' if total > 1 else ''}: {status.__doc__}")
        return "\n".join(lines)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Trajectory(Outcome):
    r"""A training run, as seen at its save times.

    Attributes:
      time: `[times]`, training time; unit learning rate, t = η · steps for discrete training.
      log_policy: `[times, patterns]`, log π.
      success: `[times, patterns]` success rates (constant unless answers are trained), or `[patterns]`.
      status: a [`Status`][] value.
      stats: counts worth knowing (solver steps, rejected steps, …).
    """

    time: Float[Array, "*batch times"]
    log_policy: Float[Array, "*batch times patterns"]
    success: Float[Array, "*batch patterns"] | Float[Array, "*batch times patterns"]
    status: Int[Array, "*batch"]
    stats: dict[str, Array] = field(default_factory=dict)

    def __repr__(self) -> str:
        if not self._concrete:
            return f"Trajectory(time={_show.shape(self.time)}, log_policy={_show.shape(self.log_policy)})"
        *batch, times, patterns = self.log_policy.shape
        runs = f"{' × '.join(map(str, batch))} runs, " if batch else ""
        what = f"{runs}{times} times, {patterns} patterns"
        if not self.log_policy.size:
            return f"Trajectory({what})"
        accuracy = np.asarray(self.accuracy).reshape(-1, times)[:, [0, -1]]
        whole = np.isfinite(accuracy).all(axis=1)
        name = "mean accuracy" if batch else "accuracy"
        if batch and whole.any() and not whole.all():
            name, accuracy = f"mean accuracy of {np.sum(whole)} of {np.size(whole)} runs", accuracy[whole]
        ends = " → ".join(f"{value:.3g}" for value in accuracy.mean(axis=0))
        span = f"t = {np.min(self.time):.3g} … {np.max(self.time):.3g}"
        return f"Trajectory({what}, {span}, {name} {ends}, {outcomes(self.status)})"

    @property
    def _concrete(self) -> bool:
        """Whether there are numbers to show."""
        arrays = self.time, self.log_policy, self.success
        return _show.concrete(*arrays) and (isinstance(self.status, int) or _show.concrete(self.status))

    def _repr_html_(self) -> str | None:
        if not self._concrete or self.log_policy.ndim != 2 or not self.log_policy.size:
            return None
        shown = np.unique(np.linspace(0, len(self.time) - 1, 6).astype(int))
        policy, accuracy, entropy = (np.asarray(x) for x in (self.policy, self.accuracy, self.entropy))
        rows = [
            (f"{self.time[i]:.4g}", f"{accuracy[i]:.4f}", f"{entropy[i]:.4f}", _show.numbers(policy[i]))
            for i in shown
        ]
        return _show.table(repr(self), ("time t", "accuracy ρ", "entropy (nats)", "policy π"), rows)

    @property
    def policy(self) -> Float[Array, "*batch times patterns"]:
        """π, `[times, patterns]`."""
        return jnp.exp(self.log_policy)

    @property
    def accuracy(self) -> Float[Array, "*batch times"]:
        """ρ = Σ π p, `[times]`."""
        return _accuracy(self.log_policy, self.success)

    @property
    def entropy(self) -> Float[Array, "*batch times"]:
        """Entropy of the pattern choice in nats, `[times]`."""
        return metrics.entropy(self.log_policy)


@jax.jit
def _accuracy(log_policy: Array, success: Array) -> Array:
    """Accuracy at all times, of success rates that have none."""
    if success.ndim < log_policy.ndim:
        success = jnp.broadcast_to(success[..., None, :], log_policy.shape)
    return metrics.accuracy(log_policy, success)
