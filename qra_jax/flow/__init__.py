"""Gradient flows: training in the limit of small steps and no sampling noise, as an ODE.

[`solve`][] runs any reward, algorithm, regularizers and geometry; [`sft`][] supervised fine-tuning; [`drift`][]
and [`answer_drift`][] are the velocities themselves.
"""

from qra_jax.flow.answers import answer_drift
from qra_jax.flow.solver import sft, solve
from qra_jax.flow.velocity import drift

__all__ = ["answer_drift", "drift", "sft", "solve"]
