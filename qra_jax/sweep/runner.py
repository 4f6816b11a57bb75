"""Running a sweep: look at what is there, compute what is missing, open the result."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import xarray

from qra_jax import _check
from qra_jax.sweep import executors, store as _store, work
from qra_jax.sweep.engine import Engine, threads
from qra_jax.sweep.progress import Progress
from qra_jax.sweep.spec import Spec, load
from qra_jax.sweep.store import CORRUPT, DONE, MISSING, Store


def run(
    spec: Spec | Mapping[str, Any] | str | Path,
    store: str | Path,
    *,
    resume: bool = False,
    executor: Any = None,
    shard: tuple[int, int] | str | None = None,
    block: int | None = None,
    shard_size: int | None = None,
    progress: bool = True,
) -> xarray.Dataset:
    """Compute every point of a sweep and keep it in a Zarr store.

    The result does not depend on the order of computation, on shard size, devices or executor, to the last bit, on
    machines that round alike and with the same block width; a sweep that was interrupted and resumed leaves the very
    same files as one that was not.

    Args:
      spec: a [`Spec`][], its plain data, or the path of a TOML file.
      store: folder of the store.
      resume: go on with a store that is not complete: shards that are missing or damaged are computed.
      executor: where: `None` for all devices of this machine; a name or an executor as
        [`workers`][qra_jax.sweep.executors.workers] says.
      shard: `(i, n)` or `"i/n"`: only every n-th shard from the i-th, for arrays of batch jobs.
      block: points that are vectorised together, ≥ 1; chosen from cache or memory where left out, and halved where
        memory runs out. Kept in the store.
      shard_size: points in a shard, about; kept in the store.
      progress: show a bar, the rate, the time left and what comes out.

    Returns:
      The data, loaded where they are looked at, with the sweep's axes as dimensions.

    Raises:
      ValueError: a specification, store or executor that will not do; nothing is overwritten.
      OSError: files cannot be written; what is done is kept.
    """
    spec, path = load(spec), Path(store)
    part = executors.parse_part(shard if shard is None or isinstance(shard, str) else "{}/{}".format(*shard))
    if block is not None:
        _check.integer("block", block, low=1)
    opened, engine = _open(spec, path, block, shard_size, resume or part is not None)
    states = opened.states()
    if not resume and CORRUPT in states.values():
        number = next(number for number, state in states.items() if state == CORRUPT)
        raise ValueError(f"store: {path}: shard {number} is damaged; compute it anew with --resume")
    mine = [number for number in range(opened.boxes.shards) if part is None or number % part[1] == part[0]]
    missing = [number for number in mine if states[number] != DONE]
    if missing:
        try:
            with Progress(opened, mine, missing, enabled=progress) as show:
                for report in _reports(spec, opened, engine, executor, missing):
                    show.add(report)
        except OSError as error:
            kept = sum(state == DONE for state in opened.states().values())
            reason = "disk full" if error.errno == errno.ENOSPC else str(error)
            rest = f"{kept} of {opened.boxes.shards} shards are kept, go on with --resume"
            raise OSError(f"store: {path}: {reason}; {rest}") from None
        states = {number: state if number not in missing else DONE for number, state in states.items()}
    return opened.open(states)


def _open(
    spec: Spec, path: Path, block: int | None, shard_size: int | None, go_on: bool
) -> tuple[Store, Engine]:
    """The store, made where there is none, and what computes its shards."""
    variables, engine = work.variables(spec), None
    there = path.is_file() or (path.is_dir() and any(path.iterdir()))
    if not there:
        boxes = spec.layout.boxes(shard_size)
        engine = Engine(spec, boxes, block)
        made = _store.create(path, spec, boxes, variables, block or engine.choose())
    opened = Store(path)
    opened.check(spec)
    if there and not go_on and MISSING in (states := opened.states()).values():
        done = sum(state == DONE for state in states.values())
        raise ValueError(f"store: {path} exists, {done} of {len(states)} shards done; go on with --resume")
    for name, given, kept in (
        ("block", block, opened.header["block"]),
        ("shard_size", shard_size and spec.layout.boxes(shard_size).chunk, opened.boxes.chunk),
    ):
        if given is not None and given != kept:
            raise ValueError(f"{name}: {given}, but the store was made with {kept}; leave it out")
    if engine is None or not made or engine.block != opened.header["block"]:
        engine = Engine(spec, opened.boxes, opened.header["block"])
    return opened, engine


def _reports(
    spec: Spec, store: Store, engine: Engine, executor: Any, missing: list[int]
) -> Iterator[work.Report]:
    """Reports of the shards, as they are done."""
    if executor is None:
        task = partial(_local, engine, store)
        arguments: tuple[Any, ...] = ()
    else:
        task, arguments = work.remote, (work.pack(spec), str(store.path.resolve()))
    with executors.workers(executor, store.path, threads()) as workers:
        for reports in executors.gather(workers, task, missing, arguments):
            yield from reports


def _local(engine: Engine, store: Store, numbers: list[int]) -> list[work.Report]:
    return [work.compute(engine, store, number) for number in numbers]


def open(store: str | Path) -> xarray.Dataset:
    """Open the store of a sweep, complete or not.

    Args:
      store: its folder.

    Returns:
      The data, loaded where they are looked at; NaN (−1 for whole numbers) where nothing was computed yet.
      `attrs["shards_done"]` of `attrs["shards"]` shards are done and undamaged.

    Raises:
      ValueError: no store of a sweep.
    """
    opened = Store(Path(store))
    return opened.open(opened.states())
