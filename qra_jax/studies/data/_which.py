"""What the study `which-recipe` runs: its bases, trained on by all recipes."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jax import Array

from qra_jax import metrics, transformer as tf
from qra_jax.algorithm import filtered_sft, grpo, switch
from qra_jax.studies import lab
from qra_jax.studies.data._which_bases import (
    SIZE,
    Size,
    network,
    said,
    solutions,
    solved,
    task,
    taught,
)
from qra_jax.transformer.sampling import PAD, Questions

GROUP, ASKED = 8, 8
"""Rollouts of a question, and questions of a step."""
BATCH = GROUP * ASKED
"""Sequences of a step: rollouts, or as many demonstrations."""
FEW, MANY = 12, 256
HANDS = {"none": 0, "few": FEW, "many": MANY}
"""Demonstrations at hand: questions with their solutions, which are read again and again."""
FIRST = 12
"""Steps of SFT where RL follows."""
FILTERED, RL, SFT, BOTH, HINTS = "filtered SFT", "RL", "SFT", "SFT, then RL", "RL with hints"
RICH = lab.scale((SFT,), (SFT, BOTH, HINTS))
"""Recipes that are run on many demonstrations, too."""
RULES = (grpo(GROUP), filtered_sft(group_size=GROUP))
RATES = (1e-3, 3e-4)
"""Learning rates of SFT and of all others: the best of 3e-4 and 1e-3 at pass@1 of .01 and .2, on another seed."""
HINTED = ASKED // 2
"""Questions of a step that have hints, of RL with hints."""
TRIES = (16, 128)
"""The k of pass@k."""
CUTS = (0, 3, 5, 7)
"""Tokens of a solution that are given as a hint: nothing, or up to the first, the second or the last step."""


class Row(NamedTuple):
    """The numbers that tell a recipe from others; all may be traced."""

    hand: Any
    """Demonstrations at hand, 1 … `MANY`."""
    first: Any
    """Steps of SFT before anything else."""
    rule: Any
    """Number of the algorithm in `RULES`."""
    hinted: Any
    """How many questions of a step are those of demonstrations, with parts of the solutions."""


def row(recipe: str, hand: str, steps: int) -> Row:
    """The numbers of a run of so many steps."""
    first = {SFT: steps, BOTH: FIRST}.get(recipe, 0)
    return Row(max(HANDS[hand], 1), first, int(recipe == FILTERED), HINTED if recipe == HINTS else 0)


def path(
    key: Array,
    model: Any,
    params: Any,
    numbers: Row,
    *,
    marks: tuple[int, ...],
    judged: int,
    rates: Any = RATES,
) -> dict[str, Array]:
    """Train by one recipe, and read the chance of a right solution of fresh questions at each mark.

    Args:
      key: PRNG key of the base: its runs share demonstrations, questions and what they are judged by.
      model: the network.
      params: where it starts.
      numbers: the recipe.
      marks: numbers of steps, from 0 on.
      judged: fresh questions.
      rates: learning rates of SFT and of all others; may be traced.

    Returns:
      `solved` `[marks, judged]`, probability of the solution; `tokens` `[marks]`, read or sampled up to there.
    """
    asks, steps = task(), marks[-1]
    keys = jax.random.split(key, 4)
    questions = asks.draw(keys[0], MANY + judged + ASKED * steps)
    right = solutions(questions)
    chosen = jax.random.uniform(keys[1], (steps, 2, BATCH))
    adam, algorithm = optax.scale_by_adam(), switch(numbers.rule, RULES)

    def picked(index: Array) -> Questions:
        return jax.tree.map(lambda x: x[index], questions)

    def moved(state: Any, asked: Questions, tokens: Array, weight: Array, spent: Array, rate: Any) -> Any:
        params, memory, before = state

        def likelihood(params: Any) -> Array:
            own = said(model, params, asked, tokens)
            return -jnp.sum(weight.astype(own.dtype) * own) / BATCH

        change, memory = adam.update(jax.grad(likelihood)(params), memory, params)
        change = jax.tree.map(lambda x: -jnp.asarray(rate, x.dtype) * x, change)
        return optax.apply_updates(params, change), memory, before + jnp.sum(spent)

    def supervised(step: Array, state: Any) -> Any:
        drawn = (numbers.hand * chosen[step, 0]).astype(int)
        tokens = right[drawn][:, None]
        return moved(state, picked(drawn), tokens, tokens != PAD, tokens != PAD, rates[0])

    def reinforced(step: Array, state: Any) -> Any:
        known, level = (chosen[step, i, :ASKED] for i in (0, 1))
        hinted = jnp.arange(ASKED) < numbers.hinted
        own = MANY + judged + ASKED * step + jnp.arange(ASKED)
        index = jnp.where(hinted, (numbers.hand * known).astype(int), own)
        cut = jnp.asarray(CUTS)[(len(CUTS) * level).astype(int)]
        given = jnp.broadcast_to(jnp.where(hinted, cut, 0)[:, None], (ASKED, GROUP))
        asked, solution = picked(index), jnp.broadcast_to(right[index][:, None], (ASKED, GROUP, asks.length))
        options: dict[str, Any] = {"group": GROUP, "length": asks.length, "end": asks.end}
        options |= {"opening": solution, "given": given}
        rollouts = tf.sample(jax.random.fold_in(keys[2], step), model, state[0], asked, **options)
        written = rollouts.where & (jnp.arange(asks.length)[None, None] >= given[..., None])
        rewards = jnp.all(rollouts.tokens == solution, axis=-1).astype(rollouts.log_prob.dtype)
        weights = jax.vmap(algorithm.weights)(rewards)[..., None] * written
        return moved(state, asked, rollouts.tokens, weights, written, rates[1])

    def window(state: Any, ends: tuple[Array, Array]) -> Any:
        """Look, then take the steps up to the next mark; as loops, so that only what is due is computed."""
        fresh = MANY + jnp.arange(judged)
        seen = solved(model, state[0], picked(fresh), right[fresh]), state[2]
        low, high = ends
        turn = jnp.clip(numbers.first, low, high)
        state = jax.lax.fori_loop(low, turn, supervised, state)
        return jax.lax.fori_loop(turn, high, reinforced, state), seen

    ends = jnp.asarray(marks), jnp.asarray((*marks[1:], steps))
    _, (chance, tokens) = jax.lax.scan(window, (params, adam.init(params), jnp.asarray(0)), ends)
    return {"solved": chance, "tokens": tokens}


def arms(rich: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Recipes with what they have at hand; those without demonstrations are the same whatever is at hand.

    Args:
      rich: recipes that are run on many demonstrations, too.
    """
    shown = [(recipe, "few") for recipe in (SFT, BOTH, HINTS)] + [(recipe, "many") for recipe in rich]
    return {RL: (RL, "none"), FILTERED: (FILTERED, "none")} | {f"{r}, {hand}": (r, hand) for r, hand in shown}


def trained(run: lab.Run) -> xr.Dataset:
    """All arms from all bases: `pass1`, `pass16`, `tokens` `[arm, level, seed, mark]`; `base` `[level, seed, k]`."""
    size: Size = run(SIZE)
    bases, model, names = run.bank.get(taught, tuple(size), run.shared_seed), network(size), arms(run(RICH))
    rows = [row(*arm, size.marks[-1]) for arm in names.values()]
    places = [
        (a, level, s)
        for a in range(len(rows))
        for level in range(len(size.levels))
        for s in range(size.seeds)
    ]
    numbers = jax.tree.map(lambda *parts: np.asarray(parts), *[rows[a] for a, *_ in places])
    params = jax.tree.map(lambda x: np.stack([x[s, level] for _, level, s in places]), bases["params"])
    keys = jnp.stack([jax.random.fold_in(run.key, s) for *_, s in places])

    def one(key: Array, params: Any, numbers: Row) -> dict[str, Array]:
        found = path(key, model, params, numbers, marks=size.marks, judged=size.judged)
        tries = jnp.asarray((1, *TRIES))[:, None, None]
        solved = jnp.broadcast_to(found["solved"][None], (len(tries), *found["solved"].shape))
        passed = jnp.mean(metrics.pass_at_k(solved, tries), axis=-1)
        return {"passed": passed, "tokens": found["tokens"]}

    found = tf.side_by_side(one)(keys, params, numbers)
    shape = len(rows), len(size.levels), size.seeds
    passed, tokens = (np.asarray(found[name]) for name in ("passed", "tokens"))
    passed = passed.reshape(*shape, *passed.shape[1:])
    dims = ("arm", "level", "seed", "mark")
    variables = {"pass1": (dims, passed[:, :, :, 0]), "pass16": (dims, passed[:, :, :, 1])}
    variables |= {"tokens": (dims, tokens.reshape(*shape, -1))}
    variables |= {"base": (("level", "seed", "k"), passed[0, :, :, :, 0])}
    variables |= {"stopped": (("seed", "level"), bases["stopped"])}
    coords = {
        "arm": list(names),
        "level": np.asarray(size.levels),
        "mark": np.asarray(size.marks),
        "k": [1, *TRIES],
    }
    return lab.dataset(variables, coords, width=size.width, depth=size.depth)
