"""Exact parts of the study of preferences: directions and ends of paths, who displaces whom, single pairs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qra_jax import flow
from qra_jax.algorithm import dpo
from qra_jax.algorithm.preference import right_and_wrong, sides
from qra_jax.problem import Problem, random

PATTERNS, MOST = 4, 16
"""Patterns of a random question; largest group."""
GENTLE = 1e-3
"""β of runs that are to show the first order in β."""
START = 0.02
"""Share of a long pattern at first."""


def path(cell: Any) -> dict[str, Array]:
    r"""Expected DPO on one random question, from the reference on.

    Args:
      cell: `pairs`; `beta`; `question`, the number of its random draw; `single`, whether one pattern is always right
        and all others never; traced but for `pairs`.

    Returns:
      `time` in units of 2/β, `angle` from the policy gradient in degrees, `gain` (share of the way of accuracy to that
      of the best pattern), and the log-likelihood of both sides of the pairs that the reference makes, `[times]`;
      `end` and `optimum`, `[patterns]`, the last policy and $\pi_{\rm ref}\,(p/(1-p))^{1/\beta}$, and `regularised`,
      $\pi_{\rm ref}\,e^{p/\beta}$.
    """
    drawn = random(jax.random.key(cell.question), PATTERNS, concentration=2.0, success=(2.0, 2.0))
    success = jnp.where(cell.single > 0, jnp.arange(PATTERNS) == 0, drawn.success)
    problem, beta = Problem(drawn.log_ref, success), cell.beta
    algorithm = dpo(beta, pairs=cell.pairs)
    times = jnp.append(0.0, jnp.geomspace(0.01, 1e3 / jnp.clip(beta, 0.1, 1.0), 120)) * 2 / beta
    log_policy = flow.solve(problem, ts=times, algorithm=algorithm, rtol=1e-6, max_steps=20_000).log_policy
    pulls = jax.vmap(lambda one: flow.drift(problem, one, algorithm=algorithm))(log_policy)
    policy = jnp.exp(log_policy)
    accuracy = policy @ problem.success
    ascent = policy * (problem.success[None] - accuracy[:, None])
    norms = jnp.linalg.norm(pulls, axis=-1) * jnp.linalg.norm(ascent, axis=-1)
    cosine = jnp.sum(pulls * ascent, axis=-1) / norms
    law = right_and_wrong(problem.ref, problem.success)
    seen = sides(law, log_policy)
    odds = jnp.log(problem.success) - jnp.log1p(-problem.success)
    return {
        "time": times * beta / 2,
        "angle": jnp.degrees(jnp.arccos(jnp.clip(cosine, -1.0, 1.0))),
        "gain": (accuracy - accuracy[0]) / (jnp.max(problem.success) - accuracy[0]),
        "chosen": seen.chosen,
        "rejected": seen.rejected,
        "end": policy[-1],
        "optimum": jax.nn.softmax(problem.log_ref + odds / beta),
        "regularised": jax.nn.softmax(problem.log_ref + problem.success / beta),
    }


def takeover(cell: Any) -> dict[str, Array]:
    """A long pattern of share .02 against a short one, the longest right answer chosen: its share at the end.

    Args:
      cell: `short` and `long`, success rates; `group`, G; `length`, of the long pattern, where the short one has 1.

    Returns:
      `share`, a number.
    """
    lengths = jnp.stack([1.0, cell.length])
    problem = Problem(
        jnp.log(jnp.array([1 - START, START])), jnp.stack([cell.short, cell.long]), lengths=lengths
    )
    algorithm = dpo(GENTLE, pairing="longest", group_size=MOST).with_group_size(cell.group)
    ended = flow.solve(problem, ts=[0.0, 4e3 / GENTLE], algorithm=algorithm, max_steps=20_000)
    return {"share": jnp.exp(ended.log_policy[-1, 1])}


def factor(short: Any, group: Any) -> Any:
    r"""By what the odds of a longer pattern count where everyone uses a short one, $E[k\mid 0<k<G]$, k right of G.

    Near the vertex at which all use the short pattern a longer one of share ε is the longest right answer of a group
    k ε p_long/p_short times, for k right ones, and rejected ε(1 − p_long)/(1 − p_short) times. So it gains where
    odds(p_long) · E[k | 0 < k < G] > odds(p_short).

    Args:
      short: success rate of the short pattern, in (0, 1); a number or an array.
      group: G, the same.

    Returns:
      Numbers, 1 for G = 2.
    """
    return group * (short - short**group) / (1 - short**group - (1 - short) ** group)


def single_pairs(
    random: np.random.Generator, alike: float, members: int, *, features: int
) -> dict[str, np.ndarray]:
    r"""Policies $\pi\propto e^{\theta_0+\Phi\psi}$ after DPO on one pair each, up to a margin of one nat.

    One pair moves ψ along $h_w-h_l$ alone, so that logits are $\theta_0+s\,\Phi(h_w-h_l)$ whatever the step size, and
    $\log\pi_w$ is a concave function of s whose first slope is minus the CHES score of $h-\sum_x\pi_xh_x$.

    Args:
      random: random numbers.
      alike: cosine of the features of both sides, but for their own noise.
      members: how many policies.
      features: their number; 0 for a parameter of each answer.

    Returns:
      `[members]` each: `chosen`, `rejected` and `bystanders`, changes of log-probabilities (of bystanders: of their
      summed mass); `ches` of the pair, of the pair with centred features, and of another pair of the same policy;
      `shifted`, CHES after a common vector was added to all features, which changes no policy.
    """
    answers = 8
    logits = 1.5 * random.standard_normal((members, answers))
    h = random.standard_normal((members, answers, max(features, 1))) / np.sqrt(max(features, 1))
    common = random.standard_normal((members, 1, max(features, 1)))
    h[:, 1] = alike * h[:, 0] + np.sqrt(1 - alike**2) * h[:, 1]
    if not features:
        h, common = (
            np.broadcast_to(np.eye(answers), (members, answers, answers)),
            np.ones((members, 1, answers)),
        )
    apart = h[:, 0] - h[:, 1]
    along = np.einsum("mad,md->ma", h, apart) / np.sum(apart**2, axis=-1)[:, None]
    before, after = (z - np.log(np.exp(z).sum(axis=1, keepdims=True)) for z in (logits, logits + along))
    mean = np.einsum("ma,mad->md", np.exp(before), h)[:, None]

    def score(h: np.ndarray, first: int, second: int) -> np.ndarray:
        return np.sum(h[:, first] * (h[:, second] - h[:, first]), axis=-1)

    rest = [np.log(np.exp(z[:, 2:]).sum(axis=1)) for z in (before, after)]
    return {
        "chosen": after[:, 0] - before[:, 0],
        "rejected": after[:, 1] - before[:, 1],
        "bystanders": rest[1] - rest[0],
        "ches": score(h, 0, 1),
        "centred": score(h - mean, 0, 1),
        "other": score(h, 2, 3),
        "shifted": score(h + common, 0, 1),
    }
