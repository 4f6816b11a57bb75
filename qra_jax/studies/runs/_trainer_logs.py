"""The log files that trainers leave, written from a simulated run: TRL's `trainer_state.json` and verl's JSONL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from qra_jax.studies.runs import _simulator as simulator

FORMS = {"trl": "trainer_state.json", "verl": "metrics.jsonl"}
"""Trainers, and how their files are called."""
NAMES = {
    "correct": ("accuracy_reward", "correctness_reward_func", "math_verify_reward"),
    "format": ("format_reward", "xml_format_reward_func", "soft_format_reward"),
    "style": ("quality_reward", "judge_reward_func", "reward_model"),
}
"""Names of reward functions, one of three ways to call them."""


def text(form: str, setting: Mapping[str, Any], run: Mapping[str, np.ndarray]) -> str:
    """The text of a log.

    Args:
      form: one of `FORMS`.
      setting: as drawn.
      run: as simulated, cut to its steps.
    """
    rng = np.random.default_rng([*map(int, setting["words"]), 1])
    looks = (
        np.arange(0, len(run["reward"]) + 1, setting["eval_every"]) if setting["validated"] else np.arange(0)
    )
    places, count = looks // simulator.EVERY, simulator.HELD_OUT * simulator.SAMPLES
    noise = rng.normal(size=len(looks)) * run["held_out_spread"][places]
    known = {"mean": run["true_held_out"][places] + noise / np.sqrt(count)}
    known["best"] = run["true_held_out_best"][places] + noise / np.sqrt(simulator.HELD_OUT)
    rounded = {name: np.clip(np.round(value * count) / count, 0, 1) for name, value in known.items()}
    evaluated = {
        int(step): {name: float(x[i]) for name, x in rounded.items()} for i, step in enumerate(looks)
    }
    difference = 0.004 * np.exp(0.3 * rng.normal(size=len(run["reward"])))
    run = dict(run) | {"mismatch": run["mismatch"] + difference}
    return (_trl if form == "trl" else _verl)(setting, run, evaluated)


def _parts(setting: Mapping[str, Any]) -> dict[str, str]:
    """Parts of the reward and their names."""
    return {part: names[setting["names"]] for part, names in NAMES.items() if setting[f"w_{part}"] > 0}


def _rate(setting: Mapping[str, Any]) -> float:
    """The optimiser's learning rate, at its largest: half of what makes a logit rate large is the network's."""
    return float(f"{setting['rate'] ** 0.5 * setting['unit']:.1e}")


def _trl(
    setting: Mapping[str, Any], run: Mapping[str, np.ndarray], evaluated: Mapping[int, Mapping[str, float]]
) -> str:
    steps, every, rows = len(run["reward"]), setting["every"], []
    rollouts, tokens = setting["batch"] * setting["group"], np.cumsum(run["length"])
    for last in range(every, steps + 1, every):
        part = slice(last - every, last)
        mean = {name: float(run[name][part].mean()) for name in run if len(run[name]) == steps}
        row: dict[str, Any] = {
            "loss": round(mean["policy_loss"] + mean["kl"] * setting["beta"], 4),
            "grad_norm": float(run["grad_norm"][last - 1]) * setting["gradient_unit"],
            "learning_rate": _rate(setting) * float(run["schedule"][last - 1]),
            "num_tokens": float(round(tokens[last - 1] * rollouts)),
            "completions/mean_length": mean["length"],
            "completions/min_length": mean["shortest"],
            "completions/max_length": mean["longest"],
            "completions/clipped_ratio": mean["truncated"],
        }
        for name, function in _parts(setting).items():
            row |= {f"rewards/{function}/mean": mean[name], f"rewards/{function}/std": mean[f"{name}_std"]}
        row |= {
            "reward": mean["reward"],
            "reward_std": mean["reward_std"],
            "frac_reward_zero_std": mean["silent"],
        }
        if setting["beta"] > 0:
            row["kl"] = mean["kl"]
        if setting["entropy_logged"]:
            row["entropy"] = mean["entropy"]
        if setting["sampler_logged"]:
            row["sampling/sampling_logp_difference/mean"] = mean["mismatch"]
        low, high = mean["clip_low"], mean["clip_high"]
        row |= {
            "clip_ratio/low_mean": low,
            "clip_ratio/high_mean": high,
            "clip_ratio/region_mean": low + high,
        }
        rows.append(row | {"epoch": last * setting["batch"] / simulator.TRAINED, "step": last})
    for step, values in evaluated.items():
        if step:
            function = NAMES["correct"][setting["names"]]
            row = {f"eval_rewards/{function}/mean": values["mean"], "eval_runtime": 61.7}
            rows.append(row | {"epoch": step * setting["batch"] / simulator.TRAINED, "step": step})
    rows.sort(key=lambda row: row["step"])
    state = {"epoch": rows[-1]["epoch"], "global_step": steps, "log_history": rows, "logging_steps": every}
    return json.dumps(state | {"max_steps": steps, "train_batch_size": int(setting["batch"])}, indent=1)


def _verl(
    setting: Mapping[str, Any], run: Mapping[str, np.ndarray], evaluated: Mapping[int, Mapping[str, float]]
) -> str:
    lines = []
    for step in range(len(run["reward"]) + 1):
        data: dict[str, Any] = {}
        if step in evaluated:
            count = simulator.SAMPLES
            data[f"val-core/math/acc/mean@{count}"] = evaluated[step]["mean"]
            data[f"val-core/math/acc/best@{count}/mean"] = evaluated[step]["best"]
        if step:
            now = {name: float(run[name][step - 1]) for name in run if len(run[name]) == len(run["reward"])}
            data |= {
                "training/global_step": step,
                "training/epoch": int(step * setting["batch"] // simulator.TRAINED),
                "critic/score/mean": now["reward"],
                "critic/rewards/mean": now["reward"],
                "actor/pg_clipfrac": now["clip_low"] + now["clip_high"],
                "actor/pg_loss": now["policy_loss"],
                "actor/ppo_kl": now["ppo_kl"],
                "actor/grad_norm": now["grad_norm"] * setting["gradient_unit"],
                "actor/lr": _rate(setting) * now["schedule"],
                "response_length/mean": now["length"],
                "response_length/min": now["shortest"],
                "response_length/max": now["longest"],
                "response_length/clip_ratio": now["truncated"],
            }
            if setting["entropy_logged"]:
                data["actor/entropy"] = now["entropy"]
            if setting["beta"] > 0:
                data |= {"actor/kl_loss": now["kl"], "actor/kl_coef": setting["beta"]}
            if setting["sampler_logged"]:
                data["training/rollout_probs_diff_mean"] = now["mismatch"]
        if data:
            lines.append(json.dumps({"step": step, "data": data}))
    return "\n".join(lines) + "\n"
