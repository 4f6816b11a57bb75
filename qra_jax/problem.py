"""A question of the question → reason → answer model: who is chosen, and who is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array, Float, PRNGKeyArray

from qra_jax import _check, _programs, _show

MAX_DRAWS = 10_000
"""Draws after which [`examples.internal_feedback`][] stops rejecting."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Problem:
    r"""One question: a reference policy over `n` reasoning patterns and the success rate of each.

    $$ \pi_{\rm ref}(r),\quad p_r = \pi(a^\star\mid q, r),\quad \rho_{\rm ref} = \sum_r \pi_{\rm ref}\,p_r $$

    Build it with [`Problem.from_probs`][], which checks every number, or directly from arrays: then the functions
    that take it check that π_ref sums to one (where it is not traced). It is a pytree: stack problems with
    [`stack`][] and map over them with `jax.vmap`.

    Attributes:
      log_ref: `[patterns]`, log π_ref, normalised; `-inf` marks a pattern with no reference mass.
      success: `[patterns]`, success rates p in [0, 1]; they stay put during training (Assumption 5.1).
      answers: optional `[patterns, answers]` table π(a|r), rows sum to one, column 0 is the right answer.
        Without it there are two answers, `(p_r, 1 - p_r)`.
      lengths: optional `[patterns]`, tokens that a rollout of each pattern has, > 0; they matter to algorithms that
        weigh by length alone.

    Reference: Chen, Li, Zou, arXiv 2506.04695, §3.
    """

    log_ref: Float[Array, "*batch patterns"]
    success: Float[Array, "*batch patterns"]
    answers: Float[Array, "*batch patterns answers"] | None = None
    lengths: Float[Array, "*batch patterns"] | None = None

    def __post_init__(self) -> None:
        # Nothing is refused here: gradients and the placeholders of tree transformations are built as problems, too.
        for name in ("log_ref", "success", "answers", "lengths"):
            value = getattr(self, name)
            if isinstance(value, list) and all(isinstance(x, (int, float)) for x in jax.tree.leaves(value)):
                object.__setattr__(self, name, jnp.asarray(_check.array(name, value)))

    @classmethod
    def from_probs(
        cls, ref: Any, success: Any = None, *, answers: Any = None, lengths: Any = None
    ) -> Problem:
        """Build a problem from probabilities, checking every number.

        Args:
          ref: `[patterns]`, base policy; non-negative, sums to one within 1e-3 (then renormalised).
          success: `[patterns]`, success rates in [0, 1]; optional when `answers` is given.
          answers: `[patterns, answers]`, answer table; rows sum to one, column 0 is the right answer.
          lengths: `[patterns]`, tokens of a rollout of each pattern, > 0.

        Returns:
          A `Problem` in the input's float dtype (float64 when x64 is enabled and the input is Python
          numbers).

        Raises:
          ValueError: an argument is empty, NaN, out of range, of the wrong length, or does not sum to one.

        >>> Problem.from_probs(ref=[.05, .70, .25], success=[.9, .6, .1]).patterns
        3
        """
        ref = _check.distribution("ref", ref, tolerance=_check.SUM_TOLERANCE)
        if answers is not None:
            answers = _check.distribution("answers", answers, tolerance=_check.SUM_TOLERANCE, ndim=2)
            _check.same_length("answers", answers, "ref", ref)
            if success is None:
                success = answers[:, 0]
        if success is None:
            raise ValueError("success: missing; give success rates in [0, 1] or an answer table")
        success = _check.unit_interval("success", success, ndim=1)
        _check.same_length("success", success, "ref", ref)
        if answers is not None:
            _check.close("success", success, "answers[:, 0]", answers[:, 0], tolerance=_check.SUM_TOLERANCE)
        with np.errstate(divide="ignore"):
            log_ref = np.log(ref) if isinstance(ref, np.ndarray) else jnp.log(ref)
        if lengths is not None:
            lengths = _check.positive("lengths", lengths)
            _check.same_length("lengths", lengths, "ref", ref)
        optional = (None if value is None else _programs.array(value) for value in (answers, lengths))
        return cls(_programs.array(log_ref), _programs.array(success), *optional)

    def __repr__(self) -> str:
        log_ref, success = self.log_ref, self.success
        if not _show.concrete(log_ref, success):
            return f"Problem(log_ref={_show.shape(log_ref)}, success={_show.shape(success)})"
        if log_ref.ndim != 1:
            batch = " × ".join(map(str, log_ref.shape[:-1]))
            return f"Problem({batch} questions of {self.patterns} patterns, {log_ref.dtype})"
        ref, accuracy = _show.numbers(self.ref), float(self.accuracy_ref)
        return f"Problem(π_ref = {ref}, p = {_show.numbers(success)}, accuracy {accuracy:.3g})"

    def _repr_html_(self) -> str | None:
        if not _show.concrete(self.log_ref, self.success) or self.log_ref.ndim != 1:
            return None
        rows = [
            (f"{r}{' (best)' if r == int(self.best) else ''}", f"{share:.4g}", f"{rate:.4g}")
            for r, (share, rate) in enumerate(zip(self.ref, self.success, strict=True))
        ]
        title = f"Problem: accuracy of the base model {float(self.accuracy_ref):.3g}"
        return _show.table(title, ("pattern", "share π_ref", "success rate p"), rows)

    @property
    def patterns(self) -> int:
        """Number of reasoning patterns, n."""
        return self.log_ref.shape[-1]

    @property
    def ref(self) -> Float[Array, "*batch patterns"]:
        """The reference policy π_ref, `[patterns]`."""
        return jnp.exp(self.log_ref)

    @property
    def accuracy_ref(self) -> Float[Array, "*batch"]:
        """Accuracy of the reference policy, ρ_ref = Σ π_ref(r) p_r."""
        return jnp.sum(self.ref * self.success, axis=-1)

    @property
    def best(self) -> Array:
        """Index of the best pattern, r* = argmax p (the first of ties)."""
        return jnp.argmax(self.success, axis=-1)

    @property
    def second_best(self) -> Float[Array, "*batch"]:
        """Largest success rate strictly below the best one; the best one where there is no other."""
        top = jnp.max(self.success, axis=-1, keepdims=True)
        below = jnp.max(jnp.where(self.success < top, self.success, -jnp.inf), axis=-1)
        return jnp.where(jnp.isfinite(below), below, top[..., 0])

    def answer_table(self) -> Float[Array, "*batch patterns answers"]:
        """The answer table π(a|r), `[patterns, answers]`; `(p, 1 - p)` where none was given."""
        if self.answers is not None:
            return self.answers
        return jnp.stack([self.success, 1 - self.success], axis=-1)

    def with_ref(self, log_ref: Float[Array, "*batch patterns"]) -> Problem:
        """The same question asked of another base policy, e.g. one after SFT."""
        return replace(self, log_ref=jax.nn.log_softmax(log_ref, axis=-1))


def stack(problems: Sequence[Problem]) -> Problem:
    """Stack problems with equal numbers of patterns along a new leading axis, for `jax.vmap`.

    Args:
      problems: at least one problem; all with the same number of patterns and of answers.

    Returns:
      A `Problem` whose arrays have a leading `[problems]` axis.

    Raises:
      ValueError: `problems` is empty or the shapes differ.
    """
    if not problems:
        raise ValueError("problems: empty; give at least one Problem")
    shapes = {jax.tree_util.tree_structure(p): 0 for p in problems}, {p.log_ref.shape for p in problems}
    if len(shapes[0]) > 1 or len(shapes[1]) > 1:
        raise ValueError(f"problems: shapes differ, {sorted(shapes[1])}; all must be alike to be stacked")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)


class examples:
    """Named instances from the literature."""

    @staticmethod
    def worked() -> Problem:
        """The worked example of Theorem 5.4: γ = (.25 + .05)/.05 = 6, entangled.

        Returns:
          The problem with patterns ordered r*, r', poor one.

        Reference: Chen, Li, Zou, arXiv 2506.04695, Theorem 5.4.
        """
        return Problem.from_probs(ref=[0.05, 0.70, 0.25], success=[0.9, 0.6, 0.1])

    @staticmethod
    def fast() -> Problem:
        """A Regime 1 twin of [`examples.worked`][]: same rates, base accuracy .65 above every rival.

        Returns:
          The problem in the same order.

        Reference: Chen, Li, Zou, arXiv 2506.04695, Theorem 5.3 (its regime; the numbers are chosen here).
        """
        return Problem.from_probs(ref=[0.25, 0.70, 0.05], success=[0.9, 0.6, 0.1])

    @staticmethod
    def entangled(gamma: float | int | Array, patterns: int = 3, *, other: float | Array = 0.25) -> Problem:
        """Theorem 5.4's family at a chosen γ = Σ_{r≠r'} π_ref(r)/π_ref(r*), the worked example being γ = 6.

        Args:
          gamma: γ > 1; may be traced.
          patterns: n ≥ 3; the n − 2 poor patterns share the mass `other`, success rate .1 each.
          other: mass of the poor patterns together, in (0, 1).

        Returns:
          The problem with patterns ordered r*, r', poor ones.

        Raises:
          ValueError: γ ≤ 1, n < 3, or no mass is left for r'.

        Reference: Chen, Li, Zou, arXiv 2506.04695, Theorem 5.4.
        """
        if patterns < 3:
            raise ValueError(f"patterns: {patterns}; must be at least 3")
        _check.open_unit_interval("other", other)
        if not isinstance(gamma, Tracer) and not gamma > 1:
            raise ValueError(f"gamma: {gamma}; must be above 1")
        best = other / (gamma - 1)
        rival = 1 - other - best
        if not isinstance(rival, Tracer) and not 0 < rival < 1:
            raise ValueError(
                f"gamma: {gamma} with other = {other} leaves π_ref(r') = {rival:.3g}; must be in (0, 1)"
            )
        poor = patterns - 2
        ref = [best, rival] + [other / poor] * poor
        traced = any(isinstance(share, Tracer) for share in ref)
        return Problem.from_probs(
            ref=jnp.stack(jnp.broadcast_arrays(*map(jnp.asarray, ref))) if traced else ref,
            success=[0.9, 0.6] + [0.1] * poor,
        )

    @staticmethod
    def internal_feedback(key: PRNGKeyArray, patterns: int, a: float = 1.0, b: float = 1.0) -> Problem:
        """The RLIF setting of Theorem 5.6: uniform π_ref, success rates iid Beta(a, b), given ρ_ref > ½.

        Conditioning is by rejection inside a `while_loop`, so that it runs under jit and vmap. For a < b and
        many patterns the condition is all but impossible; after 10 000 rejected draws the one with the highest
        ρ_ref among them is returned, although it is at most ½ (check `accuracy_ref`).

        Args:
          key: PRNG key.
          patterns: n ≥ 1.
          a: first parameter of the Beta distribution, > 0; the theorem's plain reading is a = b = 1.
          b: its second parameter, > 0.

        Returns:
          One draw.

        Raises:
          ValueError: no PRNG key, n < 1, or a or b not positive.

        Reference: Chen, Li, Zou, arXiv 2506.04695, Theorem 5.6.
        """
        _check.key(key)
        _check.integer("patterns", patterns, low=1)
        _check.positive("a", a)
        _check.positive("b", b)

        def draw(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            key, sub = jax.random.split(state[0])
            fresh = jax.random.beta(sub, a, b, (patterns,))
            return key, jnp.where(jnp.mean(fresh) > jnp.mean(state[1]), fresh, state[1]), state[2] + 1

        def rejected(state: tuple[Array, Array, Array]) -> Array:
            return (jnp.mean(state[1]) <= 0.5) & (state[2] < MAX_DRAWS)

        first = (key, jnp.zeros(patterns), jnp.zeros((), jnp.int32))
        _, success, _ = jax.lax.while_loop(rejected, draw, first)
        return Problem(jnp.full(patterns, -jnp.log(patterns)), success)


def random(
    key: PRNGKeyArray,
    patterns: int,
    *,
    concentration: float | Array = 1.0,
    success: tuple[float, float] | Array | None = None,
) -> Problem:
    """Draw a random question: Dirichlet base policy; uniform, Beta or given success rates.

    Args:
      key: PRNG key.
      patterns: n ≥ 1.
      concentration: Dirichlet concentration, > 0; 1 is uniform on the simplex.
      success: `None` for U[0, 1]; a pair `(a, b)` for Beta(a, b); an array `[patterns]` to keep as it is.

    Returns:
      One `Problem`; `jax.vmap(lambda k: random(k, n))(keys)` gives a batch.

    Raises:
      ValueError: no PRNG key, `patterns` < 1, or `concentration`, `a`, `b` not positive.

    >>> import jax
    >>> jax.vmap(lambda k: random(k, 10))(jax.random.split(jax.random.key(0), 5)).success.shape
    (5, 10)
    """
    _check.key(key)
    _check.integer("patterns", patterns, low=1)
    _check.positive("concentration", concentration)
    rates, shape = None, None
    if isinstance(success, tuple):
        a, b = success
        _check.positive("success (a)", a)
        _check.positive("success (b)", b)
        shape = success
    elif success is not None:
        rates = jnp.asarray(_check.unit_interval("success", success, ndim=1))
        if rates.shape != (patterns,):
            raise ValueError(f"success: length {rates.shape[0]}; must be {patterns}, one rate a pattern")
    return Problem(*_draw(key, concentration, shape, rates, patterns))


@_programs.brief("patterns", batches=True)
def _draw(
    key: Array, concentration: Any, shape: Any, rates: Array | None, patterns: int
) -> tuple[Array, Array]:
    """log π_ref and success rates: as given, Beta-distributed with these parameters, or else uniform."""
    key_ref, key_success = jax.random.split(key)
    # log-Gamma draws keep tiny masses that a Dirichlet draw in probabilities would round to zero.
    log_ref = jax.nn.log_softmax(jax.random.loggamma(key_ref, concentration, (patterns,)))
    if shape is not None:
        a, b = shape
        return log_ref, jax.random.beta(key_success, a, b, (patterns,))
    return log_ref, jax.random.uniform(key_success, (patterns,)) if rates is None else rates
