"""Networks of the study of Bayes-adaptive training: the prompt's token three times in a row, in three attempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qra_jax import transformer
from qra_jax.algorithm import grpo
from qra_jax.regularizer import k3_loss
from qra_jax.transformer.model import Params
from qra_jax.transformer.sampling import Questions, Rollouts, sample
from qra_jax.transformer.task import NONE, Demonstrations, Verification

TYPES, TRAINED, ATTEMPTS, SPAN = 3, 2, 3, 3
"""Types of a question, those of training prompts, attempts that there is room for, tokens of an attempt."""
QUESTIONS, GROUP, WIDTH, TRUST, EVERY, TESTED, BETA = 8, 8, 32, 0.5, 25, 128, 0.04
"""Of a step; width of the decoder; chance that the type is the prompt's in Bayes-adaptive training; updates
between records, samples that each of these takes, and GRPO's penalty against the base, as published."""
ARMS = {
    "one type, shown": (True, "own"),
    "Bayes-adaptive": (True, "all"),
    "Bayes-adaptive, test type no candidate": (True, "trained"),
    "GRPO, type hidden": (False, "all"),
}
"""Whether the prompt is shown, and the candidates that the type of a training question is drawn from."""


ORDERS = np.stack(np.meshgrid(*[np.arange(TYPES)] * ATTEMPTS, indexing="ij"), -1).reshape(-1, ATTEMPTS)
ROWS = 1 + np.repeat(ORDERS, SPAN, axis=1)
"""All orders of attempts, and their tokens."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Triplets:
    """A prompt of one token; right is what has the token of the question's type three times in a row.

    Attributes:
      chances: `[trained prompts, types]`, distribution of the type for each prompt of training.
      shown: whether training shows the prompt; otherwise a token that is the same for all.
    """

    chances: Array
    shown: Array
    patterns: int = field(default=TYPES, metadata={"static": True})

    # Tokens: padding, types, hidden prompt; none ends a sequence.
    HIDDEN = 1 + TYPES
    vocabulary = 2 + TYPES
    end = 2 + TYPES
    length = ATTEMPTS * SPAN

    def asked(self, prompt: Array, truth: Array) -> Questions:
        """Questions with these prompts and types, `[N]`."""
        return Questions(jnp.where(self.shown, 1 + prompt, self.HIDDEN)[:, None], truth)

    def draw(self, key: Array, number: int) -> Questions:
        """Questions to train on, as many of each prompt."""
        prompt = jnp.arange(number) % self.chances.shape[0]
        return self.asked(prompt, jax.random.categorical(key, jnp.log(self.chances)[prompt]))

    def demonstrations(self, key: Array, number: int) -> Demonstrations:
        """All orders of attempts, equally often, whatever the prompt: those of all types, and the hidden one."""
        prompt = jnp.arange(number) % (1 + TYPES)
        asked = Questions(1 + prompt[:, None], prompt % TYPES)
        tokens = jnp.broadcast_to(jnp.asarray(ROWS)[None], (number, *ROWS.shape))
        shape = tokens.shape[:2]
        return Demonstrations(
            asked,
            tokens,
            jnp.ones(tokens.shape, bool),
            jnp.full(shape, 1 / shape[1]),
            jnp.zeros(shape, int),
            jnp.arange(self.vocabulary) < self.HIDDEN,
            TYPES,
        )

    def solved(self, key: Array, params: Params) -> tuple[Array, Array]:
        """Shares of samples that are right, `[types]`, and with so many triplets for the last prompt, `[attempts]`."""
        asked = self.asked(jnp.arange(TYPES), jnp.arange(TYPES))
        drawn = sample(key, MODEL, params, asked, group=TESTED, length=self.length, end=self.end)
        there = completed(drawn.tokens) < self.length
        right = there[jnp.arange(TYPES), :, jnp.arange(TYPES)]
        number = jnp.sum(there[-1], axis=-1)[:, None] > jnp.arange(ATTEMPTS)[None]
        return jnp.mean(right, axis=-1), jnp.mean(number, axis=0)

    def verify(self, key: Array, questions: Questions, rollouts: Rollouts) -> Verification:
        """Right where the type's triplet is there; the pattern is the type of the first triplet."""
        there = completed(rollouts.tokens)
        right = jnp.take_along_axis(there, questions.truth[:, None, None], axis=-1)[..., 0] < self.length
        some = jnp.any(there < self.length, axis=-1)
        first = jnp.where(some, jnp.argmin(there, axis=-1), NONE)
        return Verification(right, jnp.ones_like(right), first, some, first)

    def kinds(self, tokens: Array) -> Array:
        """All tokens are parts of attempts."""
        return jnp.zeros_like(tokens)


MODEL = transformer.Decoder(Triplets.vocabulary, width=WIDTH, depth=1)


def completed(tokens: Array) -> Array:
    """Place of the last token of the first triplet of each type, the length where there is none: `[..., types]`."""
    own = jnp.stack([tokens == 1 + kind for kind in range(TYPES)], axis=-2)
    three = own[..., 2:] & own[..., 1:-1] & own[..., :-2]
    return jnp.where(jnp.any(three, axis=-1), jnp.argmax(three, axis=-1) + 2, tokens.shape[-1])


def task_of(shown: Any, candidates: str) -> Triplets:
    """The task of an arm: which type a question of training has, given its prompt."""
    if candidates == "own":
        return Triplets(jnp.eye(TRAINED, TYPES), jnp.asarray(shown))
    known = TYPES if candidates == "all" else TRAINED
    among = np.arange(TYPES) < known
    if not shown:
        return Triplets(jnp.tile(jnp.asarray(among / known), (TRAINED, 1)), jnp.asarray(shown))
    own = np.eye(TRAINED, TYPES)
    return Triplets(jnp.asarray(TRUST * own + (1 - TRUST) * (among - own) / (known - 1)), jnp.asarray(shown))


def bases(*, seed: int, seeds: int, steps: int) -> Params:
    """Networks that have learnt to write triplets in any order, whatever the prompt, leading axis `[seeds]`."""
    keys = jax.random.split(jax.random.key(seed), seeds)
    task = task_of(True, "own")
    return transformer.learn(keys, MODEL, task.demonstrations, steps=steps, questions=1 + TYPES).params


def trained(*, seed: int, seeds: int, learnt: int, steps: int, rate: float) -> dict[str, np.ndarray]:
    """Networks of all arms, trained by GRPO with Adam from bases that they share, and tested.

    Args:
      seed: of all random numbers.
      seeds: networks of each arm.
      learnt: updates of the bases.
      steps: updates of GRPO.
      rate: learning rate of Adam.

    Returns:
      `success` `[arms, seeds, records, types]`, share of samples that are right for a prompt of each type (for a hidden
      one, for questions of each type); `tried` `[arms, seeds, attempts]`, share with so many different triplets or more
      for the test prompt at the end; `reward`, of training at the end, and `status`, `[arms, seeds]`.
    """
    tasks = [task_of(*arm) for arm in ARMS.values()]
    rows = jax.tree.map(lambda *x: jnp.repeat(jnp.stack(x), seeds, axis=0), *tasks)
    first = bases(seed=seed, seeds=seeds, steps=learnt)
    starts = jax.tree.map(lambda x: jnp.concatenate([x] * len(tasks)), first)
    keys = jnp.tile(jax.random.split(jax.random.key(seed + 1), seeds), len(tasks))

    def one(key: Array, params: Params, task: Triplets) -> dict[str, Array]:
        options = {"algorithm": grpo(GROUP), "steps": steps, "questions": QUESTIONS, "learning_rate": rate}
        options |= {"regularizers": [k3_loss(BETA)]}
        first, second = jax.random.split(key)
        probe = partial(task.solved, second)
        run = transformer.train(first, MODEL, params, task, record_every=EVERY, probe=probe, **options)
        success, tried = run.seen
        reward = run.stats["reward"][-1]
        return {"success": success, "tried": tried[-1], "reward": reward, "status": run.status}

    found = transformer.side_by_side(one)(keys, starts, rows)
    return {name: np.asarray(x).reshape(len(tasks), seeds, *x.shape[1:]) for name, x in found.items()}
