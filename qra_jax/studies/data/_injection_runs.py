"""Networks of the study of injected behaviours: SFT, a look at single steps, RL or more SFT, and what they do then."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jax import Array

from qra_jax import metrics, transformer as tf
from qra_jax.algorithm import grpo
from qra_jax.studies import lab
from qra_jax.studies.data import _bases, _injection_demos as demos, _injection_steps as steps
from qra_jax.studies.data._bases import Size
from qra_jax.studies.data._injection_demos import ARMS, FOUR, INJECTED, VANILLA
from qra_jax.transformer.model import Params
from qra_jax.transformer.sampling import Questions

TEACHING, LEARNING, RECORDS = lab.scale(60, 250), lab.scale(8, 64), 4
"""Steps of SFT, and of RL, with so many records after the first."""
GROUP, ASKED, RATE, TRIES = 8, 16, 5e-4, 8
"""Of RL: rollouts of a question, questions of a step, learning rate of Adam; k of pass@k."""
LOOKED = lab.scale(12, 32)
"""Questions of the corpus that are looked at, and as many held out."""
STEPPED = [VANILLA, INJECTED, FOUR]
"""Arms of which single steps are looked at."""


def questions(number: int, seed: int) -> tuple[Questions, Questions]:
    """Questions of the corpus and held-out ones, the same for all networks."""
    task = demos.task()

    def drawn(key: Array) -> tuple[Questions, Questions]:
        keys = jax.random.split(key)
        return task.draw(keys[0], number), task.draw(keys[1], number, held=True)

    return jax.jit(drawn)(jax.random.key(seed))


def networks(run: lab.Run) -> Any:
    """Networks after SFT, `[arms, seeds, ...]`."""
    size = tuple(run(_bases.SKILLED))
    return run.bank.get(demos.taught, _bases.skilled(run), size, run(TEACHING), run.shared_seed + 1)


def longer(run: lab.Run) -> Any:
    """The same after as many more demonstrations as RL samples rollouts."""
    count = run(LEARNING) * ASKED * GROUP // demos.QUESTIONS
    return run.bank.get(demos.further, networks(run), tuple(run(_bases.SKILLED)), count, run.shared_seed + 2)


def _each(run: lab.Run, params: Any, arms: list[str]) -> tuple[Any, Array, Array]:
    """Networks of some arms one after the other, whether they are judged strictly, and keys, which arms share."""
    seeds, rows = jax.tree.leaves(params)[0].shape[1], np.array([ARMS.index(arm) for arm in arms])
    flat = jax.tree.map(lambda x: jnp.asarray(x)[rows].reshape(-1, *x.shape[2:]), params)
    strict = jnp.asarray(np.repeat([arm == FOUR for arm in arms], seeds))
    return flat, strict, jnp.tile(jax.random.split(run.key, seeds), len(arms))


def single_steps(run: lab.Run) -> xr.Dataset:
    """What one step does in each network, predicted and measured."""
    model, task = demos.model(Size(*run(_bases.SKILLED))), demos.task()
    asked, held = questions(run(LOOKED), run.shared_seed)

    def one(params: Params, strict: Array, key: Array) -> dict[str, Array]:
        return steps.look(key, model, params, task, asked, held, strict)

    found = tf.side_by_side(one)(*_each(run, networks(run), STEPPED))
    dims = {
        "gain": ("kind", "question"),
        "given": ("asked",),
        "given_kernel": ("asked",),
        "own_given": ("asked",),
        "halves": ("half",),
    }
    dims |= dict.fromkeys(("accuracy", "rate", "kernel"), ("question",))
    coords = {"arm": STEPPED, "kind": steps.KINDS}
    coords |= {"held": ("question", np.arange(2 * asked.number) >= asked.number)}
    return _dataset(found, dims, coords)


def whole_runs(run: lab.Run) -> xr.Dataset:
    """Accuracy of every question along RL, how often patterns are used, and with what success; and after more SFT."""
    model, task = demos.model(Size(*run(_bases.SKILLED))), demos.task()
    asked, held = questions(run(LOOKED), run.shared_seed)
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), asked, held)
    shown, tried = jax.jit(task.show)(both), jax.random.key(run.shared_seed)

    def seen(params: Params, strict: Array) -> dict[str, Array]:
        own = tf.sample(tried, model, params, both, group=2 * TRIES, length=task.length, end=task.end)
        right = steps.reward(strict)(tried, own, task.verify(tried, both, own)) > 0
        first = jax.nn.one_hot(own.tokens[..., 0] - task.first_pattern, task.patterns)
        used = jnp.sum(first, axis=(0, 1))
        return {
            "accuracy": jnp.mean(right, axis=1),
            "exact": tf.read_out(model, params, shown).accuracy,
            "used": used / right.size,
            "success": jnp.sum(first * right[..., None], axis=(0, 1)) / jnp.maximum(used, 1),
            "pass": jnp.mean(metrics.pass_at_k_estimate(right, TRIES)),
        }

    def one(params: Params, more: Params, strict: Array, key: Array) -> dict[str, Array]:
        trained = tf.train(
            key,
            model,
            params,
            task,
            algorithm=grpo(GROUP),
            steps=run(LEARNING),
            questions=ASKED,
            learning_rate=RATE,
            reward=steps.reward(strict),
            optimizer=optax.adam,
            record_every=run(LEARNING) // RECORDS,
            probe=lambda params: params,
        )
        every = jax.tree.map(lambda path, end: jnp.concatenate([path, end[None]]), trained.seen, more)
        found = jax.lax.map(lambda params: seen(params, strict), every)  # one copy of it in the program
        return {name: x[:-1] for name, x in found.items()} | {"more_accuracy": found["accuracy"][-1]}

    flat, strict, keys = _each(run, networks(run), ARMS)
    found = tf.side_by_side(one)(flat, _each(run, longer(run), ARMS)[0], strict, keys)
    dims: dict[str, tuple[str, ...]] = dict.fromkeys(("accuracy", "exact"), ("step", "question"))
    dims |= dict.fromkeys(("used", "success"), ("step", "pattern"))
    dims |= {"pass": ("step",), "more_accuracy": ("question",)}
    coords = {"arm": ARMS, "step": np.arange(RECORDS + 1) * (run(LEARNING) // RECORDS)}
    coords |= {"pattern": list(tf.procedures.PATTERNS)}
    coords |= {"held": ("question", np.arange(2 * asked.number) >= asked.number)}
    return _dataset(found, dims, coords)


def _dataset(found: Any, dims: dict[str, tuple[str, ...]], coords: dict[str, Any]) -> xr.Dataset:
    arrays = {name: np.asarray(x).reshape(len(coords["arm"]), -1, *x.shape[1:]) for name, x in found.items()}
    named = {name: (("arm", "seed", *dims.get(name, ())), x) for name, x in arrays.items()}
    plain = {name: value for name, value in coords.items() if not isinstance(value, tuple)}
    return lab.dataset(named, plain).assign_coords({k: v for k, v in coords.items() if isinstance(v, tuple)})
