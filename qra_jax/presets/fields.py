"""The table of fields: what each is called by each trainer, which of our parts it becomes, and how.

Data alone, without JAX: the readers say `how` from here, a field without a part is ignored for the reason given here,
and the documentation's table is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass

TRAINERS = {"trl": "TRL's GRPOConfig", "verl": "verl"}
"""Trainers that can be read, and what they are called in sentences."""

ACTOR = "actor_rollout_ref.actor."
ROLLOUT = "actor_rollout_ref.rollout."


@dataclass(frozen=True)
class Field:
    """One row: a setting, its names, and what becomes of it.

    Attributes:
      trl: names in TRL's `GRPOConfig`, the present one first; `name.*` is everything below it.
      verl: names in verl's configuration, likewise.
      part: our part, such as `"off_policy.clip"`; `None` where the setting is ignored.
      how: how it is read; of an ignored one, why.
    """

    trl: tuple[str, ...]
    verl: tuple[str, ...]
    part: str | None
    how: str

    def names(self, trainer: str) -> tuple[str, ...]:
        """The names that a trainer has for it.

        Args:
          trainer: `"trl"` or `"verl"`.

        Returns:
          The names, none where the trainer has no such setting.
        """
        return self.trl if trainer == "trl" else self.verl


def _row(trl: str, verl: str, part: str | None, how: str) -> Field:
    return Field(tuple(trl.split()), tuple(_full(name) for name in verl.split()), part, how)


def _full(name: str) -> str:
    for short, prefix in (("actor:", ACTOR), ("rollout:", ROLLOUT)):
        if name.startswith(short):
            return prefix + name[len(short) :]
    return name


_READ = [
    # the advantage
    _row("num_generations", "rollout:n", "algorithm.group_size", "G, rollouts of a question"),
    _row(
        "scale_rewards",
        "algorithm.norm_adv_by_std_in_grpo",
        "algorithm",
        "what the advantage is divided by: the group's sample standard deviation (ddof = 1, plus the trainer's ε), "
        "the batch's, the group's mean (MaxRL), or nothing",
    ),
    _row("", "algorithm.adv_estimator", "algorithm", "the estimator of the advantage"),
    _row(
        "",
        "algorithm.filter_groups.enable algorithm.dynamic_filter.enable",
        "algorithm.resamples_silent",
        "dynamic sampling: groups that are all right or all wrong are drawn again",
    ),
    _row(
        "multi_objective_aggregation",
        "",
        "algorithm",
        "one reward: sums of one, normalised as scale_rewards says",
    ),
    # surrogate
    _row(
        "epsilon",
        "actor:clip_ratio_low actor:clip_ratio",
        "off_policy.clip",
        "ε_low: where A < 0, ratios below 1 − ε_low give no gradient",
    ),
    _row(
        "epsilon_high",
        "actor:clip_ratio_high",
        "off_policy.clip",
        "ε_high: where A > 0, ratios above 1 + ε_high give no gradient",
    ),
    _row(
        "delta",
        "actor:clip_ratio_c",
        "off_policy.dual_clip",
        "dual clip: where A < 0, ratios above it give no gradient",
    ),
    _row(
        "importance_sampling_level",
        "",
        "off_policy.surrogate",
        "token: a ratio for each token; sequence: GSPO's, the ratio of whole sequences to the power 1/|o|",
    ),
    _row(
        "", "actor:policy_loss.loss_mode actor:loss_mode", "off_policy.surrogate", "the surrogate objective"
    ),
    _row("sapo_temperature_pos", "actor:tau_pos", "off_policy.gate", "τ of SAPO's gate where A > 0"),
    _row("sapo_temperature_neg", "actor:tau_neg", "off_policy.gate", "τ of SAPO's gate where A ≤ 0"),
    _row(
        "loss_type",
        "actor:loss_agg_mode",
        "normalize",
        "how token terms are averaged: length 1/|o|, tokens one over all tokens, constant",
    ),
    # where the rollouts come from
    _row(
        "num_iterations",
        "actor:ppo_epochs",
        "off_policy.epochs",
        "gradient steps on the same rollouts",
    ),
    _row(
        "steps_per_generation",
        "data.train_batch_size data.gen_batch_size",
        "off_policy.staleness",
        "updates that share one batch of rollouts, each on a part of it: a policy held for the sampler so long",
    ),
    _row(
        "gradient_accumulation_steps",
        "actor:ppo_mini_batch_size",
        "questions",
        "size of one update",
    ),
    _row(
        "per_device_train_batch_size", "", "questions", "size of one update, with gradient_accumulation_steps"
    ),
    _row("generation_batch_size", "", "questions", "rollouts of one generation, over all processes"),
    _row(
        "temperature",
        "rollout:temperature",
        "off_policy.temperature",
        "T of sampling and of the policy that learns, softmax(θ/T)",
    ),
    _row("top_p", "rollout:top_p", None, "the theory samples from the whole distribution"),
    _row("top_k", "rollout:top_k", None, "the theory samples from the whole distribution"),
    _row("min_p", "rollout:min_p", None, "the theory samples from the whole distribution"),
    _row("use_vllm", "", "off_policy.correction", "vLLM samples: the correction for its mismatch applies"),
    _row(
        "vllm_importance_sampling_correction",
        "",
        "off_policy.correction",
        "whether the ratio between trainer and sampler is corrected (with use_vllm)",
    ),
    _row(
        "vllm_importance_sampling_mode",
        "algorithm.rollout_correction.rollout_is algorithm.rollout_is algorithm.rollout_is_level",
        "off_policy.correction",
        "truncate or mask, of tokens or of sequences",
    ),
    _row(
        "vllm_importance_sampling_clip_max vllm_importance_sampling_cap",
        "algorithm.rollout_correction.rollout_is_threshold algorithm.rollout_is_threshold actor:tis_imp_ratio_cap",
        "off_policy.correction_cap",
        "C, the largest ratio between trainer and sampler",
    ),
    _row(
        "",
        "algorithm.rollout_correction.rollout_rs",
        "off_policy.correction",
        "rollouts whose ratio is too large are dropped (mask)",
    ),
    _row(
        "",
        "algorithm.rollout_correction.rollout_rs_threshold",
        "off_policy.correction_cap",
        "C, above which rollouts are dropped",
    ),
    _row(
        "",
        "algorithm.rollout_correction.bypass_mode algorithm.rollout_correction.bypass_old_logprob_for_rollout",
        "off_policy.correction",
        "the ratio is taken against the sampler itself: nothing is left to correct",
    ),
    _row(
        "",
        "algorithm.rollout_correction.loss_type algorithm.rollout_correction.use_pure_rollout_correction",
        "off_policy.surrogate",
        "in bypass mode: PPO's clip, or REINFORCE with a truncated ratio (cispo)",
    ),
    _row(
        "off_policy_mask_threshold",
        "",
        "off_policy.mask_old_negatives",
        "δ in nats: rollouts with A < 0 whose mean log(μ/π) is above it are dropped",
    ),
    # penalties
    _row(
        "beta", "actor:kl_loss_coef", "regularizers", "β of the KL term in the loss, estimated on the samples"
    ),
    _row("", "actor:use_kl_loss", "regularizers", "whether there is a KL term in the loss"),
    _row(
        "use_bias_correction_kl",
        "actor:kl_loss_type",
        "regularizers",
        "which KL term: its value and, what counts, its gradient",
    ),
    _row("sync_ref_model", "", "regularizers.reference", "whether the reference follows the policy"),
    _row("ref_model_sync_steps", "", "regularizers.reference", "steps between two updates of the reference"),
    _row(
        "ref_model_mixup_alpha",
        "",
        "regularizers.reference",
        "α in π_ref ← α π + (1 − α) π_ref",
    ),
    _row("entropy_coef", "actor:entropy_coeff", "regularizers", "weight of an entropy bonus"),
    _row("", "algorithm.use_kl_in_reward", "reward", "whether β log(π/π_ref) is taken from the reward"),
    _row("", "algorithm.kl_ctrl.kl_coef", "reward", "β of the KL in the reward"),
    _row("", "algorithm.kl_penalty", "reward", "the estimator of the KL in the reward; its mean is the same"),
    _row(
        "top_entropy_quantile",
        "",
        "token_mask",
        "share of tokens, those of largest entropy, that learns",
    ),
    _row("", "actor:policy_loss.clip_cov_ratio", "token_mask", "share of the tokens that Clip-Cov drops"),
    _row(
        "",
        "actor:policy_loss.clip_cov_lb",
        "token_mask",
        "least covariance of the tokens that Clip-Cov drops",
    ),
    _row(
        "",
        "actor:policy_loss.clip_cov_ub",
        "token_mask",
        "largest covariance of the tokens that Clip-Cov drops",
    ),
    _row("", "actor:policy_loss.kl_cov_ratio", "token_mask", "share of the tokens that KL-Cov penalises"),
    _row("", "actor:policy_loss.ppo_kl_coef", "token_mask", "coefficient of KL-Cov's penalty"),
    _row(
        "",
        "reward_model.overlong_buffer.enable reward_model.reward_kwargs.overlong_buffer_cfg.enable "
        "reward.reward_kwargs.overlong_buffer_cfg.enable",
        "overlong",
        "whether long answers are punished softly",
    ),
    _row(
        "",
        "reward_model.overlong_buffer.len reward_model.reward_kwargs.overlong_buffer_cfg.len "
        "reward.reward_kwargs.overlong_buffer_cfg.len",
        "overlong",
        "tokens over which the punishment grows",
    ),
    _row(
        "",
        "reward_model.overlong_buffer.penalty_factor reward_model.reward_kwargs.overlong_buffer_cfg.penalty_factor "
        "reward.reward_kwargs.overlong_buffer_cfg.penalty_factor",
        "overlong",
        "the punishment at the largest length",
    ),
    _row(
        "",
        "reward_model.reward_kwargs.max_resp_len reward.reward_kwargs.max_resp_len data.max_response_length "
        "rollout:response_length",
        "overlong",
        "largest length of an answer, where overlong shaping ends",
    ),
    # the optimiser
    _row(
        "learning_rate",
        "actor:optim.lr",
        "learning_rate",
        "η, as it stands: a step of a network's weights, not of a table's logits",
    ),
    _row("optim", "actor:optim.optimizer", "optimizer", "the update rule"),
    _row("adam_beta1", "", "optimizer.b1", "decay of the first moment"),
    _row("adam_beta2", "", "optimizer.b2", "decay of the second moment"),
    _row("", "actor:optim.betas", "optimizer", "decay of the two moments"),
    _row("adam_epsilon", "actor:optim.eps", "optimizer.eps", "number in the denominator"),
    _row("weight_decay", "actor:optim.weight_decay", "optimizer.weight_decay", "decoupled weight decay"),
    _row(
        "max_grad_norm",
        "actor:grad_clip actor:optim.clip_grad actor:optim.grad_clip",
        "optimizer.clip_norm",
        "largest norm of the gradient",
    ),
    _row(
        "lr_scheduler_type",
        "actor:optim.lr_scheduler_type actor:optim.warmup_style actor:optim.lr_decay_style",
        "optimizer.schedule",
        "the learning rate over time",
    ),
    _row(
        "lr_scheduler_kwargs",
        "actor:optim.min_lr_ratio",
        "optimizer.end",
        "share of the learning rate left at the end",
    ),
    _row("warmup_steps", "actor:optim.lr_warmup_steps", "optimizer.warmup", "updates of the linear warm-up"),
    _row(
        "warmup_ratio",
        "actor:optim.lr_warmup_steps_ratio",
        "optimizer.warmup",
        "linear warm-up as a share of all updates",
    ),
    _row(
        "max_steps",
        "trainer.total_training_steps actor:optim.total_training_steps",
        "steps",
        "length of the run; our steps are batches of rollouts",
    ),
]

_IGNORED = [
    # settings of the algorithm without a part
    _row(
        "num_train_epochs",
        "trainer.total_epochs",
        None,
        "passes over the data: the file does not say how many questions there are",
    ),
    _row(
        "max_completion_length max_prompt_length",
        "data.max_prompt_length rollout:prompt_length",
        None,
        "lengths: a tabular answer is one decision",
    ),
    _row(
        "mask_truncated_completions",
        "",
        None,
        "an answer in the theory is never cut off",
    ),
    _row("reward_weights reward_funcs", "", None, "several rewards: the theory's verifier is one"),
    _row(
        "use_adaptive_entropy entropy_coef_min entropy_coef_max entropy_coef_delta entropy_target",
        "",
        None,
        "an entropy bonus that adapts: ours has a fixed weight",
    ),
    _row(
        "vespo_k_pos vespo_lambda_pos vespo_k_neg vespo_lambda_neg",
        "",
        None,
        "VESPO's weight of old sequences: no part of ours; with new rollouts it is one",
    ),
    _row(
        "vllm_importance_sampling_clip_min",
        "algorithm.rollout_correction.rollout_rs_threshold_lower algorithm.rollout_is_threshold_lower "
        "algorithm.rollout_correction.rollout_token_veto_threshold algorithm.rollout_is_veto_threshold "
        "algorithm.rollout_correction.rollout_is_batch_normalize algorithm.rollout_is_batch_normalize "
        "algorithm.rollout_is_mode",
        None,
        "a bound or a normalisation of the ratio between trainer and sampler that our correction lacks",
    ),
    _row(
        "repetition_penalty generation_kwargs",
        "rollout:repetition_penalty rollout:ignore_eos rollout:do_sample",
        None,
        "changes the sampler token by token; the theory samples from the policy",
    ),
    _row("", "algorithm.gamma algorithm.lam", None, "discount and λ: a tabular answer is one decision"),
    _row(
        "",
        "algorithm.kl_ctrl.type algorithm.kl_ctrl.horizon algorithm.kl_ctrl.target_kl",
        None,
        "an adaptive coefficient: that of the KL in the reward is held fixed",
    ),
    _row(
        "",
        "algorithm.filter_groups.* algorithm.dynamic_filter.*",
        None,
        "how often groups are drawn again: in the theory until one is not silent",
    ),
    _row(
        "",
        "algorithm.use_pf_ppo algorithm.pf_ppo.*",
        None,
        "resampling of rollouts by their scores: no part of ours",
    ),
    _row("", "actor:loss_scale_factor", None, "a constant of the loss: part of the learning rate"),
    _row("", "actor:shuffle actor:data_loader_seed", None, "order of the mini-batches"),
    _row(
        "",
        "async_training.* rollout.*",
        None,
        "asynchronous training bounds the share of old rollouts; give their age with qra.OffPolicy(staleness=…)",
    ),
    _row("", "critic.* trainer.critic_warmup", None, "the critic: its value is exact in a table"),
    _row(
        "",
        "reward_model.* reward_manager.* reward.* custom_reward_function.*",
        None,
        "where the reward is computed: the theory has a verifier",
    ),
    _row(
        "",
        "actor:optim.num_cycles actor:optim.min_lr actor:optim.lr_min actor:optim.lr_start "
        "actor:optim.lr_decay_ratio actor:optim.lr_warmup_init actor:optim.lr_decay_steps "
        "actor:optim.lr_wsd_decay_style actor:optim.lr_wsd_decay_steps actor:optim.weight_decay_incr_style "
        "actor:optim.optimizer_impl actor:optim.override_optimizer_config actor:optim.override_optimizer_config.* "
        "actor:optim.use_checkpoint_opt_param_scheduler",
        None,
        "detail of the schedule or of the optimiser that ours lacks",
    ),
    _row(
        "optim_args optim_target_modules label_smoothing_factor neftune_noise_alpha router_aux_loss_coef "
        "average_tokens_across_devices disable_dropout",
        "",
        None,
        "detail of the optimiser or of the network",
    ),
    # everything that is not part of the theory
    _row(
        "model_init_kwargs model_name_or_path model_revision trust_remote_code torch_dtype dtype attn_implementation "
        "use_peft lora_r lora_alpha lora_dropout lora_target_modules lora_modules_to_save lora_task_type use_rslora "
        "use_dora load_in_8bit load_in_4bit bnb_4bit_quant_type use_bnb_nested_quant bnb_4bit_quant_storage "
        "cast_lm_head_to_fp32 chat_template chat_template_path chat_template_kwargs system_prompt "
        "reward_model_name_or_path model_adapter_name ref_adapter_name",
        "actor_rollout_ref.model.* actor_rollout_ref.hybrid_engine actor_rollout_ref.nccl_timeout "
        "actor:freeze_vision_tower",
        None,
        "the network: the theory is a table of patterns",
    ),
    _row(
        "dataset_name dataset_config dataset_path dataset_train_split dataset_test_split dataset_prompt_column "
        "dataset_streaming datasets dataset_mixture data_files streaming remove_unused_columns shuffle_dataset "
        "dataloader_drop_last dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers "
        "dataloader_prefetch_factor dataset_num_proc pad_to_multiple_of group_by_length length_column_name "
        "train_sampling_strategy accelerator_config split_batches label_names past_index "
        "ignore_data_skip seed data_seed",
        "data.*",
        None,
        "the data: the theory's questions are given as a Problem",
    ),
    _row(
        "vllm_mode vllm_model_impl vllm_enable_sleep_mode vllm_structured_outputs_regex vllm_guided_decoding_regex "
        "vllm_server_base_url vllm_server_host vllm_server_port vllm_server_timeout vllm_group_port "
        "vllm_gpu_memory_utilization vllm_max_model_length vllm_tensor_parallel_size vllm_device vllm_dtype "
        "vllm_max_model_len vllm_enable_prefix_caching cache_implementation use_cache use_transformers_paged "
        "use_transformers_continuous_batching transformers_continuous_batching_config ds3_gather_for_generation "
        "max_tool_calling_iterations",
        "rollout:name rollout:mode rollout:dtype rollout:gpu_memory_utilization rollout:enforce_eager "
        "rollout:cudagraph_capture_sizes rollout:free_cache_engine rollout:tensor_model_parallel_size "
        "rollout:data_parallel_size rollout:expert_parallel_size rollout:pipeline_model_parallel_size "
        "rollout:max_num_batched_tokens rollout:max_model_len rollout:max_num_seqs rollout:enable_chunked_prefill "
        "rollout:enable_prefix_caching rollout:logprobs_mode rollout:scheduling_policy rollout:load_format "
        "rollout:log_prob_micro_batch_size rollout:log_prob_micro_batch_size_per_gpu "
        "rollout:log_prob_use_dynamic_bsz rollout:log_prob_max_token_len_per_gpu rollout:disable_log_stats "
        "rollout:over_sample_rate rollout:multi_stage_wake_up rollout:engine_kwargs.* rollout:val_kwargs.* "
        "rollout:multi_turn.* rollout:calculate_log_probs rollout:agent.* rollout:checkpoint_engine.* "
        "rollout:update_weights_bucket_megabytes rollout:trace.* rollout:skip_rollout rollout:skip_dump_dir "
        "rollout:skip_tokenizer_init rollout:enable_rollout_routing_replay rollout:profiler.* rollout:prometheus.* "
        "rollout:quantization rollout:quantization_config_file rollout:mtp rollout:mtp.* rollout:layered_summon "
        "rollout:use_fire_sampling rollout:seed rollout:limit_images",
        None,
        "how the sampler is run, not what it samples from",
    ),
    _row(
        "bf16 fp16 tf32 half_precision_backend bf16_full_eval fp16_full_eval fp16_opt_level fp16_backend "
        "gradient_checkpointing gradient_checkpointing_kwargs torch_compile torch_compile_backend torch_compile_mode "
        "use_liger_kernel use_liger_loss liger_kernel_config torch_empty_cache_steps auto_find_batch_size no_cuda "
        "use_cpu use_mps_device use_ipex jit_mode_eval local_rank local-rank ddp_backend ddp_find_unused_parameters "
        "ddp_bucket_cap_mb ddp_broadcast_buffers ddp_timeout ddp_static_graph fsdp fsdp_config fsdp_min_num_params "
        "fsdp_transformer_layer_cls_to_wrap deepspeed parallelism_config tpu_num_cores tpu_metrics_debug "
        "full_determinism mp_parameters _n_gpu n_gpu world_size debug skip_memory_metrics torchdynamo ray_scope "
        "per_gpu_train_batch_size per_gpu_eval_batch_size",
        "actor:strategy actor:ppo_micro_batch_size actor:ppo_micro_batch_size_per_gpu actor:use_dynamic_bsz "
        "actor:ppo_max_token_len_per_gpu actor:ppo_infer_micro_batch_size_per_gpu "
        "actor:ppo_infer_max_token_len_per_gpu actor:use_torch_compile actor:use_fused_kernels "
        "actor:use_remove_padding actor:use_prefix_grouper actor:ulysses_sequence_parallel_size "
        "actor:entropy_from_logits_with_chunking actor:entropy_checkpointing actor:fsdp_config.* actor:megatron.* "
        "actor:engine.* actor:veomni.* actor:checkpoint.* actor:profiler.* actor:profile.* actor:router_replay.* "
        "actor:load_weight actor:use_rollout_log_probs actor:calculate_entropy actor:calculate_sum_pi_squared "
        "actor:sum_pi_squared_checkpointing actor:rollout_n actor:model_config.* actor:global_batch_info.* "
        "actor:use_unbiased_padding actor:optim.offload actor_rollout_ref.ref.* actor_rollout_ref.profiler.* "
        "ray_kwargs.* ray_init.* trainer.nnodes trainer.n_gpus_per_node trainer.balance_batch trainer.device "
        "trainer.ray_wait_register_center_timeout trainer.use_legacy_worker_impl global_profiler.* transfer_queue.* "
        "profiler.* config_path config_name hydra.*",
        None,
        "hardware and precision",
    ),
    _row(
        "output_dir overwrite_output_dir save_strategy save_steps save_total_limit save_safetensors save_on_each_node "
        "save_only_model restore_callback_states_from_checkpoint enable_jit_checkpoint load_best_model_at_end "
        "metric_for_best_model greater_is_better resume_from_checkpoint push_to_hub push_to_hub_model_id "
        "push_to_hub_organization push_to_hub_token push_to_hub_revision hub_model_id hub_model_revision hub_strategy "
        "hub_token hub_private_repo hub_always_push hub_revision overwrite_hub_revision",
        "trainer.save_freq trainer.esi_redundant_time trainer.resume_mode trainer.resume_from_path "
        "trainer.default_hdfs_dir trainer.default_local_dir trainer.del_local_ckpt_after_load "
        "trainer.max_actor_ckpt_to_keep trainer.max_critic_ckpt_to_keep trainer.remove_previous_ckpt_in_save",
        None,
        "saving",
    ),
    _row(
        "report_to run_name project trackio_space_id logging_dir logging_strategy logging_steps logging_first_step "
        "logging_nan_inf_filter log_level log_level_replica log_on_each_node log_completions log_multimodal "
        "log_unique_prompts log_completions_hub_repo num_completions_to_print wandb_log_unique_prompts wandb_entity "
        "wandb_project wandb_run_group disable_tqdm include_num_input_tokens_seen include_tokens_per_second "
        "_wandb wandb_version",
        "trainer.logger trainer.project_name trainer.experiment_name trainer.log_val_generations "
        "trainer.rollout_data_dir trainer.validation_data_dir trainer.val_generations_to_log_to_wandb "
        "trainer.profile_steps trainer.worker_nsight_options.* trainer.controller_nsight_options.* _wandb.* "
        "wandb_version",
        None,
        "logging",
    ),
    _row(
        "do_train do_eval do_predict do_predict_eval eval_strategy evaluation_strategy eval_steps eval_delay "
        "eval_on_start eval_accumulation_steps eval_do_concat_batches eval_use_gather_object "
        "per_device_eval_batch_size num_generations_eval prediction_loss_only include_inputs_for_metrics "
        "include_for_metrics batch_eval_metrics callbacks benchmarks predict_with_generate",
        "trainer.test_freq trainer.val_before_train trainer.val_only",
        None,
        "evaluation",
    ),
]

FIELDS: tuple[Field, ...] = (*_READ, *_IGNORED)
"""All fields, those with a part first."""


def known(trainer: str) -> dict[str, Field]:
    """The rows of a trainer by name.

    Args:
      trainer: `"trl"` or `"verl"`.

    Returns:
      From each of its names, those that end in `.*` too, to the row.
    """
    return {name: row for row in FIELDS for name in row.names(trainer)}


def lookup(trainer: str, name: str) -> Field | None:
    """The row of a field, by its name or by the longest subtree that it lies in.

    Args:
      trainer: `"trl"` or `"verl"`.
      name: the field.

    Returns:
      The row; `None` for a field that the table does not know.
    """
    table = known(trainer)
    if name in table:
        return table[name]
    pieces = name.split(".")
    for depth in range(len(pieces) - 1, 0, -1):
        subtree = ".".join(pieces[:depth]) + ".*"
        if subtree in table:
            return table[subtree]
    return (
        table.get(pieces[0]) if trainer == "trl" else None
    )  # TRL's fields are flat, their values may not be
