#!/usr/bin/env bash
# The whole recipe of DAPO on 7B, as one starts verl's trainer.
set -euo pipefail
clip_ratio_low=0.2
clip_ratio_high=0.28
n_resp_per_prompt=16
max_response_length=$((1024 * 20))
overlong_buffer_len=$((1024 * 4))

python3 -m recipe.dapo.main_dapo \
    data.train_files="${HOME}/data/math.parquet" \
    data.train_batch_size=512 \
    data.gen_batch_size=1536 \
    data.max_response_length=${max_response_length} \
    algorithm.adv_estimator=grpo \
    algorithm.use_kl_in_reward=False \
    algorithm.kl_ctrl.kl_coef=0.0 \
    +algorithm.filter_groups.enable=True \
    +algorithm.filter_groups.metric=acc \
    +algorithm.filter_groups.max_num_gen_batches=10 \
    actor_rollout_ref.actor.use_kl_loss=False \
    actor_rollout_ref.actor.kl_loss_coef=0.0 \
    actor_rollout_ref.actor.clip_ratio_low=${clip_ratio_low} \
    actor_rollout_ref.actor.clip_ratio_high=${clip_ratio_high} \
    actor_rollout_ref.actor.clip_ratio_c=10.0 \
    actor_rollout_ref.actor.loss_agg_mode="token-mean" \
    actor_rollout_ref.actor.ppo_mini_batch_size=32 \
    actor_rollout_ref.actor.optim.lr=1e-6 \
    actor_rollout_ref.actor.optim.lr_warmup_steps=10 \
    actor_rollout_ref.actor.optim.weight_decay=0.1 \
    actor_rollout_ref.rollout.n=${n_resp_per_prompt} \
    actor_rollout_ref.rollout.temperature=1.0 \
    actor_rollout_ref.rollout.top_p=1.0 \
    reward_model.reward_manager=dapo \
    +reward_model.overlong_buffer.enable=True \
    +reward_model.overlong_buffer.len=${overlong_buffer_len} \
    +reward_model.overlong_buffer.penalty_factor=1.0 \
    trainer.logger='["console","wandb"]' \
    trainer.total_training_steps=300 \
    trainer.n_gpus_per_node=8 "$@"
