"""Causes of how a training run goes: mechanisms, and what has to be true of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from qra_jax.studies.runs import _simulator as simulator
from qra_jax.studies.runs._settings import Setting, power


@dataclass(frozen=True)
class Cause:
    """A mechanism.

    Attributes:
      change: what it changes in drawn settings: `(rng, setting) -> settings by name`.
      criterion: what has to be true of the hidden state, in words.
      holds: the same of the numbers of `_patients.truth_of`.
      twin: settings of the run without the cause: `setting -> settings by name`.
    """

    change: Callable[[np.random.Generator, Setting], Setting]
    criterion: str
    holds: Callable[[Mapping[str, float]], bool]
    twin: Callable[[Setting], Setting] | None = None


def _slow(rng: np.random.Generator, setting: Setting) -> Setting:
    if rng.random() < 0.3:
        return {"steps": float(rng.integers(20, 41)), "rate": power(rng, -1.3, -0.5), "every": 1}
    return {"rate": power(rng, -2.3, -1.3)}


def _noisy(rng: np.random.Generator, setting: Setting) -> Setting:
    fooled = rng.dirichlet(np.full(len(setting["fpr"]), rng.choice([0.5, 50.0])))
    rate = np.minimum(rng.uniform(0.1, 0.5) * fooled * len(fooled), 0.95)
    return {"fpr": rate, "tpr": rng.uniform(0.75, 1.0)}


def _lost(rng: np.random.Generator, setting: Setting) -> Setting:
    ability, liking = setting["ability"].copy(), setting["liking"].copy()
    best = rng.integers(len(ability))
    ability[best] = np.delete(ability, best).max() + rng.uniform(1.5, 3.0)
    others = np.log(np.exp(np.delete(liking, best)).sum())
    liking[best] = others + np.log(rng.uniform(0.02, 0.1))
    own = {"sharing": 0.05, "kappa": 0.0, "masked": 0.0, "rate": power(rng, -0.2, 0.2)}
    own |= {"tau": setting["batch"] * power(rng, 0.4, 1.4), "normalize": float(rng.choice([0, 2]))}
    return own | {"ability": ability, "liking": liking, "group": float(rng.choice([4, 8]))}


def _format(rng: np.random.Generator, setting: Setting) -> Setting:
    formatted = rng.beta(0.4, 0.4, len(setting["formatted"]))
    few = {"ability": 0.1 * setting["ability"], "odd": 0.2 * setting["odd"], "formatted": formatted}
    return few | {"liking": setting["liking"] - 2 * formatted, "w_format": float(rng.choice([0.3, 0.5, 1.0]))}


def _proxy(rng: np.random.Generator, setting: Setting) -> Setting:
    style = -rng.uniform(0.15, 0.4) * setting["ability"] + setting["style"]
    return {"style": style, "w_style": rng.uniform(0.4, 2.0)}


def _long(rng: np.random.Generator, setting: Setting) -> Setting:
    masked, patterns = rng.random() < 0.3, len(setting["length"])
    longer = (rng.permutation(patterns) < rng.integers(3, 7)).astype(float)
    liking = setting["liking"] - rng.uniform(0.5, 2.5) * longer
    share = np.exp(liking[longer > 0]).sum() / np.exp(liking).sum()
    better, cut = (
        (rng.uniform(0.7, 2.0), rng.uniform(0.4, 0.8))
        if masked
        else (rng.uniform(2, 4), rng.uniform(0.15, 0.5))
    )
    return {
        "length": power(rng, 2.0, 2.5)
        * np.exp(rng.uniform(1.0, 1.8) * longer + rng.normal(0, 0.1, patterns)),
        "liking": liking,
        "ability": 0.2 * setting["ability"] + better * longer,
        "truncated": share * cut,
        "rate": power(rng, 0.0, 0.8),
        "normalize": 2.0,
        "masked": float(masked),
    }


def _without_drift(setting: Setting) -> Setting:
    return {"masked": 0.0} if setting["masked"] else {"limit": 4 * setting["limit"]}


CAUSES: dict[str, Cause] = {
    "success": Cause(
        lambda rng, setting: {"rate": power(rng, -0.3, 0.6), "odd": 0.6 * setting["odd"]},
        "true accuracy rises by .15 or more, to 90 % or more of that of the best pattern of each question",
        lambda t: t["gain"] >= 0.15 and t["end"] >= 0.9 * t["ceiling"],
    ),
    "too_easy": Cause(
        lambda rng, setting: {"base": rng.uniform(0.88, 0.97)},
        "at the start half of the groups or more are all right, and accuracy rises by .1 or less",
        lambda t: t["all_right"] >= 0.5 and t["gain"] <= 0.1,
    ),
    "too_hard": Cause(
        lambda rng, setting: {"base": power(rng, -4.5, -2.3)},
        "at the start 95 % of the groups or more are all wrong, and accuracy rises by .02 or less",
        lambda t: t["all_wrong"] >= 0.95 and t["gain"] <= 0.02,
    ),
    "slow": Cause(
        _slow,
        "accuracy rises, by .05 or less, and at ten times the learning rate by .1 more",
        lambda t: 0 <= t["gain"] <= 0.05 and t["twin"] - t["end"] >= 0.1,
        lambda setting: {"rate": 10 * setting["rate"]},
    ),
    "noisy_verifier": Cause(
        _noisy,
        "in the last tenth of the run verdicts say .08 or more above the truth",
        lambda t: t["flattered"] >= 0.08,
    ),
    "kl_resting": Cause(
        lambda rng, setting: {"beta": power(rng, -1.7, -0.3)},
        "accuracy moves by .02 or less in the last half of the run, and without the penalty ends .1 higher",
        lambda t: abs(t["late"]) <= 0.02 and t["twin"] - t["end"] >= 0.1,
        lambda setting: {"beta": 0.0},
    ),
    "rate_too_high": Cause(
        lambda rng, setting: {"rate": power(rng, 1.0, 2.3)},
        "accuracy falls by .1 or more from its highest, and at a usual learning rate ends .1 higher",
        lambda t: t["fall"] >= 0.1 and t["twin"] - t["end"] >= 0.1,
        lambda setting: {"rate": 1.0},
    ),
    "stale": Cause(
        lambda rng, setting: {
            "staleness": float(rng.integers(4, simulator.OLDEST)),
            "corrected": 0.0,
            "rate": power(rng, 0.3, 1.4),
            "leak": power(rng, -1.7, -1.2),
        },
        "accuracy falls by .1 or more from its highest, and with fresh rollouts is .1 higher over the last half",
        lambda t: t["fall"] >= 0.1 and t["twin_half"] - t["half"] >= 0.1,
        lambda setting: {"staleness": 0.0},
    ),
    "lost_pattern": Cause(
        _lost,
        "accuracy rises by .1 or more and falls by .05 or less, and without noise (exact gradients) ends .1 higher, "
        "with at least twice the share of best patterns",
        lambda t: (
            t["gain"] >= 0.1
            and t["fall"] <= 0.05
            and t["twin"] - t["end"] >= 0.1
            and t["twin_best"] >= 2 * t["best"]
        ),
        lambda setting: {"exact": 1.0},
    ),
    "format_first": Cause(
        _format,
        "the format part of the reward rises by .1 or more, accuracy moves by .03 or less",
        lambda t: t["format_gain"] >= 0.1 and abs(t["gain"]) <= 0.03,
    ),
    "reward_not_accuracy": Cause(
        _proxy,
        "reward rises by .1 or more, accuracy falls by .05 or more, and without the style part ends .1 higher",
        lambda t: t["reward_gain"] >= 0.1 and t["gain"] <= -0.05 and t["twin"] - t["end"] >= 0.1,
        lambda setting: {"w_style": 0.0},
    ),
    "length_drift": Cause(
        _long,
        "the share of truncated answers rises by .15 or more, and without the cause accuracy ends .05 higher",
        lambda t: t["truncated_gain"] >= 0.15 and t["twin"] - t["end"] >= 0.05,
        _without_drift,
    ),
}
