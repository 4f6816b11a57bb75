"""What `qra weights` prints."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from qra_jax._terminal import put, say
from qra_jax.checkpoints import comparison, words
from qra_jax.checkpoints.comparison import Comparison, Row, Summary, derived, overlap
from qra_jax.checkpoints.measures import ABSOLUTE, RELATIVE, Entries, Masks, Measures

COLUMNS = (
    *("bf16", "rel 1e-3", "abs 1e-5", "‖ΔW‖/‖W₀‖", "stable rank", "rank", "α", "σ₁² share"),
    *("angle °", "drift", "principal", "low"),
)
"""Columns of both tables."""
LEGEND = (
    "bf16, rel, abs: share of the weights that differ in bfloat16, by more than 1e-3 of the larger one, by more than "
    "1e-5. Rank of ΔW by the default tolerance of float32; α = ‖ΔW‖/σ₁(ΔW); σ₁² share: of ‖ΔW‖². Angle: mean principal "
    "angle between the first k singular directions of W₀ and W₁, k = {top:g} of the shorter side, left and right. "
    "Drift: of all singular values. Principal, low: share of the changed weights (bf16) among the half that is largest "
    "in the rank-k part of W₀, and among the smaller half of |W₀|; chance is .5."
)
"""What the columns are."""


def show(found: Comparison, notes: Sequence[str] = (), console: Console | None = None) -> None:
    """Print each tensor, the sums, and what they say.

    Args:
      found: the comparison.
      notes: what was left out.
      console: where to.
    """
    console = console or Console(highlight=False, emoji=False)
    table = _table("tensor", "shape")
    for row in found.rows:
        if row.kind == "norm":  # many and small: they are summed up
            continue
        table.add_row(Text(row.name), " × ".join(map(str, row.shape)), *_cells(row.tuned))
        if row.gaussian is not None:
            table.add_row(
                _twin(row.tuned.entries, row.gaussian.entries), "", *_cells(row.gaussian), style="dim"
            )
    if table.row_count:
        put(console, table)
        console.print()
    table = _table("all together", "tensors")
    for kind in (*found.kinds, None):
        name = {"norm": "norms and vectors", None: "all"}.get(kind, kind)
        tuned = found.summary(kind)
        table.add_row(name, str(tuned.tensors), *_sums(tuned))
        if found.null:
            other = found.summary(kind, gaussian=True)
            table.add_row(_twin(tuned.entries, other.entries), "", *_sums(other), style="dim")
    put(console, table)
    console.print()
    say(console, LEGEND.format(top=found.top))
    say(
        console,
        "All together: shares and norms over all weights, medians over the matrices that training changed; rank of the "
        "full one.",
    )
    for line in notes:
        say(console, line[:1].upper() + line[1:] + ".")
    for line in words.sentences(found):
        say(console, line)


def _twin(tuned: Entries, other: Entries) -> str:
    return "  Gaussian (changed nothing)" if tuned.delta and not other.delta else "  Gaussian"


def _table(first: str, second: str) -> Table:
    numbers = [Column(name, justify="right", no_wrap=True) for name in COLUMNS]
    columns = (Column(first, overflow="fold"), Column(second, no_wrap=True))
    return Table(*columns, *numbers, box=None, pad_edge=False)


def _cells(one: Measures) -> list[str]:
    cells = _counts(one.entries)
    if one.spectrum is None or one.masks is None or not one.entries.delta:
        return cells
    numbers = derived(one)
    return [
        *cells,
        f"{numbers['stable_rank']:.1f}",
        str(one.spectrum.rank),
        *_medians(numbers),
        *_overlaps(one.masks),
    ]


def _sums(one: Summary) -> list[str]:
    cells = _counts(one.entries)
    numbers = one.medians
    if math.isnan(numbers["alpha"]):
        return cells
    return [
        *cells,
        f"{numbers['stable_rank']:.1f}",
        f"{numbers['rank']:.0%}",
        *_medians(numbers),
        *_overlaps(one.masks),
    ]


def _counts(one: Entries) -> list[str]:
    shares = (
        f"{count / one.count:.3f}" if one.count else "" for count in (one.bits, one.relative, one.absolute)
    )
    return [*shares, "" if math.isnan(one.ratio) else f"{one.ratio:.2e}"]


def _medians(numbers: dict[str, float]) -> list[str]:
    angle = "" if math.isnan(numbers["angle"]) else f"{numbers['angle']:.3g}"
    return [f"{numbers['alpha']:.2f}", f"{numbers['top_energy']:.3f}", angle, f"{numbers['drift']:.1e}"]


def _overlaps(masks: Masks) -> list[str]:
    shares = (overlap(masks, which)[0] for which in ("principal", "low"))
    return ["" if math.isnan(share) else f"{share:.3f}" for share in shares]


def to_json(found: Comparison, base: str, tuned: str, notes: Sequence[str] = ()) -> str:
    """One JSON object, whose fields `docs/weights.md` explains; `null` is a number that there is none of.

    Args:
      found: the comparison.
      base: the base's path.
      tuned: the other one.
      notes: what was left out.

    Returns:
      The text.
    """
    record = {
        "base": base,
        "tuned": tuned,
        "settings": {
            "top": found.top,
            "density": comparison.DENSITY,
            "relative": RELATIVE,
            "absolute": ABSOLUTE,
            "seed": found.seed,
            "null": found.null,
        },
        "tensors": [
            {
                "name": row.name,
                "kind": row.kind,
                "part": row.part or None,
                "shape": list(row.shape),
                "dtype": row.stored,
                "tuned": _record(row.tuned),
                "gaussian": _record_twin(row),
            }
            for row in found.rows
        ],
        "summary": {kind or "all": _summaries(found, kind) for kind in (*found.kinds, None)},
        "skipped": found.skipped,
        "notes": list(notes),
        "says": words.sentences(found),
    }
    return json.dumps(_finite(record), allow_nan=False)


def _record(one: Measures) -> dict[str, Any]:
    record = _entries(one.entries)
    if one.spectrum is None or one.masks is None:
        return record
    numbers = derived(one)
    del numbers["angle"]
    return {
        **record,
        **numbers,
        "rank": one.spectrum.rank,
        "full_rank": one.spectrum.full_rank,
        "directions": one.spectrum.top,
        "angle_left": dict(zip(("mean", "largest"), one.spectrum.left, strict=True)),
        "angle_right": dict(zip(("mean", "largest"), one.spectrum.right, strict=True)),
        **_places(one.masks),
    }


def _record_twin(row: Row) -> dict[str, Any] | None:
    return None if row.gaussian is None else {**_record(row.gaussian), "realised": row.realised}


def _summaries(found: Comparison, kind: str | None) -> dict[str, Any]:
    tuned, other = found.summary(kind), found.summary(kind, gaussian=True)
    changed = tuned.entries.delta
    realised = math.sqrt(other.entries.delta / changed) if changed else math.nan
    twin = {**_summary(other), "realised": realised, "unmoved": other.unmoved}
    return {
        "tensors": tuned.tensors,
        "matrices": tuned.matrices,
        "tuned": _summary(tuned),
        "gaussian": twin if found.null else None,
    }


def _summary(one: Summary) -> dict[str, Any]:
    return {**_entries(one.entries), "medians": one.medians, **_places(one.masks)}


def _entries(one: Entries) -> dict[str, Any]:
    return {
        "entries": one.count,
        "changed": {
            name: count / one.count if one.count else None
            for name, count in (
                ("bfloat16", one.bits),
                ("relative", one.relative),
                ("absolute", one.absolute),
            )
        },
        "norm": math.sqrt(one.delta),
        "base_norm": math.sqrt(one.base),
        "norm_ratio": one.ratio,
    }


def _places(masks: Masks) -> dict[str, Any]:
    return {
        which: dict(zip(("overlap", "chance"), overlap(masks, which), strict=True))
        for which in ("principal", "low")
    }


def _finite(value: Any) -> Any:
    """With `None` in place of NaN and of infinite numbers."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
