"""Floor 0. Mapping a one-problem function over a huge batch: blocks that fit the cache, all cores, bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax import _check


def many(
    function: Callable[..., Any],
    *,
    block: int = 64,
    chunk: int = 8192,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Callable[..., Any]:
    """Vectorise a function of one problem over a leading axis of any length.

    The batch is cut into chunks, each compiled once and run on the host's threads; inside, `jax.vmap` works on
    `block` problems at a time, so that the working set stays in cache. Results do not depend on block, chunk or
    workers.

    Args:
      function: takes pytrees of arrays of one problem, returns a pytree of arrays.
      block: problems that are vectorised together, ≥ 1.
      chunk: problems in one compiled call, ≥ 1; bounds the memory in flight.
      workers: threads; all of this process's cores on CPU, one elsewhere.
      progress: called with the number of problems finished after each chunk.

    Returns:
      A function of batched pytrees (leading axis `[problems]`), which returns NumPy arrays with that axis.

    Raises:
      ValueError: block, chunk or workers below 1; arguments with different leading axes, or empty.

    >>> import jax.numpy as jnp
    >>> many(lambda x: x ** 2, block=2)(jnp.arange(5.0)).tolist()
    [0.0, 1.0, 4.0, 9.0, 16.0]
    """
    _check.integer("block", block, low=1)
    _check.integer("chunk", chunk, low=1)
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if jax.default_backend() == "cpu" else 1
    _check.integer("workers", workers, low=1)
    mapped = jax.jit(lambda args: jax.lax.map(lambda one: function(*one), args, batch_size=block))

    def run(*args: Any) -> Any:
        sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(args)}
        if len(sizes) != 1 or sizes in ({()}, {(0,)}):
            raise ValueError(f"arguments: leading axes {sorted(sizes)}; must be one and the same, 1 or above")
        total = sizes.pop()[0]
        # Even chunks, at least one a worker, a whole number of blocks.
        pieces = max(-(-total // chunk), min(workers, -(-total // block)))
        size = -(-total // (pieces * block)) * block
        output: Any = None

        def work(first: int) -> tuple[int, Any]:
            index = np.minimum(np.arange(first, first + size), total - 1)
            return first, jax.device_get(mapped(jax.tree.map(lambda leaf: jnp.asarray(leaf[index]), args)))

        for first, result in _in_order_of_arrival(work, range(0, total, size), workers):
            if output is None:
                output = jax.tree.map(lambda leaf: np.empty((total, *leaf.shape[1:]), leaf.dtype), result)
            count = min(size, total - first)
            for whole, part in zip(jax.tree.leaves(output), jax.tree.leaves(result), strict=True):
                whole[first : first + count] = part[:count]
            if progress is not None:
                progress(count)
        return output

    return run


def _in_order_of_arrival(
    work: Callable[[int], tuple[int, Any]], items: range, workers: int
) -> Iterator[tuple[int, Any]]:
    """Run `work` on all items with at most `workers` results in flight (the first alone, which compiles)."""
    yield work(items[0])
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(work, items[1:])
