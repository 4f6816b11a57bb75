r"""Phases of post-training, and the one velocity that all of them are settings of.

$$ \dot\theta = \eta(s)\Bigl\{\text{geometry}\bigl[c(\rho)\,R + \text{regularizers} - \beta(s)\,\text{KL}\bigr]
   + w(s)\,g(\rho)\,(\mu-\pi)\Bigr\},\qquad s = t/T $$

Without the first term it is SFT on the mixture μ, without the second reinforcement learning; with both and the gate
$g=(1-\rho)^G$, the chance that a group of G rollouts has no right one, SFT goes where RL gets nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from qra_jax import (
    _check,
    _show,
    algorithm as _algorithm,
    expectation,
    regularizer as _regularizer,
    reward as _reward,
)
from qra_jax.algorithm import Algorithm
from qra_jax.geometry import GEOMETRIES
from qra_jax.problem import Problem
from qra_jax.recipe import schedule
from qra_jax.recipe.schedule import Schedule
from qra_jax.regularizer import Regularizer
from qra_jax.reward import Reward

RUNNERS = ("orbit", "flow", "mean", "sampled")
PENALTIES = ("reverse_kl", "k3_loss")
EVENTS = ("best", "accuracy")
BATCH = 64
"""Demonstrations in one sampled step of SFT."""
STATIC = {"static": True}


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True, repr=False)
class Phase:
    """One phase; made by [`sft`][], [`rlvr`][], [`rlif`][] or [`interleaved`][], which check their arguments.

    Attributes:
      kind: name of the function that made it.
      runner: `"orbit"` (closed form), `"flow"` (ODE), `"mean"` (steps on the exact mean gradient) or `"sampled"`.
      time: T ≥ 0, for orbit and flow; with `until`, the longest time.
      steps: for mean and sampled; with `until`, the most steps.
      until: level at which the phase ends.
      event: what reaches it: `"best"`, π(r*), or `"accuracy"`, the mean ρ over questions.
      learning_rate: η(s); default: in orbit and flow a factor on the velocity, 1.
      beta: β(s) of the KL term.
      penalty: `"reverse_kl"` or `"k3_loss"`, which KL term.
      q: q(s) of the Tsallis family, in place of the algorithm's.
      mixture: `[patterns]` (or `[questions, patterns]`), μ of the demonstrations.
      demonstrations: x, with μ = (1 − x) π_ref + x e_{r*}, where no mixture is given.
      weight: w(s) of SFT.
      unsolved: G of the gate; SFT everywhere where `None`.
      batch: demonstrations in a sampled step.
      optimizer: `learning_rate -> optax transformation`, for mean and sampled.
      price: cost of a unit of time (orbit, flow) or of a step.
      demonstration_price: cost of a unit of SFT, w·g.

    As in `flow.solve`; no RL where `algorithm` is `None`: `algorithm`, `reward`, `regularizers`, `geometry`.
    """

    kind: str = field(default="phase", metadata=STATIC)
    runner: str = field(default="flow", metadata=STATIC)
    time: Any = None
    steps: int | None = field(default=None, metadata=STATIC)
    until: Any = None
    event: str = field(default="best", metadata=STATIC)
    learning_rate: Any = 1.0
    algorithm: Algorithm | None = None
    reward: Reward | None = None
    regularizers: tuple[Regularizer, ...] = ()
    geometry: str = field(default="softmax", metadata=STATIC)
    beta: Any = None
    penalty: str = field(default="reverse_kl", metadata=STATIC)
    q: Any = None
    mixture: Any = None
    demonstrations: Any = None
    weight: Any = 1.0
    unsolved: Any = None
    batch: int = field(default=BATCH, metadata=STATIC)
    optimizer: Any = field(default=optax.sgd, metadata=STATIC)
    price: Any = 1.0
    demonstration_price: Any = 0.0

    def __repr__(self) -> str:
        return f"Phase({self.summary})"

    @property
    def summary(self) -> str:
        """Kind, runner and what was given, in a line."""
        given = [f"{name} = {_said(value)}" for name, value in self.given().items() if name != "runner"]
        return ", ".join([f"{self.kind} ({self.runner})", *given])

    @property
    def demonstrates(self) -> bool:
        """Whether there is SFT in it."""
        return self.mixture is not None or self.demonstrations is not None

    def parts(self, progress: Any, dtype: Any) -> tuple[Algorithm, Reward, tuple[Regularizer, ...]]:
        """Algorithm, reward and regularizers at some progress.

        Args:
          progress: s in [0, 1].
          dtype: of the numbers.

        Returns:
          The parts, KL term included.
        """
        assert self.algorithm is not None
        assert self.reward is not None
        algorithm, terms = self.algorithm, self.regularizers
        if self.q is not None:
            params = {**algorithm.params, "q": schedule.at(self.q, progress, dtype)}
            algorithm = replace(algorithm, params=params)
        if self.beta is not None:
            term = getattr(_regularizer, self.penalty)(0.0)
            terms = (*terms, replace(term, params={"beta": schedule.at(self.beta, progress, dtype)}))
        return algorithm, self.reward, terms

    def data(self, problem: Problem) -> Float[Array, "*questions patterns"]:
        """The mixture μ of the demonstrations.

        Args:
          problem: the question, or questions.

        Returns:
          `[patterns]` or `[questions, patterns]`.
        """
        dtype = problem.log_ref.dtype
        if self.mixture is not None:
            return jnp.broadcast_to(jnp.asarray(self.mixture, dtype), problem.log_ref.shape)
        share = jnp.asarray(self.demonstrations, dtype)
        return (1 - share) * problem.ref + share * jax.nn.one_hot(problem.best, problem.patterns, dtype=dtype)

    def given(self) -> dict[str, Any]:
        """Fields that are not at their defaults."""
        return {
            each.name: value
            for each in fields(self)
            if not _same(value := getattr(self, each.name), each.default) and each.name != "kind"
        }


def sft(
    *,
    mixture: Any = None,
    demonstrations: Any = None,
    time: Any = None,
    steps: int | None = None,
    learning_rate: Any = 1.0,
    weight: Any = 1.0,
    runner: str | None = None,
    batch: int = BATCH,
    optimizer: Any = optax.sgd,
    until: Any = None,
    event: str = "best",
    price: Any = 1.0,
    demonstration_price: Any = 0.0,
) -> Phase:
    r"""Supervised fine-tuning on demonstrations, $\dot\theta = \eta\,w\,(\mu-\pi)$.

    Args:
      mixture: `[patterns]` or `[questions, patterns]`, μ: shares of the patterns in the data, sum to one; or
      demonstrations: x in [0, 1], the share of demonstrations of the best pattern among the model's own choices,
        μ = (1 − x) π_ref + x e_{r*}.
      time: T ≥ 0, in units of unit learning rate; or
      steps: number of steps, ≥ 1.
      learning_rate: η ≥ 0, a number or a [`Schedule`][]; with `time` a factor on the speed.
      weight: w ≥ 0, likewise.
      runner: `"flow"` (with `time`), `"mean"` or `"sampled"` (with `steps`); the first that fits.
      batch: demonstrations in a sampled step, ≥ 1.
      optimizer: a function of the learning rate that makes an optax optimiser, for steps.
      until: level in (0, 1) at which the phase ends, by `time` or `steps` at the latest.
      event: what reaches it, `"best"` or `"accuracy"`.
      price: cost of a unit of time, or of a step, ≥ 0.
      demonstration_price: cost of a unit of demonstrations, ≥ 0.

    Returns:
      A `Phase`.

    Raises:
      ValueError: an argument out of range, or not exactly one of two alternatives.
    """
    return _phase(locals(), "sft")


def rlvr(
    *,
    time: Any = None,
    steps: int | None = None,
    until: Any = None,
    event: str = "best",
    learning_rate: Any = 1.0,
    algorithm: Algorithm | None = None,
    reward: Reward | None = None,
    regularizers: Sequence[Regularizer] = (),
    beta: Any = None,
    penalty: str = "reverse_kl",
    q: Any = None,
    geometry: str = "softmax",
    runner: str | None = None,
    optimizer: Any = optax.sgd,
    price: Any = 1.0,
) -> Phase:
    """Reinforcement learning from a verifier.

    Args:
      time: T ≥ 0; or
      steps: number of steps, ≥ 1.
      until: level in (0, 1) at which the phase ends. The orbit needs no `time` then; elsewhere `time` or `steps` is
        when to give up.
      event: what reaches it, `"best"` or `"accuracy"`.
      learning_rate: η ≥ 0, a number or a [`Schedule`][]; with `time` a factor on the speed.
      algorithm: default: REINFORCE; Tsallis with a `q`.
      reward: default: the perfect verifier.
      regularizers: terms added to it.
      beta: β ≥ 0 of a KL term, a number or a [`Schedule`][].
      penalty: which KL term, `"reverse_kl"` or `"k3_loss"`.
      q: in [0, 1], of the Tsallis family, a number or a [`Schedule`][].
      geometry: `"softmax"` or `"natural"` (orbit and flow only).
      runner: `"orbit"`, `"flow"`, `"mean"` or `"sampled"`; default: the orbit if it has a closed form, else
        the flow; the mean with `steps`.
      optimizer: a function of the learning rate that makes an optax optimiser, for steps.
      price: cost of a unit of time, or of a step, ≥ 0.

    Returns:
      A `Phase`.

    Raises:
      ValueError: an argument out of range, alternatives not given exactly once, or a runner that cannot do it.
    """
    return _phase(locals(), "rlvr")


def rlif(
    *,
    reward: Reward | None = None,
    time: Any = None,
    steps: int | None = None,
    until: Any = None,
    event: str = "best",
    learning_rate: Any = 1.0,
    algorithm: Algorithm | None = None,
    regularizers: Sequence[Regularizer] = (),
    beta: Any = None,
    penalty: str = "reverse_kl",
    geometry: str = "softmax",
    runner: str | None = None,
    optimizer: Any = optax.sgd,
    price: Any = 1.0,
) -> Phase:
    """Reinforcement learning from internal feedback.

    Args:
      reward: default: self-certainty.

    As for [`rlvr`][]: `time`, `steps`, `until`, `event`, `learning_rate`, `algorithm`, `regularizers`, `beta`,
    `penalty`, `geometry`, `runner`, `optimizer`, `price`.

    Returns:
      A `Phase`.

    Raises:
      ValueError: as for [`rlvr`][].
    """
    given = locals()
    given["reward"] = _reward.self_certainty() if reward is None else reward
    return _phase(given, "rlif")


def interleaved(
    *,
    mixture: Any = None,
    demonstrations: Any = None,
    unsolved: Any = 8,
    weight: Any = 1.0,
    time: Any = None,
    steps: int | None = None,
    until: Any = None,
    event: str = "best",
    learning_rate: Any = 1.0,
    algorithm: Algorithm | None = None,
    reward: Reward | None = None,
    regularizers: Sequence[Regularizer] = (),
    beta: Any = None,
    penalty: str = "reverse_kl",
    q: Any = None,
    geometry: str = "softmax",
    runner: str | None = None,
    batch: int = BATCH,
    optimizer: Any = optax.sgd,
    price: Any = 1.0,
    demonstration_price: Any = 0.0,
) -> Phase:
    r"""Reinforcement learning, with SFT on the questions that it does not solve (as ReLIFT does).

    In expectation SFT has the weight $w\,(1-\rho)^G$ on each question, ρ being the chance that the verifier accepts;
    sampled, it acts on a question in the steps in which no rollout of its group is accepted (of the first group drawn,
    where silent ones are drawn again).

    Args:
      unsolved: G > 0 of the gate (sampled: the algorithm's own group is looked at); `None` for SFT at every step.

    As for [`sft`][]: `mixture`, `demonstrations`, `weight`, `batch`, `demonstration_price`.

    As for [`rlvr`][]: `time`, `steps`, `until`, `event`, `learning_rate`, `algorithm`, `reward`, `regularizers`,
    `beta`, `penalty`, `q`, `geometry`, `runner`, `optimizer`, `price`.

    Returns:
      A `Phase`.

    Raises:
      ValueError: as for [`sft`][] and [`rlvr`][].

    Reference: Ma et al., arXiv 2506.07527 (ReLIFT).
    """
    return _phase(locals(), "interleaved")


def _phase(given: dict[str, Any], kind: str) -> Phase:
    """Check, fill in defaults, choose a runner."""
    for name in ("time", "until", "price", "demonstration_price", "demonstrations", "unsolved"):
        if given.get(name) is not None and np.ndim(given[name]):
            raise ValueError(
                f"{name}: shape {np.shape(given[name])}; must be one number, jax.vmap over several"
            )
    trains, teaches = kind != "sft", kind in ("sft", "interleaved")
    get = given.get
    if trains:
        q = get("q")
        if get("algorithm") is None:
            given["algorithm"] = _algorithm.reinforce() if q is None else _algorithm.tsallis(0.0)
        if get("reward") is None:
            given["reward"] = _reward.verifiable()
        _check.part("algorithm", given["algorithm"], Algorithm)
        _check.part("reward", given["reward"], Reward)
        if given["algorithm"].size is not None:
            raise ValueError("group_size: traced; must be a static whole number in a recipe")
        if given["algorithm"].batch is not None:
            raise ValueError(
                f"algorithm: {given['algorithm'].name} is scaled by a batch of questions; must be another one in a "
                "recipe"
            )
        given["regularizers"] = _check.parts("regularizers", given["regularizers"], Regularizer)
        _check.choice("geometry", given["geometry"], GEOMETRIES)
        _check.choice("penalty", given["penalty"], PENALTIES)
        if q is not None:
            schedule.check("q", q, share=True)
            if "q" not in given["algorithm"].params:
                raise ValueError(f"q: given with {given['algorithm'].name}; must be None but for tsallis")
        if get("beta") is not None:
            schedule.check("beta", given["beta"])
    if teaches:
        if (get("mixture") is None) == (get("demonstrations") is None):
            raise ValueError("mixture, demonstrations: give exactly one of them")
        if get("mixture") is not None:
            given["mixture"] = _check.distribution(
                "mixture", given["mixture"], tolerance=_check.SUM_TOLERANCE, ndim=np.ndim(given["mixture"])
            )
        else:
            _check.unit_interval("demonstrations", given["demonstrations"])
        schedule.check("weight", given["weight"])
        _check.integer("batch", given["batch"], low=1)
        _check.nonnegative("demonstration_price", given["demonstration_price"])
        if get("unsolved") is not None:
            _check.positive("unsolved", given["unsolved"])
    schedule.check("learning_rate", given["learning_rate"])
    _check.nonnegative("price", given["price"])
    _check.choice("event", given["event"], EVENTS)
    if given["until"] is not None:
        _check.open_unit_interval("until", given["until"])
    given["runner"] = _runner(given, trains, teaches)
    return Phase(kind=kind, **given)


def _runner(given: dict[str, Any], trains: bool, teaches: bool) -> str:
    time, steps, until, runner = (given[name] for name in ("time", "steps", "until", "runner"))
    if runner is not None:
        _check.choice("runner", runner, RUNNERS)
    if time is not None and steps is not None:
        raise ValueError("time, steps: both are given; must be one of them")
    if time is not None:
        _check.nonnegative("time", time)
    if steps is not None:
        _check.integer("steps", steps, low=1)
        runner = runner or "mean"
    obstacle = _no_orbit(given) if trains and not teaches else "SFT has no closed orbit"
    runner = runner or ("flow" if obstacle else "orbit")
    if runner == "orbit" and obstacle:
        raise ValueError(f"runner: 'orbit', but {obstacle}; must be 'flow', 'mean' or 'sampled'")
    if runner in ("mean", "sampled"):
        if steps is None:
            raise ValueError(f"steps: missing; runner {runner!r} needs a number of steps, 1 or above")
        if given.get("geometry", "softmax") == "natural":
            raise ValueError(f"geometry: 'natural' with runner {runner!r}; must be 'softmax'")
    elif steps is not None:
        raise ValueError(f"steps: {steps} with runner {runner!r}; must be None, give a time")
    elif time is None and (until is None or runner == "flow"):
        raise ValueError(f"time: missing; runner {runner!r} needs a time, zero or above")
    return runner


def _no_orbit(given: dict[str, Any]) -> str | None:
    """Why there is no closed form, if so."""
    reward, algorithm = given["reward"], given["algorithm"]
    if given["regularizers"] or given["beta"] is not None:
        return "regularizers bend the orbit"
    if isinstance(given.get("q"), Schedule):
        return "its q changes on the way"
    if not reward.fixed:
        return f"the reward {reward.name!r} depends on the policy"
    if algorithm.pairs is not None or algorithm.uses_lengths:
        return f"{algorithm.name} follows no orbit"
    if not reward.binary and expectation.limit_clock(algorithm, algorithm.group_size) is None:
        return f"{algorithm.name} has no clock for the reward {reward.name!r}"
    if reward.spread is not None and algorithm.real_clock is None:
        return f"{algorithm.name} sees how the reward {reward.name!r} differs between rollouts of a pattern"
    if given["until"] is not None and isinstance(given["learning_rate"], Schedule):
        return "its learning rate changes on the way"
    return None


def _said(value: Any) -> str:
    """A value in short: parts and functions by name."""
    if isinstance(value, (Algorithm, Reward, Regularizer)):
        return value.name
    if isinstance(value, Schedule):
        return f"{value.kind} {_said(value.knots)}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_said, value))}]"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    if isinstance(value, float) or (_show.concrete(value) and value.ndim == 0):
        return f"{value:.4g}"
    return _show.numbers(value) if _show.concrete(value) and value.ndim == 1 else _show.shape(value)


def _same(value: Any, default: Any) -> bool:
    if value is default:
        return True
    scalar = isinstance(value, (int, float, str)) and isinstance(default, (int, float, str))
    return (scalar and value == default) or (isinstance(value, tuple) and value == () == default)
