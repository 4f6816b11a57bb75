"""Evidence of the study of credit."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.credit._credit import at_best, gain, gain_at_norm
from qra_jax.studies.credit._credit_noise import DEPTHS, FAMILIES

ALIKE, LITTLE, LEFT = 0.2, np.log(1.1), np.log(3)
"""A fifth of the mean update, a tenth of the steps would matter; a third of the reported factor of nine."""
VALUES = ["exact", "MC-9"]


def less_noise(data: lab.Data, credit: str) -> lab.Evidence:
    """Whether the noise of uniform credit over that of another grows with depth."""
    noise: Any = np.log(data.depth.noise).sel(depth=list(DEPTHS[1:]))
    ratio = noise.sel(credit="uniform", drop=True) - noise.sel(credit=credit, drop=True)
    words = "log of the noise of uniform credit over that by values"
    fixed, random = ratio.sel(family=list(FAMILIES[:2])), ratio.sel(family=list(FAMILIES[2:]))
    grown = random.isel(depth=-1, drop=True) - random.isel(depth=0, drop=True)
    return lab.all_of(
        lab.ordered(words, fixed.isel(seed=0, drop=True).rename(family="named"), along="depth"),
        lab.mean(f"{words}: its growth from depth 2 to 6", grown).above(LITTLE),
    )


def keeps_half(data: lab.Data, credit: str) -> lab.Evidence:
    """Share kept of what exact values take away from the noise of uniform credit, on the mean tree."""
    noise = data.depth.noise.sel(depth=list(DEPTHS[1:])).mean("seed", skipna=False)
    uniform, exact = (noise.sel(credit=name, drop=True) for name in ("uniform", "exact"))
    kept = (uniform - noise.sel(credit=credit, drop=True)) / (uniform - exact)
    return lab.exact("share of what exact values take away from the noise of uniform credit", kept).above(0.5)


def one_mean(data: lab.Data, arms: list[str]) -> lab.Evidence:
    """First updates of races along the exact mean update."""
    words = "first update of sampled groups along the exact mean update, as a share of it"
    return lab.mean(words, data.races.first.sel(arm=arms), "run").near(1, within=ALIKE)


def against(words: str, rival: xr.DataArray, steps: xr.DataArray) -> lab.Estimate:
    """How many times the steps a rival needs, in logarithms."""
    return lab.statistic(f"log of how many times the steps {words}", gain, rival, steps, together=True)


def at_small_rate(data: lab.Data, arms: list[str]) -> lab.Evidence:
    """No fewer steps than uniform credit at the smallest rate."""
    steps = data.races.steps.isel(rate=0, drop=True)
    rival = steps.sel(arm="uniform", drop=True)
    return against("uniform credit needs, rate ½", rival, steps.sel(arm=arms)).below(LITTLE)


def at_best_rates(data: lab.Data, rival: list[str] | str, arm: str) -> lab.Estimate:
    """How many times the steps rivals need, with the best rate of each."""
    steps = at_best(data.races.steps)
    return against("a rival needs, best rate of each", steps.sel(arm=rival), steps.sel(arm=arm, drop=True))


def untuned(data: lab.Data) -> lab.Evidence:
    """Less than three times the steps, where the rate of uniform credit is left small."""
    best = at_best(data.races.steps).sel(arm="MC-9", drop=True)
    rival = data.races.steps.sel(arm="uniform", drop=True).isel(rate=0, drop=True)
    same = rival.isel(seed=slice(best.sizes["seed"]))
    return against("uniform credit needs at a rate of ½", same, best).below(LEFT)


def at_step_norm(data: lab.Data, arm: str) -> lab.Evidence:
    """How many times the steps uniform credit needs where first steps are as long."""
    steps, norm = data.races.steps, data.races.norm.sel(values=arm, drop=True)
    words = "log of how many times the steps uniform credit needs, first steps of one length"
    pair = (steps.sel(arm=name, drop=True) for name in ("uniform", arm))
    return lab.statistic(words, partial(gain_at_norm, norm=norm), *pair).above(LITTLE)


def uniform_steps(data: lab.Data) -> xr.DataArray:
    """Steps of uniform credit with groups of 8."""
    return data.races.steps.sel(arm="uniform", drop=True)


def at_tokens(data: lab.Data, rival: xr.DataArray) -> lab.Estimate:
    """How many times the steps of values from nine rollouts a rival needs, with the best rate of each."""
    values = at_best(data.races.steps).sel(arm="MC-9", drop=True)
    return against("uniform credit needs, tokens of a step matched", at_best(rival), values)


def turned(data: lab.Data, levels: slice) -> lab.Evidence:
    """Cosine of the mean update under a critic that has stayed at the base policy."""
    cosine = data.along.cosine.isel(level=levels)
    words = "cosine of the mean update under a critic from the base policy with that of uniform credit"
    return lab.exact(words, cosine).below(0.95)


def _ratio(noise: xr.DataArray) -> xr.DataArray:
    log: Any = np.log(noise)
    return log.sel(credit=VALUES) - log.sel(credit="uniform", drop=True)


def network_noise(noise: xr.DataArray) -> lab.Evidence:
    """Ratio of the noise of networks by values to that under uniform credit."""
    return lab.mean("log of the ratio of noises of networks", _ratio(noise)).below(np.log(0.8))


def network_theory(data: lab.Data, noise: xr.DataArray) -> lab.Evidence:
    """The same less that of the tree."""
    words = "log of the ratio of noises of networks, less that of the tree"
    return lab.mean(words, _ratio(noise) - _ratio(data.network.predicted)).near(0, within=ALIKE)


def again(data: lab.Data) -> xr.DataArray:
    """Noises of networks, in which uniform credit on the other half of the groups stands for values."""
    uniform = data.network.noise.sel(credit="uniform", drop=True)
    values = [uniform.isel(half=int(credit != "uniform")) for credit in data.network.credit.values]
    found: Any = xr.concat(values, data.network.credit)
    return found


def apart(words: str, distance: xr.DataArray) -> lab.Evidence:
    """Squared distances of mean updates."""
    return lab.mean(f"squared distance of {words} from that of uniform credit, as a share", distance).below(
        ALIKE
    )
