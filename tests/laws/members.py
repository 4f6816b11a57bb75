"""One list of algorithms and one of rewards, for every law."""

import jax.numpy as jnp

import qra_jax as qra

# A function of the group size, and the least group size that it takes.
ALGORITHMS = {
    "reinforce": (lambda g: qra.reinforce(group_size=g), 1),
    "reinforce, baseline .4": (lambda g: qra.reinforce(0.4, group_size=g), 1),
    "rloo": (qra.rloo, 2),
    "grpo": (qra.grpo, 2),
    "grpo, as trainers run it": (lambda g: qra.grpo(g, ddof=1, epsilon=1e-4), 2),
    "grpo, large epsilon": (lambda g: qra.grpo(g, epsilon=0.3), 2),
    "grpo, dynamic sampling": (lambda g: qra.grpo(g, resample_silent=True), 2),
    "grpo, no scale": (lambda g: qra.grpo(g, scale="none"), 2),
    "dr_grpo": (qra.dr_grpo, 2),
    "dr_grpo, dynamic sampling": (lambda g: qra.dr_grpo(g, resample_silent=True), 2),
    "maxrl": (qra.maxrl, 2),
    "signed": (qra.signed, 1),
    "remax": (qra.remax, 1),
    "opo": (qra.opo, 2),
    "filtered_sft +": (lambda g: qra.filtered_sft(group_size=g), 1),
    "filtered_sft −": (lambda g: qra.filtered_sft("negative", group_size=g), 1),
    "filtered_sft ±": (lambda g: qra.filtered_sft("both", negative_weight=0.5, group_size=g), 1),
    "filtered_sft per accepted": (lambda g: qra.filtered_sft(per="accepted", group_size=g), 1),
    "pass@1": (lambda g: qra.pass_at_k(1, g), 1),
    "pass@2": (lambda g: qra.pass_at_k(2, g), 2),
    "pass@3": (lambda g: qra.pass_at_k(3, g), 3),
    "pass@2 training": (lambda g: qra.passk_training(2, g), 3),
    "paired_grpo": (lambda g: qra.paired_grpo(g, 1), 2),
    "grpo_passk": (qra.grpo_passk, 2),
    "grpo_passk, ÷ std": (lambda g: qra.grpo_passk(g, divide_by_std=True), 2),
    "tsallis .3": (lambda g: qra.tsallis(0.3, g), 1),
    "tsallis 1": (lambda g: qra.tsallis(1.0, g), 1),
}
BATCHED = {
    "grpo, ÷ batch std": (lambda g: qra.grpo(g, scale="batch"), 2),
    "gpg": (qra.gpg, 2),
    "reinforce_pp": (qra.reinforce_pp, 1),
    "reinforce_pp, group baseline": (lambda g: qra.reinforce_pp(g, baseline="group"), 2),
}
REWARDS = {
    "verifiable": qra.verifiable(),
    "noisy verifier": qra.verifiable(0.9, 0.2),
    "self_certainty": qra.self_certainty(),
    "answer_entropy": qra.answer_entropy(),
    "trajectory_log_prob": qra.trajectory_log_prob(),
    "majority_vote": qra.majority_vote(),
    "policy_vote": qra.policy_vote(),
    "kl_in_reward": qra.kl_in_reward(qra.verifiable(0.9, 0.2), 0.3),
}
PROBLEM = qra.Problem.from_probs(
    ref=[0.2, 0.3, 0.5], answers=[[0.7, 0.1, 0.2], [0.4, 0.5, 0.1], [0.15, 0.25, 0.6]]
)
POLICY = jnp.asarray([0.25, 0.45, 0.3])
"""Another policy than the reference, so that penalties in the reward matter."""


def accepted(algorithm, reward):
    """Whether this package runs them together: weights of right and wrong rollouts need a binary reward."""
    if reward.binary and not reward.by_vote:
        return True
    return not (algorithm.binary_only and not reward.binary) and not algorithm.resamples_silent
