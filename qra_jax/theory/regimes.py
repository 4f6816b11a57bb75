"""Which of the two regimes of convergence a question is in."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from qra_jax import _check, _programs, _show
from qra_jax.problem import Problem


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Regime:
    """Fast (Regime 1) or entangled (Regime 2), and who is in the way.

    Attributes:
      entangled: some suboptimal pattern's success rate exceeds base accuracy.
      gamma: γ = Σ_{r≠r'} π_ref(r)/π_ref(r*) ≥ 1. **0 means "not defined: fast regime"** (there is no r'),
        not a small degree of entanglement.
      rivals: number of suboptimal patterns above base accuracy (Theorem 5.4 treats 1).
      rival: r', the rival with the most reference mass; -1 in the fast regime.
      best: r*, the first of ties.
    """

    entangled: Bool[Array, "*batch"]
    gamma: Float[Array, "*batch"]
    rivals: Int[Array, "*batch"]
    rival: Int[Array, "*batch"]
    best: Int[Array, "*batch"]

    @property
    def name(self) -> str:
        """`"fast"` or `"entangled"`; of one concrete problem."""
        return "entangled" if bool(self.entangled) else "fast"

    def __repr__(self) -> str:
        if not _show.concrete(self.entangled, self.gamma, self.rivals, self.rival, self.best):
            return f"Regime(entangled={_show.shape(self.entangled)}, gamma={_show.shape(self.gamma)})"
        if self.entangled.ndim:
            many = int(self.entangled.sum())
            return f"Regime({many} entangled, {self.entangled.size - many} fast)"
        if not bool(self.entangled):
            return f"Regime(fast, best {self.best})"
        level = f"{float(self.gamma):.4g}"
        rivals = f"{self.rivals} rival{'s' * (int(self.rivals) != 1)}"
        return f"Regime(entangled, γ = {level}, best {self.best}, rival {self.rival}; {rivals})"


def regime(problem: Problem) -> Regime:
    r"""Regime 1 (fast) if no suboptimal pattern beats base accuracy, else Regime 2 (entangled).

    $$ \text{entangled} \iff \exists r:\; \rho_{\rm ref} < p_r < p_{r^\star} $$

    Patterns as good as r* are no rivals. The definition looks at success rates only, so a rival may lack
    reference mass; γ = ∞ where r* lacks it.

    Args:
      problem: the question.

    Returns:
      A `Regime`.

    Raises:
      ValueError: not a problem, or π_ref does not sum to one.

    Reference: Chen, Li, Zou, arXiv 2506.04695, Theorems 5.3 and 5.4 (which assume exactly one rival).

    >>> from qra_jax.problem import examples
    >>> regime(examples.worked()), regime(examples.fast()).name
    (Regime(entangled, γ = 6, best 0, rival 1; 1 rival), 'fast')
    """
    return _regime(_check.problem(problem))


@_programs.brief()
def _regime(problem: Problem) -> Regime:
    p, log_ref = problem.success, problem.log_ref
    is_rival = (p > problem.accuracy_ref) & (p < jnp.max(p))
    entangled = jnp.any(is_rival)
    # A rival without mass still counts: it ranks below any with mass, above those that are no rivals.
    rank = jnp.where(is_rival, jnp.maximum(log_ref, jnp.finfo(log_ref.dtype).min), -jnp.inf)
    rival, best = jnp.argmax(rank), problem.best
    others = jnp.where(jnp.arange(problem.patterns) == rival, -jnp.inf, log_ref)
    scale = jax.lax.stop_gradient(jnp.max(others))
    scale = jnp.where(jnp.isfinite(scale), scale, 0.0)
    mass = jnp.sum(jnp.exp(others - scale))
    value = mass * jnp.exp(scale - log_ref[best])
    value = jnp.where(jnp.isneginf(log_ref[best]), jnp.inf, value)
    return Regime(
        entangled=entangled,
        gamma=jnp.where(entangled, value, jnp.zeros_like(value)),
        rivals=jnp.sum(is_rival),
        rival=jnp.where(entangled, rival, -1),
        best=best,
    )


def gamma(problem: Problem) -> Float[Array, ""]:
    r"""Degree of entanglement, $\gamma = \sum_{r\ne r'} \pi_{\rm ref}(r) / \pi_{\rm ref}(r^\star)$.

    **0 means "not defined: fast regime"** (there is no r'), not a small degree of entanglement: test
    `regime(problem).entangled` before comparing or averaging γ.

    Args:
      problem: the question.

    Returns:
      γ ≥ 1 in the entangled regime, `inf` where r* lacks reference mass; 0 in the fast regime.

    Reference: Chen, Li, Zou, arXiv 2506.04695, Theorem 5.4.

    >>> from qra_jax.problem import examples
    >>> print(round(float(gamma(examples.worked())), 9))
    6.0
    """
    return regime(problem).gamma


def first_move(problem: Problem) -> Float[Array, ""]:
    r"""Slope of log π(r*) at the start of the softmax policy-gradient flow (β = 0, unit clock).

    $$ \frac{d}{dt}\log\pi(r^\star)\Big|_0 = \pi_\star(p_\star-\rho) - \sum_r \pi_r^2 (p_r-\rho),
       \qquad \pi = \pi_{\rm ref} $$

    It is negative where rivals are big and not only good: in part of Regime 2, never in Regime 1.

    Args:
      problem: the question.

    Returns:
      The slope, per unit time.

    Reference: *derived here*; compare Theorem 5.4 of arXiv 2506.04695.

    >>> from qra_jax.problem import examples
    >>> first_move(examples.worked()) < 0 < first_move(examples.fast())
    Array(True, dtype=bool)
    """
    pull = problem.ref * (problem.success - problem.accuracy_ref)
    return pull[problem.best] - jnp.sum(problem.ref * pull)
