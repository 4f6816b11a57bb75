"""What the study of RL in name only on tokens runs on trees: paths under all rules, and lengths of answers."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from qra_jax import theory, tree
from qra_jax.algorithm import Algorithm, switch
from qra_jax.off_policy import OffPolicy
from qra_jax.regularizer import reverse_kl
from qra_jax.studies.clocks._rules import GROUP, RULES
from qra_jax.tree import Tree, instances

OTHER = "GRPO, other rollouts"
MEMBERS = {**RULES, OTHER: RULES["GRPO"]}
EPOCHS = OffPolicy("clip", clip=0.2, epochs=4)
DEPTH, GO_ON = 5, 0.8
"""Most steps before the answer, and the chance of going on, in the trees whose answers differ in length alone."""


# ---- paths


def three_trees() -> Tree:
    """Three questions of two steps, three choices each: middling, harder, hard."""
    spread = [(1.0, 1.0), (0.5, 1.5), (0.3, 3.0)]
    made = [instances.random(jax.random.key(i), 2, 3, success=pair) for i, pair in enumerate(spread)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *made)


CONDITIONS = ("on policy", "KL", "epochs, clipped", "shared")
BETA = 0.3
"""Of the KL term, on trees and in networks."""


def tree_distances(condition: str, seed: int) -> list[float]:
    """Largest distance of every rule's expected path of leaves from GRPO's, whatever the speed."""
    asked, records, steps = three_trees(), 200, 1000
    options: dict[str, Any] = {"learning_rate": 0.5, "mode": "mean", "steps": 4 * steps}
    options["record_every"] = steps // records
    if condition == "shared":
        options["features"] = jax.random.normal(jax.random.key(seed), (*asked.log_ref.shape, 6)) / 2
    elif condition == "epochs, clipped":
        options["off_policy"] = EPOCHS
    else:
        options["regularizers"] = [reverse_kl(BETA if condition == "KL" else 0.0)]

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
    options = {"optimizer": optax.adam, "learning_rate": 0.005, "steps": 1200, "record_every": 40}
    key = jax.random.fold_in(key, cell.which == len(RULES))
    rule = switch(cell.which, MEMBERS.values())
    return {"path": jnp.exp(tree.train(key, three_trees(), algorithm=rule, **options).leaf_log_policy)}


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


def twin(first: Any, second: Any, depth: int = DEPTH) -> Tree:
    """A choice of two approaches, and behind each a comb with a success rate of its own."""
    node: list[dict[str, Any]] = [{"success": 0.5}, {"success": 0.5}]
    for _ in range(depth):
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
    """Growth of the logarithms of both lengths in sampled training on twin combs, alike or with rates .8 and .2."""
    asked = twin(jnp.where(cell.apart > 0, 0.8, 0.25), jnp.where(cell.apart > 0, 0.2, 0.25))
    rate = 0.3 * start_length(asked) ** cell.power
    run = tree.train(
        key, asked, algorithm=by_length(cell.rule, cell.power), steps=60, learning_rate=rate, record_every=60
    )
    seen = jnp.log(jax.vmap(lambda leaves: length(asked, leaves))(jnp.exp(run.leaf_log_policy)))
    return {"growth": seen[-1] - seen[0]}
