"""Does SFT before RLVR remove the stall of a network, too, and does the tabular theory know how much is enough?

QRA-5: SFT on data of sufficient quality mitigates the slow optimisation of weak models. In the tabular model data are
good enough from a share x₀ of demonstrations of the best pattern on (`theory.sft_mass_needed`).

A weak decoder (the worked example with half its success rates: r* rare, start entangled, most answers wrong) is tuned
for some steps on (1 − x) π_ref + x e_r, its answers as right as before, and then trained by GRPO. Demonstrations show
r* with x far below, near below or above x₀; or, as a control, as many of the second-best pattern. π and p after SFT
are put into the tabular orbit, whose hitting time of π(r*) = .9 is set against the network's steps. Theory predicts
that steps are proportional to that time, so that data below the threshold shorten RLVR, too, if less. Answers are
fixed (right with the pattern's success rate) or learnt. A run that does not arrive counts with all of its steps.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, transformer
from qra_jax.algorithm import grpo
from qra_jax.problem import stack
from qra_jax.studies import lab, papers
from qra_jax.studies.networks import _sft_panels as drawn
from qra_jax.studies.networks._bases import RECORDED, learnt, trained, tuned
from qra_jax.studies.networks._paths import crossing, lead, predicted
from qra_jax.studies.networks._sft import FAR, GOOD, NEAR, NONE, RIVAL, lessons, longest, of_kinds, weak

study = lab.Study(
    __name__, title="SFT first, in a network: what shortens RLVR, and what learnt answers change"
)

FIXED = "fixed, SGD"
ARMS = {FIXED: (True, False), "learnt, SGD": (False, False), "learnt, Adam": (False, True)}
"""Whether answers are fixed, and whether Adam is used."""
SEEDS, QUESTIONS, DEPTH, PRETRAINING = (
    lab.scale(8, 10),
    lab.scale(4, 6),
    lab.scale(1, 2),
    lab.scale(250, 400),
)
LENGTHS, USED = lab.scale((40,), (5, 40)), lab.scale(2, 3)  # steps of SFT, arms that are run
TARGET, WIDTH, STEPS, EVERY = 0.9, 32, 120, 4
RATES, SFT_RATE = (0.03, 1e-3), 1e-3  # of gradient descent and of Adam in RLVR, and of Adam in SFT
MORE, LEAD, SHORTER = 0.02, 0.02, 1.25  # accuracy, lead in rank correlation, factor of steps


@study.experiment()
def runs(run: lab.Run) -> xr.Dataset:
    """π and p along RLVR after every kind and length of SFT, in every arm; one program."""
    problem, seeds, arms = weak(), run(SEEDS), run(USED)
    taught, (fixed, adam) = lessons(problem, run(LENGTHS)), jnp.array(list(ARMS.values())).T
    mixture, length = jnp.asarray(taught.mixture.values), jnp.asarray(taught.length.values)
    task = transformer.controlled(stack([problem] * run(QUESTIONS)), digits=1)
    model = transformer.Decoder(task.vocabulary, width=WIDTH, depth=run(DEPTH))
    extent = {"seed": run.shared_seed, "seeds": seeds, "steps": run(PRETRAINING)}
    bases = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), run.bank.get(learnt, (task,), model, **extent))

    def one(cell: Any) -> dict[str, jax.Array]:
        base = jax.tree.map(lambda leaf: leaf[cell.seed], bases)
        corpus = task.demonstrations(mixture=mixture[cell.case])
        params = tuned(model, base, corpus, steps=length[cell.case], rate=SFT_RATE)
        key = jax.random.fold_in(run.key, 1 + cell.seed)
        own = replace(task, coin=fixed[cell.arm])
        return trained(key, model, params, own, adam=adam[cell.arm], rates=RATES, steps=STEPS, every=EVERY)

    axes = {"arm": range(arms), "case": range(taught.sizes["case"]), "seed": range(seeds)}
    coords = {"step": np.arange(0, STEPS + 1, EVERY)}
    seen = lab.cells(one, axes=axes, dims=RECORDED, coords=coords, block=1, say=run.say)
    seen = seen.where(seen.status == 0).drop_vars("status").mean("question", skipna=False)
    seen = seen.assign_coords(arm=list(ARMS)[:arms], shown=taught.shown, length=taught.length)
    of_coin = xr.DataArray(np.asarray(problem.success), dims="pattern")
    return seen.assign(success=seen.success.where(seen.arm != FIXED, of_coin))


@study.experiment(after=["runs"])
def tabular(run: lab.Run) -> xr.Dataset:
    """What the tabular theory says of the networks when RLVR starts."""
    first = run.done.runs.isel(step=0, drop=True)
    return predicted(first.policy, first.success, target=TARGET, algorithm=grpo(8))


def _steps(data: lab.Data, arm: str = FIXED) -> xr.DataArray:
    """Steps to π(r*) = .9, `[case, seed]`; all of them where a run does not arrive."""
    best = data.runs.policy.sel(arm=arm, drop=True).isel(pattern=0)
    return crossing(best, TARGET).clip(min=0.5, max=STEPS)


def _shorter(data: lab.Data, *kinds: str) -> lab.Estimate:
    steps, name = _steps(data), "steps of RLVR without SFT / after it"
    factors = {kind: lab.ratio(name, longest(steps, NONE), longest(steps, kind)) for kind in kinds}
    return lab.stacked("shown", factors)


@study.claim("SFT on data above the threshold shortens RLVR, with fixed answers.", origin=papers.QRA_5)
def shortens(data):
    return _shorter(data, GOOD).above(1)


@shortens.null("as many demonstrations of the second-best pattern")
def _(data):
    return _shorter(data, RIVAL).above(1)


@study.claim(
    "Data below the threshold do not shorten RLVR.", origin=lab.Asked("The converse.", (papers.QRA_5,))
)
def needed(data):
    return _shorter(data, FAR, NEAR).below(SHORTER)


@needed.null("data above the threshold")
def _(data):
    return _shorter(data, GOOD).below(SHORTER)


@needed.positive("as many demonstrations of the second-best pattern")
def _(data):
    return _shorter(data, RIVAL).below(SHORTER)


def _cheaper(data: lab.Data, *kinds: str) -> lab.Evidence:
    steps = _steps(data)
    alone, total = longest(steps, NONE), of_kinds(steps + steps.length, *kinds)
    return lab.somewhere(lab.ratio("steps of RLVR alone / of SFT and RLVR", alone, total).above(1))


@study.claim(
    "SFT first can be cheaper in total steps of SFT and RLVR, with fixed answers.",
    origin=lab.Asked("A step of SFT costs about as much as one of RLVR.", (papers.QRA_5,)),
)
def cheaper(data):
    return _cheaper(data, FAR, NEAR, GOOD)


@cheaper.null("as many demonstrations of the second-best pattern")
def _(data):
    return _cheaper(data, RIVAL)


def _power(data: lab.Data, predictor: str) -> lab.Evidence:
    kinds, steps = (NONE, FAR, NEAR, GOOD), _steps(data)
    time = of_kinds(data.tabular[predictor].sel(arm=FIXED, drop=True), *kinds)
    log_steps = np.log(of_kinds(steps, *kinds))
    name = "power of the predicted time with which steps grow, data " + ", ".join(kinds)
    return lab.slope(name, log_steps, time, along="case", over="seed").between(1 / SHORTER, SHORTER)


@study.claim(
    "With fixed answers, steps are proportional to the tabular hitting time from π and p after SFT.",
    origin=lab.Derived("orbit.hit, of the softmax policy gradient", (papers.QRA_ASSUMPTION,)),
)
def proportional(data):
    return _power(data, "softmax")


@proportional.null("the natural gradient's hitting time")
def _(data):
    return _power(data, "natural")


@study.claim(
    "The tabular hitting time ranks the steps of networks to π(r*) = .9: rank correlation above 1/2.",
    origin=lab.Derived("orbit.hit"),
    needs_no_control="times that have nothing to do with the steps have a rank correlation of zero",
)
def ranks(data):
    time = data.tabular.softmax
    pairs = {arm: (time.sel(arm=arm), _steps(data, arm)) for arm in time.arm.values}
    found = {arm: lab.correlation("rank correlation", *pair) for arm, pair in pairs.items()}
    return lab.stacked("arm", found).above(0.5).per("arm")


@study.claim(
    "With fixed answers the tabular time ranks steps better than −log π(r*) does.",
    origin=lab.Asked("A predictor without dynamics is the rival."),
    needs_no_control="it is a comparison with a rival, which has the same data",
)
def leads(data):
    known = data.tabular.sel(arm=FIXED)
    parts = _steps(data), known.softmax, known.rarity
    return lab.statistic("lead in rank correlation", lead, *parts).above(LEAD)


def _alone(data: lab.Data, learnt: bool, bound: str = "best pattern") -> lab.Evidence:
    runs = data.runs.isel(arm=slice(1, None) if learnt else slice(1))
    accuracy, success = (runs.policy * runs.success).sum("pattern", skipna=False), runs.success.isel(step=0)
    first = accuracy.isel(step=0) if bound == "accuracy" else success.max("pattern", skipna=False)
    most = (accuracy.isel(step=-1) - first).max(["arm", "case"], skipna=False)
    return lab.mean(f"last accuracy less that of the {bound} of the start, largest of all runs", most).below(
        MORE
    )


@study.claim(
    "Where answers can be learnt, RLVR gains accuracy by choosing the best pattern alone: no run ends more than two "
    "points above the success rate that this pattern had at its start.",
    origin=lab.Asked("Selection is said to be the main benefit, not all of it.", (papers.QRA_6_SELECT,)),
)
def alone(data):
    return _alone(data, learnt=True)


@alone.null("the accuracy of the start in the place of its best pattern's success rate")
def _(data):
    return _alone(data, learnt=True, bound="accuracy")


@alone.positive("fixed answers, where nothing else can be gained")
def _(data):
    return _alone(data, learnt=False)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Paths with fixed answers; who arrives with learnt ones; tabular against network; total steps."""
    figure, ((paths, arrivals), (ranks, totals)) = plot.new((9.2, 7.0), nrows=2, ncols=2)
    runs, steps = data.runs, _steps(data)
    drawn.paths(
        runs.policy.sel(arm=FIXED).isel(pattern=0),
        paths,
        saved=_shorter(data, GOOD).value.item(),
        target=TARGET,
    )
    drawn.arrivals(runs.sel(arm="learnt, SGD", drop=True), arrivals, target=TARGET)
    every = xr.concat([_steps(data, arm) for arm in runs.arm.values], runs.arm)
    power = _power(data, "softmax").tests()[0].estimate.value.item()
    drawn.ranked(data.tabular.softmax, every, ranks, power=power)
    best = _cheaper(data, FAR, NEAR, GOOD).tests()[0].estimate.value.max().item()
    drawn.totals(steps, totals, best=best)
    return figure
