"""Reference runs: what every way of training makes of the same base networks, checkpoint by checkpoint.

    runs = reference(run, "arithmetic", ["GRPO, Adam", "SFT"], size)
    runs["SFT"].params    # leading axes [bases, checkpoints]

There are two tasks. In the controlled one patterns and their success rates are given and answers can be learnt; in
arithmetic, procedures are written down and success rates are what the network can do. Every base network has its own
random numbers from its first parameters on, and is the unit of replication. An arm has the learning rate with the best
accuracy at the end on other base networks. All of it is in the bank, a program's arms in one entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from qra_jax import transformer as tf
from qra_jax.batching import many
from qra_jax.problem import stack
from qra_jax.studies import lab
from qra_jax.studies.networks._sft import weak
from qra_jax.studies.weights import _ways as ways
from qra_jax.studies.weights._ways import FAMILIES, SAME_RATE, TEACHER, Size
from qra_jax.transformer.model import Model, Params
from qra_jax.transformer.procedures import Arithmetic, arithmetic

TASKS = lab.scale(("controlled",), ("controlled", "arithmetic"))
SIZE = lab.scale(
    Size(6, 16, 1, 1800, 60, 13, 4, 15, 2),
    Size(8, 32, 2, 1200, 200, 26, 5, 15, 4),
)
SKILLS, REF, ANNOUNCED = (0.3, 0.3, 0.3, 0.1), (0.15, 0.25, 0.1, 0.5), 0.7
HELD, SEEN = 5, 30
"""Questions of the controlled task that are never asked; of arithmetic, how many of each kind are read."""
WITHIN, LEAST = 0.2, 0.05
"""How far from an equal gain a run may be, as a share of the gain; the least gain, in accuracy, that is compared."""
PIECE = 2
"""Runs of one piece: all calls of a program are made of such pieces."""
KEPT = {"float32": jnp.float32, "copy": jnp.float32, "bfloat16": jnp.bfloat16}
"""Type of the parameters in memory; with a copy, the network computes with them rounded to bfloat16."""


class Course(NamedTuple):
    """What one way of training makes of every base network."""

    params: Params
    """`[bases, checkpoints, ...]`, float32."""
    accuracy: np.ndarray
    """`[bases, checkpoints]`, of questions like those of training, exact."""
    held: np.ndarray
    """The same of questions that are held out."""
    step: np.ndarray
    """`[checkpoints]`."""
    rate: float
    tried: np.ndarray
    """`[rates, 2]`, rates and accuracy at the end on the networks by which one was chosen; empty where none was."""

    def at(self, checkpoint: Any) -> Params:
        """Parameters `[bases, ...]` of one checkpoint, or of one for each base."""
        index = np.broadcast_to(checkpoint, self.accuracy.shape[:1])
        return jax.tree.map(lambda x: x[np.arange(len(index)), index], self.params)


class Equal(NamedTuple):
    """Checkpoints at which runs have gained as much."""

    at: dict[str, np.ndarray]
    """By arm the checkpoint of each base, `[bases]`, one or later."""
    reached: xr.DataArray
    """Accuracy there, `[arm, seed]`."""
    near: xr.DataArray
    """Whether that is near enough to the goal, `[arm, seed]`."""
    goal: xr.DataArray
    """Accuracy that is asked for, `[seed]`."""


def equal_gain(courses: dict[str, Course], share: float = 0.5, of: str = TEACHER) -> Equal:
    """Where every run first has a share of the gain of one arm: of the checkpoints beside it, the nearer one.

    Args:
      courses: by arm, that one among them.
      share: of the gain, in (0, 1].
      of: the arm.

    Returns:
      An `Equal`. An arm that never has that gain, or passes it in a jump, is not near: more than `WITHIN` of the
      gain away.
    """
    start, end = courses[of].accuracy[:, 0], courses[of].accuracy[:, -1]
    goal, at, reached = start + share * (end - start), {}, []
    for arm, course in courses.items():
        left = goal[:, None] - course.accuracy[:, 1:]
        above = np.where((left <= 0).any(axis=1), (left <= 0).argmax(axis=1), left.argmin(axis=1))
        rows, before = np.arange(len(goal)), np.maximum(above - 1, 0)
        at[arm] = 1 + np.where(abs(left[rows, before]) < abs(left[rows, above]), before, above)
        reached.append(course.accuracy[rows, at[arm]])
    axes = {"dims": ("arm", "seed"), "coords": {"arm": list(courses)}}
    found, asked = xr.DataArray(np.stack(reached), **axes), xr.DataArray(goal, dims="seed")
    gain = xr.DataArray(end - start, dims="seed")
    return Equal(at, found, (abs(found - asked) <= WITHIN * gain) & (gain > LEAST), asked)


def task_of(name: str, *, skills: bool = False) -> Any:
    """A task; with `skills`, the corpus by which its procedures are learnt."""
    if name == "controlled":
        return tf.controlled(stack([weak()] * (15 + HELD)), announced=ANNOUNCED, held_out=HELD)
    if skills:
        return arithmetic(4, operands=(2,), mixture=SKILLS, held=1 / 16)
    return arithmetic(4, operands=(2,), mixture=REF, announced=ANNOUNCED, held=1 / 16)


def model_of(name: str, size: Size, storage: str = "float32") -> tf.Decoder:
    """The network of a task."""
    dtype = jnp.float32 if storage == "float32" else jnp.bfloat16
    kind = {"dtype": dtype, "param_dtype": KEPT[storage]}
    return tf.Decoder(task_of(name).vocabulary, width=size.width, depth=size.depth, **kind)


def shown_of(task: Any) -> tuple[tf.Demonstrations, tf.Demonstrations]:
    """Sequences by which accuracy is read: of questions like those of training, and of held-out ones."""
    if isinstance(task, Arithmetic):
        key = jax.random.key(0)
        seen, held = (task.show(task.draw(key, SEEN, held=held)) for held in (False, True))
        return seen, held
    every = task.demonstrations()

    def some(rows: slice) -> tf.Demonstrations:
        kept = {n: getattr(every, n)[rows] for n in ("tokens", "where", "weight", "answer_at", "answers")}
        return replace(every, questions=task.questions(np.arange(task.number)[rows]), **kept)

    return some(slice(None, -HELD)), some(slice(-HELD, None))


def _bases(name: str, size: tuple, seed: int) -> Params:
    """Base networks `[bases + choosing, ...]`."""
    size = Size(*size)
    model, number, task = model_of(name, size), size.bases + size.choosing, task_of(name)
    skills = task_of(name, skills=True)

    def one(key: Array) -> Params:
        learn = partial(ways.taught, model=model)
        first, second = jax.random.split(key)
        if name == "controlled":
            return learn(
                second, corpus=lambda k: task.demonstrations(k, 16), steps=size.skill_steps, rate=5e-3
            )
        start = learn(first, corpus=lambda k: skills.demonstrations(k, 16), steps=size.skill_steps, rate=5e-3)
        corpus = lambda k: task.demonstrations(k, 16)  # noqa: E731
        return learn(second, corpus=corpus, steps=size.base_steps, rate=1e-3, params=start)

    return tf.side_by_side(one)(jax.random.split(jax.random.key(seed), number))


def accuracies(name: str, model: Model) -> Callable[[Params], Array]:
    """Exact accuracies `[2]` of a network: of questions like those of training, and of held-out ones."""
    sets = shown_of(task_of(name))
    return lambda params: jnp.stack([jnp.mean(tf.read_out(model, params, shown).accuracy) for shown in sets])


def _runner(name: str, size: Size, storage: str, family: str, seed: int) -> Any:
    """Runs of a family: what is seen of each, by arms, rates, numbers of base networks, these, and their teachers."""
    task, model = task_of(name), model_of(name, size, storage)
    accuracy = accuracies(name, model)

    def look(params: Params) -> dict[str, Any]:
        kept = jax.tree.map(lambda x: x.astype(jnp.float32), params)
        return {"accuracy": accuracy(params), "params": kept}

    def one(arm: Any, rate: Array, which: Array, number: Array, base: Params, teacher: Params) -> Any:
        start, guide = (jax.tree.map(lambda x: x.astype(KEPT[storage]), tree) for tree in (base, teacher))
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), which), number)
        return ways.train(family, key, model, start, task, size, arm, rate, teacher=guide, look=look).seen

    run = many(one, block=1, chunk=PIECE)  # of one compiled size, whatever the number of runs

    def every(
        names: list[str], arms: list[Any], rates: list[float], which: list[int], bases: Any, teacher: Any
    ) -> Any:
        numbers = np.array([ways.number(name) for name in names])
        count, index = len(arms), np.minimum(np.arange(-(-len(arms) // PIECE) * PIECE), len(arms) - 1)
        index = np.pad(index, (0, max(0, 2 * PIECE - len(index))), mode="edge")
        own = [
            jax.tree.map(lambda x: np.asarray(x)[np.array(which)[index]], tree) for tree in (bases, teacher)
        ]
        members = ways.Arm(*(np.array(column)[index] for column in zip(*arms, strict=True)))  # pyright: ignore[reportArgumentType]
        seen = run(members, np.array(rates)[index], np.array(which)[index], numbers[index], *own)
        return jax.tree.map(lambda x: np.asarray(x)[:count], seen)

    return every


def courses(
    name: str,
    size: tuple,
    family: str,
    storage: str,
    names: tuple,
    seed: int,
    bases: Any,
    teacher: Any,
    chosen: Any,
) -> dict[str, Any]:
    """Courses of some arms of one family, from base networks; learning rates are chosen on the last of them.

    Args:
      name: of the task.
      size: how much.
      family: of the arms.
      storage: of the parameters.
      names: of the arms.
      seed: of all random numbers.
      bases: `[bases + choosing, ...]`.
      teacher: as many networks that are learnt from.
      chosen: rate of each arm; empty: the best of those that are tried.

    Returns:
      By arm `params`, `seen` `[bases, checkpoints, 2]`, `rate` and `tried`.
    """
    size, members = Size(*size), FAMILIES[family]
    everyone, run = size.bases + size.choosing, _runner(name, size, storage, family, seed)

    def ran(cells: list[tuple[str, float, int]]) -> Any:
        arms, rates, which = (list(column) for column in zip(*cells, strict=True))
        return run(arms, [members[arm] for arm in arms], rates, which, bases, teacher)

    tried: dict[str, dict[float, float]] = {arm: {} for arm in names}
    best = dict(zip(names, chosen, strict=True)) if len(chosen) else {}
    if not best:
        own = [arm for arm in names if arm not in SAME_RATE]
        asked = [(arm, rate) for arm in own for rate in ways.rates_of(members[arm], family, name)]
        while asked:
            ends = ran([(*cell, base) for cell in asked for base in range(size.bases, everyone)])["accuracy"]
            scores = np.nan_to_num(ends[:, -1, 0]).reshape(len(asked), size.choosing).mean(axis=1)
            for (arm, rate), score in zip(asked, scores, strict=True):
                tried[arm] = dict(sorted({**tried[arm], rate: float(score)}.items()))
            more = {arm: ways.further(list(tried[arm]), list(tried[arm].values())) for arm in own}
            asked = [(arm, rate) for arm, rate in more.items() if rate is not None]
        best = {arm: max(tried[arm], key=tried[arm].__getitem__) for arm in own}
        best |= {arm: best[like] for arm, like in SAME_RATE.items() if arm in names}
    # The teacher is needed of those by which rates are chosen, too.
    number = {arm: everyone if arm == TEACHER else size.bases for arm in names}
    seen = ran([(arm, best[arm], base) for arm in names for base in range(number[arm])])
    found: dict[str, Any] = {}
    first = 0
    for arm, count in number.items():
        rows = slice(first, first + count)
        found[arm] = jax.tree.map(lambda x, rows=rows: x[rows], seen)
        found[arm] |= {"rate": best[arm], "tried": np.array([*tried[arm].items()]).reshape(-1, 2)}
        first += count
    return found


def bases(run: lab.Run, task: str, size: Size) -> Params:
    """The base networks `[bases, ...]` that all arms start from."""
    every = run.bank.get(_bases, task, tuple(size), run.shared_seed)
    return jax.tree.map(lambda x: x[: size.bases], every)


def reference(
    run: lab.Run, task: str, arms: Iterable[str], size: Size, storage: str = "float32"
) -> dict[str, Course]:
    """Courses of some arms, made once for all studies.

    Args:
      run: the experiment that asks.
      task: a name of `TASKS`.
      arms: names in `FAMILIES`.
      size: how much; studies that are to share take `SIZE`.
      storage: a name of `KEPT`; the rates are those of float32.

    Returns:
      A `Course` for each arm.
    """
    arms, found = list(arms), {}
    for family, members in FAMILIES.items():
        wanted = tuple(arm for arm in members if arm in arms)
        if not wanted:
            continue
        names, rates = tuple(members), ()
        if storage != "float32":
            plain = _kept(run, task, size, family)
            names, rates = wanted, tuple(float(plain[arm]["rate"]) for arm in wanted)
        made = _kept(run, task, size, family, storage, names, rates)
        for arm in wanted:
            kept = jax.tree.map(lambda x: x[: size.bases], {"params": made[arm]["params"]})
            seen, step = made[arm]["accuracy"][: size.bases], np.arange(size.windows + 1) * size.every
            rest = seen[..., 0], seen[..., 1], step, float(made[arm]["rate"]), made[arm]["tried"]
            found[arm] = Course(kept["params"], *rest)
    return found


def joined(parts: dict[str, xr.Dataset]) -> xr.Dataset:
    """Datasets of tasks as one."""
    return xr.concat(list(parts.values()), xr.DataArray(list(parts), dims="task", name="task"))


def pairs(
    function: Callable[[Array, Params, Params], dict[str, Any]],
    key: Array,
    base: Params,
    tuned: dict[str, Params],
) -> dict[str, np.ndarray]:
    """What a function says of every base network and what became of it; one compiled program.

    Args:
      function: `(key, base, tuned) -> arrays by name`, of single networks.
      key: PRNG key.
      base: `[bases, ...]`.
      tuned: `[bases, ...]` of each arm.

    Returns:
      `[arms, bases, ...]` by name.
    """
    number = jax.tree.leaves(base)[0].shape[0]
    keys = jax.random.split(key, len(tuned) * number)
    every = jax.tree.map(lambda *leaves: np.concatenate(leaves), *([base] * len(tuned)))
    ends = jax.tree.map(lambda *leaves: np.concatenate(leaves), *tuned.values())
    seen = tf.side_by_side(function)(keys, every, ends)
    return {name: np.asarray(x).reshape(len(tuned), number, *x.shape[1:]) for name, x in seen.items()}


def _kept(
    run: lab.Run,
    task: str,
    size: Size,
    family: str,
    storage: str = "float32",
    names: tuple[str, ...] = (),
    rates: tuple[float, ...] = (),
) -> dict[str, Any]:
    """One entry of the bank; by default of all arms of a family."""
    every = teacher = run.bank.get(_bases, task, tuple(size), run.shared_seed)
    if family in ("demonstrations", "teacher"):
        ends = _kept(run, task, size, "rollouts")[TEACHER]["params"]
        teacher = jax.tree.map(lambda x: x[:, -1], ends)
    names = names or tuple(FAMILIES[family])
    return run.bank.get(
        courses, task, tuple(size), family, storage, names, run.shared_seed, every, teacher, rates
    )
