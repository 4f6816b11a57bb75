"""Ways of training a network, each from a base network to its checkpoints: what the reference runs are made by.

A step of every way takes as many rollouts or demonstrations, `Size.questions` × `GROUP`, and evolution strategies take
fewer steps with as many rollouts in all. Numbers that tell arms apart are traced, so that the arms of a way are one
program.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from qra_jax import transformer as tf
from qra_jax.algorithm import filtered_sft, grpo, switch
from qra_jax.off_policy import OffPolicy
from qra_jax.regularizer import reverse_kl
from qra_jax.transformer import learning, rl
from qra_jax.transformer.model import Model, Params, status, wide
from qra_jax.transformer.preferences import prefer
from qra_jax.transformer.reward import SequenceReward, self_certainty, verifiable
from qra_jax.transformer.rl import Run

GROUP, MEMBERS = 8, 30
"""Rollouts of a question; members of a population."""
BETA, FLIPPED = 0.3, 0.3
"""β of DPO; chance that a demonstration counts as a bad one where they are noisy."""


class Size(NamedTuple):
    """How much is trained: networks, their size, and steps."""

    bases: int
    width: int
    depth: int
    skill_steps: int
    base_steps: int
    windows: int
    """Checkpoints after the first one."""
    every: int
    """Steps between checkpoints."""
    questions: int
    choosing: int
    """Further base networks, on which the rate is chosen."""

    @property
    def steps(self) -> int:
        """Steps of a run."""
        return self.windows * self.every


class Arm(NamedTuple):
    """One way of training, as numbers."""

    algorithm: int = 0
    internal: bool = False
    """Paid by its own certainty in the place of right answers."""
    adam: bool = True
    taught: bool = False
    """Shown samples of the teacher, in the place of demonstrations."""
    noisy: float = 0.0
    """Chance that a demonstration is counted with the opposite sign."""
    iterated: bool = True
    """Pairs are drawn from the policy of the step, in the place of the base."""
    spread: float = 0.0
    """Size of perturbations, in root mean squares of the base's weights."""


FIRST_RATES = {
    "controlled": {
        "descent": (0.003, 0.01, 0.03),
        "Adam": (1e-3, 3e-3, 1e-2),
        "certainty": (1e-5, 3e-5, 1e-4),
        "population": (0.01, 0.03, 0.1),
    },
    "arithmetic": {
        "descent": (0.001, 0.003, 0.01),
        "Adam": (1e-4, 3e-4, 1e-3),
        "certainty": (1e-5, 3e-5, 1e-4),
        "population": (0.01, 0.03, 0.1),
    },
}
"""Learning rates that are tried at first, by task and what takes steps; further ones while the best is at an end."""
FURTHER = 3
"""How many further ones at most."""
FAMILIES: dict[str, dict[str, Arm]] = {
    "rollouts": {
        "GRPO, SGD": Arm(adam=False),
        "GRPO, Adam": Arm(),
        "GRPO, Adam, again": Arm(),
        "RLIF": Arm(internal=True),
        "filtered SFT⁺": Arm(1),
        "filtered SFT⁻": Arm(2),
        "filtered SFT±": Arm(3),
    },
    "stale": {"GRPO, off-policy": Arm()},
    "demonstrations": {
        "SFT": Arm(),
        "SFT, again": Arm(),
        "SFT, SGD": Arm(adam=False),
        "SFT, noisy": Arm(noisy=FLIPPED),
        "SFT, noisy, same rate": Arm(noisy=FLIPPED),
        "distillation": Arm(taught=True),
    },
    "teacher": {"distillation, on-policy": Arm()},
    "pairs": {"DPO, offline": Arm(iterated=False), "DPO, iterated": Arm()},
    "population": {f"evolution, σ {spread:g}": Arm(spread=spread) for spread in (0.001, 0.03, 0.3)},
}
"""Arms by the program that runs them."""
SAME_RATE = {"GRPO, Adam, again": "GRPO, Adam", "SFT, again": "SFT", "SFT, noisy, same rate": "SFT"}
"""Arms that have the learning rate of another one: they repeat it with other random numbers, or with noise."""
TEACHER = "GRPO, Adam"

Optimizer = Callable[[Any], optax.GradientTransformation]
Look = Callable[[Params], Any]


def rates_of(arm: Arm, family: str, task: str) -> tuple[float, ...]:
    """Learning rates that are tried at first, in rising order."""
    if family == "population":
        return FIRST_RATES[task]["population"]
    return FIRST_RATES[task]["certainty" if arm.internal else "Adam" if arm.adam else "descent"]


def further(rates: list[float], scores: list[float]) -> float | None:
    """The rate to be tried next: beyond the end of the tried ones at which the best is; none where it is inside.

    Args:
      rates: that were tried, in rising order.
      scores: of each, the larger the better.

    Returns:
      A rate, three or ten thirds times the one at the end; `None` also after `FURTHER` further ones.
    """
    best = max(range(len(rates)), key=scores.__getitem__)
    if 0 < best < len(rates) - 1 or len(rates) >= 3 + FURTHER:
        return None
    digit = rates[best] / 10 ** np.floor(np.log10(rates[best]) + 1e-9)
    steps = (10 / 3, 1 / 3) if digit > 2 else (3.0, 0.3)
    return float(f"{rates[best] * steps[0 if best else 1]:.0e}")


def number(name: str) -> int:
    """Of the random numbers of what has this name: the same in whatever order things are run."""
    return zlib.crc32(name.encode()) >> 1


def train(
    family: str,
    key: Array,
    model: Model,
    params: Params,
    task: Any,
    size: Size,
    arm: Arm,
    rate: Array,
    *,
    teacher: Params,
    look: Look,
    optimizer: Optimizer | None = None,
) -> Run:
    """One run.

    Args:
      family: a name of `FAMILIES`.
      key: PRNG key.
      model: the network.
      params: the base.
      task: what is asked.
      size: how much.
      arm: what is done; traced.
      rate: learning rate; traced.
      teacher: parameters that are learnt from; used by some.
      look: what is kept of a checkpoint.
      optimizer: from a learning rate to an optax transformation; default: gradient descent or Adam, as the arm says.

    Returns:
      A `Run` with a record for each checkpoint.
    """
    make = optimizer or rl.sgd_or_adam(arm.adam)
    common: dict[str, Any] = {"questions": size.questions, "steps": size.steps, "record_every": size.every}
    common |= {"learning_rate": rate, "probe": look, "optimizer": make}
    if family == "demonstrations":
        return demonstrated(key, model, params, task, arm=arm, teacher=teacher, **common)
    if family == "pairs":
        return prefer(key, model, params, task, beta=BETA, group_size=GROUP, iterated=arm.iterated, **common)
    if family == "population":
        asked, turns = size.questions * GROUP * size.every, size.windows
        common |= {"questions": max(1, round(asked / MEMBERS)), "steps": turns, "record_every": 1}
        del common["optimizer"]
        leaves = [jnp.ravel(leaf) for leaf in jax.tree.leaves(params)]
        noise = arm.spread * jnp.sqrt(jnp.mean(jnp.concatenate(leaves) ** 2))
        return tf.evolve(key, model, params, task, noise=noise, population=MEMBERS, **common)
    both = [grpo(GROUP), *(filtered_sft(keep, group_size=GROUP) for keep in ("positive", "negative", "both"))]
    common["algorithm"] = switch(arm.algorithm, both) if family == "rollouts" else grpo(GROUP)
    if family == "rollouts":
        common["reward"] = paid(arm.internal)
    elif family == "stale":
        common["off_policy"] = OffPolicy(surrogate="none", staleness=size.steps, schedule="held")
    else:
        common |= {"reward": verifiable(0.0, 0.0), "regularizers": [reverse_kl(1.0)], "reference": teacher}
    return tf.train(key, model, params, task, **common)


def paid(internal: Array | bool) -> SequenceReward:
    """Its own certainty where `internal`, or else right answers."""
    return SequenceReward("certainty or answer", _paid, {"internal": internal})


def _paid(params: dict[str, Any], key: Array, rollouts: Any, verdict: Any) -> Array:
    own, right = self_certainty()(key, rollouts, verdict), verifiable()(key, rollouts, verdict)
    return jnp.where(params["internal"], own, right)


def demonstrated(
    key: Array,
    model: Model,
    params: Params,
    task: Any,
    *,
    arm: Arm,
    teacher: Params,
    questions: int,
    steps: int,
    record_every: int,
    learning_rate: Array,
    optimizer: Optimizer,
    probe: Look,
) -> Run:
    """Supervised learning of single sequences: of right demonstrations, every pattern as often, or of the teacher.

    Args:
      key: PRNG key.
      model: the network.
      params: where it starts.
      task: what is shown.
      arm: whether the teacher is shown, and how noisy the sign of a sequence is.
      teacher: its parameters.
      questions: of a step.
      steps: updates.
      record_every: steps between records.
      learning_rate: η.
      optimizer: from a learning rate to an optax transformation.
      probe: what is recorded.

    Returns:
      A `Run`; its only statistic is the `loss`.
    """
    optimiser = optimizer(learning_rate)
    show = partial(tf.sample, group=GROUP, length=task.length, end=task.end)

    def step(carry: Any, index: Array) -> Any:
        params, memory = carry
        keys = jax.random.split(jax.random.fold_in(key, index), 4)
        asked = task.draw(keys[0], questions)
        right, where = solved(task, asked)
        pick = jax.random.randint(keys[1], (questions, GROUP, 1), 0, task.patterns)
        rows, where = (jnp.take_along_axis(x, pick, axis=1) for x in (right, where))
        samples = show(keys[2], model, teacher, asked)
        rows, where = (
            jnp.where(arm.taught, own, other)
            for own, other in ((samples.tokens, rows), (samples.where, where))
        )
        sign = jnp.where(jax.random.uniform(keys[3], rows.shape[:2]) < arm.noisy, -1.0, 1.0)

        def loss(params: Params) -> Array:
            scores = rl.log_probs(model, params, asked, rows)
            own = jnp.take_along_axis(scores, rows[..., None], axis=-1)[..., 0]
            return -jnp.mean(sign * jnp.sum(jnp.where(where, own, 0.0), axis=-1))

        value, slope = jax.value_and_grad(loss)(params)
        change, memory = optimiser.update(wide(slope), memory, wide(params))
        return (optax.apply_updates(params, change), memory), {"loss": value}

    carry = params, optimiser.init(wide(params))
    times, (params, _), seen, stats = rl.recorded(step, carry, steps, record_every, probe)
    return Run(times, params, seen, stats, status(params))


def solved(task: Any, asked: tf.Questions) -> tuple[Array, Array]:
    """A right sequence of every pattern for each question, announced: tokens, and which of them are there."""
    if isinstance(task, tf.Controlled):
        every = task.demonstrations()  # with right answers
        tokens, where = (x[asked.truth] for x in (every.tokens, every.where))
    else:
        shown = task.show(asked)
        tokens, where = shown.tokens, shown.where
    return tokens[:, : task.patterns], where[:, : task.patterns]


def taught(
    key: Array, model: Model, corpus: Any, *, steps: int, rate: float, params: Params | None = None
) -> Params:
    """A base network: AdamW on the expected cross-entropy of a corpus; traced."""
    optimiser = optax.adamw(learning.cosine(rate, steps), b2=0.95, weight_decay=1e-4)

    def step(state: Any, index: Array) -> tuple[Any, None]:
        params, memory = state
        shown = corpus(jax.random.fold_in(key, index))
        slope = jax.grad(lambda p: learning.cross_entropy(model, p, shown))(params)
        change, memory = optimiser.update(slope, memory, params)
        return (optax.apply_updates(params, change), memory), None

    fresh = tf.init(jax.random.fold_in(key, steps), model) if params is None else params
    return jax.lax.scan(step, (fresh, optimiser.init(fresh)), jnp.arange(steps))[0][0]
