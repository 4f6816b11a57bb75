"""Logs that are no text: event files of TensorBoard, the database of trackio, Parquet; and folders."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

from qra_jax.fit.runs.rows import Log, Rows
from qra_jax.fit.runs.sample import Sample

EVENTS = "events.out.tfevents"
DUMP = re.compile(r"(?:\D*_)?(?:step_?)?(\d+)\.(jsonl|parquet)$", re.IGNORECASE)
"""Files with the rollouts of one step: `40.jsonl`, `train_data_step40.jsonl`, `completions_00040.parquet`."""
BATCH = 4096


def is_events(sample: Sample) -> bool:
    """Whether it is an event file, or a folder with some in it."""
    if sample.path.is_dir():
        return next(sample.path.rglob(f"*{EVENTS}*"), None) is not None
    return EVENTS in sample.path.name or (sample.text is None and b"brain.Event:" in sample.head[:64])


def events(sample: Sample) -> Log:
    """Scalars of TensorBoard; every folder is a run, and the files of one follow each other, as after restarts."""
    try:
        from tensorboard.backend.event_processing import (  # pyright: ignore[reportMissingImports]
            event_accumulator,
        )
        from tensorboard.util.tensor_util import make_ndarray  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(
            f"{sample.path}: event files of TensorBoard; need pip install 'qra-jax[logs]', or an export as CSV"
        ) from None
    if sample.path.is_dir():
        folders = sorted({path.parent for path in sample.path.rglob(f"*{EVENTS}*")})
        runs = {str(path.relative_to(sample.path)): path for path in folders}
    else:
        runs = {sample.path.name: sample.path}
    rows = Rows(sample.wanted)
    for name, path in runs.items():
        read = event_accumulator.EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
        read.Reload()
        seen: list[tuple[float, int, str, float]] = []
        for tag in read.Tags()["scalars"]:
            seen += [(one.wall_time, one.step, tag, one.value) for one in read.Scalars(tag)]
        for tag in read.Tags()["tensors"]:
            for one in read.Tensors(tag):
                value = make_ndarray(one.tensor_proto)
                if value.shape == () and value.dtype.kind in "fiub":
                    seen.append((one.wall_time, one.step, tag, float(value)))
        row: dict[str, float] = {}
        for number, (_, step, tag, value) in enumerate(sorted(seen), 1):
            if row and (row["step"] != step or tag in row):  # every scalar is written by itself
                rows.add(row | ({"run": name} if len(runs) > 1 else {}), number)
                row = {}
            row |= {"step": step, tag: value}
        if row:
            rows.add(row | ({"run": name} if len(runs) > 1 else {}), len(seen))
    if not len(rows.lines):
        raise ValueError(f"{sample.path}: event files without scalars; must hold a metric of a run")
    return rows.done(str(sample.path), "event files of TensorBoard", trainer=True)


def is_trackio(sample: Sample) -> bool:
    """Whether it is a database of SQLite."""
    return sample.head.startswith(b"SQLite format 3\0")


def trackio(sample: Sample) -> Log:
    """The table `metrics` of a database of trackio."""
    base = sqlite3.connect(f"{sample.path.resolve().as_uri()}?mode=ro", uri=True)
    rows = Rows(sample.wanted)
    try:
        found = [column for _, column, *_ in base.execute("pragma table_info(metrics)")]
        if not {"step", "metrics"} <= set(found):
            tables = [name for (name,) in base.execute("select name from sqlite_master where type = 'table'")]
            raise ValueError(
                f"{sample.path}: SQLite with tables {', '.join(tables) or 'none'}; must be trackio's"
            )
        run = next((name for name in ("run_name", "run_id") if name in found), "''")
        for number, (name, step, text) in enumerate(
            base.execute(f"select {run}, step, metrics from metrics order by rowid"), 1
        ):
            row = json.loads(text or "{}")
            if isinstance(row, dict):
                rows.add(row | {"step": step} | ({"run": str(name)} if name else {}), number)
    except (sqlite3.DatabaseError, json.JSONDecodeError) as error:
        raise ValueError(f"{sample.path}: {error}; must be a database of trackio") from None
    finally:
        base.close()
    return rows.done(str(sample.path), "a database of trackio")


def is_parquet(sample: Sample) -> bool:
    """Whether it is a Parquet file."""
    return sample.head.startswith(b"PAR1")


def parquet(sample: Sample) -> Log:
    """A table of Parquet, in batches."""
    rows = Rows(sample.wanted)
    _parquet(sample.path, rows, {})
    return rows.done(str(sample.path), "a Parquet file")


def _parquet(path: Path, rows: Rows, more: dict[str, Any]) -> None:
    try:
        from pyarrow import parquet as reader  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(f"{path}: a Parquet file; needs pip install pyarrow, or an export as CSV") from None
    number = len(rows.lines)
    for batch in reader.ParquetFile(path).iter_batches(BATCH):
        for row in batch.to_pylist():
            number += 1
            rows.add(more | row, number)


def is_dumps(sample: Sample) -> bool:
    """Whether it is a folder with a file for each of two steps or more."""
    return sample.path.is_dir() and len(_dumps(sample.path)) > 1


def dumps(sample: Sample) -> Log:
    """Rollouts, a file for each step; a step that a row gives itself is taken before that in the name."""
    rows = Rows(sample.wanted)
    for step, path in _dumps(sample.path):
        if path.suffix == ".parquet":
            _parquet(path, rows, {"step": step})
            continue
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    rows.skipped += 1
                    continue
                if isinstance(row, dict):
                    rows.add({"step": step} | row, number)
    return rows.done(str(sample.path), "rollouts, a file a step")


def _dumps(folder: Path) -> list[tuple[int, Path]]:
    found = [(DUMP.match(path.name), path) for path in folder.iterdir() if path.is_file()]
    return sorted((int(match[1]), path) for match, path in found if match)


def inside(folder: Path) -> Path | None:
    """The file of a folder that is a run by itself: `trainer_state.json`, also that of the last checkpoint."""
    states = [*folder.glob("trainer_state.json"), *folder.glob("checkpoint-*/trainer_state.json")]

    def number(path: Path) -> int:
        match = re.search(r"checkpoint-(\d+)", str(path))
        return int(match[1]) if match else 1 << 62

    return max(states, key=number, default=None)
