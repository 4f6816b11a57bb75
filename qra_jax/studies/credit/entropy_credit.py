r"""Advantage times entropy: where does IBRO's term act, and what can a gain of it come from?

The term adds $\alpha\,{\rm mean}_t(A_tH_t)$ to the objective, H_t the entropy of the choice at step t. The entropy of
a state s is raised by the summed advantages of the rollouts that come through it, so that its mean is

$$ \alpha\,d(s)\,E[A\mid s]\,\nabla H(\pi(\cdot\mid s)),\qquad E[A\mid s] = 0\ \text{with an exact critic},\qquad
   E[A\mid s] = c(\rho)\,[V(s)-V_0]\ \text{with a group baseline}, $$

with d(s) the chance of coming through s, V its value, V₀ = ρ that of the question, and c the clock of the algorithm.
So it should be zero in a bandit and at the first step of any answer, zero everywhere with an exact critic, and with a
group baseline raise the entropy of states that are better than the question and lower it in worse ones. As a policy
learns, the states that it visits lose their difference to V₀, and the term its mean.

This is exploration where things go well already. It should help where the best answer lies in a good state, and hinder
where it is behind a first step that looks bad. The paper's gain, about two points under PPO and DAPO, could come from
that, from entropy as such, or from another effective learning rate.

The mean is computed exactly on random trees of three steps, three choices each. Sampled training by GRPO (G = 8, 200
steps) runs on random trees (two steps, four choices each) and on one whose best leaf is hidden: with the term, with
its sign flipped, with advantages of a random state of the same depth at each step, with an entropy bonus of the same
coefficient for every state visited, and without any; each with the strength and the learning rate that are best for it
on other runs than it is judged on.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _entropy_credit, _entropy_credit_panels
from qra_jax.studies.credit._entropy_credit import ARMS, EVERY, KINDS, RATE, RATES, STEPS, STRENGTH, TREES
from qra_jax.studies.credit._entropy_credit_evidence import arm_of, time_to_target, tuned

study = lab.Study(
    __name__, title="Advantage times entropy: none in a bandit; in a tree, entropy where things go well"
)

TERM, FLIPPED, SHUFFLED, PLAIN = KINDS
PLACES = [
    "group baseline, bandit",
    "group baseline, first step",
    "group baseline, later steps",
    "exact critic, first step",
    "exact critic, later steps",
]
ROUNDING, GAIN, SOONER, SHIFT = 1e-12, 0.02, 0.9, 0.01
"""Of float64; gains that matter: the two points that are reported, a tenth of the time, .01 nats."""
EARLY = 3
"""Record at which the entropy of states is compared."""
EXPLORES = lab.Asked("The paper reports a gain of two points; beyond what else?", (papers.IBRO,))


@study.experiment(
    seeds=lab.scale(24, 200),
    dims={"size": ["place"], "missed": ["values"]},
    coords={"place": PLACES, "values": ["own", "another state's"]},
)
def means(cell, key):
    """The term's mean on random trees, exactly."""
    return _entropy_credit.means(key)


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """Accuracy and entropies along sampled training with every arm and learning rate."""

    def one(cell, key):
        return _entropy_credit.trained(cell.tree, cell.arm, cell.rate, key)

    dims = {"accuracy": ["step"], "entropy": ["step", "side"], "best": []}
    axes = {"tree": TREES, "arm": np.arange(len(ARMS)), "rate": RATES}
    coords = {"step": np.arange(0, STEPS + 1, EVERY), "side": ["better", "worse"]}
    options = {"dims": dims, "coords": coords, "seeds": run(lab.scale(96, 600)), "common": ("arm", "rate")}
    found = lab.cells(one, key=run.key, axes=axes, say=run.say, **options)
    kinds, strengths = zip(*ARMS, strict=True)
    found = found.assign_coords(kind=("arm", list(kinds)), strength=("arm", list(strengths)))
    return found.assign(best=found.best.isel(arm=0, rate=0))


def _largest(data: lab.Data, places: Sequence[str]) -> lab.Evidence:
    size = data.means["size"].sel(place=list(places)).max("seed", skipna=False)
    return lab.exact("largest mean of the term on a random tree", size).below(ROUNDING).per("place")


@study.claim(
    "On random trees the term's mean is zero to rounding in a bandit and at the first step, and with an exact critic "
    "at every step.",
    origin=lab.Derived("this study's text", (papers.IBRO,)),
)
def vanishes(data):
    return _largest(data, [*PLACES[:2], *PLACES[3:]])


@vanishes.null("a group baseline, at later steps")
def _(data):
    return _largest(data, PLACES[2:3])


def _law(data: lab.Data, values: str) -> lab.Evidence:
    missed = data.means.missed.sel(values=values).max("seed", skipna=False)
    return lab.exact("largest distance from the law, over the size of the mean", missed).below(ROUNDING)


@study.claim(
    "With a group baseline the mean is α c(ρ) d(s) [V(s) − V₀] ∇H to rounding, on random trees.",
    origin=lab.Derived("this study's text", (papers.IBRO,)),
)
def law(data):
    return _law(data, "own")


law.null("values of states shuffled within their depth")(lambda data: _law(data, "another state's"))


def _moved(data: lab.Data, kind: str) -> xr.DataArray:
    """Entropy with an arm less that without it after 30 steps, up in better states and down in worse ones."""
    one, none = (arm_of(data, *arm).entropy.sel(rate=RATE) for arm in ((kind, STRENGTH), ("no term", 0.0)))
    sign = xr.DataArray([1.0, -1.0], {"side": ["better", "worse"]}, ["side"])
    return ((one - none) * sign).isel(step=EARLY, drop=True)


def _moves(data: lab.Data, kind: str) -> lab.Evidence:
    words = (
        "entropy with the term less that without, counted downwards in worse states, after 30 sampled steps"
    )
    return lab.mean(words, _moved(data, kind).drop_vars(["kind", "strength"], errors="ignore")).above(SHIFT)


@study.claim(
    "In sampled training the term raises the entropy of states better than the question and lowers that of worse ones, "
    "by .01 nats or more in 30 steps at α = 1.",
    origin=lab.Derived("this study's text", (papers.IBRO,)),
)
def moves(data):
    return _moves(data, TERM)


moves.null("advantages shuffled over states")(lambda data: _moves(data, SHUFFLED))


Pair = tuple[str, Sequence[float]]
SLOW, AGAIN_SLOW = (("no term", RATES[:1]), ("no term, again", RATES[:1]))


def _gains(data: lab.Data, first: Pair, second: Pair, trees: Sequence[str] = TREES) -> lab.Evidence:
    end = data.runs.accuracy.isel(step=-1, drop=True).sel(tree=list(trees))
    words = f"last accuracy, {first[0]} less {second[0]}, each at its best"
    return lab.difference(words, tuned(data, end, *first), tuned(data, end, *second)).above(GAIN).per("tree")


def _best(kind: str) -> Pair:
    return kind, RATES


@study.claim(
    "The term raises the accuracy after 200 steps by two points or more beyond training without it at its best "
    "learning rate.",
    origin=EXPLORES,
)
def gains(data):
    return _gains(data, _best(TERM), _best("no term"))


gains.null("no term again, other rollouts, both at the lowest rate")(
    lambda data: _gains(data, AGAIN_SLOW, SLOW)
)
gains.positive("an entropy bonus, where the best leaf is hidden")(
    lambda data: _gains(data, _best(PLAIN), _best("no term"), TREES[1:])
)


@study.claim(
    "The term raises the accuracy after 200 steps by two points or more beyond an entropy bonus, each at its best.",
    origin=EXPLORES,
)
def beyond_plain(data):
    return _gains(data, _best(TERM), _best(PLAIN))


beyond_plain.null("no term again, other rollouts, beyond no term, both at the lowest rate")(
    lambda data: _gains(data, AGAIN_SLOW, SLOW)
)
beyond_plain.positive("an entropy bonus beyond no term, where the best leaf is hidden")(
    lambda data: _gains(data, _best(PLAIN), _best("no term"), TREES[1:])
)


@study.claim(
    "Where the best leaf is behind a first step that looks bad, the term with its sign flipped ends two points or more "
    "above the term, each at its best.",
    origin=lab.Derived("this study's text", (papers.IBRO,)),
)
def flipped(data):
    return _gains(data, _best(FLIPPED), _best(TERM), TREES[1:])


flipped.null("no term again, other rollouts, beyond no term, both at the lowest rate")(
    lambda data: _gains(data, AGAIN_SLOW, SLOW, TREES[1:])
)


@study.claim(
    "Where training without the term is at the lowest of three rates, a better rate gains two points or more beyond "
    "the term at that rate and at its best strength.",
    origin=lab.Asked("Can a gain at one learning rate be told from another rate?", (papers.IBRO,)),
)
def rate(data):
    return _gains(data, _best("no term"), (TERM, RATES[:1]))


rate.null("no term at the lowest rate, again")(lambda data: _gains(data, AGAIN_SLOW, SLOW))


def _sooner(data: lab.Data, first: Pair, second: Pair, trees: Sequence[str] = TREES) -> lab.Evidence:
    speed = -time_to_target(data).sel(tree=list(trees))
    words = f"mean time to target within 200 steps, {first[0]} over {second[0]}, each at its best"

    def over(one: xr.DataArray, other: xr.DataArray) -> xr.DataArray:
        return one.mean("seed", skipna=False) / other.mean("seed", skipna=False)

    times = -tuned(data, speed, *first), -tuned(data, speed, *second)
    return lab.statistic(words, over, *times, to=np.log, back=np.exp, together=True).below(SOONER).per("tree")


@study.claim(
    "The term shortens the mean time to half of the possible gain by a tenth or more, beyond training without it at "
    "its best learning rate.",
    origin=EXPLORES,
)
def sooner(data):
    return _sooner(data, _best(TERM), _best("no term"))


sooner.null("no term again, other rollouts, both at the lowest rate")(
    lambda data: _sooner(data, AGAIN_SLOW, SLOW)
)
sooner.positive("no term at its best rate, beyond no term at the lowest")(
    lambda data: _sooner(data, _best("no term"), SLOW)
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """The term's mean by place, entropies of better and worse states, and accuracies at the best settings."""
    return _entropy_credit_panels.draw(data)
