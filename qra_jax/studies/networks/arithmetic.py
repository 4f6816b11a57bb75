"""Which way of working wins when a network learns arithmetic by reinforcement: is it chosen, or learnt?

A small decoder is taught four procedures for sums of two and three numbers (columns, running total, split and combine,
guess; `transformer.procedures`), then their shares in the base model, in which the commonest is to guess. Success rates
are what the network can do. GRPO then pays for right answers that the marker announces.

The theory holds success rates fixed and predicts that training chooses: procedures of a high success rate win, along
the tabular orbit from π_ref and p of the base network, and Σ Δπ p is the gain of paid accuracy. In a network rates may
move, and so may the chance of the marker: the gain is split between records into choice, Σ Δπ p̄, right answers,
Σ π̄ f̄ Δp, and format, Σ π̄ (Δ(pf) − f̄ Δp), which add up to it; f is the share of right answers that are announced.

π(r|q) is exact, by teacher forcing; rates are sampled with the pattern token forced, by the same random numbers at
every record. What the theory speaks of is measured on questions like those of training, pass@k on held-out ones, with
its unbiased estimator, for answers whose steps are right, as a guess is right with chance 1/b². The path, a mean over
questions, is compared with its nearest points in total variation, so that no clock is needed. Base is also cooled to
the entropy of the trained network, and tried twice, with other random numbers. Controls: networks that are paid by a
coin, which have nothing to choose or to learn, trained as long. The quick version asks sums of two numbers only.
"""

from typing import Any

import xarray as xr

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.networks import _procedures_panels as drawn
from qra_jax.studies.networks._procedures import ARMS, Size, compared, parts, taught, trained
from qra_jax.studies.networks._shares import pooled

study = lab.Study(
    __name__, title="Arithmetic: what a network gains by choosing procedures, and what by learning"
)

PAID, COIN = ARMS
SAME, NEAR, WORTH = 0.1, 0.1, 0.02
"""Change of a rate, distance in total variation, and difference of pass@k that would matter."""
SIZE = lab.scale(
    Size(4, 2, 24, 1, 0, 400, 40, 10, 16, 4, 32, (2,)),
    Size(8, 3, 32, 2, 1500, 300, 240, 15, 32, 8, 64, (2, 3)),
)


@study.experiment()
def runs(run):
    """π and rates of every procedure along training, on questions like those of training and held-out ones; pass@k."""
    size = run(SIZE)
    return trained(size, run.bank.get(taught, tuple(size), run.shared_seed), run.seed)


def _of(data: lab.Data, arm: str = PAID) -> xr.Dataset:
    return data.runs.sel(arm=arm, kind="like training", drop=True)


@study.experiment(after=["runs"])
def curves(run):
    """Points nearest to the path of each network: on orbits of its own π and p, and on rivals."""
    train = _of(run.done).mean("question")
    return compared(train.policy.transpose("seed", "step", "procedure"), train.paid.isel(step=0))


def _preferred(data: lab.Data, arm: str = PAID) -> lab.Evidence:
    """How far the mean base rate of what is chosen goes from its start to the highest rate."""
    runs = _of(data, arm).mean("question", skipna=False)
    rate, first, last = (x.isel(step=i) for x, i in ((runs.paid, 0), (runs.policy, 0), (runs.policy, -1)))
    start = (first * rate).sum("procedure", skipna=False)
    moved = ((last - first) * rate).sum("procedure", skipna=False) / (rate.max("procedure") - start)
    return lab.mean("way from the base accuracy to the highest rate of the base network", moved).above(0.5)


@study.claim(
    "RL prefers procedures of high success rates in the base network: the mean base rate of what is chosen goes more "
    "than half of the way to the highest.",
    origin=papers.QRA_6_SELECT,
)
def prefers(data):
    return _preferred(data)


@prefers.null("a coin in the place of right answers")
def _(data):
    return _preferred(data, COIN)


def _moved(data: lab.Data, name: str) -> lab.Evidence:
    runs = _of(data)[name].mean("question", skipna=False)
    change = lab.mean("change in the course of training", runs.isel(step=-1) - runs.isel(step=0))
    return change.near(0, within=SAME).per("procedure")


@study.claim(
    "Success rates of procedures stay, within 10 points, while the choice among them moves.",
    origin=papers.QRA_6_STABLE,
)
def rates_stay(data):
    return _moved(data, "right")


@rates_stay.null("the shares of the procedures in the place of their rates")
def _(data):
    return _moved(data, "policy")


def _parts(data: lab.Data, arm: str = PAID, *, marker: bool = False) -> xr.DataArray:
    """Parts of the gain; or of what the marker alone gains, whatever the answer."""
    runs = _of(data, arm)
    if marker:
        return parts(runs.policy, xr.ones_like(runs.announced), runs.announced)
    return parts(runs.policy, runs.right, runs.paid)


def _main(data: lab.Data, arm: str = PAID) -> lab.Evidence:
    """Share of choice in the gain from right answers, choice of this arm."""
    choice, gain = (
        _parts(data, name).isel(step=-1).sel(part=part, drop=True)
        for name, part in ((arm, "choice"), (PAID, "gain"))
    )
    return pooled("share of choice in the gain", choice, gain).above(0.5)


@study.claim("The main part of the gain comes from the choice among procedures.", origin=papers.QRA_6_SELECT)
def main_part(data):
    return _main(data)


@main_part.null("choice of networks that are paid by a coin, in the same gain")
def _(data):
    return _main(data, COIN)


def _along(data: lab.Data, curve: str) -> lab.Evidence:
    away = data.curves.away
    far = lab.mean("largest distance in total variation", away.sel(curve=curve).max("step", skipna=False))
    lead = (away.sel(curve=["natural", "line"]) - away.sel(curve=curve, drop=True)).mean("step", skipna=False)
    return lab.all_of(far.below(NEAR), lab.mean("mean distance of other curves less its own", lead).above(0))


@study.claim(
    "The choice, a mean over questions, moves along the tabular orbit from π_ref and p of the base network.",
    origin=lab.Derived("qra_jax.orbit, where success rates stay", (papers.QRA_ASSUMPTION,)),
)
def on_orbit(data):
    return _along(data, "orbit")


@on_orbit.null("the orbit of the rates in reverse order")
def _(data):
    return _along(data, "orbit, mirrored rates")


def _early(made: xr.DataArray, other: xr.DataArray | None = None) -> lab.Evidence:
    """Share of format, or of that of others, in the gain up to the record at which half of all of it is made."""
    gain = made.sel(part="gain", drop=True)
    half = (gain >= gain.isel(step=-1) / 2) & (gain.step > 0)
    at = xr.where(half.any("step"), half.argmax("step"), gain.sizes["step"] - 1)
    both = (made if other is None else other).sel(part="format", drop=True).isel(step=at), gain.isel(step=at)
    return pooled("share of format in the first half of the gain", *both).above(0.5)


@study.claim(
    "Most of the early gain of training on verified answers is format.",
    origin=lab.Asked(
        "Reported for internal feedback; a verifier that wants a marker may do it, too.", (papers.NFL_3,)
    ),
)
def early_format(data):
    return _early(_parts(data))


@early_format.null("format of networks that are paid by a coin, in the same gain")
def _(data):
    return _early(_parts(data), _parts(data, COIN))


@early_format.positive("the marker alone, whatever the answer")
def _(data):
    return _early(_parts(data, marker=True))


def _passed(data: lab.Data, model: str, other: str, k: int) -> Any:
    passed, number = data.runs.passed.isel(k=k), data.runs.k.values[k]
    words = f"difference of pass@{number} with right steps"
    return lab.difference(words, passed.sel(model=model, drop=True), passed.sel(model=other, drop=True))


@study.claim("The trained network wins pass@1, its base wins pass@k at large k.", origin=papers.PK_1)
def crossover(data):
    return lab.all_of(
        _passed(data, "RL", "base", 0).above(WORTH), _passed(data, "RL", "base", -1).below(-WORTH)
    )


@crossover.null("base against itself, with other random numbers")
def _(data):
    again = ("base, again", "base")
    return lab.all_of(_passed(data, *again, 0).above(WORTH), _passed(data, *again, -1).below(-WORTH))


@study.claim(
    "What base wins at large k is more than entropy: base cooled to that of the trained network wins, too.",
    origin=lab.Asked(
        "Sampling at a lower temperature narrows a network without any training.", (papers.PK_1,)
    ),
)
def beyond_entropy(data):
    return _passed(data, "RL", "base, cooled", -1).below(-WORTH)


@beyond_entropy.null("base against itself, with other random numbers")
def _(data):
    return _passed(data, "base, again", "base", -1).below(-WORTH)


@beyond_entropy.positive("base as it is")
def _(data):
    return _passed(data, "RL", "base", -1).below(-WORTH)


@study.figure
def draw(data):
    """Choice, success rates, parts of the gain, and pass@k."""
    figure, ((left, right), (below, last)) = plot.new((10.6, 6.6), nrows=2, ncols=2)
    runs, made = _of(data), _parts(data)
    policy, rates = (x.mean("question") for x in (runs.policy, runs.right))
    drawn.choice(policy, data.curves.near.sel(curve="orbit").mean("seed"), left)
    drawn.rates(rates.isel(step=[0, -1]), policy.isel(step=-1), right)
    drawn.gain(made, below)
    drawn.tries(data.runs.passed, last)
    return figure
