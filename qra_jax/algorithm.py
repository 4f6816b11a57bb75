r"""Algorithms: how the rewards of a group of rollouts become weights, and the speed that follows.

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
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from qra_jax import _check, _show
from qra_jax._bernstein import bernstein, not_silent

Params = dict[str, Any]
Weights = Callable[[Params, Array, Array | None], Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Algorithm:
    """A rule that turns the rewards of a group into weights, with its exact mean speed.

    Attributes:
      name: what figures and reports call it.
      weigh: `(params, rewards[group], where[group] | None) -> weights[group]`.
      group_size: G; `None` is the mean-field limit G → ∞.
      limit_clock: `(params, mean, miss) -> speed` with miss = 1 − mean: the clock in the limit, or for every
        G where it does not depend on G.
      real_clock: `(params, std) -> speed` for real-valued rewards with standard deviation `std` over the
        policy; `None` where no closed form is known.
      resamples_silent: groups whose rewards are all equal are drawn again (DAPO's dynamic sampling).
      closed_log_clock: `(params, mean, miss) -> log speed`, holding for every G: for a clock that leaves the
        range of its dtype. `None` takes the logarithm of the clock.
      params: differentiable parameters.
    """

    name: str = field(metadata={"static": True})
    weigh: Weights = field(metadata={"static": True})
    group_size: int | None = field(default=None, metadata={"static": True})
    limit_clock: Callable[[Params, Array, Array], Array] | None = field(
        default=None, metadata={"static": True}
    )
    real_clock: Callable[[Params, Array], Array] | None = field(default=None, metadata={"static": True})
    resamples_silent: bool = field(default=False, metadata={"static": True})
    closed_log_clock: Callable[[Params, Array, Array], Array] | None = field(
        default=None, metadata={"static": True}
    )
    params: Params = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check.takes("weigh", self.weigh, "params", "rewards", "where")
        if self.group_size is not None:
            _check.group_size(self.group_size, low=1)

    def __repr__(self) -> str:
        size = "any G" if self.group_size is None else f"G = {self.group_size}"
        return f"Algorithm({', '.join([self.name, size, *_show.parameters(self.params)])})"

    def weights(
        self, rewards: Float[Array, " group"], where: Bool[Array, " group"] | None = None
    ) -> Float[Array, " group"]:
        """Weights of one group's rollouts.

        Args:
          rewards: `[group]`, the rollouts' rewards.
          where: `[group]`, which entries are rollouts; the others are padding and get weight 0.

        Returns:
          `[group]`, A_i in the gradient (1/G) Σ A_i ∇log π(r_i).

        Raises:
          ValueError: `weigh` returns anything else than one weight for each rollout.
        """
        weights = self.weigh(self.params, rewards, where)
        _check.returned("weigh", weights, rewards.shape, "one weight for each rollout")
        return weights if where is None else jnp.where(where, weights, 0.0)

    def clock(self, mean: Float[Array, "*b"], miss: Float[Array, "*b"] | None = None) -> Float[Array, "*b"]:
        """Exact mean speed c(ρ) along the orbit for binary rewards.

        Args:
          mean: `[...]`, mean reward ρ in [0, 1].
          miss: `[...]`, 1 − ρ where the caller knows it more precisely than a subtraction would.

        Returns:
          `[...]`, c(ρ) ≥ 0.

        Raises:
          ValueError: the limit G → ∞ of this algorithm has no clock.
        """
        mean = jnp.asarray(mean)
        return self.clock_function()(mean, 1 - mean if miss is None else miss)

    def clock_function(self) -> Callable[[Array, Array], Array]:
        """The clock as `(mean, miss) -> speed`, its table of weights computed once: for use inside solvers.

        Returns:
          A function of mean reward ρ and miss = 1 − ρ, both `[...]`.

        Raises:
          ValueError: the limit G → ∞ of this algorithm has no clock.
        """
        group, limit = self.group_size, self.limit_clock
        if group is None:
            if limit is None:
                raise ValueError(f"group_size: None; {self.name} needs a finite group size, 1 or above")
            return lambda mean, miss: limit(self.params, mean, miss)
        table = self.speed_table()
        if self.resamples_silent:
            return lambda mean, miss: bernstein(table, mean, miss) / not_silent(group, mean, miss)
        return lambda mean, miss: bernstein(table, mean, miss)

    def log_clock_function(self) -> Callable[[Array, Array], Array]:
        r"""Log of the clock as `(mean, miss) -> log speed`, finite where the clock itself would underflow.

        Pass@k's $k(1-\rho)^{k-1}$ leaves float64 at ρ = 0.6 already for k = 1000.

        Returns:
          A function of mean reward ρ and miss = 1 − ρ, both `[...]`; `-inf` where the clock stands still.

        Raises:
          ValueError: the limit G → ∞ of this algorithm has no clock.
        """
        closed = self.closed_log_clock
        if closed is not None:
            return lambda mean, miss: closed(self.params, mean, miss)
        clock = self.clock_function()
        return lambda mean, miss: jnp.log(clock(mean, miss))

    def speed_table(self) -> Float[Array, " group"]:
        """A⁺(j+1) − A⁻(j) for j = 0 … G−1 right answers among the other rollouts, `[group]`."""
        group = self.group_size
        if group is None:
            raise ValueError(f"group_size: None; {self.name} has no table of weights in the limit G → ∞")
        right = np.tri(group + 1, group, -1)  # row k: k right rollouts first, then wrong ones
        table = jax.vmap(lambda rewards: self.weights(rewards))(jnp.asarray(right))
        j = np.arange(group)
        return table[j + 1, 0] - table[j, group - 1]


def reinforce(baseline: float | Array = 0.0) -> Algorithm:
    r"""REINFORCE with a constant baseline, $A_i = R_i - b$; clock 1.

    Args:
      baseline: b; changes the noise, not the mean.

    Returns:
      An `Algorithm` for any group size.

    Raises:
      ValueError: b is not finite.

    Reference: Williams 1992.
    """
    _check.finite("baseline", baseline)
    return Algorithm("REINFORCE", _reinforce, None, _one, _real_one, params={"baseline": baseline})


def _reinforce(params: Params, rewards: Array, where: Array | None) -> Array:
    return rewards - jnp.asarray(params["baseline"], rewards.dtype)


def rloo(group_size: int) -> Algorithm:
    r"""REINFORCE with the leave-one-out baseline, $A_i = R_i - \frac1{G-1}\sum_{j\ne i} R_j$; clock 1.

    With padding, a group left with fewer than two rollouts has no baseline and weighs nothing.

    Args:
      group_size: G ≥ 2.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: G < 2.

    Reference: Ahmadian et al., arXiv 2402.14740.
    """
    return Algorithm("RLOO", _rloo, _check.group_size(group_size, low=2), None, _real_one)


def _rloo(params: Params, rewards: Array, where: Array | None) -> Array:
    size = _size(rewards, where)
    alone = size < 2
    scale = size / jnp.where(alone, 1.0, size - 1)
    return jnp.where(alone, 0.0, (rewards - jnp.mean(rewards, where=where)) * scale)


def grpo(group_size: int | None = None, *, sample_std: bool = False) -> Algorithm:
    r"""GRPO, $A_i = (R_i - \bar R)/\mathrm{std}(R)$, zero in a silent group (all rewards equal).

    Mean-field clock $1/\sqrt{\rho(1-\rho)}$; for finite G, $E[\sqrt{\tfrac kG(1-\tfrac kG)}]/(\rho(1-\rho))$.

    Args:
      group_size: G ≥ 2 (G = 1 is always silent); `None` for the mean-field limit.
      sample_std: divide by the sample standard deviation (ddof = 1) in place of the population one.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: G < 2.

    Reference: Shao et al., arXiv 2402.03300, §4.1.
    """
    return Algorithm(
        "GRPO", _grpo_sample if sample_std else _grpo, _group(group_size), _inverse_std, _real_inverse_std
    )


def _grpo(params: Params, rewards: Array, where: Array | None) -> Array:
    centred = rewards - jnp.mean(rewards, where=where)
    variance = jnp.mean(centred**2, where=where)
    # A silent group's variance is rounding noise, not exactly zero.
    silent = variance <= (8 * jnp.finfo(rewards.dtype).eps) ** 2 * jnp.mean(rewards**2, where=where)
    return jnp.where(silent, 0.0, centred / jnp.sqrt(jnp.where(silent, 1.0, variance)))


def _grpo_sample(params: Params, rewards: Array, where: Array | None) -> Array:
    size = _size(rewards, where)
    return _grpo(params, rewards, where) * jnp.sqrt((size - 1) / size)


def dr_grpo(group_size: int | None = None) -> Algorithm:
    r"""Dr.GRPO, the group mean as baseline without the division, $A_i = R_i - \bar R$; clock $(G-1)/G$.

    Args:
      group_size: G ≥ 2; `None` for the limit, clock 1.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: G < 2.

    Reference: Liu et al., arXiv 2503.20783.
    """
    group = _group(group_size)
    size = np.inf if group is None else float(group)
    return Algorithm("Dr.GRPO", _dr_grpo, group, _one, _shrunk, params={"size": size})


def _dr_grpo(params: Params, rewards: Array, where: Array | None) -> Array:
    return rewards - jnp.mean(rewards, where=where)


def dapo(group_size: int | None = None) -> Algorithm:
    r"""DAPO's dynamic sampling: silent groups drawn again; GRPO clock over $1-\rho^G-(1-\rho)^G$.

    Args:
      group_size: G ≥ 2; `None` for the limit (then the same as GRPO).

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: G < 2.

    Reference: Yu et al., arXiv 2503.14476, §3.2.
    """
    return Algorithm(
        "DAPO", _grpo, _group(group_size), _inverse_std, _real_inverse_std, resamples_silent=True
    )


def filtered_sft(
    keep: str = "positive",
    *,
    per: str = "rollout",
    group_size: int | None = None,
    negative_weight: float | Array = 1.0,
) -> Algorithm:
    r"""Iterated SFT on filtered rollouts: $A = R$ (positive), $-(1-R)$ (negative), $R - w(1-R)$ (both).

    Averaged per rollout the clocks are 1, 1 and 1 + w; averaged over the accepted rollouts only,
    $A_i = R_i/\bar R$ and the clock is $1/\rho$, times $1-(1-\rho)^G$ because a group with none accepted is
    lost.

    Args:
      keep: `"positive"` (STaR, RFT, F-ISFT⁺), `"negative"` (NSR, F-ISFT⁻) or `"both"` (F-ISFT±).
      per: `"rollout"` or `"accepted"` (then `keep` must be `"positive"`).
      group_size: G ≥ 1; `None` for the limit; matters only `per="accepted"`.
      negative_weight: w ≥ 0, with `keep="both"`.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: an unknown `keep` or `per`, or `per="accepted"` without `keep="positive"`.

    Reference: Samineni et al., arXiv 2505.13697; Zelikman et al., arXiv 2203.14465 (STaR).
    """
    _check.choice("keep", keep, ("positive", "negative", "both"))
    _check.choice("per", per, ("rollout", "accepted"))
    _check.nonnegative("negative_weight", negative_weight)
    group = _group(group_size, low=1)
    if per == "accepted":
        if keep != "positive":
            raise ValueError(f"keep: {keep!r} with per='accepted'; must be 'positive'")
        return Algorithm("filtered SFT (per accepted)", _per_accepted, group, _inverse_mean)
    if keep == "positive":
        return Algorithm("filtered SFT⁺", _positive, group, _one)
    if keep == "negative":
        return Algorithm("filtered SFT⁻", _negative, group, _one)
    return Algorithm("filtered SFT±", _both, group, _one_plus, params={"negative_weight": negative_weight})


def _positive(params: Params, rewards: Array, where: Array | None) -> Array:
    return rewards


def _negative(params: Params, rewards: Array, where: Array | None) -> Array:
    return rewards - 1


def _both(params: Params, rewards: Array, where: Array | None) -> Array:
    return rewards - jnp.asarray(params["negative_weight"], rewards.dtype) * (1 - rewards)


def _per_accepted(params: Params, rewards: Array, where: Array | None) -> Array:
    mean = jnp.mean(rewards, where=where)
    return jnp.where(mean > 0, rewards / jnp.where(mean > 0, mean, 1.0), 0.0)


def pass_at_k(k: int, group_size: int | None = None) -> Algorithm:
    r"""The pass@k objective $1-(1-\rho)^k$ by its unbiased estimator; clock $k(1-\rho)^{k-1}$.

    With s right among the other G − 1 rollouts, a right rollout weighs k and a wrong one
    $k\,[1-\binom{G-1-s}{k-1}/\binom{G-1}{k-1}]$, its share of luck. With padding, a group
    left with fewer than k rollouts has no estimate and weighs nothing.

    Args:
      k: number of tries, k ≥ 1.
      group_size: G ≥ k for the estimator; `None` for the exact objective.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: k < 1 or G < k.

    Reference: Walder and Karkhanis, arXiv 2505.15201 (PKPO), eq. 17–22.
    """
    k = _check.integer("k", k, low=1)
    group = _group(group_size, low=k)
    return Algorithm(
        f"pass@{k}", _pkpo, group, _pass_at_k, closed_log_clock=_log_pass_at_k, params={"k": float(k)}
    )


def _pkpo(params: Params, rewards: Array, where: Array | None) -> Array:
    k = jnp.asarray(params["k"], rewards.dtype)
    others = jnp.maximum(_size(rewards, where), k) - 1
    wrong_others = others - (jnp.sum(rewards, where=where) - rewards)
    # log of C(wrong, k-1) / C(others, k-1); no k-1 wrong ones means luck is certain.
    enough = wrong_others >= k - 1
    wrong = jnp.where(enough, wrong_others, others)
    lgamma = jax.lax.lgamma
    log_miss = lgamma(wrong + 1) - lgamma(wrong - k + 2) - lgamma(others + 1) + lgamma(others - k + 2)
    luck = 1 - jnp.where(enough, jnp.exp(log_miss), 0.0)
    weights = k * (rewards + (1 - rewards) * luck)
    return jnp.where(_size(rewards, where) < k, 0.0, weights)


def tsallis(q: float | Array, group_size: int | None = None) -> Algorithm:
    r"""From expected reward to log-likelihood, $J=(\rho^{1-q}-1)/(1-q)$; clock $\rho^{-q}$.

    The group estimate is $A_i = R_i\,\bar R^{-q}$ (zero when none is right).

    Args:
      q: in [0, 1]; 0 is RLVR, 1 is log-likelihood (SFT on the model's own right answers).
      group_size: G ≥ 1; `None` for the limit.

    Returns:
      An `Algorithm`, differentiable in q.

    Raises:
      ValueError: q outside [0, 1].

    Reference: arXiv 2604.25907.
    """
    q = _check.unit_interval("q", q)
    group = _group(group_size, low=1)
    return Algorithm("Tsallis", _tsallis, group, _power, params={"q": q})


def _tsallis(params: Params, rewards: Array, where: Array | None) -> Array:
    mean = jnp.mean(rewards, where=where)
    scale = jnp.where(mean > 0, mean, 1.0) ** -jnp.asarray(params["q"], rewards.dtype)
    return jnp.where(mean > 0, rewards * scale, 0.0)


# Clocks in the limit G → ∞, or for every G.


def _one(params: Params, mean: Array, miss: Array) -> Array:
    return jnp.ones_like(mean)


def _one_plus(params: Params, mean: Array, miss: Array) -> Array:
    return jnp.ones_like(mean) * (1 + jnp.asarray(params["negative_weight"], mean.dtype))


def _inverse_std(params: Params, mean: Array, miss: Array) -> Array:
    return 1 / jnp.sqrt(mean * miss)


def _inverse_mean(params: Params, mean: Array, miss: Array) -> Array:
    return 1 / mean


def _pass_at_k(params: Params, mean: Array, miss: Array) -> Array:
    k = jnp.asarray(params["k"], mean.dtype)
    return k * jnp.where(k == 1, 1.0, miss ** (k - 1))


def _log_pass_at_k(params: Params, mean: Array, miss: Array) -> Array:
    k = jnp.asarray(params["k"], mean.dtype)
    return jnp.log(k) + (k - 1) * jnp.log(jnp.where(k == 1, 1.0, miss))


def _power(params: Params, mean: Array, miss: Array) -> Array:
    return mean ** -jnp.asarray(params["q"], mean.dtype)


def _real_one(params: Params, std: Array) -> Array:
    return jnp.ones_like(std)


def _real_inverse_std(params: Params, std: Array) -> Array:
    return 1 / std


def _shrunk(params: Params, std: Array) -> Array:
    return jnp.ones_like(std) * (1 - 1 / jnp.asarray(params["size"], std.dtype))


def _group(group_size: int | None, *, low: int = 2) -> int | None:
    return None if group_size is None else _check.group_size(group_size, low=low)


def _size(rewards: Array, where: Array | None) -> Array:
    count = rewards.shape[-1] if where is None else jnp.sum(where, axis=-1)
    return jnp.asarray(count, rewards.dtype)
