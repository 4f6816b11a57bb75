r"""Do evolution strategies learn more than GRPO, vary less, cover more, and drift further off the task?

The claims: evolution strategies on all weights, 30 members, greedy answers, outperform RL of language models; their
runs vary less; they cover more and drift further off the task.

Theory. A step is Δθ = (η/M) Σ_m z_m ε_m with Σ z_m = 0, Σ z_m² = M: whatever the rewards, E‖Δθ‖² = η² n/M in n weights,
and T steps in which not all members earn the same are a random walk of norm η√(nT/M). Of the gradient it follows what
lies in the M directions that were drawn, M/n of the squared norm. So most of the way is a walk that the reward does not
see: it ought to drift like a Gaussian update of the same norm. An arm that learns less varies less, keeps more of what
the base could do, and is nearer to it for that alone: spread and drift are read per gain as well, and half a walk says
what the norm does (KL falls with its square). Greedy answers change only where a perturbation turns the order of two
tokens: with a small σ all members give the same answers, z is 0, and nothing moves.

Prediction, before the run: at equal rollouts GRPO gains more. Evolution's accuracy varies less, but not per gain. Its
norm is the walk's, and so is its drift; it is more than GRPO's off the task, above all for its gain. It covers less on
questions that are asked.

The experiment: the reference runs, whose arms take as many rollouts, so that evolution makes one update where GRPO
makes four or five; σ is .001, .03 or .3 of the root mean square of the base's weights, each with its best learning
rate, and the best of the three is that which ends best on other bases. (The paper's σ is 10⁻³: a thousandth of weights
of size one, some hundredths of those of language models.) Drift per gain is mean KL over mean gain, at the end. Pass@k
of 32 tries by the unbiased estimator, judged on held-out questions, as GRPO solves all asked ones in sixteen tries; KL
to the base, nats a token, on right announced sequences of questions asked and held out, on sequences whose answer began
without the marker (never paid), and on random tokens. Spread is over random numbers of training on one base; the base
is the unit. A small network tests direction and condition: with n larger the walk is longer still.
"""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _drift as measure, _drift_evidence as evidence
from qra_jax.studies.weights._drift import AGAIN, BASE, ES, FURTHER, GRPO, HALF, ONE_RUN, SMALL, WALK, WALKS
from qra_jax.studies.weights._drift_panels import drawn

study = lab.Study(
    __name__, title="Evolution strategies beside GRPO: reward, spread, coverage, drift off the task"
)


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Evolution and GRPO at the end and at equal gain, beside random walks as long as evolution's."""
    return measure.compared(run)


@study.experiment(after=["runs"])
def again(run: lab.Run) -> xr.Dataset:
    """Accuracy at the end of pairs of runs of a base that differ in their random numbers alone."""
    return measure.repeated(run, run(lab.scale(False, True)))


@study.claim(
    "With as many rollouts, a fourth or fifth of the updates, 30 members and greedy answers, evolution strategies with "
    "the best of three σ end two points of accuracy or more above GRPO.",
    origin=papers.ES,
)
def outperforms(data):
    return evidence.more(data, ES, GRPO)


@outperforms.null("GRPO again, above GRPO")
def _(data):
    return evidence.more(data, AGAIN, GRPO)


@outperforms.positive("GRPO, above the base")
def _(data):
    return evidence.more(data, GRPO, BASE)


@study.claim(
    "With as many rollouts, a fourth or fifth of the updates, 30 members, greedy answers and σ a thousandth of the "
    "size of the weights, evolution strategies end two points of accuracy or more above GRPO.",
    origin=papers.ES,
)
def outperforms_at_small_size(data):
    return evidence.more(data, SMALL, GRPO)


@outperforms_at_small_size.null("GRPO again, above GRPO")
def _(data):
    return evidence.more(data, AGAIN, GRPO)


@outperforms_at_small_size.positive("GRPO, above the base")
def _(data):
    return evidence.more(data, GRPO, BASE)


@study.claim(
    "With σ a thousandth of the size of the weights, in most steps of a run, in the mean of bases, all members earn "
    "the same, so that nothing moves.",
    origin=lab.Asked("Greedy answers hide small perturbations.", (papers.ES,)),
)
def stands_still(data):
    return evidence.silent(data, SMALL)


@stands_still.null("σ three hundredths of it")
def _(data):
    return evidence.silent(data, measure.SIZES[1])


@study.claim(
    "Evolution strategies with the best of three σ end two points of accuracy or more above a random walk as long.",
    origin=lab.Asked("Most of the way is a random walk.", (papers.ES,)),
)
def learns(data):
    return evidence.more(data, ES, WALK)


@learns.null("another random walk")
def _(data):
    return evidence.more(data, measure.OTHER, WALK)


@learns.positive("GRPO, above that random walk")
def _(data):
    return evidence.more(data, GRPO, WALK)


@study.claim(
    "With the best of three σ, two runs on one base end on average at most half as far apart in accuracy as with GRPO.",
    origin=papers.ES_SPREAD,
)
def steadier(data):
    return evidence.spread(data, ES)


@steadier.null("a third run of GRPO, and the second")
def _(data):
    return evidence.spread(data, FURTHER)


@steadier.null("two random walks as long as evolution's way, which learn nothing")
def _(data):
    return evidence.spread(data, WALKS)


@study.claim(
    "Per gain, with the best of three σ, two runs on one base end on average at most half as far apart in accuracy as "
    "with GRPO.",
    origin=lab.Asked("What learns nothing does not vary.", (papers.ES_SPREAD,)),
)
def steadier_per_gain(data):
    return evidence.spread(data, ES, per_gain=True)


@steadier_per_gain.null("a third run of GRPO, and the second")
def _(data):
    return evidence.spread(data, FURTHER, per_gain=True)


@steadier_per_gain.positive("the last two checkpoints of one run of GRPO")
def _(data):
    return evidence.spread(data, ONE_RUN, per_gain=True)


@study.claim(
    "At the end evolution strategies with the best of three σ solve more questions that are held out in sixteen tries "
    "than GRPO, by two points or more.",
    origin=papers.ES_DRIFT,
)
def covers(data):
    return evidence.covers(data, ES)


@covers.null("GRPO again")
def _(data):
    return evidence.covers(data, AGAIN)


@covers.null("the base, which has learnt nothing")
def _(data):
    return evidence.covers(data, BASE)


@covers.null("a random walk as long")
def _(data):
    return evidence.covers(data, WALK)


@covers.positive("the base in sixteen tries, against the base in a single one")
def _(data):
    return evidence.covers(data, BASE, than=BASE, other=1)


@study.claim(
    "At the end, with the best of three σ, the KL to the base is at least twice GRPO's on sequences off the task.",
    origin=papers.ES_DRIFT,
)
def drifts(data):
    return evidence.drifts(data, ES)


@drifts.null("GRPO again")
def _(data):
    return evidence.drifts(data, AGAIN)


@study.claim(
    "Per gain, with the best of three σ, the KL to the base at the end is at least twice GRPO's on sequences off the "
    "task.",
    origin=lab.Asked("What learns less is nearer to the base.", (papers.ES_DRIFT,)),
)
def drifts_for_its_gain(data):
    return evidence.drifts_per_gain(data, ES)


@drifts_for_its_gain.null("GRPO again")
def _(data):
    return evidence.drifts_per_gain(data, AGAIN)


@study.claim(
    "The update of evolution strategies is as long as a random walk of its T steps with rewards that differ, "
    "η√(nT/M), up to a tenth.",
    origin=lab.Derived("docstring of the study: z has mean 0 and variance 1, whatever the rewards"),
)
def walks(data):
    return evidence.walks(data, ES)


@walks.null("GRPO's update")
def _(data):
    return evidence.walks(data, GRPO)


@study.claim(
    "Off the task the KL to the base is that of a random walk of the same norm, up to a factor of two.",
    origin=lab.Asked("Then drift is what the norm alone gives.", (papers.ES_DRIFT,)),
)
def drifts_as_a_walk(data):
    return evidence.as_walk(data, ES)


@drifts_as_a_walk.null("half that walk")
def _(data):
    return evidence.as_walk(data, HALF)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Accuracy; coverage; drift; spread: of the last task."""
    return drawn(data)
