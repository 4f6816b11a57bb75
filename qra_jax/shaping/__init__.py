r"""Shaped rewards: what is added to a reward, or multiplied with it, and several rewards at once.

Each takes rewards of single rollouts and gives another one with the exact law of what a rollout of each pattern earns,
so that expected, sampled and continuous training follow. What differs between patterns is an array `[patterns]` in the
order of the problem; it may be traced. A bonus that is switched off or annealed is a recipe: one phase of
[`rlvr`][qra_jax.recipe.rlvr] for each of its levels.
"""

from qra_jax.shaping.sums import separately, several
from qra_jax.shaping.terms import abstaining, formatted, gated, length_term, shaped

__all__ = ["abstaining", "formatted", "gated", "length_term", "separately", "several", "shaped"]
