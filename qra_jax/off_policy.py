r"""Off-policy training: rollouts that were not drawn from the policy that learns from them, and what is done about it.

Rollouts are old (several epochs, staleness), or come from another policy (a sampling temperature, a behaviour policy of
their own). A surrogate multiplies each rollout's gradient $A\,\nabla\log\pi$ by a factor of its importance ratio
$\pi/\mu$, and a correction truncates or masks what remains between sampler and trainer. On-policy, with one epoch, all
of them are the plain policy gradient; they part as soon as the ratio leaves one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, Float

from qra_jax import _check, _pytrees, _show

SURROGATES = ("clip", "cispo", "gspo", "gmpo", "sapo", "none")
"""Names of the surrogate objectives."""
SEQUENCE_SURROGATES = ("gspo", "gmpo")
"""Those whose ratio is the geometric mean over a sequence: the same as "clip" for answers of one decision."""
CORRECTIONS = ("truncate", "mask")
LEVELS = ("token", "sequence")


@dataclass(frozen=True, repr=False)
class OffPolicy:
    r"""What the rollouts of a step are drawn from, how often they are used, and how their age is corrected.

    With $r = \pi/\mu$, the gradient of a rollout of weight A is $A\,f(r)\,\nabla\log\pi$, see [`OffPolicy.factor`][].
    With a correction, μ is replaced by the policy π_old of the step's beginning in r, and the rollout is multiplied by
    $\min(\pi_{\rm old}/\mu,\,C)$ (truncated), or dropped where $\pi_{\rm old}/\mu > C$ (masked).

    Attributes:
      surrogate: `"clip"`, PPO's ratio, clipped where `clip` is given; `"cispo"`, the ratio itself clipped, never
        dropped; `"gspo"` and `"gmpo"`, the ratio of whole sequences to the power 1/|o|, and the geometric mean of
        clipped token ratios (networks only); `"sapo"`, a soft gate; `"none"`, old rollouts count as new.
      clip: ε in [0, 1], or `(ε_low, ε_high)` with ε_low in [0, 1] and ε_high ≥ 0, either of which may be `None`.
      dual_clip: c > 1; rollouts of negative weight are dropped where r > c (with `surrogate="clip"`).
      gate: τ for positive and for negative weights, > 0 (with `surrogate="sapo"`).
      correction: `"truncate"` or `"mask"` of the ratio between trainer and sampler; `None` for neither.
      correction_cap: C > 0.
      correction_level: `"token"` or `"sequence"` (networks; an answer of one decision has only one).
      mask_old_negatives: δ ≥ 0 in nats; rollouts of negative weight are dropped where the mean of log(μ/π) > δ.
      epochs: gradient steps on the same rollouts, ≥ 1.
      staleness: age S ≥ 0 of the rollouts in steps (with `"held"` at most S − 1).
      schedule: `"delayed"`, at every step the policy of S steps ago; `"held"`, the policy is handed to the sampler
        every S steps and kept in between.
      of: `"rollouts"`, only they are old; `"gradient"`, the whole gradient, penalties too, is taken at the old policy.
      sampling_temperature: T > 0 of the rollouts alone, μ ∝ π^{1/T}; of those from `behavior`, too.
      temperature: T > 0 of sampling *and* of the policy that learns, softmax(θ/T).
      behavior: `[patterns]`, log μ where rollouts always come from a policy of their own.
      correlation: in [0, 1], chance that one draw of the verifier's error decides for the whole group (a verifier
        with moods).

    Raises:
      ValueError: an argument out of range, or a combination that has no meaning.

    Reference: Schulman et al., arXiv 1707.06347 (PPO); Yu et al., arXiv 2503.14476 (clip-higher); Ye et al.,
      arXiv 1912.09729 (dual clip); MiniMax, arXiv 2506.13585 (CISPO); Zheng et al., arXiv 2507.18071 (GSPO); Zhao et
      al., arXiv 2507.20673 (GMPO); Gao et al., arXiv 2511.20347 (SAPO); DeepSeek-V3.2, arXiv 2512.02556 (mask of old
      negatives).
    """

    surrogate: str = "clip"
    clip: Any = None
    dual_clip: Any = None
    gate: Any = (1.0, 1.05)
    correction: str | None = None
    correction_cap: Any = 2.0
    correction_level: str = "token"
    mask_old_negatives: Any = None
    epochs: int = 1
    staleness: int = 0
    schedule: str = "delayed"
    of: str = "rollouts"
    sampling_temperature: Any = None
    temperature: Any = None
    behavior: Float[Array, "*questions patterns"] | None = None
    correlation: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.clip, list):
            object.__setattr__(self, "clip", tuple(self.clip))
        if isinstance(self.clip, tuple) and len(self.clip) != 2:
            raise ValueError(f"clip: {self.clip}; must be one number, or a pair (low, high)")
        if not isinstance(self.gate, (tuple, list)) or len(self.gate) != 2:
            raise ValueError(f"gate: {self.gate!r}; must be a pair, for positive and for negative weights")
        _check.choice("surrogate", self.surrogate, SURROGATES)
        _check.integer("epochs", self.epochs, low=1)
        _check.integer("staleness", self.staleness, low=0)
        _check.choice("schedule", self.schedule, ("delayed", "held"))
        _check.choice("of", self.of, ("rollouts", "gradient"))
        _check.choice("correction_level", self.correction_level, LEVELS)
        if self.correction is not None:
            _check.choice("correction", self.correction, CORRECTIONS)
        _check.positive("correction_cap", self.correction_cap)
        low, high = self.clip_range
        if low is not None:
            _check.unit_interval("clip (low)", low)
        if high is not None:
            _check.nonnegative("clip (high)", high)
        for tau in self.gate:
            _check.positive("gate", tau)
        for name in ("sampling_temperature", "temperature"):
            if getattr(self, name) is not None:
                _check.positive(name, getattr(self, name))
        if self.correlation is not None:
            _check.unit_interval("correlation", self.correlation)
        if self.mask_old_negatives is not None:
            _check.nonnegative("mask_old_negatives", self.mask_old_negatives)
        self._check_combinations()

    def _check_combinations(self) -> None:
        low, high = self.clip_range
        if (low, high) != (None, None) and self.surrogate in ("none", "sapo"):
            raise ValueError(
                f"clip: {self.clip} with surrogate {self.surrogate!r}; must be None, there is no ratio to clip"
            )
        if self.surrogate in ("cispo", *SEQUENCE_SURROGATES) and high is None:
            raise ValueError(
                f"clip: {self.clip} with surrogate {self.surrogate!r}; its upper end must be given"
            )
        if self.dual_clip is not None:
            if self.surrogate != "clip":
                raise ValueError(f"dual_clip: given with surrogate {self.surrogate!r}; must be 'clip'")
            if not isinstance(self.dual_clip, Tracer) and not np.all(np.asarray(self.dual_clip) > 1):
                raise ValueError(f"dual_clip: {self.dual_clip}; must be above 1")
        if self.correction is not None and self.surrogate == "none":
            raise ValueError(
                f"correction: {self.correction!r} with surrogate 'none'; there is no ratio to correct"
            )
        if self.mask_old_negatives is not None and self.surrogate == "none":
            raise ValueError(
                "mask_old_negatives: given with surrogate 'none'; there is no ratio to tell age by"
            )
        if self.behavior is not None and self.staleness:
            raise ValueError(f"staleness: {self.staleness} with a behavior policy of its own; must be 0")
        if self.of == "gradient" and self.staleness and self.epochs > 1:
            raise ValueError(f"epochs: {self.epochs} with a stale gradient; must be 1")
        if self.of == "gradient" and self.staleness and self.correction is not None:
            raise ValueError(f"correction: {self.correction!r} with a stale gradient; must be None")

    def __repr__(self) -> str:
        usual = OffPolicy()
        said = []
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if value is not getattr(usual, name) and not (
                isinstance(value, (str, int, float, tuple)) and value == getattr(usual, name)
            ):
                plain = isinstance(value, (str, int, float, tuple))
                said.append(f"{name} = {value!r}" if plain else f"{name} = {_show.shape(value)}")
        return f"OffPolicy({', '.join(said) or 'on-policy'})"

    @property
    def clip_range(self) -> tuple[Any, Any]:
        """(ε_low, ε_high), `None` where that side is not clipped."""
        if self.clip is None or isinstance(self.clip, tuple):
            return (None, None) if self.clip is None else self.clip
        return self.clip, self.clip

    @property
    def on_policy(self) -> bool:
        """Whether a step's rollouts are new and its only ones, so that every ratio is one."""
        return self.fresh and self.epochs == 1

    @property
    def fresh(self) -> bool:
        """Whether rollouts are drawn from the policy of the step's beginning."""
        return self.staleness == 0 and self.sampling_temperature is None and self.behavior is None

    def factor(self, ratio: Array, positive: bool) -> Array:
        r"""What the surrogate makes of a rollout's gradient, $f(r)$ in $A\,f(r)\,\nabla\log\pi$.

        PPO: r, or 0 where A > 0 and r > 1 + ε_high, A < 0 and r < 1 − ε_low, A < 0 and r > c (dual clip). CISPO:
        r clipped to [1 − ε_low, 1 + ε_high]. SAPO: $4\,r\,s(1-s)$ with $s = \sigma(\tau(r-1))$.

        Args:
          ratio: `[...]`, r ≥ 0, of a token or of a sequence, as the surrogate has it.
          positive: the sign of the weights.

        Returns:
          `[...]`.
        """
        low, high = self.clip_range
        return factor(
            self.surrogate, ratio, positive, low=low, high=high, dual_clip=self.dual_clip, gate=self.gate
        )

    def corrected(self, ratio: Array) -> Array:
        """The weight between trainer and sampler: truncated at the cap, masked above it, or one without a correction.

        Args:
          ratio: `[...]`, π_old/μ of tokens or of sequences.

        Returns:
          `[...]`.
        """
        return corrected(self.correction, ratio, self.correction_cap)


_NUMBERS = (
    "clip",
    "dual_clip",
    "gate",
    "correction_cap",
    "mask_old_negatives",
    "sampling_temperature",
    "temperature",
    "behavior",
    "correlation",
)
_pytrees.register(OffPolicy, children=_NUMBERS, functions=(), labels=())


def factor(
    surrogate: str, ratio: Array, positive: bool, *, low: Any, high: Any, dual_clip: Any, gate: Any
) -> Array:
    """[`OffPolicy.factor`][] with its numbers given one by one: they may have any shape that meets the ratio's."""
    dtype = ratio.dtype
    low, high = (None if side is None else jnp.asarray(side, dtype) for side in (low, high))
    if surrogate == "none":
        return jnp.ones_like(ratio)
    if surrogate == "sapo":
        open_share = jax.nn.sigmoid(jnp.asarray(gate[0 if positive else 1], dtype) * (ratio - 1))
        return 4 * ratio * open_share * (1 - open_share)
    if surrogate == "cispo":
        ratio = ratio if low is None else jnp.maximum(ratio, 1 - low)
        return ratio if high is None else jnp.minimum(ratio, 1 + high)
    kept = jnp.ones_like(ratio, dtype=bool)
    if positive and high is not None:
        kept = ratio <= 1 + high
    if not positive and low is not None:
        kept = ratio >= 1 - low
    if not positive and dual_clip is not None:
        kept = kept & (ratio <= jnp.asarray(dual_clip, dtype))
    return jnp.where(kept, ratio, 0.0)


def corrected(correction: str | None, ratio: Array, cap: Any) -> Array:
    """[`OffPolicy.corrected`][] with its cap given."""
    if correction is None:
        return jnp.ones_like(ratio)
    cap = jnp.asarray(cap, ratio.dtype)
    if correction == "truncate":
        return jnp.minimum(ratio, cap)
    return jnp.where(ratio <= cap, ratio, 0.0)
