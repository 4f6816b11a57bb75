r"""Does RL change a small subnetwork, whose training alone reproduces the run, because its data are on the policy?

The claims: RL leaves two thirds or more of the weights as they are, its updates have nearly full rank, training the
changed weights alone reproduces the run, and training on samples near the policy is the cause.

Theory, and what it predicts: a weight differs in bfloat16 where its update exceeds half the distance of neighbours,
2⁻⁹ to 2⁻⁸ of the weight. So the share that changes is a function of the update's length: a Gaussian update of the same
norm changes about as many, and whatever makes updates longer, in steps, learning rate or data, changes more. Here
updates are a tenth of the weights, so nearly all weights change; brought to the length that is usual of language
models, a minority. Rank proves little as well: sums of many outer products are of full rank by default tolerance, and
rounding makes even an update of rank one so; the stable rank counts directions that carry the norm. A mask of the
largest changes knows where gradients are large; random weights, fewer by as much, have as much freedom as most tasks
need. In bfloat16 itself steps below half the distance of neighbours are lost, so that fewer weights change and less is
learnt.

The experiment: reference runs of GRPO and SFT, on and off the policy, of the same base networks, stored as float32, as
float32 with a copy in bfloat16 that computes, and as bfloat16; then GRPO again on masks of equal density.
"""

import xarray as xr

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import (
    _counts as counts,
    _masks as masks,
    _subnetwork_panels as panels,
    _twins as own,
)
from qra_jax.studies.weights._counts import ALIKE, BITS, CHANGED, EQUAL, SPARSE, SPIKED
from qra_jax.studies.weights._reference import KEPT
from qra_jax.studies.weights._twins import END, GAUSSIAN, GRPO, OTHERS, OWN, RL

study = lab.Study(
    __name__, title="Small subnetworks: how many weights change, beside Gaussian updates of equal length"
)

FEW, MOST, LESS, APART, MATTERS = 0.32, 0.9, 0.9, 0.1, 0.03
"""Share of weights that is still few, as the least that is reported is 68 % unchanged; shares and ratios that count as
nearly all and as less; differences of a share of the weights or of a gain, and of Jaccard's index, that count."""
ONE, NEARLY = "Gaussian updates against others", "95 per cent of the weights, at random"


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Shares that change, and ranks, of updates in float32, at the end and at equal accuracy."""
    return counts.all_arms(run)


@study.experiment()
def storage(run: lab.Run) -> xr.Dataset:
    """Shares that GRPO changes in the end, by storage and criterion, and gains in accuracy."""
    return counts.all_storages(run)


@study.experiment()
def reruns(run: lab.Run) -> xr.Dataset:
    """Gain of GRPO on masks of all parameters, and how far from the run on all of them it ends."""
    return counts.all_masks(run)


def _few(changed: xr.DataArray) -> lab.Evidence:
    test = lab.mean("share of the weights that change", changed).below(FEW)
    return test.per("task", "storage") if "storage" in changed.dims else test.per("task")


@study.claim(
    "GRPO leaves 68 per cent or more of the weights of attention and perceptron the same in bfloat16, however they are "
    "stored in training.",
    origin=papers.GEO_2,
)
def small(data):
    return _few(data.storage.changed.sel(criterion=BITS, update=OWN, storage=list(KEPT), drop=True))


@small.null("Gaussian updates as long as the weights")
def _(data):
    return _few(
        data.runs.sweep.isel(relative=-1, drop=True).sel(at=END, arm=GRPO, update=GAUSSIAN, drop=True)
    )


@small.positive("Gaussian updates of a three-thousandth of the weights")
def _(data):
    return _few(data.runs.sweep.isel(relative=1, drop=True).sel(at=END, arm=GRPO, update=GAUSSIAN, drop=True))


def _against(data: lab.Data, variable: str, words: str, bound: float, update: str) -> lab.Evidence:
    values = data.runs[variable].sel(at=END, arm=list(RL), drop=True)
    values = values.sel(length=EQUAL, drop=True) if "length" in values.dims else values
    return own.over_gaussian(words, values, update).below(bound).per("task", "arm")


SHARE, STABLE = ("changed", "share that changes", LESS), ("stable", "stable rank", 0.5)
own.judged(
    study,
    "fewer",
    "Brought to .0015 of the weights, updates of GRPO change less than nine tenths of the weights in bfloat16 that "
    "Gaussian updates of the same length change.",
    lab.Asked("If the subnetwork is small for more reasons than the update's length.", (papers.GEO_2,)),
    _against,
    *(*SHARE, OWN),
    null={ONE: (*SHARE, GAUSSIAN)},
    positive={"a Gaussian update of half of the weights": (*SHARE, SPARSE)},
)


def _follows(data: lab.Data, update: str, by: int) -> lab.Evidence:
    sweep = data.runs.sweep.sel(at=END, arm=list(RL)).drop_vars("relative")
    mine = sweep.sel(update=update, drop=True).isel(relative=slice(by, None))
    noise = sweep.sel(update=OTHERS, drop=True).isel(relative=slice(None, -by or None))
    words = "largest difference of the changed share from that of Gaussian updates, over lengths"
    largest = abs(mine - noise).max("relative", skipna=False)
    return lab.mean(words, largest).below(APART).per("task", "arm")


own.judged(
    study,
    "length",
    "At every length from .0001 of the weights to all of it, updates of GRPO change a share of the weights in bfloat16 "
    "that is within .1 of that of Gaussian updates.",
    lab.Derived("a weight changes where its update exceeds half the distance of neighbours"),
    _follows,
    *(OWN, 0),
    null={"Gaussian updates about three times as long": (GAUSSIAN, 1)},
    positive={ONE: (GAUSSIAN, 0)},
)


def _full(data: lab.Data, what: str) -> lab.Evidence:
    lowest = data.runs["rank"].sel(at=END, arm=list(RL), what=what, drop=True).min("seed", skipna=False)
    return lab.exact("lowest rank / full rank", lowest).above(0.95).per("task", "arm")


FULL = "has 95 per cent or more of full rank in the mean of the matrices, in every run."
ROUND = "The first direction alone of GRPO's update, brought to .0015 of the weights and rounded to bfloat16,"
PROOF = lab.Asked("Then full rank says nothing of what was learnt.", (papers.GEO_2,))
for name, words, origin, what, null in (
    ("rank", "GRPO's update, by numpy's tolerance in float32,", papers.GEO_2, counts.WHOLE, counts.HALF),
    ("rank_by_rounding", ROUND, PROOF, counts.ROUNDED, counts.FIRST),
):
    own.judged(study, name, f"{words} {FULL}", origin, _full, what, null={null: (null,)})
own.judged(
    study,
    "stable_rank",
    "The stable rank of GRPO's updates is less than half of that of Gaussian updates.",
    lab.Asked("Full rank, but in how many directions is the norm?", (papers.GEO_2,)),
    _against,
    *(*STABLE, OWN),
    null={ONE: (*STABLE, GAUSSIAN)},
    positive={"a Gaussian update, its first direction seven times as long": (*STABLE, SPIKED)},
)


def _sides(data: lab.Data, side: str, length: str, update: str, against: str) -> lab.Estimate:
    changed = data.runs.changed.sel(length=length, drop=True)
    first, second = (changed.sel(update=one, drop=True) for one in (update, against))
    return own.beside(f"share that changes, by {side}", first, second, data.runs.apart, side)


def _side(data: lab.Data, *what: str) -> lab.Evidence:
    return _sides(data, *what).below(-MATTERS).per("run")


def _equal(data: lab.Data, *what: str) -> lab.Evidence:
    return _sides(data, *what).near(0.0, within=MATTERS).per("run")


BY = "in bfloat16, by .03 of all weights or more, all updates shortened by one factor."
NOISE, SPARSER = (EQUAL, GAUSSIAN, OTHERS), (EQUAL, SPARSE, OTHERS)
EXACT = "Gaussian updates, those of one side of half of the weights"
WHICH = lab.Asked("Is it the policy or the loss?", (papers.GEO_2_CAUSE,))
POLICY = "Over both losses, training on samples of the policy changes fewer weights than on others"
LOSS = "On and off the policy, the loss of RL changes fewer weights than that of SFT"
for side, statement, origin in (("policy", POLICY, papers.GEO_2_CAUSE), ("loss", LOSS, WHICH)):
    null, positive = {"Gaussian updates of one length": (side, *NOISE)}, {EXACT: (side, *SPARSER)}
    own.judged(
        study, side, f"{statement} {BY}", origin, _side, side, ALIKE, OWN, OWN, null=null, positive=positive
    )
own.judged(
    study,
    "policy_at_equal_length",
    "Brought to one length, updates made on samples of the policy and on others change the same share of the weights "
    "in bfloat16, over both losses, within .03 of all weights.",
    lab.Derived("a weight changes where its update exceeds half the distance of neighbours"),
    _equal,
    *("policy", EQUAL, OWN, OWN),
    null={EXACT: ("policy", *SPARSER)},
    positive={"Gaussian updates of one length": ("policy", *NOISE)},
)


def _stored(data: lab.Data, storage: str) -> lab.Evidence:
    gain = data.storage.gain
    both = gain.sel(storage=storage, drop=True), gain.sel(storage="float32", drop=True)
    return lab.pooled_share(f"gain, {storage}, of that in float32", *both).below(LESS).per("task")


@study.claim(
    "Stored in bfloat16, the network gains less than nine tenths of what it gains in float32 at the same rate.",
    origin=lab.Asked("What changes less could learn less.", (papers.GEO_2,)),
)
def cost(data):
    return _stored(data, "bfloat16")


@cost.null("float32, with other random numbers")
def _(data):
    return _stored(data, "again")


@cost.positive("two per cent of the weights, at random, in float32")
def _(data):
    return masks.of_gain("share of the gain", data.reruns.gain, masks.FEW).below(LESS).per("task")


def _alone(data: lab.Data, mask: str) -> lab.Evidence:
    return masks.of_gain(f"share of the gain: {mask}", data.reruns.gain, mask).above(MOST).per("task")


def _better(data: lab.Data, mask: str) -> lab.Evidence:
    words = f"share of the gain: {mask} less random"
    return masks.of_gain(words, data.reruns.gain, mask, masks.RANDOM).above(APART).per("task")


def _nearer(data: lab.Data, mask: str) -> lab.Evidence:
    apart = data.reruns.apart
    both = apart.sel(mask=mask, drop=True), apart.sel(mask=masks.RANDOM, drop=True)
    words = f"distance of the ends / length of the whole update: {mask} less random"
    return lab.difference(words, *both).below(-APART).per("task")


ANY = lab.Asked("Any weights, as many, might do.", (papers.GEO_2_SUBNETWORK,))
ALONE = "Trained alone, the three tenths of the weights that change most in a run, relative to their size,"
GAIN, ENDS = (
    "gain a tenth of its gain more than as many random ones.",
    "end nearer to it, by a tenth of its way, than random ones do.",
)
for name, words, origin, judge, null in (
    ("subnetwork", "have nine tenths of its gain.", papers.GEO_2_SUBNETWORK, _alone, masks.FEW),
    ("better_than_random", GAIN, ANY, _better, masks.OTHER),
    ("nearer_than_random", ENDS, ANY, _nearer, masks.OTHER),
):
    controls = {"null": {f"of the weights, {null}": (null,)}, "positive": {NEARLY: (masks.MOST,)}}
    own.judged(study, name, f"{ALONE} {words}", origin, judge, CHANGED, **controls)


study.figure(panels.draw)
