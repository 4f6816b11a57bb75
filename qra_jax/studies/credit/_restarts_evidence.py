"""Evidence of the study of restarts."""

import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.credit._restarts import MAZE, RUNS, STARTS, TASKS

ROUNDING, HALF, GAIN, WORTH = 1e-12, 0.3, 0.25, 0.05
"""Of float64; an exponent that is further off is another law; a chance that is well higher, and one that matters."""

REFLECTS, ACCURACY = "chance of reflecting after a bad step", "accuracy"


def _times(data: lab.Data, task: str, start: str) -> xr.DataArray:
    return data.times.time.isel(task=TASKS.index(task), start=STARTS.index(start), drop=True)


def power(data: lab.Data, start: str, expected: float) -> lab.Evidence:
    """The time in the maze is of this order in 1/q."""
    rarity = -np.log(data.times.chance.isel(algorithm=0, task=TASKS.index(MAZE), start=0, drop=True))
    time = np.log(_times(data, MAZE, start))
    return lab.slope("slope of log time against log 1/q", time, rarity, along="level").near(
        expected, within=HALF
    )


def over(
    data: lab.Data, task: str, starts: tuple[str, ...], other: str, *, tokens: bool = False
) -> lab.Estimate:
    """Times over those from another start, at equal rollouts, or times as many tokens as a rollout has at first."""

    def cost(start: str) -> xr.DataArray:
        length = data.times.tokens.isel(task=TASKS.index(task), start=STARTS.index(start), drop=True)
        return _times(data, task, start) * (length if tokens else 1)

    each = [cost(start) for start in starts]
    ratio = xr.concat(each, xr.DataArray(list(starts), dims="start", name="start")) / cost(other)
    return lab.exact(
        f"{task}: time over that from {other}, equal {'tokens' if tokens else 'rollouts'}", ratio
    )


def closed(data: lab.Data, prefixes: str) -> lab.Evidence:
    """The first step has no mean update."""
    update = data.inside["first"].sel(prefixes=prefixes, drop=True)
    return lab.exact("largest mean update of the first step", update).below(ROUNDING)


def off(data: lab.Data, algorithm: int, law: str, within: float) -> lab.Evidence:
    """Weights with the bonus follow a law."""
    far = data.groups.off.sel(law=law, drop=True).isel(algorithm=algorithm, drop=True)
    words = f"largest distance of a group's weights with the bonus from {law} those without"
    return lab.exact(words, far.max("seed", skipna=False)).below(within)


def _run(data: lab.Data, kind: str, what: str) -> xr.DataArray:
    return data.runs.seen.isel(kind=list(RUNS).index(kind), drop=True).sel(what=what, drop=True)


def gain(data: lab.Data, kind: str, what: str = REFLECTS) -> lab.Evidence:
    """A kind of run ends well above rollouts from the question alone."""
    quantity = f"{what} at the end, {kind}, less that with the question alone"
    first, second = (
        _run(data, one, what).isel(step=-1, drop=True)
        for one in (kind, f"{kind.split(',')[0]}, the question")
    )
    return lab.difference(quantity, first, second).above(GAIN)


def bonus(data: lab.Data, algorithm: int) -> lab.Evidence:
    """The chance of reflecting, mean over training, is higher with the bonus."""
    first, second = (
        _run(data, kind, REFLECTS).isel(algorithm=algorithm, drop=True).mean("step", skipna=False)
        for kind in ("correction, restarts with the bonus", "correction, restarts")
    )
    words = f"{REFLECTS}, mean over training, with the bonus less without it"
    return lab.difference(words, first, second).above(WORTH)
