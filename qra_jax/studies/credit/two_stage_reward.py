r"""When should a bonus for using a tool be switched off?

Two-stage training first rewards the use of a tool and then the answer alone. In the question–reason–answer model there
are a rare good use of the tool, a sham use that looks the same and is worth less than a direct answer, and direct
answers. The reward is $s_r + b$ for patterns that get the bonus, and training without regularizers is an orbit before
and after the switch, so that the total time

$$ \mathcal T(T) = T + t_{.99}(\pi_T) $$

to a share of .99 of the good pattern is computed exactly. If the good pattern alone gets the bonus, more of it can only
help, and the bonus should never be switched off. If the bonus goes to the *behaviour*, it first draws answers away from
the direct pattern and then, once the sham use leads, does nothing but delay: it should be switched off in time, the
earlier the larger it is and the more common the sham use. On a useless pattern, sham use or direct answers alone, it
should never be given.

The best switch is the root of $d\mathcal T/dT$, by bisection on central differences of the exact total, and is compared
with a grid of switch times. Sampled runs use it.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _switch, _two_stage_panels
from qra_jax.studies.credit._switch import FALLING, MARKS
from qra_jax.studies.credit._two_stage_panels import COMMON, USED

study = lab.Study(__name__, title="Two-stage rewards: when a bonus for a behaviour is worth switching off")

SHAMS, BONUSES = [0.02, 0.15, COMMON], [0.5, USED, 2.0]
"""Shares of the sham use, and sizes of the bonus."""
TIMES = lab.scale(16, 60)
"""Switch times after zero, from .25 to 400."""
WORTH, PARTS = 1.1, 8
"""A time that is longer by a tenth would matter; a sampled run is cut into pieces of this part of the switch time."""
BEHAVIOUR, GOOD, SHAM, DIRECT = MARKS
NEVER, FIRST, ALWAYS = "never", "first", "always"
ARMS = {NEVER: (0.0, 0.0), FIRST: (USED, 0.0), ALWAYS: (USED, USED)}
"""The bonus of sampled runs before the switch and after it."""


@study.experiment()
def totals(run: lab.Run) -> xr.Dataset:
    """Total time against the switch time, and that of an annealed bonus against its length; always with it."""
    times = np.concatenate([[0.0], np.geomspace(0.25, 400, run(TIMES))])
    grid = times[:, None, None], list(MARKS), np.array(SHAMS)[:, None], BONUSES
    switched = _switch.totals(*grid)
    annealed = _switch.totals(grid[0], [BEHAVIOUR], *grid[2:], course=FALLING)
    always = _switch.totals(0.0, *grid[1:], later=1.0)
    names = ("time", "sham", "bonus")
    return lab.dataset(
        {
            "total": (("mark", *names), switched),
            "annealed": (names, annealed[0]),
            "always": (("mark", *names[1:]), always),
        },
        {"time": times, "mark": list(MARKS), "sham": SHAMS, "bonus": BONUSES},
    )


@study.experiment(after=["totals"])
def best(run: lab.Run) -> xr.Dataset:
    """The switch time at which the derivative of the total is zero, between the grid's neighbours of its minimum."""
    total = run.done.totals.total.sel(mark=BEHAVIOUR).transpose("sham", "bonus", "time")
    place = np.clip(total.fillna(np.inf).argmin("time").values, 1, total.sizes["time"] - 2)

    def at(when: np.ndarray) -> np.ndarray:
        return _switch.totals(when, [BEHAVIOUR], np.array(SHAMS)[:, None], BONUSES)[0]

    when = _switch.least(at, *(total.time.values[place + k] for k in (-1, 1)))
    names = ("sham", "bonus")
    return lab.dataset(
        {"switch": (names, when), "total": (names, at(when))}, {"sham": SHAMS, "bonus": BONUSES}
    )


@study.experiment(after=["best"])
def runs(run: lab.Run) -> xr.Dataset:
    """Share of the good pattern in sampled runs: never, first, always; to the exact total of the best switch."""
    when, total = (float(run.done.best[name].sel(sham=COMMON, bonus=USED)) for name in ("switch", "total"))
    steps = max(1, round(when / _switch.RATE / PARTS))
    pieces = round(total / _switch.RATE / steps)
    table = jnp.asarray([[before] * PARTS + [later] * (pieces - PARTS) for before, later in ARMS.values()])
    marks = jnp.asarray([MARKS[BEHAVIOUR], MARKS[DIRECT]])

    def one(cell: Any, key: Any) -> Any:
        return {"good": _switch.sampled(key, COMMON, table[cell.arm], marks[cell.mark], steps)}

    return lab.cells(
        one,
        key=run.key,
        seeds=run(lab.scale(64, 384)),
        axes={"mark": np.arange(2), "arm": np.arange(len(ARMS))},
        common=("mark", "arm"),
    ).assign_coords(mark=[BEHAVIOUR, DIRECT], arm=list(ARMS))


def _rivals(data: lab.Data) -> xr.DataArray:
    """Total time of the better of never and always, for a bonus on the behaviour."""
    totals = data.totals.sel(mark=BEHAVIOUR, drop=True)
    return np.minimum(totals.total.isel(time=0, drop=True), totals.always)


def _pays(data: lab.Data, total: xr.DataArray) -> lab.Evidence:
    words = "time of the better of never and always over that with the switch"
    return lab.exact(words, _rivals(data) / total).above(WORTH)


@study.claim(
    "A bonus of .5 to 2 on the behaviour that is switched off at its best time reaches .99 of the good pattern faster, "
    "by a tenth or more, than one that is never given and than one that stays, for shares of .02 … .39 of a sham use.",
    origin=lab.Derived(cited=(papers.TWO_STAGE_SEARCH, papers.TWO_STAGE_TOOLS)),
)
def pays(data):
    return _pays(data, data.best.total).per("sham")


@pays.null("a bonus on the good pattern alone")
def _(data):
    good = data.totals.sel(mark=GOOD, drop=True)
    words = "time of always over that with the switch, at any time of the grid"
    return lab.exact(words, good.always / good.total.min("time", skipna=False)).above(WORTH)


def _root(data: lab.Data, found: xr.DataArray) -> lab.Evidence:
    grid = data.totals.total.sel(mark=BEHAVIOUR, drop=True).min("time", skipna=False)
    return lab.exact("total at the root over the least total of the grid", found / grid).below(1 + 1e-9)


@study.claim(
    "The root of the derivative is the best switch: its total is at most that of any switch time of the grid.",
    origin=lab.Derived(),
)
def root(data):
    return _root(data, data.best.total)


@root.null("a switch at once")
def _(data):
    return _root(data, data.totals.total.sel(mark=BEHAVIOUR, drop=True).isel(time=0, drop=True))


def _keeps(data: lab.Data, mark: str, shams: list[float]) -> lab.Evidence:
    totals = data.totals.sel(mark=mark, sham=shams, drop=True)
    before = totals.total.where(totals.time < totals.always, np.inf).where(totals.total.notnull())
    words = "least time with a switch before the end, over that of always"
    return lab.exact(words, before.min("time", skipna=False) / totals.always).above(1.0)


@study.claim(
    "A bonus on the good pattern alone is never worth switching off: no switch time of the grid is as fast as always.",
    origin=lab.Derived(cited=(papers.TWO_STAGE_SEARCH,)),
)
def keeps(data):
    return _keeps(data, GOOD, SHAMS)


keeps.null("a bonus on the behaviour, with a common sham use")(
    lambda data: _keeps(data, BEHAVIOUR, SHAMS[1:])
)


def _helps(data: lab.Data, mark: str) -> lab.Evidence:
    total = data.totals.total.sel(mark=mark, drop=True)
    words = "time of never over that with the best switch of the grid"
    ratio = total.isel(time=0, drop=True) / total.isel(time=slice(1, None)).min("time", skipna=False)
    return lab.exact(words, ratio).above(WORTH)


@study.claim(
    "Even a bonus on the sham use alone, which is worth less than direct answers, gets to the good pattern a tenth "
    "faster than none or more, if it is switched off at the best time.",
    origin=lab.Asked(
        "A bonus may take the lead from direct answers, whoever gets it.", (papers.TWO_STAGE_SEARCH,)
    ),
)
def helps(data):
    return _helps(data, SHAM).per("sham")


helps.null("a bonus on direct answers")(lambda data: _helps(data, DIRECT))


def _anneals(data: lab.Data, other: xr.DataArray) -> lab.Evidence:
    totals = data.totals.annealed.min("time", skipna=False)
    words = "time with the best annealed bonus over that with the best switch"
    return lab.exact(words, totals / other).near(1.0, within=WORTH - 1)


@study.claim(
    "A bonus that is annealed over the best length is within a tenth as fast as one that is switched off at the best "
    "time.",
    origin=lab.Asked(
        "Rewards are switched or shifted: does it matter?", (papers.TWO_STAGE_SEARCH, papers.TWO_STAGE_TOOLS)
    ),
)
def anneals(data):
    return _anneals(data, data.best.total).per("sham")


@anneals.null("never")
def _(data):
    return _anneals(data, data.totals.total.sel(mark=BEHAVIOUR, drop=True).isel(time=0, drop=True))


def _sampled(data: lab.Data, mark: str) -> lab.Evidence:
    good = data.runs.good.sel(mark=mark, drop=True)
    rivals = good.sel(arm=[NEVER, ALWAYS]).rename(arm="rival")
    words = "share of the good pattern with the switch, less that of the rival"
    return lab.difference(words, good.sel(arm=FIRST, drop=True), rivals).above(0.05)


@study.claim(
    "In sampled runs as long as the exact total, a bonus of 1 that is switched off at its best time leaves .05 more of "
    "the good pattern than no bonus and than one that stays, at a share of .39 of the sham use.",
    origin=lab.Derived(cited=(papers.TWO_STAGE_SEARCH,)),
)
def sampled(data):
    return _sampled(data, BEHAVIOUR)


sampled.null("a bonus on direct answers")(lambda data: _sampled(data, DIRECT))


study.figure(_two_stage_panels.figure)
