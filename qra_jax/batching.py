"""Mapping a function of one problem over a huge batch: blocks that fit the cache, all cores, bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax

from qra_jax import _check
from qra_jax._batches import chunked

__all__ = ["many", "with_batched_form"]

BLOCK = 64
Function = TypeVar("Function", bound=Callable[..., Any])


def many(
    function: Callable[..., Any],
    *,
    block: int | None = None,
    chunk: int = 8192,
    workers: int | None = None,
) -> Callable[..., Any]:
    """Vectorise a function of one problem over a leading axis of any length.

    The batch is cut into chunks, each compiled once and run on the host's threads; inside, `jax.vmap` works on
    `block` problems at a time, so that the working set stays in cache. Results do not depend on block, chunk or
    workers but for rounding: another vectorisation may round a logarithm the other way.

    A function with a batched form of its own, such as [`qra_jax.orbit.hit`][], is not mapped: that form runs in its
    place, faster and with the same results to rounding. This holds for the function itself and for
    `functools.partial` of it with keywords, which then are the same for all problems; not for a `lambda` around it.

    Args:
      function: takes pytrees of arrays of one problem, returns a pytree of arrays.
      block: problems that are vectorised together, ≥ 1; default: 64, or what the function's own batched form takes.
      chunk: problems in one compiled call, ≥ 1; bounds the memory in flight.
      workers: threads, ≥ 1; default: all of this process's cores on CPU, one elsewhere.

    Returns:
      A function of batched pytrees (leading axis `[problems]`), which returns arrays with that axis. Its
      keyword `progress` is called with the number of problems finished after each chunk.

    Raises:
      ValueError: block, chunk or workers below 1; arguments with different leading axes, or empty.

    >>> import jax.numpy as jnp
    >>> many(lambda x: x ** 2, block=2)(jnp.arange(5.0)).tolist()
    [0.0, 1.0, 4.0, 9.0, 16.0]

    Hitting times of many problems:

    >>> from functools import partial
    >>> import qra_jax as qra
    >>> problems = qra.problem.stack([qra.problem.examples.worked()] * 3)
    >>> many(partial(qra.orbit.hit, target=.99, algorithm=qra.grpo(8)))(problems)
    Hit(3 problems, OK 3)
    """
    if block is not None:
        _check.integer("block", block, low=1)
    batched = _batched_form(function)
    if batched is not None:
        return partial(batched, block=block, chunk=chunk, workers=workers)
    block = block or BLOCK
    blocks = lambda *args: jax.lax.map(lambda one: function(*one), args, batch_size=block)  # noqa: E731
    return chunked(blocks, block=block, chunk=chunk, workers=workers)


def with_batched_form(batched: Callable[..., Any]) -> Callable[[Function], Function]:
    """Give a function of one problem a batched form of its own, its attribute `batched`, which [`many`][] then runs.

    Args:
      batched: takes the function's positional arguments with a leading axis `[problems]`, its keywords as they are,
        and the keywords `block` (`None`: its own default), `chunk`, `workers` and `progress`, as for [`many`][].

    Returns:
      A decorator, which returns the function itself.
    """

    def attach(function: Function) -> Function:
        function.batched = batched  # pyright: ignore[reportFunctionMemberAccess]
        return function

    return attach


def _batched_form(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The batched form of a function, or of the function that a `functools.partial` gives keywords to."""
    if isinstance(function, partial) and not function.args:
        batched = getattr(function.func, "batched", None)
        return None if batched is None else partial(batched, **function.keywords)
    return getattr(function, "batched", None)
