"""What the study of RL in name only on tokens runs: gradients of one group, training of trees and of networks."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from qra_jax import theory, transformer, tree
from qra_jax.algorithm import Algorithm, switch
from qra_jax.off_policy import OffPolicy
from qra_jax.regularizer import reverse_kl
from qra_jax.studies.clocks._rules import GROUP, RULES
from qra_jax.transformer import learning, rl
from qra_jax.transformer.model import Params, init
from qra_jax.transformer.surrogate import objective
from qra_jax.transformer.tree_task import TreeTask, tree_task
from qra_jax.tree import Tree, instances

OTHER = "GRPO, other rollouts"
MEMBERS = {**RULES, OTHER: RULES["GRPO"]}
SUPERVISED = [*list(RULES)[1:], "permuted rewards"]
"""Weights of the supervised step that GRPO's gradient of the same group is compared with."""
WIDTH, ASKED = 16, 6
"""Of the networks; questions of a step."""
EPOCHS = OffPolicy("clip", clip=0.2, epochs=4)
DEPTH, GO_ON = 5, 0.8
"""Most steps before the answer, and the chance of going on, in the trees whose answers differ in length alone."""


# ---- one group


def _supervised(rewards: Array, key: Array) -> Array:
    """Weights of supervised steps by name, `[names, group]`: right ones imitated, wrong ones driven away."""
    share = jnp.mean(rewards)
    odds = jnp.sqrt(share / (1 - share))
    one, none = jnp.ones(()), jnp.zeros(())
    pairs = [(1 / odds, odds), (one, one), (one, none), (none, one)]
    mixed = jax.random.permutation(key, rewards)
    rows = [rewards * up - (1 - rewards) * down for up, down in pairs]
    return jnp.stack([*rows, mixed / odds - (1 - mixed) * odds])


def _cosines(first: Array, others: Array, rewards: Array) -> Array:
    """Cosines with the first gradient; NaN for a group without spread, or where no gradient is left."""
    norms = jnp.linalg.norm(first) * jnp.linalg.norm(others, axis=-1)
    share = jnp.mean(rewards)
    known = (share > 0) & (share < 1) & (norms > 1e-9)
    return jnp.where(known, others @ first / jnp.where(known, norms, 1.0), jnp.nan)


def _rewards(key: Array, chance: Array) -> Array:
    return (jax.random.uniform(key, chance.shape) < chance).astype(float)


def tree_cosines(key: Array) -> Array:
    """Of one group on a random tree: the step that training takes, and gradients of weighted log-likelihoods."""
    keys = jax.random.split(key, 4)
    asked = instances.random(keys[0], 3, 3)
    shape = asked.shape
    leaf = jax.random.categorical(keys[1], asked.leaf_log_policy(asked.log_ref), shape=(GROUP,))
    rewards = _rewards(keys[2], asked.success[leaf])
    there = jax.nn.one_hot(leaf, len(shape.leaves))
    taken = shape.back_up(RULES["GRPO"].weights(rewards) @ there / GROUP)[1:]
    step = taken - asked.ref * shape.over(shape.total(taken))

    def likelihood(theta: Array, weights: Array) -> Array:
        return jnp.mean(weights * asked.leaf_log_policy(shape.log_softmax(theta))[leaf])

    slopes = jax.vmap(jax.grad(likelihood), (None, 0))(asked.log_ref, _supervised(rewards, keys[3]))
    return _cosines(step, slopes, rewards)


def network_cosines(key: Array) -> Array:
    """The same of one group of a random decoder of float64: the surrogate of RL, and supervised cross-entropies."""
    keys = jax.random.split(key, 5)
    task = tree_task(instances.random(keys[0], 2, 3))
    model = transformer.Decoder(
        task.vocabulary, width=WIDTH, depth=1, dtype=jnp.float64, param_dtype=jnp.float64
    )
    params, asked = init(keys[1], model), task.questions(jnp.arange(1))
    drawn = transformer.sample(keys[2], model, params, asked, group=GROUP, length=task.length, end=task.end)
    rewards = _rewards(keys[3], jnp.full(GROUP, 0.5))
    flat = lambda slope: jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(slope)])  # noqa: E731

    def surrogate(now: Params) -> Array:
        log_probs = rl.log_probs(model, now, asked, drawn.tokens)
        return objective(log_probs, drawn.tokens, drawn.where, RULES["GRPO"].weights(rewards)[None])

    def supervised(now: Params) -> Array:
        rows = _supervised(rewards, keys[4]) / GROUP
        shown = [
            transformer.Demonstrations(
                asked,
                drawn.tokens,
                drawn.where,
                row[None],
                jnp.zeros((1, GROUP), int),
                jnp.ones(task.vocabulary, bool),
                GROUP,
            )
            for row in rows
        ]
        return jnp.stack([-learning.cross_entropy(model, now, each) for each in shown])

    return _cosines(
        flat(jax.grad(surrogate)(params)), jax.vmap(flat)(jax.jacrev(supervised)(params)), rewards
    )


# ---- paths


def three_trees() -> Tree:
    """Three questions of two steps, three choices each: middling, harder, hard."""
    spread = [(1.0, 1.0), (0.5, 1.5), (0.3, 3.0)]
    made = [instances.random(jax.random.key(i), 2, 3, success=pair) for i, pair in enumerate(spread)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *made)


CONDITIONS: dict[str, dict[str, Any]] = {
    "on policy": {},
    "epochs, clipped": {"off_policy": EPOCHS},
    "KL": {"regularizers": [reverse_kl(0.3)]},
    "shared": {},
}


def tree_distances(condition: str, seed: int) -> list[float]:
    """Largest distance of every rule's expected path of leaves from GRPO's, whatever the speed."""
    asked, records, steps = three_trees(), 200, 1000
    options: dict[str, Any] = {"learning_rate": 0.5, "mode": "mean", "steps": 4 * steps}
    options |= {"record_every": steps // records} | CONDITIONS[condition]
    if condition == "shared":
        options["features"] = jax.random.normal(jax.random.key(seed), (*asked.log_ref.shape, 6)) / 2

    def one(which: Array) -> Array:
        algorithm = switch(which, RULES.values())
        return jnp.exp(tree.train(jax.random.key(0), asked, algorithm=algorithm, **options).leaf_log_policy)

    found = np.asarray(jax.jit(jax.vmap(one))(jnp.arange(len(RULES))))
    if condition == "shared":  # the questions move as one point
        found = np.concatenate(list(found.swapaxes(0, 1)), axis=-1)[:, None]
    apart = [theory.path_distance(path[:, : records + 1], found[0]) for path in found]
    rest = np.abs(found[:, :, -1] - found[0, :, -1]).max(axis=(1, 2))
    return [max(pair) for pair in zip(apart, rest, strict=True)] if condition == "KL" else apart  # all rest


def tree_under_adam(cell: Any, key: Array) -> dict[str, Array]:
    """Leaf policies along a sampled run under Adam with small steps."""
    options = {"optimizer": optax.adam, "learning_rate": 0.005, "steps": 2000, "record_every": 50}
    key = jax.random.fold_in(key, cell.which == len(RULES))
    rule = switch(cell.which, MEMBERS.values())
    return {"path": jnp.exp(tree.train(key, three_trees(), algorithm=rule, **options).leaf_log_policy)}


def alike() -> TreeTask:
    """Three questions that are the same tree."""
    one = jax.tree.map(lambda leaf: jnp.stack([leaf[1]] * 3), three_trees())
    return tree_task(one)


def bases(name: str, *, seed: int, seeds: int, steps: int) -> Params:
    """Networks that have learnt the paths of a task, leading axis `[seeds]`."""
    task = {"alike": alike, "different": lambda: tree_task(three_trees()), "twin": twin_task}[name]()
    keys = jax.random.split(jax.random.key(seed), seeds)
    model = transformer.Decoder(task.vocabulary, width=WIDTH, depth=1)
    made = transformer.learn(keys, model, task.demonstrations, steps=steps, questions=task.number)
    return jax.tree.map(np.asarray, made.params)


def network_path(
    key: Array, params: Params, task: TreeTask, *, rule: Any, row: Array, steps: int, every: int, epochs: bool
) -> dict[str, Array]:
    """Leaf policies and accuracy of a network along training.

    Args:
      key: PRNG key.
      params: where it starts.
      task: what it is asked; may be traced.
      rule: number of an entry of `MEMBERS`; may be traced.
      row: whether Adam is used, its learning rate or that of gradient descent, β; may be traced.
      steps: updates.
      every: steps between records.
      epochs: whether each group is used four times, clipped.

    Returns:
      `path`, `[records, questions, leaves]`, and `accuracy`, `[records]`.
    """
    model = transformer.Decoder(task.vocabulary, width=WIDTH, depth=1)

    def look(now: Params) -> dict[str, Array]:
        seen = task.steps(model, now)
        return {
            "path": jnp.exp(task.tree.leaf_log_policy(seen.log_policy)),
            "accuracy": jnp.mean(seen.accuracy),
        }

    run = transformer.train(
        jax.random.fold_in(key, jnp.asarray(rule) == len(RULES)),
        model,
        params,
        task,
        algorithm=switch(rule, MEMBERS.values()),
        steps=steps,
        questions=ASKED,
        learning_rate=row[1],
        optimizer=rl.sgd_or_adam(row[0] > 0),
        regularizers=[] if epochs else [reverse_kl(row[2])],
        off_policy=EPOCHS if epochs else OffPolicy(),
        record_every=every,
        probe=look,
    )
    return run.seen


# ---- lengths


def _divided(params: dict[str, Any], rewards: Array, where: Array | None, lengths: Array) -> Array:
    return switch(params["rule"], RULES.values()).weights(rewards, where) / lengths ** params["power"]


def by_length(rule: Any, power: Any, group: int = GROUP) -> Algorithm:
    """Weights of an entry of `RULES` over |o|^power, both of which may be traced."""
    numbers = {"rule": rule, "power": jnp.asarray(power, float)}
    return Algorithm(
        "weights over |o|^power", _divided, group, by_length=True, binary_only=True, params=numbers
    )


def comb(success: Any) -> Tree:
    """Answers after 0 … 5 steps, all of one success rate."""
    made = instances.comb(DEPTH, go_on=GO_ON, success=(0.5, 0.5))
    return replace(made, success=jnp.broadcast_to(jnp.asarray(success), made.success.shape))


def twin(first: Any, second: Any) -> Tree:
    """A choice of two approaches, and behind each the comb with a success rate of its own."""
    node: list[dict[str, Any]] = [{"success": 0.5}, {"success": 0.5}]
    for _ in range(DEPTH):
        node = [
            {
                "steps": [
                    {"chance": GO_ON, "length": 1, **one},
                    {"chance": 1 - GO_ON, "length": 1, "success": 0.5},
                ]
            }
            for one in node
        ]
    made = Tree.from_nested({"steps": [{"chance": 0.5, "length": 1, **one} for one in node]})
    of_first = jnp.asarray([path[0] == 0 for path in made.shape.paths])
    return replace(made, success=jnp.where(of_first, first, second))


def twin_task() -> TreeTask:
    """The twin comb as a task of one question."""
    return tree_task(twin(0.25, 0.25))


def length(asked: Tree, leaves: Array) -> Array:
    """Mean length of all answers and of wrong ones, of the probabilities of the leaves, `[2]`."""
    lengths = asked.flat().lengths
    assert lengths is not None
    wrong = leaves * (1 - asked.success)
    return jnp.stack([jnp.sum(w * lengths, -1) / jnp.sum(w, -1) for w in (leaves, wrong)])


def drift(asked: Tree, rule: Any, power: Any) -> Array:
    """Exact rate of change of the logarithms of both lengths at the start, G = 4, `[2]`."""
    update = tree.mean_update(asked, algorithm=by_length(rule, power, 4))

    def of(theta: Array) -> Array:
        return jnp.log(length(asked, jnp.exp(asked.leaf_log_policy(asked.shape.log_softmax(theta)))))

    return jax.jvp(of, (asked.log_ref,), (update,))[1]


def start_length(asked: Tree) -> Array:
    """Mean length at the start: rates with weights over |o| are multiplied by it."""
    return length(asked, jnp.exp(asked.leaf_log_policy(asked.log_ref)))[0]


def tree_lengths(cell: Any, key: Array) -> dict[str, Array]:
    """Growth of the logarithms of both lengths in sampled training on the twin comb."""
    asked = twin(cell.first, cell.second)
    rate = 0.3 * start_length(asked) ** cell.power
    run = tree.train(
        key, asked, algorithm=by_length(cell.rule, cell.power), steps=60, learning_rate=rate, record_every=60
    )
    seen = jnp.log(jax.vmap(lambda leaves: length(asked, leaves))(jnp.exp(run.leaf_log_policy)))
    return {"growth": seen[-1] - seen[0]}


def network_lengths(key: Array, params: Params, cell: Any, *, rate: float, steps: int) -> dict[str, Array]:
    """The same of a network."""
    task = replace(twin_task(), tree=twin(cell.first, cell.second))
    model = transformer.Decoder(task.vocabulary, width=WIDTH, depth=1)

    def look(now: Params) -> Array:
        return jnp.log(
            length(task.tree, jnp.exp(task.tree.leaf_log_policy(task.steps(model, now).log_policy[0])))
        )

    run = transformer.train(
        key,
        model,
        params,
        task,
        algorithm=by_length(cell.rule, cell.power),
        steps=steps,
        questions=ASKED,
        learning_rate=rate * start_length(task.tree) ** cell.power,
        optimizer=optax.sgd,
        record_every=steps,
        probe=look,
    )
    return {"growth": run.seen[-1] - run.seen[0]}
