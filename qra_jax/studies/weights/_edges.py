"""Edges of networks and of what became of them, with their nulls: what `circuits` reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax import transformer as tf
from qra_jax.studies import lab
from qra_jax.studies.weights._reference import SIZE, TASKS, bases, joined, model_of, pairs, reference, task_of
from qra_jax.studies.weights._twins import END, GRPO, MATCHED, NEAR, ends
from qra_jax.transformer import circuits
from qra_jax.transformer.model import Params
from qra_jax.transformer.sampling import PAD, Rollouts
from qra_jax.transformer.weights import twin

OFFLINE = "DPO, offline"
ARMS = ("GRPO, SGD", GRPO, "SFT", OFFLINE, "DPO, iterated")
COMPARED = [GRPO, OFFLINE]
"""Arms that are compared at equal gain: on the bases where both are near enough to it."""
QUESTIONS, GROUP = lab.scale(15, 30), 8
"""Questions, and sequences of each."""
STRENGTH, DIVERSITY, EVENNESS = "strength", "diversity", "evenness"
MEASURES = (STRENGTH, DIVERSITY, EVENNESS)
"""Logarithm of the mean of |I|; entropy of its histogram; minus the logarithm of its kurtosis."""
MATTERS = 0.1
"""The least rise of diversity and evenness that counts, in nats; ours, as the paper gives none."""
TUNED, SAME_TEXT, THEIR_TEXT = "tuned", "tuned, base's text", "base, tuned's text"
COOLED, LOUDER, TWIN = "tuned, base's entropy", "base, louder", "twin"
OWN_TWIN, AGAIN, NOISE, MUTE = "twin, own text", "base, text drawn anew", "base, random tokens", "base, mute"


def mute(params: Params) -> Params:
    """The same network, whose attention and perceptrons write nothing."""
    nothing = lambda tree: jax.tree.map(jnp.zeros_like, tree)  # noqa: E731
    return {
        name: nothing(part)
        if name.startswith("out_")
        else part | ({"out": nothing(part["out"])} if name.startswith("attention_") else {})
        for name, part in params.items()
    }


def stacked(*trees: Any) -> Any:
    """Trees as one, with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def reader(
    name: str, size: Any, number: int, seed: int
) -> Callable[[jax.Array, Params, Params], dict[str, Any]]:
    """What is read of a base network and what became of it.

    Args:
      name: of the task.
      size: of the reference runs.
      number: of questions.
      seed: of random tokens.

    Returns:
      A function `(key, base, tuned)` to `[measures + 1]` by network: all measures, and the entropy of tokens.
    """
    task, model = task_of(name), model_of(name, size)
    shape = number, GROUP, task.length
    tokens = np.random.default_rng(seed).integers(1, task.vocabulary, shape).astype(np.int32)

    def read(key: jax.Array, base: Params, tuned: Params) -> dict[str, jax.Array]:
        keys = jax.random.split(key, 5)
        asked, gaussian = task.draw(keys[0], number), twin.gaussian(keys[3], base, tuned)

        def write(writer: Any) -> Rollouts:
            key, params = writer
            return tf.sample(key, model, params, asked, group=GROUP, length=task.length, end=task.end)

        writers = (keys[1], base), (keys[2], base), (keys[1], tuned), (keys[1], gaussian)
        texts = jax.lax.map(write, stacked(*writers))
        first, anew, second, third = (jax.tree.map(lambda x, i=i: x[i], texts) for i in range(4))
        noise = replace(first, tokens=jnp.where(first.where, tokens, PAD))

        def compare(side: Any) -> dict[str, circuits.Summary]:
            key, other, texts = side
            return circuits.compared(key, model, base, other, asked, texts)

        sides = (tuned, (first, second)), (gaussian, (first, third)), (mute(base), (anew, noise))
        keyed = zip((keys[3], keys[3], keys[4]), sides, strict=True)
        every = jax.lax.map(
            compare, stacked(*((key, *side) for key, side in keyed))
        )  # one program for all edges
        seen = {
            name: jnp.stack([jnp.log(s.intensity), s.diversity, -jnp.log(s.kurtosis), s.entropy], axis=-1)
            for name, s in every.items()
        }
        beside = {AGAIN: ("base", 2), NOISE: (THEIR_TEXT, 2), MUTE: (TUNED, 2), OWN_TWIN: (TUNED, 1)}
        return {name: x[0] for name, x in seen.items()} | {
            name: seen[x][i] for name, (x, i) in beside.items()
        }

    return read


def read_all(run: lab.Run) -> xr.Dataset:
    """Edges of every base network and of what became of it, and of the nulls.

    Args:
      run: the experiment.

    Returns:
      `seen` `[task, network, at, arm, seed, measure]`; `apart`, how far from an equal gain, `[task, arm, seed]`.
    """
    size, parts = run(SIZE), {}
    for name in run(TASKS):
        courses = reference(run, name, ARMS, size)
        tuned, apart = ends(courses)
        every = {f"{at}: {arm}": params for at, arms in tuned.items() for arm, params in arms.items()}
        found = pairs(reader(name, size, run(QUESTIONS), run.seed), run.key, bases(run, name, size), every)
        seen = np.stack(list(found.values()))
        seen = seen.reshape(len(found), len(tuned), len(courses), *seen.shape[2:])
        values = {
            "seen": (("network", "at", "arm", "seed", "measure"), seen),
            "apart": (("arm", "seed"), apart),
        }
        axes = {"network": list(found), "at": list(tuned), "arm": list(courses)}
        parts[name] = lab.dataset(values, axes | {"measure": [*MEASURES, "token entropy"]})
    return joined(parts)


def equal(runs: xr.Dataset, arms: list[str]) -> xr.DataArray:
    """Bases on which all of some arms come near an equal gain, `[task, seed]`."""
    return (abs(runs.apart.sel(arm=arms)) <= NEAR).all("arm")


def averaged(runs: xr.Dataset, words: str, values: xr.DataArray, at: str) -> lab.Estimate:
    """Mean over bases, `[task, ...]`: of all of them, or at equal gain of those where the compared arms have it.

    Args:
      runs: of the study.
      words: what it is.
      values: `[task, seed, ...]`.
      at: the end, or equal gain.
    """
    near, each = equal(runs, COMPARED), {}
    if at == MATCHED and bool(runs.apart.sel(arm=COMPARED).isnull().any()):
        values = values * np.nan  # which bases are to be compared is not known
    for task in values.task.values:
        here = near.sel(task=task).values if at == MATCHED else slice(None)
        each[task] = lab.mean(words, values.sel(task=task, drop=True)[{"seed": here}])
    if at == MATCHED:
        counts = ", ".join(
            f"{int(n)} of {near.sizes['seed']} bases ({t})"
            for t, n in zip(near.task.values, near.sum("seed"), strict=True)
        )
        words = f"{words}, at equal gain, {counts}"
    return replace(lab.stacked("task", each), quantity=words)


def rise(
    data: lab.Data,
    arm: str,
    network: str,
    measures: Any = MEASURES,
    against: str = "base",
    at: str = END,
) -> lab.Estimate:
    """Rise of measures from one network to another, `[task, measure]`."""
    seen = data.runs.seen.sel(at=at, arm=arm, measure=list(measures), drop=True)
    first, second = (seen.sel(network=name, drop=True) for name in (network, against))
    return averaged(data.runs, f"rise from “{against}” to “{network}” ({arm}, in nats)", first - second, at)


def further(data: lab.Data, first: str, second: str, measures: Any = MEASURES) -> lab.Estimate:
    """How much higher measures of one network are after GRPO than of another after DPO, at equal gain."""
    seen = data.runs.seen.sel(at=MATCHED, measure=list(measures), drop=True)
    own, other = (
        seen.sel(arm=arm, network=name, drop=True)
        for arm, name in zip(COMPARED, (first, second), strict=True)
    )
    words = f"“{first}” ({GRPO}) less “{second}” ({OFFLINE}), in nats"
    return averaged(data.runs, words, own - other, MATCHED)
