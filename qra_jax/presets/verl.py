"""verl's configuration, field by field."""

from __future__ import annotations

import math

from qra_jax.presets.fields import ACTOR, ROLLOUT
from qra_jax.presets.optimizer import rule, schedule
from qra_jax.presets.reader import Config, Draft, Part

EPSILON = 1e-6
"""What verl adds to the standard deviation."""
ESTIMATORS = {
    "grpo": "(R − mean) ÷ (sample standard deviation + 1e-06) of the group",
    "grpo_vectorized": "(R − mean) ÷ (sample standard deviation + 1e-06) of the group",
    "grpo_passk": "best minus second best to the best rollout",
    "reinforce_plus_plus": "rewards whitened over the batch",
    "reinforce_plus_plus_baseline": "R − mean of the group, whitened over the batch",
    "rloo": "R − mean of the group's others",
    "rloo_vectorized": "R − mean of the group's others",
    "remax": "R − reward of the greedy answer",
    "opo": "R − mean weighted by lengths; equal in a table",
    "gpg": "α(R − mean of the group); verl's α counts right rollouts, ours groups that are not silent",
    "gae": "a critic, exact in a table: its value is the batch's mean reward, then whitened",
}
"""Estimators of the advantage, and how each is read."""
WITHOUT = ("optimal_token_baseline", "tir_optimal_token_baseline")
"""Estimators without a counterpart."""
LOSSES = {
    "vanilla": "PPO's clip, with its dual clip",
    "gspo": "GSPO: ratio of the sequence to the power 1/|o|; averaged over tokens, then over sequences",
    "sapo": "SAPO: a soft gate in place of the clip",
    "gpg": "no ratio: old rollouts count as new",
    "clip_cov": "PPO's clip; some tokens of large covariance do not learn",
    "kl_cov": "the ratio without clip; the tokens of largest covariance are penalised",
    "geo_mean": "GMPO: geometric mean of clipped ratios",
    "cispo": "CISPO: the ratio itself is clipped, never dropped",
    "bypass_mode": "ratios against the sampler itself, as algorithm.rollout_correction says",
}
"""Loss modes, and how each is read."""
AVERAGES = {
    "token-mean": ("batch_tokens", "one over all tokens of the batch"),
    "seq-mean-token-sum": ("constant", "sums over the tokens of a sequence"),
    "seq-mean-token-mean": ("length", "1/|o| of each sequence"),
    "seq-mean-token-sum-norm": ("constant", "a constant, part of the learning rate"),
}
"""Averages over tokens: ours, and how."""
KL = {
    "kl": ("k1_loss", "k1: no gradient in expectation"),
    "k1": ("k1_loss", "k1: no gradient in expectation"),
    "mse": ("k2_loss", "k2: the exact reverse KL"),
    "k2": ("k2_loss", "k2: the exact reverse KL"),
    "low_var_kl": ("k3_loss", "k3: the gradient of the forward KL"),
    "k3": ("k3_loss", "k3: the gradient of the forward KL"),
    "low_var_kl+": ("k3_k2_loss", "k3's value with k2's gradient: the exact reverse KL"),
    "k3+": ("k3_k2_loss", "k3's value with k2's gradient: the exact reverse KL"),
    "kl+": ("k2_loss", "k1's value with k2's gradient: the exact reverse KL"),
    "k1+": ("k2_loss", "k1's value with k2's gradient: the exact reverse KL"),
    "abs+": ("k2_loss", "|k1|'s value with k2's gradient: the exact reverse KL"),
    "abs": (None, "the absolute log-ratio: no part of ours, so there is no KL term"),
}
"""KL terms of the loss: our factory, and how."""
OVERLONG = (
    "reward_model.overlong_buffer.",
    "reward_model.reward_kwargs.overlong_buffer_cfg.",
    "reward.reward_kwargs.overlong_buffer_cfg.",
)
CORRECTION = "algorithm.rollout_correction."


def read(config: Config) -> Draft:
    """A plan from verl's fields.

    Args:
      config: the fields; it keeps the record.

    Returns:
      The plan.

    Raises:
      ValueError: a value out of range, or fields that contradict each other.
    """
    group = config.whole(f"{ROLLOUT}n", 1, low=1)
    config.use(f"{ROLLOUT}n")
    config.assume(f"{ROLLOUT}n", 1, "G")
    plan = Draft(_advantage(config, group))
    _surrogate(config, plan)
    _correction(config, plan)
    _sampler(config, plan)
    per_step = _batches(config, plan)
    _penalties(config, plan)
    _overlong(config, plan)
    plan.learning_rate = config.number(f"{ACTOR}optim.lr", 1e-6, low=0)
    config.use(f"{ACTOR}optim.lr")
    config.assume(f"{ACTOR}optim.lr", 1e-6, "η")
    _optimizer(config, plan, per_step)
    return plan


def _advantage(config: Config, group: int) -> Part:
    name = "algorithm.adv_estimator"
    estimator = config.word(name, "gae", (*ESTIMATORS, *WITHOUT))
    if estimator in WITHOUT:
        config.refuse(name, "a baseline for each token has no counterpart in the theory; opo is its nearest")
    scaled_name = "algorithm.norm_adv_by_std_in_grpo"
    scaled = config.switch(scaled_name, True)
    filter_name = config.first("algorithm.filter_groups.enable", "algorithm.dynamic_filter.enable")
    filtered = config.switch(filter_name, False)
    config.use(name, ESTIMATORS[estimator])
    config.assume(name, "gae", ESTIMATORS["gae"])
    if estimator in ("grpo_passk",) and group < 2:
        config.refuse(
            name if not config.given(f"{ROLLOUT}n") else f"{ROLLOUT}n", "grpo_passk needs n of 2 or above"
        )
    if filtered and group < 2:
        config.refuse(
            filter_name, f"dynamic sampling needs {ROLLOUT}n of 2 or above: one rollout is always silent"
        )
    plain = estimator.removesuffix("_vectorized")
    if plain in ("grpo", "rloo", "gpg", "reinforce_plus_plus_baseline") and group == 1:
        config.use(
            name, f"{estimator} with one rollout has neither mean nor deviation: REINFORCE without baseline"
        )
        return Part("reinforce", (0.0,), {"group_size": 1})
    resample = {"resample_silent": True} if filtered else {}
    if plain == "grpo":
        config.use(
            scaled_name, "÷ (sample standard deviation + 1e-06)" if scaled else "not scaled, as in Dr. GRPO"
        )
        config.assume(scaled_name, True, "÷ (sample standard deviation + 1e-06)")
        config.use(filter_name, None if filtered else "off: silent groups stay")
        if scaled:
            return Part("grpo", (group,), {"ddof": 1, "epsilon": EPSILON} | resample)
        return Part("dr_grpo", (group,), resample)
    if filtered:
        config.ignore(filter_name, f"{estimator} in ours does not draw silent groups again")
    else:
        config.use(filter_name, "off: silent groups stay")
    if plain == "grpo_passk":
        config.use(scaled_name, "÷ standard deviation of the group" if scaled else "not scaled")
        return Part("grpo_passk", (group,), {"divide_by_std": scaled})
    config.ignore(scaled_name, f"has no effect with {estimator}")
    if plain.startswith("reinforce_plus_plus") or plain == "gae":
        return Part(
            "reinforce_pp", (group,), {"baseline": "group" if plain.endswith("baseline") else "batch"}
        )
    return Part(plain, (group,))


def _surrogate(config: Config, plan: Draft) -> None:
    mode_name = config.first(f"{ACTOR}policy_loss.loss_mode", f"{ACTOR}loss_mode")
    mode = config.word(mode_name, "vanilla", tuple(LOSSES))
    config.use(mode_name, LOSSES[mode])
    config.assume(mode_name, "vanilla", LOSSES["vanilla"])
    average_name = f"{ACTOR}loss_agg_mode"
    average = config.word(average_name, "token-mean", tuple(AVERAGES))
    plan.normalize, said = AVERAGES[average]
    config.assume(average_name, "token-mean", said)
    if mode in ("gspo", "geo_mean", "sapo") and average != "seq-mean-token-mean":
        plan.normalize = "length"
        config.ignore(average_name, f"{mode} averages over tokens, then over sequences, whatever it says")
    else:
        config.use(average_name, said)
    both = config.number(f"{ACTOR}clip_ratio", 0.2, low=0)
    low = config.number(f"{ACTOR}clip_ratio_low", both, low=0)
    high = config.number(f"{ACTOR}clip_ratio_high", both, low=0)
    dual = config.number(f"{ACTOR}clip_ratio_c", 3.0)
    if dual <= 1 and mode in ("vanilla", "bypass_mode"):
        config.refuse(f"{ACTOR}clip_ratio_c", "must be above 1: it bounds ratios from above")
    clips = [f"{ACTOR}{name}" for name in ("clip_ratio_low", "clip_ratio_high")]
    off = plan.off_policy
    if mode in ("vanilla", "gspo", "clip_cov", "geo_mean", "cispo", "bypass_mode"):
        off["clip"] = (low if low <= 1 else None, high)
        how = "the ratio is clipped there, not dropped" if mode == "cispo" else None
        for name in clips:
            config.use(name, how)
        one = config.given(clips[0]) and config.given(clips[1])
        if one:
            config.ignore(f"{ACTOR}clip_ratio", "clip_ratio_low and clip_ratio_high are given")
        else:
            config.use(
                f"{ACTOR}clip_ratio",
                "both ends that are not given; verl since 2025 keeps 0.2 for those, so give both",
            )
        for name, value in zip(clips, (low, high), strict=True):
            if not config.given(f"{ACTOR}clip_ratio"):
                config.assume(name, value, "ε")
    if mode in ("vanilla", "bypass_mode"):
        off["dual_clip"] = dual
        config.use(f"{ACTOR}clip_ratio_c")
        config.assume(f"{ACTOR}clip_ratio_c", 3.0, "dual clip, on unless another loss mode is given")
    else:
        config.ignore(f"{ACTOR}clip_ratio_c", f"{mode} has no dual clip")
    for name in [*clips, f"{ACTOR}clip_ratio"]:
        config.ignore(name, f"{mode} does not clip")
    if mode in ("gspo", "cispo"):
        off["surrogate"] = mode
    elif mode == "geo_mean":
        off["surrogate"] = "gmpo"
        off["clip"] = (-math.expm1(-low), math.expm1(high))
        for name in clips:
            config.use(name, "GMPO clips log-ratios: bounds e^(−ε_low) and e^(ε_high) of the ratio")
    elif mode == "gpg":
        off["surrogate"] = "none"
    elif mode == "sapo":
        gate = [
            config.number(f"{ACTOR}tau_{sign}", usual, low=0, open=True)
            for sign, usual in (("pos", 1.0), ("neg", 1.05))
        ]
        config.use(f"{ACTOR}tau_pos")
        config.use(f"{ACTOR}tau_neg")
        off |= {"surrogate": "sapo", "gate": tuple(gate)}
    _covariance(config, plan, mode)


def _covariance(config: Config, plan: Draft, mode: str) -> None:
    prefix = f"{ACTOR}policy_loss."
    share = config.number(f"{prefix}clip_cov_ratio", 2e-4, low=0, high=1)
    bounds = config.number(f"{prefix}clip_cov_lb", 1.0), config.number(f"{prefix}clip_cov_ub", 5.0)
    penalised = config.number(f"{prefix}kl_cov_ratio", 2e-4, low=0, high=1)
    coefficient = config.number(f"{prefix}ppo_kl_coef", 0.1, low=0)
    if mode == "clip_cov":
        if bounds[0] > bounds[1]:
            name = config.first(f"{prefix}clip_cov_lb", f"{prefix}clip_cov_ub")
            config.refuse(name, f"clip_cov_lb, {bounds[0]:g}, must not be above clip_cov_ub, {bounds[1]:g}")
        plan.token_mask = ("clip_cov", share, *bounds)
        for name in ("clip_cov_ratio", "clip_cov_lb", "clip_cov_ub"):
            config.use(prefix + name)
    elif mode == "kl_cov":
        plan.token_mask = ("kl_cov", penalised, coefficient)
        for name in ("kl_cov_ratio", "ppo_kl_coef"):
            config.use(prefix + name)


def _correction(config: Config, plan: Draft) -> None:
    """The ratio between trainer and sampler, as three generations of verl spell it."""
    names = [f"{CORRECTION}rollout_is", "algorithm.rollout_is_level"]
    name = config.first(*names)
    level = config.word(name, "none", ("none", "token", "sequence", "geometric"))
    old = "algorithm.rollout_is"
    if level == "geometric":
        config.ignore(name, "a geometric mean of ratios between trainer and sampler: no part of ours")
        level = "none"
    switched = config.given(old) and config.values[old] not in ("token", "sequence")
    if config.given(old) and not switched:
        level, name = config.word(old, "none", ("none", "token", "sequence")), old
    elif switched and not config.switch(old, False):
        level = "none"
    threshold_name = config.first(
        f"{CORRECTION}rollout_is_threshold", "algorithm.rollout_is_threshold", f"{ACTOR}tis_imp_ratio_cap"
    )
    threshold = config.number(threshold_name, 2.0)
    if threshold_name.endswith("tis_imp_ratio_cap"):
        level = "token" if config.given(threshold_name) and threshold > 0 else level
        threshold = threshold if threshold > 0 else 2.0
    elif threshold <= 0:
        config.refuse(threshold_name, "must be above 0")
    rejects_name = f"{CORRECTION}rollout_rs"
    rejects = config.values[rejects_name] if config.given(rejects_name) else None
    bypass_name = config.first(f"{CORRECTION}bypass_mode", f"{CORRECTION}bypass_old_logprob_for_rollout")
    bypass = config.switch(bypass_name, False)
    loss_name = f"{CORRECTION}loss_type"
    loss = config.word(loss_name, "ppo_clip", ("ppo_clip", "reinforce"))
    pure = config.switch(f"{CORRECTION}use_pure_rollout_correction", False)
    used = [name, old] if switched else [name]
    if bypass:
        config.use(bypass_name)
        if loss == "reinforce" or pure:
            config.use(loss_name, "REINFORCE with the ratio to the sampler, truncated (cispo)")
            config.use(f"{CORRECTION}use_pure_rollout_correction", "REINFORCE with a truncated ratio (cispo)")
            config.use(threshold_name)
            for other in [*used]:
                config.use(other, "the ratio to the sampler, truncated")
            plan.off_policy = {
                key: value
                for key, value in plan.off_policy.items()
                if key not in ("dual_clip", "gate", "clip")
            } | {"surrogate": "cispo", "clip": (None, max(threshold - 1, 0.0))}
        else:
            config.use(loss_name, "PPO's clip of the ratio to the sampler")
        return
    config.use(bypass_name, "off")
    if level != "none":
        if plan.off_policy.get("surrogate") == "none":
            for other in (*used, threshold_name):
                config.ignore(other, "gpg has no ratio to correct")
            return
        plan.off_policy |= {"correction": "truncate", "correction_cap": threshold, "correction_level": level}
        for other in used:
            config.use(other, f"the ratio of each {level}, truncated at the cap")
        config.use(threshold_name)
        if rejects is not None:
            config.ignore(rejects_name, "ours truncates or drops, not both: truncation is read")
    elif rejects is not None:
        word = str(rejects).lower()
        cap_name = config.first(f"{CORRECTION}rollout_rs_threshold", threshold_name)
        cap = config.number(cap_name, threshold, low=0, open=True)
        plan.off_policy |= {
            "correction": "mask",
            "correction_cap": cap,
            "correction_level": "token" if "token" in word else "sequence",
        }
        config.use(rejects_name)
        config.use(cap_name)
    else:
        for other in used:
            if other not in config.ignored:
                config.use(other, "no correction")


def _sampler(config: Config, plan: Draft) -> None:
    temperature = config.number(f"{ROLLOUT}temperature", 1.0, low=0, open=True)
    config.use(f"{ROLLOUT}temperature")
    if temperature != 1:
        plan.off_policy["temperature"] = temperature
    top_p = config.number(f"{ROLLOUT}top_p", 1.0, low=0, high=1, open=True)
    top_k = config.whole(f"{ROLLOUT}top_k", -1, low=-1)
    min_p = config.number(f"{ROLLOUT}min_p", 0.0, low=0, high=1)
    for name, off in (("top_p", top_p == 1), ("top_k", top_k <= 0), ("min_p", min_p == 0)):
        if off:
            config.use(f"{ROLLOUT}{name}", "off: the whole distribution, as in the theory")
        else:
            config.ignore(f"{ROLLOUT}{name}")


def _batches(config: Config, plan: Draft) -> int:
    """Batches and epochs; updates of a training step."""
    batch = config.whole("data.train_batch_size", 1024, low=1)
    config.whole("data.gen_batch_size", None, low=1)
    mini_name = f"{ACTOR}ppo_mini_batch_size"
    mini = config.whole(mini_name, min(256, batch), low=1)
    epochs = config.whole(f"{ACTOR}ppo_epochs", 1, low=1)
    if mini > batch:
        config.refuse(mini_name, f"must not be above data.train_batch_size = {batch}")
    shared = math.ceil(batch / mini)
    if shared > 1:
        plan.off_policy |= {"staleness": shared, "schedule": "held"}
    said = f"{shared} updates on each batch of rollouts, the sampler's policy held"
    config.use("data.train_batch_size", said if shared > 1 else "one update on each batch of rollouts")
    config.assume("data.train_batch_size", batch, "questions of a batch")
    config.use(mini_name, "questions of one update")
    config.assume(mini_name, mini, "questions of one update")
    config.ignore(
        "data.gen_batch_size",
        "questions drawn before silent groups are dropped: in the theory as many as needed",
    )
    if epochs > 1:
        plan.off_policy["epochs"] = epochs
    config.use(f"{ACTOR}ppo_epochs")
    plan.questions = mini
    name = config.first("trainer.total_training_steps", f"{ACTOR}optim.total_training_steps")
    total = config.number(name, -1)
    if total != int(total):
        config.refuse(name, "must be a whole number")
    if total > 0:
        plan.steps = int(total) * shared
        config.use(
            name,
            f"batches of rollouts, with {shared} updates each: {plan.steps} steps" if shared > 1 else None,
        )
    else:
        config.ignore(name, "the epochs say how long: the file does not hold the number of questions")
    config.number("trainer.total_epochs", None, low=0)
    return shared * epochs


def _penalties(config: Config, plan: Draft) -> None:
    in_loss = config.switch(f"{ACTOR}use_kl_loss", False)
    beta = config.number(f"{ACTOR}kl_loss_coef", 0.001, low=0)
    kind = config.word(f"{ACTOR}kl_loss_type", "low_var_kl", (*KL, "mse+", "k2+", "full"))
    if kind == "full" and in_loss:
        config.refuse(
            f"{ACTOR}kl_loss_type", "full is not written in verl either; must be kl, mse or low_var_kl"
        )
    factory, said = KL.get(kind.removesuffix("+") if kind in ("mse+", "k2+") else kind, (None, ""))
    if in_loss:
        config.use(f"{ACTOR}use_kl_loss")
        config.use(f"{ACTOR}kl_loss_coef")
        config.assume(f"{ACTOR}kl_loss_coef", beta, "β")
        config.assume(f"{ACTOR}kl_loss_type", kind, said)
        if factory is None:
            config.ignore(f"{ACTOR}kl_loss_type", said)
        else:
            config.use(f"{ACTOR}kl_loss_type", said)
            if beta:
                plan.regularizers.append(Part(factory, (beta,), {"estimate": "samples"}))
    else:
        config.use(f"{ACTOR}use_kl_loss", "no KL term in the loss")
        for name in ("kl_loss_coef", "kl_loss_type"):
            config.ignore(f"{ACTOR}{name}", "has no effect without use_kl_loss")
    weight = config.number(f"{ACTOR}entropy_coeff", 0.0)
    config.use(f"{ACTOR}entropy_coeff", None if weight else "no bonus")
    if weight:
        plan.regularizers.append(Part("entropy_bonus", (weight,)))
    in_reward = config.switch("algorithm.use_kl_in_reward", False)
    coefficient = config.number("algorithm.kl_ctrl.kl_coef", 0.001, low=0)
    penalty = config.word("algorithm.kl_penalty", "kl", (*KL, "mse+", "k2+", "full"))
    control = config.word("algorithm.kl_ctrl.type", "fixed", ("fixed", "adaptive"))
    config.number("algorithm.kl_ctrl.target_kl", 0.1, low=0, open=True)
    config.number("algorithm.kl_ctrl.horizon", 10000, low=0, open=True)
    if not in_reward:
        config.use("algorithm.use_kl_in_reward", "no KL in the reward")
        for name in ("kl_penalty", "kl_ctrl.kl_coef", "kl_ctrl.type", "kl_ctrl.target_kl", "kl_ctrl.horizon"):
            config.ignore(f"algorithm.{name}", "has no effect without use_kl_in_reward")
        return
    plan.kl_in_reward = coefficient
    config.use("algorithm.use_kl_in_reward")
    config.use("algorithm.kl_ctrl.kl_coef")
    config.assume("algorithm.kl_ctrl.kl_coef", coefficient, "β of the KL in the reward")
    if penalty in ("kl", "k1"):
        config.use("algorithm.kl_penalty", "k1: β log(π/π_ref) is taken from the reward")
    else:
        config.ignore("algorithm.kl_penalty", "another estimator than log(π/π_ref): we have k1 in the reward")
    if control == "fixed":
        config.use("algorithm.kl_ctrl.type", "fixed")


def _overlong(config: Config, plan: Draft) -> None:
    prefix = next((one for one in OVERLONG if config.given(f"{one}enable")), OVERLONG[0])
    if not config.switch(f"{prefix}enable", False):
        config.use(f"{prefix}enable", "off")
        return
    buffer = config.number(f"{prefix}len", None, low=0, open=True)
    names = (
        "reward_model.reward_kwargs.max_resp_len",
        "reward.reward_kwargs.max_resp_len",
        "data.max_response_length",
        f"{ROLLOUT}response_length",
    )
    length_name = config.first(*names)
    length = config.number(length_name, 512, low=0, open=True)
    penalty = config.number(f"{prefix}penalty_factor", 1.0, low=0)
    if buffer is None:
        config.refuse(f"{prefix}enable", f"needs {prefix}len, the tokens over which the punishment grows")
    if buffer > length:
        config.refuse(f"{prefix}len", f"must not be above {length_name} = {length:g}")
    plan.overlong = (length, buffer) if penalty == 1 else (length, buffer, penalty)
    for name in (f"{prefix}enable", f"{prefix}len", f"{prefix}penalty_factor", length_name):
        config.use(name)


def _optimizer(config: Config, plan: Draft, per_step: int) -> None:
    prefix = f"{ACTOR}optim."
    made = rule(config, f"{prefix}optimizer", "adamw")
    betas = config.numbers(f"{prefix}betas")
    if betas is not None:
        if len(betas) != 2 or not all(0 <= one < 1 for one in betas):
            config.refuse(f"{prefix}betas", "must be two numbers in [0, 1)")
        made["b1"], made["b2"] = betas
        config.use(f"{prefix}betas")
    made["eps"] = config.number(f"{prefix}eps", 1e-8, low=0)
    config.use(f"{prefix}eps")
    made["weight_decay"] = config.number(f"{prefix}weight_decay", 0.01, low=0)
    config.use(f"{prefix}weight_decay")
    config.assume(f"{prefix}weight_decay", 0.01, "decoupled weight decay")
    name = config.first(f"{ACTOR}grad_clip", f"{prefix}clip_grad", f"{prefix}grad_clip")
    norm = config.number(name, 1.0, low=0)
    made["clip_norm"] = norm or None
    config.use(name, None if norm else "0: the gradient is not clipped")
    if made["rule"] == "sgd":
        made["b1"] = 0.0
    batches = (plan.steps or 0) * per_step // max(plan.off_policy.get("staleness", 1), 1)
    warmup = config.number(f"{prefix}lr_warmup_steps", -1)
    if warmup != int(warmup):
        config.refuse(f"{prefix}lr_warmup_steps", "must be a whole number")
    share = config.number(f"{prefix}lr_warmup_steps_ratio", 0.0, low=0, high=1)
    end = config.number(f"{prefix}min_lr_ratio", 0.0, low=0, high=1)
    style = config.first(f"{prefix}lr_scheduler_type", f"{prefix}warmup_style", f"{prefix}lr_decay_style")
    made |= schedule(
        config,
        style,
        usual="constant",
        updates=batches or None,
        warmup=(max(int(warmup), 0) * per_step, share),
        warmup_names=(f"{prefix}lr_warmup_steps", f"{prefix}lr_warmup_steps_ratio"),
        end=end,
        end_name=f"{prefix}min_lr_ratio",
    )
    plan.optimizer = made
