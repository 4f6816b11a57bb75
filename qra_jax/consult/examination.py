"""What a training log shows: the cause that explains it best, the signs for it, and what no model of rewards can know.

Each test asks for the sign by which its cause differs from the others; they are asked in the order in which one
mechanism hides another. Levels are compared with their own noise, see [`course`][qra_jax.consult.course.course].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from qra_jax.algorithm import grpo
from qra_jax.consult.pace import pace
from qra_jax.consult.vitals import (
    FEWEST,
    Vitals,
    answers,
    names_right_answers,
    right_answers,
    vitals_of,
)
from qra_jax.fit import runs
from qra_jax.fit.runs.signals import Signals, signals
from qra_jax.population import Population

CAUSES = (
    "success",
    "too_easy",
    "too_hard",
    "slow",
    "noisy_verifier",
    "kl_resting",
    "rate_too_high",
    "stale",
    "lost_pattern",
    "format_first",
    "reward_not_accuracy",
    "length_drift",
)
"""What a log can be found to be; `success` and `slow` are nothing to mend."""
UNCLEAR = "unclear"
GAIN, LEAST = 0.1, 0.03
"""A rise of accuracy that is a success; the least change that counts as one."""
FAST = 2.5e-5
"""Learning rate from which on a collapse is put down to it."""
LEAPS, FAR = 4.0, 100.0
"""Ratio of a gradient norm to that of the first steps, and nats of KL, that rollouts of the policy itself do not make:
their score has a mean of zero, and the chance of a rollout bounds its push."""
FLATTERED = 0.07
"""By how much verdicts of training must be above an evaluation, whose questions may be harder."""
CLOSE = 0.7
"""Part of the way to the resting point that a run has come where no KL is logged."""
HELD = 0.015
"""β of a KL term from which on a plateau is put down to it."""
EARLY, NEAR = 0.35, 0.05
"""Part of a run, and nats, within which a KL that is held levels off."""
POLAR, FALLEN = 3.5, 0.5
"""a + b of the beta distribution of success rates below which most questions are decided; part of the first gradient
norm that is left then."""
HARD, EASY = 0.05, 0.85
"""Accuracies below and above which nearly all groups are silent."""


@dataclass(frozen=True)
class Finding:
    """One cause with its signs.

    Attributes:
      cause: one of `CAUSES`.
      said: what the log shows, with its numbers.
      look: what else would show, and what to do.
    """

    cause: str
    said: str
    look: str


@dataclass(frozen=True)
class Examination:
    """What a log shows.

    Attributes:
      path: of the log.
      level: accuracy, or reward of another scale, at start and at end; NaN where there is none.
      findings: the cause that explains it first, then others whose signs are there, too.
      beyond: what no model of rewards can know and the log hints at, with what to look at.
    """

    path: str
    level: tuple[float, float]
    findings: list[Finding]
    beyond: list[str] = field(default_factory=list)

    @property
    def cause(self) -> str:
        """The first finding's cause, `"unclear"` where there is none."""
        return self.findings[0].cause if self.findings else UNCLEAR


def examine(
    source: str | Path | Signals, *, group_size: int | None = None, beta: float | None = None
) -> Examination:
    """Find the cause that explains a training log.

    Args:
      source: the log of one run, a path or its signals.
      group_size: G, where the log does not say.
      beta: β of the KL term, where it is known better than by the log.

    Returns:
      An `Examination`.

    Raises:
      ValueError: a file that cannot be read, or a log without a reward.
    """
    found = source if isinstance(source, Signals) else signals(runs.log(source))
    vitals = vitals_of(found)
    if beta is not None:
        vitals = replace(vitals, beta=beta)
    if vitals["accuracy"] is None and vitals["evaluation"] is None:
        raise ValueError(
            f"{found.path}: no reward and no evaluation of {FEWEST} points; must have one of them"
        )
    findings = [one for test in TESTS if (one := test(vitals, group_size or found.group_size)) is not None]
    whole = answers(vitals)
    level = (np.nan, np.nan) if whole is None else (whole.start, whole.end)
    return Examination(found.path, level, findings, _beyond(vitals))


Test = Callable[[Vitals, int | None], Finding | None]


def _too_hard(vitals: Vitals, group: int | None) -> Finding | None:
    right = right_answers(vitals)
    if right is None or right.peak > HARD:
        return None
    if _fast(vitals):
        return Finding(
            "rate_too_high",
            f"Accuracy is at or below {right.peak:.2g} from the first rows on, at a learning rate of "
            f"{vitals.courses['rate'].peak:.2g}: a collapse in the first steps, unless the base model is as poor",
            "evaluate the base model; lower the learning rate four times",
        )
    return Finding(
        "too_hard",
        f"Too hard: accuracy stays at or below {right.peak:.2g}, so that nearly all groups are all wrong",
        "take easier questions, larger groups, or SFT on solutions first; look whether the verifier accepts any answer",
    )


def _too_easy(vitals: Vitals, group: int | None) -> Finding | None:
    right = right_answers(vitals)
    if right is None or right.start < EASY or right.end < right.start - LEAST:
        return None
    return Finding(
        "too_easy",
        f"Too easy: accuracy is {right.start:.2g} from the start ({right.end:.2g} at the end), so that most groups "
        "are all right",
        "take harder questions: little was left to win",
    )


def _collapse(vitals: Vitals, group: int | None) -> Finding | None:
    right = vitals["accuracy"] or right_answers(vitals)
    if right is None or right.peak <= 0:
        return None
    peak, error = right.peak, right.error
    if vitals.signals.accuracy is not None:  # a run may be lost in its first steps
        first = float(vitals.signals.accuracy.values[:3].max())
        if first - right.end > max(6 * right.noise, first / 2, peak - right.end):
            peak, error = first, right.noise
    fall, fast = peak - right.end, _fast(vitals)
    least, times = (LEAST, 2.0) if fast else (max(GAIN / 2, 0.25 * peak), 4.0)
    if fall < least or fall < times * np.sqrt(2) * error:
        return None
    old = _old(vitals)
    if old and not _fast(vitals, 1.25 * FAST):
        return Finding(
            "stale",
            f"Stale rollouts: accuracy falls from {peak:.2g} to {right.end:.2g}, with {old}: old rollouts push without "
            "bound, those of the policy itself do not",
            "correct for the age of rollouts (importance weights, truncated), or sample more often",
        )
    rate = vitals["rate"]
    how = f", at a learning rate of {rate.peak:.2g}" if rate is not None else ""
    return Finding(
        "rate_too_high",
        f"Collapse: accuracy falls from {peak:.2g} to {right.end:.2g}{how}, and nothing says that rollouts were old",
        "lower the learning rate four times, clip, or enlarge the batch; look at entropy and gradient norm there",
    )


def _fast(vitals: Vitals, least: float = FAST) -> bool:
    """Whether the learning rate is one at which collapses are put down to it."""
    rate = vitals["rate"]
    return rate is not None and rate.peak >= least


def _old(vitals: Vitals) -> str:
    """Signs of old rollouts, in words."""
    if (age := vitals["age"]) is not None and age.peak >= 1:
        return f"rollouts {age.peak:.2g} steps old"
    for name, least, words in (
        ("mismatch", 0.02, "a difference of {:.2g} between sampler and trainer"),
        ("drift", 0.01, "a KL of {:.2g} to the policy that drew them"),
        ("clipped", 0.02, "{:.2g} of the ratios clipped"),
    ):
        one = vitals[name]
        if one is not None and one.peak >= least and one.peak > 3 * abs(one.low):
            return words.format(one.peak)
    if (gradient := vitals.signals.get("gradient")) is not None and len(gradient) >= FEWEST:
        usual = float(np.median(gradient.values[: max(3, len(gradient) // 20)]))
        if gradient.values.max() > LEAPS * usual:
            return f"a gradient norm that leaps from {usual:.2g} to {gradient.values.max():.3g}"
    kl = vitals.signals.get("kl")
    if kl is not None and kl.values.max() > FAR:
        return f"a KL to the reference of {kl.values.max():.2g}"
    return ""


def _not_accuracy(vitals: Vitals, group: int | None) -> Finding | None:
    reward, right = vitals["reward"], right_answers(vitals)
    if reward is None or right is None or (vitals.full and not names_right_answers(vitals.signals)):
        return None
    if not (reward.rise >= LEAST and reward.sure(reward.rise)):
        return None
    if not (right.rise <= -LEAST and right.sure(right.rise, 2.0)):
        return None
    return Finding(
        "reward_not_accuracy",
        f"Reward is not accuracy: reward rises from {reward.start:.3g} to {reward.end:.3g} while right answers fall "
        f"from {right.start:.2g} to {right.end:.2g}",
        "look at the parts of the reward that rise; weigh them less, or pay them only to right answers",
    )


def _format_first(vitals: Vitals, group: int | None) -> Finding | None:
    right, form, reward = right_answers(vitals), vitals["format"], vitals["reward"]
    if right is None or abs(right.rise) >= 2 * LEAST:
        return None
    if form is not None and form.rise >= GAIN and form.sure(form.rise):
        return Finding(
            "format_first",
            f"Format first: the part for format rises from {form.start:.2g} to {form.end:.2g}, right answers go from "
            f"{right.start:.2g} to {right.end:.2g}",
            "what has risen is format; judge the run by right answers, once format is learnt",
        )
    if (
        form is None
        and not vitals.full
        and reward is not None
        and reward.rise >= LEAST
        and reward.sure(reward.rise)
    ):
        return Finding(
            "format_first",
            f"Format first: reward rises from {reward.start:.3g} to {reward.end:.3g}, the evaluation goes from "
            f"{right.start:.2g} to {right.end:.2g}, and the reward has parts besides right and wrong",
            "log the parts of the reward; what has risen is none of right answers, most likely format",
        )
    return None


def _noisy(vitals: Vitals, group: int | None) -> Finding | None:
    gap, error, first = vitals.gap
    right, tested = vitals["accuracy"], vitals.signals.evaluation
    if right is None or tested is None or not vitals.full:
        return None
    if not (gap >= FLATTERED and gap > 3 * np.hypot(error, right.error)):
        return None
    course = vitals["evaluation"]
    falls = course is not None and course.rise <= -LEAST and course.sure(course.rise, 2.0)
    if course is not None and falls and right.rise >= LEAST and first < FLATTERED / 2:
        return Finding(
            "reward_not_accuracy",
            f"Training rises from {right.start:.2g} to {right.end:.2g} while the evaluation falls from "
            f"{course.start:.2g} to {course.end:.2g}",
            "the reward is exploited, or the questions of training are learnt by heart: read accepted answers, and "
            "evaluate on questions like those of training",
        )
    return Finding(
        "noisy_verifier",
        f"Verifier: training says {gap:.2g} ± {error:.1g} more than the evaluation, {right.end:.2g} against "
        f"{tested.values[-1]:.2g}",
        "read a sample of accepted answers: a verifier that accepts wrong ones sets a ceiling below what reward says. "
        "Or the questions of the evaluation are harder",
    )


def _length(vitals: Vitals, group: int | None) -> Finding | None:
    length, cut = vitals["length"], vitals["truncated"]
    if length is None or cut is None:
        return None
    longer, more = length.rise >= 0.2 * length.start, cut.rise >= GAIN
    if not (longer and more and length.sure(length.rise) and cut.sure(cut.rise)):
        return None
    return Finding(
        "length_drift",
        f"Length: answers grow from {length.start:.3g} to {length.end:.3g} tokens, {cut.end:.0%} of them are cut off "
        f"({cut.start:.0%} at first)",
        "raise the limit or penalise overlong answers; normalise by a constant, not by each answer's own length",
    )


def _lost(vitals: Vitals, group: int | None) -> Finding | None:
    right, silent, gradient = right_answers(vitals), vitals["silent"], vitals["gradient"]
    if right is None or not HARD < right.end < 0.9 or right.late > 2 * LEAST or right.rise < 0:
        return None
    if gradient is None or gradient.start <= 0:
        return None
    weak = gradient.end >= FALLEN * gradient.start
    left = f"the gradient norm has fallen to {gradient.end / gradient.start:.0%}"
    wrong = ""
    if silent is not None:
        size, level = group or 8, float(np.clip(right.end, 1e-3, 1 - 1e-3))
        decided = Population.from_silent(level, float(np.clip(silent.end, 0, 1)), size)
        sure = decided.spread < POLAR / 2 and right.end < 0.8 and gradient.end < 0.75 * gradient.start
        if decided.spread > POLAR or (weak and not sure):
            return None
        wrong = (
            f"silent groups go from {silent.start:.0%} to {silent.end:.0%}, some {decided.ends(size)[1]:.0%} of all "
            "groups are wrong throughout, and "
        )
    elif right.end > 0.8 or weak:
        return None
    return Finding(
        "lost_pattern",
        f"Lost pattern: accuracy has levelled off at {right.end:.2g} while {wrong}{left}: most questions are decided",
        "the rest have lost the patterns that solve them: larger groups, a lower learning rate, or SFT on them",
    )


def _resting(vitals: Vitals, group: int | None) -> Finding | None:
    right, kl = right_answers(vitals), vitals["kl"]
    if right is None or right.start >= EASY or (right.late > LEAST and right.sure(right.late, 2.0)):
        return None
    held = kl is not None and kl.when <= EARLY and abs(kl.late) <= kl.end / 2
    if vitals.beta >= HELD:
        start = float(np.clip(right.start, 1e-3, 1 - 1e-3))
        speed = pace(Population.around(start), grpo(group or 8), beta=vitals.beta)
        rest = float(speed.at("accuracy", min(speed.rest, speed.shift[-1])))
        if not held and (kl is not None or right.end < right.start + CLOSE * (rest - right.start)):
            return None
        why = f"with β = {vitals.beta:.2g}, whose resting point is some {rest:.2g}"
    elif np.isnan(vitals.beta) and kl is not None and 0 < kl.end < NEAR:
        # A KL that grows freely goes as the square of the step, and is half as large at .7 of the run.
        if not held or right.rise >= 1.5 * GAIN:
            return None
        why = f"and KL at {kl.end:.2g} from {max(kl.when, 0.01):.0%} of the run on; a free one would rise"
    else:
        return None
    return Finding(
        "kl_resting",
        f"KL: accuracy has levelled off at {right.end:.2g}, {why}",
        "lower β four times, or renew the reference; a lower learning rate would not help",
    )


def _what(vitals: Vitals) -> str:
    """What the level is of."""
    if right_answers(vitals) is None:
        return "reward"
    tested = vitals.signals.evaluation
    return f"accuracy ({tested.column})" if not vitals.full and tested is not None else "accuracy"


def _success(vitals: Vitals, group: int | None) -> Finding | None:
    right = answers(vitals)
    if right is None or not (right.rise >= GAIN and right.sure(right.rise)) or vitals.signals.ended:
        return None
    return Finding(
        "success",
        f"Nothing is wrong: {_what(vitals)} rises from {right.start:.2g} to {right.end:.2g}",
        "silent groups, a falling entropy and a plateau are what success looks like",
    )


def _slow(vitals: Vitals, group: int | None) -> Finding | None:
    right = answers(vitals)
    if right is None or (right.rise <= -LEAST and right.sure(right.rise)):
        return None
    return Finding(
        "slow",
        f"Slow: {_what(vitals)} goes from {right.start:.2g} to {right.end:.2g} ± {np.sqrt(2) * right.error:.1g}, and "
        "nothing else moves",
        "more steps, or a higher learning rate: nothing here says that it is stuck",
    )


TESTS: tuple[Test, ...] = (
    _not_accuracy,
    _collapse,
    _too_hard,
    _length,
    _too_easy,
    _format_first,
    _noisy,
    _lost,
    _resting,
    _success,
    _slow,
)
"""Asked in this order: what hides another comes first."""


def _beyond(vitals: Vitals) -> list[str]:
    """What the log hints at and no model of rewards can know."""
    hints = []
    if ended := vitals.signals.ended:
        names = ", ".join(list(ended)[:3])
        hints.append(
            f"no numbers in {names} after step {min(ended.values()):.6g}: look at that step, and at precision"
        )
    for name, one in vitals.signals.others.items():
        if name == "gradient" and len(one) >= FEWEST and one.values.max() > 100 * np.median(one.values) > 0:
            at = one.steps[int(one.values.argmax())]
            hints.append(
                f"the gradient norm leaps to {one.values.max():.3g} at step {at:.6g}: look at that batch"
            )
    gap = vitals["mismatch"]
    if gap is not None and gap.end > 0.02:
        hints.append(
            f"sampler and trainer differ by {gap.end:.2g} at the end: look at precision, and at the versions of both"
        )
    return hints
