"""Networks that solve graphs: reinforced, taught, and tried, arms and seeds side by side."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from qra_jax import transformer as tf
from qra_jax.algorithm import grpo
from qra_jax.batching import many
from qra_jax.metrics import pass_at_k_estimate
from qra_jax.studies import lab
from qra_jax.studies.data import _bases as bases
from qra_jax.studies.networks._procedures import numbers_of_tries
from qra_jax.transformer.graphs import Graphs, graphs
from qra_jax.transformer.process import process_gated

GROUP, QUESTIONS = 8, 8
"""Rollouts of a question; questions of a step."""
RATE, TAUGHT, READ = 3e-4, 1e-3, 3e-3
"""Learning rates of Adam: of RL, of supervised steps on a band, and of the second context. They were chosen on one
network. RL on 5–6, 50 steps: 1e-3 loses what it could do, 1e-4 and 3e-4 gain alike. The second context, and for how
long it is read: with 10 % of it nothing is learnt in 120 steps at 1e-3, little in 300, much at 3e-3."""
GATED, OUTCOME = 0.2, 1.0
"""What a right answer without any right line earns: as in the paper, and by the answer alone."""
FIRST, HALF, SECOND = 0.0, 0.5, 1.0
"""Shares of the second context."""


class Amounts(NamedTuple):
    """How much is computed."""

    steps: int
    asked: int
    tries: int
    rooms: tuple[int, ...]
    """Room of arrays for questions within the bases' band, up to `ROOM` operations, and beyond."""
    exposed: int
    """Steps in which rare names are read, of as many sequences as RL samples."""
    later: int
    """Steps of RL after them."""


AMOUNTS = lab.scale(Amounts(2, 4, 16, (9,), 2, 2), Amounts(60, 16, 128, (4, 6, 9), 300, 40))


class Arm(NamedTuple):
    """What one network is asked."""

    band: tuple[int, int]
    second: float = FIRST
    floor: float = GATED


def _task(room: int, low: Any, high: Any, second: Any) -> Graphs:
    return graphs((1, 1), room=room).asking(low, high, second)


@cache
def _reinforcing(size: bases.Size, room: int, steps: int) -> Any:
    model = bases.network(graphs(), size)

    def one(key: Array, params: Any, low: Array, high: Array, second: Array, floor: Array) -> Any:
        options: dict[str, Any] = {"algorithm": grpo(GROUP), "reward": process_gated(floor)}
        options |= {"steps": steps, "questions": QUESTIONS, "learning_rate": RATE, "record_every": steps}
        run = tf.train(key, model, params, _task(room, low, high, second), **options)
        return run.params, run.stats["silent"][0]

    return many(one, block=1, chunk=size.seeds)


@cache
def _teaching(size: bases.Size, room: int, steps: int, rate: float) -> Any:
    model = bases.network(graphs(), size)

    def one(key: Array, params: Any, low: Array, high: Array, second: Array) -> Any:
        task = _task(room, low, high, second)
        options: dict[str, Any] = {"steps": steps, "questions": QUESTIONS * GROUP, "rate": rate}
        return bases.continued(key, model, params, task.demonstrations, **options)

    return many(one, block=1, chunk=size.seeds)


@cache
def _trying(size: bases.Size, room: int, asked: int, tries: int) -> Any:
    model = bases.network(graphs(), size)

    def one(key: Array, again: Array, params: Any, low: Array, high: Array, second: Array) -> Any:
        task = _task(room, low, high, second)
        questions = task.draw(key, asked)
        rollouts = tf.sample(
            jax.random.fold_in(key, again),
            model,
            params,
            questions,
            group=tries,
            length=task.length,
            end=task.end,
        )
        verdict = task.verify(key, questions, rollouts)
        assert verdict.progress is not None
        passed = [jnp.mean(pass_at_k_estimate(verdict.steps, int(k))) for k in numbers_of_tries(tries)]
        return {
            "passed": jnp.stack(passed),
            "line": jnp.mean(verdict.progress),
        }

    return many(one, block=1, chunk=size.seeds)


def _together(seeds: int, arms: list[Arm]) -> list[np.ndarray]:
    """Numbers of arms, each for every seed: low, high, second, floor."""
    rows = np.array([(*arm.band, arm.second, arm.floor) for arm in arms])
    low, high, second, floor = np.repeat(rows, seeds, axis=0).T
    return [low.astype(np.int32), high.astype(np.int32), second, floor]


def _keys(seed: int, seeds: int, number: int) -> Array:
    """The same for every arm, so that arms of a seed are paired."""
    return jnp.tile(jax.random.split(jax.random.key(seed), seeds), number)


class School:
    """Trains and tries networks of the bank's size.

    Args:
      run: the experiment that asks.
    """

    def __init__(self, run: lab.Run) -> None:
        self.size, self.amounts, self.seed = run(bases.SOLVING), run(AMOUNTS), run.seed

    def _room(self, arms: list[Arm]) -> int:
        return min(room for room in self.amounts.rooms if room >= max(arm.band[1] for arm in arms))

    def reinforced(self, networks: list[Any], arms: list[Arm], steps: int) -> tuple[list[Any], np.ndarray]:
        """GRPO from each network, an arm each, and shares of silent groups; all arms need the same room."""
        seeds = self.size.seeds
        run = _reinforcing(self.size, self._room(arms), steps)
        ended, silent = run(
            _keys(self.seed, seeds, len(arms)), bases.together(networks), *_together(seeds, arms)
        )
        return bases.apart(ended, len(arms)), np.asarray(silent).reshape(len(arms), seeds)

    def taught(self, networks: list[Any], arms: list[Arm], steps: int, rate: float = TAUGHT) -> list[Any]:
        """Supervised steps on solutions of each arm's questions; all arms need the same room."""
        teach = _teaching(self.size, self._room(arms), steps, rate)
        keys = _keys(self.seed + 1, self.size.seeds, len(arms))
        return bases.apart(
            teach(keys, bases.together(networks), *_together(self.size.seeds, arms)[:3]), len(arms)
        )

    def tried(self, networks: list[Any], arm: Arm, again: list[int]) -> dict[str, np.ndarray]:
        """Results of every network on the same questions, `[networks, seeds, ...]`; `again` numbers the tries."""
        seeds, number, a = self.size.seeds, len(networks), self.amounts
        run = _trying(self.size, self._room([arm]), a.asked, a.tries)
        lots = np.repeat(np.array(again, np.int32), seeds)
        rows = _together(seeds, [arm] * number)[:3]
        seen = run(_keys(self.seed + 2, seeds, number), lots, bases.together(networks), *rows)
        return {name: np.asarray(x).reshape(number, seeds, *x.shape[1:]) for name, x in seen.items()}
