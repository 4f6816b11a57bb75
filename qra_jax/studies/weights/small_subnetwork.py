r"""Does RL change a small subnetwork, whose training alone reproduces the run, because its data are on the policy?

The claims: RL leaves two thirds or more of the weights as they are, up to 1e-5; its updates have nearly full rank;
subnetworks of other seeds, data and algorithms overlap; training the changed weights alone reproduces the run; and
training on samples near the policy is the cause.

Theory, and what it predicts: a weight differs in bfloat16 where its update exceeds half the distance of neighbours,
2⁻⁹ to 2⁻⁸ of the weight. So the share that changes is a function of the update's length: a Gaussian update of the same
norm changes about as many, and whatever makes updates longer, in steps, learning rate or data, changes more. Here
updates are a tenth of the weights, so nearly all weights change; brought to the length that is usual of language
models, a minority. As the small weights change first, masks of Gaussian updates overlap, too. Rank proves little as
well: noise is of full rank by default tolerance, as sums of many outer products are, and rounding makes even an update
of rank one so; the stable rank counts directions that carry the norm. A mask of the largest changes knows where
gradients are large; random weights, fewer by as much, have as much freedom as most tasks need, at a higher rate. In
bfloat16 itself steps below half the distance of neighbours are lost, so that fewer weights change and less is learnt.

The experiment: reference runs of GRPO and SFT, on and off the policy, of the same base networks, stored as float32, as
float32 with a copy in bfloat16 that computes, and as bfloat16; then GRPO again on masks of equal density, and with its
changes held to a rank, each at its best of two learning rates.
"""

import xarray as xr

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import (
    _counts as counts,
    _overlaps as overlaps,
    _reruns as alone,
    _sides as sides,
    _subnetwork_panels as panels,
    _twins as own,
)
from qra_jax.studies.weights._counts import ABSOLUTE, ALIKE, BITS, EQUAL, SPARSE, SPIKED
from qra_jax.studies.weights._reference import KEPT
from qra_jax.studies.weights._twins import END, GAUSSIAN, GRPO, OWN, RL, TWIN

study = lab.Study(
    __name__, title="Small subnetworks: how many weights change, beside Gaussian updates of equal length"
)

FEW, LESS, HALF_OF_IT, APART, MATTERS = 0.32, 0.9, 0.5, 0.1, 0.03
"""Share of weights that is still few, as the least that is reported is 68 % unchanged; ratios that count as less;
differences of a share of the weights that count, of one length and of all lengths."""
ANOTHER, AS_SPARSE = "Gaussian updates against others", "a Gaussian update of a fifth of the weights"


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Shares that change, ranks and overlaps, of updates in float32, at the end and at equal gain."""
    return counts.all_arms(run)


@study.experiment()
def storage(run: lab.Run) -> xr.Dataset:
    """Shares that GRPO and SFT change in the end, by storage and criterion, and gains in accuracy."""
    return counts.all_storages(run)


@study.experiment()
def reruns(run: lab.Run) -> xr.Dataset:
    """Gain of GRPO on masks and at low rank, and how far from the run on all weights each ends."""
    return counts.all_masks(run)


WORDS = "share of the weights that change"


def _stored(data: lab.Data, update: str) -> lab.Evidence:
    here = {"arm": GRPO, "criterion": [ABSOLUTE, BITS], "storage": list(KEPT), "update": update}
    changed = data.storage.changed.sel(**here, drop=True)
    return lab.mean(WORDS, changed).below(FEW).per("task", "storage", "criterion")


own.judged(
    study,
    "small",
    "GRPO leaves 68 per cent or more of the weights of attention and perceptron of these small decoders, whose updates "
    "are some hundredths of the weights, the same, up to 1e-5 and in bfloat16, however they are stored in training.",
    papers.GEO_2,
    _stored,
    OWN,
    null={"Gaussian updates as long": (GAUSSIAN,)},
    positive={AS_SPARSE: (SPARSE,)},
)


def _shortened(data: lab.Data, update: str) -> lab.Evidence:
    changed = data.runs.changed.sel(at=END, arm=list(RL), length=EQUAL, update=update, drop=True)
    return lab.mean(WORDS, changed).below(FEW).per("task", "arm")


own.judged(
    study,
    "small_when_short",
    "Brought to .0015 of the weights, updates of GRPO leave 68 per cent or more of the weights the same in bfloat16.",
    lab.Asked("Is the subnetwork small because updates of language models are short?", (papers.GEO_2,)),
    _shortened,
    OWN,
    null={"Gaussian updates as long": (GAUSSIAN,)},
    positive={AS_SPARSE: (SPARSE,)},
)


def _against(data: lab.Data, variable: str, words: str, bound: float, update: str) -> lab.Evidence:
    values = data.runs[variable].sel(at=END, arm=list(RL), drop=True)
    values = values.sel(length=EQUAL, drop=True) if "length" in values.dims else values
    return own.over_gaussian(words, values, update).below(bound).per("task", "arm")


SHARE, STABLE = ("changed", "share that changes", LESS), ("stable", "stable rank", HALF_OF_IT)
own.judged(
    study,
    "fewer",
    "Brought to .0015 of the weights, updates of GRPO change less than nine tenths of the weights in bfloat16 that "
    "Gaussian updates of the same length change.",
    lab.Asked("If the subnetwork is small for more reasons than the update's length.", (papers.GEO_2,)),
    _against,
    *(*SHARE, OWN),
    null={ANOTHER: (*SHARE, GAUSSIAN)},
    positive={AS_SPARSE: (*SHARE, SPARSE)},
)


def _follows(data: lab.Data, update: str, by: int) -> lab.Evidence:
    sweep = data.runs.sweep.sel(at=END, arm=list(RL)).drop_vars("relative")
    mine = sweep.sel(update=update, drop=True).isel(relative=slice(by, None))
    noise = sweep.sel(update=TWIN, drop=True).isel(relative=slice(None, -by or None))
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
    positive={ANOTHER: (GAUSSIAN, 0)},
)


def _full(data: lab.Data, what: str) -> lab.Evidence:
    room = data.runs.room.sel(at=END, arm=list(RL), what=what, drop=True)
    words = f"log₁₀ of the singular value at {counts.REACHED[what]:.0%} of full rank over what counts as zero"
    return lab.mean(words, room).above(0.0).per("task", "arm")


PROOF = lab.Asked("Then full rank says nothing of what was learnt.", (papers.GEO_2,))
ROUND = "The first direction alone of GRPO's update, brought to .0015 of the weights and rounded to bfloat16,"
MEDIAN = "by numpy's tolerance, in the mean of networks, each with its median matrix."
for name, statement, origin, what, null in (
    (
        "rank",
        f"GRPO's update in float32 has 99 per cent of full rank {MEDIAN}",
        papers.GEO_2,
        "WHOLE",
        "NOISE",
    ),
    ("rank_by_rounding", f"{ROUND} has nine tenths of full rank {MEDIAN}", PROOF, "ROUNDED", "FIRST"),
):
    part, other = getattr(counts, what), getattr(counts, null)
    own.judged(study, name, statement, origin, _full, part, null={other: (other,)})
own.judged(
    study,
    "stable_rank",
    "The stable rank of GRPO's updates is less than half of that of Gaussian updates.",
    lab.Asked("Full rank, but in how many directions is the norm?", (papers.GEO_2,)),
    _against,
    *(*STABLE, OWN),
    null={ANOTHER: (*STABLE, GAUSSIAN)},
    positive={"a Gaussian update, its first direction seven times as long": (*STABLE, SPIKED)},
)


def _sides(data: lab.Data, side: str, length: str, update: str, against: str) -> lab.Estimate:
    changed = data.runs.changed.sel(length=length, drop=True)
    first, second = (changed.sel(update=one, drop=True) for one in (update, against))
    return sides.at_equal_gain(f"share that changes, by {side}", first, second, data.runs.apart, side)


def _side(data: lab.Data, *what: str) -> lab.Evidence:
    return _sides(data, *what).below(-MATTERS).per("run")


def _equal(data: lab.Data, *what: str) -> lab.Evidence:
    return _sides(data, *what).near(0.0, within=MATTERS).per("run")


BY = f"in bfloat16, by .03 of all weights or more, all updates shortened by one factor: {sides.RATE} {sides.GAIN}"
NOISE, SPARSER = (EQUAL, GAUSSIAN, TWIN), (EQUAL, SPARSE, TWIN)
EXACT = "Gaussian updates, those of one side of a fifth of the weights"
WHICH = lab.Asked("Is it the policy or the loss?", (papers.GEO_2_CAUSE,))
POLICY = "With either loss, training on samples of the policy changes fewer weights than on others"
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
    f"in bfloat16, with either loss, within .03 of all weights: {sides.GAIN}",
    lab.Derived("a weight changes where its update exceeds half the distance of neighbours"),
    _equal,
    *("policy", EQUAL, OWN, OWN),
    null={EXACT: ("policy", *SPARSER)},
    positive={"Gaussian updates of one length": ("policy", *NOISE)},
)
overlaps.claims(study)
alone.claims(study)
study.figure(panels.draw)
