"""A sweep as data: what is computed at a point, what varies, and how the points are chosen."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from qra_jax import _check, _identity as identity, parts
from qra_jax.sweep.axes import Axis, from_table as axis_from_table
from qra_jax.sweep.layout import METHODS, Layout

Attributes = Mapping[str, Mapping[str, str]]
KEYS = ("kind", "seed", "method", "samples", "problem", "task", "phase", "axis")


@dataclass(frozen=True, eq=False)
class Spec:
    """What is computed at a point, what varies, and how the points are chosen.

    For a function of one's own; [`from_toml`][] and [`from_table`][] make those of named parts.

    Attributes:
      function: `(key, point) -> {variable: array}`, one point at a time, under `jit` and `vmap`. `point` has the
        value of each axis by name: a scalar array, or the value itself of a categorical axis.
      axes: [`Axis`][] objects, or a table of name to `Axis` or list of values.
      method: `"grid"` (all values with all), `"random"` or `"sobol"` (draws from the ranges along one dimension
        `sample`, crossed with the other axes).
      samples: number of draws.
      seed: of the draws and of all random keys.
      attributes: `units` and `long_name` of variables, by name.
      dims: names of a variable's own dimensions.
      coords: coordinates of a variable's own dimensions.
      settings: the plain data of a sweep of named parts.
      text: the specification as it was read.

    Raises:
      ValueError: a function that cannot be called, unknown method, no axes, an empty axis, two of one name.

    >>> spec = Spec(lambda key, point: {"y": point["x"] ** 2}, {"x": [0.0, 0.5, 1.0]})
    >>> spec.layout.dims, spec.layout.shape
    (('x',), (3,))
    """

    function: Callable[[Any, dict[str, Any]], Mapping[str, Any]]
    axes: Sequence[Axis] | Mapping[str, Any]
    method: str = "grid"
    samples: int | None = None
    seed: int = 0
    attributes: Attributes = field(default_factory=dict)
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    coords: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] | None = None
    text: str = ""

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"function: {self.function!r}; must be a function of a key and a point")
        if isinstance(self.axes, Mapping):
            axes = tuple(_axis(name, value) for name, value in self.axes.items())
        else:
            axes = tuple(self.axes)
        object.__setattr__(self, "axes", axes)
        _check.integer("seed", self.seed, low=0)
        self.layout  # noqa: B018 (its checks)

    @cached_property
    def layout(self) -> Layout:
        """The points."""
        return Layout(tuple(self.axes), self.method, self.samples, self.seed)  # pyright: ignore[reportArgumentType]

    def table(self) -> dict[str, Any]:
        """Plain data that says all there is to say, as far as a function can be told."""
        if self.settings is not None:
            return dict(self.settings)
        return {
            "function": identity.describe(self.function),
            "axes": [axis.table() for axis in self.layout.axes],
            "method": self.method,
            "samples": self.samples,
            "seed": self.seed,
        }

    @property
    def source(self) -> str:
        """The text of the specification."""
        return self.text or json.dumps(self.table(), default=plain)

    @property
    def identity(self) -> str:
        """A checksum that two sweeps share when they compute the same."""
        canonical = json.dumps(self.table(), sort_keys=True, default=plain)
        return hashlib.sha256(canonical.encode()).hexdigest()


def from_toml(source: str | Path) -> Spec:
    """A sweep of named parts from a TOML file.

    Args:
      source: path of the file.

    Returns:
      A `Spec`.

    Raises:
      ValueError: text that is not TOML (with the line), unknown keys, parts or values.
      OSError: the file cannot be read.
    """
    path = Path(source)
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: not readable as TOML: {error}") from None
    return replace(from_table(table), text=text)


def from_table(table: Mapping[str, Any]) -> Spec:
    """A sweep of named parts from the plain data of a TOML file.

    Args:
      table: `kind` (`"hit"`, `"train"`, `"flow"`, `"recipe"`); `seed`, `method`, `samples`; `problem`, `task`
        and `phase`, as `qra_jax.sweep.tasks` says; `axis`, a list of tables with the attributes of an [`Axis`][].

    Returns:
      A `Spec`.

    Raises:
      ValueError: unknown keys, parts or values.
    """
    from qra_jax.sweep import tasks

    parts.check_keys("sweep", table, KEYS)
    if not table.get("axis"):
        raise ValueError("axis: none; a sweep needs at least one [[axis]]")
    if not isinstance(table["axis"], Sequence):
        raise ValueError("axis: a table; write [[axis]], with two brackets")
    axes = tuple(axis_from_table(one, f"axis {i}") for i, one in enumerate(table["axis"]))
    task = tasks.from_table(table, axes)
    return Spec(
        task,
        axes,
        _check.choice("method", table.get("method", "grid"), METHODS),
        table.get("samples"),
        table.get("seed", 0),
        attributes=task.attributes,
        dims=task.dims,
        coords=task.coords,
        settings=table,
    )


def load(spec: Spec | Mapping[str, Any] | str | Path) -> Spec:
    """A sweep from whatever says what it is."""
    if isinstance(spec, Spec):
        return spec
    return from_table(spec) if isinstance(spec, Mapping) else from_toml(spec)


def plain(value: Any) -> Any:
    """Plain data of what JSON does not know."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return list(value) if isinstance(value, (tuple, set)) else str(value)


def _axis(name: str, value: Any) -> Axis:
    if isinstance(value, Axis):
        return replace(value, name=name)
    return Axis(name, values=value)
