r"""Why does entropy fall in training, what does clipping do to it, and is it tied to accuracy?

For any logit velocity v, dH/dt = −Cov_π(log π, v). One sampled step of size η, whose gradient has mean v and covariance
C, changes the entropy on average, and to second order, by (`theory.entropy_step`)

$$ E[\Delta H] = -\eta\,{\rm Cov}_\pi(\log\pi, v) + \tfrac{\eta^2}2\,[v^\top B v + {\rm tr}(BC)],\qquad B = \nabla^2 H, $$

so that a fall of entropy splits into drift (what training wants: all but the best patterns go) and noise (what sampling
does, with no difference of rewards needed), which grows like η at equal time.

Ratios of new and old policy leave 1 through inner epochs, or through old rollouts. Clip-low drops negative advantages
where the ratio is below 1 − ε, clip-high positive ones where it is above 1 + ε. Inner epochs push the ratio of a good
(bad) rollout up (down), so that each clip then acts on the rollouts it is meant for, clip-low on what lowers entropy by
emptying patterns, clip-high on what raises the chosen ones. Old rollouts leave both ratios anywhere: either clip slows
training, which keeps entropy.

R = −a e^H + b is said to tie accuracy and entropy in a run. In this model it cannot be exact: it is put to averages over
many questions of four kinds, to single questions, and to the prediction of the end from the first half of the gain.

The experiments: sampled GRPO, G = 8, of eight patterns with π_ref(r) ∝ 1/r, with random rewards (all success rates ½) and
with something to learn; with four ways to clip, on the same random numbers; and expected GRPO on random questions.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import flow, metrics, plot, theory
from qra_jax.algorithm import grpo
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem, random
from qra_jax.studies import papers
from qra_jax.studies.lab import Asked, Data, Derived, Evidence, Run, Study, cells, evidence, panels, scale
from qra_jax.training import gradient_covariance, measure

study = Study(__name__, title="Entropy: what drift, noise and clipping do to it, and how it is tied to accuracy")

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
FAMILIES = ("uniform success rates", "right or wrong", "two levels", "sharp base model")


def _problem(success: jax.Array) -> Problem:
    share = 1 / jnp.arange(1.0, 9)
    return Problem(jnp.log(share / share.sum()).astype(success.dtype), success)


def _rates(log_policy: jax.Array, problem: Problem) -> jax.Array:
    """H, its rate of drift, and the second-order terms of noise and of the mean step."""
    velocity, bend = flow.drift(problem, log_policy, algorithm=grpo(GROUP)), theory.entropy_hessian(log_policy)
    noise = jnp.sum(bend * gradient_covariance(problem, log_policy, algorithm=grpo(GROUP)))
    drift = theory.entropy_rate(log_policy, velocity)
    return jnp.stack([metrics.entropy(log_policy), drift, noise / 2, velocity @ bend @ velocity / 2])


@study.experiment()
def split(run: Run) -> xr.Dataset:
    """ΔH of sampled runs up to t = SPAN, and its parts."""
    steps, rates = round(SPAN / RATES[0]), jnp.array(list(PROBLEMS.values()), jnp.float32)

    def one(cell, key):
        problem, count = _problem(rates[cell.problem]), jnp.round(SPAN / cell.rate).astype(int)
        options = {"steps": steps, "learning_rate": jnp.float32(cell.rate), "algorithm": grpo(GROUP)}
        path = measure({"rates": _rates}, key, problem, **options).values["rates"]
        terms = jnp.sum(jnp.where((jnp.arange(steps + 1) < count)[:, None], path[:, 1:], 0.0), axis=0)
        whole = path[count, 0] - path[0, 0]
        return {"whole": whole, "drift": cell.rate * terms[0], "noise": cell.rate**2 * terms[1], "step": cell.rate**2 * terms[2]}

    axes = {"problem": range(3), "rate": RATES}
    found = cells(one, key=run.key, seeds=run(scale(32, 600)), axes=axes, block=64)
    return found.assign_coords(problem=list(PROBLEMS))


@study.experiment()
def clips(run: Run) -> xr.Dataset:
    """Entropy in runs with four ways to clip, on the same random numbers: its mean over the run, first and last; its course."""
    rates, limits = jnp.array([PROBLEMS[RANDOM], PROBLEMS[BEST]], jnp.float32), jnp.array(list(ARMS.values()), jnp.float32)

    def one(cell, key):
        epochs, age, rate, steps = WAYS[cell.way]
        clip = OffPolicy("clip", (limits[cell.arm, 0], limits[cell.arm, 1]), epochs=epochs, staleness=age)
        options = {"learning_rate": rate, "algorithm": grpo(GROUP), "record_every": steps // RECORDS}
        return measure(("entropy",), key, _problem(rates[cell.problem]), steps=steps, off_policy=clip, **options).values

    axes: Any = {"way": list(WAYS), "arm": range(len(ARMS)), "problem": range(2)}
    options = {"dims": {"entropy": ["record"]}, "common": ["arm", "problem"], "block": 256}
    entropy = cells(one, key=run.key, seeds=run(scale(256, 4000)), axes=axes, **options).entropy
    entropy = entropy.assign_coords(arm=list(ARMS), problem=[RANDOM, BEST])
    mean, course = entropy.isel(record=slice(1, None)).mean("record"), entropy.mean("seed")
    return xr.Dataset({"mean": mean, "first": entropy[..., 0], "last": entropy[..., -1], "course": course})


def _question(family: str, key: jax.Array) -> Problem:
    """A random question with ten patterns."""
    base: Problem = random(key, 10)
    if family == "right or wrong":
        return Problem(base.log_ref, jnp.where((base.success < 0.3).at[0].set(True).at[1].set(False), 1.0, 0.0))
    if family == "two levels":
        return Problem(base.log_ref, jnp.where(base.success < 0.5, 0.2, 0.8))
    sharp = family == "sharp base model"
    return Problem(jax.nn.log_softmax(4 * base.log_ref), base.success) if sharp else base


@study.experiment()
def questions(run: Run) -> xr.Dataset:
    """Entropy and accuracy of expected GRPO on many questions of each kind."""
    count = run(scale(48, 400))
    keys = jax.random.split(run.key, count)
    drawn = [jax.vmap(partial(_question, family))(keys) for family in FAMILIES]
    log_ref, success = (jnp.stack([getattr(each, name) for each in drawn]) for name in ("log_ref", "success"))

    def one(cell):
        problem = Problem(log_ref[cell.family, cell.question], success[cell.family, cell.question])
        options = {"steps": 800, "learning_rate": 1.0, "mode": "mean", "record_every": 8}
        return measure(("entropy", "accuracy"), run.key, problem, algorithm=grpo(GROUP), **options).values

    axes, dims = {"family": range(len(FAMILIES)), "question": range(count)}, ["record"]
    found = cells(one, axes=axes, dims={"entropy": dims, "accuracy": dims})
    return found.assign_coords(family=list(FAMILIES))


def _closes(data: Data) -> Evidence:
    """Whether the parts add up at the smallest step."""
    small = data.split.sel(rate=RATES[0])
    rest = (small.whole - small.drift - small.noise - small.step) / abs(small.whole.mean("seed"))
    return evidence.mean("ΔH − parts, ÷ |ΔH|, at η = .1", rest).near(0.0, within=0.25)


def _drifts(data: Data, problems: list[str]) -> Evidence:
    some = data.split.sel(problem=problems)
    return evidence.difference("ΔH by drift − ΔH by noise, in nats", some.drift, some.noise).below(-FALL)


@study.claim(
    "Where there is something to learn, entropy falls by drift, −Cov(log π, v), more than by noise.",
    origin=papers.ENTROPY_COVARIANCE,
)
def drift(data):
    return evidence.all_of(_closes(data), _drifts(data, [name for name in PROBLEMS if name != RANDOM]))


drift.null("random rewards")(lambda data: _drifts(data, [RANDOM]))


def _noisy(data: Data, problem: str) -> Evidence:
    runs = data.split.sel(problem=problem)
    per = runs.noise / runs.rate
    flat = evidence.difference("ΔH by noise ÷ η: at η = .4 − at η = .1", per.sel(rate=0.4), per.sel(rate=0.1))
    return evidence.all_of(
        evidence.mean("|ΔH| by drift", abs(runs.drift)).below(1e-3),
        evidence.mean("ΔH by noise", runs.noise.sel(rate=[0.4, 1.6])).below(-FALL),
        flat.near(0.0, within=0.1),
    )


@study.claim("With random rewards entropy falls by noise alone, ∝ η at equal time.", origin=Derived("theory.entropy_step"))
def noise(data):
    return _noisy(data, RANDOM)


noise.null("a problem with a best pattern")(lambda data: _noisy(data, BEST))


def _gap(data: Data, arm: str, **place: Any) -> Any:
    clips = data.clips["mean"].sel(**place)
    return evidence.difference(f"mean entropy, {arm} − no clipping, in nats", clips.sel(arm=arm), clips.sel(arm="no clipping"))


USUAL = {"way": ["inner epochs"], "problem": [RANDOM]}
CASES = ("way", "problem")


@study.claim("Clip-low raises entropy.", origin=papers.CLIP_LOW)
def low(data):
    return _gap(data, "clip-low").above(FALL).per(*CASES)


low.null("clip-high, inner epochs, random rewards")(lambda data: _gap(data, "clip-high", **USUAL).above(FALL).per(*CASES))


@study.claim("Clip-high lowers entropy.", origin=papers.CLIP_HIGH)
def high(data):
    return _gap(data, "clip-high").below(-FALL).per(*CASES)


high.null("clip-low in its place")(lambda data: _gap(data, "clip-low").below(-FALL).per(*CASES))


def _falls(data: Data, change: xr.DataArray) -> Evidence:
    return evidence.mean("entropy at the end − at the start, in nats", change).below(-FALL).per("way")


@study.claim("With symmetric clipping entropy falls even with purely random rewards.", origin=papers.CLIP_BOTH)
def both(data):
    runs = data.clips.sel(arm="both", problem=RANDOM)
    return _falls(data, runs["last"] - runs["first"])


@both.null("the drift of random rewards, without noise")
def _(data):
    return _falls(data, data.split.drift.sel(problem=RANDOM).isel(rate=[0, 1]).rename(rate="way"))


DOMINATES = Asked("That clip-high dominates can be read as: both clips together lower entropy.", (papers.CLIP_BOTH,))


@study.claim("Symmetric clipping lowers entropy against no clipping.", origin=DOMINATES)
def dominates(data):
    return _gap(data, "both").below(-FALL).per(*CASES)


dominates.null("clip-low alone")(lambda data: _gap(data, "clip-low").below(-FALL).per(*CASES))


@dominates.positive("clip-high alone, inner epochs, random rewards")
def _(data):
    return _gap(data, "clip-high", **USUAL).below(-FALL).per(*CASES)
