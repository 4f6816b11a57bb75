"""What [`qra_jax.many`][] stands on: chunks on the host's threads, and loops that share a few lanes."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax import _check


def chunked(
    function: Callable[..., Any],
    *,
    block: int = 1,
    chunk: int = 8192,
    workers: int | None = None,
) -> Callable[..., Any]:
    """Run a batched function over a leading axis of any length, chunk by chunk, on the host's threads.

    Args:
      function: takes pytrees with a leading axis, returns a pytree with that axis.
      block: chunks are a multiple of this, ≥ 1.

    As for [`qra_jax.batching.many`][]: `chunk`, `workers`.

    Returns:
      A function as `many` returns it. It keeps what it has compiled.

    Raises:
      ValueError: as for `many`.
    """
    _check.integer("chunk", chunk, low=1)
    if workers is None:
        workers = cores() if jax.default_backend() == "cpu" else 1
    _check.integer("workers", workers, low=1)
    compiled: dict[Any, Any] = {}

    def run(*args: Any, progress: Callable[[int], None] | None = None) -> Any:
        leaves, tree = jax.tree.flatten(args)
        kinds = [jax.random.key_impl(leaf) if _is_key(leaf) else None for leaf in leaves]
        leaves = [_as_numpy(leaf) for leaf in leaves]
        sizes = {leaf.shape[:1] for leaf in leaves}
        if len(sizes) != 1 or sizes in ({()}, {(0,)}):
            raise ValueError(f"arguments: leading axes {sorted(sizes)}; must be one and the same, 1 or above")
        total = sizes.pop()[0]
        # Even chunks, at least one a worker, a whole number of blocks.
        pieces = max(-(-total // chunk), min(workers, -(-total // block)))
        size = -(-total // (pieces * block)) * block

        def part(first: int) -> list[Any]:
            index = np.minimum(np.arange(first, first + size), total - 1)
            return [leaf[index] for leaf in leaves]

        def of_leaves(*leaves: Any) -> Any:
            keyed = [
                leaf if kind is None else jax.random.wrap_key_data(leaf, impl=kind)
                for leaf, kind in zip(leaves, kinds, strict=True)
            ]
            return function(*jax.tree.unflatten(tree, keyed))

        shapes = [(leaf.shape[1:], leaf.dtype, str(kind)) for leaf, kind in zip(leaves, kinds, strict=True)]
        key = (tree, size, tuple(shapes))
        if key not in compiled:  # before the threads start, or each would compile
            compiled[key] = jax.jit(of_leaves).lower(*part(0)).compile()

        def work(first: int) -> tuple[int, Any]:
            result = compiled[key](*part(first))
            return first, [np.asarray(leaf) for leaf in jax.tree.leaves(result)]

        output: list[np.ndarray] = []
        with ThreadPoolExecutor(workers) as pool:
            for first, result in pool.map(work, range(0, total, size)):
                if not output:
                    output = [np.empty((total, *leaf.shape[1:]), leaf.dtype) for leaf in result]
                count = min(size, total - first)
                for whole, piece in zip(output, result, strict=True):
                    whole[first : first + count] = piece[:count]
                if progress is not None:
                    progress(count)
        return jax.tree.unflatten(compiled[key].out_tree, jax.device_put(output))

    return run


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _as_numpy(leaf: Any) -> np.ndarray:
    """An argument on the host, in the precision that JAX would give it; the words of random keys."""
    found = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    return found.astype(jax.dtypes.canonicalize_dtype(found.dtype), copy=False)


def cores() -> int:
    """CPUs that this process may use; all of the machine where the system does not say."""
    known = getattr(os, "sched_getaffinity", None)
    return (os.cpu_count() or 1) if known is None else len(known(0))


def pooled_while(
    over: Callable[[Any], Any], step: Callable[[Any, Any], Any], params: Any, states: Any, lanes: int = 64
) -> Any:
    """Many independent `while` loops on a few lanes: a lane whose loop is over takes up the next one.

    The same result as `jax.vmap` of `jax.lax.while_loop`, where every lane would wait for the slowest, but that
    every loop takes at least one turn.

    Args:
      over: `state -> bool`, whether a loop is over.
      step: `(params, state) -> state`, one turn of a loop.
      params: pytree, leading axis `[loops]`.
      states: pytree of first states, leading axis `[loops]`.
      lanes: loops that run at a time.

    Returns:
      The last states, leading axis `[loops]`.
    """
    loops = jax.tree.leaves(states)[0].shape[0]
    lanes = min(lanes, loops)

    def take(tree: Any, index: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf[jnp.minimum(index, loops - 1)], tree)

    def turn(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        index, upcoming, own, state, results = carry
        state = jax.vmap(step)(own, state)
        finished = jax.vmap(over)(state)
        slot = jnp.where(finished, index, loops)  # beyond the end: dropped
        results = jax.tree.map(lambda all, one: all.at[slot].set(one, mode="drop"), results, state)
        index = jnp.where(finished, upcoming + jnp.cumsum(finished) - 1, index)

        def refill(old: Any, new: Any) -> Any:
            return jnp.where(jnp.reshape(finished, finished.shape + (1,) * (old.ndim - 1)), new, old)

        own = jax.tree.map(refill, own, take(params, index))
        state = jax.tree.map(refill, state, take(states, index))
        return index, upcoming + jnp.sum(finished), own, state, results

    first = jnp.arange(lanes)
    carry = (first, jnp.asarray(lanes), take(params, first), take(states, first), states)
    return jax.lax.while_loop(lambda carry: jnp.any(carry[0] < loops), turn, carry)[-1]
