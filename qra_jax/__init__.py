"""qra_jax: the question → reason → answer theory of RL post-training, exact, differentiable and batched."""

from qra_jax import algorithm, flow, metrics, orbit, problem, regularizer, reward, theory, trajectory
from qra_jax.algorithm import (
    Algorithm,
    dapo,
    dr_grpo,
    filtered_sft,
    grpo,
    pass_at_k,
    reinforce,
    rloo,
    tsallis,
)
from qra_jax.problem import Problem
from qra_jax.regularizer import Regularizer, entropy_bonus, k3_loss, reverse_kl
from qra_jax.reward import (
    Reward,
    answer_entropy,
    majority_vote,
    self_certainty,
    trajectory_log_prob,
    verifiable,
)
from qra_jax.trajectory import Status, Trajectory

__version__ = "0.1.0"

__all__ = [
    "Algorithm",
    "Problem",
    "Regularizer",
    "Reward",
    "Status",
    "Trajectory",
    "algorithm",
    "answer_entropy",
    "dapo",
    "dr_grpo",
    "entropy_bonus",
    "filtered_sft",
    "flow",
    "grpo",
    "k3_loss",
    "majority_vote",
    "metrics",
    "orbit",
    "pass_at_k",
    "problem",
    "regularizer",
    "reinforce",
    "reverse_kl",
    "reward",
    "rloo",
    "self_certainty",
    "theory",
    "trajectory",
    "trajectory_log_prob",
    "tsallis",
    "verifiable",
]
