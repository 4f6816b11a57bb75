"""Compiled loops in place of XLA's, on a CPU with llvmlite: the same runs to rounding, drawn by the same words.

There are two. `verdicts` draws the group of a step for any algorithm, optimiser or penalty whose rollouts are right or
wrong; `Steps` takes whole steps of plain gradient ascent. Which runs they cover is decided here, and nowhere else. The
environment variable `QRA_FUSED=0` leaves them out, for instance where a run is to be exported (`jax.export` cannot
write a call of code that lives in this process).
"""

from __future__ import annotations

import functools
import importlib
import os
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from qra_jax._pytrees import Function
from qra_jax.training.choice import Flat
from qra_jax.training.lanes import expand

SWITCH = "QRA_FUSED"
"""Environment variable."""
INTERFACE = ((0, 10), (0, 13))
"""Versions of JAX, from and below, whose foreign function interface the code was tried with: it reads its frames."""
LARGEST_BATCH = 8
"""Hashes whose words are held in registers together."""
_SGD = Function(optax.sgd)


@functools.cache
def _compiler() -> Any:
    """The module that compiles, where llvmlite is there; imported when first needed."""
    try:
        return importlib.import_module("qra_jax.training._kernel")
    except ImportError:
        return None


def available() -> bool:
    """Whether there is a compiler, a CPU to compile for, an interface that is known, and no `QRA_FUSED=0`."""
    known = INTERFACE[0] <= jax.__version_info__[:2] < INTERFACE[1]
    wanted = known and os.environ.get(SWITCH) != "0"
    return wanted and jax.default_backend() == "cpu" and _compiler() is not None


def draws(plan: Any, *, resamples: bool, joint: bool, dtype: Any) -> bool:
    """Whether the groups of a run are drawn by `verdicts`: rollouts are right or wrong, and drawn once."""
    single_question = plan.mode == "sampled" and not joint and dtype in (jnp.float32, jnp.float64)
    return plan.fused and single_question and plan.weighing == "counts" and not resamples


def steps(plan: Any, fixed: dict[str, Any], *, fixed_rates: bool, plain: bool) -> bool:
    """Whether the steps of a run, whose groups `verdicts` would draw, are all taken by `Steps`.

    Args:
      plan: what is fixed.
      fixed: arrays of the run.
      fixed_rates: the reward does not depend on the policy.
      plain: the algorithm is its two tables, without a baseline of its own, and there is no penalty.
    """
    ascent = plan.optimizer == _SGD and not plan.ready_made and plan.geometry == "softmax"
    on_policy = plan.on_policy and fixed["off_policy"]["temperature"] is None
    steady = fixed_rates and fixed["correlation"] is None and isinstance(plan.choice, Flat)
    return ascent and on_policy and steady and plain


def verdicts(
    seed: Array, logits: Array, rates: Array, size: Array, step: Array, group: int, *, padded: bool
) -> Array:
    """Draw groups with binary rewards, as [`draw_verdicts`][qra_jax.training.groups.draw_verdicts] does.

    Args:
      seed: `[2, *lanes]`.
      logits: `[patterns, *lanes]`, of the policy that is sampled from.
      rates: `[patterns, *lanes]`, chance that a rollout is accepted.
      size: `[*lanes]` or scalar, rollouts in the group.
      step: which step.
      group: most rollouts in a group.
      padded: whether the size may be less.

    Returns:
      Running numbers `[2 patterns, *lanes]`: right rollouts by pattern, then wrong ones.
    """
    call = _prepare(seed, rates, size, group, padded)
    counts = _divided("group", call.shape)(
        _now(step, 1, call.batches), call.seed, _flat(logits), call.rates, call.size
    )
    return counts.reshape(-1, *logits.shape[1:])


class Steps:
    """Steps of plain gradient ascent on the logits.

    Args:
      seed: `[2, *lanes]`.
      rates: `[patterns, *lanes]`, chance that a rollout is accepted.
      size: `[*lanes]` or scalar, rollouts in the group.
      tables: the algorithm's, `[group + 1, *lanes]`.
      learning_rate: `[*lanes]`.
      group: most rollouts in a group.
      padded: whether the size may be less.
    """

    def __init__(
        self,
        seed: Array,
        rates: Array,
        size: Array,
        tables: Any,
        learning_rate: Array,
        group: int,
        *,
        padded: bool,
    ) -> None:
        self.lanes, self.size = rates.shape[1:], size
        self.call = _prepare(seed, rates, size, group, padded)
        self.tables = [_flat(table / expand(size, table.ndim)) for table in tables]
        self.rate = jnp.broadcast_to(learning_rate, self.lanes).reshape(-1)

    def take(self, logits: Array, first: Array, count: int) -> tuple[Array, Array, Array]:
        """Take steps.

        Args:
          logits: `[patterns, *lanes]`.
          first: number of the first step.
          count: how many.

        Returns:
          Logits; mean reward and share of silent groups, `[*lanes]`.
        """
        call = self.call
        now, flat = _now(first, count, call.batches), _flat(logits)
        flat, right_ones, silent = _divided("steps", call.shape)(
            now, call.seed, flat, call.rates, call.size, *self.tables, self.rate
        )
        right_ones, silent = (
            number.reshape(self.lanes).astype(logits.dtype) / count for number in (right_ones, silent)
        )
        return flat.reshape(logits.shape), right_ones / self.size, silent


class _Call(NamedTuple):
    """The arguments that both loops share, lanes in one axis."""

    seed: Array
    rates: Array
    size: Array
    shape: Any
    batches: int


def _prepare(seed: Array, rates: Array, size: Array, group: int, padded: bool) -> _Call:
    hashes, lanes = (group + 1) // 2, rates.shape[1:]
    batches = -(-hashes // LARGEST_BATCH)
    pairs = -(-hashes // batches)
    shape = _compiler().Shape(rates.dtype.name, pairs, padded or 2 * pairs * batches != group)
    size = jnp.clip(jnp.nan_to_num(jnp.broadcast_to(size, lanes)), 0, group).astype(jnp.int32)
    rates = jnp.clip(
        jnp.nan_to_num(rates), 0, 1
    )  # such a run is INVALID, but its numbers are drawn all the same
    return _Call(_flat(seed), _flat(rates), size.reshape(-1), shape, batches)


def _now(step: Any, count: int, batches: int) -> Array:
    return jnp.stack([jnp.asarray(number, jnp.int32) for number in (step, count, batches)])


def _flat(array: Array) -> Array:
    """`[rows, *lanes]` as `[rows, lanes]`."""
    return array.reshape(array.shape[0], -1)


def _call(kind: str, shape: Any, *args: Array) -> Any:
    """Call the code: the last lane is repeated up to a whole number of what it takes at a time."""
    logits, width = args[2], _compiler().WIDTH[shape.dtype]
    lanes, more = logits.shape[1], -logits.shape[1] % width
    args = (args[0], *(jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, more),), mode="edge") for x in args[1:]))
    rows, whole = len(logits), jax.ShapeDtypeStruct((lanes + more,), jnp.int32)
    result = jax.ShapeDtypeStruct((2 * rows if kind == "group" else rows, lanes + more), logits.dtype)
    scratch = jax.ShapeDtypeStruct((_compiler().SCRATCH * rows, width), logits.dtype)
    kinds = (result, scratch) if kind == "group" else (result, whole, whole, scratch)
    *found, _ = jax.ffi.ffi_call(_compiler().target(kind, shape), kinds)(*args)
    found = [x[..., :lanes] for x in found]
    return found[0] if kind == "group" else tuple(found)


@functools.cache
def _divided(kind: str, shape: Any) -> Any:
    """The call, which devices share by lanes where these are sharded."""
    call = partial(_call, kind, shape)
    divided = custom_partitioning(call)
    rule = {
        "group": "t, k l, n l, n l, l -> m l",
        "steps": "t, k l, n l, n l, l, g l, g l, l -> n l, l, l",
    }[kind]

    def shardings(mesh: Any, args: Any, results: Any) -> tuple[Any, Any]:
        of_lanes = [x.sharding.spec[x.ndim - 1] for x in args[1:] if len(x.sharding.spec) == x.ndim]
        axis = next((each for each in of_lanes if each is not None), None)
        of = lambda x: NamedSharding(mesh, PartitionSpec(*[None] * (x.ndim - 1), axis))  # noqa: E731
        return (NamedSharding(mesh, PartitionSpec()), *map(of, args[1:])), jax.tree.map(of, results)

    def partition(mesh: Any, args: Any, results: Any) -> tuple[Any, ...]:
        given, found = shardings(mesh, args, results)
        return mesh, call, found, given

    divided.def_partition(
        partition=partition,
        infer_sharding_from_operands=lambda *seen: shardings(*seen)[1],
        sharding_rule=rule,
    )
    return divided
