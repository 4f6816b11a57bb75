"""Base networks that the studies of data share: trained once, kept in the bank, and found again.

    params = skilled(run)            # [seeds, ...], arithmetic: all four procedures in equal shares
    params = solvers(run)            # [seeds, ...], graphs of 2 to 4 operations and a few of 5 and 6, first context

What a study needs beyond that (another mixture of formats, rare names, …) it teaches in a few hundred further steps,
by `tf.learn` with `params=` or, where a traced number tells corpora apart, by `continued`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from qra_jax import transformer as tf
from qra_jax.studies import lab
from qra_jax.transformer.graphs import Graphs, graphs
from qra_jax.transformer.procedures import Arithmetic, arithmetic

BAND, RARE, ROOM = (2, 4), 0.02, 6
"""Numbers of operations of graphs that bases have learnt; share of questions with one or two more; the largest number
in their corpus. In trials of networks without smeared keys none solved a question beyond its band without the rare
ones, and most had not learnt to look values up in as many steps."""


class Size(NamedTuple):
    """Networks, and how long they are taught."""

    seeds: int
    width: int
    depth: int
    steps: int
    rate: float = 5e-3
    questions: int = 16


SKILLED = lab.scale(Size(3, 16, 1, 400), Size(8, 32, 2, 1500))
SOLVING = lab.scale(Size(3, 16, 1, 100), Size(8, 48, 2, 2000, 4e-3, 32))


def sums(**options: Any) -> Arithmetic:
    """Sums of two and three numbers of two digits to the base 4, a sixteenth of them held out."""
    return arithmetic(4, **({"operands": (2, 3), "held": 1 / 16} | options))


def read(second: Any = 0.0) -> Graphs:
    """The graphs of the bases' corpus: those of `BAND`, and rarely larger ones; in arrays with room for `ROOM`."""
    shares = np.zeros(9)
    shares[BAND[0] - 1 : BAND[1]] = (1 - RARE) / (BAND[1] - BAND[0] + 1)
    shares[BAND[1] : ROOM] = RARE / (ROOM - BAND[1])
    return graphs(BAND, room=ROOM, second=second).mixed(shares)


def network(task: Any, size: Size) -> tf.Decoder:
    """The decoder of a task; for graphs, in which names are looked up again and again, one with smeared keys."""
    more: dict[str, Any] = {"heads": 4, "smeared": True} if isinstance(task, Graphs) else {}
    return tf.Decoder(task.vocabulary, width=size.width, depth=size.depth, **more)


def taught_sums(size: tuple, seed: int) -> Any:
    """Networks that know all procedures, `[seeds, ...]`."""
    return _taught(sums(), Size(*size), seed)


def taught_graphs(size: tuple, seed: int) -> Any:
    """Networks that solve graphs of `BAND`, in the first context, `[seeds, ...]`."""
    return _taught(read(), Size(*size), seed)


def _taught(task: Arithmetic | Graphs, size: Size, seed: int) -> Any:
    keys = jax.random.split(jax.random.key(seed), size.seeds)
    options: dict[str, Any] = {"steps": size.steps, "learning_rate": size.rate, "questions": size.questions}
    return tf.learn(keys, network(task, size), task.demonstrations, **options).params


def skilled(run: lab.Run) -> Any:
    """Networks `[seeds, ...]` that know all procedures of `sums()`, in equal shares; their size is `run(SKILLED)`."""
    return run.bank.get(taught_sums, tuple(run(SKILLED)), run.shared_seed)


def solvers(run: lab.Run) -> Any:
    """Networks `[seeds, ...]` that solve graphs of `BAND`; their size is `run(SOLVING)`."""
    return run.bank.get(taught_graphs, tuple(run(SOLVING)), run.shared_seed)


def continued(
    key: Array,
    model: Any,
    params: Any,
    corpus: Any,
    *,
    steps: int,
    questions: int,
    rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Any:
    """Supervised steps of one network, all in one program.

    Args:
      key: PRNG key.
      model: the network.
      params: where it starts.
      corpus: `(key, number) -> Demonstrations`; may close over traced numbers.
      steps: number of steps, ≥ 1.
      questions: sequences of a step.
      rate: learning rate of Adam, without decay or schedule, as RL has it.
      optimizer: another one in its place.

    Returns:
      The parameters.
    """
    optimiser = optimizer or optax.adam(rate)

    def step(state: Any, index: Array) -> tuple[Any, None]:
        params, memory = state
        shown = corpus(jax.random.fold_in(key, index), questions)
        slope = jax.grad(lambda p: tf.learning.cross_entropy(model, p, shown))(params)
        change, memory = optimiser.update(slope, memory, params)
        return (optax.apply_updates(params, change), memory), None

    return jax.lax.scan(step, (params, optimiser.init(params)), jnp.arange(steps))[0][0]


def together(networks: list[Any]) -> Any:
    """Networks (or keys, or numbers) `[seeds, ...]` joined, `[number · seeds, ...]`."""
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *networks)


def apart(found: Any, number: int) -> list[Any]:
    """What `together` put together, `number` trees."""
    leaves, form = jax.tree.flatten(found)
    rows = zip(*(np.split(np.asarray(leaf), number) for leaf in leaves), strict=True)
    return [jax.tree.unflatten(form, row) for row in rows]
