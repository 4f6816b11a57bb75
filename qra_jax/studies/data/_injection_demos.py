"""Demonstrations of the study of injected behaviours: one working, or more ways to go about it, and SFT on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from qra_jax import transformer as tf
from qra_jax.studies.data import _bases
from qra_jax.studies.data._bases import Size
from qra_jax.transformer.learning import cross_entropy
from qra_jax.transformer.model import Params
from qra_jax.transformer.procedures import PATTERNS, Arithmetic
from qra_jax.transformer.sampling import PAD, Questions
from qra_jax.transformer.task import Demonstrations

VANILLA, INJECTED, SHUFFLED, FOUR = "vanilla", "injected", "shuffled", "four procedures"
SHORT = "vanilla, a tenth"
ARMS = [VANILLA, INJECTED, SHUFFLED, FOUR, SHORT]
"""What SFT shows: one working, the same with behaviours, with behaviours of another question, all procedures, and a
tenth of the first."""
LESS = 0.1
INJECTION = 0.5
"""Share of the demonstrations that behaviours are injected into, half of them of each kind."""
QUESTIONS, PEAK = 32, 3e-3
"""Of a step of SFT, each shown once; its highest learning rate."""
STEPS = 9
"""Most digits of a working: split, and then columns."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Injected(Arithmetic):
    """The arithmetic task with room for a second working."""

    @property
    def most_steps(self) -> int:
        """Most tokens between pattern and marker."""
        return STEPS


def task() -> Injected:
    """Sums of two and three numbers, as those that bases know."""
    plain = _bases.sums()
    return Injected(plain.mixture, plain.base, plain.operations, plain.operands, plain.announced, plain.held)


def model(size: Size) -> tf.Decoder:
    """The decoder of the task."""
    return _bases.network(task(), size)


def demonstrations(key: Array, arm: Array, number: int) -> Demonstrations:
    """One sequence for each of some fresh questions; with behaviours fewer count, so that tokens are as many.

    Vanilla ones show `running`. An exploring one starts with `guess`, a sum without carries as an attempt, and then the
    running totals; an exploiting one works by halves (`split`) and once more by `columns`. Shuffled ones have the
    attempt and the second working of another question.

    Args:
      key: PRNG key.
      arm: number of the arm in `ARMS`; may be traced.
      number: N.

    Returns:
      `[N, 1, T]` sequences, with a weight of one or zero.
    """
    own, keys = task(), jax.random.split(key, 3)
    asked = own.draw(keys[0], number)
    pieces = workings(own, asked, arm)
    kind = jax.random.uniform(keys[1], (number,)) / INJECTION
    which = jnp.where(kind < 0.5, 1, jnp.where(kind < 1, 2, 0))
    which = jnp.where((arm == ARMS.index(VANILLA)) | (arm == ARMS.index(SHORT)), 0, which)
    procedure = jax.random.randint(keys[1], (number,), 3, 3 + own.patterns)
    which = jnp.where(arm == ARMS.index(FOUR), procedure, which)
    tokens = jnp.take_along_axis(pieces, which[:, None, None], axis=1)
    length = jnp.sum(pieces[:, :3] != PAD, axis=-1).mean(axis=0)
    mean = (1 - INJECTION) * length[0] + INJECTION * (length[1] + length[2]) / 2
    kept = jax.random.uniform(keys[2], (number, 1)) < length[0] / mean
    weight = jnp.where((arm == 1) | (arm == 2), kept, True).astype(jnp.float32)
    opens = jnp.arange(own.vocabulary) >= own.first_digit
    place = jnp.argmax(tokens == own.end, axis=-1) - 2
    return Demonstrations(asked, tokens, tokens != PAD, weight, place, opens, 1)


def workings(own: Injected, asked: Questions, arm: Array) -> Array:
    """All sequences of some questions: vanilla, exploring, exploiting, and the four procedures.

    Args:
      own: the task.
      asked: `[N]`.
      arm: number of the arm; behaviours are of the question before where it is the shuffled one.

    Returns:
      `[N, 7, T]`.
    """
    shown = own.show(asked).tokens
    columns, running, split = (PATTERNS.index(name) for name in ("columns", "running", "split"))
    guess = PATTERNS.index("guess")
    _, steps, length = own._worked(asked.truth)
    there = jnp.arange(asked.truth.operands.shape[1])[None] < asked.truth.count[:, None]
    operands = jnp.where(there, asked.truth.operands, 0)
    attempt = jnp.stack(
        [jnp.sum(operands // own.base, axis=1) % own.base, jnp.sum(operands % own.base, axis=1) % own.base],
        axis=-1,
    )
    again = steps[:, columns, :3]
    other = arm == ARMS.index(SHUFFLED)
    attempt, again = (jnp.where(other, jnp.roll(x, 1, axis=0), x) for x in (attempt, again))
    digits = own.first_digit
    explore = shown[:, running]
    explore = jnp.concatenate([explore[:, :1], attempt + digits, explore[:, 1:]], axis=1)[:, : own.length]
    explore = explore.at[:, 0].set(own.first_pattern + guess)
    half, at = shown[:, split], jnp.arange(own.length)[None]
    after = 1 + length[:, split, None]
    inserted = jnp.take_along_axis(
        jnp.pad(again, ((0, 0), (0, own.length))), jnp.maximum(at - after, 0), axis=1
    )
    later = jnp.pad(half, ((0, 0), (3, 0)))[:, : own.length]
    exploit = jnp.where(at < after, half, jnp.where(at < after + 3, inserted + digits, later))
    return jnp.concatenate([jnp.stack([shown[:, running], explore, exploit], axis=1), shown], axis=1)


def taught(bases: Any, size: tuple, steps: int, seed: int) -> Any:
    """Networks after SFT, `[arms, seeds, ...]`; see `further` for the arguments."""
    repeated = jax.tree.map(lambda x: np.broadcast_to(x, (len(ARMS), *x.shape)), bases)
    return further(repeated, size, steps, seed, LESS)


def further(params: Any, size: tuple, steps: int, seed: int, less: float = 1.0) -> Any:
    """Networks after (more) SFT of their arm, by AdamW with a cosine schedule.

    Args:
      params: `[arms, seeds, ...]`, where they start.
      size: of the networks.
      steps: of SFT.
      seed: of the demonstrations; all arms of a base have the same questions.
      less: the share of the steps that the last arm takes.

    Returns:
      `[arms, seeds, ...]`.
    """
    arms, seeds = jax.tree.leaves(params)[0].shape[:2]
    flat = jax.tree.map(lambda x: jnp.asarray(x).reshape(-1, *x.shape[2:]), params)
    keys = jnp.tile(jax.random.split(jax.random.key(seed), seeds), arms)
    count = jnp.repeat(jnp.where(jnp.arange(arms) == ARMS.index(SHORT), round(less * steps), steps), seeds)
    out = _teacher(size)(flat, jnp.repeat(jnp.arange(arms), seeds), keys, count)
    return jax.tree.map(lambda x: np.asarray(x).reshape(arms, seeds, *x.shape[1:]), out)


@lru_cache
def _teacher(size: tuple) -> Callable[..., Any]:
    """SFT of networks side by side, compiled once: `(params, arm, key, steps) -> params`."""
    network = model(Size(*size))

    def one(params: Params, arm: Array, key: Array, steps: Array) -> Params:
        warm = steps / 20

        def rate(at: Any) -> Array:
            along = jnp.maximum(at - warm, 0) / (steps - warm)
            return PEAK * jnp.minimum((at + 1) / (warm + 1), 1) * (1 + jnp.cos(jnp.pi * along)) / 2

        optimiser = optax.adamw(rate, b2=0.95, weight_decay=1e-4)

        def step(index: Array, state: Any) -> Any:
            params, memory = state
            shown = demonstrations(jax.random.fold_in(key, index), arm, QUESTIONS)
            slope = jax.grad(lambda p: cross_entropy(network, p, shown))(params)
            change, memory = optimiser.update(slope, memory, params)
            change = jax.tree.map(lambda c, p: c.astype(p.dtype), change, params)
            return optax.apply_updates(params, change), memory

        return jax.lax.fori_loop(0, steps, step, (params, optimiser.init(params)))[0]

    return tf.side_by_side(one)
