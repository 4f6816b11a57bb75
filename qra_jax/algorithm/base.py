r"""How the rewards of a group of rollouts become weights, and the speed that follows.

An algorithm is *one* definition, its weights $A_i(R_1,\dots,R_G)$ in the gradient
$\frac1G\sum_i A_i\,\nabla\log\pi(r_i)$. On-policy, tabular and in expectation, with binary rewards of mean ρ,
every such rule moves along the same orbit and only its speed differs,

$$ \dot\theta = c(\rho)\;\pi\odot(p-\rho),\qquad
   c(\rho) = E_{j\sim{\rm Bin}(G-1,\rho)}\bigl[A^{+}(j+1) - A^{-}(j)\bigr], $$

where $A^{\pm}(k)$ is the weight of a right (wrong) rollout in a group with k right ones: condition on the
other G − 1 rollouts and subtract. So the clock of a new algorithm is computed from its weights; to add one,
write the weights. The limit G → ∞ (`group_size=None`) needs its clock in closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, Bool, Float

from qra_jax import _bernstein, _check, _programs, _pytrees, _show
from qra_jax._bernstein import bernstein, not_silent

Params = dict[str, Any]
Weights = Callable[..., Array]
Clock = Callable[[Params, Array, Array], Array]

BATCH_RULES = ("std", "advantage_std", "whiten", "active")
NORMALIZATIONS = ("constant", "length", "tokens")
PAIRS = ("policy", "reference")


class Tables(NamedTuple):
    """Weight of a right and of a wrong rollout in a group with k right ones, each `[group + 1, *cells]`."""

    right: Array
    wrong: Array


@dataclass(frozen=True, repr=False)
class Algorithm:
    """A rule that turns the rewards of a group into weights, with its exact mean speed.

    Attributes:
      name: what figures and reports call it; two algorithms that differ only in it share compiled programs.
      weigh: `(params, rewards[group], where[group] | None) -> weights[group]`; with `by_length`, one more argument
        `lengths[group]`, in tokens.
      group_size: G, at most; `None` is the mean-field limit G → ∞.
      limit_clock: `(params, mean, miss) -> speed` with miss = 1 − mean: the clock in the limit, or for every
        G where it does not depend on G.
      real_clock: `(params, std, group) -> speed` for real-valued rewards with standard deviation `std` over the
        rollouts and G = `group` (infinite in the limit). For a finite G it must be exact: give it only where the
        weights are linear in the rewards; the limit may have it in any case, see `limit_real_clock`.
      limit_real_clock: the same, exact in the limit G → ∞ alone.
      resamples_silent: groups whose rewards are all equal are drawn again (dynamic sampling).
      closed_log_clock: `(params, mean, miss) -> log speed`, holding for every G: for a clock that leaves the
        range of its dtype. `None` takes the logarithm of the clock.
      binary_only: the weights are those of right and wrong rollouts and have no meaning for other rewards.
      by_length: `weigh` takes the lengths of the rollouts, too.
      normalize: what a rollout's weight is divided by: `"constant"`, nothing; `"length"`, its own length;
        `"tokens"`, the mean length of its group.
      batch: how weights are scaled by the whole batch of questions: `"std"`, divided by the standard deviation of all
        rewards; `"advantage_std"`, by that of all weights; `"whiten"`, rewards minus their mean over their standard
        deviation; `"active"`, times the number of groups over that of groups that are not silent. `None` for not.
      greedy_baseline: the reward of the likeliest pattern, drawn once for the group, is subtracted from all rewards.
      pairs: weights are those of pairs of a right and a wrong rollout, by their log-ratio to the reference (DPO);
        drawn from the `"policy"` or from the `"reference"`. `None` for weights by rewards.
      size: number of rollouts of a group where fewer than `group_size`; may be traced.
      params: differentiable parameters.
      made: name and plain arguments of the factory that made it.
    """

    name: str
    weigh: Weights
    group_size: int | None = None
    limit_clock: Clock | None = None
    real_clock: Callable[[Params, Array, Any], Array] | None = None
    limit_real_clock: Callable[[Params, Array, Any], Array] | None = None
    resamples_silent: bool = False
    closed_log_clock: Clock | None = None
    binary_only: bool = False
    by_length: bool = False
    normalize: str = "constant"
    batch: str | None = None
    greedy_baseline: bool = False
    pairs: str | None = None
    size: Any = None
    params: Params = field(default_factory=dict)
    made: Any = None

    def __post_init__(self) -> None:
        _check.takes("weigh", self.weigh, "params", "rewards", "where", *["lengths"] * self.by_length)
        _check.choice("normalize", self.normalize, NORMALIZATIONS)
        if self.batch is not None:
            _check.choice("batch", self.batch, BATCH_RULES)
        if self.pairs is not None:
            _check.choice("pairs", self.pairs, PAIRS)
        if self.group_size is not None:
            _check.group_size(self.group_size, low=1)

    def __repr__(self) -> str:
        size = "any G" if self.group_size is None else f"G = {self.group_size}"
        given = {} if self.made is None else self.made[1]
        shown = {key: value for key, value in self.params.items() if key in given or not _is_zero(value)}
        return f"Algorithm({', '.join([self.name, size, *_show.parameters(shown)])})"

    def with_group_size(self, group_size: Any) -> Algorithm:
        """The same rule for groups of another size.

        Args:
          group_size: G ≥ 1, or `None` for the limit. A traced number must be at most the group size of this
            algorithm, whose tables then have room for it: changing it compiles nothing.

        Returns:
          An `Algorithm`. A group too small for its baseline (one rollout, or fewer than k for pass@k) weighs nothing.

        Raises:
          ValueError: G < 1, or traced where this algorithm has no group size.
        """
        if isinstance(group_size, Tracer) or jnp.ndim(0 if group_size is None else group_size):
            if self.group_size is None:
                raise ValueError(
                    "group_size: traced; give the algorithm the largest one first, as in "
                    "grpo(64).with_group_size(size)"
                )
            return replace(self, size=group_size)
        if group_size is None:
            return replace(self, group_size=None, size=None)
        number = float(group_size)
        whole = _check.integer("group_size", int(number) if number.is_integer() else number, low=1)
        return replace(self, group_size=whole, size=None)

    @property
    def uses_lengths(self) -> bool:
        """Whether weights depend on how long the rollouts are."""
        return self.by_length or self.normalize != "constant"

    def weights(
        self,
        rewards: Float[Array, " group"],
        where: Bool[Array, " group"] | None = None,
        lengths: Float[Array, " group"] | None = None,
    ) -> Float[Array, " group"]:
        """Weights of one group's rollouts, before any scaling by the batch.

        Args:
          rewards: `[group]`, the rollouts' rewards.
          where: `[group]`, which entries are rollouts; the others are padding and get weight 0.
          lengths: `[group]`, the rollouts' lengths in tokens; default: all equal.

        Returns:
          `[group]`, A_i in the gradient (1/G) Σ A_i ∇log π(r_i).

        Raises:
          ValueError: `weigh` returns anything else than one weight for each rollout.
        """
        if self.by_length:
            equal = jnp.ones_like(rewards) if lengths is None else lengths
            weights = self.weigh(self.params, rewards, where, equal)
        else:
            weights = self.weigh(self.params, rewards, where)
        _check.returned("weigh", weights, rewards.shape, "one weight for each rollout")
        if lengths is not None and self.normalize == "length":
            weights = weights / lengths
        elif lengths is not None and self.normalize == "tokens":
            weights = weights / jnp.mean(lengths, where=where)
        return weights if where is None else jnp.where(where, weights, 0.0)

    def tables(self, group: int | None = None, size: Any = None) -> Tables:
        """Weights of right and wrong rollouts by the number of right ones.

        Args:
          group: most rollouts in a group; default: the algorithm's.
          size: rollouts in a group where fewer; default: the algorithm's.

        Returns:
          `Tables` for k = 0 … group; entries beyond `size` are not used.

        Raises:
          ValueError: no group size, or weights that are not a function of rewards (DPO).
        """
        group = self.group_size if group is None else group
        if group is None:
            raise ValueError(f"group_size: None; {self.name} has no table of weights in the limit G → ∞")
        return _tables(self, group, self.size if size is None else size)

    def speed_table(self) -> Float[Array, " group"]:
        """A⁺(j+1) − A⁻(j) for j = 0 … G−1 right answers among the other rollouts, `[group]`.

        Raises:
          ValueError: no group size.
        """
        tables = self.tables()
        return tables.right[1:] - tables.wrong[:-1]

    def clock(self, mean: Float[Array, "*b"], miss: Float[Array, "*b"] | None = None) -> Float[Array, "*b"]:
        """Exact mean speed c(ρ) along the orbit for binary rewards.

        Args:
          mean: `[...]`, mean reward ρ in [0, 1].
          miss: `[...]`, 1 − ρ where the caller knows it more precisely than a subtraction would.

        Returns:
          `[...]`, c(ρ) ≥ 0.

        Raises:
          ValueError: the algorithm has no clock: its limit G → ∞ has none, it is scaled by the batch (see
            [`Algorithm.batch_clock`][]), or its path is no orbit (DPO, weights by length).
        """
        mean = jnp.asarray(mean)
        return _clock(self, mean, 1 - mean if miss is None else jnp.asarray(miss))

    def clock_function(self) -> Callable[[Array, Array], Array]:
        """The clock as `(mean, miss) -> speed`, its table of weights computed once: for use inside solvers.

        Returns:
          A function of mean reward ρ and miss = 1 − ρ, both `[...]`.

        Raises:
          ValueError: as for [`Algorithm.clock`][].
        """
        if self.batch is not None:
            raise ValueError(
                f"algorithm: {self.name} is scaled by its whole batch and has no clock of one question; use "
                "batch_clock, or training.train on stacked questions"
            )
        return self._clock_function()

    def _clock_function(self) -> Callable[[Array, Array], Array]:
        if self.pairs is not None:
            raise ValueError(
                f"algorithm: {self.name} follows no orbit, so it has no clock; use flow or training"
            )
        group, limit = self.group_size, self.limit_clock
        if group is None:
            if limit is None:
                raise ValueError(f"group_size: None; {self.name} needs a finite group size, 1 or above")
            return lambda mean, miss: limit(self.params, mean, miss)
        table, size = self.speed_table(), self.size
        if size is not None:
            table = _bernstein.elevate(table, size - 1)
        if not self.resamples_silent:
            return lambda mean, miss: bernstein(table, mean, miss)
        if size is None:
            return lambda mean, miss: bernstein(table, mean, miss) / not_silent(group, mean, miss)
        count = jnp.arange(group + 1, dtype=table.dtype)
        mixed = _bernstein.elevate(
            jnp.where((count > 0) & (count < size), 1.0, 0.0).astype(table.dtype), size
        )
        return lambda mean, miss: bernstein(table, mean, miss) / bernstein(mixed, mean, miss)

    def log_clock_function(self) -> Callable[[Array, Array], Array]:
        r"""Log of the clock as `(mean, miss) -> log speed`, finite where the clock itself would underflow.

        Pass@k's $k(1-\rho)^{k-1}$ leaves float64 at ρ = 0.6 already for k = 1000.

        Returns:
          A function of mean reward ρ and miss = 1 − ρ, both `[...]`; `-inf` where the clock stands still.

        Raises:
          ValueError: as for [`Algorithm.clock`][].
        """
        closed = self.closed_log_clock
        if closed is not None:
            return lambda mean, miss: closed(self.params, mean, miss)
        clock = self.clock_function()
        return lambda mean, miss: jnp.log(clock(mean, miss))

    def batch_clock(self, means: Float[Array, " questions"]) -> Float[Array, " questions"]:
        r"""Speeds of the questions of one large batch, each along its own orbit, for binary rewards.

        $$ c_q = c(\rho_q)\cdot s(\rho_1,\dots,\rho_N) $$

        with s from the expected statistics of the batch: exact for a batch of infinitely many such questions.

        Args:
          means: `[questions]`, mean rewards ρ_q in [0, 1].

        Returns:
          `[questions]`.

        Raises:
          ValueError: no finite group size, or the algorithm has no clock.
        """
        chance = jax.vmap(lambda mean: self.batch_moments(mean, 1 - mean))(means)
        scale = batch_scale(self.batch, *chance)
        if self.batch == "whiten":
            return scale * jnp.ones_like(means)
        return scale * self._clock_function()(means, 1 - means)

    def batch_moments(self, mean: Array, miss: Array) -> tuple[Array, Array, Array]:
        """Of one question's groups: mean reward, mean squared weight, chance of a silent group."""
        if self.group_size is None:
            raise ValueError(f"group_size: None; {self.name} needs a finite group size, 1 or above")
        most = self.group_size
        size = jnp.asarray(most if self.size is None else self.size, mean.dtype)
        tables = self.tables()
        chance = _bernstein.probabilities(most, size, mean, miss)
        count = jnp.arange(most + 1, dtype=mean.dtype)
        others = jnp.maximum(size - count, 0.0)
        square = (tables.right**2 * count + tables.wrong**2 * others) / size
        mixed = (count > 0) & (count < size)
        silent = jnp.sum(jnp.where(mixed, 0.0, chance))
        if not self.resamples_silent:
            return mean, jnp.sum(chance * square), silent
        kept = jnp.where(mixed, chance, 0.0)
        kept = kept / jnp.where(jnp.sum(kept) > 0, jnp.sum(kept), 1.0)
        return jnp.sum(kept * count) / size, jnp.sum(kept * square), jnp.zeros_like(silent)


_pytrees.register(
    Algorithm,
    children=("size", "params"),
    functions=("weigh", "limit_clock", "real_clock", "limit_real_clock", "closed_log_clock"),
    labels=("name", "made"),
)


def batch_scale(rule: str | None, reward: Array, square: Array, silent: Array) -> Array:
    """The factor by which a whole batch scales its weights, with population moments over all of its rollouts.

    Args:
      rule: one of `BATCH_RULES`, or `None`.
      reward: `[questions, ...]`, mean reward of each group (binary rewards).
      square: `[questions, ...]`, mean squared weight of each group.
      silent: `[questions, ...]`, whether all its rewards are equal (a chance, for expectations).

    Returns:
      `[...]`; 0 where there is nothing to divide by.
    """
    if rule is None:
        return jnp.ones_like(reward[0])
    if rule == "active":
        active = jnp.mean(1 - silent.astype(reward.dtype), axis=0)
        return _inverse(active)
    if rule == "advantage_std":
        return _inverse(jnp.sqrt(jnp.mean(square, axis=0)))
    mean = jnp.mean(reward, axis=0)
    return _inverse(jnp.sqrt(jnp.maximum(mean * (1 - mean), 0.0)))


def _inverse(value: Array) -> Array:
    return jnp.where(value > 0, 1 / jnp.where(value > 0, value, 1.0), 0.0)


def _is_zero(value: Any) -> bool:
    """Whether a parameter is a plain zero, which stands for its absence."""
    return isinstance(value, (int, float)) and value == 0


def resolved_group(group_size: int | None, *, low: int = 2) -> int | None:
    """A group size that is `low` or above; `None` for the limit."""
    return None if group_size is None else _check.group_size(group_size, low=low)


def size_of(rewards: Array, where: Array | None) -> Array:
    """Number of rollouts in a group, as a number of its dtype."""
    count = rewards.shape[-1] if where is None else jnp.sum(where, axis=-1)
    return jnp.asarray(count, rewards.dtype)


@_programs.brief()
def _clock(algorithm: Algorithm, mean: Array, miss: Array) -> Array:
    return algorithm.clock_function()(mean, miss)


@partial(jax.jit, static_argnums=1)
def _tables(algorithm: Algorithm, group: int, size: Any) -> Tables:
    dtype = jnp.result_type(float, *jax.tree.leaves(algorithm.params))
    rewards = jnp.asarray(np.tri(group + 1, group, -1), dtype)  # row k: k right, then wrong ones
    where = None if size is None else jnp.arange(group) < size
    weights = jax.vmap(lambda row: algorithm.weights(row, where))(rewards)
    count = np.arange(group + 1)
    right = weights[:, 0]
    wrong = weights[count, np.minimum(count, group - 1)]
    some_wrong = count < (group if size is None else size)
    return Tables(jnp.where(count > 0, right, 0.0), jnp.where(some_wrong, wrong, 0.0))
