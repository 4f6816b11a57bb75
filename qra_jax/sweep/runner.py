"""Running a sweep: look at what is there, compute what is missing, open the result."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import xarray

from qra_jax import _check
from qra_jax.sweep import executors, store as _store, work
from qra_jax.sweep.engine import Engine, threads
from qra_jax.sweep.progress import Progress
from qra_jax.sweep.spec import Spec, load
from qra_jax.sweep.store import CORRUPT, DONE, Store


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
      block: points that are vectorised together, ≥ 1; default: 64 on a CPU (128 for hitting times) and
        elsewhere what memory allows; halved where memory runs out. Kept in the store.
      shard_size: points in a shard, about; kept in the store.
      progress: show a bar, the rate, the time left and what comes out.

    Returns:
      The data, loaded where they are looked at, with the sweep's axes as dimensions.

    Raises:
      ValueError: a specification, store or executor that will not do; nothing is overwritten.
      OSError: files cannot be written; what is done is kept.
      KeyboardInterrupt: interrupted; it says how much is kept.
    """
    spec, path = load(spec), Path(store)
    part = executors.parse_part(shard if shard is None or isinstance(shard, str) else "{}/{}".format(*shard))
    if block is not None:
        _check.integer("block", block, low=1)
    variables = work.variables(spec)
    opened = _existing(path, spec, block, shard_size)
    states = {} if opened is None else opened.states()
    if not resume:
        _refuse(path, states, part is not None)
    if opened is not None and not _missing(states, part):
        return opened.open(states)
    with executors.workers(executor, path, threads()) as workers:
        if opened is None:
            engine = Engine(spec, spec.layout.boxes(shard_size), block)
            _store.create(path, spec, engine.boxes, variables, block or engine.choose())
            opened = _existing(path, spec, block, shard_size)  # another process may have been faster
            assert opened is not None
            states = opened.states()
        missing = _missing(states, part)
        task, arguments = partial(_local, Engine(spec, opened.boxes, opened.header["block"]), opened), ()
        if executor is not None:
            task, arguments = work.remote, (work.pack(spec), str(path.resolve()))
        mine = [number for number in states if _belongs(number, part)]
        opened.clean(mine)
        try:
            with Progress(opened, mine, missing, enabled=progress) as show:
                for reports in executors.gather(workers, task, missing, arguments):
                    for report in reports:
                        show.add(report)
                        states[report.number] = DONE
            opened.clean(mine)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(f"store: {path}: disk full; {_kept(opened)}") from None
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{path}: {_kept(opened)}") from None
    return opened.open(states)


def _existing(path: Path, spec: Spec, block: int | None, shard_size: int | None) -> Store | None:
    """The store of this very sweep, if there is one."""
    if not (path.is_file() or (path.is_dir() and any(path.iterdir()))):
        return None
    found = Store(path)
    found.check(spec)
    chunk = None if shard_size is None else spec.layout.boxes(shard_size).chunk
    for name, given, kept in (
        ("block", block, found.header["block"]),
        ("shard_size", chunk, found.boxes.chunk),
    ):
        if given is not None and given != kept:
            raise ValueError(f"{name}: {given}, but the store was made with {kept}; leave it out")
    return found


def _kept(store: Store) -> str:
    done = sum(store.mark_path(number).exists() for number in range(store.boxes.shards))
    return f"{done} of {store.boxes.shards} shards are kept, go on with --resume"


def _refuse(path: Path, states: Mapping[int, str], part_of_many: bool) -> None:
    """Without leave to go on, only a store that is whole is taken, or one that several jobs fill."""
    _whole(path, states)
    done = sum(state == DONE for state in states.values())
    if done < len(states) and not part_of_many:
        raise ValueError(f"store: {path} exists, {done} of {len(states)} shards done; go on with --resume")


def _whole(path: Path, states: Mapping[int, str]) -> None:
    """Refuse damaged chunks."""
    for number, state in states.items():
        if state == CORRUPT:
            raise ValueError(f"store: {path}: shard {number} is damaged; compute it anew with --resume")


def _belongs(number: int, part: tuple[int, int] | None) -> bool:
    return part is None or number % part[1] == part[0]


def _missing(states: Mapping[int, str], part: tuple[int, int] | None) -> list[int]:
    return [number for number, state in states.items() if state != DONE and _belongs(number, part)]


def _local(engine: Engine, store: Store, numbers: list[int]) -> list[work.Report]:
    return [work.compute(engine, store, number) for number in numbers]


def open(store: str | Path) -> xarray.Dataset:
    """Open the store of a sweep, complete or not.

    Args:
      store: its folder.

    Returns:
      The data, loaded where they are looked at; NaN (−1 for whole numbers) where nothing was computed yet.
      `attrs["shards_done"]` of `attrs["shards"]` shards are done.

    Raises:
      ValueError: no store of a sweep, or a damaged chunk.
    """
    opened = Store(Path(store))
    states = opened.states()
    _whole(opened.path, states)
    return opened.open(states)
