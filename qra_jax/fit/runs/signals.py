"""What a log holds beside the accuracy: silent groups, entropy, KL, lengths, parts of the reward, evaluation."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qra_jax.fit.runs import columns as columns_of, keys
from qra_jax.fit.runs.rows import COUNT, Log

_PATTERNS: dict[str, tuple[str, ...]] = {
    "reward": (
        r"^critic/rewards/mean$",
        r"^(train/)?(total_)?rewards?$",
        r"^train/rollout/reward_mean$",
        r"^rollout/raw_reward$",
        r"^env/all/reward/total$",
        r"^reward_mean$|^mean_reward$",
        r"^train/all/.*reward/mean$",
    ),
    "silent": (
        r"^(train/)?frac_reward_zero_std$",
        r"^frac_zero_std$",
        r"(silent|zero_std).*(frac|ratio|share)|(frac|ratio|share).*(silent|zero_std)",
    ),
    "mixed": (r"frac_mixed$", r"baseline_reward/pct_mixed$", r"solved_some$"),
    "entropy": (r"^(train/)?entropy$", r"^actor/entropy(_loss)?$", r"^entropy/all/mean$", r"entropy"),
    "kl": (r"^(train/)?kl$", r"^actor/kl_loss$", r"^(train/)?kl_loss$", r"^(train|objective)/kl$"),
    "loss": (r"^(train/)?loss$", r"^actor/(pg_)?loss$"),
    "coefficient": (r"kl_coef$",),
    "clipped": (
        r"^(train/)?clip_ratio(/region_mean)?$",
        r"^actor/pg_clipfrac$",
        r"^train/(ppo_clip_ratio|pg_clipfrac)$",
        r"pg_clipfrac$",
    ),
    "drift": (r"^(actor|train)/ppo_kl$",),
    "mismatch": (
        r"^mismatch_kl/all/mean$",
        r"gen_kl_error$|token_mult_prob_error$",
        r"(rollout|mismatch).*kl",
        r"sampling_logp_difference/mean$|rollout_probs_diff_mean$",
    ),
    "age": (r"^off_policy/mean$", r"staleness|rollout_age|version_lag"),
    "length": (
        r"^(train/)?completions?/mean_length$",
        r"^response_length/mean$",
        r"^(mean_|completion_)?length$",
        r"(completion|response).*length.*mean|mean.*(completion|response).*length",
    ),
    "truncated": (
        r"^(train/)?completions/clipped_ratio$",
        r"^response_length/clip_ratio$",
        r"truncated|^clipped_ratio$",
    ),
    "gradient": (r"^(train/)?grad_norm$", r"^actor/grad_norm$", r"grad_norm"),
    "rate": tuple(f"^{re.escape(name)}$" for name in keys.RATES),
}
"""Columns by what they are, the better names first."""
LATE = 0.05
"""Part of a log from which on a column that has no numbers has ended."""
_PART = re.compile(r"^(train/)?rewards?/([^/]+)(/mean)?$")
_NO_PART = re.compile(r"^(std|min|max|mean|total)$|_std$")
_GROUP = ("num_generations", "group_size", "n_samples_per_prompt", "rollout.n")


@dataclass(frozen=True)
class Signal:
    """One column by step.

    Attributes:
      column: its name in the file.
      steps: `[points]`, increasing.
      values: `[points]`, finite.
    """

    column: str
    steps: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Signals:
    """Everything of a training log that tells what goes on.

    Attributes:
      path: of the log.
      kind: what it was recognised as.
      accuracy: share of right answers in training: of a correctness part where there is one, else the reward.
      evaluation: accuracy of the evaluation, where there is any.
      parts: other parts of the reward, by their names.
      others: by name: `reward`, `silent`, `entropy`, `kl`, `loss`, `coefficient` (of the KL term), `clipped`,
        `drift` (KL of the policy against that which drew the rollouts), `mismatch` (of the sampler's probabilities
        against the trainer's), `age`, `length`, `truncated`, `gradient`, `rate`; what is absent is left out.
      group_size: rollouts a question, where the log says.
      ended: by column the last step at which it is a number, where the log goes on for long without.
    """

    path: str
    kind: str
    accuracy: Signal | None
    evaluation: Signal | None
    parts: dict[str, Signal] = field(default_factory=dict)
    others: dict[str, Signal] = field(default_factory=dict)
    group_size: int | None = None
    ended: dict[str, float] = field(default_factory=dict)

    def get(self, name: str) -> Signal | None:
        """One of `others`, where the log has it."""
        return self.others.get(name)


def signals(log: Log) -> Signals:
    """The signals of a log of one run.

    Args:
      log: as read by [`log`][qra_jax.fit.runs.log], of one run.

    Returns:
      `Signals`; rows of one step are one point, of which the last counts.

    Raises:
      ValueError: no column counts steps.
    """
    at = keys.find(log.numbers, keys.STEPS)
    if at is None:
        raise ValueError(f"{log.path}: read as {log.kind}; no column counts steps; name the run's log itself")
    steps = log.numbers[at]
    if "epoch" in at.lower() and columns_of.rows_for_epochs(steps):
        steps = np.arange(1.0, len(steps) + 1)
    for name in keys.STEPS:  # a first evaluation may lack the trainer's own count
        other = log.numbers.get(name)
        if other is not None and np.isnan(steps).any():
            both = np.isfinite(steps) & np.isfinite(other)
            if both.any() and (steps[both] == other[both]).all():
                steps = np.where(np.isnan(steps), other, steps)
    columns = [name for name, values in log.numbers.items() if name != at and not name.endswith(COUNT)]
    columns = [name for name in columns if np.isfinite(log.numbers[name]).any()]
    training = [name for name in columns if not keys.EVALUATION.search(name)]

    def signal(name: str) -> Signal:
        values = log.numbers[name]
        there = np.isfinite(values) & np.isfinite(steps)
        order = np.argsort(steps[there], kind="stable")
        s, v = steps[there][order], values[there][order]
        last = np.ones(len(s), bool)
        last[:-1] = np.diff(s) > 0
        return Signal(name, s[last], v[last])

    taken: dict[str, Signal] = {}
    for what, patterns in _PATTERNS.items():
        for pattern in patterns:
            name = next((one for one in training if re.search(pattern, one, re.IGNORECASE)), None)
            if name is not None:
                taken[what] = signal(name)
                break
    if "mixed" in taken:
        mixed = taken.pop("mixed")
        taken.setdefault("silent", Signal(mixed.column, mixed.steps, 1 - mixed.values))
    found = keys.accuracies(columns)
    right = next((name for name in found if name in training), None)
    twins = (f"eval_{right}", f"eval/{right}", f"eval/{(right or '').removeprefix('train/')}")
    tested = next((name for name in (*twins, *found) if name in columns and name not in training), None)
    parts = {}
    for name in training:
        match = _PART.match(name)
        if match and name != right and not _NO_PART.search(match[2]):
            parts[match[2]] = signal(name)
    for name in training:
        if (
            re.search(r"format", name, re.IGNORECASE)
            and not re.search(r"std|min|max", name)
            and name != right
        ):
            parts.setdefault("format", signal(name))
    sizes = [log.numbers[name] for name in _GROUP if name in log.numbers]
    sizes = [one[np.isfinite(one)].max() for one in sizes if np.isfinite(one).any()]
    shown = [
        one for one in (*taken.values(), *parts.values(), *([signal(right)] if right else [])) if len(one) > 1
    ]
    last = max((float(one.steps[-1]) for one in shown), default=0.0)
    whole = max((float(np.nanmax(steps[np.isfinite(steps)])), last)) if np.isfinite(steps).any() else last
    ended = {
        one.column: float(one.steps[-1])
        for one in shown
        if whole - one.steps[-1]
        > max(LATE * (whole - one.steps[0]), 2.5 * float(np.median(np.diff(one.steps))))
    }
    return Signals(
        str(Path(log.path)),
        log.kind,
        None if right is None else signal(right),
        None if tested is None else signal(tested),
        parts,
        taken,
        int(sizes[0]) if sizes and sizes[0] >= 2 else None,
        ended,
    )
