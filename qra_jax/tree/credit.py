r"""Credit: what each step of a rollout is paid for the answer at its end.

A rollout with return $R$ goes through states $s_0, s_1, \dots, s_T$. Uniform credit pays every step the weight that the
algorithm gives to the rollout. Credit by values pays the step from $s_t$ to $s_{t+1}$

$$ A_t = c(\rho)\sum_{l\ge0}\lambda^l\delta_{t+l},\qquad \delta_t = \hat V(s_{t+1})-\hat V(s_t),\quad
   \hat V(s_T) = R, $$

with the clock c(ρ) of the algorithm at the exact accuracy, so that its mean is that of uniform credit under the same
algorithm wherever $\hat V$ has no bias: what differs is the noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
from jaxtyping import Array

from qra_jax import _check, _show

SOURCES = ("return", "exact", "rollouts", "critic", "process", "siblings")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Credit:
    """How steps are paid; made by [`uniform`][], [`exact`][], [`monte_carlo`][] and the others below.

    Attributes:
      source: where values come from.
      rollouts: K of Monte-Carlo values.
      bounds: depths at which segments of steps begin; `None` for a segment a step.
      trace: λ.
      rate: of a learnt critic.
      start: values of a learnt critic at the start, `[inner states]`.
      weight: of a process reward.
      whiten: advantages of a group's steps are centred and divided by their standard deviation.
      confident: steps with at least this probability are not trained.
      entropy: α of a term α A ∇H.
    """

    source: str = field(default="return", metadata={"static": True})
    rollouts: int | None = field(default=None, metadata={"static": True})
    bounds: tuple[int, ...] | None = field(default=None, metadata={"static": True})
    trace: Any = None
    rate: Any = None
    start: Any = None
    weight: Any = None
    whiten: bool = field(default=False, metadata={"static": True})
    confident: Any = None
    entropy: Any = None

    def __repr__(self) -> str:
        said = [{"return": "uniform", "rollouts": "monte_carlo"}.get(self.source, self.source)]
        if self.bounds is not None:
            said.append(f"segments = {self.bounds}")
        names = ("rollouts", "trace", "rate", "start", "weight", "confident", "entropy")
        said += _show.parameters({name: getattr(self, name) for name in names})
        return f"Credit({', '.join(said + ['whiten'] * self.whiten)})"

    @property
    def by_values(self) -> bool:
        """Whether steps are paid by values of states."""
        return self.source in ("exact", "rollouts", "critic")


def uniform(*, confident: float | Array | None = None, entropy: float | Array | None = None) -> Credit:
    r"""Every step of a rollout is paid the rollout's weight: GRPO, REINFORCE and their kin as they are.

    Args:
      confident: steps that the policy takes with at least this probability are not trained, in (0, 1]; default: all
        steps are.
      entropy: α of an additional term $\alpha\sum_t A_t\nabla H(\pi(\cdot\mid s_t))$; default: none.

    Returns:
      A `Credit`.

    Raises:
      ValueError: a number out of range.

    Reference: Guo et al., arXiv 2505.23564 (SPO's mask of confident tokens); arXiv 2507.18391 (IBRO's entropy term).
    """
    return Credit(confident=_share(confident), entropy=_finite("entropy", entropy))


def exact(
    *,
    trace: float | Array = 0.0,
    segments: tuple[int, ...] | None = None,
    whiten: bool = False,
    confident: float | Array | None = None,
    entropy: float | Array | None = None,
) -> Credit:
    r"""Credit by the exact values of the current policy; the last step is paid by the verdict.

    Args:
      trace: λ in [0, 1] of generalised advantages; 1 pays each step the return less the value of its state.
      segments: depths, increasing and ≥ 1, at which a new segment begins; all steps of a segment are paid
        $\hat V(\text{end})-\hat V(\text{start})$. Default: each step is its own.
      whiten: centre the advantages of all steps of a group and divide by their standard deviation.
      confident: as in [`uniform`][].
      entropy: as in [`uniform`][].

    Returns:
      A `Credit`.

    Raises:
      ValueError: a number out of range.

    Reference: Schulman et al., arXiv 1506.02438 (generalised advantages); Guo et al., arXiv 2505.23564 (segments).
    """
    return Credit(
        "exact",
        bounds=_bounds(segments),
        trace=_trace(trace, segments),
        whiten=whiten,
        confident=_share(confident),
        entropy=_finite("entropy", entropy),
    )


def monte_carlo(
    rollouts: int = 9,
    *,
    trace: float | Array = 0.0,
    segments: tuple[int, ...] | None = None,
    whiten: bool = False,
    confident: float | Array | None = None,
) -> Credit:
    r"""Credit by values that K fresh rollouts from each state estimate, $\hat V(s)\sim{\rm Bin}(K, V(s))/K$.

    The rollouts of a group that come through one state share its estimate. Needs a binary reward.

    Args:
      rollouts: K ≥ 1 (the paper has 9).
      trace: as in [`exact`][].
      segments: as in [`exact`][].
      whiten: as in [`exact`][]; the released configuration does so.
      confident: as in [`uniform`][].

    Returns:
      A `Credit`.

    Raises:
      ValueError: a number out of range.

    Reference: Kazemnejad et al., arXiv 2410.01679 (VinePPO).
    """
    _check.integer("rollouts", rollouts, low=1)
    return Credit(
        "rollouts",
        rollouts,
        _bounds(segments),
        _trace(trace, segments),
        whiten=whiten,
        confident=_share(confident),
    )


def critic(
    rate: float | Array = 0.1,
    *,
    start: Any = None,
    trace: float | Array = 0.0,
    whiten: bool = False,
    confident: float | Array | None = None,
) -> Credit:
    r"""Credit by a learnt table of values, $\hat V(s) \mathrel{+}= \alpha(\bar R_s - \hat V(s))$ at each visit.

    $\bar R_s$ is the mean return of the group's rollouts through s: the critic lags behind the policy by 1/α visits.

    Args:
      rate: α in (0, 1].
      start: `[inner states]`, its values before the first step, such as those of [`fit_critic`][]; default: the exact
        ones of the policy at the start.
      trace: as in [`exact`][]; below 1 the critic's errors bias the update.
      whiten: as in [`exact`][].
      confident: as in [`uniform`][].

    Returns:
      A `Credit`.

    Raises:
      ValueError: a number out of range.

    Reference: Schulman et al., arXiv 1506.02438 and 1707.06347 (PPO's critic).
    """
    _check.unit_interval("rate", _check.positive("rate", rate))
    return Credit(
        "critic",
        trace=_check.unit_interval("trace", trace),
        rate=rate,
        start=start,
        whiten=whiten,
        confident=_share(confident),
    )


def process(weight: float | Array = 1.0) -> Credit:
    r"""Process credit beside the outcome: $A_t = A + w\,[m(s_{t+1}) - \sum_c\pi(c\mid s_t)\,m(c)]$.

    m is the process reward of a step, `Tree.process`, and A the algorithm's weight of the rollout.

    Args:
      weight: w, finite.

    Returns:
      A `Credit`.

    Raises:
      ValueError: w is not finite.
    """
    return Credit("process", weight=_finite("weight", weight))


def siblings(*, confident: float | Array | None = None) -> Credit:
    r"""Each state has a group of its own: the algorithm weighs the rollouts that come through it.

    A step is paid the weight that the algorithm gives its rollout within the group of those that come through the same
    state, so that every state has a clock of its own. Needs a binary reward, and weights by the number of right ones.

    Args:
      confident: as in [`uniform`][].

    Returns:
      A `Credit`. In a tree of depth one this is [`uniform`][].

    Raises:
      ValueError: a number out of range.

    Reference: Yang et al., arXiv 2506.05183 (TreeRPO); Feng et al., arXiv 2505.10978 (GiGPO).
    """
    return Credit("siblings", confident=_share(confident))


def _share(value: Any) -> Any:
    return None if value is None else _check.unit_interval("confident", _check.positive("confident", value))


def _finite(name: str, value: Any) -> Any:
    return None if value is None else _check.finite(name, value)


def _trace(trace: Any, segments: Any) -> Any:
    if segments is None:
        return _check.unit_interval("trace", trace)
    if not isinstance(trace, (int, float)) or trace != 0:
        raise ValueError(f"trace: {trace} with segments; must be 0, segments are paid as a whole")
    return None


def _bounds(segments: Any) -> tuple[int, ...] | None:
    if segments is None:
        return None
    if not isinstance(segments, (tuple, list)):
        raise ValueError(f"segments: {segments!r}; must be depths, such as (2, 4)")
    bounds = tuple(_check.integer(f"segments[{i}]", depth, low=1) for i, depth in enumerate(segments))
    if list(bounds) != sorted(set(bounds)):
        raise ValueError(f"segments: {segments}; must be increasing depths")
    return bounds
