r"""What do signs of ±1, abstention and a group's size change, once speed and noise are matched?

**±1.** Advantages 2R − 1 are REINFORCE with the baseline ½ at twice the rate, those of Dr.GRPO are leave-one-out
REINFORCE at (G − 1)/G: one orbit, and at one learning rate ±1 is 2G/(G − 1) times as fast (2.7 at G = 4), which is
most where groups are small. At equal speed only noise is left. If a rollout's score is independent of its reward, that
of ±1 is ¼ + …, that of Dr.GRPO ρ(1−ρ)·G/(G−1): ±1 should have less noise where ρ(1−ρ) ≥ (G−1)/(4G) (at G =
4 for ¼ ≤ ρ ≤ ¾), more on hard questions, where it may lose the best pattern. Matched are: nothing but the rate; the
speed; speed and noise (±1 from as many rollouts, 1 … 32, as make its noise that of Dr.GRPO's at the base policy); or
each has the best rate.

**Abstention.** With 0, +1, −λ for abstaining, right and wrong, answering gains in expectation iff its success rate
exceeds λ/(1+λ). In a group of two kinds a division by the standard deviation leaves only their order: every λ is 1.
With a right, b abstaining and c wrong ones among G an abstaining rollout weighs

$$ -\frac{m}{\sigma},\quad m=\frac{a-\lambda c}G,\quad \sigma^2=\frac{a+\lambda^2c}G-m^2, $$

whose sign turns at λ = a/c. So λ should be void at G = 2 and where answers are rare in a group, and come back with G.

**Size.** With the rate tuned a rollout is worth about the same in any group: no size is best at any budget. At one rate
small groups make more steps and noisier ones: the best size should grow with the budget.

The experiments: 100 sampled steps on random questions of six patterns (middling: Beta(1, 1); hard: Beta(.15, 1.2)),
with exact noise; success rates at which the exact drift of two patterns (answer, abstain) turns, and sampled training
at .6; GRPO on three patterns from ρ = .1, by rollouts spent.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import (
    _signs_and_groups as groups,
    _signs_and_groups_evidence as evidence,
    _signs_and_groups_panels as drawing,
)
from qra_jax.studies.credit._signs_and_groups import ARMS, PENALTIES
from qra_jax.studies.credit._signs_and_groups_evidence import MATTERS

study = lab.Study(__name__, title="Small groups: signs of ±1, abstention and sizes at matched speed")

LEVELS, RATES, SIZES = ["middling", "hard"], [0.1, 0.4, 1.6], [2.0, 4.0, 16.0]
SHARES, BUDGETS, SPEEDS = [0.05, 0.5, 0.95], (64, 256, 1024), 2.0 ** np.arange(-2, 6)
"""Shares of abstaining; budgets in rollouts; learning rates at which these are spent."""
HARD = {"level": "hard", "rate": RATES[-1], "size": SIZES[:2]}
MATCHED = lab.Asked(
    "How much of the difference is left once speed, noise or both are matched?", (papers.SIGNED,)
)
BEST = lab.Asked("Is one group size the best at every budget?", (papers.GROUP_UNIVERSAL, papers.GROUP_BUDGET))


@study.experiment()
def signs(run: lab.Run) -> xr.Dataset:
    """Accuracy and share of the best pattern after 100 sampled steps, on random questions: the seeds."""
    seeds = run(lab.scale(256, 4000))
    asked = groups.questions(np.random.default_rng(run.seed), seeds)
    axes = {
        "arm": np.arange(4.0),
        "size": SIZES,
        "level": [0.0, 1.0],
        "rate": RATES,
        "seed": np.arange(1.0 * seeds),
    }
    one = partial(groups.signs, asked=asked, key=run.key)
    found = lab.cells(one, axes=axes, block=512)
    return found.assign_coords(arm=list(ARMS), level=LEVELS).drop_vars("seed")


@study.experiment()
def noise(run: lab.Run) -> xr.Dataset:
    """Exact noise of ±1 over that of Dr.GRPO at equal speed, on random questions, middling and hard ones."""
    asked, sizes = groups.questions(np.random.default_rng(run.seed), run(lab.scale(16_000, 32_000))), [4, 32]
    apart = jax.tree.map(lambda x: jnp.concatenate([x[0, ::2], x[1, 1::2]]), asked)
    each = jax.jit(jax.vmap(lambda problem: [groups.noise(problem, size) for size in sizes]))
    louder = [np.asarray(plain) / np.asarray(centred) for plain, centred in each(apart)]
    rho = np.sum(np.asarray(apart.ref * apart.success), axis=-1)
    return lab.dataset({"louder": (("G", "question"), louder), "rho": ("question", rho)}, {"G": sizes})


@study.experiment()
def turns(run: lab.Run) -> xr.Dataset:
    """Success rate from which on answering gains on abstaining, exactly."""
    sizes, shape = run(lab.scale([2, 8], [2, 4, 8, 16])), ("G", "penalty", "share")
    divided = [groups.thresholds(size, SHARES, divide=True) for size in sizes]
    variables = {"GRPO": (shape, divided), "plain": (shape[1:], groups.thresholds(2, SHARES, divide=False))}
    return lab.dataset(variables, {"G": sizes, "penalty": list(PENALTIES), "share": SHARES})


@study.experiment()
def abstaining(run: lab.Run) -> xr.Dataset:
    """Share of answering in sampled training at a success rate of .6."""
    axes = {"rule": [0.0, 1.0], "size": [2.0, 4.0, 8.0], "penalty": PENALTIES[::2]}
    options = {"seeds": run(lab.scale(64, 512)), "dims": {"answers": ["record"]}, "block": 256}
    found = lab.cells(partial(groups.answers, most=8), key=run.key, axes=axes, **options)
    return found.assign_coords(rule=["GRPO", "Dr.GRPO"], record=np.arange(10, 401, 10))


@study.experiment()
def spent(run: lab.Run) -> xr.Dataset:
    """Accuracy of GRPO by group size, learning rate and rollouts spent: for each size a program."""
    sizes, seeds = run(lab.scale((2, 32), (2, 4, 8, 16, 32))), run(lab.scale(1024, 9000))
    parts = [groups.spent(n, SPEEDS, BUDGETS, seeds, jax.random.fold_in(run.key, n)) for n in sizes]
    whole: Any = xr.concat(parts, xr.DataArray(list(sizes), dims="G", name="G"))
    return whole.to_dataset(name="accuracy")


@study.claim(
    "At one learning rate advantages of ±1 reach a higher accuracy than Dr.GRPO's in 100 steps, by .03 or more.",
    origin=papers.SIGNED,
)
def faster(data):
    return evidence.gain(data.signs.accuracy, "±1", "same rate").above(MATTERS).per("size", "level", "rate")


faster.null("Dr.GRPO at the same speed")(
    lambda data: evidence.gain(data.signs.accuracy, "±1", "same speed").above(MATTERS)
)


@study.claim("At the same speed the difference vanishes, within .03.", origin=MATCHED)
def speed(data):
    return evidence.vanishes(data.signs.accuracy, "±1", "same speed")


@study.claim("At the same speed and noise the difference vanishes, within .03.", origin=MATCHED)
def matched(data):
    return evidence.vanishes(data.signs.accuracy, "same speed and noise", "same speed")


for _claim in (speed, matched):
    _claim.null("Dr.GRPO at the same learning rate, the two smaller ones")(
        lambda data: evidence.vanishes(data.signs.accuracy.sel(rate=RATES[:2]), "±1", "same rate")
    )


@study.claim("At the best learning rate of each the difference vanishes, within .03.", origin=MATCHED)
def tuned(data):
    accuracy = data.signs.accuracy
    return evidence.best_rate(accuracy.sel(arm="±1", drop=True), accuracy.sel(arm="same rate", drop=True))


@tuned.null("Dr.GRPO kept at a rate of .1")
def _(data):
    accuracy = data.signs.accuracy
    return evidence.best_rate(
        accuracy.sel(arm="±1", drop=True), accuracy.sel(arm="same rate", rate=[0.1], drop=True)
    )


def _quiet(data: lab.Data, size: int) -> lab.Evidence:
    louder, rho = data.noise.louder.sel(G=size, drop=True), data.noise.rho
    rule = {"ρ(1−ρ) ≥ (G−1)/(4G)": lab.where_known(rho * (1 - rho) >= (size - 1) / (4 * size), rho)}
    words = f"questions in which ±1 has no more noise than Dr.GRPO at equal speed, groups of {size}"
    return lab.explained(words, lab.where_known(louder <= 1, louder), rule, sure=0.9)


@study.claim(
    "At equal speed an update of ±1 has no more noise than Dr.GRPO's in groups of 4.", origin=MATCHED
)
def quiet(data):
    return _quiet(data, 4)


quiet.null("groups of 32, whose baseline has next to no noise")(lambda data: _quiet(data, 32))


@study.claim(
    "On hard questions, at a rate of 1.6 and in groups of 2 and 4, ±1 loses the best pattern in more runs than Dr.GRPO "
    "at the same speed, by .03 or more.",
    origin=lab.Asked("Does ±1 collapse in small groups?", (papers.SIGNED,)),
)
def loses(data):
    return evidence.loses(data.signs.best.sel(HARD), "±1")


loses.null("±1 at the noise of Dr.GRPO")(
    lambda data: evidence.loses(data.signs.best.sel(HARD), "same speed and noise")
)


@study.claim(
    "Divided by the standard deviation every penalty λ acts as 1: answering gains from a success rate of ½ on (± .05).",
    origin=papers.ABSTAIN,
)
def void(data):
    return evidence.void(data.turns.GRPO).per("G", "share")


void.null("without the division")(lambda data: evidence.void(data.turns.plain))


@study.claim(
    "Sampled training with GRPO answers as often under λ = 4 as under ¼, within .1, where .6 of answers are right.",
    origin=lab.Derived(cited=(papers.ABSTAIN,)),
)
def alike(data):
    return evidence.alike(data.abstaining.answers.sel(rule="GRPO", drop=True)).per("size")


alike.null("Dr.GRPO, which does not divide")(
    lambda data: evidence.alike(data.abstaining.answers.sel(rule="Dr.GRPO", drop=True))
)


@study.claim(
    "With the learning rate tuned, accuracy at a budget of rollouts does not depend on the group size, within .03.",
    origin=BEST,
)
def any_size(data):
    return evidence.others(evidence.at_best(data.spent.accuracy))


any_size.null("one learning rate of ½, at the smallest budget")(
    lambda data: evidence.others(data.spent.accuracy.sel(rate=0.5, budget=[BUDGETS[0]]).drop_vars("rate"))
)


@study.claim(
    "At one learning rate (4) the best size depends on the budget: groups of 2 beat groups of 32 with 64 rollouts and "
    "lose with 1024, by .03 or more.",
    origin=papers.GROUP_BUDGET,
)
def moves(data):
    accuracy = data.spent.accuracy.sel(rate=4.0, drop=True)
    return evidence.crossing(accuracy.sel(G=2), accuracy.sel(G=32))


@moves.null("learning rates in proportion to the size, 2 and 32")
def _(data):
    accuracy = data.spent.accuracy
    return evidence.crossing(accuracy.sel(G=2, rate=2.0), accuracy.sel(G=32, rate=32.0))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Gains of ±1 by matching; its noise; where abstention turns; accuracy by size and budget."""
    figure, ((first, second), (third, fourth)) = plot.new((8.8, 6.6), nrows=2, ncols=2)
    drawing.gains(data.signs.accuracy.sel(size=4.0), first)
    drawing.noise(data.noise.louder.sel(G=4), data.noise.rho, second)
    drawing.turns(data.turns, third)
    one = data.spent.accuracy.sel(rate=4.0, drop=True)
    drawing.sizes(one.mean("seed"), evidence.at_best(data.spent.accuracy).mean("seed"), fourth)
    return figure
