r"""Do updates of RL avoid the principal directions of the weights, and sit on weights of small magnitude?

The claims: the weights that RL changes in bfloat16 lie less often than by chance on principal weights (large entries of
the best approximation of rank k, here a tenth of the directions), more often on small ones; singular directions hardly
turn, singular values hardly change.

Theory, and what it predicts: neighbours in bfloat16 are 2⁻⁸ to 2⁻⁷ of a weight apart, so *any* short update changes
small weights first, and principal weights, which are large, last. A Gaussian update rounded the same way has both
signs without any training. So it is the null of every claim against chance, and what training adds is a question of
its own: the excess over Gaussian updates of the same norm in every matrix, in bfloat16 and once more on the largest
|ΔW| in float32, where rounding has no part. There is little reason for less than that: a gradient is a sum of outer
products of features and errors, as those were that made W₀, so updates should rather share principal directions and
turn them more than noise does, while Adam makes all entries alike in size and their places nearly random. How far
directions turn is a matter of length: short updates turn nothing, whatever they are. Of the policy that data come
from, and of the loss, theory says nothing.

The experiment: reference runs of several ways of training, of the same base networks, at the end and at equal gain;
updates here are a tenth of the weights, and at that length nearly all weights change: masks in bfloat16 are taken with
every update brought to the length that is usual of language models. Then GRPO is run again on masks of equal density,
each at its best of two learning rates. And without any training: Gaussian updates of Gaussian weights.
"""

import jax
import xarray as xr

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import (
    _masks as masks,
    _places as places,
    _principal_panels as panels,
    _rounding as rounding_alone,
    _sides as sides,
    _twins as own,
)
from qra_jax.studies.weights._places import CHANCE, LARGEST, MADE, PRINCIPAL, REST, ROUNDED, SMALL
from qra_jax.studies.weights._reference import SIZE, TASKS, bases, joined, pairs, reference
from qra_jax.studies.weights._twins import END, GAUSSIAN, GRPO, OWN, RL, TWIN

study = lab.Study(__name__, title="Off the principals: where updates sit, beside Gaussian ones rounded alike")

VISIBLE, MATTERS, LESS, TENTH, NEARLY_ALL = 0.01, 0.03, 0.9, 0.1, 0.9
"""Differences of an overlap from chance and from noise, ratios, and differences and shares of a gain that count."""
LITTLE = {"angle": 0.157, "drift": 0.05}
"""A tenth of a right angle; a twentieth of the singular values' norm."""
ANOTHER = "Gaussian updates against others"
TWO_PER_CENT = "two per cent of the weights, at random"


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Where the updates of all arms sit, at the end and at equal gain."""
    parts, size = {}, run(SIZE)
    for task in run(TASKS):
        tuned, apart = own.ends(reference(run, task, places.ARMS, size))
        with jax.numpy_rank_promotion("allow"):
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
        found = masks.Rerun(run, task, size, base, course.rate)(chosen)
        gained = (("mask", "rate", "seed"), masks.gains(found, course.accuracy[:, 0]))
        parts[task] = lab.dataset({"gain": gained}, {"mask": list(found), "rate": list(masks.RATES)})
    return joined(parts)


@study.experiment()
def noise(run: lab.Run) -> xr.Dataset:
    """What Gaussian updates of Gaussian weights change in bfloat16, without any training."""
    return rounding_alone.measured(run)


def _on(data: lab.Data, mask: str, where: str, update: str, arms: tuple[str, ...] = RL) -> lab.Evidence:
    on = data.runs.on.sel(at=END, arm=list(arms), mask=mask, where=where, update=update, drop=True)
    off = lab.mean(f"share on {where} weights less one half", on - CHANCE)
    return (off.above(VISIBLE) if where == SMALL else off.below(-VISIBLE)).per("task", "arm")


K = " (in the approximation by a tenth of the singular directions)"
ROUND = "Brought to .0015 of the weights and rounded to bfloat16, updates of GRPO change weights of which"
MADE_SO = "a Gaussian update, halved on principal and on large weights"
for name, statement, where in (
    ("avoids", f"{ROUND} fewer are principal{K} than by chance, one half, by .01 or more.", PRINCIPAL),
    ("small", f"{ROUND} more are among the smaller half than by chance, by .01 or more.", SMALL),
):
    null = {"Gaussian updates as long, rounded alike": (ROUNDED, where, GAUSSIAN)}
    made = {MADE_SO: (ROUNDED, where, MADE)}
    own.judged(study, name, statement, papers.GEO_1, _on, ROUNDED, where, OWN, null=null, positive=made)


def _beyond(data: lab.Data, mask: str, where: str, update: str) -> lab.Evidence:
    on = data.runs.on.sel(at=END, arm=list(RL), mask=mask, where=where, drop=True)
    off = lab.mean(f"share on {where} weights less that of Gaussian updates", own.excess(on, update))
    return (off.above(MATTERS) if where == SMALL else off.below(-MATTERS)).per("task", "arm")


BEYOND = lab.Asked(
    "In bfloat16 small weights change first, whatever moves them: is there more to it?", (papers.GEO_1,)
)
EXACT = "Of the three tenths of the weights that GRPO changes most in float32,"
FEWER = f"fewer are principal{K} than of Gaussian updates of the same length, by .03 or more."
SMALLER = "more are small than of Gaussian updates of the same length, by .03 or more."
for name, statement, mask, where in (
    ("avoids_beyond_noise", f"{ROUND} {FEWER}", ROUNDED, PRINCIPAL),
    ("small_beyond_noise", f"{ROUND} {SMALLER}", ROUNDED, SMALL),
    ("avoids_exactly", f"{EXACT} {FEWER}", LARGEST, PRINCIPAL),
    ("small_exactly", f"{EXACT} {SMALLER}", LARGEST, SMALL),
):
    null, made = {ANOTHER: (mask, where, GAUSSIAN)}, {MADE_SO: (mask, where, MADE)}
    own.judged(study, name, statement, BEYOND, _beyond, mask, where, OWN, null=null, positive=made)


def _both(data: lab.Data, mask: str) -> lab.Evidence:
    return lab.all_of(*(_on(data, mask, where, GAUSSIAN, (GRPO,)) for where in (PRINCIPAL, SMALL)))


own.judged(
    study,
    "rounding",
    "Gaussian updates of .0015 of the weights, rounded to bfloat16, are off the principals as well: of the weights "
    f"that they change, principal ones{K} are fewer and small ones more than by chance, by .01 or more.",
    lab.Derived("neighbours in bfloat16 are a share of the weight apart"),
    _both,
    ROUNDED,
    null={"the largest entries of these updates, without rounding": (LARGEST,)},
)
rounding_alone.claims(study)


def _little(data: lab.Data, what: str, words: str, update: str, lengths: list[str]) -> lab.Evidence:
    values = data.runs[what].sel(at=END, length=lengths, update=update, drop=True)
    return lab.mean(words, values).below(LITTLE[what]).per("task", "rl", "length")


def _less(data: lab.Data, what: str, words: str, update: str, length: str = places.AS_IT_IS) -> lab.Evidence:
    values = data.runs[what].sel(at=END, drop=True)
    one, twin = (
        values.sel(update=update, length=length, drop=True),
        values.sel(update=TWIN, length=places.AS_IT_IS, drop=True),
    )
    return lab.ratio(f"{words} / that of Gaussian updates", one, twin).below(LESS).per("task", "rl")


BELOW = "by less than nine tenths of what Gaussian updates of the same norm do."
TURNS, DRIFTS = ("angle", "mean angle"), ("drift", "change of singular values")
USUAL = "a Gaussian update of .0015 of the weights"
for name, words, what, lengths in (
    ("turns", "turns the first tenth of singular directions", TURNS, list(places.COORDS["length"])),
    ("drifts", "changes singular values", DRIFTS, [places.AS_IT_IS]),
):
    bound = "a tenth of a right angle, at its own length and brought to .0015 of the weights."
    if what == DRIFTS:
        bound = "a twentieth of their norm."
    own.judged(
        study,
        f"{name}_little",
        f"GRPO {words} by less than {bound}",
        papers.GEO_1,
        _little,
        *(*what, OWN, lengths),
        null={"Gaussian updates as long": (*what, GAUSSIAN, lengths)},
        positive={USUAL: (*what, GAUSSIAN, [places.USUAL])},
    )
    own.judged(
        study,
        f"{name}_less_than_noise",
        f"GRPO {words} {BELOW}",
        lab.Asked("Short updates turn little, whatever they are.", (papers.GEO_1,)),
        _less,
        *(*what, OWN),
        null={ANOTHER: (*what, GAUSSIAN)},
        positive={USUAL: (*what, GAUSSIAN, places.USUAL)},
    )


def _side(data: lab.Data, side: str, update: str, against: str) -> lab.Evidence:
    on = data.runs.on.sel(mask=ROUNDED, where=PRINCIPAL, drop=True)
    first, second = (own.excess(on, one) for one in (update, against))
    words = f"share on principal weights beyond that of Gaussian updates, by {side}"
    return sides.at_equal_gain(words, first, second, data.runs.apart, side).below(-MATTERS).per("run")


ASKED = lab.Asked("Is it the policy or the loss? Two by two, with filtered and plain SFT.", (papers.GEO_1,))
HOW = f"each way of training at its own best rate, all updates brought to one length, {sides.GAIN}"
BY = "more than Gaussian updates do, by .03 of the changed weights above what"
for side, statement in (
    (
        "policy",
        f"Training on the policy's own samples avoids principal weights{K} {BY} training on others does: {HOW}",
    ),
    (
        "loss",
        f"The loss of RL avoids principal weights{K} {BY} that of SFT does, on and off the policy: {HOW}",
    ),
):
    made = {
        "Gaussian updates, those of one side halved on principal and on large weights": (side, MADE, GAUSSIAN)
    }
    null = {"Gaussian updates": (side, GAUSSIAN, GAUSSIAN)}
    own.judged(study, side, statement, ASKED, _side, side, OWN, OWN, null=null, positive=made)


def _worse(data: lab.Data, mask: str) -> lab.Evidence:
    words = f"share of the gain: {mask} less random"
    less = masks.of_gain(words, masks.at_best(data.reruns), mask, masks.RANDOM).below(-TENTH)
    return (sides.unless_at_top(less, data.reruns.gain, mask) if mask == PRINCIPAL else less).per("task")


own.judged(
    study,
    "principal",
    f"GRPO on the three most principal tenths of the weights{K} alone gains less than on as many random ones, by a "
    f"tenth of what it gains on all, {sides.RATES_OF_MASKS}.",
    lab.Asked("If updates avoid them, they should be of little use.", (papers.GEO_1,)),
    _worse,
    PRINCIPAL,
    null={"random weights less other random ones": (masks.RANDOM_AGAIN,)},
    positive={TWO_PER_CENT: (masks.RANDOM_FEW,)},
)


def _enough(data: lab.Data, *which: str) -> lab.Evidence:
    share = masks.of_gain("share of the gain", masks.at_best(data.reruns), list(which))
    return share.above(NEARLY_ALL).per("task", "mask")


own.judged(
    study,
    "enough",
    f"GRPO on the three smallest, or least principal{K}, tenths of the weights alone has nine tenths of what it gains "
    f"on all, {sides.RATES_OF_MASKS}.",
    lab.Asked("If updates sit there, these weights should be enough.", (papers.GEO_1,)),
    _enough,
    SMALL,
    REST,
    null={TWO_PER_CENT: (masks.RANDOM_FEW,)},
    positive={"95 per cent of the weights, at random": (masks.RANDOM_MOST,)},
)


study.figure(panels.draw)
