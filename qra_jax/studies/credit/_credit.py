"""Trees and sampled races of the study of credit: who is paid for a step, in one compiled program."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax.algorithm import rloo
from qra_jax.reward import verifiable
from qra_jax.studies import lab
from qra_jax.training.groups import Shares
from qra_jax.tree import Tree, mean_update
from qra_jax.tree.credit import critic
from qra_jax.tree.moments import _scene
from qra_jax.tree.paths import Paths, binomial
from qra_jax.tree.shape import Shape
from qra_jax.tree.training import numbers

GROUP, DEPTH, WIDTH = 8, 3, 4
WORTHS = (1.0, 0.5, 0.0, 0.0)
"""What the four steps of every state are worth; at the start they are equally likely."""
KINDS = ("every step counts", "steps add up")
GOAL, LAST, LAG, RATES = 0.9, 256, 0.1, 0.5 * 4.0 ** np.arange(6)
"""Share of the best accuracy that ends a race; its length; rate of a learnt critic; learning rates."""
ARMS = {
    "uniform": "uniform",
    "exact": "exact values",
    "MC-1": "MC values, K = 1",
    "MC-9": "MC values, K = 9",
    "critic": "learnt critic",
    "whitened": "exact values, whitened",
    "whitened MC-9": "MC values, K = 9, whitened",
}
"""Estimators of a race by name, and in words."""
ROLLOUTS = {"MC-1": 1, "MC-9": 9, "whitened MC-9": 9}


def full(width: int, depth: int) -> Shape:
    """Every state has the same number of steps, every path the same length."""
    inner = sum(width**level for level in range(depth))
    return Shape((width,) * inner + (0,) * width**depth)


def trees() -> list[Tree]:
    """One tree for each of `KINDS`, alike in everything but what makes an answer right."""
    shape = full(WIDTH, DEPTH)
    worth = np.array([[WORTHS[step % WIDTH] for step in path] for path in shape.paths])
    log_ref = jnp.full(shape.steps, -np.log(WIDTH), jnp.float32)
    rates = [jnp.asarray(0.02 + 0.93 * one, jnp.float32) for one in (worth.prod(axis=1), worth.mean(axis=1))]
    return [Tree(shape, log_ref, one) for one in rates]


def race(cell: Any, key: Any, group: int = GROUP) -> dict[str, Any]:
    """A sampled run: steps and tokens until the goal, the accuracy along the way, and how far the first update goes.

    A run that does not arrive has infinite steps, and all its tokens. The first update is measured along the mean
    update, as a share of it.

    Every estimator pays steps by a table of values: uniform credit by the mean of the group, with λ = 1 and the factor
    G/(G − 1), which is RLOO.

    Args:
      cell: `arm`, the place of an estimator in `ARMS`, `kind` of the tree, and the learning `rate`.
      key: PRNG key.
      group: rollouts of a step.
    """
    kinds = trees()
    shape, algorithm = kinds[0].shape, rloo(group)
    success = jnp.stack([one.success for one in kinds])[cell.kind.astype(int)]
    tree, names, arm = Tree(shape, kinds[0].log_ref, success), list(ARMS), cell.arm.astype(int)
    is_arm = {name: arm == place for place, name in enumerate(names)}
    by_group = is_arm["uniform"]
    known = numbers(tree, tree.log_ref, verifiable(), critic(LAG))
    known["trace"] = jnp.where(by_group, 1.0, 0.0)
    plain, white = (Paths(shape, "critic", None, None, whiten) for whiten in (False, True))
    tries = jnp.asarray([float(ROLLOUTS.get(name, 0)) for name in names], success.dtype)[arm]
    direction = mean_update(tree, algorithm=algorithm)
    direction = direction / jnp.sum(direction**2)
    to_come = jnp.asarray(DEPTH - shape.depth[shape.inner], success.dtype)

    def step(state: Any, index: Any) -> Any:
        logits, table, first, spent, bill = state
        log_policy = shape.log_softmax(logits)
        paths = jnp.exp(tree.leaf_log_policy(log_policy))
        drawn = jax.random.uniform(
            jax.random.fold_in(key, index), (2 * group + len(shape.inner),), success.dtype
        )
        ladder = jnp.cumsum(paths)
        leaf = jnp.sum(drawn[:group, None] * ladder[-1] > ladder[None, :-1], axis=1)
        taken = (leaf[:, None] == jnp.arange(len(shape.leaves))[None]).astype(success.dtype)
        right = (drawn[group : 2 * group] < success[leaf]).astype(success.dtype)
        earned, count = right @ taken / group, jnp.sum(taken, axis=0) / group
        value = shape.of_inner(shape.back_up(success, weight=jnp.exp(log_policy)))
        tables = dict.fromkeys(names, value) | {
            "uniform": jnp.broadcast_to(jnp.sum(earned), value.shape),
            "critic": table,
        }
        for name, k in ROLLOUTS.items():
            tables[name] = binomial(drawn[2 * group :], k, value) / k
        shares = Shares(earned, None, success, success, count)
        scene = _scene(log_policy, success, known, None, algorithm, expected=False)
        scene = scene._replace(critic=jnp.stack(list(tables.values()))[arm])
        paid = jnp.where(
            is_arm["whitened"] | is_arm["whitened MC-9"],
            white.credit(shares, scene).up,
            plain.credit(shares, scene).up,
        )
        paid = paid * jnp.where(by_group, group / (group - 1), 1.0)
        update = plain.gradient(paid, jnp.exp(log_policy), log_policy, "softmax")
        logits = logits + cell.rate.astype(logits.dtype) * update
        table = plain.learn(shares, scene._replace(critic=table))
        visit = shape.of_inner(jnp.exp(shape.along(log_policy)))
        spent = spent + group * DEPTH + tries * jnp.sum((1 - (1 - visit) ** group) * to_come)
        accuracy = jnp.exp(tree.leaf_log_policy(shape.log_softmax(logits))) @ success
        there = (accuracy >= GOAL * jnp.max(success)) & jnp.isinf(first)
        first = jnp.where(there, index.astype(first.dtype) + 1, first)
        bill = jnp.where(there, spent, bill)
        return (logits, table, first, spent, bill), (accuracy, update @ direction)

    never = jnp.asarray(jnp.inf, success.dtype)
    start = (tree.log_ref, known["critic"], never, jnp.zeros_like(never), never)
    (*_, first, spent, bill), (accuracy, along) = jax.lax.scan(step, start, jnp.arange(LAST))
    tokens = jnp.minimum(bill, spent)
    return {"steps": first, "tokens": tokens, "accuracy": accuracy[::4], "along": along[0]}


def raced(key: Any, seeds: int, arms: list[str], group: int = GROUP) -> xr.Dataset:
    """Sampled races of some estimators on both trees, for every rate of the grid."""
    axes: dict[str, Any] = {"arm": [float(list(ARMS).index(arm)) for arm in arms], "kind": [0.0, 1.0]}
    axes |= {"rate": RATES}
    options: dict[str, Any] = {"seeds": seeds, "dims": {"accuracy": ["record"]}}
    found = lab.cells(partial(race, group=group), key=key, axes=axes, **options)
    return found.assign_coords(arm=arms, kind=list(KINDS))


def typical(steps: xr.DataArray, most: Any = LAST) -> xr.DataArray:
    """Geometric mean over the seeds; a run that does not arrive counts with the most it could."""
    log: Any = np.log(np.minimum(steps, most))
    found: Any = np.exp(log.mean("seed", skipna=False))
    return found


def gain(rival: xr.DataArray, steps: xr.DataArray) -> xr.DataArray:
    """Log of how many times as many steps the rival needs."""
    found: Any = np.log(typical(rival) / typical(steps))
    return found


def at_best(steps: xr.DataArray) -> xr.DataArray:
    """Steps of each half of the runs at the rate that is best for the other half; NaN where that ends the grid."""
    half, found = steps.sizes["seed"] // 2, []
    parts = [slice(half), slice(half, 2 * half)]
    for own, other in (parts, parts[::-1]):
        best: Any = typical(steps.isel(seed=other)).fillna(np.inf).argmin("rate")
        chosen = steps.isel(seed=own).isel(rate=best).drop_vars("rate")
        found.append(chosen.where((best > 0) & (best < steps.sizes["rate"] - 1)))
    joined: Any = xr.concat(found, "seed")
    return joined


def gain_at_norm(rival: xr.DataArray, steps: xr.DataArray, norm: xr.DataArray) -> xr.DataArray:
    """Log gain where the rival has its best rate and the other one the rate at which first steps are as long.

    Args:
      rival: steps `[kind, rate, seed]`.
      steps: those of the other.
      norm: root mean square length of the rival's first update over that of the other's, `[kind]`.
    """
    means: Any = [typical(rival), typical(steps)]
    both: Any = [one.transpose("kind", "rate") for one in means]
    own, other = (np.log(one.values) for one in both)
    rates, found = np.log(rival.rate.values), []
    for k, ratio in enumerate(norm.values):
        best = int(np.argmin(np.where(np.isnan(own[k]), -np.inf, own[k])))
        there = np.interp(rates[best] + np.log(ratio), rates, other[k], left=np.nan, right=np.nan)
        inside = 0 < best < len(rates) - 1
        found.append(own[k, best] - there if inside else np.nan)
    return xr.DataArray(found, {"kind": rival.kind.values}, ["kind"])
