"""Networks that work on sums by procedures: how they are taught, what is read from them, and what a gain is made of."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array
from scipy.special import softmax as softmax_of

from qra_jax import orbit, transformer as tf
from qra_jax.algorithm import grpo
from qra_jax.metrics import pass_at_k_estimate
from qra_jax.problem import Problem
from qra_jax.studies import lab
from qra_jax.transformer.procedures import PATTERNS, Arithmetic, arithmetic

SKILLS, REF = (0.3, 0.3, 0.3, 0.1), (0.15, 0.25, 0.1, 0.5)
"""Shares of the procedures while they are learnt, and in the base model."""
ANNOUNCED, GROUP = 0.7, 8
"""Chance of the marker in the corpus; rollouts of a question."""
ARMS = ("right answers", "coin")
"""What is paid for: in the second, half of all sequences, drawn by lot."""
MODELS = ("base", "RL", "base, cooled", "base, again")
CURVES = ("orbit", "natural", "line", "orbit, mirrored rates")
TIMES = np.concatenate([[0.0], np.logspace(-3, 5, 800)])
"""Times of the orbits that paths are compared with."""


class Size(NamedTuple):
    """How much is computed."""

    seeds: int
    base: int
    width: int
    depth: int
    skill_steps: int
    base_steps: int
    steps: int
    every: int
    questions: int
    forced: int
    tries: int
    operands: tuple[int, ...]


def task_of(size: Size) -> Arithmetic:
    """After any beginning of a question one last operand of base² is held out."""
    return arithmetic(
        size.base, operands=size.operands, mixture=REF, announced=ANNOUNCED, held=1 / size.base**2
    )


def taught(size: Any, seed: int) -> Any:
    """Base networks `[seeds]`: all procedures first, then their shares and the marker; at once without skill steps."""
    size = Size(*size)
    task, keys = task_of(size), jax.random.split(jax.random.key(seed), (2, size.seeds))
    model = tf.Decoder(task.vocabulary, width=size.width, depth=size.depth)

    def learn(keys: Array, task: Arithmetic, steps: int, rate: float, params: Any = None) -> Any:
        options: dict[str, Any] = {"steps": steps, "learning_rate": rate, "params": params}
        return tf.learn(keys, model, task.demonstrations, questions=16, **options).params

    if not size.skill_steps:
        return learn(keys[1], task, size.base_steps, 5e-3)
    skills = arithmetic(size.base, operands=size.operands, mixture=SKILLS, held=1 / size.base**2)
    return learn(keys[1], task, size.base_steps, 1e-3, learn(keys[0], skills, size.skill_steps, 5e-3))


def numbers_of_tries(tries: int) -> np.ndarray:
    return 2 ** np.arange(int(np.log2(tries)) + 1)


def seen(
    key: Array, model: Any, params: Any, task: Arithmetic, asked: tf.Questions, forced: int
) -> dict[str, Array]:
    """π, exactly, and rates of right, paid and rightly worked answers with the pattern forced; `[N, n]`."""
    read = tf.read_out(model, params, task.show(asked))
    opening = jnp.tile(task.first_pattern + jnp.arange(task.patterns), forced)
    opening = jnp.broadcast_to(opening[None, :, None], (asked.number, len(opening), 1))
    options: dict[str, Any] = {"group": opening.shape[1], "length": task.length, "end": task.end}
    said = task.verify(key, asked, tf.sample(key, model, params, asked, opening=opening, **options))

    def rate(which: Array) -> Array:
        return jnp.mean(which.reshape(asked.number, forced, task.patterns).astype(jnp.float32), axis=1)

    rates = {"right": said.right, "paid": said.right & said.formatted, "worked": said.right & said.steps}
    return {"policy": read.policy, "leak": read.leak, "announced": read.announced} | {
        name: rate(which) for name, which in rates.items()
    }


def tried(
    key: Array, params: Any, entropy: Array, model: Any, task: Arithmetic, asked: tf.Questions, tries: int
) -> dict[str, Array]:
    """Pass@k of right answers with right steps, at the temperature that gives this entropy (inf: 1)."""

    def answers(temperature: Array) -> tuple[Array, Array]:
        options: dict[str, Any] = {"group": tries, "length": task.length, "end": task.end}
        rollouts = tf.sample(key, model, params, asked, temperature=temperature, **options)
        said = task.verify(key, asked, rollouts)
        solved = said.right & said.steps & (said.pattern != PATTERNS.index("guess"))
        return solved, jnp.mean(jnp.sum(rollouts.entropy, axis=-1))

    def halve(_: Array, state: Any) -> Any:
        """Answer at the middle of the bracket, then halve it: the last answers are kept."""
        bracket = state[0]
        middle = jnp.mean(bracket)
        temperature = jnp.where(jnp.isinf(entropy), 1.0, 2.0**middle)
        solved, uncertainty = answers(temperature)
        ends = [jnp.array([bracket[0], middle]), jnp.array([middle, bracket[1]])]
        return jnp.where(uncertainty > entropy, *ends), temperature, solved, uncertainty

    solved, uncertainty = (jnp.zeros(x.shape, x.dtype) for x in jax.eval_shape(answers, jnp.ones(())))
    start = jnp.array([-5.0, 1.0]), jnp.ones(()), solved, uncertainty
    _, temperature, solved, uncertainty = jax.lax.fori_loop(0, 9, halve, start)
    passed = jnp.stack([jnp.mean(pass_at_k_estimate(solved, int(k))) for k in numbers_of_tries(tries)])
    return {"passed": passed, "entropy": uncertainty, "temperature": temperature}


def trained(size: Size, base: Any, seed: int) -> xr.Dataset:
    """What GRPO makes of base networks.

    Args:
      size: how much is computed.
      base: parameters, from [`taught`][].
      seed: of the random numbers.

    Returns:
      `policy`, `leak`, and rates `right`, `paid`, `worked` and `announced`, `[arm, seed, step, kind, question,
      procedure]`; `passed` `[model, seed, k]`, `entropy` and `temperature` `[model, seed]`, `status` `[arm, seed]`.
    """
    task, keys = task_of(size), jax.random.split(jax.random.key(seed), (5, size.seeds))
    model = tf.Decoder(task.vocabulary, width=size.width, depth=size.depth)
    sets = [task.draw(keys[3, 0], size.questions, held=held) for held in (False, True)]
    asked = jax.tree.map(lambda *parts: jnp.concatenate(parts), *sets)

    def reinforce(key: Array, params: Any, coin: Array) -> tf.Run:
        options: dict[str, Any] = {"algorithm": grpo(GROUP), "steps": size.steps, "record_every": size.every}
        options["reward"] = tf.reward.verifiable(jnp.where(coin, 0.5, 1.0), jnp.where(coin, 0.5, 0.0))
        options["probe"] = lambda params: seen(keys[3, 1], model, params, task, asked, size.forced)
        return tf.train(key, model, params, task, questions=16, learning_rate=1e-3, **options)

    def answer(key: Array, params: Any, entropy: Array) -> dict[str, Array]:
        return tried(key, params, entropy, model, task, sets[1], size.tries)

    both = jnp.concatenate([keys[0], keys[4]]), jax.tree.map(lambda x: np.concatenate([x, x]), base)
    run = tf.side_by_side(reinforce)(*both, np.arange(2 * size.seeds) >= size.seeds)
    answers, plain = tf.side_by_side(answer), jnp.full(size.seeds, jnp.inf, jnp.float32)
    ended = jax.tree.map(lambda x: x[: size.seeds], run.params)
    made = [answers(keys[1], params, plain) for params in (base, ended)]
    made += [answers(keys[1], base, made[1]["entropy"]), answers(keys[2], base, plain)]
    dims = ("arm", "seed", "step", "kind", "question", "procedure")
    read = {
        n: np.asarray(v).reshape(2, -1, v.shape[1], 2, size.questions, *v.shape[3:])
        for n, v in run.seen.items()
    }
    values = {name: (dims[: value.ndim], value) for name, value in read.items()}
    values |= {
        n: (("model", "seed", "k")[: 2 + (n == "passed")], np.stack([m[n] for m in made])) for n in made[0]
    }
    coords = {
        "arm": list(ARMS),
        "step": run.step[0],
        "kind": ["like training", "held out"],
        "procedure": list(PATTERNS),
    }
    coords |= {"model": list(MODELS), "k": numbers_of_tries(size.tries)}
    return lab.dataset(values | {"status": (("arm", "seed"), run.status.reshape(2, -1))}, coords)


def compared(policy: xr.DataArray, rates: xr.DataArray) -> xr.Dataset:
    """Points of some curves that are nearest in total variation to the path of each network.

    Args:
      policy: the path `[seed, step, procedure]`.
      rates: rates of paid answers that the theory is given, `[seed, procedure]`.

    Returns:
      `near` `[curve, seed, step, procedure]` and `away`, how far it is, `[curve, seed, step]`: `CURVES`.
    """
    start, rate = (x.values.astype(float) for x in (policy.isel(step=0), rates))
    mirrored = rate.max(1, keepdims=True) + rate.min(1, keepdims=True) - rate

    def along(ref: Array, rate: Array) -> Array:
        problem = Problem(jnp.log(ref / ref.sum()), rate)
        return jnp.exp(jax.vmap(lambda tau: orbit.policy(problem, tau))(jnp.asarray(TIMES)))

    softmax = np.asarray(jax.jit(jax.vmap(jax.vmap(along), (None, 0)))(start, np.stack([rate, mirrored])))
    natural = softmax_of(np.log(start)[:, None] + TIMES[:, None] * rate[:, None], axis=-1)
    share, goal = np.linspace(0, 1, len(TIMES))[:, None], np.eye(rate.shape[1])[rate.argmax(1)][:, None]
    points = [softmax[0], natural, (1 - share) * start[:, None] + share * goal, softmax[1]]
    near = [[nearest(*pair) for pair in zip(policy.values, curve, strict=True)] for curve in points]
    near = policy.expand_dims(curve=list(CURVES)).copy(data=np.stack(near))
    return xr.Dataset({"near": near, "away": abs(near - policy).sum("procedure", skipna=False) / 2})


def nearest(path: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """The point of a curve nearest in total variation to each point of a path, `[times, n]`."""
    return curve[np.abs(path[:, None] - curve[None]).sum(axis=-1).argmin(axis=1)]


def parts(policy: xr.DataArray, right: xr.DataArray, paid: xr.DataArray) -> xr.DataArray:
    """The gain of paid accuracy up to each record, and what it is made of.

    Args:
      policy, right, paid: shares, and rates of right and of paid answers, `[..., step, question, procedure]`.

    Returns:
      `[part, ..., step]`: choice, answers and format, which add up to gain; means over questions.
    """
    total = right.sum("procedure", skipna=False)
    share = xr.where(total > 0, paid.sum("procedure", skipna=False) / total.where(total > 0), 0.0)

    def before(x: xr.DataArray) -> xr.DataArray:
        return xr.where(x.step == x.step[0], x, x.shift(step=1))

    def middle(x: xr.DataArray) -> xr.DataArray:
        return (before(x) + x) / 2

    def change(x: xr.DataArray) -> xr.DataArray:
        return x - before(x)

    answers = middle(share) * change(right)
    made = {
        "choice": change(policy) * middle(paid),
        "answers": middle(policy) * answers,
        "format": middle(policy) * (change(paid) - answers),
        "gain": change(policy * paid),
    }
    sums = [value.sum("procedure", skipna=False).mean("question", skipna=False) for value in made.values()]
    whole = [value.cumsum("step", skipna=False).assign_coords(step=policy.step) for value in sums]
    return xr.concat(whole, xr.DataArray(list(made), dims="part", name="part"))
