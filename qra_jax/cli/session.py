"""What commands share: float64 and the cache of compiled programs, messages on stderr, files to write."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

MIN_SECONDS = 0.0
"""Every program is kept: the small ones are many."""


def busy(doing: str) -> contextlib.AbstractContextManager[Any]:
    """Shows in a terminal, on stderr, what is under way until it is done."""
    from rich.console import Console

    return Console(stderr=True).status(doing)


@contextlib.contextmanager
def progress(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows in a terminal, on stderr, how much of a long work is done, and when it will be.

    Args:
      doing: what is under way.
      total: all of it.

    Yields:
      A function to tell how much more is done.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda more: bar.advance(task, more)


def writable(argument: str, path: Path) -> Path:
    """A path, if a file can be made there; complains before anything is computed."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f"{argument}: {path}: nothing can be written in {folder}; choose another folder")
    return path


def wrote(paths: Sequence[Path]) -> None:
    """Say on stderr which files were written."""
    for path in paths:
        print(f"wrote {path}", file=sys.stderr)


def cache_folder() -> Path | None:
    """Where the command keeps compiled programs; `None` where the user has chosen a folder, or has no home."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    with contextlib.suppress(OSError, RuntimeError):  # no home, or one that cannot be written to
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "qra_jax" / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    return None


def start_jax() -> None:
    """Turn on float64 and, where the user has no cache of their own, a cache of compiled programs."""
    import jax

    jax.config.update("jax_enable_x64", True)
    folder = cache_folder()
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
