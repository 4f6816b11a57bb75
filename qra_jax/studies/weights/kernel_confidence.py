r"""Do features that are alike make a network confident where it was never trained?

A step on samples (s′, y) with weights r changes log π(·|s) by η Σ r T_s K(s, s′)(e_y − π(·|s′)), to first order. The
logit kernel K = R + G has a part through the unembedding W, R = ⟨φ(s), φ(s′)⟩ I, and a part through the features,
G. Theory predicts:

- R + G is all of it: the predicted change is the actual one but for terms in η². R or G alone is not.
- With one sample and R alone the rewarded token gains in every context s with ⟨φ, φ′⟩ > 0, as
  [T_s (e_y − π′)]_y ≥ (1 − π_y)(1 − π′_y). G has no sign: whether it gains under K is measured.
- So updates that agree add up in contexts never asked. The more alike features are, the more confident the network
  becomes there, *whether or not* what it learns is of any use: where every question has a best pattern of its own,
  held-out entropy falls and held-out reward stays. In a small trial W alone, in 40 contexts, lost .08, .33, .51, .61
  and .64 nats at mean cosines 0, .3, .6, .9 and .99.
- It takes rewards that agree: where every pattern is the best one of as many asked questions, they cancel.
- Through G nothing depends on the cosine: `kernel.alike` changes R alone, and leaves policy and G as they were, so that
  a network of which all but W trains cannot tell the difference.
- Rewards alone (r ≥ 0) agree in the tokens that were sampled, punishments alone in those that were not.

The experiment: networks whose 32 questions have best patterns of their own, half of them never asked; GRPO, or rewards
or punishments alone, by gradient descent or Adam, on the choice of a pattern. The cosine is swept by marks that the
unembedding does not read. Contexts that enter a mean cosine are those of different questions where the pattern is
chosen; where the answer is given, or over all places, they are others: all are shown.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.weights import _kernel_panels as drawn
from qra_jax.studies.weights._alike import paths, single_steps

study = lab.Study(
    __name__, title="Logit kernel and confidence: what alike features do to contexts never asked"
)

TRAINED = ("unembedding", "everything", "everything, Adam")
FALL, STILL = 0.1, 0.05
"""Nats of entropy, and of entropy per unit of cosine, that matter; points of reward: a tenth of a gain."""
TRIAL = ((0.0, 0.3, 0.6, 0.9, 0.99), (-0.08, -0.33, -0.51, -0.61, -0.64))
"""Cosines and changes of entropy of the small trial."""


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Entropy and reward of asked and held-out questions along training, in every arm."""
    return paths(run)


@study.experiment()
def steps(run: lab.Run) -> xr.Dataset:
    """One step of GRPO: predicted and actual change in held-out contexts; rewarded tokens; cosines of features."""
    return single_steps(run)


@study.claim(
    "R + G predicts the change of log-probabilities in held-out contexts by one step: R² ≥ .99 at the smallest "
    "of four learning rates, and an error in the square of the learning rate.",
    origin=papers.NTK_1,
)
def exact(data):
    missed = np.log(data.steps.missed).mean("cosine", skipna=False)
    rate = np.log(data.steps.rate)
    order = lab.slope("order of the error in the learning rate", missed, rate, along="rate", over="seed")
    return lab.all_of(_explained(data, "R + G"), order.between(1.8, 2.2))


def _explained(data: lab.Data, by: str) -> lab.Evidence:
    least = data.steps.r2.sel(by=by, drop=True).isel(rate=0, drop=True).min("cosine", skipna=False)
    return lab.mean(f"R² of {by}, least of all cosines", least).above(0.99)


@exact.null("R alone")
def _(data):
    return _explained(data, "R")


@exact.null("G alone")
def _(data):
    return _explained(data, "G")


def _least(data: lab.Data, token: str) -> lab.Evidence:
    least = data.steps.least.sel(through="R + G", token=token, drop=True)
    name = f"least change of log π of {token} token over its mean size, of all held-out contexts"
    return lab.mean(name, least).above(0.0)


@study.claim(
    "A step on one rewarded sample raises its token in every held-out context.",
    origin=lab.Derived("(1 − π)(1 − π′)⟨φ, φ′⟩ through R; G has no sign", (papers.NTK_1,)),
)
def gains(data):
    return _least(data, "rewarded").per("cosine")


@gains.null("another token")
def _(data):
    return _least(data, "another")


def _fall(data: lab.Data, arm: str) -> xr.DataArray:
    """How far entropy of held-out contexts falls, `[cosine, seed]`."""
    entropy = data.runs.entropy.sel(arm=arm, asked="held out", drop=True)
    return entropy.isel(step=0, drop=True) - entropy.isel(step=-1, drop=True)


def _slope(data: lab.Data, *arms: str) -> lab.Estimate:
    name = "further fall of held-out entropy per unit of cosine"
    falls = {arm: _fall(data, arm) for arm in arms}
    return lab.stacked(
        "arm", {a: lab.slope(name, f, f.cosine, along="cosine", over="seed") for a, f in falls.items()}
    )


@study.claim(
    "Held-out confidence rises with the cosine of features where the unembedding trains, alone or with everything.",
    origin=papers.NTK_2,
)
def confident(data):
    return _slope(data, *TRAINED).above(FALL).per("arm")


@confident.null("all but the unembedding trains: the same policy and G at every cosine")
def _(data):
    return _slope(data, "all but the unembedding").above(FALL)


def _useless(data: lab.Data, arm: str) -> lab.Evidence:
    fall = _fall(data, arm).mean("cosine", skipna=False)
    reward = data.runs.reward.sel(arm=arm, asked="held out", drop=True).mean("cosine", skipna=False)
    gain = reward.isel(step=-1, drop=True) - reward.isel(step=0, drop=True)
    more = lab.mean("fall of held-out entropy", fall).above(FALL)
    return lab.all_of(more, lab.mean("change of held-out reward", gain).near(0, within=STILL))


@study.claim(
    "Confidence in contexts never asked says nothing of reward there: with the unembedding alone entropy falls by .1 "
    "nats or more and reward stays within .05, in the mean over cosines.",
    origin=lab.Derived(
        "best patterns of held-out questions do not depend on those of asked ones", (papers.NTK_2,)
    ),
)
def useless(data):
    return _useless(data, "unembedding")


@useless.null("one pattern is the best of all questions")
def _(data):
    return _useless(data, "one best pattern")


@study.claim(
    "It takes rewards that agree: where every pattern is the best of as many asked questions, held-out confidence does "
    "not rise with the cosine.",
    origin=lab.Derived("Σ r (e_y − π) over contexts of equal features cancels", (papers.NTK_2,)),
)
def agreement(data):
    return _slope(data, "even").below(FALL)


@agreement.null("best patterns of asked questions in unequal numbers")
def _(data):
    return _slope(data, "unembedding").below(FALL)


@study.claim(
    "Rewards alone, and punishments alone, make held-out contexts confident with the cosine, too.",
    origin=lab.Asked("Is the sign of rewards a limit?", (papers.NTK_2,)),
)
def signs(data):
    return _slope(data, "rewards alone", "punishments alone").above(FALL).per("arm")


@signs.null("best patterns of asked questions in equal numbers")
def _(data):
    return _slope(data, "even").above(FALL)


def _apart(data: lab.Data, place: str) -> lab.Evidence:
    cosine = data.steps.cosine_of_features.isel(cosine=0, drop=True)
    name = f"mean cosine at {place} places less that at pattern places, marks least alike"
    return lab.difference(
        name, cosine.sel(place=place, drop=True), cosine.sel(place="pattern", drop=True)
    ).above(0.3)


@study.claim(
    "The same network has features that are alike and features that are not: where answers are given the mean cosine "
    "between questions is above that where patterns are chosen, by .3 or more.",
    origin=lab.Asked("Which contexts enter a mean cosine?", (papers.NTK_2,)),
)
def places(data):
    return _apart(data, "answer")


@places.null("all places against those where patterns are chosen")
def _(data):
    return _apart(data, "all")


@study.figure
def draw(data: lab.Data) -> Figure:
    """What R and G explain; entropy and reward of held-out contexts by cosine; cosines by place."""
    figure, ((parts_of, entropy), (reward, place)) = plot.new((9.6, 7.2), nrows=2, ncols=2)
    drawn.explained(data.steps.r2.isel(rate=0, drop=True), parts_of)
    arms = [arm for arm in data.runs.arm.values if arm != "one best pattern"]
    falls = xr.concat([-_fall(data, str(arm)) for arm in arms], xr.DataArray(arms, dims="arm", name="arm"))
    drawn.entropies(falls, entropy, trial=TRIAL)
    ends = data.runs.reward.isel(step=-1, drop=True) - data.runs.reward.isel(step=0, drop=True)
    drawn.rewards(ends.sel(arm=["unembedding", "one best pattern"]), reward)
    drawn.cosines(data.steps.cosine_of_features, place)
    return figure
