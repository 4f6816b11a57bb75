"""What a worker does: compute shards and write them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax.sweep.engine import Engine, threads, traced
from qra_jax.sweep.layout import MARKS, Boxes
from qra_jax.sweep.spec import Spec
from qra_jax.sweep.store import DONE, Store, Variable

GLIMPSES = 64
"""Values of the first variable that a report carries."""


@dataclass(frozen=True)
class Report:
    """What the driver is told of a shard that is done.

    Attributes:
      number: which shard.
      points: how many points it has.
      block: width of its blocks.
      not_ok: points whose status is not 0.
      glimpse: some values of the first variable.
    """

    number: int
    points: int
    block: int
    not_ok: int
    glimpse: np.ndarray


def compute(engine: Engine, store: Store, number: int) -> Report:
    """Compute a shard and write it."""
    shard = engine.spec.layout.shard(store.boxes, number)
    found, block = engine.run(shard)
    store.write(number, found, block)
    return report(store, number, found, block)


def report(store: Store, number: int, found: Mapping[str, np.ndarray], block: int) -> Report:
    """What to tell of a shard, given its variables."""
    not_ok = int(np.count_nonzero(found["status"])) if "status" in found else 0
    first = found[store.variables[0].name].ravel()
    glimpse = first[:: max(1, -(-len(first) // GLIMPSES))]
    return Report(number, prod(store.boxes.extent(number)), block, not_ok, glimpse)


def remote(payload: bytes, path: str, numbers: Sequence[int]) -> list[Report]:
    """Compute shards in a process of its own, which keeps what it has compiled for the next call.

    Args:
      payload: pickle of the sweep and of whether it is in float64.
      path: of the store.
      numbers: which shards.

    Returns:
      A report for each.
    """
    spec, x64 = _unpack(payload)
    jax.config.update("jax_enable_x64", x64)
    store = Store(Path(path))
    engine = _engine(spec, store.boxes, store.header["block"])

    def one(number: int) -> Report:
        done = store.state(number) == DONE  # by a worker that was lost before it could tell
        return report(store, number, *store.read(number)) if done else compute(engine, store, number)

    if len(numbers) == 1:
        return [one(numbers[0])]
    with ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(one, numbers))


@lru_cache(4)
def _unpack(payload: bytes) -> tuple[Spec, bool]:
    return pickle.loads(payload)


@lru_cache(4)
def _engine(spec: Spec, boxes: Boxes, block: int) -> Engine:
    return Engine(spec, boxes, block)


def pack(spec: Spec) -> bytes:
    """The sweep for a worker elsewhere.

    Raises:
      ValueError: its function cannot be sent.
    """
    content = spec, bool(jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        try:
            import cloudpickle
        except ImportError:
            return pickle.dumps(content)
        return cloudpickle.dumps(content)
    except Exception as error:
        raise ValueError(f"function: cannot be sent to other processes: {error}") from None


def variables(spec: Spec) -> list[Variable]:
    """What the sweep computes, found without computing: every axis is tried at its ends, every category in turn.

    Raises:
      ValueError: a value that a part refuses, a value that cannot be traced, or shapes that differ between
        categories.
    """
    layout = spec.layout
    first = layout.shard(layout.boxes(1), 0)
    ends = {name: column[0] for name, column in first.values.items()}
    categories = layout.combinations()
    for axis in layout.axes:
        if axis.seeds is None and not axis.categorical:
            numbers = np.array([axis.low, axis.high]) if axis.ranged else axis.numbers
            for value in {float(numbers.min()), float(numbers.max())}:
                _shapes(spec, {**categories[0], **ends, axis.name: value}, {}, f"{axis.name} = {value:g}")
    found = None
    for static in categories:
        what = ", ".join(f"{name} = {value}" for name, value in static.items())
        _shapes(spec, {**static, **ends}, {}, what)
        shapes = _shapes(spec, static, {name: traced(column) for name, column in first.values.items()}, what)
        if found is None:
            found = shapes
        elif shapes != found:
            raise ValueError(
                f"axis {layout.categorical[0].name!r}: with {what} the variables have other shapes"
            )
    assert found is not None
    if not found:
        raise ValueError("function: returns no variables; must return a table of arrays")
    return [_variable(spec, name, shape) for name, shape in found.items()]


def _variable(spec: Spec, name: str, shape: jax.ShapeDtypeStruct) -> Variable:
    if name in (*spec.layout.dims, *(axis.name for axis in spec.layout.axes), MARKS):
        raise ValueError(f"variable {name!r}: an axis has this name; rename one of them")
    if not name.isidentifier():
        raise ValueError(f"variable {name!r}; must be a name of letters, digits and _")
    kind = np.dtype(np.int8) if shape.dtype == bool else np.dtype(shape.dtype)
    if kind.kind not in "fiu":
        raise ValueError(f"variable {name!r}: dtype {kind}; must be real numbers")
    dims = spec.dims.get(name, tuple(f"{name}_{i}" for i in range(len(shape.shape))))
    if len(dims) != len(shape.shape):
        raise ValueError(f"variable {name!r}: dims {dims} for shape {shape.shape}")
    return Variable(name, tuple(shape.shape), kind.name, tuple(dims))


def _shapes(spec: Spec, concrete: dict[str, Any], traced: dict[str, Any], what: str) -> dict[str, Any]:
    """Shapes of the variables; concrete values are checked by the parts, traced ones cannot be."""

    order: list[str] = []

    def point(key: Any, values: dict[str, Any]) -> dict[str, Any]:
        found = spec.function(key, {**concrete, **values})
        if not hasattr(found, "items"):
            raise ValueError(f"function: returns {type(found).__name__}; must return a table of arrays")
        order[:] = found
        return {name: jnp.asarray(leaf) for name, leaf in found.items()}

    values = {name: jax.ShapeDtypeStruct((), column.dtype) for name, column in traced.items()}
    try:
        found = jax.eval_shape(point, jax.random.key(spec.seed), values)
    except jax.errors.ConcretizationTypeError:
        names = ", ".join(traced)
        raise ValueError(
            f"axis {names}: an axis of floating-point numbers sets what must be known to compile; "
            "list whole numbers, or set static = true"
        ) from None
    except ValueError as error:
        raise ValueError(f"{what}: {error}" if what else str(error)) from None
    return {name: jax.ShapeDtypeStruct(found[name].shape, found[name].dtype) for name in order}
