"""Named trees: small ones in which what is said of reasoning steps can be worked out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jaxtyping import Array, PRNGKeyArray

from qra_jax import _check
from qra_jax.tree.model import MOST_STATES, Tree
from qra_jax.tree.shape import Shape


def chain(rates: Sequence[float], *, length: float | int = 1.0) -> Tree:
    r"""A proof in which every step has to be right: $\rho = \prod_i q_i$.

    Args:
      rates: q_i in (0, 1), chance of the right step at each of the depths, one or more.
      length: tokens of a step, > 0.

    Returns:
      A `Tree` whose step 0 in each state goes on, and whose step 1 ends in a wrong answer.

    Raises:
      ValueError: no rate, or one that is not strictly between 0 and 1.

    Reference: cold starts of chains: arXiv 2506.04723 (hints), derived here.
    """
    if not rates:
        raise ValueError("rates: empty; must be one or more numbers in (0, 1)")
    for i, rate in enumerate(rates):
        _check.open_unit_interval(f"rates[{i}]", rate)
    node: dict[str, Any] = {"success": 1.0}
    for depth in range(len(rates), 0, -1):
        step = {"name": f"right {depth}", "chance": rates[depth - 1], "length": length, **node}
        wrong = {"name": f"wrong {depth}", "chance": 1 - rates[depth - 1], "success": 0.0, "length": length}
        node = {"steps": [step, wrong]}
    return Tree.from_nested(node)


def comb(
    depth: int, *, go_on: float = 0.5, success: tuple[float, float] = (0.2, 0.9), length: float | int = 1.0
) -> Tree:
    """A chain of thought that may be ended at every step, whose chance of being right grows with its length.

    Args:
      depth: longest chain in steps, ≥ 1.
      go_on: chance of going on at each step, in (0, 1).
      success: success rate of the shortest and of the longest chain, in [0, 1]; those between lie on a line. A
        decreasing pair makes long answers worse, an equal one makes length useless.
      length: tokens of a step, > 0.

    Returns:
      A `Tree` whose step 0 in each state goes on, and whose step 1 answers.

    Raises:
      ValueError: a number out of range.
    """
    _check.integer("depth", depth, low=1)
    _check.open_unit_interval("go_on", go_on)
    first, last = success
    rate = lambda steps: first + (last - first) * steps / depth  # noqa: E731
    node: dict[str, Any] = {"success": rate(depth)}
    for steps in range(depth - 1, -1, -1):
        more = {"name": f"step {steps + 1}", "chance": go_on, "length": length, **node}
        answer = {
            "name": f"answer after {steps}",
            "chance": 1 - go_on,
            "success": rate(steps),
            "length": length,
        }
        node = {"steps": [more, answer]}
    return Tree.from_nested(node)


def hidden(first: float = 0.2, *, behind: tuple[float, float] = (0.1, 0.9), usual: float = 0.5) -> Tree:
    """The best leaf behind a first step that looks bad.

    Args:
      first: chance of the first step that leads to it, in (0, 1).
      behind: chance of the good second step there, in (0, 1), and its success rate; the other one is never right.
      usual: success rate after the other first step, whatever follows.

    Returns:
      A `Tree` of depth two. With the default numbers the first step to the best leaf has a value of .09 against .41.

    Raises:
      ValueError: a number out of range.
    """
    chance, rate = behind
    _check.open_unit_interval("first", first)
    _check.open_unit_interval("behind", chance)
    return Tree.from_nested(
        {
            "steps": [
                {
                    "name": "rare",
                    "chance": first,
                    "steps": [
                        {"name": "rare, good", "chance": chance, "success": rate},
                        {"name": "rare, bad", "chance": 1 - chance, "success": 0.0},
                    ],
                },
                {
                    "name": "usual",
                    "chance": 1 - first,
                    "steps": [
                        {"name": "usual, one", "chance": 0.5, "success": usual},
                        {"name": "usual, other", "chance": 0.5, "success": usual * 0.64},
                    ],
                },
            ]
        }
    )


def two_attempts(
    prior: Sequence[float], first: Sequence[float], second: Sequence[float] | None = None
) -> Tree:
    r"""A bandit with a hidden type and two attempts: the second is needed only where the first was wrong.

    The type z has the prior; attempt a is right if a = z. Given the attempts (a₁, a₂) the question is solved with
    chance $P(z=a_1) + 1\{a_2\ne a_1\}P(z=a_2)$: the value of the second attempt is that under the posterior.

    Args:
      prior: `[types]`, chances of the types; sum to one.
      first: `[types]`, π_ref of the first attempt.
      second: `[types]`, π_ref of the second attempt, whatever the first was; default: `first`.

    Returns:
      A `Tree` of depth two, with types² leaves.

    Raises:
      ValueError: a distribution that does not sum to one, or lengths that differ.

    Reference: Zhang et al., arXiv 2505.20561 (Bayes-adaptive RL), §4.
    """
    prior = _check.distribution("prior", prior, tolerance=_check.SUM_TOLERANCE)
    first = _check.distribution("first", first, tolerance=_check.SUM_TOLERANCE)
    _check.same_length("first", first, "prior", prior)
    later = first if second is None else _check.distribution("second", second, tolerance=_check.SUM_TOLERANCE)
    _check.same_length("second", later, "prior", prior)
    types = range(len(prior))

    def solved(a: int, b: int) -> float:
        return float(prior[a] + (prior[b] if a != b else 0.0))

    return Tree.from_nested(
        {
            "steps": [
                {
                    "name": f"try {a}",
                    "chance": float(first[a]),
                    "steps": [
                        {
                            "name": f"try {a}, then {b}",
                            "chance": float(later[b]),
                            "success": min(solved(a, b), 1.0),
                        }
                        for b in types
                    ],
                }
                for a in types
            ]
        }
    )


def random(
    key: PRNGKeyArray,
    depth: int,
    width: int,
    *,
    concentration: float | int | Array = 1.0,
    success: tuple[float | int, float | int] = (1.0, 1.0),
) -> Tree:
    """A full tree with Dirichlet choices in every state and Beta success rates at the leaves.

    Args:
      key: PRNG key.
      depth: steps of every path, ≥ 1.
      width: next steps of every state, ≥ 1.
      concentration: of the Dirichlet distribution, > 0; 1 is uniform on the simplex.
      success: `(a, b)` of the Beta distribution of success rates, > 0.

    Returns:
      One `Tree`; `jax.vmap(lambda k: random(k, 4, 4))(keys)` gives a batch.

    Raises:
      ValueError: a number out of range, or more than 100 000 states.
    """
    _check.key(key)
    _check.integer("depth", depth, low=1)
    _check.integer("width", width, low=1)
    _check.positive("concentration", concentration)
    for name, value in zip(("success (a)", "success (b)"), success, strict=True):
        _check.positive(name, value)
    inner = sum(width**level for level in range(depth))
    leaves = width**depth
    if inner + leaves > MOST_STATES:
        raise ValueError(
            f"depth: {depth} with width {width} has {inner + leaves} states; must have at most {MOST_STATES} to be "
            "enumerated, for longer chains sample a network (qra_jax.transformer)"
        )
    shape = Shape((width,) * inner + (0,) * leaves)
    one, other = jax.random.split(key)
    logits = jax.random.loggamma(one, concentration, (inner, width)).reshape(-1)
    rates = jax.random.beta(other, *success, (leaves,))
    return Tree(shape, shape.log_softmax(logits), rates)
