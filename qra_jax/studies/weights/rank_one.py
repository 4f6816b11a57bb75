r"""Does the first singular direction of every weight's update carry what training gained?

The claim: with ΔW = W − W₀ and its first direction ΔW₁ = σ₁u₁v₁ᵀ, the network W₀ + αΔW₁, α = ‖ΔW‖/‖ΔW₁‖, has nearly all
of the accuracy of RL, but not that of supervised training or of DPO; embedding, norms and unembedding are left at base.

Theory says nothing of a network's weights, but what would make the claim empty: if few directions matter to the task
and ΔW is long, any direction that overlaps with them gains when it is made long enough. So it is asked as well whether
the *second* direction at the same norm gains less, what is left without the first, and what random directions and
small parts do that are made as long. A gain can also sit in what the protocol leaves at base.

The paper's number is a ratio of *accuracies* of the last checkpoint; the base alone has a part of it. It is judged as
it is there; what is asked here is the share of the *gain*. As a method that has gone further has more to recover, this
is read where every run first has half of the gain of GRPO with Adam. Arms that are compared have the same bases, those
on which all of them have that gain, or, at the end, any gain; shares are of these bases together.

The experiment: the reference runs of several ways of training, of the same small decoders, each at its best learning
rate. Accuracy is exact, by teacher forcing, on questions like those of training. RLIF is in no claim. Found on
the controlled task: best rates are nearly ties, and shares seem to go with them. Of SFT's gain the first direction has
.03 at a rate of .01 (quick) and .46 at .003 (full), of on-policy distillation's .15 at .01. Distillation at .003 has
.53 and .41, as GRPO, and .4 of its accuracy, on arithmetic .8, against "supervised" (.015 is reported).
"""

from dataclasses import replace
from functools import partial

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _rank_one_panels as drawn
from qra_jax.studies.weights._parts_of_updates import (
    END,
    ENTRIES,
    EQUAL,
    FIRST,
    HALF_REST,
    MATRICES_ONLY,
    NO_NORMS,
    RANDOM,
    REST_ONLY,
    SECOND,
    WITH_REST,
    WITHOUT,
    read_all,
)
from qra_jax.studies.weights._shares_at_rate import at_rate
from qra_jax.studies.weights._shares_of_gains import differs, share
from qra_jax.studies.weights._twins import judged

study = lab.Study(__name__, title="Rank one: how much of a gain the first direction of every update carries")

ADAM, AGAIN = "GRPO, Adam", "GRPO, Adam, again"
RL, OWN = ("GRPO, SGD", ADAM), ("filtered SFT⁺", "filtered SFT⁻", "filtered SFT±")
SUPERVISED, BETWEEN = ("SFT", "distillation"), ("distillation, on-policy", "DPO, offline", "DPO, iterated")
ARMS = (*RL, AGAIN, *OWN, "RLIF", *SUPERVISED, *BETWEEN)
NEARLY, MOST, HALF, AS_MUCH = 0.99, 0.9, 0.5, 0.1
"""The paper's share of accuracy; shares of a gain that are most of it, little of it, and no difference."""
ROUGHLY, REPORTED = 0.2, {"distillation, on-policy": 0.56, "DPO, offline": 0.62, "DPO, iterated": 0.62}


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Accuracies of networks made of parts of an update, at the end and at equal gain."""
    return read_all(run, ARMS)


def _has(data: lab.Data, network: str) -> lab.Evidence:
    return share(data.runs, EQUAL, RL, network).above(MOST).per("run")


def _lack(data: lab.Data, *networks: str) -> lab.Evidence:
    shares = {network: share(data.runs, EQUAL, RL, network) for network in networks}
    words = "share of the gain at equal gain"
    return replace(lab.stacked("network", shares), quantity=words).below(HALF).per("network", "run")


def _accurate(data: lab.Data, network: str) -> lab.Evidence:
    return share(data.runs, END, RL, network, gain=False).above(NEARLY).per("run")


def _inaccurate(data: lab.Data, network: str) -> lab.Evidence:
    return share(data.runs, END, SUPERVISED, network, gain=False).below(HALF).per("run")


def _reported(data: lab.Data, network: str) -> lab.Evidence:
    shares = share(data.runs, END, BETWEEN, network, gain=False)
    numbers = [REPORTED[str(run).rsplit(" (", 1)[0]] for run in shares.value.run.values]
    return shares.near(shares.value.copy(data=numbers), within=ROUGHLY).per("run")


def _apart(data: lab.Data, arms: tuple[str, ...]) -> lab.Evidence:
    return differs(data.runs, EQUAL, arms, FIRST, than=ADAM).below(-AS_MUCH).per("run")


def _apart_at_rate(data: lab.Data) -> lab.Evidence:
    return at_rate(data.runs, EQUAL, (*OWN, BETWEEN[0]), FIRST, ADAM, "SFT").below(-AS_MUCH).per("run")


def _together(data: lab.Data, arms: tuple[str, ...]) -> lab.Evidence:
    return differs(data.runs, EQUAL, arms, FIRST, than=ADAM).near(0.0, within=AS_MUCH).per("run")


def _longer(data: lab.Data, update: str, shift: int = 0) -> lab.Evidence:
    share = data.runs["share"].sel(arm=list(RL), at=END, drop=True)
    own, noise = (share.sel(update=one, drop=True) for one in (update, "Gaussian"))
    words = "share of the norm / that of a Gaussian update"
    return lab.ratio(words, own.roll(seed=shift), noise).above(1.2).per("task", "arm")


def _peak(data: lab.Data, direction: str) -> lab.Evidence:
    found = data.runs.scaled.sel(arm=list(RL), at=END, direction=direction, drop=True)
    there, words = (
        found.sel(scale=0.7, drop=True),
        f"accuracy of the {direction} at .7 of the norm, less that at",
    )
    beside = {1.0: "the whole", 0.25: "a quarter"}
    less = [
        lab.difference(f"{words} {name}", there, found.sel(scale=scale, drop=True)).above(0.0)
        for scale, name in beside.items()
    ]
    return lab.all_of(*less).per("task", "arm")


claim = partial(judged, study)
LONG = {"the second direction": (SECOND,), "a random tenth of the entries, as long": (ENTRIES,)}
WHOLE, CHANCE = {"all directions of the matrices": (MATRICES_ONLY,)}, {"a random direction": (RANDOM,)}
HALVED = {HALF_REST: (HALF_REST,)}

claim(
    "carries",
    "At the end of GRPO of these small decoders, the network with the first direction of every matrix, at the norm of "
    "the whole update, has .99 of the accuracy of the trained one.",
    papers.A_1,
    _accurate,
    FIRST,
    null=LONG,
    positive=HALVED,
)
claim(
    "supervised",
    "At the end of SFT on demonstrations and of distillation of these small decoders, each at its own best rate, the "
    "network with the first direction of every matrix has less than half of the accuracy of the trained one.",
    papers.A_1,
    _inaccurate,
    FIRST,
    null=WHOLE,
    positive=CHANCE,
)
claim(
    "between",
    "At the end, in these small decoders, the network with the first direction of every matrix has .56 of the accuracy "
    "of on-policy distillation and .62 of that of DPO, each at its own best rate, within .2.",
    papers.A_1,
    _reported,
    FIRST,
    null=CHANCE,
)
claim(
    "gain",
    "At equal gain, the first direction of every matrix, at the norm of the whole update, has nine tenths of the gain "
    "of GRPO.",
    lab.Asked("A ratio of accuracies has the base's in it.", (papers.A_1,)),
    _has,
    FIRST,
    null=LONG,
    positive=HALVED,
)
claim(
    "with_rest",
    "At equal gain, the first direction of every matrix, with embedding, norms and unembedding as trained, has nine "
    "tenths of the gain of GRPO.",
    lab.Asked("What the protocol leaves at base may carry a part of the gain.", (papers.A_1,)),
    _has,
    WITH_REST,
    null={"embedding, norms and unembedding alone": (REST_ONLY,)},
    positive=HALVED,
)
claim(
    "matrices",
    "At equal gain, the matrices of attention and perceptron have nine tenths of the gain of GRPO, embedding, norms "
    "and unembedding left at base.",
    lab.Asked("The protocol leaves them at base; what sits there is lost to it.", (papers.A_1,)),
    _has,
    MATRICES_ONLY,
    null={"the rest alone, matrices left at base": (REST_ONLY,)},
    positive={"everything but the norms": (NO_NORMS,)},
)
claim(
    "others",
    "At equal gain, the second direction, the update without its first direction, and a random tenth of its entries, "
    "each as long as the update, have less than half of the gain of GRPO.",
    lab.Asked(
        "Random directions gain nothing at any scale: too weak a null. What any part gains that is made long enough "
        "is not due to the first direction.",
        (papers.A_1,),
    ),
    _lack,
    *(SECOND, WITHOUT, ENTRIES),
    null={"all directions of the matrices": (MATRICES_ONLY,)},
    positive={"a random direction": (RANDOM,)},
)
apart = claim(
    "apart",
    "At equal gain, the first direction has a share of the gain of SFT and of distillation that is less than that of "
    "GRPO by a tenth of the gain, each at its own best rate.",
    lab.Asked("Are updates of RL of lower rank in what they do, however far they went?", (papers.A_1,)),
    _apart,
    SUPERVISED,
    null={"GRPO with other random numbers": ((AGAIN,),)},
)
apart.null("training on own samples at the rate of SFT")(_apart_at_rate)
claim(
    "own_samples",
    "At equal gain, the first direction has the same share of the gain of filtered SFT, on right samples, wrong ones "
    "and both, as of GRPO, within a tenth of the gain.",
    lab.Asked("Is it the samples, which filtered SFT has in common with RL, or the loss?", (papers.A_1,)),
    _together,
    OWN,
    null={"SFT on demonstrations and distillation": (SUPERVISED,)},
    positive={"GRPO with other random numbers": ((AGAIN,),)},
)
claim(
    "longer",
    "The first direction of GRPO's whole updates has a larger share of the norm than in a Gaussian update, by a fifth.",
    lab.Asked(
        "A fifth of the norm is reported for large matrices; in small ones noise alone has more than that.",
        (papers.A_1_SHARE,),
    ),
    _longer,
    "own",
    null={
        "the update with its entries shuffled": ("shuffled",),
        "the Gaussian update of another base": ("Gaussian, again", 1),
    },
)
claim(
    "below_full",
    "At the end of GRPO, the first direction is more accurate at .7 of the norm of the update than at the whole and "
    "at a quarter of it.",
    papers.A_1_SHARE,
    _peak,
    FIRST,
    null={"the second direction": (SECOND,), "a random direction": (RANDOM,)},
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Shares of the gain by arm and network; other parts, as long; accuracy against λ; share of the norm."""
    return drawn.every(data.runs.isel(task=[-1]))
