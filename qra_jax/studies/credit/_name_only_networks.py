"""Networks of the study of RL in name only on tokens: one task, bases, and training under all rules."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from qra_jax import transformer
from qra_jax.off_policy import OffPolicy
from qra_jax.regularizer import reverse_kl
from qra_jax.studies import lab
from qra_jax.studies.clocks._rules import RULES
from qra_jax.studies.credit._name_only_tokens import BETA, EPOCHS, MEMBERS, OTHER, by_length, length, twin
from qra_jax.transformer import rl
from qra_jax.transformer.model import Params
from qra_jax.transformer.tree_task import TreeTask, tree_task

WIDTH, ASKED, QUESTIONS = 16, 6, 3
"""Of the networks; questions of a step, and how many there are."""
SEEDS, STEPS, EVERY, PRETRAINING = lab.scale(5, 12), lab.scale(80, 120), 20, 150
SGD, ADAM, DIVIDED = 0.003, (0.001, 0.003), 0.015
"""Learning rates: of gradient descent, of Adam, and of gradient descent where lengths are read."""
NORMS = {"constant": 0.0, "1/|o|": 1.0}
"""Powers of the length that weights are divided by."""
COMPARED = ["GRPO", "± (unit weights)", "positives only", OTHER]
"""Rules whose paths are compared."""
SETTINGS: dict[str, tuple[str, bool, float, float]] = {
    "on policy": ("alike", False, SGD, 0.0),
    "KL": ("alike", False, SGD, BETA),
    "shared": ("different", False, SGD, 0.0),
    "Adam": ("alike", True, ADAM[0], 0.0),
}
"""World, whether Adam is used, learning rate and β of the conditions with one epoch."""


Row = dict[str, Any]


def _row(condition: str, rule: str, setting: tuple[str, bool, float, float], power: float = 0.0) -> Row:
    """A run: condition, rule and world in words, and the numbers that they stand for."""
    world, adam, rate, beta = setting
    words = {"condition": condition, "name": rule, "world": world}
    numbers = {"rule": list(MEMBERS).index(rule), "power": power, "adam": float(adam)}
    return words | numbers | {"rate": rate, "beta": beta}


def of_paths() -> list[Row]:
    """Runs whose paths are compared, and runs under Adam on different questions at two rates."""
    found = [_row(name, rule, setting) for name, setting in SETTINGS.items() for rule in COMPARED]
    rules = ("GRPO", "± (unit weights)", "negatives only")
    return found + [
        _row(f"rate {rate:g}", rule, ("different", True, rate, 0.0)) for rate in ADAM for rule in rules
    ]


def of_epochs() -> list[Row]:
    """The same at the setting of plain training, to be run with several epochs."""
    return [_row("epochs, clipped", rule, SETTINGS["on policy"]) for rule in COMPARED]


def of_lengths() -> list[Row]:
    """Runs whose lengths are compared, with weights over |o| and over a constant."""
    same, two = (("same success", False, DIVIDED, 0.0), ("two approaches", False, DIVIDED, 0.0))
    found = []
    for norm, power in NORMS.items():
        found += [_row(f"{same[0]}, {norm}", rule, same, power) for rule in ("GRPO", *list(RULES)[2:])]
        found.append(_row(f"{two[0]}, {norm}", "GRPO", two, power))
    return found


def network_task() -> TreeTask:
    """Three questions with the same two short combs; their success rates are given by [`worlds`][]."""
    return tree_task(jax.tree.map(lambda leaf: jnp.stack([leaf] * QUESTIONS), twin(0.8, 0.2, depth=3)))


def worlds(seed: int) -> dict[str, np.ndarray]:
    """Success rates of all leaves of the questions by name, `[questions, leaves]`."""
    random, task = np.random.default_rng(seed), network_task()
    shape = task.tree.success.shape
    levels = [random.beta(a, b, shape[1]) for a, b in ((1.0, 1.0), (0.5, 1.5), (0.3, 3.0))]
    return {
        "alike": np.stack([levels[0]] * QUESTIONS),
        "different": np.stack(levels),
        "same success": np.full(shape, 0.25),
        "two approaches": np.asarray(task.tree.success),
    }


def _model(task: TreeTask) -> transformer.Decoder:
    return transformer.Decoder(task.vocabulary, width=WIDTH, depth=1)


def bases(*, seed: int, seeds: int, steps: int) -> Params:
    """Networks that have learnt the paths of the task, leading axis `[seeds]`."""
    task = network_task()
    keys = jax.random.split(jax.random.key(seed), seeds)
    made = transformer.learn(keys, _model(task), task.demonstrations, steps=steps, questions=QUESTIONS)
    return jax.tree.map(np.asarray, made.params)


def network_path(
    key: Array, params: Params, success: Array, row: dict[str, Any], *, steps: int, every: int, epochs: bool
) -> dict[str, Array]:
    """Leaf policies and accuracy of a network along training.

    Args:
      key: PRNG key.
      params: where it starts.
      success: `[questions, leaves]`.
      row: numbers by name, which may be traced: `rule` of `MEMBERS`, `power` of the length, `adam`, `rate`, `beta`.
      steps: updates.
      every: steps between records.
      epochs: whether each group is used four times, clipped.

    Returns:
      `path`, `[records, questions, leaves]`, `accuracy`, `[records]`, and `growth` of the logarithms of the mean
      lengths of all answers and of wrong ones, `[2]`.
    """
    task = network_task()
    task = replace(task, tree=replace(task.tree, success=success))
    model, again = _model(task), row["rule"] == len(RULES)  # the last member of `MEMBERS`

    def look(now: Params) -> dict[str, Array]:
        seen = task.steps(model, now)
        path = jnp.exp(task.tree.leaf_log_policy(seen.log_policy))
        return {"path": path, "accuracy": jnp.mean(seen.accuracy)}

    run = transformer.train(
        jax.random.fold_in(key, jnp.asarray(again, int)),
        model,
        params,
        task,
        algorithm=by_length(jnp.where(again, 0, row["rule"]), row["power"]),
        steps=steps,
        questions=ASKED,
        learning_rate=row["rate"],
        optimizer=rl.sgd_or_adam(row["adam"] > 0),
        regularizers=[] if epochs else [reverse_kl(row["beta"])],
        off_policy=EPOCHS if epochs else OffPolicy(),
        record_every=every,
        probe=look,
    )
    lengths = jax.vmap(partial(length, jax.tree.map(lambda leaf: leaf[0], task.tree)))
    ends = [jnp.mean(jnp.log(lengths(run.seen["path"][at])), axis=0) for at in (0, -1)]
    return run.seen | {"growth": ends[1] - ends[0]}


def trained(run: lab.Run, rows: list[Row], *, epochs: bool = False) -> xr.Dataset:
    """Networks trained with the numbers of each row, all seeds: `path`, `accuracy` and `growth`."""
    seeds, steps, words = run(SEEDS), run(STEPS), ("condition", "name", "world")
    numbers = {name: np.array([row[name] for row in rows]) for name in rows[0] if name not in words}
    success = worlds(run.shared_seed)
    numbers["success"] = np.stack([success[row["world"]] for row in rows])
    made = run.bank.get(bases, seed=run.shared_seed, seeds=seeds, steps=PRETRAINING)
    made, table = (jax.tree.map(jnp.asarray, each) for each in (made, numbers))

    def one(cell):
        row = {name: values[cell.row] for name, values in table.items()}
        params = jax.tree.map(lambda leaf: leaf[cell.seed], made)
        options = {"steps": steps, "every": EVERY, "epochs": epochs}
        key = jax.random.fold_in(run.key, cell.seed)
        return network_path(key, params, row.pop("success"), row, **options)

    axes = {"row": np.arange(len(numbers["rule"])), "seed": np.arange(seeds)}
    dims = {"path": ["step", "question", "leaf"], "accuracy": ["step"], "growth": ["answers"]}
    coords = {"step": np.arange(0, steps + 1, EVERY), "answers": ["all", "wrong"]}
    found = lab.cells(one, axes=axes, dims=dims, coords=coords, block=seeds, say=run.say)
    return found.assign_coords({name: ("row", [row[name] for row in rows]) for name in words[:2]})
