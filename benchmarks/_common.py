"""What every benchmark needs: fair timing, a note of the machine, a table, a file."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


def compiled(function: Callable[..., Any], *args: Any) -> tuple[Callable[..., Any], float]:
    """The function compiled for these arguments, and the seconds that tracing and compiling took."""
    start = time.perf_counter()
    executable = jax.jit(function).lower(*args).compile()
    return executable, time.perf_counter() - start


def interleaved(contenders: Mapping[str, Callable[[], Any]], repeats: int = 5) -> dict[str, list[float]]:
    """Seconds of each contender in each round, A B C A B C …, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(repeats + 1):
        for name, run in contenders.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest of some timings."""
    return {
        "median_s": median(seconds),
        "min_s": min(seconds),
        "max_s": max(seconds),
        "repeats": len(seconds),
    }


def environment(*packages: str) -> dict[str, Any]:
    """Device, cores and library versions; no host names, no paths."""
    return {
        "device": jax.devices()[0].device_kind if jax.default_backend() != "cpu" else _processor(),
        "backend": jax.default_backend(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_at_start": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in ("jax", "jaxlib", "numpy", *packages)},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "CPU")


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows with the same keys as a table."""
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*(f"{x:.4g}" if isinstance(x, float) else str(x) for x in row.values()))
    Console(width=132).print(table)


def save(name: str, payload: Mapping[str, Any]) -> Path:
    """Write `results/<name>-<backend>.json`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{jax.default_backend()}.json"
    path.write_text(json.dumps(payload, indent=1) + "\n")
    return path
