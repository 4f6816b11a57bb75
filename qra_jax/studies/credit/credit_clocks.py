r"""Groups of siblings, whitening, masks and shared prefixes: which ways of paying steps change the mean?

Credit by values leaves the mean update of uniform credit alone (study `credit`). Four other ways are looked at.

*Siblings.* If the rollouts that come through a state are a group of their own (GiGPO), or each visited state is
continued by N rollouts (TreeRPO), every state has a clock of its own, c(s) in place of c(ρ): the mean update is
$c(s)\,d(s)\,\pi(c\mid s)[V(c)-V(s)]$, and the expected path leaves GRPO's. With N verdicts c(s) = c_N(V(s)) varies
between states by no more than a factor $\sqrt{N-1}/c_N(½)$, so that paths should hardly part; the group of those that
happen to come through has c ≈ (G − 1) d(s) in rare states, a larger change. Where *values* of siblings are divided by
their own standard deviation, the size of a difference cancels: with exact values a gap of .01 is pushed as hard as one
of 1. Estimates with error σ restore proportion below gaps of σ.

*Whitening* divides by the standard deviation of all advantages of a group. That is a clock, about
1/√(mean A² of steps), and no other direction.

*A mask of confident steps* (SPO trains steps with π < .9 alone): in a state of two steps r and k with π_k ≥ .9 the mean
push is π_r π_k (V_r − V_k), and the part of the rare step is π_r times what it is paid. By values that is the share π_k
of the whole. Under uniform credit it is paid V_r − ρ, so that the mask alone turns the push around wherever ρ lies
between V_r and V_k.

*Shared prefixes.* A step of several rollouts of a group is paid the sum of their weights: GRPO's update is that of a
process reward, the mean verdict behind the step, counted once for each rollout. Counted once for each step (as λ-GRPO
does, to first order) it is another update.

Experiments: expected paths on random trees, three steps wide and deep, with strides of equal size; pushes between two
steps by gap; exact means of whitened updates over all groups; all confident states of random trees; sampled groups.
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _credit_clocks as clocks, _credit_masks
from qra_jax.studies.lab import panels

study = lab.Study(
    __name__, title="Credit and clocks: siblings and masks change the mean, whitening its speed"
)

PARTED, CONFIDENT, LEAVES = 0.01, 0.9, {"8 rollouts": 8.0, "64 rollouts": 64.0, "exact": np.inf}
"""Distance of paths that matters, in a share; probability from which steps are masked; what siblings compare."""
ALIKE, TIES = 0.2, lab.Derived(cited=(papers.VINE,))
CREDITS = ["by values", "uniform"]


@study.experiment()
def paths(run: lab.Run) -> xr.Dataset:
    """Distance of expected paths from GRPO's on random trees: the seeds."""
    table = clocks.distances(np.random.default_rng(run.seed), run(lab.scale(48, 300)))
    return lab.dataset({"apart": (("rule", "seed"), table)}, {"rule": list(clocks.RULES)[1:]})


@study.experiment()
def pushes(run: lab.Run) -> xr.Dataset:
    """Mean push on the better of two steps against the gap between their values, by what siblings compare."""
    random, seeds = np.random.default_rng(run.seed), run(lab.scale(12, 24))
    table = [[clocks.pushes(random, leaves, 4000) for _ in range(seeds)] for leaves in LEAVES.values()]
    verdicts = clocks.clock(clocks.BRANCHES, np.full(1, 0.5)) * clocks.GAPS / 4
    variables = {"push": (("values", "seed", "gap"), table), "verdicts": ("gap", verdicts)}
    return lab.dataset(variables, {"values": list(LEAVES), "gap": clocks.GAPS})


@study.experiment()
def whitening(run: lab.Run) -> xr.Dataset:
    """Gain and cosine of the exact mean of whitened updates on random trees of depth two."""
    found = _credit_masks.whitened(np.random.default_rng(run.seed), run(lab.scale(64, 200)))
    return lab.dataset({name: ("seed", value) for name, value in found.items()})


@study.experiment()
def mask(run: lab.Run) -> xr.Dataset:
    """What a mask of confident steps leaves of the mean push in a confident state, one a tree."""
    found = _credit_masks.masked(np.random.default_rng(run.seed), run(lab.scale(1500, 6000)), CONFIDENT)
    return lab.dataset({"kept": (("credit", "state"), found)}, {"credit": CREDITS})


@study.experiment()
def prefixes(run: lab.Run) -> xr.Dataset:
    """Cosines of GRPO's update of a group with that of a process reward on its shared steps."""
    found = _credit_masks.prefixes(np.random.default_rng(run.seed), run(lab.scale(200, 2000)))
    return lab.dataset(
        {"cosine": (("rule", "group"), found)}, {"rule": ["each rollout", "each step", "another"]}
    )


def _parts(data: lab.Data, rules: list[str]) -> lab.Evidence:
    words = (
        "largest difference in the share of a leaf between a rule's expected path and GRPO's, mean of trees"
    )
    return lab.mean(words, data.paths.apart.sel(rule=rules)).above(PARTED)


@study.claim(
    "Where states have groups of their own, the expected path leaves GRPO's by .01 of a share or more, on average over "
    "random trees.",
    origin=TIES,
)
def own_clocks(data):
    return _parts(data, list(clocks.RULES)[2:]).per("rule")


own_clocks.null("uniform credit with another clock, RLOO")(lambda data: _parts(data, ["RLOO"]))


def _proportion(push: xr.DataArray) -> xr.DataArray:
    return 3 * push.sel(gap=0.1, drop=True) / push.sel(gap=0.3, drop=True)


@study.claim(
    "Dividing values by the standard deviation of siblings cancels the size of a difference: the push at a gap of .1 "
    "is more than half of that at .3.",
    origin=TIES,
)
def sizes(data):
    words = "push at a gap of .1 over a third of that at .3"
    ratio = _proportion(data.pushes.push)
    found = {name: lab.mean(words, ratio.sel(values=name, drop=True)) for name in list(LEAVES)[:2]}
    certain = ratio.sel(values="exact", drop=True).mean("seed", skipna=False)  # the draws cancel
    return lab.stacked("values", {**found, "exact": lab.exact(words, certain)}).above(1.5).per("values")


@sizes.null("verdicts in the place of values")
def _(data):
    return lab.exact("the same by verdicts", _proportion(data.pushes.verdicts)).above(1.5)


def _gain(data: lab.Data, std: xr.DataArray) -> lab.Evidence:
    gain: Any = np.log(data.whitening.gain * std)
    return lab.all_of(
        lab.mean("log of the gain of whitening times a standard deviation", gain).near(0, within=ALIKE),
        lab.mean("cosine of the whitened mean with the plain one", data.whitening.cosine).above(0.95),
    )


@study.claim(
    "Whitening is a clock: the mean whitened update has the direction of the plain one, to a cosine of .95, and is as "
    "many times as long as one over the standard deviation of the advantages of steps, within a fifth.",
    origin=TIES,
)
def whitens(data):
    return _gain(data, data.whitening.of_steps)


whitens.null("the standard deviation of returns, as GRPO has it")(
    lambda data: _gain(data, data.whitening.of_returns)
)


def _same_side(data: lab.Data, credit: str) -> lab.Estimate:
    kept = data.mask.kept.sel(credit=credit, drop=True)
    return lab.share("confident states whose mean push keeps its direction", lab.where_known(kept > 0, kept))


@study.claim(
    "By values the mask of confident steps keeps the direction of the mean push in 99 of 100 confident states or more.",
    origin=lab.Derived("arXiv 2505.23564 has the mask; the share that it leaves is derived here"),
)
def masked_values(data):
    return _same_side(data, "by values").above(0.99)


masked_values.null("uniform credit")(lambda data: _same_side(data, "uniform").above(0.99))


@study.claim(
    "The mask alone, with uniform credit, turns the mean push around in one of 50 confident states of random trees or "
    "more.",
    origin=lab.Asked("Does the mask of confident tokens help by itself?", (papers.VINE,)),
)
def masked_alone(data):
    return _same_side(data, "uniform").below(0.98)


masked_alone.null("credit by values")(lambda data: _same_side(data, "by values").below(0.98))


def _process(data: lab.Data, rule: str) -> lab.Evidence:
    worst = (1 - data.prefixes.cosine.sel(rule=rule, drop=True)).max("group", skipna=False)
    return lab.exact("largest 1 − cosine of the two updates of a group", worst).below(1e-9)


@study.claim(
    "GRPO's update of a group is that of a process reward on the prefixes its rollouts share, the mean verdict behind "
    "each, paid for each rollout.",
    origin=papers.PROCESS_REWARD,
)
def process(data):
    return _process(data, "each rollout")


process.null("paid once for each shared step")(lambda data: _process(data, "each step"))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Distances of paths; pushes by gap; what a mask leaves."""
    figure, (first, second, third) = plot.new((12.6, 3.8), ncols=3, width_ratios=[1.1, 1, 1])
    apart = data.paths.apart.assign_coords(
        rule=["RLOO,\nuniform", "those who\ncome through", "8 verdicts\na state", "8 values\na state"]
    )
    panels.frame(
        "Groups of siblings leave GRPO's path, by verdicts least",
        first,
        x="group",
        y="largest difference in a share",
        log="y",
    )
    first.set_ylim(1e-5, 1)
    for place, one in enumerate(apart.values):
        shift = np.random.default_rng(0).uniform(-0.2, 0.2, len(one))
        first.plot(place + shift, np.maximum(one, 1.2e-5), "o", ms=3, alpha=0.35, color="#3C93C2")
        first.plot([place - 0.3, place + 0.3], [max(one.mean(), 1.2e-5)] * 2, color="black")
    first.set_xticks(range(len(apart)), apart.rule.values, fontsize=8)
    panels.mark(PARTED, first, "", axis="y")

    panels.frame(
        "Values of siblings ÷ their std: size cancels",
        second,
        x="gap between values",
        y="push ÷ that at gap 1",
        log="xy",
    )
    push = data.pushes.push.mean("seed")
    for name, shade in zip(LEAVES, ("#9EC9E2", "#3C93C2", "#08519C"), strict=True):
        one = push.sel(values=name)
        second.plot(clocks.GAPS, one / one.isel(gap=-1), "o-", color=shade, label=f"values, {name}")
    second.plot(clocks.GAPS, data.pushes.verdicts / data.pushes.verdicts[-1], "k--", label="verdicts")
    panels.legend(None, second, loc="lower right", fontsize=8)

    turned = float((data.mask.kept.sel(credit="uniform") < 0).mean())
    panels.frame(
        f"The mask alone turns {turned:.0%} of pushes around",
        third,
        x="masked push ÷ whole push",
        y="confident states",
    )
    edges = np.linspace(-2, 3, 51)
    for credit, shade in zip(CREDITS, ("#08519C", plot.RIVAL), strict=True):
        third.hist(
            np.clip(data.mask.kept.sel(credit=credit), -2, 3), edges, color=shade, alpha=0.6, label=credit
        )
    third.set_yscale("log")
    panels.mark(0.0, third, "")
    panels.legend(None, third, loc="upper left", fontsize=8)
    return figure
