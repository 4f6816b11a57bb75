"""Ways of mixing SFT and RL on many questions at once, at equal steps and equal demonstrations."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from qra_jax import recipe, theory
from qra_jax.algorithm import grpo
from qra_jax.batching import many
from qra_jax.problem import Problem

PATTERNS, FEATURES, GROUP, SHARE = 4, 16, 8, 0.8
"""SHARE: x, of demonstrations of r* among the model's own choices."""
TIME, STEPS, PARTS, SAVES = 50.0, 300, 5, 60
"""Time of a run; steps; SFT that comes before RL takes the first of so many equal parts of the steps; times saved."""
ALONE, LONGEST, OPEN, CHUNK = 1e3, 0.8, 1e-9, 8
"""Weight (at a rate as much smaller) at which RL does not count beside SFT; largest part of the time that SFT before RL
may take, where it does not get through its demonstrations; a gate that is open."""
RL, SFT, BEFORE, EVERY, FIRST, BETWEEN, OWN = (
    *("RL alone", "SFT alone", "SFT, then RL", "SFT at every step"),
    *("SFT on unsolved, then RL", "interleaved", "interleaved own choices"),
)
METHODS = (RL, SFT, BEFORE, EVERY, FIRST, BETWEEN)
"""OWN is the control without demonstrations."""

Population = tuple[Problem, Array, Array]
"""Questions `[populations, questions, patterns]`, their shared features, and how much of them is shared."""


def population(seed: int, size: int, questions: int, rival: float, overlap: float) -> Population:
    """Random questions: log π_ref(r*) uniform from 10⁻⁶ to 10^−.5, p* from .8 to 1, one rival of a given rate.

    Args:
      seed: of the draws; other settings of one seed have the same draws.
      size: populations.
      questions: of each.
      rival: success rate of the second pattern; the others are never right.
      overlap: s, share of the squared features that questions have in common.
    """
    rng, shape = np.random.default_rng(seed), (size, questions)
    best = 10 ** rng.uniform(-6, -0.5, (*shape, 1))
    others = (1 - best) * rng.dirichlet(np.ones(PATTERNS - 1), shape)
    success = np.zeros((*shape, PATTERNS))
    success[..., 0], success[..., 1] = rng.uniform(0.8, 1, shape), rival
    rows = rng.normal(size=(*shape, PATTERNS, FEATURES)) / np.sqrt(FEATURES)
    log_ref = jnp.log(np.concatenate([best, others], axis=-1))
    return Problem(log_ref, jnp.asarray(success)), jnp.asarray(rows), jnp.full(size, overlap)


def numbers(method: str, amount: Any) -> np.ndarray:
    """Weight of SFT and learning rate, in the first part of the steps and in the others.

    Args:
      method: one of METHODS, or OWN.
      amount: `[...]`, the weight w of interleaved SFT; of the other methods the time of SFT, in units of demonstrations
        for each question that it looks at.

    Returns:
      `[..., 2, 2]`, (weight, rate) early and late.
    """
    amount = np.asarray(amount, float)
    zero, rate = np.zeros_like(amount), np.full_like(amount, TIME / STEPS)
    first, rest = amount * PARTS / STEPS, (TIME - amount) * PARTS / (STEPS * (PARTS - 1))
    both = {
        RL: (zero, rate, zero, rate),
        SFT: (zero + ALONE, first / ALONE, zero, zero),
        BEFORE: (zero + ALONE, first / ALONE, zero, rest),
        EVERY: (amount / TIME, rate, amount / TIME, rate),
        FIRST: (zero + ALONE, first / ALONE, zero, rest),
        BETWEEN: (amount, rate, amount, rate),
        OWN: (amount, rate, amount, rate),
    }
    return np.stack(both[method], axis=-1).reshape(*amount.shape, 2, 2)


def run(
    questions: Population,
    method: str,
    amount: Any,
    *,
    sampled: bool = False,
    share: Any = SHARE,
    gate: float = float(GROUP),
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A method on all populations, `amount` and `share` being `[..., populations or 1]`.

    Args:
      questions: from `population`.
      method: one of METHODS, or OWN.
      amount: as for `numbers`.
      sampled: whether groups and demonstrations are sampled, or expected.
      share: x, of demonstrations of r*.
      gate: G of the gate (1 − ρ)^G of SFT on unsolved questions; sampled, it is the group itself.
      seed: of the samples.

    Returns:
      Accuracy at the end `[..., populations, questions]`, demonstrations for a question `[..., populations]`, mean
      accuracy on the way `[..., populations, saves]`.
    """
    size, gated = questions[2].shape[0], method in (FIRST, BETWEEN, OWN)
    amount, share, _ = np.broadcast_arrays(np.asarray(amount, float), share, np.empty(size))
    lanes = amount.size
    program = _RUNS[gated] if sampled else _MEAN
    accuracy, given, path = program(
        *jax.tree.map(lambda x: jnp.concatenate([x] * (lanes // size)), questions),
        (0.0 if method == OWN else 1.0) * share.ravel(),
        np.full(lanes, gate if gated else OPEN),
        numbers(method, amount).reshape(-1, 2, 2),
        jax.random.split(jax.random.key(seed), lanes),
    )
    shape = amount.shape
    return (
        np.asarray(accuracy).reshape(*shape, -1),
        np.asarray(given).reshape(shape),
        np.asarray(path).reshape(*shape, -1),
    )


def time_first(questions: Population, given: np.ndarray, gate: float = float(GROUP)) -> np.ndarray:
    """For how long SFT on unsolved questions comes first, to take as many demonstrations `[populations]` as given."""
    time = given
    for _ in range(3):
        took = run(questions, FIRST, time, gate=gate)[1]
        time = np.minimum(time * given / took, LONGEST * TIME)
    return time


def compare(questions: Population, weight: float, seed: int) -> xr.Dataset:
    """All methods at the demonstrations that interleaving with a weight takes.

    Args:
      questions: from `population`.
      weight: w of the interleaved SFT.
      seed: of the samples.

    Returns:
      `[way, population]`: expected `accuracy`, `sampled` accuracy (NaN for OWN), demonstrations `given` for a question;
      and `path`, expected accuracy on the way, mean over populations, `[way, step]`.
    """
    weights = np.full(questions[2].shape[0], weight)
    given = run(questions, BETWEEN, weights)[1]
    amounts = dict.fromkeys(METHODS, given) | {BETWEEN: weights, OWN: weights}
    amounts[FIRST] = time_first(questions, given)
    mean = [run(questions, method, amount) for method, amount in amounts.items()]
    drawn = [run(questions, m, amounts[m], sampled=True, seed=seed)[0].mean(axis=-1) for m in METHODS]
    accuracy, taken, path = (np.stack(part) for part in zip(*mean, strict=True))
    values = {"accuracy": accuracy.mean(axis=-1), "given": taken}
    values["sampled"] = np.stack([*drawn, np.full_like(given, np.nan)])
    variables: dict[str, Any] = {name: (("way", "population"), x) for name, x in values.items()}
    variables["path"] = (("way", "step"), path.mean(axis=1))
    steps = np.arange(1, SAVES + 1) * STEPS / SAVES
    return xr.Dataset(variables, {"way": list(amounts), "step": steps})


def qualities(questions: Population, weights: list[float], shares: np.ndarray) -> xr.Dataset:
    """SFT at every step, and interleaved at weight one, against the share of r* in the data; questions without rival.

    Args:
      questions: from `population`.
      weights: w of SFT at every step.
      shares: x, shares of r*.

    Returns:
      Accuracy `[weight, share, population]` of `every`, of its `rest` point, and the largest distance from it (`off`)
      and from that of another weight (`off_other`), over the questions whose dose is at most half of the run; `gated`,
      accuracy of interleaved training, `[share, population]`.
    """
    every = run(questions, EVERY, TIME * np.array(weights)[:, None, None], share=shares[:, None])[0]
    gated = run(questions, BETWEEN, 1.0, share=shares[:, None])[0]
    ref, success = (np.asarray(x[..., 0]) for x in (questions[0].ref, questions[0].success))
    x = shares[:, None, None]
    rest = np.stack([theory.rest_point(w, (1 - x) * ref + x, success, grpo(GROUP)) for w in weights])
    done = np.log(1 / ref) / (2 * x) < TIME / 2
    off, other = (np.where(done, np.abs(every - point), 0).max(axis=-1) for point in (rest, rest[::-1]))
    values = {"every": every.mean(axis=-1), "rest": rest.mean(axis=-1), "off": off, "off_other": other}
    dims = ("weight", "share", "population")
    variables: dict[str, Any] = {name: (dims, value) for name, value in values.items()}
    variables["gated"] = (dims[1:], gated.mean(axis=-1))
    return xr.Dataset(variables, {"weight": weights, "share": shares})


def _one(
    gated: bool,
    runner: str,
    problem: Problem,
    rows: Array,
    overlap: Array,
    share: Array,
    gate: Array,
    halves: Array,
    key: Array,
) -> tuple[Array, Array, Array]:
    questions = rows.shape[0]
    own = jnp.eye(questions * PATTERNS).reshape(questions, PATTERNS, -1)
    features = jnp.concatenate([jnp.sqrt(1 - overlap) * own, jnp.sqrt(overlap) * rows], axis=-1)
    weight, rate = (jnp.concatenate([x[:1], jnp.repeat(x[1:], PARTS - 1)]) for x in halves.T)
    phase = recipe.interleaved(
        demonstrations=share,
        unsolved=gate if gated else None,
        weight=recipe.Schedule(weight, "step"),
        learning_rate=recipe.Schedule(rate, "step"),
        steps=STEPS,
        algorithm=grpo(GROUP),
        runner=runner,
    )
    found = recipe.Recipe((phase,)).run(problem, key=key, features=features, saves=SAVES)
    assert found.path is not None
    path = jnp.einsum("sqr,qr->s", jnp.exp(found.path[0]), problem.success) / questions
    # Where there is SFT late, the rate is the same as early.
    return found.accuracy, found.demonstrations[0] * rate[0] / questions, path


_MEAN = many(partial(_one, True, "mean"), block=CHUNK, chunk=CHUNK)
_RUNS = {gated: many(partial(_one, gated, "sampled"), block=CHUNK, chunk=CHUNK) for gated in (False, True)}
