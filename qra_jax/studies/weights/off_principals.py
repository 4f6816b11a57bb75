r"""Do updates of RL avoid the principal directions of the weights, and sit on weights of small magnitude?

The claims: the weights that RL changes in bfloat16 lie less often than by chance on principal weights (the largest
entries of the best approximation of low rank), more often on small ones; singular directions hardly turn, singular
values hardly change; masks of runs with other data and algorithms overlap.

Theory, and what it predicts: neighbours in bfloat16 are 2⁻⁸ to 2⁻⁷ of a weight apart, so *any* short update changes
small weights first, and principal weights, which are large, last. A Gaussian update rounded the same way has both
signs without any training, and its masks overlap. So every number is read against Gaussian updates of the same norm in
every matrix, and once more on the largest |ΔW| in float32, where rounding has no part. There is little reason for less
than that: a gradient is a sum of outer products of features and errors, as those were that made W₀, so updates should
rather share principal directions and turn them more than noise does, while Adam makes all entries alike in size and
their places nearly random. Of the policy that data come from, and of the loss, theory says nothing.

The experiment: reference runs of several ways of training, of the same base networks, at the end and at equal accuracy;
updates here are a tenth of the weights, and at that length nearly all weights change: masks in bfloat16 are taken with
every update brought to the length that is usual of language models. Then GRPO is run again on masks of equal density.
"""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.weights import _masks as masks, _places as places, _twins as own
from qra_jax.studies.weights._places import HALF, LARGEST, MADE, PRINCIPAL, REST, ROUNDED, SHORTER, SMALL
from qra_jax.studies.weights._reference import SIZE, TASKS, bases, joined, pairs, reference
from qra_jax.studies.weights._twins import AGAIN, END, GAUSSIAN, GRPO, OTHERS, OWN, RL

study = lab.Study(__name__, title="Off the principals: where updates sit, beside Gaussian ones rounded alike")

MATTERS, LESS, TENTH, MOST = 0.03, 0.9, 0.1, 0.9
"""Differences of an overlap, ratios of an angle, and differences and shares of a gain that count."""
ONE = "Gaussian updates against others"
FEW = "two per cent of the weights, at random"


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Where the updates of all arms sit, at the end and at equal accuracy."""
    parts, size = {}, run(SIZE)
    for task in run(TASKS):
        tuned, apart = own.ends(reference(run, task, places.ARMS, size))
        tuned = own.abroad(tuned, bases(run, task, size))
        seen = pairs(places.read, run.key, bases(run, task, size), tuned)
        values = {name: (("at", "seed", *places.DIMS[name]), x) for name, x in seen.items()}
        labels = {name: list(x) for name, x in places.COORDS.items()}
        parts[task] = lab.dataset(values | {"apart": (("arm", "seed"), apart)}, labels | {"at": list(tuned)})
    return joined(parts)


@study.experiment()
def reruns(run: lab.Run) -> xr.Dataset:
    """Gain in accuracy of GRPO on masks alone: of attention and perceptron, the rest never trains."""
    parts, size = {}, run(SIZE)
    for task in run(TASKS):
        course, base = reference(run, task, [GRPO], size)[GRPO], bases(run, task, size)
        chosen = masks.masked(places.chosen, run.seed, base, base)
        found = masks.rerun(run.key, task, size, base, course.rate, chosen)
        gained = (("mask", "seed"), masks.gains(found, course.accuracy[:, 0]))
        parts[task] = lab.dataset({"gain": gained}, {"mask": list(found)})
    return joined(parts)


def _on(data: lab.Data, mask: str, where: str, update: str) -> lab.Evidence:
    on = data.runs.on.sel(at=END, arm=list(RL), mask=mask, where=where, drop=True)
    off = lab.mean(f"share on {where} weights less that of Gaussian updates", own.excess(on, update))
    return (off.above(MATTERS) if where == SMALL else off.below(-MATTERS)).per("task", "arm")


EXACTLY = lab.Asked("In bfloat16 small weights change first, whatever moves them.", (papers.GEO_1,))
ROUND = "Brought to .0015 of the weights and rounded to bfloat16, updates of GRPO change weights of which"
EXACT = "Of the three tenths of the weights that GRPO changes most in float32,"
FEWER = "fewer are principal than of Gaussian updates of the same length, by .03 or more."
SMALLER = "more are small than of Gaussian updates of the same length, by .03 or more."
for name, statement, origin, mask, where in (
    ("avoids", f"{ROUND} {FEWER}", papers.GEO_1, ROUNDED, PRINCIPAL),
    ("small", f"{ROUND} {SMALLER}", papers.GEO_1, ROUNDED, SMALL),
    ("avoids_exactly", f"{EXACT} {FEWER}", EXACTLY, LARGEST, PRINCIPAL),
    ("small_exactly", f"{EXACT} {SMALLER}", EXACTLY, LARGEST, SMALL),
):
    null = {ONE: (mask, where, GAUSSIAN)}
    made = {"a Gaussian update, halved on principal and on large weights": (mask, where, MADE)}
    own.judged(study, name, statement, origin, _on, mask, where, OWN, null=null, positive=made)


def _noise(data: lab.Data, mask: str) -> lab.Evidence:
    on = data.runs.on.sel(at=END, arm=GRPO, mask=mask, update=OTHERS, drop=True) - HALF
    less = lab.mean("share on principal weights less one half", on.sel(where=PRINCIPAL, drop=True))
    more = lab.mean("share on small weights less one half", on.sel(where=SMALL, drop=True))
    return lab.all_of(less.below(-MATTERS), more.above(MATTERS)).per("task")


@study.claim(
    "Gaussian updates of .0015 of the weights, rounded to bfloat16, are off the principals as well: of the weights "
    "that they change, principal ones are fewer and small ones more than by chance, by .03 or more.",
    origin=lab.Derived("neighbours in bfloat16 are a share of the weight apart"),
)
def rounding(data):
    return _noise(data, ROUNDED)


@rounding.null("the largest entries of these updates, without rounding")
def _(data):
    return _noise(data, LARGEST)


def _less(data: lab.Data, variable: str, words: str, update: str) -> lab.Evidence:
    values = data.runs[variable].sel(at=END, drop=True)
    return own.over_gaussian(words, values, update).below(LESS).per("task", "rl")


BELOW = "by less than nine tenths of what Gaussian updates of the same norm do."
for name, statement, what in (
    ("turns", f"GRPO turns the first tenth of singular directions {BELOW}", ("angle", "mean angle")),
    ("drifts", f"GRPO changes singular values {BELOW}", ("drift", "change of singular values")),
):
    controls = {
        "null": {ONE: (*what, GAUSSIAN)},
        "positive": {"a Gaussian update half as long": (*what, SHORTER)},
    }
    own.judged(study, name, statement, papers.GEO_1, _less, *what, OWN, **controls)


def _agree(data: lab.Data, update: str, others: tuple[str, ...] = places.OTHERS) -> lab.Evidence:
    values = own.excess(data.runs.jaccard.sel(at=END, mask=ROUNDED, other=list(others), drop=True), update)
    return (
        lab.mean("Jaccard's index beyond that of Gaussian updates", values)
        .above(MATTERS)
        .per("task", "other")
    )


@study.claim(
    "Masks in bfloat16 of GRPO overlap with those of runs with other data, optimiser and algorithm more than masks of "
    "Gaussian updates do, by .03 of Jaccard's index or more.",
    origin=papers.GEO_1,
)
def overlap(data):
    return _agree(data, OWN)


@overlap.null("Gaussian updates in the place of all runs")
def _(data):
    return _agree(data, GAUSSIAN)


@overlap.null("GRPO on two bases")
def _(data):
    return _agree(data, OWN, (own.ELSEWHERE,))


def _side(data: lab.Data, side: str, update: str, against: str) -> lab.Evidence:
    on = data.runs.on.sel(mask=ROUNDED, where=PRINCIPAL, drop=True)
    first, second = (own.excess(on, one) for one in (update, against))
    words = f"share on principal weights beyond that of Gaussian updates, by {side}"
    return own.beside(words, first, second, data.runs.apart, side).below(-MATTERS).per("run")


ASKED = lab.Asked("Is it the policy or the loss? Two by two, with filtered and plain SFT.", (papers.GEO_1,))
BY = "more than Gaussian updates do, by .03 of the changed weights above what"
for side, statement in (
    (
        "policy",
        f"Training on the policy's own samples avoids principal weights {BY} training on others does.",
    ),
    ("loss", f"The loss of RL avoids principal weights {BY} that of SFT does, on and off the policy."),
):
    made = {
        "Gaussian updates, those of one side halved on principal and on large weights": (side, MADE, GAUSSIAN)
    }
    null = {"Gaussian updates": (side, GAUSSIAN, GAUSSIAN)}
    own.judged(study, side, statement, ASKED, _side, side, OWN, OWN, null=null, positive=made)


def _worse(data: lab.Data, mask: str) -> lab.Evidence:
    words = f"share of the gain: {mask} less random"
    return masks.of_gain(words, data.reruns.gain, mask, masks.RANDOM).below(-TENTH).per("task")


own.judged(
    study,
    "principal",
    "GRPO on the three most principal tenths of the weights alone gains less than on as many random weights, by a "
    "tenth of what it gains on all.",
    lab.Asked("If updates avoid them, they should be of little use.", (papers.GEO_1,)),
    _worse,
    PRINCIPAL,
    null={"random weights less other random ones": (masks.OTHER,)},
    positive={FEW: (masks.FEW,)},
)


def _enough(data: lab.Data, *which: str) -> lab.Evidence:
    return masks.of_gain("share of the gain", data.reruns.gain, list(which)).above(MOST).per("task", "mask")


own.judged(
    study,
    "enough",
    "GRPO on the three smallest, or least principal, tenths of the weights alone has nine tenths of what it gains on "
    "all.",
    lab.Asked("If updates sit there, these weights should be enough.", (papers.GEO_1,)),
    _enough,
    SMALL,
    REST,
    null={FEW: (masks.FEW,)},
    positive={"95 per cent of the weights, at random": (masks.MOST,)},
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Overlaps beside those of Gaussian updates; angles and drift; gains on masks alone."""
    task = data.runs.task.values[-1]
    figure, axes = plot.new((11.6, 7.4), nrows=2, ncols=2, width_ratios=[1.2, 1])
    (first, second), (third, fourth) = axes
    runs, arms = data.runs.sel(task=task, at=END, drop=True), [arm for arm in places.ARMS if arm != AGAIN]
    noise = float(runs.on.sel(mask=ROUNDED, where=PRINCIPAL, arm=GRPO, update=OTHERS).mean())
    titles = f"In bfloat16: of what noise changes, {noise:.0%} is principal ({task})", "Without rounding"
    pair, names = {OWN: plot.BEST, OTHERS: plot.MUTED}, {OWN: "training", OTHERS: "Gaussian"}
    for ax, mask, title in zip((first, second), (ROUNDED, LARGEST), titles, strict=True):
        on = runs.on.sel(mask=mask, where=[PRINCIPAL, SMALL], arm=arms, update=[OWN, OTHERS])
        panels.frame(title, ax, x="", y="share of the changed weights", ylim=(0.1, 0.9))
        look: dict = {"over": "seed", "colors": pair, "names": names, "nudge": 0.08}
        panels.dots(on, ax, x="arm", by="update", dash="where", **look)
        panels.mark(HALF, ax, "chance", axis="y", at=0.45)
        ax.tick_params("x", rotation=25)
        panels.legend(None, ax, ncols=2)
    what = {"angle": "angle", "drift": "singular values"}
    ratio = [runs[x].sel(update=OWN, drop=True) / runs[x].sel(update=OTHERS, drop=True) for x in what]
    panels.frame("Turned and changed, over what a Gaussian update does", third, x="", y="ratio")
    shown = xr.concat(ratio, "what").assign_coords(what=list(what.values()))
    panels.dots(shown, third, x="rl", by="what", over="seed", nudge=0.08)
    panels.mark(1, third, "Gaussian", axis="y")
    third.tick_params("x", rotation=25)
    panels.legend(None, third)
    shown = [masks.EVERYTHING, PRINCIPAL, REST, SMALL, masks.RANDOM, masks.OTHER, masks.FEW]
    gained = data.reruns.gain.sel(task=task, mask=shown, drop=True)
    panels.frame("GRPO on a part of the weights alone", fourth, x="", y="gain in accuracy")
    panels.dots(gained, fourth, x="mask", over="seed", pair=True)
    fourth.tick_params("x", rotation=25)
    return figure
