"""Networks of the study of hints: worlds, arms that differ in numbers alone, and what networks can do after each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

import qra_jax as qra
from qra_jax import transformer as tf
from qra_jax.studies import lab
from qra_jax.studies.data import _bases
from qra_jax.transformer import penalty
from qra_jax.transformer.hints import QUARTERS, hinted
from qra_jax.transformer.reward import SequenceReward
from qra_jax.transformer.sampling import Questions

STAGES, GROUP = 5, 8
"""Stages of a run, Adam beginning anew in each; rollouts of a question."""
PIECES = QUARTERS + 1
"""Quarters of a solution, and its answer."""


class Arm(NamedTuple):
    """Chances of the levels in each stage; whether hints are those of other questions."""

    chances: np.ndarray
    wrong: bool = False


def _levels(*chances: float | int) -> np.ndarray:
    return np.broadcast_to(np.asarray(chances) / sum(chances), (STAGES, PIECES))


ALONE, EVERY = _levels(1, 0, 0, 0, 0), _levels(1, 1, 1, 1, 1)
DOWN = np.asarray([[0, 0, 0, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0], [1, 1, 0, 0, 0], [2, 0, 0, 0, 0]]) / 2
NONE, ALL, FALLING = "no hints", "all levels", "annealed"
WITHOUT, LAST, FALSE = "levels 1 to 4", "level 4 only", "wrong hints"
ARMS = {
    NONE: Arm(ALONE),
    ALL: Arm(EVERY),
    FALLING: Arm(DOWN),
    WITHOUT: Arm(_levels(0, 1, 1, 1, 1)),
    LAST: Arm(_levels(0, 0, 0, 0, 1)),
    FALSE: Arm(EVERY, wrong=True),
}
TAUGHT = 1e-3
"""Learning rate of supervised steps."""
SHARES = ("equal sequences", "equal questions")
"""Solutions that supervised learning sees at a step: as many as there are rollouts, or one for each question."""


@dataclass(frozen=True)
class World:
    """Hard questions, networks, and how long they are trained.

    Attributes:
      task: the questions.
      size: of the networks.
      bases: the networks before RL.
      asked: questions of a step.
      steps: updates of a stage.
      rate: learning rate of RL.
      tested: fresh questions that the networks are read on.
      arms: names of `ARMS`.
    """

    task: Callable[[], Any]
    size: Any
    bases: Callable[[lab.Run], Any]
    asked: int
    steps: Any
    rate: float
    tested: Any
    arms: tuple[str, ...] = tuple(ARMS)


GRAPHS = World(
    lambda: _bases.read().asking(6, 6),
    _bases.SOLVING,
    _bases.solvers,
    asked=4,
    steps=lab.scale(1, 12),
    rate=2e-4,
    tested=lab.scale(16, 128),
)
"""Graphs of six operations, of which one in a hundred questions of the bases' corpus was."""
SUMS = World(
    lambda: _bases.sums().with_operands((3,)),
    _bases.SKILLED,
    _bases.skilled,
    asked=8,
    steps=lab.scale(3, 10),
    rate=5e-4,
    tested=lab.scale(32, 256),
    arms=(NONE, ALL, WITHOUT, LAST),
)
"""Sums of three numbers, by four procedures."""


def _whole(params: dict[str, Any], key: Array, rollouts: Any, verdict: Any) -> Array:
    return (verdict.right & verdict.formatted & verdict.steps).astype(rollouts.log_prob.dtype)


WHOLE = SequenceReward("whole solution", _whole)
"""1 for a solution without a mistake: of seven answers one may be guessed."""


def chances(model: tf.Decoder, params: Any, task: Any, questions: Questions) -> dict[str, Array]:
    """Chances of each solution's first token, and of its quarters and answer given what stands before.

    Returns:
      `first`, `[N, n]`, and `piece`, `[N, n, 5]`.
    """
    shown, hints = task.show(questions), hinted(task)
    log_probs = penalty.at(tf.rl.log_probs(model, params, questions, shown.tokens), shown.tokens)
    log_probs = jnp.where(shown.where, log_probs, 0.0)
    sums = jnp.pad(jnp.cumsum(log_probs, axis=-1), ((0, 0), (0, 0), (1, 0)))
    ends = [hints.given(level, shown.answer_at) for level in range(PIECES)]
    at = jnp.stack([*ends, jnp.full_like(ends[0], task.length)], axis=-1)
    return {
        "first": jnp.exp(log_probs[..., 0]),
        "piece": jnp.exp(jnp.diff(jnp.take_along_axis(sums, at, axis=-1), axis=-1)),
    }


def _cells(
    run: lab.Run, world: World, function: Any, rows: dict[str, Any], axis: str, names: Any
) -> xr.Dataset:
    """`function(key, params, tested, row)` for every row and seed, with the same random numbers in all rows."""
    seeds, task = run(world.size).seeds, world.task()
    made, table = (jax.tree.map(jnp.asarray, each) for each in (world.bases(run), rows))
    tested = task.draw(jax.random.fold_in(jax.random.key(run.shared_seed), 1), run(world.tested))
    shared = jax.tree.map(lambda x: jnp.broadcast_to(x, (seeds, *x.shape)), tested)  # arguments, no constants

    def one(cell: Any) -> dict[str, Array]:
        params, asked = jax.tree.map(lambda leaf: leaf[cell.seed], (made, shared))
        row = jax.tree.map(lambda leaf: leaf[cell.row], table)
        return function(jax.random.fold_in(run.key, cell.seed), params, asked, row)

    axes = {"row": np.arange(len(names)), "seed": np.arange(seeds)}
    more = ["stage", "question", "pattern"]
    dims = {"first": more, "piece": [*more, "part"], "tokens": ["window"], "right": ["window"]}
    found = lab.cells(one, axes=axes, dims=dims, block=1, say=run.say)
    return found.rename(row=axis).assign_coords({axis: list(names)})


def trained(run: lab.Run, world: World) -> xr.Dataset:
    """All arms: `first` and `piece` of the test questions after each stage, tokens and right answers of a step."""
    task, steps = world.task(), run(world.steps)
    model = _bases.network(task, run(world.size))

    def function(key: Array, params: Any, asked: Questions, row: dict[str, Array]) -> dict[str, Array]:
        def stage(params: Any, now: tuple[Array, Array]) -> tuple[Any, Any]:
            index, levels = now
            made = tf.train(
                jax.random.fold_in(key, index),
                model,
                params,
                hinted(task, levels, wrong=row["wrong"]),
                algorithm=qra.grpo(GROUP),
                steps=steps,
                questions=world.asked,
                learning_rate=row["rate"],
                reward=WHOLE,
                record_every=steps,
                probe=lambda params: chances(model, params, task, asked),
            )
            return made.params, (made.seen, {name: made.stats[name][0] for name in ("tokens", "right")})

        _, (seen, stats) = jax.lax.scan(stage, params, (jnp.arange(STAGES), row["chances"]))
        return jax.tree.map(lambda x: jnp.concatenate([x[:, 0], x[-1:, 1]]), seen) | stats

    arms = [ARMS[name] for name in world.arms]
    rows = {name: np.stack([getattr(arm, name) for arm in arms]) for name in Arm._fields}
    rows["chances"] = rows["chances"].astype(np.float32)
    rows["rate"] = np.broadcast_to(np.asarray(world.rate, np.float32), len(arms))
    return _cells(run, world, function, rows, "arm", world.arms)


def taught(run: lab.Run, world: World) -> xr.Dataset:
    """Supervised learning of whole solutions of the same questions, by as many steps of Adam, on two budgets."""
    task, steps = world.task(), STAGES * run(world.steps)
    model, most = _bases.network(task, run(world.size)), world.asked * GROUP

    def function(key: Array, params: Any, asked: Questions, row: dict[str, Array]) -> dict[str, Array]:
        def corpus(key: Array, number: int) -> tf.Demonstrations:
            shown = task.demonstrations(key, number)
            used = (jnp.arange(number) < row["shown"])[:, None]
            return replace(shown, weight=jnp.where(used, shown.weight * number / row["shown"], 0.0))

        options = {"steps": steps, "questions": most, "rate": TAUGHT}
        later = _bases.continued(key, model, params, corpus, **options)
        return jax.tree.map(lambda x: x[None], chances(model, later, task, asked))

    rows = {"shown": np.asarray([most, world.asked], np.float32)}
    return _cells(run, world, function, rows, "budget", SHARES)
