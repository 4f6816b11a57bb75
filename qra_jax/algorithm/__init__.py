"""Algorithms: how the rewards of a group of rollouts become weights, and the speed that follows."""

from qra_jax.algorithm.base import Algorithm, Tables, batch_scale
from qra_jax.algorithm.best_of import grpo_passk, pass_at_k, passk_training
from qra_jax.algorithm.filtered import filtered_sft, tsallis
from qra_jax.algorithm.group import (
    dr_grpo,
    gpg,
    grpo,
    maxrl,
    normalized,
    opo,
    reinforce,
    reinforce_pp,
    remax,
    rloo,
    signed,
)
from qra_jax.algorithm.pairing import paired_grpo
from qra_jax.algorithm.preference import dpo
from qra_jax.algorithm.switching import by_clock, switch

__all__ = [
    "Algorithm",
    "Tables",
    "batch_scale",
    "by_clock",
    "dpo",
    "dr_grpo",
    "filtered_sft",
    "gpg",
    "grpo",
    "grpo_passk",
    "maxrl",
    "normalized",
    "opo",
    "paired_grpo",
    "pass_at_k",
    "passk_training",
    "reinforce",
    "reinforce_pp",
    "remax",
    "rloo",
    "signed",
    "switch",
    "tsallis",
]
