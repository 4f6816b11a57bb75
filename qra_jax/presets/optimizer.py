"""Optimisers and schedules, which both trainers take from PyTorch and name alike."""

from __future__ import annotations

import math
from typing import Any

from qra_jax.presets.reader import Config

RULES = {
    "adamw": "adamw",
    "adam": "adamw",
    "sgd": "sgd",
    "lion": "lion",
    "rmsprop": "rmsprop",
    "adagrad": "adagrad",
}
"""Our rule by what a trainer's name of an optimiser contains, tried in this order."""
SCHEDULES = {
    "constant": "constant",
    "constant_with_warmup": "constant",
    "linear": "linear",
    "cosine": "cosine",
    "cosine_with_min_lr": "cosine",
}
"""Our schedule by a trainer's name."""
OTHER_SCHEDULES = (
    "cosine_with_restarts",
    "cosine_warmup_with_min_lr",
    "polynomial",
    "inverse_sqrt",
    "inverse-square-root",
    "exponential",
    "reduce_lr_on_plateau",
    "warmup_stable_decay",
    "WSD",
    "greedy",
)
"""Schedules that we do not have."""


def rule(config: Config, name: str, usual: str) -> dict[str, Any]:
    """The update rule.

    Args:
      config: the fields.
      name: the field that names the optimiser.
      usual: the trainer's default.

    Returns:
      `rule` of our optimiser; AdamW where we have none of that name.
    """
    if not config.given(name):
        config.assume(name, usual, "the update rule")
        return {"rule": RULES[usual]}
    value = config.values[name]
    if not isinstance(value, str):
        config.refuse(name, "must be the name of an optimiser, such as adamw_torch")
    plain = value.lower()
    for part, ours in RULES.items():
        if part in plain and not any(
            odd in plain for odd in ("mini", "ademamix", "galore", "apollo", "schedule_free")
        ):
            bits = ", its compressed moments at full precision" if "8bit" in plain else ""
            config.use(name, f"{ours}{bits}")
            return {"rule": ours}
    config.ignore(name, "we have no such optimiser: AdamW in its place")
    return {"rule": "adamw"}


def schedule(
    config: Config,
    name: str,
    *,
    usual: str,
    updates: int | None,
    warmup: tuple[int, Any],
    warmup_names: tuple[str, str],
    end: Any,
    end_name: str,
) -> dict[str, Any]:
    """The learning rate over time.

    Args:
      config: the fields.
      name: the field that names the schedule.
      usual: the trainer's default.
      updates: length of the run in updates; `None` where the file does not say it.
      warmup: updates of the warm-up, and its share of the run, which counts where the first is 0.
      warmup_names: the two fields that say so.
      end: share of the learning rate left at the end.
      end_name: the field that says so.

    Returns:
      `schedule`, `warmup`, `updates` and `end` of our optimiser, those that differ from a constant rate.
    """
    value = config.word(name, usual, (*SCHEDULES, *OTHER_SCHEDULES))
    shape = SCHEDULES.get(value)
    made: dict[str, Any] = {}
    rise, share = warmup
    if not rise and share and updates is not None:
        rise = math.ceil(share * updates)
    if rise:
        made["warmup"] = rise
        config.use(warmup_names[0] if warmup[0] else warmup_names[1], f"linear over {rise} updates")
    elif share:
        config.ignore(warmup_names[1], "a share of a run whose length the file does not say")
    else:
        config.use(warmup_names[0], "no warm-up")
        config.use(warmup_names[1], "no warm-up")
    if shape is None:
        config.ignore(name, "we have no such schedule: a constant rate in its place")
    elif shape == "constant":
        config.use(name, "constant")
        config.assume(name, usual, "a constant rate")
    elif updates is None:
        why = "the file does not say how many updates there are: a constant rate in its place"
        config.ignore(name, why)
        config.assume(name, usual, why)
    else:
        made |= {"schedule": shape, "updates": updates} | ({"end": end} if end else {})
        config.use(name, f"{shape} over {updates} updates")
        config.assume(name, usual, f"{shape} over {updates} updates")
        config.use(end_name)
    return made
