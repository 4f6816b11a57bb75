r"""Can the rest of a run be read off its beginning?

AlphaRL moves the first direction of every update on to where accuracy is to be, RELEX fits a line to the coefficient of
the first direction over steps, ExPO goes on along W − W₀, and all weights are said to be straight lines in the step.
What each has to beat is to *hold the last* checkpoint that was seen: the rest of a run may be worth little.

What theory predicts: on the orbit of this package accuracy is no straight line in the step, and late gains slow down,
so that lines overshoot or fall short by the curvature. A random walk of weights, in which nothing is learnt, has four
fifths of its energy over steps on one direction (8/π²), a quarter of its weights with R² above .7, and PLS with one
component fits any accuracy in the sample with R² near one, if vectors are long: (D + 2)/(D + T) for white noise of D
entries at T checkpoints. Linearity in the sample has no power, only the held-out future counts. Permuted steps are a
weak null: they break what any walk has, too.

The experiment: reference runs of GRPO with SGD and with Adam, and of SFT with and without noise in the sign of a
sequence, at one learning rate and each at its best. Of each the checkpoints nearest to a tenth, a fifth and two fifths
are given, the last of them at .15, .23 and .38 of the run in quick, .12, .19 and .38 in full; accuracy of the predicted
end is exact. AlphaRL is run in three variants, as its paper and its code differ;
the target is its own line of accuracy. ExPO has the α that is best for the *other* bases. Claims are judged with Adam,
as in the papers, on bases on which it gains; shares are of these bases together. The paper's number of AlphaRL is a
share of the final accuracy, in which the base has its part; the share of the gain is asked as well. Which rank is best
can be read only where rank one is better than the base. White noise and random walks are
measured at the papers' sizes, without a network.
"""

from functools import partial

import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _chance as chance, _futures_evidence as ends, _futures_panels as drawn
from qra_jax.studies.weights._futures import ALPHA_RL, CHORD, HOLD, LINE, RANK_3, RELEX, read_all
from qra_jax.studies.weights._futures_judged import ACTUAL, AGAIN, LATE, RL, WALKED
from qra_jax.studies.weights._twins import judged
from qra_jax.transformer.weights import pls

study = lab.Study(__name__, title="Extrapolation: what the beginning of a run says of its end")

ARMS = ("GRPO, SGD", RL, AGAIN, "SFT", "SFT, again", "SFT, noisy", "SFT, noisy, same rate")
STRAIGHT, HALF, TENTH, CLOSE = 0.7, 0.5, 0.1, 0.01
"""Share of weights that is straight; differences of measures that matter."""
FIT, WALK = (pls.noise_r2(chance.CHECKPOINTS, chance.WIDTH), 0.98), (0.81, 0.956, 0.26)
"""What is expected of white noise and random walks."""


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Accuracy of the predicted end, its distance from the actual one, and measures of linearity."""
    return read_all(run, ARMS)


@study.experiment()
def noise(run: lab.Run) -> xr.Dataset:
    """Measures of linearity of white noise and random walks."""
    return chance.read_all(run)


def _measure(data: lab.Data, measure: str, name: str = "straight", arm: str = RL) -> xr.DataArray:
    return data.runs[name].sel(measure=measure, arm=arm, drop=True)


def _straight(data: lab.Data, name: str) -> lab.Evidence:
    weights = _measure(data, "straight weights", name)
    return lab.mean("share of straight weights", weights).above(STRAIGHT).per("task")


def _fitted(data: lab.Data, name: str) -> lab.Evidence:
    own, walk = (_measure(data, "PLS R²", each) for each in (name, "walk"))
    return lab.difference("R² of PLS less that of random walks", own, walk).above(CLOSE).per("task")


def _unfitted(data: lab.Data, name: str) -> lab.Evidence:
    return lab.mean("R² of PLS", _measure(data, "PLS R²", name)).below(HALF).per("task")


def _noisier(data: lab.Data, noisy: str, plain: str = "SFT") -> lab.Evidence:
    first, second = (_measure(data, "straight weights", arm=arm) for arm in (noisy, plain))
    words = "share of straight weights, noisy less plain"
    return lab.difference(words, first, second).above(TENTH).per("task")


def _fits(data: lab.Data, vectors: str) -> lab.Evidence:
    fit = data.noise.fit.sel(vectors=vectors, drop=True)
    expected = xr.DataArray(list(FIT), dims="kind", coords={"kind": list(chance.KINDS)})
    return lab.mean("in-sample R² of PLS", fit).near(expected, within=CLOSE).per("kind")


def _walks(data: lab.Data, kind: str) -> lab.Evidence:
    line = data.noise.line.sel(kind=kind, drop=True)
    expected = xr.DataArray(list(WALK), dims="measure", coords={"measure": list(chance.MEASURES)})
    return lab.mean("measure of linearity", line).near(expected, within=CLOSE).per("measure")


claim = partial(judged, study)
HELD = {"hold the last checkpoint": HOLD, WALKED: WALKED}

AS_HELD = {words: (rule,) for words, rule in HELD.items()}
ANEW = {"the end of a run with other random numbers": (AGAIN,)}

claim(
    "alpha_rl",
    "From two fifths of a run of GRPO (.38 of it) of these small decoders, AlphaRL, from the base and as released, has "
    "more than .96 of the final accuracy.",
    papers.A_3,
    ends.reported,
    *ALPHA_RL[:2],
    null=AS_HELD,
    positive=ANEW,
)
claim(
    "alpha_rl_gain",
    "From two fifths of a run of GRPO, AlphaRL, from the base and as released, reaches nine tenths of the final gain.",
    lab.Asked("A share of the accuracy has the base's in it.", (papers.A_3,)),
    ends.most,
    *ALPHA_RL[:2],
    null=AS_HELD,
    positive=ANEW,
)
claim(
    "relex",
    "From a fifth of a run of GRPO (.19 to .23 of it) of these small decoders, RELEX predicts an end at most two "
    "points of accuracy below the actual one.",
    papers.RELEX,
    ends.as_good,
    *(RELEX, 0.2),
    null={words: (rule, 0.2) for words, rule in HELD.items()},
    positive={LATE: (LATE, 0.2)},
)
claim(
    "linear",
    "From two fifths of a run of GRPO (.38 of it) of these small decoders, the line through the base and the last "
    "checkpoint predicts an end at most two points of accuracy below the actual one.",
    papers.LINEAR,
    ends.as_good,
    *(CHORD, 0.4),
    null={words: (rule, 0.4) for words, rule in HELD.items()},
    positive={LATE: (LATE, 0.4)},
)
rank = claim(
    "rank",
    "Where RELEX, from two fifths of the run (.38 of it), is two points of accuracy above the base, neither rank three "
    "nor a line of every weight predicts an end two points better, in these small decoders.",
    papers.RELEX_RANK,
    ends.no_better_if_good,
    *(RANK_3, LINE),
    null={},
)
rank.null(ACTUAL)(lambda data: ends.no_better(data, ACTUAL))
rank.null("hold the last checkpoint")(lambda data: ends.no_better(data, HOLD))
claim(
    "beats_holding",
    "From a fifth of the run RELEX, a line of every weight, one from base to last, or AlphaRL as released reaches "
    "an accuracy two points above that of the last checkpoint seen.",
    lab.Asked("What an extrapolation has to beat is to stop.", (papers.A_3, papers.RELEX, papers.LINEAR)),
    ends.better,
    *(RELEX, LINE, CHORD, ALPHA_RL[1]),
    null={WALKED: (WALKED,)},
    positive={ACTUAL: (ACTUAL,)},
)
claim(
    "beyond",
    "Beyond two fifths of a run of GRPO, and beyond its end, at θ₁ + α(θ₁ − θ₀) with the α between .1 and 1 that is "
    "best for the other bases, a tenth of the errors or more are gone.",
    papers.EXPO,
    ends.beyond,
    "beyond",
    null={"a Gaussian step of that length, the best of its own": ("aside",)},
    positive={"the end of the run, from two fifths on": (ACTUAL,)},
)
claim(
    "straight",
    "In runs of GRPO over seven tenths of the weights have R² above .7 against the step.",
    papers.LINEAR,
    _straight,
    "straight",
    null={"random walks": ("walk",)},
)
claim(
    "fitted",
    "Accuracy is fitted by one component of PLS on the first left singular vector better than for random walks, by a "
    "hundredth in R².",
    lab.Asked("R² of .91 is reported; in the sample random walks have more.", (papers.A_2,)),
    _fitted,
    "straight",
    null={"other random walks": ("walk_again",)},
)
claim(
    "permuted",
    "If the checkpoints of a run are permuted, R² of PLS is less than a half: a null that any walk passes.",
    lab.Derived("linearity.nulls", (papers.A_2,)),
    _unfitted,
    "permuted",
    null={"random walks": ("walk",)},
)
claim(
    "noise",
    "Noise in the sign of demonstrations makes SFT more linear at the same learning rate, by a tenth of the weights.",
    papers.LINEAR_NOISE,
    _noisier,
    "SFT, noisy, same rate",
    null={"SFT with other random numbers": ("SFT, again",)},
)
claim(
    "noise_at_best",
    "SFT with noise in the sign of demonstrations, at its own best learning rate, is more linear than SFT at its own, "
    "by a tenth of the weights.",
    lab.Asked("Noise lowers the best rate; which of the two makes weights straight?", (papers.LINEAR_NOISE,)),
    _noisier,
    "SFT, noisy",
    null={"SFT with other random numbers": ("SFT, again",)},
)
claim(
    "fits_noise",
    "One component of PLS on 5000 entries at T = 27 checkpoints fits an accuracy that rises as 1 − exp(−t/T) to white "
    "noise with R² of (D + 2)/(D + T) = .995, and to random walks with .98, within a hundredth.",
    lab.Derived("weights.pls.noise_r2", (papers.A_2,)),
    _fits,
    chance.LONG,
    null={"white noise of four entries, and random walks in another order": (chance.CONTROL,)},
)
claim(
    "walks",
    "A random walk of 75 steps of 20 000 weights has .81 of its energy over steps on one direction, whose coefficient "
    "has R² of .956 against the step, and .26 of its weights have R² above .7, within a hundredth.",
    lab.Derived("weights.linearity.walk_covariance: 8/π² = .81", (papers.RELEX, papers.LINEAR)),
    _walks,
    "random walk",
    null={"white noise": ("white noise",)},
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Accuracy of predicted ends; of ExPO; measures of linearity beside random walks."""
    return drawn.every(data.runs.isel(task=-1))
