r"""Filtered SFT or RL: does coverage decide, and what limits the learning rate of each?

*Coverage.* Another policy wrote data, the verifier kept what is right: shares μ of the patterns. SFT, θ̇ = μ − π,
is there after a few units of time and stays at the accuracy Σ μ_r p_r. RL from the base policy starts slowly where
the best pattern is rare, and ends at the best one. The coverage ratio μ(r*)/π_ref(r*) says how much of what RL has
to do the data has done. It knows neither what else is in the data nor how long RL is given. So it should tell more
than chance which of the two is better at a budget, and decide less than what it leaves out: the accuracy of the
data, against that of RL at this budget.

*Norm and variance.* The mean of B demonstrations is off by noise of variance 1/B, and whatever B, a step of more
than about twice the inverse curvature of the cross-entropy overshoots. RL's gradient vanishes at its end, so large
steps do no harm there; what harms is a group that moves the policy to a wrong pattern for good, which goes by η/B.
So RL's best learning rate should grow like B, and the largest one with which SFT still gains should not depend on
it.

Both papers are known by their abstracts. The ratio is read as above; ‘decides’ as being right for 90 of 100
questions where either is better, at a threshold that was fitted on other questions; ‘limited by variance’ as a best
learning rate that grows with the batch, ‘limited by the norm’ as a largest one that does not.
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _coverage
from qra_jax.studies.lab import panels

study = lab.Study(
    __name__, title="Coverage: filtered SFT or RL, by what the data covers; and their learning rates"
)

TIMES, AT, SIZES = [3.0, 10.0, 30.0, 100.0], 30.0, [2, 8, 32, 128]
RATES = np.geomspace(0.1, 100, 10)
"""Learning rates of sampled runs."""


@study.experiment(
    {"spread": [1.0]},
    seeds=lab.scale(2048, 8192),
    dims={"sft": ["time"], "rl": ["time"]},
    coords={"time": TIMES},
)
def questions(cell, key):
    """Accuracy of SFT on filtered data and of RL on random questions, at several budgets."""
    return _coverage.both(key, TIMES)


@study.experiment(
    {"kind": ["RL", "SFT"], "size": SIZES, "rate": RATES},
    seeds=lab.scale(128, 512),
    common=("kind", "size", "rate"),
)
def rates(cell, key):
    """Loss of sampled runs over learning rates and batches, on random questions."""
    return _coverage.sampled(key, cell.kind, cell.size, cell.rate)


def _better(data: lab.Data, time: float) -> xr.DataArray:
    here = data.questions.isel(spread=0, drop=True).sel(time=time, drop=True)
    return lab.where_known(here.sft > here.rl, here.sft, here.rl)


def _right(data: lab.Data, time: float, score: xr.DataArray) -> list[lab.Estimate]:
    """Shares of right answers among questions where SFT is better, and where RL is, by a threshold fitted on others."""
    better, half = _better(data, time), score.sizes["seed"] // 2
    x, y = score.values[:half], better.values[:half]
    levels = np.quantile(x, np.linspace(0, 1, 201)) if np.isfinite(x).all() else np.array([np.nan])
    told = x > levels[:, None]
    balance = [min(np.mean(row[y == 1]), np.mean(~row[y == 0])) if 0 < y.mean() < 1 else 0.0 for row in told]
    level = levels[int(np.argmax(balance))]
    later, answer = better.isel(seed=slice(half, None)), score.isel(seed=slice(half, None)) > level
    answer = lab.where_known(answer == later, score.isel(seed=slice(half, None)) + level, later)
    parts = []
    for name, kind in (("SFT", 1), ("RL", 0)):
        among = answer.where(later != 1 - kind, drop=True)  # what is unknown could be of either kind
        parts.append(lab.share(f"right where {name} is better, at the budget {time:g}", among))
    return parts


def _decides(data: lab.Data, name: str, above: float) -> lab.Evidence:
    score = data.questions.isel(spread=0, drop=True)[name]
    return lab.all_of(*(part.above(above) for part in _right(data, AT, xr.DataArray(np.log(score)))))


@study.claim(
    "The coverage ratio decides whether filtered SFT or RL is better, right for 90 of 100 questions of both "
    "kinds at a budget of 30.",
    origin=papers.COVERAGE,
)
def decides(data):
    return _decides(data, "coverage", 0.9)


decides.null("the same ratio of another pattern")(lambda data: _decides(data, "another", 0.9))


@decides.positive("accuracy of the data less that of RL at the budget")
def _(data):
    here = data.questions.isel(spread=0, drop=True)
    parts = _right(data, AT, here.quality - here.rl.sel(time=AT, drop=True))
    return lab.all_of(*(part.above(0.9) for part in parts))


@study.claim(
    "The coverage ratio tells more than chance which is better, right for 60 of 100 questions of both "
    "kinds at a budget of 30.",
    origin=lab.Asked("Does it decide, or does it tell something?", (papers.COVERAGE,)),
)
def tells(data):
    return _decides(data, "coverage", 0.6)


tells.null("the same ratio of another pattern")(lambda data: _decides(data, "another", 0.6))


def _power(values: np.ndarray, sizes: list[int]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def _best_rates(loss: xr.DataArray) -> np.ndarray:
    """Learning rate of the least mean loss for each batch, by a parabola through five points of the logarithms."""
    mean = loss.mean("seed", skipna=False).transpose("size", "rate").values
    mean = np.log(np.maximum(mean, 1e-9))  # a few runs may all end at nothing
    if not np.isfinite(mean).all():
        return np.full(len(mean), np.nan)
    out, x = [], np.log(RATES)
    for row in mean:
        first = int(np.clip(row.argmin() - 2, 0, len(x) - 5))
        near = slice(first, first + 5)
        square, slope, _ = np.polyfit(x[near], row[near], 2)
        out.append(np.clip(-slope / 2 / max(square, 1e-9), x[near][0], x[near][-1]))
    return np.exp(out)


def _largest_rates(loss: xr.DataArray, start: xr.DataArray) -> np.ndarray:
    """Largest learning rate with which the mean loss ends where it began, for each batch; NaN: beyond the grid."""
    mean = xr.DataArray(np.log(loss.mean("seed", skipna=False) / start.mean("seed", skipna=False)))
    out = []
    for row in mean.transpose("size", "rate").values:
        above = np.flatnonzero(~(row <= 0))
        i = above[0] if above.size else len(row)
        known = 0 < i < len(row) and np.isfinite(row).all()
        out.append(
            np.exp(np.interp(0.0, row[i - 1 : i + 1], np.log(RATES[i - 1 : i + 1]))) if known else np.nan
        )
    return np.array(out)


def _best(data: lab.Data, kind: str) -> lab.Estimate:
    loss = data.rates.loss.sel(kind=kind, drop=True)
    return lab.statistic(
        "d log(best learning rate) / d log B", lambda x: _power(_best_rates(x), SIZES), loss, draws=200
    )


@study.claim(
    "RL is limited by the variance of its updates: the best learning rate of RLOO grows as B^.5 or faster, from "
    "batches of 2 to 128.",
    origin=papers.NORM_LIMITED,
)
def variance(data):
    return _best(data, "RL").above(0.5)


variance.null("SFT")(lambda data: _best(data, "SFT").above(0.5))


@study.claim(
    "SFT is limited by the norm of its updates: the largest learning rate with which it gains grows as B^.25 or "
    "slower, from batches of 8 to 128.",
    origin=papers.NORM_LIMITED,
)
def norm(data):
    runs = data.rates.sel(kind="SFT", size=SIZES[1:], drop=True)
    words = "d log(largest learning rate) / d log B"
    power = lambda loss, start: _power(_largest_rates(loss, start), SIZES[1:])  # noqa: E731
    return lab.statistic(words, power, runs.loss, runs.start, draws=200).below(0.25)


norm.null("its best learning rate, which noise limits, too")(lambda data: _best(data, "SFT").below(0.25))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Where SFT wins by coverage; loss over learning rates for RL and SFT."""
    figure, (first, second, third) = plot.new((12.6, 3.9), ncols=3)
    here = data.questions.isel(spread=0, drop=True)
    panels.frame(
        "Coverage tells, but does not decide",
        first,
        x="coverage ratio μ(r*)/π_ref(r*)",
        y="share where SFT is better",
        log="x",
        ylim=(0, 1),
    )
    edges = np.quantile(here.coverage, np.linspace(0, 1, 9))
    place = np.clip(np.searchsorted(edges, here.coverage.values) - 1, 0, 7)
    middles = [np.median(here.coverage.values[place == i]) for i in range(8)]
    shades = panels.palette(TIMES)
    for time in TIMES:
        better = _better(data, time).values
        share = [better[place == i].mean() for i in range(8)]
        first.plot(middles, share, "o-", color=shades[time], label=f"budget {time:g}")
    panels.legend(None, first, loc="upper left")
    loss = data.rates.loss.mean("seed")
    for ax, kind, words in ((second, "RL", "best − accuracy"), (third, "SFT", "KL(data‖π), nats")):
        best = _best_rates(data.rates.loss.sel(kind=kind))
        title = f"{kind}: best rate × {best[-1] / best[0]:.0f} for a batch × {SIZES[-1] // SIZES[0]}"
        panels.frame(title, ax, x="learning rate", y=words, log="xy")
        names = {size: f"B = {size}" for size in SIZES}
        options: Any = {"by": "size", "names": names, "colors": panels.palette(SIZES)}
        panels.curves(loss.sel(kind=kind), ax, x="rate", **options)
        start = float(data.rates.start.sel(kind=kind).mean())
        panels.mark(start, ax, "before training", axis="y")
        panels.legend(None, ax, loc="upper left" if kind == "SFT" else "lower left")
    return figure
