"""Networks of the study of warm starts: bases that hardly open a procedure, demonstrations, RL, and what is read."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array

from qra_jax import transformer as tf
from qra_jax.algorithm import grpo
from qra_jax.metrics import pass_at_k_estimate
from qra_jax.studies import lab
from qra_jax.studies.data import _bases
from qra_jax.studies.networks._procedures import numbers_of_tries
from qra_jax.transformer.learning import cross_entropy
from qra_jax.transformer.model import Params
from qra_jax.transformer.procedures import PATTERNS
from qra_jax.transformer.task import Demonstrations

RARE = (0.02, 0.02, 0.02, 0.94)
"""Shares of columns, running, split and guess in the base: it has the procedures, and hardly opens one."""
SETS = [set_ for size in range(1, 5) for set_ in combinations(PATTERNS, size)]
"""All warm starts on m of the four procedures, so that each procedure has the same part in every m on average."""
NONE, SHUFFLED = "no warm start", "all four, answers of other questions"
COPIES = [f"two copies of {name}" for name in PATTERNS]
LONG = [(name,) for name in PATTERNS] + [PATTERNS]
"""Warm starts that are also gone on with in place of RL."""
BATCH, SFT_RATE, QUESTIONS, GROUP, RL_RATE = 32, 2e-3, 16, 8, 1e-3
"""Demonstrations of a step and learning rate of SFT; questions, rollouts of each and learning rate of GRPO."""
FLOOR = 1e-3
"""Least accuracy that logarithms are taken of: less than one in all samples of a network."""


class Size(NamedTuple):
    """How much is computed: steps of the base's guessing, of the warm start and of RL, and what is asked and read."""

    guessing: int
    warm: int
    steps: int
    every: int
    asked: int
    tries: int
    again: int


def label(names: tuple[str, ...]) -> str:
    """Name of a warm start."""
    return ", ".join(names)


ARMS = [*map(label, SETS), NONE, *COPIES, SHUFFLED]


def _demonstrated(arm: str) -> np.ndarray:
    """Shares of the four procedures with the marker, then without."""
    shares = np.zeros((2, len(PATTERNS)))
    if arm in COPIES:
        shares[:, COPIES.index(arm)] = 0.5
    else:
        names = PATTERNS if arm in (NONE, SHUFFLED) else arm.split(", ")
        shares[0, [PATTERNS.index(name) for name in names]] = 1 / len(names)
    return shares.ravel()


def trained(run: lab.Run, size: Size) -> xr.Dataset:
    """Every warm start of every base network, before and after RL; SFT in place of RL; and the base, read again.

    Args:
      run: the experiment.
      size: how much is computed.

    Returns:
      Of warm starts, `[arm, seed]`: `tokens` shown, `right` `[…, step]`, accuracy of the rollouts that RL learns from,
      and for both moments, `[when, arm, seed]`: `accuracy`, `policy` and `rate` `[…, procedure]`, `passed` `[…, k]`.
      These of SFT in place of RL, `[taught, seed]`, as `longer_…`; of the base, `[again, half, seed]`, as `base_…`.
    """
    task = _bases.sums()
    extent = run(_bases.SKILLED)
    model, seeds = _bases.network(task, extent), extent.seeds
    keys = jax.random.split(jax.random.fold_in(run.key, 0), (4, seeds))
    rare = replace(task, mixture=jnp.asarray(RARE))
    options: dict[str, Any] = {"steps": size.guessing, "questions": QUESTIONS, "learning_rate": 1e-3}
    skilled = jax.tree.map(jnp.asarray, _bases.skilled(run))
    base = tf.learn(keys[0], model, rare.demonstrations, params=skilled, **options).params

    def teach(row: dict[str, Array]) -> tuple[Params, Array]:
        params = jax.tree.map(lambda leaf: leaf[row["seed"]], base)
        return taught(keys[1][row["seed"]], params, row, model=model, task=task)

    def reinforce(row: dict[str, Array], params: Params) -> tuple[Params, Array]:
        options: dict[str, Any] = {"algorithm": grpo(GROUP), "steps": size.steps, "record_every": size.every}
        options |= {"questions": QUESTIONS, "learning_rate": RL_RATE}
        paid = tf.reward.verifiable(announced=False)
        made = tf.train(keys[2][row["seed"]], model, params, task, reward=paid, **options)
        return made.params, made.stats["right"]

    def look(seed: Array, again: Array, params: Params) -> dict[str, Array]:
        return seen(keys[3][seed], again, params, model=model, task=task, size=size)

    longer = size.warm + size.steps * QUESTIONS * GROUP // BATCH
    plan = [(arm, size.warm * (arm != NONE)) for arm in ARMS] + [(label(names), longer) for names in LONG]
    rows = {
        "seed": np.tile(np.arange(seeds), len(plan)),
        "shares": np.repeat([_demonstrated(arm) for arm, _ in plan], seeds, axis=0),
        "shuffled": np.repeat([arm == SHUFFLED for arm, _ in plan], seeds),
        "steps": np.repeat([steps for _, steps in plan], seeds),
    }
    started, tokens = tf.side_by_side(teach)(rows)
    run.say("warm starts")
    own = len(ARMS) * seeds
    first = jax.tree.map(lambda leaf: leaf[:own], (rows, started))
    ended, right = tf.side_by_side(reinforce)(*first)
    run.say("RL")
    repeats = np.repeat(np.arange(2 * size.again), seeds)
    of_base = jax.tree.map(lambda leaf: jnp.tile(leaf, (2 * size.again,) + (1,) * (leaf.ndim - 1)), base)
    joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), first[1], ended, started, of_base)
    total = len(rows["seed"])
    which = np.concatenate([np.zeros(2 * own + total, int), 1 + repeats])
    seed = np.tile(np.arange(seeds), 2 * len(ARMS) + len(plan) + 2 * size.again)
    read = tf.side_by_side(look)(seed, which, joined)
    more = {"accuracy": (), "policy": ("procedure",), "rate": ("procedure",), "passed": ("k",)}

    def part(first: int, name: str, dims: tuple[str, ...], shape: tuple[int, ...]) -> dict[str, Any]:
        cut = {key: np.asarray(value[first : first + int(np.prod(shape))]) for key, value in read.items()}
        return {
            name + key: ((*dims, *more[key]), value.reshape(*shape, *value.shape[1:]))
            for key, value in cut.items()
        }

    pair = ("arm", "seed")
    values = part(0, "", ("when", *pair), (2, len(ARMS), seeds))
    values |= part(3 * own, "longer_", ("taught", "seed"), (len(LONG), seeds))
    values |= part(2 * own + total, "base_", ("again", "half", "seed"), (size.again, 2, seeds))
    values["tokens"] = pair, np.asarray(tokens)[:own].reshape(len(ARMS), seeds)
    values["right"] = (*pair, "step"), np.asarray(right).reshape(len(ARMS), seeds, -1)
    coords = {"when": ["start", "end"], "arm": ARMS, "taught": [label(names) for names in LONG]}
    coords |= {"procedure": list(PATTERNS), "half": ["once", "again"], "k": numbers_of_tries(size.tries)}
    coords["step"] = np.arange(0, size.steps, size.every) + size.every / 2
    return lab.dataset(values, coords, samples=size.warm * BATCH, rl_steps=size.steps)


def taught(
    key: Array, params: Params, row: dict[str, Array], *, model: tf.Decoder, task: tf.Arithmetic
) -> tuple[Params, Array]:
    """SFT on single demonstrations, each of a procedure drawn from shares; and how many tokens were shown.

    Args:
      key: PRNG key.
      params: where it starts.
      row: `shares` `[8]` of the procedures with the marker, then without, `shuffled`, whether demonstrations follow
        another question than their own, and `steps`; all may be traced.
      model: the network.
      task: of the questions.
    """
    both, optimiser = replace(task, announced=(0.5,) * len(PATTERNS)), optax.adam(SFT_RATE)

    def step(index: Array, state: Any) -> Any:
        params, memory, tokens = state
        draw, choose = jax.random.split(jax.random.fold_in(key, index))
        asked = task.draw(draw, BATCH)
        shown = both.show(asked)
        which = jax.random.categorical(choose, jnp.log(row["shares"]), shape=(BATCH,))[:, None]
        sequences, where = (
            jnp.take_along_axis(each, which[..., None], axis=1) for each in (shown.tokens, shown.where)
        )
        prompt = jnp.where(row["shuffled"], jnp.roll(asked.prompt, 1, axis=0), asked.prompt)
        weight, place = jnp.ones((BATCH, 1)), jnp.take_along_axis(shown.answer_at, which, axis=1)
        demonstrations = Demonstrations(
            replace(asked, prompt=prompt), sequences, where, weight, place, shown.opens, 1
        )
        slope = jax.grad(lambda params: cross_entropy(model, params, demonstrations))(params)
        change, memory = optimiser.update(slope, memory, params)
        return optax.apply_updates(params, change), memory, tokens + jnp.sum(where)

    start = params, optimiser.init(params), jnp.zeros((), int)
    params, _, tokens = jax.lax.fori_loop(0, row["steps"], step, start)
    return params, tokens


def seen(
    key: Array, again: Array, params: Params, *, model: tf.Decoder, task: tf.Arithmetic, size: Size
) -> dict[str, Array]:
    """What a network does on questions like those of training: half of the samples are free, half have it forced.

    Args:
      key: PRNG key of the questions.
      again: number of the random numbers that sequences are sampled with.
      params: of the network.
      model: the network.
      task: of the questions.
      size: how much is read.

    Returns:
      `accuracy`, right answers; `policy` `[4]`, shares of the procedures; `rate` `[4]`, right answers with each of
      them forced; `passed`, pass@k of right answers with right steps of a procedure other than guess.
    """
    asked, tries = task.draw(key, size.asked), size.tries
    opening = jnp.tile(task.first_pattern + jnp.arange(task.patterns), 2 * tries // task.patterns)
    opening = jnp.broadcast_to(opening[None, :, None], (size.asked, 2 * tries, 1))
    given = jnp.broadcast_to((jnp.arange(2 * tries) >= tries).astype(int)[None], (size.asked, 2 * tries))
    options: dict[str, Any] = {"group": 2 * tries, "length": task.length, "end": task.end}
    draw = jax.random.fold_in(key, again)
    rollouts = tf.sample(draw, model, params, asked, opening=opening, given=given, **options)
    said = task.verify(draw, asked, rollouts)
    worked = (said.right & said.steps & (said.pattern != PATTERNS.index("guess")))[:, :tries]
    right = said.right.astype(jnp.float32)
    names = task.first_pattern + jnp.arange(task.patterns)
    opened = rollouts.tokens[:, :tries, 0, None] == names[None, None]
    return {
        "accuracy": jnp.mean(right[:, :tries]),
        "policy": jnp.mean(opened.astype(jnp.float32), axis=(0, 1)),
        "rate": jnp.mean(right[:, tries:].reshape(-1, task.patterns), axis=0),
        "passed": jnp.stack([jnp.mean(pass_at_k_estimate(worked, int(k))) for k in numbers_of_tries(tries)]),
    }
