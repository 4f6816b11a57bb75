"""From a shard to its numbers: blocks of points of fixed width, on all devices of this machine.

Every program works on blocks of the same width, filled up where points are missing, and a point's key depends on its
index alone: so a result does not depend on which shard, device or executor a point falls to, to the last bit. Another
block width is another program, and may round differently.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache, partial
from math import ceil
from typing import Any
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError
from jax.sharding import PartitionSpec

from qra_jax._batches import cores
from qra_jax.sweep.layout import Boxes, Shard
from qra_jax.sweep.spec import Spec

LEAST, MOST = 64, 16384
"""Block widths to choose from. The least is right for a CPU: measured within a tenth of the best for training with 10
to 2048 patterns, where twice the width takes up to twice the time; and it is the same on every machine."""
POOL_CPU = 128
"""Width of the pooled search on a CPU."""
BLOCKS_CPU = 16
"""Blocks in a call on a CPU; one elsewhere. Not a matter of the shard, or its size would choose the program."""
PROGRAMS: WeakKeyDictionary[Spec, dict[Any, Any]] = WeakKeyDictionary()
"""What is compiled, for as long as its sweep is known."""


class Engine:
    """Computes the shards of one sweep; compiles one program for each combination of categorical values.

    Args:
      spec: the sweep.
      boxes: its shards.
      block: points in a block; default: chosen with [`Engine.choose`][].
    """

    def __init__(self, spec: Spec, boxes: Boxes, block: int | None = None):
        self.spec, self.boxes = spec, boxes
        self.first = spec.layout.shard(boxes, 0)
        self.devices = jax.local_devices()
        self.cpu = self.devices[0].platform == "cpu"
        self.block = block or LEAST
        self.compiled = PROGRAMS.setdefault(spec, {})
        self.locks: dict[Any, threading.Lock] = {}
        self.lock = threading.Lock()

    def choose(self) -> int:
        """The block width for this machine.

        A fixed one on a CPU; elsewhere the first program is compiled for the least width to see what memory it needs,
        and a block takes up to an eighth of the device's.
        """
        if self.cpu:
            self.block = POOL_CPU if hasattr(self.spec.function, "pool") else LEAST
            return self.block
        memory = self.program(self.first, LEAST).memory_analysis()
        each = max(1, memory.temp_size_in_bytes / LEAST)
        room = device_memory(self.devices[0]) / 8
        self.block = LEAST
        while 2 * self.block * each <= room and self.block < MOST:
            self.block *= 2
        return self.block

    def run(self, shard: Shard) -> tuple[dict[str, np.ndarray], int]:
        """Compute a shard; where memory runs out, with half the block, from then on.

        Args:
          shard: which points.

        Returns:
          The variables, `[points, ...]` each, and the width of the blocks.

        Raises:
          ValueError: one point at a time is still too much.
        """
        block = self.block
        while True:
            try:
                return self._run(shard, block), block
            except JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                if block == 1:
                    raise ValueError("block: 1; memory runs out even with one point at a time") from None
            with self.lock:
                block = self.block = min(self.block, block // 2)

    def _run(self, shard: Shard, block: int) -> dict[str, np.ndarray]:
        program, parts = self.program(shard, block), []
        count, width = len(shard.index), self._width(block)
        call = width * len(self.devices)
        values = {name: traced(column) for name, column in shard.values.items()}
        for first in range(0, count, call):
            here = min(call, count - first)
            padded = first + np.minimum(np.arange(call), here - 1)
            left = here - width * np.arange(len(self.devices))
            blocks = np.ceil(np.clip(left, 0, width) / block).astype(np.int32)
            columns = {name: column[padded] for name, column in values.items()}
            found = program(root_key(self.spec.seed), shard.index[padded], blocks, columns)
            parts.append({name: np.asarray(column)[:here] for name, column in found.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _width(self, block: int) -> int:
        """Points of a device in one call; in the pooled search all of them, so that none waits.

        Never a single block of those: a loop of one turn would be compiled as none, and round differently.
        """
        if hasattr(self.spec.function, "pool"):
            return max(2, ceil(self.boxes.capacity / (block * len(self.devices)))) * block
        return block * (BLOCKS_CPU if self.cpu else 1)

    def program(self, shard: Shard, block: int) -> Any:
        """The compiled program of a shard's categorical values; compiled once, whichever thread asks."""
        category = shard.chunk[: len(shard.static)]
        key = category, block, self._width(block), traced(np.zeros(0)).dtype
        with self.lock:
            lock = self.locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self.compiled:
                self.compiled[key] = self._compile(shard.static, block)
            return self.compiled[key]

    def _compile(self, static: Mapping[str, Any], block: int) -> Any:
        devices = len(self.devices)
        work = partial(on_device, self.spec.function, static, block)
        split, whole = PartitionSpec("points"), PartitionSpec()
        mesh = jax.make_mesh((devices,), ("points",), (jax.sharding.AxisType.Auto,), devices=self.devices)
        spread = jax.shard_map(
            work, mesh=mesh, in_specs=(whole, split, split, split), out_specs=split, check_vma=False
        )
        points = devices * self._width(block)
        values = {
            name: jax.ShapeDtypeStruct((points,), traced(column).dtype)
            for name, column in self.first.values.items()
        }
        shapes = (
            jax.ShapeDtypeStruct((points,), np.uint32),
            jax.ShapeDtypeStruct((devices,), np.int32),
        )
        return jax.jit(spread).lower(root_key(self.spec.seed), *shapes, values).compile()


def on_device(
    function: Any, static: Mapping[str, Any], block: int, root: Any, index: Any, count: Any, values: Any
) -> dict[str, Any]:
    """The blocks of one device, one after the other; `count[0]` of them have points."""
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    root = jax.random.wrap_key_data(root)
    if hasattr(function, "pool"):
        return function.pool(fold(root, index), {**static, **values}, block)

    def one(key: Any, values: Any) -> dict[str, Any]:
        return {name: jnp.asarray(leaf) for name, leaf in function(key, {**static, **values}).items()}

    def batch(i: Any) -> dict[str, Any]:
        part = jax.tree.map(
            lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, i * block, block), (index, values)
        )
        return jax.vmap(one)(fold(root, part[0]), part[1])

    def turn(i: Any, found: Any) -> Any:
        return jax.tree.map(
            lambda whole, part: jax.lax.dynamic_update_slice_in_dim(whole, part, i * block, 0),
            found,
            batch(i),
        )

    shapes = jax.eval_shape(batch, 0)
    empty = jax.tree.map(lambda leaf: jnp.zeros((len(index), *leaf.shape[1:]), leaf.dtype), shapes)
    return jax.lax.fori_loop(0, count[0], turn, empty)


def traced(column: np.ndarray) -> np.ndarray:
    """Values of an axis in the dtype they are traced with."""
    return column.astype(jax.dtypes.canonicalize_dtype(column.dtype))


@lru_cache
def root_key(seed: int) -> np.ndarray:
    """The words of the key that all others are folded from."""
    return np.asarray(jax.random.key_data(jax.random.key(seed)))


def threads() -> int:
    """Shards to work on at a time: all cores of a CPU; elsewhere two, so that one is written while one is computed."""
    if jax.default_backend() != "cpu":
        return 2
    return max(1, cores() // jax.local_device_count())


def device_memory(device: Any) -> int:
    """Bytes of a device's memory; 8 GiB where it does not say."""
    return (device.memory_stats() or {}).get("bytes_limit", 2**33)
