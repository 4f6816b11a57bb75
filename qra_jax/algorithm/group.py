"""Algorithms whose weights are a rollout's reward against a baseline, and what its spread divides them by."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import _check
from qra_jax.algorithm import clocks
from qra_jax.algorithm.base import Algorithm, Params, resolved_group, size_of
from qra_jax.registry import ALGORITHMS


@ALGORITHMS.enter(
    "reinforce",
    colors={"REINFORCE": "#0072B2"},
    note="The reference: every clock is a multiple of its own.",
)
def reinforce(baseline: float | Array = 0.0, *, group_size: int | None = None) -> Algorithm:
    r"""REINFORCE with a constant baseline, $A_i = R_i - b$; clock 1.

    Args:
      baseline: b; changes the noise, not the mean.
      group_size: G ≥ 1, rollouts a step; default: the limit G → ∞ of expected training.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: b is not finite, or G < 1.

    Reference: Williams 1992.
    """
    _check.finite("baseline", baseline)
    group = resolved_group(group_size, low=1)
    return Algorithm(
        "REINFORCE", _reinforce, group, clocks.one, clocks.real_one, params={"baseline": baseline}
    )


def _reinforce(params: Params, rewards: Array, where: Array | None) -> Array:
    return rewards - jnp.asarray(params["baseline"], rewards.dtype)


@ALGORITHMS.enter(
    "rloo",
    colors={"RLOO": "#56B4E9"},
    trainers={"TRL": "RLOOTrainer", "verl": "adv_estimator=rloo"},
    note="REINFORCE's clock with less noise.",
)
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
    return Algorithm("RLOO", _rloo, _check.group_size(group_size, low=2), clocks.one, clocks.real_one)


def _rloo(params: Params, rewards: Array, where: Array | None) -> Array:
    size = size_of(rewards, where)
    alone = size < 2
    scale = size / jnp.where(alone, 1.0, size - 1)
    return jnp.where(alone, 0.0, (rewards - jnp.mean(rewards, where=where)) * scale)


@ALGORITHMS.enter(
    "grpo",
    colors={"GRPO": "#D55E00", "GRPO, dynamic sampling": "#CC79A7", "GRPO ÷ batch std": "#8C2D04"},
    trainers={
        "TRL": "GRPOTrainer (ddof=1, epsilon=1e-4)",
        "verl": "adv_estimator=grpo (ddof=1, epsilon=1e-6)",
        "OpenRLHF": "advantage_estimator=group_norm",
    },
    note="Faster where questions are hard or easy; the sample standard deviation slows it by √((G−1)/G).",
)
def grpo(
    group_size: int | None = None,
    *,
    ddof: int = 0,
    epsilon: float | Array = 0.0,
    scale: str = "group",
    resample_silent: bool = False,
) -> Algorithm:
    r"""GRPO, $A_i = (R_i - \bar R)/(\mathrm{std}(R) + \varepsilon)$, zero in a silent group (all rewards equal).

    Mean-field clock $1/(\sqrt{\rho(1-\rho)}+\varepsilon)$; for finite G,
    $E[\tfrac kG(1-\tfrac kG)/(s+\varepsilon)]/(\rho(1-\rho))$ with s the standard deviation of the group. The defaults
    are the paper's formula; trainers divide by the sample standard deviation (`ddof=1`, 7 % slower at G = 8, 29 % at
    G = 2) plus ε of 1e-4 (TRL) or 1e-6 (verl).

    Args:
      group_size: G ≥ 2 (G = 1 is always silent); default: the mean-field limit.
      ddof: 0 divides by the population standard deviation of the group, 1 by the sample one; not used by other scales.
      epsilon: ε ≥ 0, added to the standard deviation of the group; not used by other scales.
      scale: `"group"`; `"batch"` divides by the standard deviation of the whole batch of questions instead (TRL's
        `scale_rewards="batch"`; needs stacked questions), `"none"` by nothing, which is Dr.GRPO.
      resample_silent: silent groups are drawn again (DAPO's dynamic sampling): the clock is divided by
        $1-\rho^G-(1-\rho)^G$.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: G < 2, ddof neither 0 nor 1, ε negative, or an unknown scale.

    Reference: Shao et al., arXiv 2402.03300, §4.1; Yu et al., arXiv 2503.14476, §3.2 (dynamic sampling).
    """
    group = resolved_group(group_size)
    _check.choice("ddof", ddof, (0, 1))
    _check.nonnegative("epsilon", epsilon)
    _check.choice("scale", scale, ("group", "batch", "none"))
    if scale == "batch" and group is None:
        raise ValueError("group_size: None with scale='batch'; must be 2 or above, a batch has groups")
    if scale != "group":
        plain = dr_grpo(group, resample_silent=resample_silent)
        return plain if scale == "none" else replace(plain, name="GRPO (÷ batch std)", batch="std")
    return Algorithm(
        "GRPO, dynamic sampling" if resample_silent else "GRPO",
        _grpo,
        group,
        clocks.inverse_std,
        limit_real_clock=clocks.real_inverse_std,
        resamples_silent=resample_silent,
        params={"ddof": ddof, "epsilon": epsilon},
    )


def _grpo(params: Params, rewards: Array, where: Array | None) -> Array:
    size = size_of(rewards, where)
    freedom = size - jnp.asarray(params["ddof"], rewards.dtype)
    scale = jnp.sqrt(size / jnp.where(freedom > 0, freedom, 1.0))
    centred = rewards - jnp.mean(rewards, where=where)
    variance = jnp.mean(centred**2, where=where)
    # A silent group's variance is rounding noise, not exactly zero.
    silent = variance <= (8 * jnp.finfo(rewards.dtype).eps) ** 2 * jnp.mean(rewards**2, where=where)
    std = scale * jnp.sqrt(jnp.where(silent, 1.0, variance))
    return jnp.where(silent, 0.0, centred / (std + jnp.asarray(params["epsilon"], rewards.dtype)))


@ALGORITHMS.enter(
    "dr_grpo",
    colors={"Dr.GRPO": "#E69F00", "Dr.GRPO, dynamic sampling": "#B07C00"},
    trainers={"TRL": 'scale_rewards="none"', "verl": "norm_adv_by_std_in_grpo=False"},
    note="REINFORCE's relative clocks; the baseline costs 1/G of the speed.",
)
def dr_grpo(group_size: int | None = None, *, resample_silent: bool = False) -> Algorithm:
    r"""Dr.GRPO, the group mean as baseline without the division, $A_i = R_i - \bar R$; clock $(G-1)/G$.

    Args:
      group_size: G ≥ 2; default: the limit, clock 1.
      resample_silent: silent groups are drawn again; the clock is divided by $1-\rho^G-(1-\rho)^G$.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: G < 2.

    Reference: Liu et al., arXiv 2503.20783.
    """
    return Algorithm(
        "Dr.GRPO, dynamic sampling" if resample_silent else "Dr.GRPO",
        _centred,
        resolved_group(group_size),
        clocks.one,
        None if resample_silent else clocks.real_shrunk,
        limit_real_clock=clocks.real_shrunk,
        resamples_silent=resample_silent,
    )


def _centred(params: Params, rewards: Array, where: Array | None) -> Array:
    return rewards - jnp.mean(rewards, where=where)


@ALGORITHMS.enter(
    "maxrl",
    colors={"MaxRL": "#A6761D"},
    trainers={"TRL": 'scale_rewards="mean"'},
    note="Maximum likelihood of the right answer: as fast as 1/ρ on hard questions, no faster on easy ones.",
)
def maxrl(group_size: int | None = None, *, epsilon: float | Array = 0.0) -> Algorithm:
    r"""MaxRL, $A_i = (R_i-\bar R)/(\bar R+\varepsilon)$, zero where no reward is positive; clock
    $(1-(1-\rho)^{G-1})/\rho$ at ε = 0.

    Args:
      group_size: G ≥ 2; default: the limit, clock $1/\rho$.
      epsilon: ε ≥ 0.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: G < 2, or ε negative.

    Reference: Tajwar et al., arXiv 2602.02710.
    """
    _check.nonnegative("epsilon", epsilon)
    return Algorithm(
        "MaxRL",
        _maxrl,
        resolved_group(group_size),
        _inverse_mean,
        binary_only=True,
        params={"epsilon": epsilon},
    )


def _maxrl(params: Params, rewards: Array, where: Array | None) -> Array:
    mean = jnp.mean(rewards, where=where)
    scale = jnp.where(mean > 0, mean, 1.0) + jnp.asarray(params["epsilon"], rewards.dtype)
    return jnp.where(mean > 0, (rewards - mean) / scale, 0.0)


def _inverse_mean(params: Params, mean: Array, miss: Array) -> Array:
    return 1 / (mean + jnp.asarray(params["epsilon"], mean.dtype))


@ALGORITHMS.enter(
    "signed",
    colors={"rewards ±1": "#4393C3"},
    trainers={"many": "rewards of ±1 without a baseline"},
    note="REINFORCE's orbit at twice the rate; noise and silent groups differ.",
)
def signed(group_size: int | None = None) -> Algorithm:
    r"""Rewards of ±1 without a baseline, $A_i = 2R_i - 1$; clock 2.

    Args:
      group_size: G ≥ 1; default: the limit.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: G < 1.

    Reference: *derived here*.
    """
    return Algorithm("rewards ±1", _signed, resolved_group(group_size, low=1), clocks.two, binary_only=True)


def _signed(params: Params, rewards: Array, where: Array | None) -> Array:
    return 2 * rewards - 1


@ALGORITHMS.enter(
    "remax",
    colors={"ReMax": "#35978F"},
    trainers={"verl": "adv_estimator=remax"},
    note="REINFORCE's clock; the baseline is one greedy rollout, so a certain policy has no noise.",
)
def remax(group_size: int | None = None) -> Algorithm:
    r"""ReMax, the reward of the greedy rollout as baseline, $A_i = R_i - R_{\rm greedy}$; clock 1.

    In the tabular model the greedy rollout has the likeliest pattern and draws its own answer.

    Args:
      group_size: G ≥ 1; default: the limit.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: G < 1.

    Reference: Li et al., arXiv 2310.10505.
    """
    return Algorithm(
        "ReMax",
        _plain,
        resolved_group(group_size, low=1),
        clocks.one,
        clocks.real_one,
        greedy_baseline=True,
    )


def _plain(params: Params, rewards: Array, where: Array | None) -> Array:
    return rewards


@ALGORITHMS.enter(
    "opo",
    colors={"OPO": "#B2ABD2"},
    trainers={"verl": "adv_estimator=opo"},
    note="Dr.GRPO where lengths are equal; else long rollouts set the baseline, and the path is no orbit.",
)
def opo(group_size: int) -> Algorithm:
    r"""OPO, the length-weighted mean as baseline, $A_i = R_i - \sum_j l_j R_j/\sum_j l_j$; clock $(G-1)/G$ at equal
    lengths.

    Args:
      group_size: G ≥ 2.

    Returns:
      An `Algorithm`; with `Problem.lengths` its path is no orbit.

    Raises:
      ValueError: G < 2.

    Reference: Hao et al., arXiv 2505.23585.
    """
    group = _check.group_size(group_size, low=2)
    return Algorithm("OPO", _opo, group, None, clocks.real_shrunk, by_length=True)


def _opo(params: Params, rewards: Array, where: Array | None, lengths: Array) -> Array:
    shares = lengths / jnp.sum(lengths, where=where)
    return rewards - jnp.sum(shares * rewards, where=where)


@ALGORITHMS.enter(
    "gpg",
    colors={"GPG": "#F4A582"},
    trainers={"verl": "adv_estimator=gpg (there α is one over the mean reward)"},
    note="Dr.GRPO with the batch's silent groups made up for: questions keep REINFORCE's relative clocks.",
)
def gpg(group_size: int) -> Algorithm:
    r"""GPG, $A_i = \alpha(R_i-\bar R)$ with α the number of groups over that of groups that are not silent; clock
    $\alpha(G-1)/G$.

    Args:
      group_size: G ≥ 2.

    Returns:
      An `Algorithm` for stacked questions.

    Raises:
      ValueError: G < 2.

    Reference: Chu et al., arXiv 2504.02546.
    """
    group = _check.group_size(group_size, low=2)
    return Algorithm("GPG", _centred, group, clocks.one, binary_only=True, batch="active")


@ALGORITHMS.enter(
    "reinforce_pp",
    colors={"REINFORCE++": "#003F66"},
    trainers={
        "verl": "adv_estimator=reinforce_plus_plus, reinforce_plus_plus_baseline",
        "OpenRLHF": "advantage_estimator=reinforce, reinforce_baseline",
    },
    note="One factor for all questions, so questions keep REINFORCE's relative clocks.",
)
def reinforce_pp(group_size: int, *, baseline: str = "batch") -> Algorithm:
    r"""REINFORCE++: rewards whitened over the batch, clock $1/\sigma_B$; or, with the group's baseline, $R_i-\bar R$
    over the standard deviation of the batch's advantages, clock
    $\sqrt{(G-1)/G}\,/\sqrt{\overline{\rho_q(1-\rho_q)}}$. Trainers take both moments over tokens, which is the same at
    equal lengths.

    Args:
      group_size: G ≥ 1, or ≥ 2 with `baseline="group"`.
      baseline: `"batch"` or `"group"`.

    Returns:
      An `Algorithm` for stacked questions.

    Raises:
      ValueError: G too small, or an unknown baseline.

    Reference: Hu et al., arXiv 2501.03262.
    """
    _check.choice("baseline", baseline, ("batch", "group"))
    if baseline == "group":
        group = _check.group_size(group_size, low=2)
        name, weigh, rule = "REINFORCE++ (group baseline)", _centred, "advantage_std"
    else:
        group = _check.group_size(group_size, low=1)
        name, weigh, rule = "REINFORCE++", _plain, "whiten"
    return Algorithm(name, weigh, group, clocks.one, binary_only=True, batch=rule)


def normalized(algorithm: Algorithm, by: str) -> Algorithm:
    r"""The same algorithm with weights divided by lengths, as a loss averaged over tokens divides them.

    $$ A_i \to A_i/|o_i|\ (\text{length}),\qquad A_i \to A_i\,G/\textstyle\sum_j|o_j|\ (\text{tokens}) $$

    Args:
      algorithm: any.
      by: `"length"` (GRPO's first form), `"tokens"` (DAPO's token mean over the group) or `"constant"` (Dr.GRPO).

    Returns:
      An `Algorithm`; it matters where `Problem.lengths` is given, and then follows no orbit.

    Raises:
      ValueError: an unknown rule.

    Reference: Shao et al., arXiv 2402.03300; Yu et al., arXiv 2503.14476; Liu et al., arXiv 2503.20783.
    """
    return replace(algorithm, normalize=by)


__all__ = [
    "dr_grpo",
    "gpg",
    "grpo",
    "maxrl",
    "normalized",
    "opo",
    "reinforce",
    "reinforce_pp",
    "remax",
    "rloo",
    "signed",
]
