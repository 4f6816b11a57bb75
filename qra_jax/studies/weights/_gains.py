"""What `classifier-first` compares: gains, confidence, norms and drift, each arm at its best learning rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.weights._best_rates import at_equal, best, speed
from qra_jax.studies.weights._provided import Provided
from qra_jax.studies.weights._stages import CHANGED, FIRST, PLAIN

GAIN, NATS, AS_FAR, GROWN = 0.02, 0.05, 1.5, 0.05
"""Points of reward and nats of entropy that matter; factor of drift; least relative change of ‖W‖ that is worth putting
back."""
LEVELS = (0.5, 0.65)
"""Rewards at which arms are compared: about half of what is gained, which plain training passes within its first two or
three records, and most of it, which not every network reaches with the classifier first."""
TINY = 1e-6
"""What drift of nothing is taken for."""


def natural(values: xr.DataArray) -> xr.DataArray:
    """Values of networks without marks."""
    return values.sel(features="as they are", drop=True)


def gained(data: lab.Data, arm: str, *, inside: bool = True) -> xr.DataArray:
    """Further mean reward over the budget than by plain training."""
    own, plain = (best(data.runs, speed(data.runs), name, inside=inside) for name in (arm, PLAIN))
    return own - plain


def change(data: lab.Data, arm: str, *, inside: bool = True) -> xr.DataArray:
    """What a change adds to the mean reward of an arm at the same rate, features as they are."""
    plain = best(data.runs, speed(data.runs), CHANGED[arm][0], inside=inside)
    return speed(data.changed).sel(arm=arm, drop=True) - natural(plain)


def faster(gain: xr.DataArray) -> lab.Test:
    """That a gain matters."""
    return lab.mean("further mean reward over the budget, each arm at its best rate", gain).above(GAIN)


def if_faster(data: lab.Data, evidence: lab.Evidence, *conditions: lab.Evidence) -> lab.Evidence:
    """Evidence of why classifier first is faster with features as they are: open where it is not shown to be."""
    return Provided(lab.all_of(faster(natural(gained(data, FIRST))), *conditions), evidence)


def held(runs: xr.Dataset) -> xr.DataArray:
    """Entropy of held-out questions at the end."""
    return runs.entropy.sel(asked="held out", drop=True).isel(step=-1, drop=True)


def surer(data: lab.Data, arm: str) -> lab.Evidence:
    """That held-out entropy is less than after plain training."""
    less = best(data.runs, held(data.runs), PLAIN) - best(data.runs, held(data.runs), arm)
    words = "held-out entropy after plain training less that of the arm, nats"
    return lab.mean(words, less).above(NATS).per("features")


def at_start(data: lab.Data) -> lab.Evidence:
    """That held-out entropy after plain training is less than at the start."""
    first = data.runs.entropy.sel(asked="held out", arm=PLAIN, drop=True).isel(step=0, rate=0, drop=True)
    less = first - best(data.runs, held(data.runs), PLAIN)
    return lab.mean("fall of held-out entropy by plain training, nats", natural(less)).above(NATS)


def surer_at_equal(data: lab.Data, arm: str) -> lab.Test:
    """That held-out entropy is less than in plain training where the reward of asked questions is the same.

    Each level has the networks that reach it in both arms; what is unknown of a network stays so.

    Args:
      data: of the study.
      arm: its name.
    """
    levels, counts = {}, []
    for level in LEVELS:
        (plain, top), (own, most) = _at_level(data, PLAIN, level), _at_level(data, arm, level)
        if arm in CHANGED:
            plain, top = natural(plain), natural(top)
        less, here = plain - own, ~((top < level) | (most < level))
        each = {"as they are": (less, here)}
        if "features" in less.dims:
            each = {
                k: (less.sel(features=k, drop=True), here.sel(features=k, drop=True))
                for k in less.features.values
            }
        rows = {kind: lab.mean("", x.isel(seed=np.flatnonzero(there))) for kind, (x, there) in each.items()}
        counts.append(f"{', '.join(str(int(there.sum())) for _, there in each.values())} at {level}")
        levels[level] = lab.stacked("features", rows) if "features" in less.dims else rows["as they are"]
    words = "held-out entropy of plain training less that of the arm at equal reward, nats"
    words = f"{words}; networks that reach it in both: {'; '.join(counts)}"
    return replace(lab.stacked("reward", levels), quantity=words).above(NATS)


def _at_level(data: lab.Data, arm: str, level: float) -> tuple[xr.DataArray, xr.DataArray]:
    """Held-out entropy of an arm where asked questions have a reward, and the highest reward; NaN where unknown."""
    runs = data.changed if arm in CHANGED else data.runs
    entropy, most = at_equal(runs, level), runs.reward.sel(asked="asked", drop=True).max("step", skipna=False)
    if arm in CHANGED:
        return entropy.sel(arm=arm, drop=True), most.sel(arm=arm, drop=True)
    return best(runs, entropy, arm), best(runs, most, arm)


def grown(data: lab.Data) -> lab.Test:
    """That the norm of the unembedding grows in the first stage."""
    end = data.runs.step[-1] // 7
    norm = natural(best(data.runs, data.runs.norm, FIRST)).sel(step=end, drop=True)
    return lab.mean("‖W‖/‖W₀‖ after stage 1", norm).above(1 + GROWN)


def same(words: str, change: xr.DataArray) -> lab.Test:
    """That a change does not matter."""
    return lab.mean(f"mean reward with {words} less that without", change).near(0, within=GAIN)


def drifted(data: lab.Data, arm: str, than: str = PLAIN) -> lab.Estimate:
    """Mean drift of features at the end over that of another arm; features that stay where they are have none."""
    own, other = (_drift(data, name).isel(step=-1, drop=True) for name in (arm, than))

    def over(own: xr.DataArray, other: xr.DataArray) -> xr.DataArray:
        return own.mean("seed", skipna=False) / other.mean("seed", skipna=False)

    words = f"mean drift of features at the end, {arm}, over that of {than}"
    to = {"to": lambda x: np.log(np.maximum(x, TINY)), "back": np.exp}
    return lab.statistic(words, over, own, other, **to, together=True)


def _drift(data: lab.Data, arm: str) -> xr.DataArray:
    """Drift of features along training, `[seed, step]`; where an arm is another one changed, at that one's rate."""
    if arm not in CHANGED:
        return natural(best(data.runs, data.runs.drift, arm))
    inside = natural(best(data.runs, speed(data.runs), CHANGED[arm][0])).notnull()
    return data.changed.drift.sel(arm=arm, drop=True).where(inside)


def lost(words: str, reward: xr.DataArray) -> lab.Test:
    """That reward is lost with another matrix in the path of G."""
    return lab.mean(f"mean reward that is lost with {words} in G's path, features as they are", reward).above(
        GAIN
    )


def more_alike(data: lab.Data, arm: str) -> lab.Test:
    """That more is gained where features are alike."""
    gain = gained(data, arm)
    more = gain.sel(features="alike", drop=True) - gain.sel(features="apart", drop=True)
    return lab.mean("gain where features are alike less gain where they vary", more).above(GAIN)
