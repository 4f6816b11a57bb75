"""Gradient flows: training in the limit of small steps and no sampling noise, as an ODE.

[`solve`][] runs any reward, algorithm, regularizers and geometry; [`sft`][] supervised fine-tuning; [`drift`][]
and [`answer_drift`][] are the velocities themselves. The solver is loaded on first use, as diffrax takes a while.
"""

from typing import TYPE_CHECKING, Any

from qra_jax.flow.answers import answer_drift
from qra_jax.flow.velocity import drift

if TYPE_CHECKING:
    from qra_jax.flow.solver import sft, solve

__all__ = ["answer_drift", "drift", "sft", "solve"]


def __getattr__(name: str) -> Any:
    if name not in ("sft", "solve"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from qra_jax.flow import solver

    return getattr(solver, name)
