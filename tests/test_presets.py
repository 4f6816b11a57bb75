"""Presets: each field's reading, each refusal, and that no refusal needs JAX."""

import json
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qra_jax as qra
from qra_jax import presets
from qra_jax.off_policy import OffPolicy
from qra_jax.presets import fields, source
from qra_jax.presets.preset import READERS
from qra_jax.presets.reader import Config, Part
from qra_jax.setup import Optimizer, Setup, dapo

DATA = Path(__file__).parent / "data" / "presets"
FILES = sorted(path.name for path in DATA.iterdir())
ACTOR, ROLLOUT = fields.ACTOR, fields.ROLLOUT


def understood(config):
    """Plan and record of a configuration, in plain data."""
    name, values = source.load(config)
    config = Config(name, source.trainer(name, values), values)
    plan = READERS[config.trainer](config)
    return plan, config, config.close()


def trl(**values):
    return understood({"num_generations": 8} | values)


def verl(**values):
    """Fields of the actor with `actor__`, of the sampler with `rollout__`, others by section."""
    given = {"algorithm.adv_estimator": "grpo", f"{ROLLOUT}n": 8, "data.train_batch_size": 64}
    given[f"{ACTOR}ppo_mini_batch_size"] = 64
    for name, value in values.items():
        section, _, rest = name.partition("__")
        prefix = {"actor": ACTOR, "rollout": ROLLOUT}.get(section, f"{section}.")
        given[prefix + rest.replace("__", ".")] = value
    return understood(given)


# what a value becomes: (fields, part of the plan, value)
TRL = [
    (
        {"num_generations": 16},
        "algorithm",
        Part("grpo", (16,), {"ddof": 1, "epsilon": 1e-4, "scale": "group"}),
    ),
    (
        {"scale_rewards": True},
        "algorithm",
        Part("grpo", (8,), {"ddof": 1, "epsilon": 1e-4, "scale": "group"}),
    ),
    (
        {"scale_rewards": "batch"},
        "algorithm",
        Part("grpo", (8,), {"ddof": 1, "epsilon": 1e-4, "scale": "batch"}),
    ),
    ({"scale_rewards": False}, "algorithm", Part("dr_grpo", (8,))),
    ({"scale_rewards": "none"}, "algorithm", Part("dr_grpo", (8,))),
    ({"scale_rewards": "mean"}, "algorithm", Part("maxrl", (8,), {"epsilon": 1e-4})),
    ({}, "clip", (0.2, 0.2)),
    ({"epsilon": 0.1}, "clip", (0.1, 0.1)),
    ({"epsilon_high": 0.28}, "clip", (0.2, 0.28)),
    ({"epsilon": 1.5}, "clip", (None, 1.5)),
    ({"delta": 4.0}, "dual_clip", 4.0),
    ({"delta": 1.1}, "clip", (0.2, pytest.approx(0.1))),
    ({"importance_sampling_level": "sequence", "loss_type": "grpo"}, "surrogate", "gspo"),
    ({"importance_sampling_level": "sequence", "loss_type": "luspo"}, "normalize", "constant"),
    ({"loss_type": "cispo", "epsilon_high": 5.0}, "clip", (None, 4.0)),
    ({"loss_type": "cispo", "epsilon_high": 5.0}, "surrogate", "cispo"),
    ({"loss_type": "sapo"}, "gate", (1.0, 1.05)),
    ({"loss_type": "sapo", "sapo_temperature_pos": 2, "sapo_temperature_neg": 3}, "gate", (2, 3)),
    ({"loss_type": "sapo"}, "normalize", "length"),
    ({"loss_type": "grpo"}, "normalize", "length"),
    ({"loss_type": "bnpo"}, "normalize", "batch_tokens"),
    ({"loss_type": "dapo"}, "normalize", "batch_tokens"),
    ({"loss_type": "dr_grpo"}, "normalize", "constant"),
    (
        {"loss_type": "dr_grpo"},
        "algorithm",
        Part("grpo", (8,), {"ddof": 1, "epsilon": 1e-4, "scale": "group"}),
    ),
    ({"temperature": 0.7}, "temperature", 0.7),
    ({"num_iterations": 3}, "epochs", 3),
    ({"num_iterations": 3, "max_steps": 10}, "steps", 4),
    ({"steps_per_generation": 8, "gradient_accumulation_steps": 2}, "staleness", 4),
    ({"steps_per_generation": 8, "gradient_accumulation_steps": 2}, "schedule", "held"),
    ({"gradient_accumulation_steps": 8}, "staleness", None),
    ({"per_device_train_batch_size": 16, "gradient_accumulation_steps": 3}, "questions", 6),
    ({"generation_batch_size": 64}, "questions", 8),
    ({}, "questions", None),
    ({"per_device_train_batch_size": 3}, "questions", None),
    ({"beta": 0.04}, "regularizers", [Part("k3_loss", (0.04,), {"estimate": "samples"})]),
    (
        {"beta": 0.04, "use_bias_correction_kl": True},
        "regularizers",
        [Part("reverse_kl", (0.04,), {"estimate": "samples"})],
    ),
    (
        {"beta": 0.04, "sync_ref_model": True, "ref_model_sync_steps": 64, "ref_model_mixup_alpha": 0.9},
        "regularizers",
        [Part("k3_loss", (0.04,), {"estimate": "samples", "reference": {"every": 64, "mixing": 0.9}})],
    ),
    ({"entropy_coef": 0.01}, "regularizers", [Part("entropy_bonus", (0.01,))]),
    ({"use_vllm": True}, "correction", "mask"),
    ({"use_vllm": True}, "correction_level", "sequence"),
    ({"use_vllm": True, "vllm_importance_sampling_mode": "token_truncate"}, "correction", "truncate"),
    ({"use_vllm": True, "vllm_importance_sampling_mode": "token_mask"}, "correction_level", "token"),
    ({"use_vllm": True, "vllm_importance_sampling_cap": 2.0}, "correction_cap", 2.0),
    ({"use_vllm": True, "vllm_importance_sampling_clip_max": 2.5}, "correction_cap", 2.5),
    ({"use_vllm": True, "vllm_importance_sampling_correction": False}, "correction", None),
    ({"use_vllm": False, "vllm_importance_sampling_mode": "token_mask"}, "correction", None),
    ({"off_policy_mask_threshold": 0.5}, "mask_old_negatives", 0.5),
    ({"top_entropy_quantile": 0.2}, "token_mask", ("entropy", 0.2)),
    ({"top_entropy_quantile": 1.0}, "token_mask", None),
    ({"learning_rate": "3e-6"}, "learning_rate", 3e-6),
    ({"optim": "paged_adamw_8bit"}, "rule", "adamw"),
    ({"optim": "sgd"}, "rule", "sgd"),
    ({"optim": "lion_32bit"}, "rule", "lion"),
    ({"adam_beta1": 0.8}, "b1", 0.8),
    ({"adam_beta2": 0.95}, "b2", 0.95),
    ({"adam_epsilon": 1e-6}, "eps", 1e-6),
    ({"weight_decay": 0.1}, "weight_decay", 0.1),
    ({"max_grad_norm": 0.2}, "clip_norm", 0.2),
    ({"max_grad_norm": 0}, "clip_norm", None),
    ({"max_steps": 50}, "steps", 50),
    ({"max_steps": 50}, "schedule_of_rate", "linear"),
    ({"max_steps": 50, "lr_scheduler_type": "cosine"}, "schedule_of_rate", "cosine"),
    ({"max_steps": 50, "lr_scheduler_type": "constant"}, "schedule_of_rate", None),
    ({"max_steps": 50, "warmup_ratio": 0.1}, "warmup", 5),
    ({"max_steps": 50, "warmup_steps": 0.1}, "warmup", 5),
    ({"max_steps": 50, "warmup_steps": 7}, "warmup", 7),
    (
        {
            "max_steps": 50,
            "lr_scheduler_type": "cosine_with_min_lr",
            "lr_scheduler_kwargs": {"min_lr_rate": 0.1},
        },
        "end",
        0.1,
    ),
]
GRPO6 = {"ddof": 1, "epsilon": 1e-6}
SAMPLES = {"estimate": "samples"}
VERL = [
    ({}, "algorithm", Part("grpo", (8,), GRPO6)),
    ({"rollout__n": 16}, "algorithm", Part("grpo", (16,), GRPO6)),
    ({"rollout__n": 1}, "algorithm", Part("reinforce", (0.0,), {"group_size": 1})),
    ({"algorithm__adv_estimator": "grpo_vectorized"}, "algorithm", Part("grpo", (8,), GRPO6)),
    ({"algorithm__norm_adv_by_std_in_grpo": False}, "algorithm", Part("dr_grpo", (8,))),
    (
        {"algorithm__filter_groups__enable": True},
        "algorithm",
        Part("grpo", (8,), GRPO6 | {"resample_silent": True}),
    ),
    (
        {"algorithm__adv_estimator": "grpo_passk"},
        "algorithm",
        Part("grpo_passk", (8,), {"divide_by_std": True}),
    ),
    (
        {"algorithm__adv_estimator": "reinforce_plus_plus"},
        "algorithm",
        Part("reinforce_pp", (8,), {"baseline": "batch"}),
    ),
    (
        {"algorithm__adv_estimator": "reinforce_plus_plus_baseline"},
        "algorithm",
        Part("reinforce_pp", (8,), {"baseline": "group"}),
    ),
    ({"algorithm__adv_estimator": "rloo"}, "algorithm", Part("rloo", (8,))),
    ({"algorithm__adv_estimator": "remax"}, "algorithm", Part("remax", (8,))),
    ({"algorithm__adv_estimator": "opo"}, "algorithm", Part("opo", (8,))),
    ({"algorithm__adv_estimator": "gpg"}, "algorithm", Part("gpg", (8,))),
    ({"algorithm__adv_estimator": "gae"}, "algorithm", Part("reinforce_pp", (8,), {"baseline": "batch"})),
    ({}, "clip", (0.2, 0.2)),
    ({}, "dual_clip", 3.0),
    ({"actor__clip_ratio": 0.1}, "clip", (0.1, 0.1)),
    (
        {"actor__clip_ratio": 0.1, "actor__clip_ratio_low": 0.2, "actor__clip_ratio_high": 0.28},
        "clip",
        (0.2, 0.28),
    ),
    ({"actor__clip_ratio_c": 10}, "dual_clip", 10),
    ({"actor__policy_loss__loss_mode": "gspo"}, "surrogate", "gspo"),
    ({"actor__policy_loss__loss_mode": "gspo"}, "dual_clip", None),
    ({"actor__policy_loss__loss_mode": "gspo", "actor__clip_ratio_c": 1.0}, "dual_clip", None),
    ({"algorithm__rollout_correction__rollout_is": "geometric"}, "correction", None),
    ({"actor__policy_loss__loss_mode": "gspo"}, "normalize", "length"),
    ({"actor__policy_loss__loss_mode": "gpg"}, "surrogate", "none"),
    ({"actor__policy_loss__loss_mode": "cispo"}, "surrogate", "cispo"),
    ({"actor__policy_loss__loss_mode": "geo_mean"}, "surrogate", "gmpo"),
    (
        {"actor__policy_loss__loss_mode": "geo-mean", "actor__clip_ratio": 0.4},
        "clip",
        (pytest.approx(1 - np.exp(-0.4)), pytest.approx(np.exp(0.4) - 1)),
    ),
    ({"actor__policy_loss__loss_mode": "sapo", "actor__tau_neg": 2.0}, "gate", (1.0, 2.0)),
    ({"actor__policy_loss__loss_mode": "clip-cov"}, "token_mask", ("clip_cov", 2e-4, 1.0, 5.0)),
    (
        {"actor__policy_loss__loss_mode": "clip_cov", "actor__policy_loss__clip_cov_ub": 40},
        "token_mask",
        ("clip_cov", 2e-4, 1.0, 40),
    ),
    ({"actor__policy_loss__loss_mode": "kl_cov"}, "token_mask", ("kl_cov", 2e-4, 0.1)),
    ({"actor__policy_loss__loss_mode": "kl_cov"}, "clip", None),
    ({"actor__loss_agg_mode": "token-mean"}, "normalize", "batch_tokens"),
    ({"actor__loss_agg_mode": "seq-mean-token-sum"}, "normalize", "constant"),
    ({"actor__loss_agg_mode": "seq-mean-token-mean"}, "normalize", "length"),
    ({"actor__loss_agg_mode": "seq-mean-token-sum-norm"}, "normalize", "constant"),
    ({"actor__ppo_epochs": 2}, "epochs", 2),
    ({"actor__ppo_mini_batch_size": 16}, "staleness", 4),
    ({"actor__ppo_mini_batch_size": 16}, "questions", 16),
    ({"actor__ppo_mini_batch_size": 16, "trainer__total_training_steps": 10}, "steps", 40),
    ({"trainer__total_training_steps": 10}, "steps", 10),
    ({"actor__optim__total_training_steps": 10}, "steps", 10),
    ({"rollout__temperature": 0.6}, "temperature", 0.6),
    ({"actor__use_kl_loss": True}, "regularizers", [Part("k3_loss", (0.001,), SAMPLES)]),
    (
        {"actor__use_kl_loss": True, "actor__kl_loss_type": "kl"},
        "regularizers",
        [Part("k1_loss", (0.001,), SAMPLES)],
    ),
    (
        {"actor__use_kl_loss": True, "actor__kl_loss_type": "mse"},
        "regularizers",
        [Part("k2_loss", (0.001,), SAMPLES)],
    ),
    (
        {"actor__use_kl_loss": True, "actor__kl_loss_type": "k3+"},
        "regularizers",
        [Part("k3_k2_loss", (0.001,), SAMPLES)],
    ),
    ({"actor__use_kl_loss": True, "actor__kl_loss_type": "abs"}, "regularizers", []),
    ({"actor__use_kl_loss": False, "actor__kl_loss_coef": 0.1}, "regularizers", []),
    ({"actor__entropy_coeff": 0.001}, "regularizers", [Part("entropy_bonus", (0.001,))]),
    ({"algorithm__use_kl_in_reward": True, "algorithm__kl_ctrl__kl_coef": 0.01}, "kl_in_reward", 0.01),
    ({"algorithm__use_kl_in_reward": False, "algorithm__kl_ctrl__kl_coef": 0.01}, "kl_in_reward", None),
    ({"algorithm__rollout_correction__rollout_is": "token"}, "correction", "truncate"),
    ({"algorithm__rollout_correction__rollout_is": "sequence"}, "correction_level", "sequence"),
    (
        {
            "algorithm__rollout_correction__rollout_is": "token",
            "algorithm__rollout_correction__rollout_is_threshold": 5,
        },
        "correction_cap",
        5,
    ),
    ({"algorithm__rollout_correction__rollout_rs": "seq_mean_k3"}, "correction", "mask"),
    (
        {"algorithm__rollout_is": True, "algorithm__rollout_is_level": "sequence"},
        "correction_level",
        "sequence",
    ),
    ({"algorithm__rollout_is": False, "algorithm__rollout_is_level": "sequence"}, "correction", None),
    ({"actor__tis_imp_ratio_cap": 2.5}, "correction_cap", 2.5),
    ({"actor__tis_imp_ratio_cap": -1}, "correction", None),
    (
        {
            "algorithm__rollout_correction__bypass_mode": True,
            "algorithm__rollout_correction__loss_type": "reinforce",
            "algorithm__rollout_correction__rollout_is": "token",
        },
        "surrogate",
        "cispo",
    ),
    (
        {"reward_model__overlong_buffer__enable": True, "reward_model__overlong_buffer__len": 128},
        "overlong",
        (512, 128),
    ),
    (
        {
            "reward_model__reward_kwargs__overlong_buffer_cfg__enable": True,
            "reward_model__reward_kwargs__overlong_buffer_cfg__len": 128,
            "reward_model__reward_kwargs__overlong_buffer_cfg__penalty_factor": 0.5,
            "data__max_response_length": 1024,
        },
        "overlong",
        (1024, 128, 0.5),
    ),
    ({"reward_model__overlong_buffer__enable": False}, "overlong", None),
    ({"actor__optim__lr": "5e-7"}, "learning_rate", 5e-7),
    ({"actor__optim__betas": [0.9, 0.95]}, "b2", 0.95),
    ({"actor__optim__weight_decay": 0.1}, "weight_decay", 0.1),
    ({"actor__grad_clip": 0.3}, "clip_norm", 0.3),
    ({"actor__optim__clip_grad": 0.3}, "clip_norm", 0.3),
    ({"actor__optim__lr_warmup_steps": 10, "actor__ppo_mini_batch_size": 16}, "warmup", 40),
    (
        {"actor__optim__lr_scheduler_type": "cosine", "trainer__total_training_steps": 10},
        "schedule_of_rate",
        "cosine",
    ),
    ({"actor__optim__warmup_style": "cosine", "trainer__total_training_steps": 10}, "updates", 10),
    (
        {
            "actor__optim__warmup_style": "cosine",
            "actor__optim__min_lr_ratio": 0.1,
            "trainer__total_training_steps": 10,
        },
        "end",
        0.1,
    ),
    ({"actor__optim__optimizer": "AdamW"}, "rule", "adamw"),
]


def part(plan, name):
    if name == "schedule_of_rate":
        return plan.optimizer.get("schedule")
    if name in OffPolicy.__dataclass_fields__:
        return plan.off_policy.get(name)
    return plan.optimizer.get(name) if name in Optimizer.__dataclass_fields__ else getattr(plan, name)


@pytest.mark.parametrize(("given", "name", "value"), TRL)
def test_a_field_of_trl_is_read(given, name, value):
    plan, config, (unknown, _) = trl(**given)
    assert part(plan, name) == value
    assert not unknown
    names = [one for one in given if one != "lr_scheduler_kwargs"]
    assert all(one in config.used or one in config.ignored for one in names)


@pytest.mark.parametrize(("given", "name", "value"), VERL)
def test_a_field_of_verl_is_read(given, name, value):
    plan, config, (unknown, _) = verl(**given)
    assert part(plan, name) == value
    assert not unknown
    assert set(config.values) == {*config.used, *config.ignored}


IGNORED = [
    ({"top_p": 0.9}, "top_p", "whole distribution"),
    ({"top_k": 50}, "top_k", "whole distribution"),
    ({"min_p": 0.1}, "min_p", "whole distribution"),
    ({"mask_truncated_completions": True}, "mask_truncated_completions", "never cut off"),
    ({"multi_objective_aggregation": "normalize_then_sum"}, "multi_objective_aggregation", "no single orbit"),
    ({"reward_weights": [1.0, 0.5]}, "reward_weights", "several rewards"),
    ({"num_train_epochs": 3}, "num_train_epochs", "how many questions"),
    ({"lr_scheduler_type": "linear"}, "lr_scheduler_type", "how many updates"),
    ({"lr_scheduler_type": "polynomial", "max_steps": 10}, "lr_scheduler_type", "no such schedule"),
    ({"optim": "adafactor"}, "optim", "AdamW in its place"),
    ({"warmup_ratio": 0.1}, "warmup_ratio", "does not say"),
    ({"loss_type": "sapo", "epsilon": 0.1}, "epsilon", "sapo does not clip"),
    ({"importance_sampling_level": "sequence", "delta": 3.0}, "delta", "dual clip of GSPO"),
    ({"max_completion_length": 100}, "max_completion_length", "one decision"),
    ({"bf16": True}, "bf16", "hardware"),
    ({"model_init_kwargs": {"dtype": "bfloat16"}}, "model_init_kwargs.dtype", "network"),
    ({"report_to": ["wandb"]}, "report_to", "logging"),
]


@pytest.mark.parametrize(("given", "name", "why"), IGNORED)
def test_what_is_ignored_says_why(given, name, why):
    _, config, (unknown, _) = trl(**given)
    assert why in config.ignored[name].how
    assert name not in config.used
    assert not unknown


REFUSED = [
    ({"epsilon": -0.1}, "epsilon: -0.1; must be 0 or above"),
    ({"epsilon": [0.2]}, "epsilon: [0.2]; must be a number"),
    ({"epsilon": True}, "epsilon: True; must be a number"),
    ({"epsilon": "wide"}, "epsilon: 'wide'; must be a number"),
    ({"epsilon": float("nan")}, "epsilon: nan; must be a finite number"),
    ({"num_generations": 8.5}, "num_generations: 8.5; must be a whole number"),
    ({"num_generations": 1}, "num_generations: 1; must be 2 or above"),
    ({"num_generations": [8]}, "num_generations: [8]; must be a number"),
    (
        {"num_generations": 8, "generation_batch_size": 60},
        "generation_batch_size: 60; must be a multiple of num_",
    ),
    (
        {"generation_batch_size": 64, "per_device_train_batch_size": 24},
        "generation_batch_size: 64; must be a multiple of the batch, 24",
    ),
    ({"delta": 0.9}, "delta: 0.9; must be above 1"),
    ({"scale_rewards": "std"}, "scale_rewards: 'std'; must be one of group, batch, none, mean"),
    ({"scale_rewards": 3}, "scale_rewards: 3; must be one of"),
    (
        {"scale_rewards": "mean", "multi_objective_aggregation": "normalize_then_sum"},
        "multi_objective_aggregation: 'normalize_then_sum'; must be sum_then_normalize",
    ),
    ({"loss_type": "ppo"}, "loss_type: 'ppo'; must be one of"),
    ({"loss_type": "luspo"}, "loss_type: 'luspo'; needs importance_sampling_level = sequence"),
    (
        {"loss_type": "cispo", "epsilon_high": 5.0, "importance_sampling_level": "sequence"},
        "importance_sampling_level: 'sequence'; must be token with loss_type = cispo",
    ),
    ({"loss_type": "cispo"}, "loss_type: 'cispo'; cispo caps the ratio itself"),
    (
        {"importance_sampling_level": "word"},
        "importance_sampling_level: 'word'; must be one of token, sequence",
    ),
    ({"temperature": 0}, "temperature: 0; must be above 0"),
    ({"top_p": 1.2}, "top_p: 1.2; must be in (0, 1]"),
    ({"beta": -1}, "beta: -1; must be 0 or above"),
    ({"sync_ref_model": True}, "sync_ref_model: True; must be false with beta = 0"),
    ({"sync_ref_model": "maybe"}, "sync_ref_model: 'maybe'; must be true or false"),
    ({"ref_model_mixup_alpha": 2}, "ref_model_mixup_alpha: 2; must be in [0, 1]"),
    ({"vllm_importance_sampling_mode": "token"}, "vllm_importance_sampling_mode: 'token'; must be one of"),
    ({"vllm_importance_sampling_cap": 0}, "vllm_importance_sampling_cap: 0; must be above 0"),
    ({"top_entropy_quantile": 2}, "top_entropy_quantile: 2; must be in [0, 1]"),
    ({"adam_beta2": 1.0}, "adam_beta2: 1.0; must be in [0, 1)"),
    ({"num_iterations": 0}, "num_iterations: 0; must be 1 or above"),
    ({"lr_scheduler_type": "cosin"}, "(nearest: cosine)"),
    ({"reward_weights": 1.0}, "reward_weights: 1.0; must be a list of numbers"),
    ({"max_steps": 1.5}, "max_steps: 1.5; must be a whole number"),
]
REFUSED_VERL = [
    ({"actor__clip_ratio": -0.2}, f"{ACTOR}clip_ratio: -0.2; must be 0 or above"),
    ({"actor__clip_ratio_high": [0.28]}, f"{ACTOR}clip_ratio_high: [0.28]; must be a number"),
    ({"actor__clip_ratio_c": 1.0}, f"{ACTOR}clip_ratio_c: 1.0; must be above 1"),
    ({"actor__ppo_mini_batch_size": 128}, "must not be above data.train_batch_size = 64"),
    ({"actor__policy_loss__loss_mode": "ppo"}, "loss_mode: 'ppo'; must be one of vanilla"),
    ({"actor__loss_agg_mode": "mean"}, "loss_agg_mode: 'mean'; must be one of token-mean"),
    ({"actor__kl_loss_type": "k4"}, "kl_loss_type: 'k4'; must be one of"),
    (
        {"actor__use_kl_loss": True, "actor__kl_loss_type": "full"},
        "kl_loss_type: 'full'; full is not written",
    ),
    ({"actor__optim__betas": [0.9]}, "betas: [0.9]; must be two numbers in [0, 1)"),
    (
        {
            "actor__policy_loss__loss_mode": "clip_cov",
            "actor__policy_loss__clip_cov_lb": 6.0,
        },
        "clip_cov_lb: 6.0; clip_cov_lb, 6, must not be above clip_cov_ub, 5",
    ),
    ({"algorithm__adv_estimator": "ppo"}, "algorithm.adv_estimator: 'ppo'; must be one of gae, grpo"[:40]),
    ({"algorithm__adv_estimator": "optimal_token_baseline"}, "no counterpart"),
    ({"algorithm__adv_estimator": "grpo_passk", "rollout__n": 1}, "needs n of 2 or above"),
    ({"algorithm__filter_groups__enable": True, "rollout__n": 1}, "dynamic sampling needs"),
    ({"algorithm__kl_ctrl__type": "slow"}, "algorithm.kl_ctrl.type: 'slow'; must be one of fixed, adaptive"),
    ({"rollout__n": 0}, f"{ROLLOUT}n: 0; must be 1 or above"),
    ({"rollout__temperature": 0.0}, f"{ROLLOUT}temperature: 0.0; must be above 0"),
    ({"reward_model__overlong_buffer__enable": True}, "needs reward_model.overlong_buffer.len"),
    (
        {"reward_model__overlong_buffer__enable": True, "reward_model__overlong_buffer__len": 600},
        "reward_model.overlong_buffer.len: 600; must not be above data.max_response_length = 512"[:45],
    ),
]


@pytest.mark.parametrize(
    ("make", "given", "words"),
    [(trl, *one) for one in REFUSED] + [(verl, *one) for one in REFUSED_VERL],
)
def test_what_is_wrong_is_refused_in_one_line(make, given, words):
    with pytest.raises(ValueError, match=r"^config: ") as caught:
        make(**given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


OTHER = [
    (
        {"actor_learning_rate": 5e-7, "eps_clip": 0.2, "n_samples_per_prompt": 8, "init_kl_coef": 0.01},
        "OpenRLHF",
    ),
    ({"algo": {"kl": {"init_coef": 0.01}}, "actor": {"eps_clip": 0.2}}, "OpenRLHF"),
    ({"grpo": {"num_prompts_per_step": 32}, "loss_fn": {"ratio_clip_min": 0.2}}, "NeMo-RL"),
    ({"orchestrator": {"batch_size": 512}, "trainer": {"loss": {"type": "token"}}}, "prime-rl"),
    (
        {"generator": {"n_samples_per_prompt": 5}, "trainer": {"algorithm": {"advantage_estimator": "grpo"}}},
        "SkyRL",
    ),
    ({"precompute_ref_log_probs": True, "rpo_alpha": 1.0, "beta": 0.1}, "TRL's DPOConfig"),
    ({"log_history": [], "global_step": 10, "best_metric": None}, "trainer_state.json"),
    ({"hidden_size": 896, "num_hidden_layers": 24, "vocab_size": 151936}, "config.json"),
]


@pytest.mark.parametrize(("given", "whose"), OTHER)
def test_another_trainers_file_is_called_by_its_name(given, whose):
    with pytest.raises(ValueError, match=r"^config: looks like .*must be TRL's GRPOConfig or verl"):
        understood(given)
    with pytest.raises(ValueError, match=whose):
        understood(given)


def test_fields_of_both_trainers_are_refused():
    with pytest.raises(ValueError, match="fields of TRL and of verl"):
        understood(
            {"num_generations": 8, "epsilon": 0.2, "algorithm.adv_estimator": "grpo", f"{ROLLOUT}n": 8}
        )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "training_args.bin",
            b"PK\x03\x04archive",
            "a pickle, which may run anything when it is opened; save it as JSON",
        ),
        ("arguments", b"\x80\x04K\x01.", "a pickle"),
        ("args.pkl", b"anything", "a pickle"),
        ("empty.yaml", b"", "empty; must hold at least one field"),
        ("blank.json", b" \n", "empty; must hold at least one field"),
        ("comment.yaml", b"# nothing\n", "empty"),
        ("none.json", b"{}", "empty"),
        ("half.json", b'{"epsilon": 0.2,', "no JSON (line 1:"),
        ("list.json", b"[1, 2]", "a list; must hold fields and their values"),
        ("half.yaml", b"epsilon: [0.2\nbeta: 1", "no YAML (line "),
        ("endless.yaml", b"beta: &a\n  again: *a\n", "recursive"),
        (
            "laughs.yaml",
            b"a: &a {p: 1, q: 2, r: 3, s: 4, t: 5, u: 6, v: 7, w: 8, x: 9, y: 0}\n"
            + b"".join(
                b"%c: &%c {%s}\n"
                % (
                    b"abcdef"[n + 1],
                    b"abcdef"[n + 1],
                    b", ".join(b"k%d: *%c" % (i, b"abcdef"[n]) for i in range(10)),
                )
                for n in range(5)
            ),
            "more than 20000 fields",
        ),
        ("word.yaml", b"just a sentence", "a single word or sentence"),
        ("twice.json", b'{"epsilon": 0.2, "epsilon": 0.3}', "epsilon: given twice, 0.2 and 0.3"),
        ("twice.yaml", b"epsilon: 0.2\nepsilon: 0.3\n", "epsilon: given twice, 0.2 and 0.3"),
        ("two.yaml", b"epsilon: 0.2\n---\nepsilon: 0.3\n", "2 documents; must be one"),
        ("bytes.yaml", b"\xff\xfe\x00\x01", "no text; must be JSON or YAML"),
        ("picture.json", b"\x89PNG\r\n\x1a\n\x00", "no text; must be JSON or YAML"),
        ("log.yaml", b"step: 1\nreward: 0.4\n", "no field of TRL's GRPOConfig or verl (it has step, reward)"),
        (
            "rl.toml",
            b"max_async_level = 2\n[orchestrator]\nrollouts_per_example = 8\n",
            "looks like prime-rl",
        ),
        ("bad.toml", b"a = = 2", "no TOML ("),
        ("run.sh", b"echo hello\n", "no setting; must hold name=value"),
        ("trl.yaml", b"num_generations: 8\nepsilon: [0.1, 0.2]\n", "epsilon: [0.1, 0.2]; must be a number"),
    ],
)
def test_a_file_that_is_no_such_file_is_refused(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{name}: ") as caught:
        understood(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^gone.yaml: cannot be read \(no such file or directory\)$"):
        understood(tmp_path / "gone.yaml")
    with pytest.raises(ValueError, match="a folder; must be a file"):
        understood(tmp_path)
    with pytest.raises(ValueError, match="cannot be read") as caught:
        understood("training\0args")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="config: a float; must be a dictionary"):
        understood(0.2)


def test_a_python_object_in_yaml_is_not_made(tmp_path):
    path = tmp_path / "args.yaml"
    flag = tmp_path / "made"
    path.write_text(f'num_generations: 8\nepsilon: !!python/object/apply:os.mkdir ["{flag}"]\n')
    with pytest.raises(ValueError, match="epsilon"):
        understood(path)
    assert not flag.exists()


@pytest.mark.parametrize("given", ["half.json", "list.yaml", "gone.yaml", "training_args.bin", "clip.yaml"])
def test_a_refusal_needs_no_jax(tmp_path, given):
    (tmp_path / "half.json").write_text('{"epsilon": ')
    (tmp_path / "list.yaml").write_text("num_generations: [8]\n")
    (tmp_path / "training_args.bin").write_bytes(b"PK\x03\x04")
    (tmp_path / "clip.yaml").write_text("actor_rollout_ref: {actor: {clip_ratio: -1}}\n")
    script = (
        "import sys\nfrom qra_jax.presets import read\n"
        "try:\n    read(sys.argv[1])\n"
        "except ValueError:\n    print('refused', [m for m in ('jax', 'optax', 'numpy') if m in sys.modules])\n"
    )
    run = [sys.executable, "-c", script, str(tmp_path / given)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "refused []", done.stderr


def test_unknown_fields_are_named_with_the_nearest_known_one():
    _, _, (unknown, hints) = trl(epsilom_high=0.28, colour="red", num_generation=8)
    assert unknown == ["epsilom_high", "colour", "num_generation"]
    assert hints == {"epsilom_high": "epsilon_high", "num_generation": "num_generations"}
    _, _, (unknown, hints) = verl(actor__clip_ratio_hgh=0.28, trainer__sav_freq=1, actor__epsilon_high=1)
    assert unknown == [f"{ACTOR}clip_ratio_hgh", "trainer.sav_freq", f"{ACTOR}epsilon_high"]
    assert hints[f"{ACTOR}clip_ratio_hgh"] == f"{ACTOR}clip_ratio_high"
    assert hints["trainer.sav_freq"] == "trainer.save_freq"
    _, _, (_, hints) = understood(
        {
            "actor_rollout_ref.rollout.n": 8,
            "num_generations": 8,
            f"{ACTOR}clip_ratio": 0.2,
            f"{ACTOR}optim.lr": 1e-6,
        }
    )
    assert hints == {"num_generations": f"{ROLLOUT}n"}


def test_dotted_nested_text_and_overrides_are_one():
    nested = {
        "actor_rollout_ref": {"actor": {"clip_ratio_high": 0.28, "optim": {"lr": 1e-6}}, "rollout": {"n": 8}},
        "algorithm": {"adv_estimator": "grpo"},
    }
    dotted = {
        f"{ACTOR}clip_ratio_high": 0.28,
        f"{ACTOR}optim": {"lr": 1e-6},
        f"{ROLLOUT}n": 8,
        "algorithm.adv_estimator": "grpo",
    }
    words = [f"++{name}={value}" for name, value in source.flat("config", nested).items()]
    first, config, _ = understood(nested)
    yaml = "actor_rollout_ref:\n  actor: {clip_ratio_high: 0.28, optim: {lr: 1e-6}}\n  rollout:\n    n: 8\n"
    yaml += "algorithm: {adv_estimator: grpo}\n"
    for same in (dotted, words, " ".join(words), json.dumps(nested), yaml):
        plan, other, _ = understood(same)
        assert plan == first
        assert set(other.used) == set(config.used)


def test_a_contradiction_of_dotted_and_nested_is_refused():
    with pytest.raises(ValueError, match=r"config: actor_rollout_ref.rollout.n: given twice, 8 and 4"):
        understood({"actor_rollout_ref": {"rollout": {"n": 8}}, f"{ROLLOUT}n": 4})


def test_the_last_override_counts_and_a_tilde_deletes():
    plan, _, _ = understood(
        [
            f"{ROLLOUT}n=4",
            f"{ROLLOUT}n=8",
            "algorithm.adv_estimator=rloo",
            f"+{ACTOR}ppo_epochs=3",
            f"~{ACTOR}ppo_epochs",
        ]
    )
    assert plan.algorithm == Part("rloo", (8,))
    assert "epochs" not in plan.off_policy


def test_flags_of_a_command_are_trls_fields():
    plan, _, (unknown, _) = understood(
        "trl grpo --num_generations 16 --epsilon_high=0.3 --use_vllm --bf16 True"
    )
    assert plan.algorithm.arguments == (16,)
    assert plan.off_policy["clip"] == (0.2, 0.3)
    assert plan.off_policy["correction"] == "mask"
    assert not unknown


def test_interpolations_are_resolved():
    plan, _, _ = verl(
        reward_model__overlong_buffer__enable=True,
        reward_model__overlong_buffer__len=128,
        data__max_response_length="${oc.select:actor_rollout_ref.rollout.response_length,512}",
        rollout__response_length=2048,
        actor__optim__lr="${other.rate}",
    )
    assert plan.overlong == (2048, 128)
    assert plan.learning_rate == 1e-6


def test_weights_and_biases_wrapping_is_taken_off():
    plain = {"num_generations": 8, "epsilon": 0.1}
    wrapped = {name: {"value": value, "desc": None} for name, value in plain.items()} | {"wandb_version": 1}
    assert understood(wrapped)[0] == understood(plain)[0]


def test_dictionary_json_and_yaml_are_one(tmp_path):
    for name in ("trl_gspo.json", "verl_reinforce.json"):
        values = json.loads((DATA / name).read_text())
        path = tmp_path / f"{name}.yaml"
        lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in values.items())
        path.write_text(lines)
        first = understood(values)
        for same in (DATA / name, path, (DATA / name).read_text()):
            plan, config, tail = understood(same)
            assert plan == first[0]
            assert config.used == first[1].used
            assert config.ignored == first[1].ignored
            assert tail == first[2]


@pytest.mark.parametrize("name", FILES)
def test_every_field_of_a_file_is_accounted_for_once(name):
    preset = presets.read(DATA / name)
    assert preset.trainer == name.split("_")[0]
    values = source.load(DATA / name)[1]
    told = [one.field for one in (*preset.used, *preset.ignored)] + list(preset.unknown)
    assert sorted(told) == sorted(values)
    assert all(one.value == values[one.field] and one.how for one in (*preset.used, *preset.ignored))
    assert all(name in preset.report() for name in preset.unknown)
    assert {one.field for one in preset.defaults}.isdisjoint(one.field for one in preset.used)


def test_the_arithmetic_run_of_trl():
    setup = presets.read(DATA / "trl_math.yaml").setup
    assert setup.algorithm.group_size == 16
    assert setup.off_policy.clip == (0.2, 0.28)
    assert setup.off_policy.epochs == 2
    assert setup.off_policy.temperature == 0.8
    assert len(setup.regularizers) == 1
    assert setup.optimizer == Optimizer(
        b2=0.95, weight_decay=0.1, clip_norm=0.5, schedule="cosine", warmup=12, updates=400, end=0.1
    )
    assert (setup.learning_rate, setup.steps, setup.normalize, setup.questions) == (
        1e-6,
        200,
        "batch_tokens",
        4,
    )


def test_gspo_of_trl():
    setup = presets.read(DATA / "trl_gspo.json").setup
    policy = setup.off_policy
    assert (policy.surrogate, policy.clip, policy.staleness, policy.schedule) == (
        "gspo",
        (3e-4, 4e-4),
        4,
        "held",
    )
    assert (policy.correction, policy.correction_level, policy.correction_cap) == ("truncate", "token", 2.0)
    assert setup.tabular()["off_policy"].surrogate == "clip"
    assert setup.network()["off_policy"] == policy
    assert (setup.normalize, setup.questions, setup.steps) == ("length", 8, 1000)


def test_cispo_of_trl():
    preset = presets.read(DATA / "trl_cispo.json")
    setup = preset.setup
    assert setup.off_policy.surrogate == "cispo"
    assert setup.off_policy.clip == (None, 4.0)
    assert setup.off_policy.mask_old_negatives == 0.5
    assert setup.token_mask == ("entropy", 0.2)
    assert len(setup.regularizers) == 2
    assert setup.optimizer.rule == "sgd"
    assert preset.unknown == ("temperatur",)
    assert preset.hints == {"temperatur": "temperature"}


def test_dapo_of_verl_is_the_recipe():
    setup = presets.read(DATA / "verl_dapo.sh").setup
    recipe = dapo(16, overlong=(20480, 4096))
    assert repr(setup.algorithm) == repr(recipe.algorithm)
    assert setup.algorithm.resamples_silent
    assert setup.off_policy.clip == recipe.off_policy.clip
    assert (setup.normalize, setup.overlong) == (recipe.normalize, recipe.overlong)
    assert (setup.off_policy.dual_clip, setup.off_policy.staleness, setup.questions) == (10.0, 16, 32)
    assert setup.steps == 300 * 16
    assert not setup.regularizers
    assert not presets.read(DATA / "verl_dapo.sh").unknown


def test_grpo_of_verl():
    preset = presets.read(DATA / "verl_grpo.yaml")
    setup = preset.setup
    assert setup.off_policy.clip == (0.2, 0.3)
    assert setup.off_policy.dual_clip is None
    assert (setup.off_policy.epochs, setup.off_policy.staleness) == (2, 0)
    assert setup.token_mask == ("clip_cov", 4e-4, 1.0, 40.0)
    assert (setup.normalize, setup.steps, setup.questions) == ("length", 200, 128)
    assert setup.optimizer.updates == 400
    assert setup.optimizer.warmup == 20
    assert len(setup.regularizers) == 2
    assert not preset.unknown


def test_reinforce_of_verl_has_the_kl_in_its_reward():
    preset = presets.read(DATA / "verl_reinforce.json")
    assert preset.setup.reward.name != qra.verifiable().name
    with pytest.raises(ValueError, match="must be 'verifiable' for a network"):
        preset.setup.network()
    assert preset.setup.off_policy.correction_cap == 3.0
    assert preset.unknown == ("trainer.sav_freq",)
    assert "algorithm.kl_ctrl.target_kl" in {one.field for one in preset.ignored}


@pytest.mark.parametrize("name", ["trl_math.yaml", "verl_dapo.sh"])
def test_a_preset_trains_a_table(name):
    import jax

    problem = qra.Problem.from_probs(ref=[0.05, 0.7, 0.25], success=[0.9, 0.6, 0.1])
    given = presets.read(DATA / name).setup.tabular() | {"steps": 3}
    still = qra.training.train(jax.random.key(0), problem, **given | {"learning_rate": 0.0})
    path = qra.training.train(jax.random.key(0), problem, **given | {"learning_rate": 0.1})
    np.testing.assert_allclose(still.log_policy[-1], problem.log_ref, rtol=1e-12)
    assert int(path.status) == qra.Status.OK
    assert float(jnp.abs(path.log_policy[-1] - problem.log_ref).max()) > 1e-4


def test_a_part_that_refuses_is_named_by_file(tmp_path, monkeypatch):
    from qra_jax import algorithm

    def refuse(*_, **__):
        raise ValueError("group_size: 8; must be another")

    monkeypatch.setattr(algorithm, "rloo", refuse)
    path = tmp_path / "verl.yaml"
    path.write_text(f"{ROLLOUT}n: 8\nalgorithm.adv_estimator: rloo\n")
    with pytest.raises(ValueError, match=r"^verl.yaml: group_size: 8; must be another$"):
        presets.read(path)


# the table


def test_the_table_has_every_name_once():
    for trainer in presets.TRAINERS:
        names = [name for row in presets.FIELDS for name in row.names(trainer)]
        assert len(names) == len(set(names))
    assert all(row.how and (row.trl or row.verl) for row in presets.FIELDS)


def test_parts_of_the_table_exist():
    homes = {"off_policy": OffPolicy, "optimizer": Optimizer}
    for row in presets.FIELDS:
        if row.part is None:
            continue
        home, _, name = row.part.partition(".")
        assert home in Setup.__dataclass_fields__, row
        if name and home in homes:
            assert name in homes[home].__dataclass_fields__, row


# setups


def test_a_setup_runs_tabular_training_as_keyword_arguments():
    setup = Setup(qra.reinforce(), OffPolicy(clip=0.2), optimizer=optax.adamw, learning_rate=0.1, steps=5)
    given = setup.tabular()
    assert set(given) == {
        "algorithm",
        "off_policy",
        "regularizers",
        "reward",
        "optimizer",
        "learning_rate",
        "steps",
    }
    assert given["off_policy"] is setup.off_policy
    assert "normalize" not in given
    assert set(Setup(qra.reinforce()).tabular()) == set(given) - {"learning_rate", "steps"}


def test_a_setup_gives_a_network_what_is_given():
    setup = Setup(
        qra.reinforce(), normalize="tokens", token_mask=("entropy", 0.2), overlong=(100, 20), questions=8
    )
    given = setup.network()
    assert given["normalize"] == "tokens"
    assert (given["token_mask"].kind, given["token_mask"].share) == ("top_entropy", 0.2)
    assert given["reward"].params["length"] == 100
    assert given["questions"] == 8
    assert not {"steps", "learning_rate"} & set(given)
    noisy = Setup(qra.reinforce(), reward=qra.verifiable(tpr=0.9)).network()["reward"]
    assert noisy.params["tpr"] == 0.9
    clipped = Setup(qra.reinforce(), token_mask=("clip_cov", 0.1, 1.0, 5.0)).network()["token_mask"]
    assert (clipped.kind, clipped.low, clipped.high) == ("clip_cov", 1.0, 5.0)
    with pytest.raises(ValueError, match="reward: 'self-certainty'; must be 'verifiable' for a network"):
        Setup(qra.reinforce(), reward=qra.self_certainty()).network()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"normalize": "mean"}, "normalize: 'mean'; must be one of"),
        ({"steps": 0}, "steps: 0; must be 1 or above"),
        ({"questions": 0}, "questions: 0; must be 1 or above"),
        ({"learning_rate": -1.0}, "learning_rate: -1; must be zero or positive"),
        ({"token_mask": ("entropy", 2.0)}, r"token_mask \(share\): 2; must be in \[0, 1\]"),
        ({"token_mask": ("entropy",)}, "must be \\('entropy', share\\)"),
        ({"token_mask": ("words", 1.0)}, "must be None or a tuple that begins with one of"),
        ({"token_mask": ("clip_cov", 0.1, 3.0, 2.0)}, r"token_mask \(low\): 3.0; must not be above high"),
        ({"overlong": (10, 20)}, r"overlong \(buffer\): 20; must not be above the length, 10"),
        ({"overlong": (10,)}, "overlong: "),
    ],
)
def test_a_setup_checks_its_arguments(given, words):
    with pytest.raises(ValueError, match=words):
        Setup(qra.reinforce(), **given)


def test_a_setup_passes_through_tree_transformations():
    import jax

    setup = Setup(qra.reinforce(), learning_rate=jnp.asarray(0.1), steps=3, normalize="tokens")
    doubled = jax.tree.map(lambda leaf: 2 * leaf, setup)
    assert doubled.learning_rate == pytest.approx(0.2)
    assert (doubled.steps, doubled.normalize) == (3, "tokens")
    assert jax.jit(lambda one: one.learning_rate + 1)(setup) == pytest.approx(1.1)


def test_optimizers_of_the_same_numbers_are_one():
    first, second = Optimizer(b2=0.95, clip_norm=1.0), Optimizer(b2=0.95, clip_norm=1.0)
    assert first == second
    assert hash(first) == hash(second)
    assert repr(first) == "Optimizer(adamw, b2 = 0.95, clip_norm = 1.0)"


@pytest.mark.parametrize("rule", ["adamw", "sgd", "lion", "rmsprop", "adagrad"])
def test_an_optimizer_is_optaxs(rule):
    params, slope = jnp.array([1.0, -2.0]), jnp.array([3.0, 4.0])
    ours = Optimizer(rule, b1=0.9, weight_decay=0.0, clip_norm=1.0)(0.1)
    theirs = {
        "adamw": optax.adamw(0.1, weight_decay=0.0),
        "sgd": optax.sgd(0.1, momentum=0.9),
        "lion": optax.lion(0.1, b2=0.999, weight_decay=0.0),
        "rmsprop": optax.rmsprop(0.1, decay=0.999, momentum=0.9),
        "adagrad": optax.adagrad(0.1, eps=1e-8),
    }[rule]
    step, _ = ours.update(slope, ours.init(params), params)
    wanted, _ = theirs.update(slope / 5, theirs.init(params), params)
    np.testing.assert_allclose(step, wanted, rtol=1e-12)


def test_a_schedule_rises_and_falls():
    rate = Optimizer(schedule="linear", warmup=2, updates=12, end=0.1)._rate
    np.testing.assert_allclose(
        [rate(2.0, n) for n in (0, 1, 2, 7, 12, 20)], [0, 1, 2, 1.1, 0.2, 0.2], atol=1e-12
    )
    rate = Optimizer(schedule="cosine", updates=10)._rate
    np.testing.assert_allclose([rate(1.0, n) for n in (0, 5, 10)], [1, 0.5, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rule": "adam2"}, "rule: 'adam2'; must be one of"),
        ({"schedule": "linear"}, "updates: None with schedule 'linear'"),
        ({"b1": 1.0}, r"b1: 1.0; must be in \[0, 1\)"),
        ({"clip_norm": 0.0}, "clip_norm: 0; must be positive"),
        ({"end": 2.0}, r"end: 2; must be in \[0, 1\]"),
    ],
)
def test_an_optimizer_checks_its_arguments(given, words):
    with pytest.raises(ValueError, match=words):
        Optimizer(**given)


def test_dapo_is_its_parts():
    setup = dapo(8)
    assert setup.algorithm.resamples_silent
    assert setup.off_policy.clip == (0.2, 0.28)
    assert (setup.normalize, setup.overlong) == ("batch_tokens", None)
    assert not dapo(8, dynamic_sampling=False).algorithm.resamples_silent
    assert dapo(8, clip_low=0.1, clip_high=0.1, normalize="length").off_policy.clip == (0.1, 0.1)
    with pytest.raises(ValueError, match="group_size: 1; must be 2 or above"):
        dapo(1)
    with pytest.raises(ValueError, match="clip"):
        dapo(8, clip_low=-0.1)
