r"""When does a part of the reward for the format keep a model thinking that would answer better directly?

A *direct* pattern is right with rate $s_d$; a *thinking* one takes k steps, each right with rate q, and is right with
rate $s_t = q^k$. The reward is $F + $ correctness, where the format part pays f to a rollout that has its thinking in
the wanted form; the direct one never has. Weights that are linear in the rewards, and GRPO in large groups, then make
thinking win if and only if

$$ s_t + f > s_d, $$

that is, for chains of up to $\log(s_d-f)/\log q$ steps, and for chains of any length once $f\ge s_d$. With accuracy
alone (f = 0) the better pattern wins. Where an answer counts in the wanted form alone (a gate), direct answers earn
nothing and thinking wins whatever it is worth. In small groups GRPO should need a smaller f than the law: whenever all
verdicts agree, the form is all that differs.

The gaps between the expected weights of both patterns are computed exactly, by summing over all groups; sampled runs
start from equal shares.
"""

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, shaping, training
from qra_jax.algorithm import dr_grpo, grpo
from qra_jax.problem import Problem
from qra_jax.reward import Reward, verifiable
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _favour
from qra_jax.studies.credit._favour import ALGORITHMS, LINEAR, NORMED, SHARES
from qra_jax.studies.lab import panels

study = lab.Study(__name__, title="Think or not: a reward for the format buys thinking that loses accuracy")

DEPTHS, DIRECT = np.array([1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0]), 0.7
"""Steps of the chain; rate of direct answers in runs."""
LESS, SEVERAL = 0.3, lab.scale(48, 256)
"""Accuracy that thinking loses in runs, and seeds."""
FORMATS = {"accuracy": 0.0, "small format": 0.15, "large format": 0.6}
BOTH = {name: ALGORITHMS[name] for name in ("REINFORCE", "GRPO, G = 8")}
GAIN = 0.05
"""A difference in accuracy that would matter."""


def _asked(step, depth, direct, form) -> tuple[Problem, Reward]:
    problem = Problem(jnp.log(jnp.full(2, 0.5)), jnp.stack([direct, step**depth]))
    return problem, shaping.formatted(verifiable(), [0.0, 1.0], form, 1.0, gate=False)


def _gated(step, depth, direct, form) -> tuple[Problem, Reward]:
    return _asked(step, depth, direct, form)[0], shaping.formatted(verifiable(), [0.0, 1.0], form, 1.0)


@study.experiment()
def gaps(run: lab.Run) -> xr.Dataset:
    """Gap between thinking and direct answers over steps, their rates and the weight of the format."""
    steps = run(lab.scale([0.83, 0.93], [0.73, 0.83, 0.93]))
    axes = {"step": steps, "depth": DEPTHS, "direct": [0.31, 0.71], "share": SHARES}
    forms = {"form": np.array([0.0, 0.06, 0.17, 0.33, 0.67, 1.0])}
    free = _favour.table(_asked, axes | forms, ALGORITHMS)
    gated = _favour.table(_gated, axes | {"form": [0.0, 0.17]}, BOTH)
    return xr.Dataset({"gap": free, "gated": gated.rename(form="gated_form", algorithm="gated_by")})


@study.experiment(
    {
        "algorithm": [dr_grpo(8), grpo(8)],
        "form": list(FORMATS.values()),
        "worth": [DIRECT - LESS, DIRECT + 0.2],
    },
    seeds=SEVERAL,
    dims={"thinks": ["record"]},
    coords={"record": np.arange(0, 2001, 100)},
)
def runs(cell, key):
    """Share of thinking in sampled runs, for a chain that is worth less, or more, than direct answers."""
    problem, reward = _asked(cell.worth, 1.0, jnp.asarray(DIRECT), cell.form)
    options = {"steps": 2000, "learning_rate": 0.1, "record_every": 100}
    path = training.train(key, problem, algorithm=cell.algorithm, reward=reward, **options)
    return {"thinks": path.policy[:, 1], "accuracy": path.accuracy[-1]}


def _law(gaps: xr.DataArray) -> xr.DataArray:
    return gaps.step**gaps.depth + gaps.form - gaps.direct


def _agrees(gaps: xr.DataArray, law: xr.DataArray) -> lab.Evidence:
    words = "share of the cells of the grid in which the pattern that gains is the law's"
    return lab.exact(words, _favour.agreement(gaps, law)).above(1.0)


@study.claim(
    "On a grid of steps, rates and weights f of the format thinking gains, at every share of it, exactly where "
    "s_t + f > s_d.",
    origin=lab.Derived(cited=(papers.THINK,)),
)
def law(data):
    return _agrees(data.gaps.gap, _law(data.gaps.gap)).per("algorithm")


law.null("accuracy alone decides")(lambda data: _agrees(data.gaps.gap, _law(data.gaps.gap) - data.gaps.form))


def _needed(data: lab.Data, algorithms: list[str]) -> lab.Evidence:
    """The weight at which thinking starts to gain, over the law's, where it costs a chain of three steps or more."""
    gaps = data.gaps.gap.sel(algorithm=algorithms, share=0.5, direct=0.71, drop=True)
    gaps = gaps.sel(step=0.83, depth=slice(3, 6), drop=True)
    form = _favour.crossing(gaps, "form").where(gaps.notnull().all("form"))
    needed = form.where(form.notnull() | gaps.isnull().any("form"), 0.0)
    return lab.exact(
        "f at which thinking starts to gain, over s_d − s_t", needed / (0.71 - 0.83**gaps.depth)
    ).below(0.8)


@study.claim(
    "In groups of 2 and of 8 GRPO lets thinking of rate .83³ … .83⁶ gain over direct answers of .71 at less than .8 of "
    "the law's f, at equal shares.",
    origin=lab.Derived(cited=(papers.THINK,)),
)
def smaller(data):
    return _needed(data, NORMED).per("algorithm")


smaller.null("weights that are linear in the rewards, and large groups")(lambda data: _needed(data, LINEAR))


def _always(gaps: xr.DataArray) -> lab.Evidence:
    kept = ("algorithm", "gated_by")
    least = gaps.min([dim for dim in gaps.dims if dim not in kept], skipna=False)
    return lab.exact("least gap over the grid", least).above(0.0)


@study.claim(
    "Where an answer counts in the wanted form alone, thinking gains over direct answers everywhere on the grid, even "
    "with nothing for the form itself and however many steps it takes.",
    origin=lab.Derived(cited=(papers.THINK,)),
)
def gate(data):
    return _always(data.gaps.gated)


gate.null("the same weights f beside accuracy, without the gate")(
    lambda data: _always(data.gaps.gap.sel(form=[0.0, 0.17]))
)


def _direct(data: lab.Data, worth: float, form: float) -> lab.Evidence:
    accuracy = data.runs.accuracy.sel(worth=worth, form=form, drop=True)
    return lab.mean("accuracy of direct answers less that of the runs' ends", DIRECT - accuracy).below(GAIN)


@study.claim(
    "Rewarded for accuracy alone, sampled runs are within .05 of direct answers or above at their end, where thinking "
    "is worth .3 less.",
    origin=lab.Asked("Is explicit thinking needed?", (papers.THINK,)),
)
def direct(data):
    return _direct(data, DIRECT - LESS, 0.0)


direct.null("a large reward for the format")(
    lambda data: _direct(data, DIRECT - LESS, FORMATS["large format"])
)


def _thinks(data: lab.Data, worth: float, form: float) -> lab.Evidence:
    end = data.runs.thinks.sel(worth=worth, form=form, drop=True).isel(record=-1)
    return lab.mean("share of thinking at the end", end).above(0.9)


@study.claim(
    "With f = .6 sampled runs end thinking, nine times in ten or more, although it is worth .3 less.",
    origin=lab.Derived(cited=(papers.THINK,)),
)
def bought(data):
    return _thinks(data, DIRECT - LESS, FORMATS["large format"])


bought.null("accuracy alone")(lambda data: _thinks(data, DIRECT - LESS, 0.0))
bought.positive("accuracy alone, where thinking is worth .2 more")(
    lambda data: _thinks(data, DIRECT + 0.2, 0.0)
)


@study.figure
def draw(data: lab.Data) -> Figure:
    """Which weight buys how many steps; the gap in small groups; sampled runs."""
    figure, (first, second, third) = plot.new((12.6, 3.8), ncols=3, width_ratios=[1, 1.1, 1.1])
    gaps = data.gaps.gap.sel(step=0.83, direct=0.71, share=0.5, drop=True).sel(depth=slice(2, None))
    needed = _favour.crossing(gaps, "form")
    shades = dict(zip(ALGORITHMS, ("#0072B2", "#56B4E9", "#999999", "#E69F00", "#D55E00"), strict=True))
    panels.frame(
        "The format pays for steps that lose accuracy",
        first,
        x="steps of the chain, each right with .83",
        y="f at which thinking starts to gain",
        ylim=(0, 0.8),
    )
    k = np.linspace(2, 12, 100)
    first.plot(k, 0.71 - 0.83**k, color="black", label="law, f = s_d − s_t")
    panels.dots(needed, first, x="depth", by="algorithm", colors=shades, nudge=0.1)
    panels.legend(None, first, loc="lower right", fontsize=8)

    some = data.gaps.gap.sel(step=0.83, depth=4, direct=0.71, share=0.5, drop=True)
    panels.frame(
        "In pairs GRPO needs next to no f: four steps",
        second,
        x="weight f of the format",
        y="gap: weight of thinking − direct",
    )
    panels.curves(some, second, x="form", by="algorithm", colors=shades)
    second.axhline(0, color="black", linewidth=0.8)
    panels.mark(0.71 - 0.83**4, second, "law", at=0.05)
    panels.legend(None, second, loc="upper left", fontsize=8)

    thinks = data.runs.thinks.sel(worth=DIRECT - LESS, drop=True).assign_coords(form=list(FORMATS))
    panels.frame(
        "Sampled: thinking that is worth .3 less", third, x="step", y="share of thinking", ylim=(0, 1.02)
    )
    palette = dict(zip(FORMATS, ("#0072B2", "#999999", "#D55E00"), strict=True))
    names = {name: f"{name}, f = {panels.plain(value)}" for name, value in FORMATS.items()}
    panels.curves(
        thinks, third, x="record", by="form", dash="algorithm", over="seed", colors=palette, names=names
    )
    panels.legend(None, third, loc="center right", fontsize=8)
    return figure
