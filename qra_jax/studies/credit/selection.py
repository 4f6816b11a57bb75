r"""Does RL choose among strategies first and improve them later, and where does choosing end?

*Choosing and improving.* With answers that learn beside the choice of a strategy (`flow.solve(train_answers=True)`)
the accuracy gains

$$ d\rho = \sum_r p_r\,d\pi_r + \sum_r \pi_r\,dp_r, \qquad \dot\theta_r = \pi_r(p_r-\rho), \quad
   \frac{d}{dt}\operatorname{logit} p_r = 2\pi_r\,p_r(1-p_r), $$

the first part by selection, the second by improvement. Both have the same clock. The first goes as the variance of
the success rates under π, the second as p²(1 − p)²: selection comes first only if rates are far apart and near 0 or
1, and under fixed success rates it is all there is. A base policy on more strategies leaves more to select; low
rates leave more to improve. The paper is known by its abstract: ‘diverse strategies’ are read as a base policy of
larger Dirichlet concentration, ‘harder data’ as success rates that are all smaller by a factor.

*Where choosing ends.* For rollouts that are right or wrong for sure, reward and reverse KL have the optimum π_ref
e^{R/β}, for β → 0 the base policy filtered by the verifier. With fixed success rates between 0 and 1 it is not: the
best pattern takes all. Without a KL term the end depends on the geometry: 1/π keeps its differences among right
rollouts under the softmax gradient, so the likeliest one takes all; log π keeps its own under the natural gradient,
which is the filtered base. The papers are known by their abstracts: ‘related’ is read as a distance of .05 at most.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import flow, orbit, plot
from qra_jax.algorithm import rloo
from qra_jax.regularizer import reverse_kl
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _selection
from qra_jax.studies.credit._selection import ARMS, TIMES
from qra_jax.studies.lab import panels
from qra_jax.training import train

study = lab.Study(
    __name__, title="Selection and improvement: which comes first, and what the base policy is filtered to"
)

DIVERSITY, EASE, BETAS = [0.1, 0.3, 1.0, 10.0], [0.5, 0.2, 0.05], [0.0, 0.1, 0.2, 0.5, 1.0]
LATE = 1e4
"""Place τ on the orbit, dτ = dt/Σ1/w, at which training without a KL term is looked at."""


@study.experiment(
    {"arm": np.arange(len(ARMS))},
    seeds=lab.scale(128, 1024),
    dims={"chosen": ["record"], "improved": ["record"]},
    coords={"arm": list(ARMS), "record": np.asarray(TIMES[::4])},
    common=("arm",),
)
def parts(cell, key):
    """Gains by selection and by improvement of random questions whose answers learn."""
    chosen, improved = _selection.gains(_selection.question(key, cell.arm))
    times = {"chosen_half": _selection.half_time(chosen), "improved_half": _selection.half_time(improved)}
    return {"chosen": chosen[::4], "improved": improved[::4], **times}


@study.experiment({"sure": [1, 0], "beta": BETAS}, seeds=lab.scale(128, 1024), common=("sure", "beta"))
def held(cell, key):
    """Where the natural gradient rests: distance from the filtered base policy, mass of its likeliest rollout.

    Beside it, the mass of that rollout late on the orbit of the softmax gradient, without a KL term.
    """
    problem = _selection.rollouts(key, cell.sure)
    options = {"regularizers": [reverse_kl(cell.beta)], "geometry": "natural"}
    end = flow.solve(problem, ts=[100.0], **options).log_policy[-1]
    likeliest, late = jnp.argmax(_selection.filtered(problem)), orbit.policy(problem, LATE)
    mass = {"mass": jnp.exp(end[likeliest]), "late": jnp.exp(late[likeliest])}
    return {"apart": _selection.apart(end, problem), **mass}


@study.experiment({"beta": [0.0, 0.001, 0.1]}, seeds=lab.scale(48, 512), common=("beta",))
def sampled(cell, key):
    """Distance from the filtered base policy after sampled training, 16 rollouts a step."""
    first, second = jax.random.split(key)
    problem = _selection.rollouts(first, 1)
    options = {"steps": 4000, "record_every": 4000, "learning_rate": 0.1, "algorithm": rloo(16)}
    end = train(second, problem, regularizers=[reverse_kl(cell.beta)], **options).log_policy[-1]
    return {"apart": _selection.apart(end, problem)}


def _share(data: lab.Data, arms: list[str], part: str) -> xr.DataArray:
    """Share of one part in all gains at the end."""
    last = data.parts.isel(record=-1, drop=True).sel(arm=arms)
    return last[part] / (last.chosen + last.improved)


def _rises(data: lab.Data, kind: str) -> lab.Evidence:
    share = _share(data, [f"{kind}diversity {a:g}" for a in (0.1, 10.0)], "chosen")
    words = "share of selection in the gain, concentration 10 less .1"
    return lab.difference(words, share.isel(arm=1, drop=True), share.isel(arm=0, drop=True)).above(0.05)


@study.claim(
    "Base policies on more diverse strategies gain more by selection: its share is larger at concentration 10 than at "
    ".1, by .05 or more.",
    origin=papers.SELECT_IMPROVE,
)
def diverse(data):
    return _rises(data, "")


diverse.null("strategies that are all alike")(lambda data: _rises(data, "alike, "))


def _harder(data: lab.Data, kind: str) -> lab.Evidence:
    here = _share(data, [f"ease {ease:g}{kind}" for ease in EASE], "improved")
    usual = _share(data, ["diversity 1"], "improved").isel(arm=0, drop=True)
    words = "share of improvement in the gain, less that at success rates U[0, 1]"
    return lab.difference(words, here, usual).above(0.03).per("arm")


@study.claim(
    "Harder questions gain more by improvement: its share is larger by .03 or more where all success rates are a half, "
    "a fifth or a twentieth.",
    origin=papers.SELECT_IMPROVE,
)
def harder(data):
    return _harder(data, "")


@harder.null("as many failures less in place of successes: easier questions, rates as close together")
def _(data):
    return _harder(data, ", mirrored")


def _first(data: lab.Data, arm: str) -> lab.Evidence:
    chosen, improved = (data.parts[name].sel(arm=arm, drop=True) for name in ("chosen_half", "improved_half"))
    words = "questions in which selection has half of its gain before improvement has"
    return lab.share(words, lab.where_known(chosen < improved, chosen, improved)).above(0.5)


@study.claim(
    "Where success rates are U[0, 1] and learn, selection comes first in most questions.",
    origin=lab.Asked("Which of the two comes first?", (papers.SELECT_IMPROVE,)),
)
def first(data):
    return _first(data, "diversity 1")


first.null("strategies that are all alike")(lambda data: _first(data, "alike, diversity 1"))
first.positive("success rates of .02 and .98")(lambda data: _first(data, "all or nothing"))


def _near(data: lab.Data, sure: int) -> lab.Evidence:
    apart = data.held.apart.sel(sure=sure, beta=BETAS[1:], drop=True)
    near = lab.where_known(apart <= 0.05, apart)
    return (
        lab.share("questions that rest within .05 of the filtered base", near, "seed").above(0.9).per("beta")
    )


@study.claim(
    "With a reverse KL term, choosing among rollouts that are right or wrong for sure ends within .05 of the base "
    "policy filtered by the verifier, in 90 of 100 random questions.",
    origin=papers.KL_FILTERED,
)
def filtered(data):
    return _near(data, 1)


filtered.null("patterns with fixed success rates between 0 and 1")(lambda data: _near(data, 0))


def _all(mass: xr.DataArray) -> lab.Evidence:
    alone = lab.where_known(mass >= 0.95, mass)
    return lab.share("questions in which the likeliest right rollout has .95 of the mass", alone).above(0.9)


@study.claim(
    "Without a KL term the softmax gradient ends at the likeliest right rollout, not at the filtered base policy, in "
    "90 of 100 random questions.",
    origin=lab.Derived(cited=(papers.KL_FILTERED, papers.KL_COLLAPSE)),
)
def likeliest(data):
    return _all(data.held.late.sel(sure=1, beta=0.0, drop=True))


@likeliest.null("the natural gradient, which ends at the filtered base policy")
def _(data):
    return _all(data.held.mass.sel(sure=1, beta=0.0, drop=True))


def _nearer(data: lab.Data, beta: float) -> lab.Evidence:
    without, held = (data.sampled.apart.sel(beta=each, drop=True) for each in (0.0, beta))
    return lab.difference("distance without a KL term less that with one", without, held).above(0.2)


@study.claim(
    "Sampled RLOO ends nearer to the filtered base policy, by .2 or more, with reverse KL of β = .1 than without.",
    origin=lab.Asked("Does it survive sampling?", (papers.KL_FILTERED,)),
)
def nearer(data):
    return _nearer(data, 0.1)


nearer.null("β = .001")(lambda data: _nearer(data, 0.001))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Shares of selection and improvement; their gains against time; distances from the filtered base policy."""
    figure, (first, second, third) = plot.new((12.6, 3.9), ncols=3, width_ratios=[1.25, 1, 1])
    arms = [f"diversity {a:g}" for a in DIVERSITY] + [
        f"ease {ease:g}{kind}" for kind in ("", ", mirrored") for ease in EASE
    ]
    shares = xr.concat([_share(data, arms, part).mean("seed") for part in ("chosen", "improved")], "part")
    shares = shares.assign_coords(part=["selection", "improvement"])
    colors = {"selection": plot.BEST, "improvement": plot.RIVAL}
    panels.frame(
        "Diversity is for selection; rates close together, for improvement",
        first,
        x="share of the gain",
        y="",
    )
    panels.bars(shares, first, x="arm", by="part", stacked=True, flat=True, colors=colors, numbers="{:.0%}")
    title = "Improvement is not later (dashed: rates .02, .98)"
    panels.frame(title, second, x="time", y="gain in accuracy", log="x", xlim=(0.3, 1e3))
    both = xr.concat([data.parts.chosen, data.parts.improved], "part").assign_coords(part=list(colors))
    shown = both.sel(arm=["diversity 1", "all or nothing"])
    panels.curves(
        shown.isel(record=slice(1, None)),
        second,
        x="record",
        by="part",
        dash="arm",
        over="seed",
        colors=colors,
    )
    panels.legend(None, second, loc="upper left")
    title = "A KL term ends at the filtered base policy, if β is small"
    panels.frame(title, third, x="β", y="distance from the filtered base", log="x", xticks=BETAS[1:])
    apart = data.held.apart.sel(beta=BETAS[1:]).assign_coords(
        sure=["right or wrong for sure", "rates between 0 and 1"]
    )
    panels.curves(apart, third, x="beta", by="sure", over="seed")
    mean = data.sampled.apart.mean("seed")
    panels.note((0.1, float(mean.sel(beta=0.1))), third, "sampled", dot=True)
    panels.mark(float(mean.sel(beta=0.0)), third, "sampled, no KL term", axis="y")
    panels.legend(None, third, loc="upper center", bbox_to_anchor=(0.6, 0.83))
    return figure
