"""Tokens that stages of training have spent, and the compute that follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Int

from qra_jax import _check
from qra_jax.transformer.model import Params

KINDS = ("read", "sampled", "trained")
"""Kinds of tokens that a ledger counts apart."""


@dataclass(frozen=True)
class Ledger:
    """Tokens that stages have spent.

    Attributes:
      stages: their names.
      steps: `[stages]`.
      read: `[stages, seeds]`, supervised tokens that were learnt from, those of `teaching` beside RL among them.
      sampled: `[stages, seeds]`, tokens that were sampled, greedy baselines among them.
      trained: `[stages, seeds]`, sampled tokens that went through the gradient, once for each epoch; those of silent
        groups, too.
      prompts_read: `[stages, seeds]`, tokens of prompts in supervised learning.
      prompts_asked: `[stages, seeds]`, tokens of prompts in RL, once for each group.
      epochs: `[stages]`, how often samples were used; 1 without RL.
    """

    stages: tuple[str, ...]
    steps: Int[np.ndarray, " stages"]
    read: Float[np.ndarray, "stages seeds"]
    sampled: Float[np.ndarray, "stages seeds"]
    trained: Float[np.ndarray, "stages seeds"]
    prompts_read: Float[np.ndarray, "stages seeds"]
    prompts_asked: Float[np.ndarray, "stages seeds"]
    epochs: Int[np.ndarray, " stages"]

    @property
    def spent(self) -> Float[np.ndarray, "stages seeds"]:
        """Tokens that count against budgets: read, or sampled."""
        return self.read + self.sampled

    def flops(
        self, parameters: int, *, forward: float = 2.0, backward: float = 4.0, prompts: bool = True
    ) -> Float[np.ndarray, "stages seeds"]:
        r"""Compute of every stage.

        $$ P\,[(f+b)(n_{\rm read}+n_{\rm trained}) + f\,n_{\rm sampled}] $$

        and the same for prompts: read once by supervised learning, and in RL once to sample and once in each epoch.
        What attention adds, which grows with the length, is left out, as usual.

        Args:
          parameters: P ≥ 1 of one network.
          forward: f ≥ 0, operations a parameter and token.
          backward: b ≥ 0.
          prompts: whether their tokens count.

        Returns:
          `[stages, seeds]`.

        Raises:
          ValueError: a number out of range.

        Reference: Kaplan et al., arXiv 2001.08361, section 2.1.

        >>> one = np.ones((1, 1))
        >>> ledger = Ledger(("RL",), np.array([1]), 0 * one, one, one, 0 * one, 0 * one, np.array([1]))
        >>> float(ledger.flops(10)[0, 0])
        80.0
        """
        _check.integer("parameters", parameters, low=1)
        _check.nonnegative("forward", forward)
        _check.nonnegative("backward", backward)
        both = forward + backward
        total = both * (self.read + self.trained) + forward * self.sampled
        if prompts:
            total = total + both * self.prompts_read
            total = total + (forward + both * self.epochs[:, None]) * self.prompts_asked
        return parameters * total


def parameters(params: Params, *, networks: bool = True) -> int:
    """Number of parameters of one network.

    Args:
      params: its parameters, or those of several `[seeds, ...]`.
      networks: whether there are several.
    """
    return sum(int(np.prod(leaf.shape[1:] if networks else leaf.shape)) for leaf in jax.tree.leaves(params))
