"""TRL's `GRPOConfig`, field by field."""

from __future__ import annotations

import math
from typing import Any

from qra_jax.presets.optimizer import rule, schedule
from qra_jax.presets.reader import Config, Draft, Part

EPSILON = 1e-4
"""What TRL adds to the standard deviation."""
LOSSES = {
    "grpo": "length",
    "dapo": "batch_tokens",
    "bnpo": "batch_tokens",
    "dr_grpo": "constant",
    "cispo": "batch_tokens",
    "sapo": "length",
    "luspo": "constant",
    "vespo": "batch_tokens",
}
"""Loss types, and how each averages over tokens."""
MEANING = {
    "grpo": "1/|o| of each sequence",
    "dapo": "token mean alone, not DAPO's recipe (that is qra.dapo)",
    "bnpo": "token mean of the local batch; here of the group",
    "dr_grpo": "a constant, part of the learning rate; the advantage is scale_rewards' affair",
    "cispo": "CISPO: the ratio itself is capped; token mean",
    "sapo": "SAPO: a soft gate; 1/|o| of each sequence",
    "luspo": "LUSPO: GSPO's ratio times |o|",
    "vespo": "token mean; VESPO's weight of old sequences is left out, with new rollouts it is one",
}
MODES = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")


def read(config: Config) -> Draft:
    """A plan from TRL's fields.

    Args:
      config: the fields; it keeps the record.

    Returns:
      The plan.

    Raises:
      ValueError: a value out of range, or fields that contradict each other.
    """
    group = config.whole("num_generations", 8, low=2)
    config.use("num_generations")
    config.assume("num_generations", 8, "G")
    plan = Draft(_advantage(config, group))
    _surrogate(config, plan)
    _sampler(config, plan)
    updates = _batches(config, plan, group)
    _penalties(config, plan)
    quantile = config.number("top_entropy_quantile", 1.0, low=0, high=1)
    config.use("top_entropy_quantile", None if quantile < 1 else "1: all tokens learn")
    if quantile < 1:
        plan.token_mask = ("entropy", quantile)
    plan.learning_rate = config.number("learning_rate", 1e-6, low=0)
    config.use("learning_rate")
    config.assume("learning_rate", 1e-6, "η")
    _optimizer(config, plan, updates)
    if not config.switch("mask_truncated_completions", False):
        config.use("mask_truncated_completions", "off")
    config.number("num_train_epochs", None, low=0)
    return plan


def _advantage(config: Config, group: int) -> Part:
    value = config.values.get("scale_rewards")
    if isinstance(value, str) and value.lower() in ("true", "false"):
        value = value.lower() == "true"
    if isinstance(value, bool):
        scale = "group" if value else "none"
    else:
        scale = config.word("scale_rewards", "group", ("group", "batch", "none", "mean"))
    ratio = config.word(
        "multi_objective_aggregation", "sum_then_normalize", ("sum_then_normalize", "normalize_then_sum")
    )
    if scale == "mean" and ratio == "normalize_then_sum":
        config.refuse("multi_objective_aggregation", "must be sum_then_normalize with scale_rewards = mean")
    if ratio == "normalize_then_sum":
        config.ignore(
            "multi_objective_aggregation",
            "each reward normalised before the sum (GDPO) has no single orbit; read as one reward",
        )
    else:
        config.use("multi_objective_aggregation")
    weights = config.numbers("reward_weights")
    if weights is not None and not all(math.isfinite(one) for one in weights):
        config.refuse("reward_weights", "must be finite numbers")
    said = {
        "group": f"÷ (sample standard deviation of the group + {EPSILON:g})",
        "batch": f"÷ (standard deviation of the batch + {EPSILON:g}): one factor for all questions",
        "none": "not scaled, as in Dr. GRPO",
        "mean": f"÷ (the group's mean + {EPSILON:g}): MaxRL",
    }[scale]
    config.use("scale_rewards", said)
    config.assume("scale_rewards", "group", said)
    if scale == "none":
        return Part("dr_grpo", (group,))
    if scale == "mean":
        return Part("maxrl", (group,), {"epsilon": EPSILON})
    return Part("grpo", (group,), {"ddof": 1, "epsilon": EPSILON, "scale": scale})


def _surrogate(config: Config, plan: Draft) -> None:
    loss = config.word("loss_type", "dapo", tuple(LOSSES))
    level = config.word("importance_sampling_level", "token", ("token", "sequence"))
    if loss == "luspo" and level != "sequence":
        _contradiction(config, "importance_sampling_level", "sequence", "luspo", level)
    if loss in ("cispo", "sapo", "vespo") and level != "token":
        _contradiction(config, "importance_sampling_level", "token", loss, level)
    low = config.number("epsilon", 0.2, low=0)
    high = config.number("epsilon_high", low, low=0)
    delta = config.number("delta", None, low=0)
    config.use("loss_type", MEANING[loss])
    config.assume("loss_type", "dapo", MEANING["dapo"])
    plan.normalize = LOSSES[loss]
    clipped = loss not in ("cispo", "sapo", "vespo")
    if clipped:
        config.use("epsilon")
        config.use("epsilon_high")
        config.assume("epsilon", low, "ε_low, and ε_high where it is not given")
        if level == "sequence":
            note = ""
            if loss in ("dapo", "bnpo", "dr_grpo"):
                note = f"; with {loss} every sequence counts by its length, GSPO's own loss is grpo"
            config.use("importance_sampling_level", f"GSPO: ratio of the sequence to the power 1/|o|{note}")
            plan.off_policy["surrogate"] = "gspo"
        else:
            config.use("importance_sampling_level")
        _dual_clip(config, plan, delta, level)
        high = min(high, delta - 1) if delta is not None and level == "token" else high
        plan.off_policy["clip"] = (low if low <= 1 else None, high)
        return
    config.use("importance_sampling_level")
    if loss == "cispo":
        if high < 1:
            name = "epsilon_high" if config.given("epsilon_high") else "loss_type"
            config.refuse(
                name,
                f"cispo caps the ratio itself at epsilon_high = {high:g}; must be 1 or above (5 is usual)",
            )
        config.use("epsilon_high", "cispo caps the ratio itself there, at ε_high and not at 1 + ε_high")
        plan.off_policy |= {"surrogate": "cispo", "clip": (None, high - 1)}
    elif loss == "sapo":
        gate = [
            config.number(f"sapo_temperature_{sign}", usual, low=0, open=True)
            for sign, usual in (("pos", 1.0), ("neg", 1.05))
        ]
        config.use("sapo_temperature_pos")
        config.use("sapo_temperature_neg")
        plan.off_policy |= {"surrogate": "sapo", "gate": tuple(gate)}
    for name in ("epsilon", "epsilon_high", "delta"):
        config.ignore(name, f"{loss} does not clip by it")


def _dual_clip(config: Config, plan: Draft, delta: Any, level: str) -> None:
    if delta is None:
        return
    if delta <= 1:
        config.refuse("delta", "must be above 1: it bounds ratios from above")
    if level == "sequence":
        config.ignore("delta", "a dual clip of GSPO's ratio: ours has one for tokens alone")
        return
    plan.off_policy["dual_clip"] = delta
    config.use("delta")


def _contradiction(config: Config, name: str, wanted: str, loss: str, level: str) -> None:
    if config.given(name):
        config.refuse(name, f"must be {wanted} with loss_type = {loss}")
    config.refuse("loss_type", f"needs {name} = {wanted}, and the default is {level}")


def _sampler(config: Config, plan: Draft) -> None:
    temperature = config.number("temperature", 1.0, low=0, open=True)
    config.use("temperature")
    if temperature != 1:
        plan.off_policy["temperature"] = temperature
    top_p = config.number("top_p", 1.0, low=0, high=1, open=True)
    top_k = config.whole("top_k", 0, low=-1)
    min_p = config.number("min_p", 0.0, low=0, high=1)
    for name, off in (("top_p", top_p == 1), ("top_k", top_k <= 0), ("min_p", min_p == 0)):
        if off:
            config.use(name, "off: the whole distribution, as in the theory")
        else:
            config.ignore(name)
    vllm = config.switch("use_vllm", False)
    corrected = config.switch("vllm_importance_sampling_correction", True)
    mode = config.word("vllm_importance_sampling_mode", "sequence_mask", MODES)
    name = config.first("vllm_importance_sampling_clip_max", "vllm_importance_sampling_cap")
    cap = config.number(name, 3.0, low=0, open=True)
    if vllm and corrected:
        level, kind = mode.split("_")
        plan.off_policy |= {"correction": kind, "correction_cap": cap, "correction_level": level}
        for one in ("use_vllm", "vllm_importance_sampling_correction", "vllm_importance_sampling_mode", name):
            config.use(one)
        config.assume("vllm_importance_sampling_mode", mode, "with vLLM: sequences above the cap are dropped")
        config.assume(name, cap, "C")
    else:
        config.use("use_vllm", "no correction of the ratio between trainer and sampler")
        config.use(
            "vllm_importance_sampling_correction",
            "no correction" if not corrected else "without vLLM no effect",
        )
        for one in ("vllm_importance_sampling_mode", name):
            config.ignore(one, "has no effect without use_vllm and its correction")
    threshold = config.number("off_policy_mask_threshold", None, low=0)
    if threshold is not None:
        config.use("off_policy_mask_threshold")
        plan.off_policy["mask_old_negatives"] = threshold


def _batches(config: Config, plan: Draft, group: int) -> int | None:
    """Batches, epochs and steps; the number of updates where the file says it."""
    micro = config.whole("per_device_train_batch_size", 8, low=1)
    accumulated = config.whole("gradient_accumulation_steps", 1, low=1)
    epochs = config.whole("num_iterations", 1, low=1)
    generation = config.whole("generation_batch_size", None, low=1)
    parts = config.whole("steps_per_generation", None, low=1)
    if generation is not None and generation % group:
        config.refuse(
            "generation_batch_size",
            f"must be a multiple of num_generations = {group}, so that groups are whole",
        )
    sized = config.given("per_device_train_batch_size")
    if generation is not None and sized and generation % (micro * (parts or 1)):
        product = f"per_device_train_batch_size × steps_per_generation = {micro * (parts or 1)}"
        config.refuse(
            "generation_batch_size", f"must be a multiple of {product if parts else f'the batch, {micro}'}"
        )
    parts_known = parts or accumulated  # how many processes share a generation, the file does not say
    shared = max(math.ceil(parts_known / accumulated), 1)
    if shared > 1:
        plan.off_policy |= {"staleness": shared, "schedule": "held"}
        config.use(
            "steps_per_generation", f"{shared} updates on each batch of rollouts, the sampler's policy held"
        )
    else:
        config.use("steps_per_generation", "one update on each batch of rollouts")
    if epochs > 1:
        plan.off_policy["epochs"] = epochs
    config.use("num_iterations")
    rollouts = micro * accumulated if generation is None else generation * accumulated // parts_known
    if rollouts % group == 0 and (sized or generation is not None):
        plan.questions = rollouts // group
    if generation is not None:
        config.use(
            "generation_batch_size", f"{generation // group} questions of {group} rollouts over all processes"
        )
        config.use("per_device_train_batch_size", "size of one forward pass")
    else:
        whole = (
            ""
            if rollouts % group == 0
            else f", which takes a multiple of {group // math.gcd(group, rollouts)}"
        )
        said = (
            f"{rollouts} rollouts an update for each process{whole}; the file does not say how many there are"
        )
        config.use("per_device_train_batch_size", said)
    config.use("gradient_accumulation_steps")
    total = config.number("max_steps", -1)
    if total != int(total):
        config.refuse("max_steps", "must be a whole number")
    if total <= 0:
        config.ignore("max_steps", "the epochs say how long: the file does not hold the number of questions")
        return None
    plan.steps = max(math.ceil(total / epochs), 1)
    config.use("max_steps", f"updates; batches of rollouts: {plan.steps}")
    return int(total)


def _penalties(config: Config, plan: Draft) -> None:
    beta = config.number("beta", 0.0, low=0)
    corrected = config.switch("use_bias_correction_kl", False)
    synced = config.switch("sync_ref_model", False)
    mixup = config.number("ref_model_mixup_alpha", 0.6, low=0, high=1)
    every = config.whole("ref_model_sync_steps", 512, low=1)
    weight = config.number("entropy_coef", 0.0)
    config.assume("beta", 0.0, "no KL term")
    if synced and beta == 0:
        config.refuse("sync_ref_model", "must be false with beta = 0: there is no reference")
    if beta == 0:
        config.use("beta", "no KL term")
        config.use("sync_ref_model", "the reference stays")
    else:
        reference = {"every": every, "mixing": mixup} if synced else None
        options = {"estimate": "samples"} | ({"reference": reference} if reference else {})
        plan.regularizers.append(Part("reverse_kl" if corrected else "k3_loss", (beta,), options))
        config.use("beta")
        config.use(
            "use_bias_correction_kl",
            "k3 times the ratio: its gradient is that of KL(π‖π_ref)"
            if corrected
            else "k3 without correction",
        )
        config.use("sync_ref_model", None if synced else "the reference stays")
        if synced:
            config.use("ref_model_sync_steps")
            config.use("ref_model_mixup_alpha")
            config.assume("ref_model_sync_steps", every, "steps between two updates of the reference")
            config.assume("ref_model_mixup_alpha", mixup, "α in π_ref ← α π + (1 − α) π_ref")
    if weight:
        plan.regularizers.append(Part("entropy_bonus", (weight,)))
    config.use("entropy_coef", None if weight else "no bonus")


def _optimizer(config: Config, plan: Draft, updates: int | None) -> None:
    made = rule(config, "optim", "adamw")
    made["b1"] = config.number("adam_beta1", 0.9, low=0)
    made["b2"] = config.number("adam_beta2", 0.999, low=0)
    made["eps"] = config.number("adam_epsilon", 1e-8, low=0)
    for name in ("adam_beta1", "adam_beta2"):
        if config.number(name, 0.0) >= 1:
            config.refuse(name, "must be in [0, 1)")
        config.use(name)
    config.use("adam_epsilon")
    made["weight_decay"] = config.number("weight_decay", 0.0, low=0)
    config.use("weight_decay")
    norm = config.number("max_grad_norm", 1.0, low=0)
    made["clip_norm"] = norm or None
    config.use("max_grad_norm", None if norm else "0: the gradient is not clipped")
    if made["rule"] == "sgd":
        made["b1"] = 0.0
    steps = config.number("warmup_steps", 0, low=0)
    share = config.number("warmup_ratio", 0.0, low=0, high=1)
    if 0 < steps < 1:
        share, steps = steps, 0
    name = next(
        (one for one in ("lr_scheduler_kwargs.min_lr_rate",) if config.given(one)), "lr_scheduler_kwargs"
    )
    end = config.number(name, 0.0, low=0, high=1) if name != "lr_scheduler_kwargs" else 0.0
    made |= schedule(
        config,
        "lr_scheduler_type",
        usual="linear",
        updates=updates,
        warmup=(int(steps), share),
        warmup_names=("warmup_steps", "warmup_ratio"),
        end=end,
        end_name=name,
    )
    plan.optimizer = made
