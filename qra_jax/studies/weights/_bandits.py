"""Questions each of which has a best pattern of its own: what is learnt of one is of no use for another.

A question is one token, a network answers with one of a few patterns, and these are right with known rates. Half of
the questions are asked in training. Among the others every pattern is the best one of as many questions, and is so
independently of which pattern the base network prefers: whatever all questions learn in common, the expected reward of
questions that are held out stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from qra_jax import metrics, transformer
from qra_jax.algorithm import Algorithm
from qra_jax.problem import Problem, stack
from qra_jax.studies import lab
from qra_jax.studies.networks._bases import learnt
from qra_jax.transformer import kernel, model as tf_model, parts, rl
from qra_jax.transformer.model import Model, Params
from qra_jax.transformer.task import Controlled

PATTERNS, WIDTH, HIDDEN, GROUP = 4, 64, 2, 8
HALF = PATTERNS**2
"""Questions that are asked in training, and as many that are not."""
RIGHT, WRONG, PREFERRED = 0.9, 0.1, 0.5
"""Success rates of the best pattern and of the others; share of the pattern that the base network prefers."""
UNEVEN = (7, 5, 3, 1)
"""Of how many questions that are asked each pattern is the best one; elsewhere of as many each."""
SEEDS, PRETRAINING, DEPTH = 12, lab.scale(150, 300), lab.scale(1, 2)
WORLDS = ("uneven", "even", "one")
"""How best patterns are spread over the questions that are asked; with `one`, over all questions."""


def tasks() -> dict[str, Controlled]:
    """The task with each spread of best patterns; they differ in numbers alone, and one base network knows them all."""
    number = np.arange(HALF)
    grid, other = number % PATTERNS, number // PATTERNS
    asked = {"uneven": np.repeat(np.arange(PATTERNS), UNEVEN), "even": grid, "one": 0 * grid}
    preferred = np.concatenate([(grid + other) % PATTERNS, other])
    return {
        name: _task(np.concatenate([best, 0 * grid if name == "one" else grid]), preferred)
        for name, best in asked.items()
    }


def _task(best: np.ndarray, preferred: np.ndarray) -> Controlled:
    pattern, rest = np.arange(PATTERNS), (1 - PREFERRED) / (PATTERNS - 1)
    each = [
        Problem.from_probs(
            ref=np.where(pattern == f, PREFERRED, rest), success=np.where(pattern == r, RIGHT, WRONG)
        )
        for r, f in zip(best, preferred, strict=True)
    ]
    return transformer.controlled(stack(each), steps=(0,) * PATTERNS, digits=1, coin=True, held_out=HALF)


def bases(run: lab.Run) -> tuple[Controlled, transformer.Decoder, Params]:
    """Tasks `[worlds]`, the network, and base networks `[seeds]` that all studies share.

    The network is wider than its vocabulary, so that its features have directions that are free.
    """
    every = tasks()
    first = every["even"]
    model = transformer.Decoder(first.vocabulary, width=WIDTH, depth=run(DEPTH), hidden=HIDDEN)
    extent = {"seed": run.shared_seed, "seeds": SEEDS, "steps": run(PRETRAINING)}
    found = run.bank.get(learnt, (first,), model, **extent)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *every.values())
    return stacked, model, jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), found)


def masks(params: Params, unembedding: Any, rest: Any) -> Params:
    """Whether the unembedding trains, and whether all the rest does; may be traced."""
    return jax.tree.map(lambda own: jnp.where(own, unembedding, rest), parts.chosen(params, "unembedding"))


def choice(task: Controlled, where: slice = slice(None)) -> kernel.Contexts:
    """Contexts in which a pattern is chosen: one for each question."""
    index = jnp.arange(task.number)[where]
    return kernel.Contexts(task.questions(index), jnp.zeros((len(index), 1, 1), int))


def marked(
    key: Array, model: transformer.Decoder, bases: Params, cosines: Any, shares: Any
) -> Callable[[Any, Any], tuple[transformer.Decoder, Params]]:
    """Networks with features that are more or less alike, made once: free directions take longer to find than a run.

    Args:
      key: PRNG key; a base has the same marks of each kind, but for their cosine.
      model: the network.
      bases: `[seeds, ...]`.
      cosines: `[kinds]`, mean cosine of marks.
      shares: `[kinds]`, of the marks in the squared norm of features.

    Returns:
      From the number of a base and that of a kind, both of which may be traced, to a network and its parameters.
    """

    def one(seed: Array, base: Params, cosine: Array, share: Array) -> Any:
        same, params = kernel.alike(jax.random.fold_in(key, seed), model, base, cosine, share)
        return same.marks, params["unembedding"]["kernel"]

    every = jax.vmap(jax.vmap(one, in_axes=(None, None, 0, 0)), in_axes=(0, 0, None, None))
    seeds, shares = jnp.arange(jax.tree.leaves(bases)[0].shape[0]), jnp.asarray(shares)
    marks, kernels = jax.jit(every)(seeds, bases, jnp.asarray(cosines), shares)

    def at(seed: Any, kind: Any) -> tuple[transformer.Decoder, Params]:
        base = jax.tree.map(lambda leaf: leaf[seed], bases)
        same = model.clone(marked=shares[kind], marks=marks[seed, kind])
        return same, base | {"unembedding": {"kernel": kernels[seed, kind]}}

    return at


def trained(
    key: Array,
    model: Model,
    params: Params,
    task: Controlled,
    *,
    algorithm: Algorithm,
    optimizer: optax.GradientTransformation,
    steps: int,
    every: int,
    through: Callable[[Array], Model] | None = None,
    until: Any = 0,
    beside: Callable[[Params, Array], dict[str, Array]] = lambda params, features: {},
) -> tuple[Params, dict[str, Array]]:
    """One network trained on its choice of patterns for all questions that are asked.

    Args:
      key: PRNG key.
      model: the network.
      params: where it starts.
      task: what it is asked; may be traced.
      algorithm: turns the rewards of a group into weights.
      optimizer: what moves the parameters.
      steps: number of updates.
      every: steps between records.
      through: the network that slopes go through, made from an unembedding that is remembered; default: `model`.
      until: the step up to which that is the network's own; from there on it stays as it is. May be traced.
      beside: what else is recorded, of the parameters and of the features `[N, 1, 1, D]` of all questions.

    Returns:
      The last parameters; of questions asked and held out `[times, 2]` the mean `entropy` of the choice of patterns
      in nats and the mean expected `reward`; `status`; and what is recorded beside, `[times, ...]`.
    """
    prompts, tokens = choice(task)
    success = jnp.pad(
        task.problem.success, ((0, 0), (task.first_pattern, task.vocabulary - task.first_pattern - PATTERNS))
    )

    def step(carry: Any, index: Array) -> tuple[Any, dict[str, Array]]:
        params, memory, remembered = carry
        remembered = jnp.where(index <= until, params["unembedding"]["kernel"], remembered)
        keys = jax.random.split(jax.random.fold_in(key, index))
        network = model if through is None else through(remembered)
        scores, back = jax.vjp(kernel.logits(network, choice(task, slice(HALF))), params)
        drawn = jax.random.categorical(keys[0], scores[:, 0], shape=(GROUP, HALF, 1))[..., 0].T
        chance = jnp.take_along_axis(success[:HALF], drawn, axis=1)
        right = jax.random.uniform(keys[1], chance.shape) < chance
        weights = jax.vmap(algorithm.weights)(right.astype(scores.dtype))
        policy = jax.nn.softmax(scores)[:, 0]
        pulls = weights[..., None] * (jax.nn.one_hot(drawn, task.vocabulary, dtype=scores.dtype) - policy)
        (slope,) = back(-jnp.sum(pulls, axis=1)[:, None, None] / weights.size)
        change, memory = optimizer.update(slope, memory, params)
        return (optax.apply_updates(params, change), memory, remembered), {}

    def look(params: Params) -> dict[str, Array]:
        scores, features = transformer.score(model, params, prompts.prompt, prompts.real, tokens)
        log_probs = jax.nn.log_softmax(scores[:, 0, 0])
        among = jax.lax.dynamic_slice_in_dim(log_probs, task.first_pattern, PATTERNS, axis=1)
        entropy = metrics.entropy(jax.nn.log_softmax(among))
        reward = jnp.sum(jnp.exp(log_probs) * success, axis=-1)
        both = {"entropy": entropy, "reward": reward}
        return {name: jnp.mean(x.reshape(2, HALF), axis=1) for name, x in both.items()} | beside(
            params, features
        )

    begun = params, optimizer.init(params), params["unembedding"]["kernel"]
    _, (params, *_), seen, _ = rl.recorded(step, begun, steps, every, look)
    return params, seen | {"status": tf_model.status(params)}
