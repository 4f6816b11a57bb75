r"""A whole training configuration in our parts, and the published recipes that are more than an algorithm.

An [`Algorithm`][qra_jax.algorithm.Algorithm] says how the rewards of a group become weights. What people run is more
than that: a surrogate for old rollouts, penalties, an optimiser with its schedule, a normalisation by length. A
[`Setup`][] holds all of it, and hands it to tabular training and to a network as keyword arguments.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer  # pyright: ignore[reportMissingImports]

from qra_jax import _check, algorithm as algorithms
from qra_jax.algorithm import Algorithm
from qra_jax.off_policy import SEQUENCE_SURROGATES, OffPolicy
from qra_jax.regularizer import Regularizer
from qra_jax.reward import Reward, verifiable

NORMALIZATIONS = ("length", "constant", "tokens", "batch_tokens")
"""How a sequence's token terms are divided: by its own length, by a constant, by the tokens of the group."""
TOKEN_MASKS = {
    "entropy": ("share",),
    "clip_cov": ("share", "low", "high"),
    "kl_cov": ("share", "coefficient"),
}
"""Rules that choose the tokens that learn, and the numbers that each of them takes."""
SCHEDULES = ("constant", "linear", "cosine")
"""Shapes of the learning rate over time, after a linear warm-up."""
RULES = ("adamw", "sgd", "lion", "rmsprop", "adagrad")
"""Update rules of [`Optimizer`][]."""


@dataclass(frozen=True)
class Optimizer:
    """An update rule with its schedule and the clipping of its gradient; called with a learning rate, as `optax.adamw`.

    Two that hold the same numbers are equal, so that a program compiled for one serves the other.

    Attributes:
      rule: `"adamw"`, `"sgd"`, `"lion"`, `"rmsprop"` or `"adagrad"`.
      b1: decay of the first moment, in [0, 1); of sgd and of rmsprop, the momentum.
      b2: decay of the second moment, in [0, 1).
      eps: number added to the denominator, ≥ 0.
      weight_decay: decoupled decay, ≥ 0, of adamw and lion.
      clip_norm: largest norm of the gradient, > 0; `None` for none.
      schedule: `"constant"`, `"linear"` to the end or `"cosine"` to the end.
      warmup: updates of a linear warm-up, ≥ 0.
      updates: length of the schedule, ≥ 1; needed by all but the constant one.
      end: share of the learning rate that is left at the end, in [0, 1].

    Raises:
      ValueError: an argument out of range, or a schedule without its length.

    >>> Optimizer(clip_norm=1.0)
    Optimizer(adamw, clip_norm = 1.0)
    """

    rule: str = "adamw"
    b1: float | int = 0.9
    b2: float | int = 0.999
    eps: float | int = 1e-8
    weight_decay: float | int = 0.0
    clip_norm: float | int | None = None
    schedule: str = "constant"
    warmup: int = 0
    updates: int | None = None
    end: float | int = 0.0

    def __post_init__(self) -> None:
        _check.choice("rule", self.rule, RULES)
        _check.choice("schedule", self.schedule, SCHEDULES)
        for name in ("b1", "b2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)}; must be in [0, 1)")
        _check.nonnegative("eps", self.eps)
        _check.nonnegative("weight_decay", self.weight_decay)
        if self.clip_norm is not None:
            _check.positive("clip_norm", self.clip_norm)
        _check.integer("warmup", self.warmup, low=0)
        _check.unit_interval("end", self.end)
        if self.updates is not None:
            _check.integer("updates", self.updates, low=1)
        elif self.schedule != "constant":
            raise ValueError(f"updates: None with schedule {self.schedule!r}; must be 1 or above")

    def __repr__(self) -> str:
        said = [
            f"{one.name} = {getattr(self, one.name)!r}"
            for one in fields(self)[1:]
            if getattr(self, one.name) != one.default
        ]
        return f"Optimizer({', '.join([self.rule, *said])})"

    def __call__(self, learning_rate: Any) -> optax.GradientTransformation:
        """The optax transformation.

        Args:
          learning_rate: η ≥ 0 at the schedule's height; may be traced.

        Returns:
          An `optax.GradientTransformation`.
        """
        rate = learning_rate
        if self.schedule != "constant" or self.warmup:
            rate = functools.partial(self._rate, learning_rate)
        rule = {
            "adamw": lambda: optax.adamw(
                rate, b1=self.b1, b2=self.b2, eps=self.eps, weight_decay=self.weight_decay
            ),
            "sgd": lambda: optax.sgd(rate, momentum=self.b1 or None),
            "lion": lambda: optax.lion(rate, b1=self.b1, b2=self.b2, weight_decay=self.weight_decay),
            "rmsprop": lambda: optax.rmsprop(rate, decay=self.b2, eps=self.eps, momentum=self.b1 or None),
            "adagrad": lambda: optax.adagrad(rate, eps=self.eps),
        }[self.rule]()
        return (
            rule if self.clip_norm is None else optax.chain(optax.clip_by_global_norm(self.clip_norm), rule)
        )

    def _rate(self, learning_rate: Any, count: Any) -> Any:
        rise = jnp.minimum(count / self.warmup, 1.0) if self.warmup else 1.0
        if self.updates is None:
            return learning_rate * rise
        passed = jnp.clip((count - self.warmup) / max(self.updates - self.warmup, 1), 0.0, 1.0)
        fall = {
            "constant": 1.0,
            "linear": 1 - passed,
            "cosine": (1 + jnp.cos(jnp.pi * passed)) / 2,
        }[self.schedule]
        return learning_rate * rise * (self.end + (1 - self.end) * fall)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Setup:
    """A whole training configuration: what learns from what, how old it may be, and by which steps.

    Attributes:
      algorithm: how a group's rewards become weights; it knows its group size.
      off_policy: where rollouts come from, and what is done about their age.
      regularizers: penalties and bonuses on the policy.
      reward: what a rollout earns.
      optimizer: from a learning rate to an optax transformation, such as `optax.adamw`.
      learning_rate: η ≥ 0; `None` leaves it to the caller.
      steps: batches of rollouts, ≥ 1; `None` leaves it to the caller.
      normalize: `"length"` 1/|o_i|, `"constant"`, `"tokens"` one over the tokens of the group (networks); `None` for
        the network's own default.
      token_mask: `("entropy", share)`, only the share of tokens of largest entropy learns; `("clip_cov", share, low,
        high)`, a share of the tokens whose covariance is in the range does not; `("kl_cov", share, coefficient)`, the
        share of largest covariance is penalised (networks).
      overlong: `(length, buffer)` or `(length, buffer, penalty)`, tokens; the reward falls linearly by `penalty`
        (default 1) over the last `buffer` tokens before `length` (networks).
      questions: questions of a step, ≥ 1 (networks); `None` leaves it to the caller.

    Raises:
      ValueError: an argument out of range.

    Reference: Yu et al., arXiv 2503.14476 (token mean, overlong shaping); Wang et al., arXiv 2506.01939 (entropy mask);
      Cui et al., arXiv 2505.22617 (Clip-Cov, KL-Cov).
    """

    algorithm: Algorithm
    off_policy: OffPolicy = field(default_factory=OffPolicy)
    regularizers: tuple[Regularizer, ...] = ()
    reward: Reward = field(default_factory=verifiable)
    optimizer: Callable[[Any], optax.GradientTransformation] = field(
        default=optax.sgd, metadata={"static": True}
    )
    learning_rate: Any = None
    steps: int | None = field(default=None, metadata={"static": True})
    normalize: str | None = field(default=None, metadata={"static": True})
    token_mask: tuple[Any, ...] | None = field(default=None, metadata={"static": True})
    overlong: tuple[Any, ...] | None = field(default=None, metadata={"static": True})
    questions: int | None = field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        if _placeholder(self.algorithm, self.off_policy, self.reward, self.learning_rate):
            return
        _check.part("algorithm", self.algorithm, Algorithm)
        if not isinstance(self.off_policy, OffPolicy):
            raise ValueError(
                f"off_policy: {self.off_policy!r}; must be an OffPolicy, such as qra.OffPolicy(clip=.2)"
            )
        object.__setattr__(self, "regularizers", _check.parts("regularizers", self.regularizers, Regularizer))
        _check.part("reward", self.reward, Reward)
        if not callable(self.optimizer) or isinstance(self.optimizer, optax.GradientTransformation):
            said = type(self.optimizer).__name__
            raise ValueError(
                f"optimizer: a {said}; must be a function of the learning rate, such as optax.adamw"
            )
        if self.learning_rate is not None:
            _check.nonnegative("learning_rate", self.learning_rate)
        for name in ("steps", "questions"):
            if getattr(self, name) is not None:
                _check.integer(name, getattr(self, name), low=1)
        if self.normalize is not None:
            _check.choice("normalize", self.normalize, NORMALIZATIONS)
        _check_token_mask(self.token_mask)
        _check_overlong(self.overlong)

    def __repr__(self) -> str:
        said = [repr(self.algorithm)]
        if repr(self.off_policy) != repr(OffPolicy()):
            said.append(repr(self.off_policy))
        said += [repr(one) for one in self.regularizers]
        if not _perfect(self.reward):
            said.append(repr(self.reward))
        rule = self.optimizer
        said.append(repr(rule) if isinstance(rule, Optimizer) else getattr(rule, "__name__", repr(rule)))
        for name in ("learning_rate", "steps", "normalize", "token_mask", "overlong", "questions"):
            value = getattr(self, name)
            if value is not None:
                said.append(f"{name} = {'traced' if isinstance(value, Tracer) else value}")
        return f"Setup({', '.join(said)})"

    def tabular(self) -> dict[str, Any]:
        """Keyword arguments for [`training.train`][qra_jax.training.train].

        What needs tokens (`normalize`, `token_mask`, `overlong`) is left out, and the surrogates of whole sequences are
        the clip: a tabular answer is one decision. A learning rate meant for a network's weights is rarely one for a
        table of logits; `dataclasses.replace` changes it.

        Returns:
          `algorithm`, `off_policy`, `regularizers`, `reward`, `optimizer`, and `learning_rate` and `steps` where they
          are given.
        """
        off_policy = self.off_policy
        if off_policy.surrogate in SEQUENCE_SURROGATES:
            off_policy = replace(off_policy, surrogate="clip")
        return self._given("learning_rate", "steps") | {
            "algorithm": self.algorithm,
            "off_policy": off_policy,
            "regularizers": self.regularizers,
            "reward": self.reward,
            "optimizer": self.optimizer,
        }

    def network(self) -> dict[str, Any]:
        """Keyword arguments for [`transformer.train`][qra_jax.transformer.train].

        Returns:
          `algorithm`, `off_policy`, `regularizers`, `optimizer`, `reward`, and of `learning_rate`, `steps`,
          `normalize`, `token_mask` and `questions` those that are given.

        Raises:
          ValueError: a reward that is not verifiable: networks have rewards of sequences of their own.
        """
        from qra_jax.transformer.masks import TokenMask  # a floor above: only where a network is asked for
        from qra_jax.transformer.reward import overlong, verifiable as of_sequences

        if not {"tpr", "fpr"} <= set(self.reward.params):
            raise ValueError(f"reward: {self.reward.name!r}; must be 'verifiable' for a network")
        tpr, fpr = (jnp.asarray(self.reward.params[name]) for name in ("tpr", "fpr"))
        reward = of_sequences(tpr, fpr)
        if self.overlong is not None:
            length, buffer, *penalty = self.overlong
            if penalty and penalty[0] != 1:
                raise ValueError(f"overlong (penalty): {penalty[0]}; must be 1 for a network")
            reward = overlong(reward, length, buffer)
        given = self._given("learning_rate", "steps", "normalize", "questions") | {
            "algorithm": self.algorithm,
            "off_policy": self.off_policy,
            "regularizers": self.regularizers,
            "optimizer": self.optimizer,
            "reward": reward,
        }
        if self.token_mask is not None:
            kind, share, *numbers = self.token_mask
            names = {"entropy": (), "clip_cov": ("low", "high"), "kl_cov": ("weight",)}[kind]
            called = "top_entropy" if kind == "entropy" else kind
            given["token_mask"] = TokenMask(called, share, **dict(zip(names, numbers, strict=True)))
        return given

    def _given(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def dapo(
    group_size: int,
    *,
    dynamic_sampling: bool = True,
    clip_low: Any = 0.2,
    clip_high: Any = 0.28,
    normalize: str = "batch_tokens",
    overlong: tuple[Any, ...] | None = None,
    ddof: int = 1,
    epsilon: Any = 1e-6,
) -> Setup:
    r"""DAPO, the whole recipe: dynamic sampling, clip-higher, token mean and overlong shaping around GRPO's advantage.

    $$ \frac{1}{\sum_i |o_i|}\sum_{i,t}\min\bigl(r_{it}A_i,\ {\rm clip}(r_{it}, 1-\varepsilon_{\rm low},
       1+\varepsilon_{\rm high})\,A_i\bigr), \qquad A_i = \frac{R_i - \bar R}{{\rm std}(R) + \epsilon} $$

    over groups that are neither all right nor all wrong, without a KL penalty. TRL's `loss_type="dapo"` is the token
    mean alone; here each part can be switched off.

    Args:
      group_size: G ≥ 2, static.
      dynamic_sampling: draw silent groups again.
      clip_low: ε_low in [0, 1].
      clip_high: ε_high ≥ 0.
      normalize: `"batch_tokens"`, one over the tokens of the batch as in use; `"tokens"`, over those of the group as in
        the formula; `"length"` or `"constant"`.
      overlong: `(length, buffer)` of the soft punishment, in tokens; default none.
      ddof: 1 for the sample's standard deviation as trainers compute it, 0 for the paper's formula.
      epsilon: added to the standard deviation, ≥ 0.

    Returns:
      A `Setup` with AdamW, as in the paper.

    Raises:
      ValueError: an argument out of range.

    Reference: Yu et al., arXiv 2503.14476, eqs. 8–13.
    """
    _check.group_size(group_size, low=2)
    return Setup(
        algorithms.grpo(group_size, ddof=ddof, epsilon=epsilon, resample_silent=dynamic_sampling),
        OffPolicy(clip=(clip_low, clip_high)),
        optimizer=optax.adamw,
        normalize=normalize,
        overlong=overlong,
    )


def _check_token_mask(mask: Any) -> None:
    if mask is None:
        return
    if not isinstance(mask, tuple) or not mask or mask[0] not in TOKEN_MASKS:
        raise ValueError(
            f"token_mask: {mask!r}; must be None or a tuple that begins with one of {_listed(TOKEN_MASKS)}"
        )
    names = TOKEN_MASKS[mask[0]]
    if len(mask) != 1 + len(names):
        raise ValueError(f"token_mask: {mask!r}; must be ({mask[0]!r}, {', '.join(names)})")
    _check.unit_interval("token_mask (share)", mask[1])
    for name, value in zip(names[1:], mask[2:], strict=True):
        _check.finite(f"token_mask ({name})", value)
    if mask[0] == "clip_cov" and mask[2] > mask[3]:
        raise ValueError(f"token_mask (low): {mask[2]}; must not be above high, {mask[3]}")


def _check_overlong(overlong: Any) -> None:
    if overlong is None:
        return
    if not isinstance(overlong, tuple) or len(overlong) not in (2, 3):
        raise ValueError(
            f"overlong: {overlong!r}; must be None, (length, buffer) or (length, buffer, penalty)"
        )
    length, buffer, *penalty = overlong
    _check.positive("overlong (length)", length)
    _check.positive("overlong (buffer)", buffer)
    if buffer > length:
        raise ValueError(f"overlong (buffer): {buffer}; must not be above the length, {length}")
    for value in penalty:
        _check.nonnegative("overlong (penalty)", value)


def _perfect(reward: Reward) -> bool:
    """Whether this is the perfect verifier; one with traced rates is taken for another."""
    usual = verifiable()
    if reward.name != usual.name or set(reward.params) != set(usual.params):
        return False
    return all(
        not isinstance(v, Tracer) and np.array_equal(v, usual.params[n]) for n, v in reward.params.items()
    )


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names))


def _placeholder(algorithm: Any, off_policy: Any, reward: Any, learning_rate: Any) -> bool:
    """Whether these are the placeholders of tree transformations, which nothing is asked of."""
    kinds = (str, int, float, list, tuple, dict, np.ndarray, np.generic, jax.Array, Tracer)
    told = isinstance(algorithm, (Algorithm, *kinds)) or callable(algorithm)
    number = learning_rate is None or isinstance(learning_rate, kinds)
    return not told or not number or type(off_policy) is object or type(reward) is object
