"""One algorithm out of several, chosen by a number that may be traced: one compiled program for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jaxtyping import Array

from qra_jax import _check
from qra_jax._bernstein import bernstein, elevate, not_silent
from qra_jax.algorithm.base import Algorithm, Params

# What an algorithm computes is part of the identity of a compiled program, so these are functions of the module
# and what they need travels in `params`.


_ALIKE = ("resamples_silent", "normalize", "batch", "greedy_baseline")
"""What all members must have in common: it decides how a program draws and weighs."""


def switch(index: Any, members: Iterable[Algorithm]) -> Algorithm:
    """The algorithm with this number: its weights, and its clocks where all members have them.

    Args:
      index: number of the member, 0 … members − 1, as an integer or a float; may be traced. A traced number that is
        out of range is taken as the nearest one in range.
      members: algorithms with one common group size, or all of them for the limit G → ∞.
        [`by_clock`][qra_jax.algorithm.by_clock] makes algorithms with different sizes comparable where only
        their clocks matter.

    Returns:
      An `Algorithm` with the members' group size.

    Raises:
      ValueError: no members, one that is no algorithm, different group sizes, members with and without dynamic
        sampling, or a concrete index that is no whole number in range.
    """
    members = _check.parts("members", members, Algorithm)
    if not members:
        raise ValueError(
            "members: none; must be at least one Algorithm, such as [qra.reinforce(), qra.grpo()]"
        )
    _check_index(index, len(members))
    first = members[0]
    for i, member in enumerate(members):
        if member.size is not None or member.pairs is not None or member.by_length:
            raise ValueError(
                f"members[{i}]: {member.name} has a traced group size, pairs or lengths; must weigh by rewards "
                "alone, and take its size from switch(...).with_group_size(size)"
            )
        if member.group_size != first.group_size:
            raise ValueError(
                f"members[{i}]: group size {member.group_size}; must be {first.group_size}, that of members[0]"
            )
        for name in _ALIKE:
            if getattr(member, name) != getattr(first, name):
                raise ValueError(
                    f"members[{i}]: {name} = {getattr(member, name)}; must be {getattr(first, name)}, as for "
                    "members[0]: members that draw or weigh in different ways cannot be mixed"
                )
    return Algorithm(
        " or ".join(dict.fromkeys(member.name for member in members)),
        _weigh,
        first.group_size,
        _limit_clock if all(member.limit_clock is not None for member in members) else None,
        _real_clock if all(member.real_clock is not None for member in members) else None,
        _limit_real_clock if all(_limit_real(member) is not None for member in members) else None,
        binary_only=any(member.binary_only for member in members),
        **{name: getattr(first, name) for name in _ALIKE},
        closed_log_clock=_log_clock
        if any(member.closed_log_clock is not None for member in members)
        else None,
        params={"index": index, "members": members},
    )


def by_clock(algorithm: Algorithm) -> Algorithm:
    """The same mean speed as an algorithm for the limit G → ∞, whatever its group size: for orbit, flow and means.

    The clock of a finite group is a table of G numbers, computed here and kept; the weights are given up.

    Args:
      algorithm: any.

    Returns:
      An `Algorithm` with `group_size=None`, the clock of the given one, and no weights.

    Raises:
      ValueError: the algorithm has no clock.
    """
    _check.part("algorithm", algorithm, Algorithm)
    if algorithm.uses_lengths:
        raise ValueError(f"algorithm: {algorithm.name} weighs by length; must be one that has a clock")
    algorithm.clock_function()  # raises where there is none
    if algorithm.group_size is None:
        return algorithm
    table = algorithm.speed_table()
    params = {"table": table, "member": algorithm}
    if algorithm.size is not None:
        params["table"] = elevate(table, algorithm.size - 1)
        if algorithm.resamples_silent:
            count = jnp.arange(algorithm.group_size + 1, dtype=table.dtype)
            mixed = jnp.where((count > 0) & (count < algorithm.size), 1.0, 0.0).astype(table.dtype)
            params["mixed"] = elevate(mixed, algorithm.size)
    clock = _table_clock_resampled if algorithm.resamples_silent else _table_clock
    return Algorithm(
        algorithm.name,
        _no_weights,
        None,
        clock,
        _member_real_clock if algorithm.real_clock is not None else None,
        binary_only=algorithm.binary_only,
        closed_log_clock=_member_log_clock if algorithm.closed_log_clock is not None else None,
        params=params,
    )


def _check_index(index: Any, count: int) -> None:
    if isinstance(index, Tracer):
        return
    number = np.asarray(index)
    if number.ndim or not np.issubdtype(number.dtype, np.number) or number != np.floor(number):
        raise ValueError(f"index: {index!r}; must be a whole number in [0, {count - 1}]")
    if not 0 <= number < count:
        raise ValueError(f"index: {index}; must be in [0, {count - 1}], as there are {count} members")


def _choose(params: Params, functions: list[Callable[..., Array]], like: Array, *operands: Any) -> Array:
    """The function with the number `params["index"]`, its value in the shape and dtype of `like`."""

    def same(function: Callable[..., Array]) -> Callable[..., Array]:
        return lambda *args: jnp.broadcast_to(jnp.asarray(function(*args), like.dtype), like.shape)

    index = jnp.asarray(params["index"]).astype(int)
    return jax.lax.switch(index, [same(function) for function in functions], *operands)


def _weigh(params: Params, rewards: Array, where: Array | None) -> Array:
    return _choose(params, [member.weights for member in params["members"]], rewards, rewards, where)


def _limit_clock(params: Params, mean: Array, miss: Array) -> Array:
    clocks = [_bound(member.limit_clock, member.params) for member in params["members"]]
    return _choose(params, clocks, mean, mean, miss)


def _log_clock(params: Params, mean: Array, miss: Array) -> Array:
    clocks = [member.log_clock_function() for member in params["members"]]
    return _choose(params, clocks, mean, mean, miss)


def _real_clock(params: Params, std: Array, group: Any) -> Array:
    clocks = [_bound(member.real_clock, member.params) for member in params["members"]]
    return _choose(params, clocks, std, std, jnp.asarray(group, std.dtype))


def _limit_real(member: Algorithm) -> Any:
    """The clock for real-valued rewards in the limit of large groups."""
    return member.limit_real_clock if member.real_clock is None else member.real_clock


def _limit_real_clock(params: Params, std: Array, group: Any) -> Array:
    clocks = [_bound(_limit_real(member), member.params) for member in params["members"]]
    return _choose(params, clocks, std, std, jnp.asarray(group, std.dtype))


def _bound(clock: Any, params: Params) -> Callable[..., Array]:
    return lambda *args: clock(params, *args)


def _table_clock(params: Params, mean: Array, miss: Array) -> Array:
    return bernstein(params["table"], mean, miss)


def _table_clock_resampled(params: Params, mean: Array, miss: Array) -> Array:
    speed = bernstein(params["table"], mean, miss)
    if "mixed" in params:
        return speed / bernstein(params["mixed"], mean, miss)
    return speed / not_silent(params["table"].shape[0], mean, miss)


def _member_log_clock(params: Params, mean: Array, miss: Array) -> Array:
    return params["member"].closed_log_clock(params["member"].params, mean, miss)


def _member_real_clock(params: Params, std: Array, group: Any) -> Array:
    member = params["member"]
    return member.real_clock(member.params, std, member.group_size if member.size is None else member.size)


def _no_weights(params: Params, rewards: Array, where: Array | None) -> Array:
    raise ValueError(f"algorithm: {params['member'].name} by its clock; has no weights to sample with")
