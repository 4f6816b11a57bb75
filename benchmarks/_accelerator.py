"""What the benchmark of an accelerator needs: rows that cannot cost each other, fair timing, the peak of a device."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from _common import compiled

PEAKS = {  # vendors' data sheets, without sparsity: look them up again before a share is published
    r"\bH200": (67e12, 4.8e12, "float32"),
    "H100 PCIe": (51e12, 2.0e12, "float32"),
    "H100": (67e12, 3.35e12, "float32"),
    "A100.*80GB PCIe": (19.5e12, 1.935e12, "float32"),
    "A100.*80GB": (19.5e12, 2.039e12, "float32"),
    "A100": (19.5e12, 1.555e12, "float32"),
    "TPU v6": (918e12, 1.64e12, "bfloat16 products"),
    "TPU v5 lite|TPU v5e": (197e12, 0.819e12, "bfloat16 products"),
    "TPU v5": (459e12, 2.765e12, "bfloat16 products"),
    "TPU v4": (275e12, 1.228e12, "bfloat16 products"),
}

CALLS = 4
"""Calls of what a row measures, the first one among them."""


@dataclass
class Report:
    """Rows so far, written to a file after each of them.

    Attributes:
      path: the file; nothing is written without.
      minutes: what all tables together may take.
      content: what is written.
    """

    path: Path | None
    minutes: float
    content: dict[str, Any]
    start: float = field(default_factory=time.perf_counter)
    until: float = 0.0
    last: dict[str, tuple[int, float, float]] = field(default_factory=dict)

    def table(self, share: float) -> None:
        """A table begins, which may take until this share of all the time has passed."""
        self.until, self.last = share * 60 * self.minutes, {}

    def row(
        self, table: str, name: str, size: int, measure: Callable[[], dict[str, Any]], grows: bool = True
    ) -> None:
        """Measure a row: numbers, why there are none, or that the row before says there is no time left.

        Args:
          table: of the row.
          name: what is measured.
          size: of how much.
          measure: returns the numbers.
          grows: running takes longer with a larger size.
        """
        known, whole, once = self.last.get(name, (size, 0.0, 0.0))
        expected = whole + max(0.0, size / known - 1) * once * grows
        begun = time.perf_counter()
        if begun - self.start + expected > self.until:
            found: dict[str, Any] = {"left out": f"no time: {expected:.0f} s expected"}
        else:
            try:
                found = measure()
            except Exception as failure:  # memory runs out, say; the other rows go on
                found = {"failed": f"{type(failure).__name__}: {str(failure)[:200]}"}
            whole = time.perf_counter() - begun
            self.last[name] = size, whole, min(whole, CALLS * found.get("run s", 0.0))
        row = {"what": name, "size": size, **found}
        self.content.setdefault(table, []).append(row)
        self.content["seconds"] = time.perf_counter() - self.start
        print(f"{table}:", *(f"{key} {_said(value)}" for key, value in row.items()), sep="  ", flush=True)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.content, indent=1) + "\n")

    @property
    def failed(self) -> int:
        """Rows without numbers for another reason than time."""
        tables = [rows for rows in self.content.values() if isinstance(rows, list)]
        return sum("failed" in row for rows in tables for row in rows)


def _said(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def best(function: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest of some calls."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def timed(function: Any, arguments: tuple[Any, ...], repeats: int) -> tuple[dict[str, float], Any, Any]:
    """Seconds to compile and to run a function that is traced as one program; the program; what it returns."""
    program, compile_s = compiled(function, *arguments)
    result = jax.block_until_ready(program(*arguments))
    return {"compile s": compile_s, "run s": best(lambda: program(*arguments), repeats)}, program, result


def called(function: Any, arguments: tuple[Any, ...], repeats: int) -> tuple[dict[str, float], Any]:
    """The same for a function that compiles for itself: compiling is the first call less the best one."""
    start = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    first = time.perf_counter() - start
    seconds = best(lambda: function(*arguments), repeats)
    return {"compile s": max(0.0, first - seconds), "run s": seconds}, result


def counted(program: Any) -> tuple[float, float]:
    """Operations and bytes of a program as XLA counts them, each loop once."""
    cost = program.cost_analysis() or {}
    cost = cost[0] if isinstance(cost, list) else cost
    return float(cost.get("flops", 0.0)), float(cost.get("bytes accessed", 0.0))


def shares(peak: dict[str, Any], rate: float, flops: float, moved: float | None = None) -> dict[str, float]:
    """What one run-step needs, and the share of the peak at so many a second."""
    found = {"flop each": flops, "share of peak flop/s": flops * rate / peak["flop/s"]}
    if moved is not None:
        found |= {"bytes each": moved, "share of peak bytes/s": moved * rate / peak["bytes/s"]}
    return found


def measured_peak(matrix: int, vector: int) -> dict[str, float]:
    """Operations a second of a float32 product of square matrices, and bytes a second of a copy of a vector."""
    square, line = jnp.ones((matrix, matrix), jnp.float32), jnp.ones(vector, jnp.float32)
    product = jax.jit(partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST))
    copy = jax.jit(lambda x: x + 1)
    jax.block_until_ready((product(square, square), copy(line)))
    return {
        "flop/s": 2 * matrix**3 / best(lambda: product(square, square), 5),
        "bytes/s": 8 * vector / best(lambda: copy(line), 5),
    }


def peak_of(device: str, measured: dict[str, Any]) -> dict[str, Any]:
    """Peak of the device: its data sheet's where it is known, else what was measured."""
    for name, (flops, moved, what) in PEAKS.items():
        if re.search(name, device):
            return {"flop/s": flops, "bytes/s": moved, "of": what, "from": "data sheet"}
    known = {name: measured.get(name, float("nan")) for name in ("flop/s", "bytes/s")}
    return {**known, "of": "float32", "from": "measured here: a product of matrices, a copy"}
