"""Networks of the study of preferences: GRPO and DPO at equal rollouts, and DPO on single pairs."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from qra_jax import transformer
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem, stack
from qra_jax.studies.networks._bases import learnt
from qra_jax.studies.networks._sequences import language
from qra_jax.transformer.model import Model, Params
from qra_jax.transformer.preferences import log_likelihoods, prefer, similarity
from qra_jax.transformer.reward import SequenceReward, verifiable
from qra_jax.transformer.sampling import Questions, Rollouts
from qra_jax.transformer.task import Controlled, Verification

GROUP, BETA, WIDTH, EVERY = 8, 0.1, 32, 8
DPO = {"DPO, iterated": (False, False), "DPO, offline": (True, False), "DPO, longest": (False, True)}
"""Whether pairs come from the reference, and whether the longest right sequence is chosen."""
PUSHES, PUSH = 10, 0.02
"""Steps of gradient descent on a single pair, and their learning rate over β/2."""


def task_of(questions: int) -> Controlled:
    """Questions with three patterns: the longer, the less often right, whatever their answer says."""
    one = Problem.from_probs(ref=[0.2, 0.5, 0.3], success=[0.8, 0.5, 0.25])
    return transformer.controlled(stack([one] * questions), steps=(1, 2, 3), coin=True)


def bases(task: Controlled, *, seed: int, seeds: int, steps: int) -> Params:
    """Networks that have learnt the corpus of a task, leading axis `[seeds]`."""
    made = learnt((task,), model_of(task), seed=seed, seeds=seeds, steps=steps)
    return jax.tree.map(lambda leaf: leaf[0], made)


def model_of(task: Controlled) -> Model:
    """A small decoder for a task."""
    return transformer.Decoder(task.vocabulary, width=WIDTH, depth=1)


def known(task: Controlled) -> tuple[Questions, Array, Array]:
    """All questions of a task, and all announced sequences: tokens, and which count, `[N, patterns · answers, T]`."""
    every, count = language(task), task.patterns * task.choices
    return every.shown.questions, every.tokens[:, :count], every.where[:, :count]


def preferred(longest: Any) -> SequenceReward:
    """What makes the best and the worst of a group the released pairs of iterated DPO, or random ones: one program.

    Right sequences earn 1, or else their length where `longest`; a group without a wrong one earns nothing at all.
    """
    return SequenceReward("right, or its length", _preferred, {"longest": longest})


def _preferred(params: dict[str, Any], key: Array, rollouts: Rollouts, verdict: Verification) -> Array:
    right = verifiable()(key, rollouts, verdict)
    mixed = jnp.any(right == 0, axis=-1, keepdims=True)
    return jnp.where(mixed, right * jnp.where(params["longest"], rollouts.length, 1), 0.0)


def trained(
    key: Array, params: Params, task: Controlled, *, rate: Any, steps: int, dpo: tuple[Any, Any] | None = None
) -> dict[str, Array]:
    """One network trained on all questions by GRPO or DPO, read on all announced sequences along the way.

    Args:
      key: PRNG key.
      params: where it starts.
      task: what it is asked.
      rate: learning rate of Adam; traced.
      steps: updates.
      dpo: an entry of `DPO`, traced; default: GRPO.

    Returns:
      `[times]` each, means over questions: `accuracy`, `chosen` and `rejected` (log-likelihoods of sequences, as often
      as they are right or wrong in samples of the base), `outside`, mass of all sequences that are in no pair; `length`
      `[times − 1]`, of samples; `status`.
    """
    model = model_of(task)
    asked, tokens, where = known(task)

    def look(now: Params) -> Array:
        return log_likelihoods(model, now, asked, tokens, where)

    common: dict[str, Any] = {"steps": steps, "questions": task.number, "learning_rate": rate}
    common |= {"record_every": EVERY, "probe": look}
    if dpo is None:
        run = transformer.train(key, model, params, task, algorithm=grpo(GROUP), **common)
    else:
        offline, longest = dpo
        pairs = {"pairing": "extremes", "reward": preferred(longest), "iterated": jnp.logical_not(offline)}
        run = prefer(key, model, params, task, beta=BETA, group_size=GROUP, **pairs, **common)
    mass = jnp.exp(run.seen)
    right = jnp.repeat(task.problem.success, task.choices, axis=-1)
    first = {"chosen": mass[0] * right, "rejected": mass[0] * (1 - right)}
    likelihood = {
        name: jnp.mean(jnp.sum(share[None] * run.seen, axis=-1) / jnp.sum(share, axis=-1)[None], axis=-1)
        for name, share in first.items()
    }
    return likelihood | {
        "accuracy": jnp.mean(jnp.sum(mass * right[None], axis=-1), axis=-1),
        "outside": 1 - jnp.mean(jnp.sum(mass, axis=-1), axis=-1),
        "length": run.stats["length"],
        "status": run.status,
    }


def pushed(params: Params, task: Controlled, questions: int) -> dict[str, Array]:
    """DPO on single pairs, each from the base on: the right answer in any pattern with the wrong one in any pattern.

    Args:
      params: the base.
      task: its questions.
      questions: of how many.

    Returns:
      `[pairs]` each, of the questions in turn: `ches` of the pair in the base; `chosen` and `rejected`, changes of
      log-likelihoods.
    """
    model, (every, tokens, where) = model_of(task), known(task)
    right, wrong = (range(first, tokens.shape[1], task.choices) for first in (0, 1))
    index = np.array(list(itertools.product(range(questions), right, wrong)))

    def one(row: Array) -> dict[str, Array]:
        asked = jax.tree.map(lambda leaf: leaf[row[0]][None], every)
        own, learns = (x[row[0]][row[1:]][None] for x in (tokens, where))
        first = log_likelihoods(model, params, asked, own, learns)[0]

        def loss(now: Params) -> Array:
            ratio = log_likelihoods(model, now, asked, own, learns)[0] - first
            return -jax.nn.log_sigmoid(BETA * (ratio[0] - ratio[1])) / (BETA / 2)

        def step(_: Array, now: Params) -> Params:
            return optax.apply_updates(now, jax.tree.map(lambda x: -PUSH * x, jax.grad(loss)(now)))

        last = log_likelihoods(model, jax.lax.fori_loop(0, PUSHES, step, params), asked, own, learns)[0]
        score = similarity(model, params, asked, own, learns)[0]
        return {"ches": score, "chosen": last[0] - first[0], "rejected": last[1] - first[1]}

    return jax.lax.map(one, jnp.asarray(index), batch_size=9)
