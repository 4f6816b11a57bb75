"""What the networks of the echo chamber are taught, how they are trained, and what is read from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from qra_jax import transformer as tf
from qra_jax.algorithm import filtered_sft, grpo, rloo, switch
from qra_jax.metrics import pass_at_k_estimate
from qra_jax.regularizer import reverse_kl
from qra_jax.studies import lab
from qra_jax.studies.data._bases import SKILLED, Size, continued, network, sums
from qra_jax.studies.networks._procedures import numbers_of_tries
from qra_jax.transformer.formats import Formats, formats
from qra_jax.transformer.learning import cosine
from qra_jax.transformer.procedures import PATTERNS, Arithmetic

SHORT, LONG, GUESS = (PATTERNS.index(name) for name in ("columns", "split", "guess"))
GROUP, QUESTIONS, SHOWN = 8, 16, 8
"""Rollouts of a question, questions of a step of RL, and of one of supervised learning (16 sequences each)."""
RULES = {"GRPO": grpo(GROUP), "RLOO": rloo(GROUP), "expert iteration": filtered_sft().with_group_size(GROUP)}
FREQUENT, RARE, FIRST = 0.62, 0.28, 0.85
"""Shares in the corpus: those of the paper's case; and of a set that leaves 5 per cent to each of the others."""
GOOD, POOR = 0.9, 0.5
"""Qualities of the two sets."""


class Extent(NamedTuple):
    """How much is computed: steps of practice, supervised learning and RL, rates, questions and samples to be read."""

    practice: int
    teach: int
    rate: float
    steps: int
    every: int
    learning_rate: float
    asked: int
    forced: int
    tries: int


EXTENT = lab.scale(
    Extent(40, 40, 3e-3, 32, 8, 1e-3, 8, 8, 16), Extent(400, 200, 3e-3, 120, 6, 1e-3, 16, 16, 64)
)
SMALL = lab.scale(SKILLED.quick, SKILLED.full._replace(width=24))
"""The smaller networks, taught as long as the larger ones, which are the shared `SKILLED`. Quick ones are no
smaller, so that the same programs serve both: the quick version says nothing of size."""


class Corpus(NamedTuple):
    """Shares and qualities of the short and the long format; the two others share the rest, poor."""

    short: float
    long: float
    short_right: float
    long_right: float


CORPORA = {
    "frequent right": Corpus(FREQUENT, RARE, GOOD, POOR),
    "rare right": Corpus(FREQUENT, RARE, POOR, GOOD),
    "very rare right": Corpus(FIRST, 0.05, POOR, GOOD),
}
"""The short format, columns, is the frequent one in all of them."""


def task() -> Arithmetic:
    """Sums of two numbers, a sixteenth of them held out."""
    return sums(operands=(2,))


def corpus(of: Corpus, quality: float | None = None) -> Formats:
    """The mixture with these shares, and these qualities or another."""
    shares, right = np.full(len(PATTERNS), (1 - of.short - of.long) / 2), np.full(len(PATTERNS), POOR)
    shares[[SHORT, LONG]], right[[SHORT, LONG]] = of[:2], of[2:]
    return formats(task(), shares, quality=right if quality is None else quality)


def practised(params: Any, size: tuple, steps: int, seed: int) -> Any:
    """Networks `[seeds, ...]` after practice of all formats on the task, right and in equal shares."""
    own, keys = Size(*size), jax.random.split(jax.random.key(seed), jax.tree.leaves(params)[0].shape[0])
    options: dict[str, Any] = {"steps": steps, "learning_rate": own.rate, "questions": QUESTIONS}
    begun = jax.tree.map(jnp.asarray, params)
    return tf.learn(keys, network(task(), own), task().demonstrations, params=begun, **options).params


@lru_cache
def supervised(size: Size, extent: Extent) -> Callable[..., Any]:
    """Continues networks on a corpus each, side by side: `(key, params, shares, quality) -> params`."""
    model, rate = network(task(), size), cosine(extent.rate, extent.teach)
    optimiser = optax.adamw(rate, b2=0.95, weight_decay=1e-4)

    def teach(key: Array, params: Any, shares: Array, quality: Array) -> Any:
        corpus = Formats(task(), shares, quality).demonstrations
        options: dict[str, Any] = {"steps": extent.teach, "questions": SHOWN, "optimizer": optimiser}
        return continued(key, model, params, corpus, **options)

    return tf.side_by_side(teach)


@lru_cache
def measured(size: Size, extent: Extent) -> Callable[..., Any]:
    """Reads networks, side by side: `(key, lots, params) ->` rates of paid answers, policy, accuracy and pass@k."""
    model, asks = network(task(), size), task()
    options: dict[str, Any] = {"length": asks.length, "end": asks.end}

    def look(key: Array, again: Array, params: Any) -> dict[str, Array]:
        keys = jax.random.split(key)
        lots = jax.random.split(jax.random.fold_in(key, 2 + again))
        asked, held = asks.draw(keys[0], extent.asked), asks.draw(keys[1], extent.asked, held=True)
        opening = jnp.tile(asks.first_pattern + jnp.arange(asks.patterns), extent.forced)
        opening = jnp.broadcast_to(opening[None, :, None], (asked.number, len(opening), 1))
        drawn = tf.sample(lots[0], model, params, asked, group=opening.shape[1], opening=opening, **options)
        said = asks.verify(lots[0], asked, drawn)
        paid = (said.right & said.formatted).reshape(asked.number, extent.forced, asks.patterns)
        tried = tf.sample(lots[1], model, params, held, group=extent.tries, **options)
        said = asks.verify(lots[1], held, tried)
        solved = said.right & said.steps & (said.pattern != GUESS)
        passed = [jnp.mean(pass_at_k_estimate(solved, int(k))) for k in numbers_of_tries(extent.tries)]
        read = tf.read_out(model, params, asks.show(asked))
        return {
            "rate": jnp.mean(paid.astype(jnp.float32), axis=(0, 1)),
            "policy": jnp.mean(read.policy, axis=0),
            "passed": jnp.stack(passed),
        }

    return tf.side_by_side(look)


@lru_cache
def reinforced(size: Size, extent: Extent, seed: int) -> Callable[..., Any]:
    """Trains networks, side by side: `(key, params, rule, beta, coin) ->` what was seen, parameters."""
    model, paid = network(task(), size), task()
    asked = jax.jit(lambda key: paid.draw(key, extent.asked))(jax.random.key(seed))

    def look(params: Any) -> dict[str, Array]:
        read = tf.read_out(model, params, paid.show(asked))
        return {"policy": jnp.mean(read.policy, axis=0), "accuracy": jnp.mean(read.accuracy)}

    def train(key: Array, params: Any, rule: Array, beta: Array, coin: Array) -> Any:
        errs = jnp.where(coin > 0, 0.5, 0.0)
        options: dict[str, Any] = {"steps": extent.steps, "record_every": extent.every, "probe": look}
        options |= {"learning_rate": extent.learning_rate, "questions": QUESTIONS, "penalty": "sequence"}
        options["reward"] = tf.reward.verifiable(1 - errs, errs)
        options["regularizers"] = [reverse_kl(beta)]
        run = tf.train(key, model, params, paid, algorithm=switch(rule, RULES.values()), **options)
        return run.seen, run.params

    return tf.side_by_side(train)
