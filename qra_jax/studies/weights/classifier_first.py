r"""Does it pay to train the unembedding first, and everything after?

Classifier-first RL trains W alone for about a seventh of all steps, and then everything. It is said to be faster and to
make more confident, and not for reasons of norm or drift of features, unlike linear probing before fine-tuning (LP-FT),
which trains W for long and so leaves the features nearer to where they were. Theory predicts:

- The features move by G = W J_φ J_φ′ᵀ Wᵀ. A first stage that turns W towards what is rewarded makes the errors that
  features get larger and better directed, so that the second stage is faster, *through W in G's path*. With W₀ in its
  place there (`kernel.FixedFeedback`) no more should be left than W itself has learnt.
- Stage 1 learns less than everything would in the same steps. Adam takes steps of a given size in whatever trains, so
  that a larger learning rate makes up for much: the gain should be smaller against plain training at *its* best rate
  than at the same rate, and both have the same *total* budget here.
- Where features are alike, W learns what all contexts have in common, and stage 1 makes all of them confident; where
  they vary, it learns contexts one by one, as everything does, and should not help.
- Adam divides slopes by their size, so that a scale of W all but drops out: putting ‖W‖ back before stage 2 changes
  next to nothing.

A trial of three networks, before arms were added for it, said more: ‖W‖ grows by a per cent or so in stage 1, at the
best rates, so that putting it back may be void; W doubled there costs reward; with W alone for half of the budget
features drift half as far.

The experiment: networks whose questions have best patterns of their own, trained by GRPO with Adam on the choice of a
pattern, at several rates, with features as they are, or with marks that make them apart or alike where patterns are
chosen (`kernel.alike`; what W learns along marks does not enter G). Each arm has the rate with the best mean reward *of
the other bases*; where that is the first or last rate of the grid, what is said of the arm is open. Arms: plain; plain
with Adam started afresh when stage 1 would end; classifier first. At the rate of classifier first: W alone for half of
the budget (LP-FT); ‖W‖ put back, or W doubled, when stage 1 ends; W₀, or W as stage 1 left it, or a random matrix in
G's path. A gain is of the mean reward of asked questions over the whole budget; confidence is of held-out questions, at
the end, and where reward is the same for all: .5, which plain training passes within its first records, and .65.
Reasons of a gain are open where there is no gain.
"""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _classifier_panels as drawn, _gains as of
from qra_jax.studies.weights._stages import (
    DOUBLED,
    FIRST,
    FIRST_FIXED,
    FIRST_KEPT,
    HALF,
    PLAIN_FIXED,
    PLAIN_KEPT,
    RANDOM,
    RESCALED,
    RESTARTED,
    at_all_rates,
    with_changes,
)

study = lab.Study(
    __name__, title="Classifier first: the unembedding alone for a seventh of the budget, then everything"
)

ANEW = "plain training with Adam started afresh after as many steps"
BETWEEN = (1 / of.AS_FAR, of.AS_FAR)


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Reward and entropy along training in every arm, at every rate; ‖W‖ and drift of features."""
    return at_all_rates(run)


@study.experiment(after=("runs",))
def changed(run: lab.Run) -> xr.Dataset:
    """The same with ‖W‖ put back or doubled, or another matrix in the path of G, at the best rates of their arms."""
    return with_changes(run)


@study.claim(
    "Classifier first trains these small decoders faster than plain training, each at its best rate and in the same "
    "number of steps in all: by .02 of mean reward.",
    origin=papers.NTK_3,
)
def faster(data):
    return of.faster(of.gained(data, FIRST)).per("features")


@faster.null(ANEW)
def _(data):
    return of.faster(of.gained(data, RESTARTED)).per("features")


@faster.positive("classifier first for a seventh of the budget against half of it, features as they are")
def _(data):
    return of.faster(-of.change(data, HALF))


@study.claim(
    "Classifier first makes these small decoders more confident in contexts never asked than plain training does: by "
    ".05 nats at the end.",
    origin=papers.NTK_3,
)
def surer(data):
    return of.surer(data, FIRST)


@surer.null(ANEW)
def _(data):
    return of.surer(data, RESTARTED)


@surer.positive("the start of training in the place of its end")
def _(data):
    return of.at_start(data)


@study.claim(
    "Where asked questions have a reward of .5, and of .65, classifier first is more confident in contexts never asked "
    "than plain training, by .05 nats, on the networks that get there in both.",
    origin=lab.Asked("More reward makes more confident by itself.", (papers.NTK_3,)),
)
def equal(data):
    return of.surer_at_equal(data, FIRST).per("features", "reward")


@equal.null("plain training with W₀ in G's path, features as they are")
def _(data):
    return of.surer_at_equal(data, PLAIN_FIXED).per("reward")


@study.claim(
    "The norm does not explain it: where classifier first is faster and ‖W‖ grows by 5 % or more in stage 1, mean "
    "reward stays within .02 with the norm put back before stage 2; with ‖W‖ as it was there is nothing to put back, "
    "and `scale` doubles W in its place.",
    origin=papers.NTK_3_MECHANISM,
)
def norm(data):
    return of.if_faster(data, of.same("the norm put back", of.change(data, RESCALED)), of.grown(data))


@norm.null("W doubled before stage 2")
def _(data):
    return of.same("W doubled", of.change(data, DOUBLED))


@study.claim(
    "A scale of the unembedding matters with Adam, too: twice W before stage 2 changes mean reward by .02 or more at "
    "the same learning rate.",
    origin=lab.Asked("Could putting the norm back change anything?", (papers.NTK_3_MECHANISM,)),
)
def scale(data):
    return lab.contrary(of.same("W doubled", of.change(data, DOUBLED)))


@scale.null("the norm put back: a factor near one")
def _(data):
    return lab.contrary(of.same("the norm put back", of.change(data, RESCALED)))


@study.claim(
    "Drift of features does not explain it: where classifier first is faster, features end as far from where they were "
    "as in plain training (1 less their cosine), each at its best rate, within a factor of 1.5.",
    origin=papers.NTK_3_MECHANISM,
)
def drift(data):
    return of.if_faster(data, of.drifted(data, FIRST).between(*BETWEEN))


@drift.null("W alone for half of the budget (LP-FT)")
def _(data):
    return of.drifted(data, HALF).between(*BETWEEN)


@study.claim(
    "W alone for half of the budget (LP-FT) leaves features nearer to where they were than W alone for a seventh: they "
    "drift at most 1/1.5 as far, both at the best rate of the latter.",
    origin=lab.Asked("Is the drift another one than that of LP-FT?", (papers.NTK_3_MECHANISM,)),
)
def probing(data):
    return of.drifted(data, HALF, FIRST).below(1 / of.AS_FAR)


@probing.null("plain training with Adam started afresh, against plain training")
def _(data):
    return of.drifted(data, RESTARTED).below(1 / of.AS_FAR)


@study.claim(
    "The first stage works through the unembedding in the path of G: where classifier first is faster, its gain over "
    "plain training is .02 less, or more, where both have W₀ there.",
    origin=lab.Derived("G = W J_φ J_φ′ᵀ Wᵀ", (papers.NTK_3,)),
)
def through(data):
    less = of.change(data, PLAIN_FIXED) - of.change(data, FIRST_FIXED)
    return of.if_faster(data, of.lost("W₀ (beyond what plain training loses)", less))


@through.null("W as it is after stage 1 in G's path from then on, in both")
def _(data):
    less = of.change(data, PLAIN_KEPT) - of.change(data, FIRST_KEPT)
    return of.lost("W after stage 1 (beyond what plain training loses)", less)


@through.positive("a random matrix in G's path")
def _(data):
    return of.lost("a random matrix", -of.change(data, RANDOM))


@study.claim(
    "Classifier first gains more where features are alike (cosine .99 of marks) than where they vary (cosine 0), by "
    ".02 of mean reward.",
    origin=lab.Asked("It is said to make use of features that vary little.", (papers.NTK_2, papers.NTK_3)),
)
def alike(data):
    return of.more_alike(data, FIRST)


@alike.null(ANEW)
def _(data):
    return of.more_alike(data, RESTARTED)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Reward along training; gains of all arms; by rate; drift beside it."""
    return drawn.every(data)
