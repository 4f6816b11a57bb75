"""qra_jax: the question → reason → answer theory of RL post-training, exact, differentiable and batched.

Names are loaded on first use, so that `import qra_jax` is instant and `qra --help` needs no JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qra_jax import (
        algorithm as algorithm,
        batching as batching,
        consult as consult,
        film as film,
        fit as fit,
        flow as flow,
        metrics as metrics,
        orbit as orbit,
        parts as parts,
        plot as plot,
        problem as problem,
        recipe as recipe,
        regularizer as regularizer,
        reward as reward,
        studies as studies,
        sweep as sweep,
        theory as theory,
        training as training,
        trajectory as trajectory,
        transformer as transformer,
    )
    from qra_jax.algorithm import (
        Algorithm as Algorithm,
        dapo as dapo,
        dr_grpo as dr_grpo,
        filtered_sft as filtered_sft,
        grpo as grpo,
        pass_at_k as pass_at_k,
        reinforce as reinforce,
        rloo as rloo,
        tsallis as tsallis,
    )
    from qra_jax.batching import many as many
    from qra_jax.problem import Problem as Problem
    from qra_jax.regularizer import (
        Regularizer as Regularizer,
        entropy_bonus as entropy_bonus,
        k3_loss as k3_loss,
        reverse_kl as reverse_kl,
    )
    from qra_jax.reward import (
        Reward as Reward,
        answer_entropy as answer_entropy,
        majority_vote as majority_vote,
        self_certainty as self_certainty,
        trajectory_log_prob as trajectory_log_prob,
        verifiable as verifiable,
    )
    from qra_jax.trajectory import Status as Status, Trajectory as Trajectory

__version__ = "0.1.0"

_MODULES = [
    "algorithm",
    "batching",
    "consult",
    "film",
    "fit",
    "flow",
    "metrics",
    "orbit",
    "parts",
    "plot",
    "problem",
    "recipe",
    "regularizer",
    "reward",
    "studies",
    "sweep",
    "theory",
    "training",
    "trajectory",
    "transformer",
]
_NAMES = {
    "algorithm": [
        "Algorithm",
        "dapo",
        "dr_grpo",
        "filtered_sft",
        "grpo",
        "pass_at_k",
        "reinforce",
        "rloo",
        "tsallis",
    ],
    "batching": ["many"],
    "problem": ["Problem"],
    "regularizer": ["Regularizer", "entropy_bonus", "k3_loss", "reverse_kl"],
    "reward": [
        "Reward",
        "answer_entropy",
        "majority_vote",
        "self_certainty",
        "trajectory_log_prob",
        "verifiable",
    ],
    "trajectory": ["Status", "Trajectory"],
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted([*_MODULES, *_HOME])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*(name for name in globals() if name.startswith("__")), *__all__])
