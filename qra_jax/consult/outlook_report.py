"""The outlook of a batch of questions in words and as plain data."""

from __future__ import annotations

import math
from typing import Any

from qra_jax.consult.alternatives import Alternative
from qra_jax.consult.outlook import SEEN, Outlook

OFTEN = 0.9
"""Share of runs in which a gain shows from which on it is said to."""
WIDE = 1.0
"""Scale of log η from which on its middle is no forecast."""
WON = 0.005
"""Accuracy by which another setting must be ahead to be named."""


def about(found: Outlook) -> list[str]:
    """Which questions, and which η."""
    lines = [f"Questions: mean success rate {found.population.mean:.3g}, {found.population.said}."]
    if found.eta is None:
        lines.append(
            "η is not known, so only what does not depend on it is said: give --went START END with --steps, or a log "
            "that rises; a learning rate (--lr) tells it only within the wide spread of measured runs."
        )
    else:
        lines.append(f"Rate: {found.eta.said}.")
    settings = found.settings
    left = [
        name
        for name, there in (
            ("staleness", settings.staleness > 0),
            ("clips", settings.clips),
            ("corrections", settings.off_policy.correction is not None),
        )
        if there
    ]
    if left:
        lines.append(f"Not taken here: {', '.join(left)}. They act on patterns (--ref, --success).")
    return lines


def gain(found: Outlook) -> list[str]:
    """The gain over the steps, its noise, and whether it shows."""
    if found.gain is None:
        return []
    group, steps = found.settings.group_size, int(found.gain.steps[-1])
    low, middle, high = found.gain.end
    start = found.population.mean
    level, band = f"{middle:.3g}", f" (8 runs in 10: {low:.3g} to {high:.3g})"
    if found.eta is not None and found.eta.spread > WIDE:
        level, band = f"{low:.3g} to {high:.3g}", f" (8 cases in 10, the middle one {middle:.3g})"
    said = (
        f"Gain: accuracy {start:.3g} → {level} in {steps} steps{band}. The "
        f"difference of the first and the last tenth of the log has a noise of ± {found.gain.noise:.2g} with "
        f"{found.questions} prompts of {group} rollouts"
    )
    if middle < start - found.gain.noise / 2:
        said += ": accuracy falls."
    elif found.gain.seen >= OFTEN:
        since = f", from step {found.gain.visible} on" if found.gain.visible >= 0 else ""
        said += f": the gain shows{since}."
    elif middle - start < SEEN * found.gain.noise:
        said += f": the gain cannot be seen yet ({found.gain.seen:.0%} of such runs show it). A flat log is no stall."
    else:
        said += f": the gain shows in {found.gain.seen:.0%} of such runs."
    if math.isfinite(found.gain.plateau) and middle > start:
        said += f" 95 % of the way to the plateau takes some {found.gain.plateau:.3g} steps."
    lines = [said]
    if all(after is not None for _, after in found.pass_at.values()) and middle > start + WON:
        curve = ", ".join(f"@{k} {one:.3g} → {after:.3g}" for k, (one, after) in found.pass_at.items())
        lines.append(
            f"Pass{curve}, by a common shift, which said .03 to .06 too much at k of 4 and 8 in measured runs."
        )
    return lines


def silent(found: Outlook) -> list[str]:
    """Silent groups over the distribution, and what they cost."""
    group = found.settings.group_size
    wrong = found.silent - found.right
    sizes = ", ".join(f"{share:.0%} at {size}" for size, share in found.by_size.items())
    said = (
        f"Silent groups: {found.silent:.0%} of groups of {group} at first ({wrong:.0%} all wrong, {found.right:.0%} "
        "all right)"
    )
    if found.silent_end is not None:
        said += f", {found.silent_end:.0%} at the end"
    if found.silent - found.alike > 0.05:
        said += f"; if all questions had the mean rate it would be {found.alike:.0%}, which is not so"
    lines = [f"{said}. By group size: {sizes}."]
    if found.silent > 0.95 and found.right < 0.05:
        lines.append(
            "Too hard as it is: nearly all groups are all wrong, and next to nothing is learnt. SFT on solutions "
            "first, easier questions, or a look at the verifier and the format that it asks for."
        )
    elif found.draws is not None:
        first, last = found.draws
        end = "" if last is None else f", {last:.3g} at the end"
        lines.append(
            f"Silent groups are drawn again: {first:.3g} groups for each one that is kept at first{end}. That is a "
            f"learning rate larger by as much, at as many more rollouts: compare at equal rollouts."
        )
    elif found.silent > 0.3 and found.settings.idles:
        lines.append(
            f"So {found.silent:.0%} of the rollouts teach nothing. That slows training by as much, and does not stop "
            "it; a loss near zero is no fault either, as advantages of a group sum to zero."
        )
    return lines


def rests(found: Outlook) -> list[str]:
    """Where penalties and verifier let the accuracy rest."""
    if found.rest is None or found.rest > found.population.shifted(40.0).mean - 0.005:
        return []
    which = [
        f"the KL term β = {found.settings.beta:.3g}" if found.settings.beta else "",
        f"the entropy bonus {found.settings.entropy_bonus:.3g}" if found.settings.entropy_bonus else "",
        "the verifier" if found.settings.tpr <= found.settings.fpr else "",
    ]
    return [
        f"Resting point: with {' and '.join(filter(None, which)) or 'these settings'} accuracy goes to "
        f"{found.rest:.3g} and no further."
    ]


def helps(found: Outlook, others: list[Alternative]) -> list[str]:
    """The best of other settings."""
    if found.gain is None:
        return []
    best = others[0] if others else None
    if best is None or best.accuracy < found.gain.end[1] + WON:
        return ["At as many rollouts no single change that was tried wins more than .005 over these steps."]
    return [
        f"What helps most at as many rollouts: {best.name}: accuracy {best.accuracy:.3g} in place of "
        f"{found.gain.end[1]:.3g}."
    ]


def plain(found: Outlook, others: list[Alternative]) -> dict[str, Any]:
    """The outlook as plain data; `None` for what is not known or infinite."""
    gain = found.gain
    return {
        "questions": {"mean": found.population.mean, "from": found.population.said, "batch": found.questions},
        "eta": None
        if found.eta is None
        else {"median": found.eta.median, "interval": list(found.eta.interval), "from": found.eta.said},
        "gain": None
        if gain is None
        else {
            "step": gain.steps.tolist(),
            "low": gain.accuracy[0].tolist(),
            "median": gain.accuracy[1].tolist(),
            "high": gain.accuracy[2].tolist(),
            "noise": gain.noise,
            "seen": gain.seen,
            "visible_from_step": gain.visible if gain.visible >= 0 else None,
            "steps_to_plateau": gain.plateau if math.isfinite(gain.plateau) else None,
        },
        "silent": {
            "first": found.silent,
            "last": found.silent_end,
            "all_right": found.right,
            "of_equal_questions": found.alike,
            "by_group_size": {str(size): share for size, share in found.by_size.items()},
        },
        "pass_at": {str(k): list(pair) for k, pair in found.pass_at.items()},
        "draws_per_kept_group": None if found.draws is None else list(found.draws),
        "rest": found.rest,
        "alternatives": [{"name": one.name, "accuracy": one.accuracy, "seen": one.seen} for one in others],
    }
