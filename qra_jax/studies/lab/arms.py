"""Experiments: named axes, one compiled program for many members, and labelled results."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax.algorithm import Algorithm, switch
from qra_jax.batching import many
from qra_jax.studies.lab.bank import Bank


@dataclass(frozen=True)
class Scale:
    """A setting that is smaller in the quick version of a study."""

    quick: Any
    full: Any


def scale(quick: Any, full: Any) -> Scale:
    """A setting with a quick and a full extent, e.g. `scale(300, 4000)` seeds."""
    return Scale(quick, full)


class DataMissing(ValueError):
    """An experiment needs measured data and was given none; the message says what it needs."""


class Data(Mapping[str, xr.Dataset]):
    """Results by experiment: `data.runs` is the labelled dataset that the experiment `runs` returned.

    Args:
      parts: datasets by name.
      skipped: why other experiments were left out, by name.
    """

    def __init__(self, parts: Mapping[str, xr.Dataset], skipped: Mapping[str, str] | None = None) -> None:
        self._parts, self._skipped = dict(parts), dict(skipped or {})
        self.read: dict[str, xr.Dataset] = {}
        """Experiments that were looked at since this object was made."""

    def __getitem__(self, name: str) -> xr.Dataset:
        if name in self._skipped:
            raise DataMissing(self._skipped[name])
        if name not in self._parts:
            raise KeyError(f"no experiment {name!r}; there are {', '.join(self._parts)}")
        self.read[name] = self._parts[name]
        return self._parts[name]

    def __getattr__(self, name: str) -> xr.Dataset:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(str(error)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def has(self, name: str) -> bool:
        """Whether an experiment was run: one of measured data may have been left out."""
        return name in self._parts

    def fresh(self) -> Data:
        """The same results, with nothing looked at yet."""
        return Data(self._parts, self._skipped)

    def change(self, name: str, **values: Any) -> Data:
        """The same results with some variables of one experiment changed.

        Args:
          name: the experiment.
          values: new values of its variables: arrays that fit the old ones, or functions of these.
        """
        old = self[name]
        new = {key: value(old[key]) if callable(value) else value for key, value in values.items()}
        for key, value in new.items():
            if not isinstance(value, xr.DataArray):
                new[key] = old[key].copy(data=np.broadcast_to(np.asarray(value), old[key].shape))
        return Data({**self._parts, name: old.assign(new)}, self._skipped)

    def select(self, name: str, **indexers: Any) -> Data:
        """The same results with a part of one experiment, by position along its dimensions (`isel`)."""
        return Data({**self._parts, name: self[name].isel(indexers)}, self._skipped)


@dataclass(frozen=True)
class Run:
    """What an experiment is given: which version to run, random numbers, what is kept, measured data.

    Attributes:
      quick: whether the quick version is wanted.
      shared_seed: the seed that was asked for: of what several experiments or studies have in common.
      bank: networks and ensembles that are kept.
      folder: measured runs, if the user has some.
      done: results of earlier experiments of this study.
      say: called with a line on progress.
      name: of the study and the experiment.
    """

    quick: bool
    shared_seed: int = 0
    bank: Bank = field(default_factory=Bank)
    folder: Path | None = None
    done: Data = field(default_factory=lambda: Data({}))
    say: Callable[[str], None] = lambda text: None
    name: str = ""

    def __call__(self, value: Any) -> Any:
        """The extent of a setting in this version: `run(SEEDS)`, or `run(scale(4, 16))`."""
        if isinstance(value, Scale):
            return value.quick if self.quick else value.full
        return value

    @property
    def seed(self) -> int:
        """Seed of this experiment's own random numbers: no other experiment of any study has the same."""
        words = [self.shared_seed, zlib.crc32(self.name.encode())]
        return int(np.random.SeedSequence(words).generate_state(1)[0] >> 1)

    @property
    def key(self) -> jax.Array:
        """PRNG key of this experiment."""
        return jax.random.key(self.seed)

    def measured(self, needs: str) -> Path:
        """The folder of measured runs.

        Args:
          needs: what it has to hold, in words.

        Raises:
          DataMissing: there is none.
        """
        if self.folder is None:
            raise DataMissing(f"needs {needs} (give their folder by --data)")
        return self.folder


def dataset(
    variables: Mapping[str, Any], coords: Mapping[str, Any] | None = None, **settings: Any
) -> xr.Dataset:
    """A labelled dataset from arrays: `{"best": (("arm", "seed"), array), "accuracy": number}`.

    Args:
      variables: by name: dimensions and array, or a number.
      coords: values along dimensions.
      settings: plain numbers or words to keep with the data, as attributes.
    """
    plain = {
        name: (value[0], np.asarray(value[1])) if isinstance(value, tuple) else np.asarray(value)
        for name, value in variables.items()
    }
    return xr.Dataset(plain, {k: np.asarray(v) for k, v in (coords or {}).items()}, settings)


def cells(
    function: Callable[..., Mapping[str, Any]],
    *,
    key: jax.Array | None = None,
    seeds: int | None = None,
    axes: Mapping[str, Any],
    dims: Mapping[str, Sequence[str]] | None = None,
    coords: Mapping[str, Any] | None = None,
    common: Sequence[str] = (),
    block: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> xr.Dataset:
    """Run a function in every combination of values of named axes, and for every seed.

    Numbers, and algorithms (through [`switch`][qra_jax.algorithm.switch]), are traced: one compiled program runs all
    of their combinations and seeds, in blocks on all cores. Each combination of other values (words, functions, whole
    numbers given as `static`) is a program of its own.

    Args:
      function: `(cell)`, or `(cell, key)` where there are seeds, to arrays by name; `cell.<axis>` is a value.
      key: PRNG key; needed with seeds.
      seeds: members of each cell; default: one, without random numbers.
      axes: values by name: a sequence of numbers, of algorithms, or of anything else; `static(values)` for numbers that
        shapes depend on.
      dims: names of further dimensions of what is returned, e.g. `{"path": ["time"]}`.
      coords: values along these.
      common: axes whose cells share their random numbers, so that differences along them are paired.
      block: members vectorised together; default: as in [`many`][qra_jax.batching.many].
      say: called with a line after each program.

    Returns:
      The dataset, with dimensions `(*axes, seed, ...)`.
    """
    fixed = {name: tuple(values) for name, values in axes.items() if not _traced(values)}
    traced = {name: tuple(values) for name, values in axes.items() if _traced(values)}
    shape = tuple(len(values) for values in traced.values())
    index = (
        np.stack([grid.ravel() for grid in np.meshgrid(*map(np.arange, shape), indexing="ij")])
        if shape
        else None
    )
    members = int(np.prod(shape)) if shape else 1
    columns = {name: np.arange(len(v)) if _algorithms(v) else np.asarray(v) for name, v in traced.items()}
    rows = {name: columns[name][index[i]] for i, name in enumerate(traced)} if index is not None else {}
    repeats = seeds or 1
    rows = {name: np.repeat(row, repeats, axis=0) for name, row in rows.items()}
    found: list[xr.Dataset] = []
    combinations = list(itertools.product(*(range(len(values)) for values in fixed.values())))
    for number, combination in enumerate(combinations):
        chosen = {name: fixed[name][i] for name, i in zip(fixed, combination, strict=True)}

        def one(row: Mapping[str, Any], own: Any, chosen: Mapping[str, Any] = chosen) -> Mapping[str, Any]:
            values = {n: switch(v, traced[n]) if _algorithms(traced[n]) else v for n, v in row.items()}
            cell = SimpleNamespace(**chosen, **values)
            return function(cell) if seeds is None else function(cell, own)

        own: Any = np.zeros(members * repeats)
        if seeds is not None:
            assert key is not None, "seeds need a key"
            own = _keys(key, combination, index, fixed, traced, common, members, seeds)
        out = many(one, block=block)(rows, own) if rows or seeds is not None else _alone(one, own)
        names = (*traced, *(["seed"] if seeds is not None else []))
        sizes = (*shape, *([seeds] if seeds is not None else []))
        arrays = {}
        for name, value in out.items():
            value = np.asarray(value)
            more = tuple((dims or {}).get(name, ()))
            if value.ndim - 1 != len(more):
                raise ValueError(
                    f"dims: {name!r} has {value.ndim - 1} further dimensions; must name each of them"
                )
            arrays[name] = (names + more, value.reshape(*sizes, *value.shape[1:]))
        labels = {name: _labels(values) for name, values in traced.items()}
        found.append(xr.Dataset(arrays, labels | {k: np.asarray(v) for k, v in (coords or {}).items()}))
        say(f"{number + 1} of {len(combinations)} programs")
    return _joined(found, fixed)


@dataclass(frozen=True)
class Static:
    """Numbers that shapes depend on: each is compiled by itself."""

    values: tuple[Any, ...]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)


def static(values: Sequence[Any]) -> Static:
    """Mark the values of an axis as ones that shapes depend on, such as group sizes: a program for each."""
    return Static(tuple(values))


def _alone(one: Callable[..., Mapping[str, Any]], own: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(value)[None] for name, value in jax.jit(lambda: one({}, own[0]))().items()}


def _algorithms(values: Any) -> bool:
    return all(isinstance(value, Algorithm) for value in values)


def _traced(values: Any) -> bool:
    if isinstance(values, Static):
        return False
    return _algorithms(values) or all(
        isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in values
    )


def _labels(values: Sequence[Any]) -> list[Any]:
    """Labels of an axis: numbers and words as they are, an object by its name."""
    return [
        value
        if isinstance(value, (str, int, float, np.number))
        else str(getattr(value, "name", None) or getattr(value, "__name__", None) or value)
        for value in values
    ]


def _keys(
    key: jax.Array,
    combination: tuple[int, ...],
    index: np.ndarray | None,
    fixed: Mapping[str, Any],
    traced: Mapping[str, Any],
    common: Sequence[str],
    members: int,
    seeds: int,
) -> jax.Array:
    """A key for each member and seed; cells along `common` axes share theirs."""
    for i, name in zip(combination, fixed, strict=True):
        if name not in common:
            key = jax.random.fold_in(key, i)
    number = np.zeros(members, int)
    for row, name in enumerate(traced):
        if index is not None and name not in common:
            number = number * len(traced[name]) + index[row]
    cell = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.asarray(number))
    return jax.vmap(lambda one: jax.random.split(one, seeds))(cell).reshape(members * seeds)


def _joined(found: list[xr.Dataset], fixed: Mapping[str, Any]) -> xr.Dataset:
    """Datasets of all combinations of fixed axes as one with these as dimensions."""
    for name, values in reversed(list(fixed.items())):
        size, labels = len(values), _labels(tuple(values))
        groups = [found[i : i + size] for i in range(0, len(found), size)]
        coordinate = xr.DataArray(labels, dims=name, name=name)
        found = [xr.concat(group, dim=coordinate, combine_attrs="drop") for group in groups]
    return found[0]
