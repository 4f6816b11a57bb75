r"""Does training on the pairs of rollouts that differ most halve the number of steps?

Shuffle-R1 draws 16 rollouts, weighs them as GRPO does, pairs the i-th best with the i-th worst and trains on the four
pairs of largest contrast. Right and wrong rollouts are exchangeable among themselves, so that the mean update of a
pattern is w(ρ) π_r (p_r − ρ): the orbit of GRPO with another clock (`paired_grpo`), for each rollout trained on

    w(.5, .1, .01) = 2.00, 5.16, 7.19,        GRPO on eight rollouts: 1.74, 2.18, 2.44.

So at one learning rate the mean dynamics needs half the steps, or fewer, from a low accuracy, and nearly as many around
½. Given that clock, GRPO on eight rollouts should need as many steps where steps are small. With the best learning rate
of each, what is left is noise: a rare right rollout among 16 is seen twice as often as among 8, and all of them are
kept, so that pairs are worth what training on all 16 is worth, while half of the rest is thrown away around ρ = ½. A
random half has no such gain. One thing is new: advantages sum to zero over the 16, not over the 8 kept. The mean weight
is positive on hard questions and negative on easy ones, which over a constant moves nothing in length, but where each
answer is divided by its length shortens answers to hard questions and lengthens those to easy ones.

The experiments: clocks and signal to noise, exactly; mean gradients of 16 sampled rollouts with ties broken at random;
sampled races to ρ = .72 on three patterns (success rates .8, .4, 0; base shares x, 2x, 1 − 3x) with five
learning rates (the best by the geometric mean of steps, chosen on one half of the runs and judged on the other); and
200 steps in which only the probability to stop is trained, with mean length 20 and a reward that does not depend on it.
The second part of the method, which repeats pairs of large advantage within a batch, is left out.
"""

from typing import Any

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.algorithm import grpo, paired_grpo
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _rollouts_kept, _rollouts_kept_panels as drawing
from qra_jax.studies.credit._rollouts_kept import DRAWN, KEPT, RULES

study = lab.Study(__name__, title="Pairs of best and worst rollouts: GRPO's orbit with a faster clock")

STARTS, LEVELS, ENDS = (0.01, 0.03, 0.1, 0.3), (0.01, 0.03, 0.1, 0.3, 0.5), (0.1, 0.5, 0.9)
RATES = np.array([0.125, 1, 2, 4, 8])
LITTLE, LONGER = 0.1, np.log(1.2)
"""Differences that matter: a tenth in steps, speed or noise; growth of a length by a fifth."""
BEST = "best rate of each"
KEEPS = lab.Derived("algorithm.paired_grpo", (papers.SHUFFLE,))
LEFT = lab.Asked("What of the gain is left at equal speed, at the best rate of each?", (papers.SHUFFLE,))


@study.experiment()
def exact(run: lab.Run) -> xr.Dataset:
    """Clocks for each rollout trained on; steps of the mean dynamics up to ρ = .9; signal to noise of one group."""
    logit = np.linspace(np.log(1 / 199), np.log(9), 2001)
    rho = 1 / (1 + np.exp(-logit))
    rules = {"pairs": paired_grpo(DRAWN, KEPT // 2), "GRPO, 8": grpo(KEPT, ddof=1)}
    rules["random half"] = rules["GRPO, 16"] = grpo(DRAWN, ddof=1)
    clock = np.asarray(jax.jit(lambda rho: [rule.clock(rho) for rule in rules.values()])(rho))
    pace = 1 / (2 * clock * rho * (1 - rho))  # two patterns that are right and wrong for sure
    passed = np.concatenate([np.zeros((4, 1)), np.cumsum((pace[:, 1:] + pace[:, :-1]) / 2, axis=1)], axis=1)
    at = [np.interp(np.log(np.array(STARTS) / (1 - np.array(STARTS))), logit, one) for one in passed]
    steps = (passed[:, -1:] - np.array(at)) * (logit[1] - logit[0])
    worth = [[_rollouts_kept.signal_to_noise(rule, level) for level in LEVELS] for rule in rules]
    variables = {"clock": (("rule", "rho"), clock), "steps": (("rule", "start"), steps)}
    variables |= {"worth": (("rule", "level"), worth)}
    coords = {"rule": list(rules), "rho": rho, "start": list(STARTS), "level": list(LEVELS)}
    return lab.dataset(variables, coords)


@study.experiment()
def gradients(run: lab.Run) -> xr.Dataset:
    """Mean gradients of sampled pairs along the orbit and across it, over those of the clock: the seeds."""
    random, found = np.random.default_rng(run.seed), []
    for rho, likely in ((rho, likely) for rho in ENDS[:2] for likely in (False, True)):
        policy = np.asarray(_rollouts_kept.base(rho))
        along = policy * (np.array(_rollouts_kept.RATES) - rho)
        across = np.cross(along, np.ones(3))
        across *= np.linalg.norm(along) / np.linalg.norm(across)
        expected = float(jax.jit(paired_grpo(DRAWN, KEPT // 2).clock)(rho)) * (along @ along)
        for _ in range(run(lab.scale(24, 64))):
            mean = _rollouts_kept.mean_gradient(random, rho, run(lab.scale(2000, 6000)), likely)
            found.append([mean @ along / expected, mean @ across / expected])
    table = np.reshape(found, (2, 2, -1, 2))
    variables = {name: (("rho", "ties", "seed"), table[..., i]) for i, name in enumerate(("along", "across"))}
    return lab.dataset(variables, {"rho": list(ENDS[:2]), "ties": ["any", "likeliest"]})


@study.experiment()
def races(run: lab.Run) -> xr.Dataset:
    """Steps until the target, for every learning rate; inf for a run that does not get there."""
    axes = {"rule": np.arange(float(len(RULES))), "rho": run(lab.scale((0.03, 0.1), (0.01, 0.03, 0.1)))}
    axes["rate"] = RATES
    options = {"seeds": run(lab.scale(320, 2500)), "block": 512, "common": ("rule", "rate")}
    return lab.cells(_rollouts_kept.race, key=run.key, axes=axes, **options).assign_coords(rule=list(RULES))


@study.experiment()
def stops(run: lab.Run) -> xr.Dataset:
    """Mean length of answers by rule, accuracy of the question, and norm."""
    random, seeds, rules = (
        np.random.default_rng(run.seed),
        run(lab.scale(8, 32)),
        ["pairs", "GRPO, 8", "random half"],
    )
    table = [
        [
            [_rollouts_kept.lengths(random, rule, rho, norm, seeds) for norm in _rollouts_kept.NORMS]
            for rho in ENDS
        ]
        for rule in rules
    ]
    coords = {"rule": rules, "accuracy": list(ENDS), "norm": list(_rollouts_kept.NORMS)}
    return lab.dataset({"length": (("rule", "accuracy", "norm", "seed", "step"), table)}, coords)


def _on_orbit(data: lab.Data, ties: str) -> lab.Evidence:
    found = data.gradients.sel(ties=ties, drop=True)
    along = lab.mean("mean gradient of sampled pairs along the orbit over that of the clock", found.along)
    across = lab.mean("… across the orbit", found.across)
    return lab.all_of(along.near(1, within=LITTLE / 2), across.near(0, within=LITTLE / 2))


@study.claim(
    "With ties broken at random the mean update of pairs is GRPO's direction times the clock, within a twentieth, at "
    "ρ = .1 and .5.",
    origin=KEEPS,
)
def orbit(data):
    return _on_orbit(data, "any")


orbit.null("of equal rollouts the likeliest are kept")(lambda data: _on_orbit(data, "likeliest"))


def _half(data: lab.Data, rule: str) -> lab.Evidence:
    steps = data.exact.steps
    share = steps.sel(rule=rule, drop=True) / steps.sel(rule="GRPO, 8", drop=True)
    return lab.exact("steps up to ρ = .9, mean dynamics, over those of GRPO on 8", share).below(0.5)


@study.claim(
    "At one learning rate and with as many rollouts trained on, the mean dynamics of pairs reaches ρ = .9 in half of "
    "GRPO's steps or fewer.",
    origin=papers.SHUFFLE,
)
def half(data):
    return _half(data, "pairs").per("start")


half.null("a random half of the 16")(lambda data: _half(data, "random half"))


def _ratio(at: str, steps: xr.DataArray, rule: str) -> lab.Estimate:
    def gain(steps: xr.DataArray) -> xr.DataArray:
        log: Any = np.log(_rollouts_kept.mean_steps(steps))
        return log.sel(rule=rule, drop=True) - log.sel(rule="pairs", drop=True)

    return lab.statistic(f"log of the steps of {rule} over those of pairs, {at}", gain, steps, together=True)


def _smallest(data: lab.Data, rule: str) -> lab.Evidence:
    return _ratio("rate ⅛", data.races.steps.isel(rate=0, drop=True), rule).near(0, within=LITTLE).per("rho")


@study.claim(
    "Given the clock of pairs, GRPO on 8 rollouts needs as many sampled steps to ρ = .72, within a tenth, at "
    "a learning rate of ⅛.",
    origin=KEEPS,
)
def clock(data):
    return _smallest(data, "GRPO, 8, clock of pairs")


clock.null("GRPO on 8 rollouts at the same learning rate")(lambda data: _smallest(data, "GRPO, 8"))


def _tuned(data: lab.Data) -> xr.DataArray:
    return _rollouts_kept.tuned(data.races.steps.sel(rule=list(RULES[:3])))


@study.claim(
    "With the best learning rate of each, pairs still need fewer steps than GRPO on 8 rollouts, by a tenth or more.",
    origin=LEFT,
)
def tuned(data):
    return _ratio(BEST, _tuned(data), "GRPO, 8").above(LITTLE).per("rho")


@study.claim(
    "With the best rate of each, GRPO on all 16 rollouts drawn needs no more steps than pairs, within a tenth.",
    origin=LEFT,
)
def drawn(data):
    return _ratio(BEST, _tuned(data), "GRPO, 16").below(LITTLE).per("rho")


tuned.null("GRPO on all 16 rollouts drawn in the place of that on 8")(
    lambda data: _ratio(BEST, _tuned(data), "GRPO, 16").above(LITTLE)
)
drawn.null("GRPO on 8 rollouts, from the lowest accuracy")(
    lambda data: _ratio(BEST, _tuned(data).isel(rho=0, drop=True), "GRPO, 8").below(LITTLE)
)


def _worth(data: lab.Data, rule: str) -> lab.Evidence:
    worth = data.exact.worth
    share = worth.sel(rule=rule, drop=True) / worth.sel(rule="GRPO, 16", drop=True)
    return lab.exact("signal to noise of one group over that of all 16", share).above(1 - LITTLE)


@study.claim(
    "Pairs keep the signal to noise of all 16 rollouts, within a tenth, though half of them are trained on.",
    origin=KEEPS,
)
def worth(data):
    return _worth(data, "pairs").per("level")


worth.null("a random half of the 16")(lambda data: _worth(data, "random half"))


def _drifts(data: lab.Data, **chosen: str) -> lab.Evidence:
    path = data.stops.length.sel(chosen, drop=True)
    grown: Any = np.log(path.isel(step=-1) / path.isel(step=0))
    easy, hard = (grown.sel(accuracy=rho, drop=True) for rho in (0.9, 0.1))
    words = "log growth of answers to {} questions in 200 steps".format
    return lab.all_of(
        lab.mean(words("easy"), easy).above(LONGER), lab.mean(words("hard"), hard).below(-LONGER)
    )


@study.claim(
    "Divided by their length, answers of pairs grow by a fifth or more on easy questions (ρ = .9) and shrink on hard "
    "ones (ρ = .1), though length has no bearing on the reward.",
    origin=lab.Derived("theory.stop_drift", (papers.SHUFFLE,)),
)
def length(data):
    return _drifts(data, rule="pairs", norm="1/|o|")


length.null("a random half of the 16")(lambda data: _drifts(data, rule="random half", norm="1/|o|"))
length.null("pairs over a constant")(lambda data: _drifts(data, rule="pairs", norm="constant"))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Clocks; steps at one rate and at the best; signal to noise; lengths."""
    figure, ((first, second), (third, fourth)) = plot.new((8.8, 6.6), nrows=2, ncols=2)
    drawing.clocks(data.exact.clock, first)
    drawing.races({"rate ⅛": data.races.steps.isel(rate=0, drop=True), "best rates": _tuned(data)}, second)
    drawing.worth(data.exact.worth, third)
    drawing.lengths(data.stops.length, fourth)
    return figure
