r"""Does reinforcement learning need Adam, and does gradient descent leave more weights as they were?

The claims: in RL of language models plain gradient descent is as good as AdamW, each at its best learning rate, and
changes far fewer weights; momentum and adaptive rates do less in RL than in supervised learning.

Theory. A weight w counts as changed if its bits in bfloat16 differ, or if it is further than 1e-5 away. For a small
change δ the chance of the first is |δ| over the distance of neighbouring numbers, between |w|/256 and |w|/128: the
share changed depends on ‖ΔW‖ and on how unevenly ΔW is spread. A Gaussian update of the same norm in every matrix has
the first and not the second: each share stands beside that of its twin, and is read at several norms. The first moment
has the gradient of its own step in it: where all is noise of one size their cosine is √(1 − β₁²) = .44, so gradients
with random signs go beside; what momentum adds is in the moment before the step. If all weights had equal noise, second
moments would differ by sampling error alone, as if entries are permuted.

Prediction, before the run: most of RL's gradients is noise, and less of SFT's. Second moments are flat in neither:
inputs and units differ in size. In a small network, whose matrices have slopes of many sizes, one rate for all falls
behind Adam, in RL as in SFT. At one norm gradient descent changes fewer weights than Adam, whose steps are nearly as
long in every weight; at its own norm, in so small a network, it has changed nearly all. (That gradients are mostly
noise has failed: two batches of one step agree, in the controlled task by .3 to .5 in GRPO and .5 to .85 in SFT, while
the moment before it and its gradient are near 0 in both, as where gradients swing to and fro.)

The experiment: the reference runs, each arm at the rate that is best on other bases and better than the ends of what
was tried; where it is not, claims on best rates are open. Equal gain is half of that of GRPO by Adam, on the bases on
which all compared arms have it. And runs of Adam in which two batches are drawn at every step. A small network tests
direction, not the numbers of a large one.
"""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _optimizer_evidence as evidence, _optimizers as measure
from qra_jax.studies.weights._optimizer_panels import drawn
from qra_jax.studies.weights._optimizers import ADAM, AGAIN, SFT, SFT_AGAIN, SFT_SGD, SGD

study = lab.Study(__name__, title="SGD or Adam: reward, weights changed, and what Adam's moments are made of")

STEPS = lab.scale(30, 60)
"""Steps of the runs whose moments are read."""


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Accuracy along training, and shares of weights changed at the end and at half of the gain of GRPO with Adam."""
    return measure.every_task(run, measure.changed)


@study.experiment()
def moments(run: lab.Run) -> xr.Dataset:
    """Cosines of gradients and first moments, and how far second moments differ, in GRPO and in SFT by Adam."""
    return measure.every_task(run, measure.learners, run(STEPS))


@study.claim(
    "GRPO by gradient descent at its best rate ends at most five points of accuracy below GRPO by Adam at its best.",
    origin=papers.GEO_3,
)
def matches(data):
    return evidence.matches(data, SGD)


@matches.null("gradient descent after a quarter of its steps")
def _(data):
    return evidence.matches(data, SGD, 0.25)


@matches.positive("Adam again, with other random numbers")
def _(data):
    return evidence.matches(data, AGAIN)


@study.claim(
    "SFT by gradient descent at its best rate ends more than five points of accuracy below SFT by Adam at its best.",
    origin=lab.Asked("If Adam matters no more in SFT, RL is no exception.", (papers.GEO_3_LESS,)),
)
def contrast(data):
    return evidence.loses(data, SFT_SGD)


@contrast.null("SFT by Adam again, with other random numbers")
def _(data):
    return evidence.loses(data, SFT_AGAIN)


@study.claim(
    "From Adam to gradient descent, each at its best rate, GRPO loses less accuracy than SFT does, by five points or "
    "more.",
    origin=papers.GEO_3_LESS,
)
def loses_less(data):
    return evidence.loses_less(data, SGD, SFT_SGD)


@loses_less.null("both by Adam again")
def _(data):
    return evidence.loses_less(data, AGAIN, SFT_AGAIN)


@loses_less.positive("GRPO by Adam again, and SFT that learns nothing, in the place of gradient descent")
def _(data):
    return evidence.loses_less(data, AGAIN, SFT_SGD, 0.0)


@study.claim(
    "At the end, at best rates, GRPO by gradient descent has changed at most an eighteenth of the number of weights of "
    "these small decoders, whose updates are some hundredths of the weights, that GRPO by Adam has, as .5 % is of 9 %: "
    "by the bits in bfloat16, and by 1e-5.",
    origin=papers.GEO_3_SPARSE,
)
def sparser(data):
    return evidence.fewer(data, "share", bound=evidence.REPORTED)


@sparser.null("Gaussian updates, of the norms that both have in every matrix")
def _(data):
    return evidence.fewer(data, "share", bound=evidence.REPORTED, update="Gaussian", other="Gaussian")


@sparser.positive("the largest thousandth of the entries of that update, as long as all of it")
def _(data):
    return evidence.fewer(data, "share", bound=evidence.REPORTED, update="largest thousandth")


@study.claim(
    "Where both have half of the gain of GRPO by Adam, GRPO by gradient descent has changed at most half as many "
    "weights in bfloat16.",
    origin=lab.Asked("A method that learns less changes less.", (papers.GEO_3_SPARSE,)),
)
def matched(data):
    return evidence.matched(data, SGD)


@matched.null("Adam again")
def _(data):
    return evidence.matched(data, AGAIN)


@study.claim(
    "Scaled to .001, .01 or .1 of the norm of the weights, the update of GRPO by gradient descent changes at most "
    "half as many of them in bfloat16 as that of GRPO by Adam.",
    origin=lab.Asked("The share changed depends on the norm.", (papers.GEO_3_SPARSE,)),
)
def same_norm(data):
    return evidence.fewer(data, "at_norm")


@same_norm.null("Adam again")
def _(data):
    return evidence.fewer(data, "at_norm", arm=AGAIN)


@same_norm.positive("the largest thousandth of the entries of that update, scaled to the same norms")
def _(data):
    return evidence.fewer(data, "at_norm", update="largest thousandth")


@study.claim(
    "At the end a Gaussian update of the same norm in every matrix changes as many weights in bfloat16, up to a tenth.",
    origin=lab.Asked("If it does, the share says nothing but the norm.", (papers.GEO_3_SPARSE,)),
)
def only_norm(data):
    return evidence.as_twin(data, "own")


@only_norm.null("the largest tenth of the update's entries, at its norm")
def _(data):
    return evidence.as_twin(data, "largest tenth")


@study.claim(
    "In GRPO the first moment has the cosine with the gradient of its step that it has if signs are random, up to .1.",
    origin=lab.Asked(
        "Noise alone has a cosine near .44. Gradients that swing to and fro have it, too: the claim cannot tell them "
        "apart, but two batches of one step can.",
        (papers.GEO_3_LESS,),
    ),
)
def noise(data):
    return evidence.noise(data, "own")


@noise.null("gradients to which a part is added that is as long and never changes")
def _(data):
    return evidence.noise(data, "with a drift")


@noise.positive("gradients with other random signs")
def _(data):
    return evidence.noise(data, "other signs")


@study.claim(
    "Gradients of two batches, and the first moment and the next gradient, are less aligned in GRPO than in SFT, by a "
    "cosine of .1 or more.",
    origin=lab.Asked("Momentum does something where gradients point to the next one.", (papers.GEO_3_LESS,)),
)
def momentum(data):
    return evidence.less_aligned(data, ADAM, SFT)


@momentum.null("GRPO again")
def _(data):
    return evidence.less_aligned(data, AGAIN, ADAM)


@momentum.positive("SFT, less SFT with a part added to gradients that is as long and never changes")
def _(data):
    return evidence.less_than_with_a_drift(data, SFT)


@study.claim(
    "The deciles of adaptive rates within a matrix are at most half as far apart in GRPO as in SFT.",
    origin=lab.Asked("Adaptive rates do something where they differ.", (papers.GEO_3_LESS,)),
)
def adaptive(data):
    return evidence.less_spread(data, ADAM, SFT)


@adaptive.null("GRPO again")
def _(data):
    return evidence.less_spread(data, AGAIN, ADAM)


@adaptive.positive("GRPO with permuted gradients")
def _(data):
    return evidence.less_spread(data, ADAM, SFT, "permuted")


@study.claim(
    "In GRPO the deciles of adaptive rates within a matrix are at most twice as far apart as with permuted gradients.",
    origin=lab.Asked("If second moments are flat, one rate for all weights would do.", (papers.GEO_3_LESS,)),
)
def flat(data):
    return evidence.flat(data, ADAM)


@flat.null("SFT")
def _(data):
    return evidence.flat(data, SFT)


@flat.positive("gradients permuted once more")
def _(data):
    return evidence.flat(data, ADAM, "permuted again")


@study.figure
def draw(data: lab.Data) -> Figure:
    """Accuracy; shares changed against the norm; cosines; second moments: of the last task."""
    return drawn(data)
