r"""Do features that are alike make a network confident where it was never trained?

A step on samples (s′, y) with weights r changes log π(·|s) by η Σ r T_s K(s, s′)(e_y − π(·|s′)), to first order. The
logit kernel K = R + G has a part through the unembedding W, R = ⟨φ(s), φ(s′)⟩ I, and a part through the features,
G. Theory predicts:

- R + G is all of it: the predicted change is the actual one but for terms in η². R or G alone is not. That holds of
  single questions, too: ⟨∇J_m, ∇J_n⟩ says what a step on question n does to the reward of question m.
- With one sample and R alone the rewarded token gains in every context s with ⟨φ, φ′⟩ > 0, as
  [T_s (e_y − π′)]_y ≥ (1 − π_y)(1 − π′_y). G has no sign: whether it gains under K is measured.
- So updates that agree add up in contexts never asked. The more alike features are, the more confident the network
  becomes there, *whether or not* what it learns is of any use: where every question has a best pattern of its own,
  held-out entropy falls and held-out reward stays. In a small trial W alone, in 40 contexts, lost .08, .33, .51, .61
  and .64 nats at mean cosines 0, .3, .6, .9 and .99.
  The same is to be seen here in sign and order; cosines and sizes are those of other networks.
- It takes rewards that agree: where every pattern is the best one of as many asked questions, they cancel.
- Through G nothing depends on the cosine: `kernel.alike` changes R alone, and leaves policy and G as they were, so that
  a network of which all but W trains cannot tell the difference. G has no sign, and should make contexts never asked
  less confident than W does. *This prediction failed* (`features`): at cosine 0 held-out entropy falls by .49 nats
  through G alone and by .43 through W alone (quick; .71 and .65 in full): without a sign G makes confident, too.
- Adam divides slopes by their size: what cancels on average is made as large as what does not.
- Rewards alone (r ≥ 0) agree in the tokens that were sampled, punishments alone in those that were not.

The experiment: networks whose 32 questions have best patterns of their own, half of them never asked; GRPO, or rewards
or punishments alone, by gradient descent or Adam, on the choice of a pattern. The cosine is swept by marks that the
unembedding does not read. Contexts that enter a mean cosine are those of different questions where the pattern is
chosen; where the answer is given, or over all places, they are others: all are shown.
"""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _confidence as of, _kernel_panels as drawn
from qra_jax.studies.weights._alike import ALONE, EVEN, ONE, REST, paths, single_steps

study = lab.Study(
    __name__, title="Logit kernel and confidence: what alike features do to contexts never asked"
)

CANCEL = "best patterns of asked questions in equal numbers: updates cancel"


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Entropy and reward of asked and held-out questions along training, in every arm."""
    return paths(run)


@study.experiment()
def steps(run: lab.Run) -> xr.Dataset:
    """One step of GRPO: predicted and actual change in held-out contexts; rewarded tokens; cosines of features."""
    return single_steps(run)


@study.claim(
    "R = ⟨φ, φ′⟩ I and G = Wᵀ J_φ J_φ′ᵀ W, each from its definition, add up to the kernel J_z J_z′ᵀ of all parameters: "
    "of its product with a random vector 1e-5 or less is missing, in float32, in every network.",
    origin=papers.NTK_1,
)
def whole(data):
    return of.missing(data, "R + G")


@whole.null("R alone")
def _(data):
    return of.missing(data, "R")


@whole.null("G alone")
def _(data):
    return of.missing(data, "G")


@study.claim(
    "R + G predicts the change of log-probabilities in held-out contexts by one step: R² ≥ .99 at the smallest "
    "of four learning rates, and an error in the square of the learning rate.",
    origin=papers.NTK_1,
)
def exact(data):
    return lab.all_of(of.explained(data, "R + G"), of.order(data))


@exact.null("R alone")
def _(data):
    return of.explained(data, "R")


@exact.null("G alone")
def _(data):
    return of.explained(data, "G")


@study.claim(
    "The kernel says which question moves which: of what a step on one asked question alone does to the reward of each "
    "held-out one, R + G explains .99 or more of the variance over pairs, at the smallest learning rate.",
    origin=lab.Derived("⟨∇J_m, ∇J_n⟩, to first order", (papers.NTK_1,)),
)
def influence(data):
    return of.influence(data)


@influence.null("the influence of another asked question")
def _(data):
    return of.influence(data, turned=1)


@influence.null("R alone")
def _(data):
    return of.influence(data, "R")


@study.claim(
    "A step on one rewarded sample raises its token in every held-out context.",
    origin=lab.Derived("(1 − π)(1 − π′)⟨φ, φ′⟩ through R; G has no sign", (papers.NTK_1,)),
)
def gains(data):
    return of.least(data, "rewarded").per("cosine")


@gains.null("another token")
def _(data):
    return of.least(data, "another")


@study.claim(
    "Held-out confidence rises with the cosine of features where the unembedding alone trains: entropy falls by .1 "
    "nats further per unit of cosine.",
    origin=papers.NTK_2,
)
def confident(data):
    return of.slope(data, {ALONE: ALONE}).above(of.FALL)


@confident.null(CANCEL)
def _(data):
    return of.slope(data, {ALONE: EVEN[ALONE]}).above(of.FALL)


@study.claim(
    "It does where everything trains, too, by gradient descent and by Adam: entropy falls by .1 nats further per unit "
    "of cosine.",
    origin=lab.Asked("When does confidence not rise?", (papers.NTK_2,)),
)
def everything(data):
    return of.slope(data, of.WHOLE).above(of.FALL).per("arm")


@everything.null(CANCEL)
def _(data):
    return of.slope(data, {arm: EVEN[arm] for arm in of.WHOLE}).above(of.FALL)


@study.claim(
    "With the unembedding alone held-out entropy falls at every mean cosine of marks, further at each than at the one "
    "before, by .1 nats from the first to the last; held-out reward rises at none by .05: sign and order of a trial.",
    origin=lab.Derived("Σ r T_s R(e_y − π′) grows with ⟨φ, φ′⟩", (papers.NTK_2,)),
)
def ordered(data):
    return of.step_by_step(data)


@ordered.null(CANCEL)
def _(data):
    return of.step_by_step(data, EVEN[ALONE])


@study.claim(
    "Confidence in contexts never asked says nothing of reward there: with the unembedding alone entropy falls by .1 "
    "nats or more and reward stays within .05, in the mean over cosines.",
    origin=lab.Derived(
        "best patterns of held-out questions do not depend on those of asked ones", (papers.NTK_2,)
    ),
)
def useless(data):
    return of.useless(data, ALONE)


@useless.null("one pattern is the best of all questions")
def _(data):
    return of.useless(data, ONE)


@study.claim(
    "It takes rewards that agree: where every pattern is the best of as many asked questions and the unembedding alone "
    "trains, held-out confidence does not rise with the cosine, by .1 nats per unit.",
    origin=lab.Derived("Σ r (e_y − π) over contexts of equal features cancels", (papers.NTK_2,)),
)
def agreement(data):
    return of.slope(data, {"even": EVEN[ALONE]}).below(of.FALL)


@agreement.null("one pattern is the best of all questions: rewards agree")
def _(data):
    return of.slope(data, {ONE: ONE}).below(of.FALL)


@study.claim(
    "Rewards alone, and punishments alone, make held-out contexts confident with the cosine, too, where the "
    "unembedding alone trains: entropy falls by .1 nats further per unit.",
    origin=lab.Asked("Is the sign of rewards a limit?", (papers.NTK_2,)),
)
def signs(data):
    return of.slope(data, of.SIGNS).above(of.FALL).per("arm")


@signs.null(CANCEL)
def _(data):
    return of.slope(data, {ALONE: EVEN[ALONE]}).above(of.FALL)


@study.claim(
    "Through G alone held-out contexts do not become confident: where all but the unembedding trains, entropy falls by "
    "less than .1 nats, in the mean over cosines.",
    origin=lab.Asked("When does confidence not rise?", (papers.NTK_2,)),
)
def features(data):
    return of.still(data, REST)


@features.null("the unembedding alone, marks most alike")
def _(data):
    return of.still(data, ALONE, cosine=0.99)


@study.claim(
    "The same network has features that are alike and features that are not: where answers are given the mean cosine "
    "between questions is above that where patterns are chosen, by .3 or more.",
    origin=lab.Asked("Which contexts enter a mean cosine?", (papers.NTK_2,)),
)
def places(data):
    return of.apart(data, "answer")


@places.null("all places against those where patterns are chosen")
def _(data):
    return of.apart(data, "all")


@study.figure
def draw(data: lab.Data) -> Figure:
    """What R and G explain; influence of questions; entropy and reward of held-out contexts; cosines by place."""
    return drawn.every(data)
