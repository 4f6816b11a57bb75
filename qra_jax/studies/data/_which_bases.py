"""Bases of the study `which-recipe`: networks that learn sums of three numbers, and are stopped early.

The sums are worked out in one way, so that each question has one solution, and the probability of that is pass@1
exactly.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from qra_jax import transformer as tf
from qra_jax.studies import lab
from qra_jax.transformer import penalty, rl
from qra_jax.transformer.procedures import PATTERNS, Arithmetic, arithmetic
from qra_jax.transformer.sampling import PAD, Questions

SPLIT = PATTERNS.index("split")


class Size(NamedTuple):
    """How much is computed."""

    seeds: int
    width: int
    depth: int
    most: int
    """Steps in which a base reaches the highest level, at most."""
    marks: tuple[int, ...]
    """Steps after which networks are looked at."""
    judged: int
    """Questions that they are judged by."""
    levels: tuple[float, ...]
    """Pass@1 at which bases are stopped."""


QUICK = Size(3, 24, 2, 1000, (0, 8, 16), 32, (0.002, 0.05, 0.2))
FULL = Size(8, 32, 2, 8000, (0, 16, 32, 64), 96, (0.002, 0.01, 0.05, 0.2, 0.5))
SIZE = lab.scale(QUICK, FULL)
EVERY, READ, LEARNING = 25, 32, 3e-3
"""Steps after which a base may be stopped; questions of its steps; its learning rate."""


def task() -> Arithmetic:
    """Sums of three numbers of two digits to the base 4, worked out in two halves."""
    return arithmetic(4, operands=(3,), mixture=np.eye(len(PATTERNS))[SPLIT], held=0.0)


def solutions(questions: Questions) -> Array:
    """The solution of each question, `[N, T]`."""
    return task().show(questions).tokens[:, SPLIT]


def network(size: Size) -> tf.Decoder:
    """The decoder of a size."""
    return tf.Decoder(task().vocabulary, width=size.width, depth=size.depth)


def said(model: Any, params: Any, asked: Questions, tokens: Array) -> Array:
    """Log-probability of each token of given sequences, `[N, G, T]`; 0 after their end."""
    return jnp.where(tokens != PAD, penalty.at(rl.log_probs(model, params, asked, tokens), tokens), 0.0)


def solved(model: Any, params: Any, asked: Questions, right: Array) -> Array:
    """Probability of the solution of each question, `[N]`."""
    return jnp.exp(jnp.sum(said(model, params, asked, right[:, None])[:, 0], axis=-1))


@cache
def _taught(size: Size) -> Any:
    """One base: a function of its key, to its parameters at each level, and the steps it took."""
    model, asked = network(size), task()
    adam = optax.adamw(LEARNING, b2=0.95, weight_decay=1e-4)

    def base(key: Array) -> dict[str, Any]:
        judged = asked.draw(jax.random.fold_in(key, size.most), size.judged)
        right = solutions(judged)

        def step(i: Array, state: Any) -> Any:
            params, memory = state
            read = asked.draw(jax.random.fold_in(key, i), READ)
            tokens = solutions(read)[:, None]
            slope = jax.grad(lambda p: -jnp.sum(said(model, p, read, tokens)) / READ)(params)
            change, memory = adam.update(slope, memory, params)
            return optax.apply_updates(params, change), memory

        def window(state: Any) -> Any:
            moving, kept, when, first = state
            moving = jax.lax.fori_loop(first, first + EVERY, step, moving)
            rate = jnp.mean(solved(model, moving[0], judged, right))
            there = rate >= jnp.asarray(size.levels)
            keep = lambda old, new: jnp.where((when < 0).reshape(-1, *[1] * new.ndim), new, old)  # noqa: E731
            kept = jax.tree.map(keep, kept, moving[0])  # of a level that is never reached: the last one
            return moving, kept, jnp.where(there & (when < 0), first + EVERY, when), first + EVERY

        def waits(state: Any) -> Array:
            return jnp.any(state[2] < 0) & (state[3] < size.most)

        params, number = tf.init(jax.random.fold_in(key, size.most + 1), model), len(size.levels)
        kept = jax.tree.map(lambda x: jnp.broadcast_to(x, (number, *x.shape)), params)
        start = (params, adam.init(params)), kept, jnp.full(number, -1), jnp.asarray(0)
        _, kept, when, _ = jax.lax.while_loop(waits, window, start)
        return {"params": kept, "stopped": when}

    return tf.side_by_side(base)


def taught(size: tuple, seed: int) -> Any:
    """Bases stopped at each level: parameters `[seeds, levels, ...]`, and steps `[seeds, levels]`."""
    size = Size(*size)
    return _taught(size)(jax.random.split(jax.random.key(seed), size.seeds))
