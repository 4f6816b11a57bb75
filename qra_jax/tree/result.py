"""What training of a tree returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from qra_jax import _show
from qra_jax.trajectory import Outcome, Trajectory, outcomes
from qra_jax.tree.model import Tree


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class TreeTrajectory(Outcome):
    """A training run of a policy over a tree, as seen at its save times.

    Attributes:
      tree: the question.
      time: `[times]`, training time; unit learning rate, t = η · updates for discrete training.
      log_policy: `[times, steps]`, log π(step | state).
      status: a `Status`.
      stats: counts worth knowing.
    """

    tree: Tree
    time: Float[Array, "*batch times"]
    log_policy: Float[Array, "*batch times steps"]
    status: Int[Array, "*batch"]
    stats: dict[str, Array] = field(default_factory=dict)

    def __repr__(self) -> str:
        said = f"TreeTrajectory({self.log_policy.shape[-2]} times, {self.tree!r}"
        if not _show.concrete(self.log_policy, self.status):
            return said + ")"
        ends = self.accuracy[..., jnp.asarray([0, -1])].reshape(-1, 2).mean(axis=0)
        return f"{said}, mean accuracy {ends[0]:.3g} → {ends[1]:.3g}, {outcomes(self.status)})"

    @property
    def paths(self) -> Trajectory:
        """The same run seen as one over patterns, each a whole path to a leaf."""
        return Trajectory(self.time, self.leaf_log_policy, self.tree.success, self.status, self.stats)

    @property
    def leaf_log_policy(self) -> Float[Array, "*batch times leaves"]:
        """Log-probability of each leaf, `[times, leaves]`."""
        return self.tree.leaf_log_policy(self.log_policy)

    @property
    def accuracy(self) -> Float[Array, "*batch times"]:
        """Accuracy, `[times]`."""
        return self.paths.accuracy

    @property
    def length(self) -> Float[Array, "*batch times"]:
        """Mean length of an answer in tokens (in steps, where the tree has no lengths), `[times]`."""
        shape = self.tree.shape
        lengths = self.tree.lengths
        if lengths is None:
            depth = jnp.asarray(shape.depth[shape.leaves], self.log_policy.dtype)
            return jnp.exp(self.leaf_log_policy) @ depth
        return jnp.einsum("...tl,...l->...t", jnp.exp(self.leaf_log_policy), self.tree.flat().lengths)
