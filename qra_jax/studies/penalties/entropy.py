r"""Why does entropy fall in training, and what does clipping do to it?

For any logit velocity v, dH/dt = −Cov_π(log π, v). One sampled step of size η, whose gradient has mean v and
covariance C, changes the entropy on average, and to second order, by (`theory.entropy_step`)

$$ E[\Delta H] = -\eta\,{\rm Cov}_\pi(\log\pi, v) + \tfrac{\eta^2}2\,[v^\top B v + {\rm tr}(BC)],\ B = \nabla^2 H, $$

so that a fall of entropy splits into drift (what training wants: all but the best patterns go) and noise (what sampling
does, with no difference of rewards needed), which grows like η at equal time.

Ratios of new and old policy leave 1 through inner epochs, or through old rollouts. Clip-low drops negative advantages
where the ratio is below 1 − ε, clip-high positive ones where it is above 1 + ε. Inner epochs push the ratio of a good
(bad) rollout up (down), so that each clip then acts on the rollouts it is meant for, clip-low on what lowers entropy by
emptying patterns, clip-high on what raises the chosen ones. Old rollouts leave both ratios anywhere: either clip slows
training, which keeps entropy.

The experiments: sampled GRPO, G = 8, of eight patterns with π_ref(r) ∝ 1/r, with random rewards (all success rates ½)
and with something to learn; and with four ways to clip, on the same random numbers.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import flow, metrics, plot, theory
from qra_jax.algorithm import grpo
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.training import gradient_covariance, measure

study = lab.Study(__name__, title="Entropy: what drift, noise and clipping do to it")

GROUP, SPAN, RATES = 8, 40.0, [0.1, 0.4, 1.6]
"""Rollouts in a group; time of the runs whose fall of entropy is split, and their learning rates."""
RANDOM, BEST = "random rewards", "a best pattern"
PROBLEMS = {
    RANDOM: [0.5] * 8,
    "three good patterns": [0.3, 0.8, 0.3, 0.8, 0.3, 0.8, 0.3, 0.3],
    BEST: [0.3, 0.8, 0.5, 0.2, 0.6, 0.1, 0.7, 0.4],
}
"""Success rates."""
NEVER = 1e9
ARMS = {"no clipping": (1.0, NEVER), "clip-low": (0.2, NEVER), "clip-high": (1.0, 0.2), "both": (0.2, 0.2)}
"""ε below and above."""
WAYS = {"inner epochs": (4, 0, 0.5, 60), "old rollouts": (1, 4, 1.0, 120)}
"""How ratios leave 1: inner epochs, age of the rollouts; learning rate; steps."""
RECORDS, FALL = 20, 0.02
"""Records of a run; a change of entropy that matters, in nats."""


def _problem(success: jax.Array) -> Problem:
    share = 1 / jnp.arange(1.0, 9)
    return Problem(jnp.log(share / share.sum()).astype(success.dtype), success)


def _rates(log_policy: jax.Array, problem: Problem) -> jax.Array:
    """H, its rate of drift, and the second-order terms of noise and of the mean step."""
    velocity = flow.drift(problem, log_policy, algorithm=grpo(GROUP))
    bend = theory.entropy_hessian(log_policy)
    noise = jnp.sum(bend * gradient_covariance(problem, log_policy, algorithm=grpo(GROUP)))
    drift = theory.entropy_rate(log_policy, velocity)
    return jnp.stack([metrics.entropy(log_policy), drift, noise / 2, velocity @ bend @ velocity / 2])


@study.experiment()
def split(run: lab.Run) -> xr.Dataset:
    """ΔH of sampled runs up to t = SPAN, and its parts."""
    steps, rates = round(SPAN / RATES[0]), jnp.array(list(PROBLEMS.values()), jnp.float32)

    def one(cell, key):
        problem, count = _problem(rates[cell.problem]), jnp.round(SPAN / cell.rate).astype(int)
        options = {"steps": steps, "learning_rate": jnp.float32(cell.rate), "algorithm": grpo(GROUP)}
        path = measure({"rates": _rates}, key, problem, **options).values["rates"]
        terms = jnp.sum(jnp.where((jnp.arange(steps + 1) < count)[:, None], path[:, 1:], 0.0), axis=0)
        whole = path[count, 0] - path[0, 0]
        parts = terms * jnp.stack([cell.rate, cell.rate**2, cell.rate**2])
        return {"whole": whole, "drift": parts[0], "noise": parts[1], "step": parts[2]}

    axes = {"problem": range(3), "rate": RATES}
    found = lab.cells(one, key=run.key, seeds=run(lab.scale(32, 600)), axes=axes, block=64)
    return found.assign_coords(problem=list(PROBLEMS))


@study.experiment()
def clips(run: lab.Run) -> xr.Dataset:
    """Entropy with four ways to clip, on the same random numbers: mean over the run, first, last; its course."""
    rates, limits = jnp.float32([PROBLEMS[RANDOM], PROBLEMS[BEST]]), jnp.float32(list(ARMS.values()))

    def one(cell, key):
        epochs, age, rate, steps = WAYS[cell.way]
        clip = OffPolicy("clip", (limits[cell.arm, 0], limits[cell.arm, 1]), epochs=epochs, staleness=age)
        options = {"learning_rate": rate, "algorithm": grpo(GROUP), "steps": steps, "off_policy": clip}
        problem = _problem(rates[cell.problem])
        return measure(("entropy",), key, problem, record_every=steps // RECORDS, **options).values

    axes: Any = {"way": list(WAYS), "arm": range(len(ARMS)), "problem": range(2)}
    options = {"dims": {"entropy": ["record"]}, "common": ["arm", "problem"], "block": 256}
    entropy = lab.cells(one, key=run.key, seeds=run(lab.scale(256, 4000)), axes=axes, **options).entropy
    entropy = entropy.assign_coords(arm=list(ARMS), problem=[RANDOM, BEST])
    mean, course = entropy.isel(record=slice(1, None)).mean("record"), entropy.mean("seed")
    return xr.Dataset({"mean": mean, "first": entropy[..., 0], "last": entropy[..., -1], "course": course})


LEARNING = list(PROBLEMS)[1:]


def _drifts(data: lab.Data, problems: list[str]) -> lab.Evidence:
    some = data.split.sel(problem=problems)
    small = some.sel(rate=RATES[0])
    rest = (small.whole - small.drift - small.noise - small.step) / abs(small.whole.mean("seed"))
    more = lab.difference("ΔH by drift − ΔH by noise, in nats", some.drift, some.noise).below(-FALL)
    return lab.all_of(more, lab.mean("(ΔH − parts)/|ΔH| at η = .1", rest).near(0.0, within=0.1))


@study.claim(
    "On two problems with something to learn (π_ref ∝ 1/r) entropy falls by drift, −Cov(log π, v), more than by noise.",
    origin=papers.ENTROPY_COVARIANCE,
)
def drift(data):
    return _drifts(data, LEARNING)


drift.null("random rewards")(lambda data: _drifts(data, [RANDOM]))


def _noisy(data: lab.Data, problem: str) -> lab.Evidence:
    runs = data.split.sel(problem=problem)
    per, some = runs.noise / runs.rate, runs.sel(rate=0.4)
    flat = lab.difference("ΔH by noise ÷ η: at η = .4 − at η = .1", per.sel(rate=0.4), per.sel(rate=0.1))
    return lab.all_of(
        lab.exact("largest |ΔH| by drift", abs(runs.drift).max(["rate", "seed"], skipna=False)).below(1e-3),
        lab.mean("ΔH by noise, η ≥ .4", runs.noise.sel(rate=[0.4, 1.6]).rename(rate="η")).below(-FALL),
        flat.near(0.0, within=0.1),
        lab.pooled_share("ΔH by noise, of all of ΔH at η = .4", some.noise, some.whole).near(
            1.0, within=0.25
        ),
    )


STEP = lab.Derived("theory.entropy_step")


@study.claim("With random rewards entropy falls by noise alone, ∝ η at equal time.", origin=STEP)
def noise(data):
    return _noisy(data, RANDOM)


noise.null("a problem with a best pattern")(lambda data: _noisy(data, BEST))


def _gap(data: lab.Data, arm: str, **place: Any) -> Any:
    runs, words = data.clips["mean"].sel(**place), f"mean entropy, {arm} − no clipping, in nats"
    return lab.difference(words, runs.sel(arm=arm), runs.sel(arm="no clipping"))


USUAL = {"way": ["inner epochs"], "problem": [RANDOM]}
CASES = ("way", "problem")


@study.claim("Clip-low (ε = .2) raises entropy.", origin=papers.CLIP_LOW)
def low(data):
    return _gap(data, "clip-low").above(FALL).per(*CASES)


@low.null("clip-high in its place, inner epochs, random rewards")
def _(data):
    return _gap(data, "clip-high", **USUAL).above(FALL).per(*CASES)


@study.claim("Clip-high (ε = .2) lowers entropy.", origin=papers.CLIP_HIGH)
def high(data):
    return _gap(data, "clip-high").below(-FALL).per(*CASES)


high.null("clip-low in its place")(lambda data: _gap(data, "clip-low").below(-FALL).per(*CASES))


@study.claim(
    "With random rewards entropy falls under symmetric clipping, and without as well.",
    origin=lab.Asked("The paper sees entropy fall so, and puts it down to clip-high.", (papers.CLIP_BOTH,)),
    needs_no_control="without sampling nothing moves: the mean gradient of random rewards is zero",
)
def both(data):
    runs = data.clips.sel(arm=["both", "no clipping"], problem=RANDOM)
    fall = lab.difference("entropy at the end − at the start, in nats", runs["last"], runs["first"])
    return fall.below(-FALL).per("way")


@study.claim("With symmetric clipping clip-high dominates: entropy is lowered.", origin=papers.CLIP_BOTH)
def dominates(data):
    return _gap(data, "both").below(-FALL).per(*CASES)


dominates.null("clip-low alone")(lambda data: _gap(data, "clip-low").below(-FALL).per(*CASES))


@dominates.positive("clip-high alone, inner epochs, random rewards")
def _(data):
    return _gap(data, "clip-high", **USUAL).below(-FALL).per(*CASES)


@study.figure
def draw(data: lab.Data) -> Figure:
    """The split of ΔH; runs with clipping; what clipping changes."""
    figure, (first, second, third) = plot.new((11.0, 3.9), ncols=3)
    title, x = "Reward makes it fall; else noise does, ∝ η", f"fall of entropy up to t = {SPAN:g}"
    panels.frame(title, first, x=x, y="")
    rows = [f"{name}, η = {panels.plain(rate)}" for name in PROBLEMS for rate in RATES]
    parts = {"drift": plot.CYCLE[0], "noise": plot.CYCLE[4]}
    falls = {name: -data.split[name].mean("seed").values.ravel() for name in ("drift", "noise", "whole")}
    stacked = xr.DataArray(
        [falls[name] for name in parts], {"part": list(parts), "row": rows}, ("part", "row")
    )
    whole = xr.DataArray(falls["whole"], {"row": rows}, "row")
    panels.bars(stacked, first, x="row", by="part", stacked=True, flat=True, colors=parts, expected=whole)
    panels.legend(None, first, loc="upper right", title="tick: whole fall")

    colors = dict(zip(ARMS, (plot.MUTED, plot.CYCLE[0], plot.CYCLE[1], plot.CYCLE[6]), strict=True))
    runs = data.clips.course.sel(way="inner epochs", problem=RANDOM)
    ends = runs.sel(arm="both").isel(record=[0, -1]).values
    title = f"Random rewards: with both clips it falls from {ends[0]:.2f} to {ends[1]:.2f}"
    panels.frame(title, second, x="groups", y="entropy (nats)", ylim=(0, 2))
    steps = np.linspace(0, WAYS["inner epochs"][3], RECORDS + 1)
    panels.curves(runs.assign_coords(record=steps), second, x="record", by="arm", colors=colors)
    panels.legend(None, second, loc="lower left", title="4 inner epochs, ε = .2")

    cases = [f"{way},\n{problem}".replace(" ", "\n") for way in WAYS for problem in (RANDOM, BEST)]
    gaps = data.clips["mean"] - data.clips["mean"].sel(arm="no clipping")
    gaps = gaps.stack(case=CASES).drop_vars(["case", *CASES]).assign_coords(case=cases)
    fewer = int((gaps.sel(arm="clip-high").mean("seed") < 0).sum())
    title = f"Clip-low raises it; clip-high lowers it in {fewer} of {len(cases)} cases"
    panels.frame(title, third, x="", y="change of mean entropy (nats)")
    panels.bars(gaps.sel(arm=list(ARMS)[1:]), third, x="case", by="arm", over="seed", colors=colors)
    panels.legend(None, third, loc="upper left")
    return figure
