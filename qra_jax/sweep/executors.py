"""Where shards are computed: threads of this process, or anything that is a `concurrent.futures.Executor`.

A worker that is lost (killed, out of memory, gone with its node) does not lose its shards: they are tried again, each
up to `TRIES` times. An error of the computation itself is raised at once; what is done stays done.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qra_jax._batches import cores

TRIES = 4
LOST = ("KilledWorker", "CommClosedError", "UncompletedJobError")
"""Names of other libraries' exceptions that say that a worker is gone."""
NAMES = "processes[:N], dask, dask://HOST:PORT, slurm[:N]"
WIDE = 256
"""Workers to assume of an executor that does not say how many it has."""
PATIENCE = 10
"""Seconds to wait for a scheduler to answer."""


@dataclass(frozen=True)
class Workers:
    """A way to get an executor, again if it breaks.

    Attributes:
      make: makes one.
      width: tasks in flight at a time.
      group: whether a worker is given its whole share of the shards at once, as a batch job is.
      renewable: whether a broken executor may be replaced by another.
    """

    make: Callable[[], Executor]
    width: int
    group: bool = False
    renewable: bool = True


class Jobs(ThreadPoolExecutor):
    """Batch jobs of a `submitit` executor, seen as an executor: one waiting thread a job."""

    def __init__(self, submitter: Any, jobs: int):
        super().__init__(jobs)
        self.submitter, self.jobs = submitter, []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Hand one job to the queue."""

        def job() -> Any:
            submitted = self.submitter.submit(fn, *args, **kwargs)
            self.jobs.append(submitted)
            return submitted.result()

        return super().submit(job)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel what is not done, then end."""
        for job in self.jobs:
            if not job.done():
                job.cancel(check=False)
        super().shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def workers(executor: Any, store: Path, threads: int) -> Iterator[Workers]:
    """The workers that a name or an executor stands for.

    Args:
      executor: `None` for threads of this process; `"processes"`, `"processes:4"`; `"dask"` for a cluster on this
        machine, `"dask://HOST:PORT"` for another; `"slurm"`, `"slurm:20"` for 20 batch jobs; a dask `Client`, a
        `submitit` executor, or any `concurrent.futures.Executor`.
      store: the store; folders for logs go beside it.
      threads: of this process.

    Raises:
      ValueError: an unknown name, a library that is missing, a scheduler that does not answer.
    """
    if executor is None:
        yield Workers(lambda: ThreadPoolExecutor(threads), threads + 1)
    elif isinstance(executor, Executor):
        known = getattr(executor, "_max_workers", None) or WIDE
        yield Workers(lambda: executor, 2 * known, renewable=False)
    elif isinstance(executor, str):
        name, _, rest = executor.partition(":")
        if name == "processes":
            count = _count(executor, rest, cores())
            spawn = multiprocessing.get_context("spawn")
            yield Workers(lambda: ProcessPoolExecutor(count, spawn, end_with_parent), count + 1)
        elif name == "dask":
            with dask_client(rest) as client:
                yield _dask(client)
        elif name in ("slurm", "submitit"):
            jobs = _count(executor, rest, 8)
            with _needed("submitit"):
                import submitit
            try:
                submitter = submitit.AutoExecutor(store.with_name(f"{store.name}.jobs"), cluster="slurm")
            except RuntimeError as error:
                raise ValueError(f"executor: {executor!r}: {error}") from None
            yield Workers(lambda: Jobs(submitter, jobs), jobs, group=True)
        else:
            raise ValueError(f"executor: {executor!r}; must be one of {NAMES}")
    elif hasattr(executor, "get_executor"):
        yield _dask(executor)
    elif hasattr(executor, "submit"):
        yield Workers(lambda: Jobs(executor, 8), 8, group=True)
    else:
        raise ValueError(f"executor: {executor!r}; must be an executor or one of {NAMES}")


@contextmanager
def dask_client(address: str) -> Iterator[Any]:
    """A client of the scheduler at `//HOST:PORT`, or of a cluster of one process a core on this machine."""
    with _needed("dask", "distributed"):
        from distributed import Client, LocalCluster
    if address:
        try:
            client = Client(f"tcp:{address}", timeout=PATIENCE)
        except (OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"executor: no dask scheduler at {address.strip('/')}: {reason}") from None
        with client:
            yield client
    else:
        cluster = LocalCluster(n_workers=cores(), threads_per_worker=1, dashboard_address=None)  # pyright: ignore
        with cluster, Client(cluster) as client:
            yield client


def end_with_parent() -> None:
    """Let this process end when the one that started it is gone, however that ended."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _dask(client: Any) -> Workers:
    width = 2 * max(1, sum(client.nthreads().values()))
    return Workers(client.get_executor, width)


def gather(
    workers: Workers, task: Callable[..., Any], shards: list[int], arguments: tuple[Any, ...]
) -> Iterator[Any]:
    """Results of `task(*arguments, some shards)`, as they come; the shards of lost workers are tried again.

    Args:
      workers: where.
      task: picklable function.
      shards: which shards.
      arguments: what else it is given.

    Yields:
      What the task returns.

    Raises:
      ValueError: a shard lost its worker too often.
      Exception: whatever the task raises.
    """
    pieces = workers.width if workers.group else len(shards)
    waiting = deque(shards[i::pieces] for i in range(min(pieces, len(shards))))
    running: dict[Future, list[int]] = {}
    lost: Counter[int] = Counter()
    executor = workers.make()
    try:
        while waiting or running:
            broken = False
            while waiting and len(running) < workers.width and not broken:
                try:
                    running[executor.submit(task, *arguments, waiting[0])] = waiting[0]
                    waiting.popleft()
                except BrokenExecutor:
                    broken = True
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                part = running.pop(future)
                try:
                    yield future.result()
                except Exception as error:
                    if type(error).__name__ == "FailedJobError":
                        raise ValueError(
                            f"executor: a job failed: {str(error).strip().splitlines()[-1]}"
                        ) from None
                    if not is_loss(error):
                        raise
                    broken |= isinstance(error, BrokenExecutor)
                    lost.update(part)
                    if lost[part[0]] >= TRIES:
                        reason = " ".join(str(error).split())[:200] or type(error).__name__
                        raise ValueError(
                            f"executor: shard {part[0]} lost its worker {TRIES} times (out of memory?): {reason}"
                        ) from None
                    waiting.append(part)
            if broken:
                if not workers.renewable:
                    raise ValueError("executor: broken, it takes no more work; what is done is kept")
                executor.shutdown(wait=False)
                executor = workers.make()
    finally:
        for future in running:
            future.cancel()
        if workers.renewable:
            executor.shutdown()


def is_loss(error: BaseException) -> bool:
    """Whether an exception says that a worker is gone, rather than that the computation failed."""
    return isinstance(error, (BrokenExecutor, CancelledError)) or type(error).__name__ in LOST


@contextmanager
def _needed(*packages: str) -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise ValueError(
            f"executor: needs {' and '.join(packages)}; pip install {' '.join(packages)}"
        ) from None


def _count(executor: str, text: str, default: int) -> int:
    if not text:
        return default
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"executor: {executor!r}; the number after ':' must be 1 or above")
    return int(text)


def parse_part(text: str | None) -> tuple[int, int] | None:
    """The i-th of n parts of a sweep, from `i/n`, counted from 0.

    >>> parse_part("0/2")
    (0, 2)
    """
    if text is None:
        return None
    numbers: Iterable[str] = text.split("/")
    if not all(one.isdigit() for one in numbers) or len(list(numbers)) != 2:
        raise ValueError(f"shard: {text!r}; must be i/n, such as 0/10")
    i, n = map(int, numbers)
    if i >= n:
        raise ValueError(f"shard: {text!r}; i must be below n, counted from 0")
    return i, n
