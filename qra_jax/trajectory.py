"""What every runner returns, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from qra_jax import _show, metrics


class Status(IntEnum):
    """How a computation ended; an array of these survives jit and vmap where an exception could not."""

    OK = 0
    """The answer is right to the precision asked for."""
    ALREADY_MET = 1
    """The event holds at time zero: time 0, log time −inf."""
    UNREACHABLE = 2
    """The event never happens on this orbit: time and log time +inf."""
    NOT_CONVERGED = 3
    """A solver ran out of steps; the value is the last one reached."""
    OUT_OF_PRECISION = 4
    """The dtype cannot resolve the answer; use float64."""
    INVALID = 5
    """The input is out of range (NaN, infinite reward, negative mass); the value is NaN."""
    DIVERGED = 6
    """Training left the numbers (NaN or overflow); NaN from there on."""


def outcomes(status: Any) -> str:
    """Names of statuses, with their numbers where there are several.

    >>> outcomes(np.array([0, 2, 0]))
    'OK 2, UNREACHABLE 1'
    """
    found, count = np.unique(np.asarray(status), return_counts=True)
    several = np.size(status) > 1
    return ", ".join(
        f"{Status(value).name}{f' {many}' if several else ''}"
        for value, many in zip(found, count, strict=True)
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Trajectory:
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
        return jax.numpy.exp(self.log_policy)

    @property
    def accuracy(self) -> Float[Array, "*batch times"]:
        """ρ = Σ π p, `[times]`."""
        success = self.success
        if success.ndim < self.log_policy.ndim:
            success = jax.numpy.broadcast_to(success[..., None, :], self.log_policy.shape)
        return metrics.accuracy(self.log_policy, success)

    @property
    def entropy(self) -> Float[Array, "*batch times"]:
        """Entropy of the pattern choice in nats, `[times]`."""
        return metrics.entropy(self.log_policy)
