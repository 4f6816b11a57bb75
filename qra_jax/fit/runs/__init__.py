"""Files in which people have their runs: recognised by what is in them, and read without JAX.

points = qra_jax.fit.runs.read("trainer_state.json")
points.notes    # what was recognised, taken and left out
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from qra_jax.fit.runs import documents, keys, layout, plugins, stores, tables, texts
from qra_jax.fit.runs.choice import Points as Points, curve as curve
from qra_jax.fit.runs.rows import Log as Log, Rows as Rows
from qra_jax.fit.runs.sample import Sample as Sample, look
from qra_jax.fit.runs.shares import shares as shares

__all__ = [
    "FORMATS",
    "Format",
    "Log",
    "Points",
    "Rows",
    "Sample",
    "curve",
    "has_visits",
    "log",
    "read",
    "shares",
]


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
      name: for complaints and lists.
      guess_can_open: whether a sample looks like it.
      read: the whole of it.
    """

    name: str
    guess_can_open: Callable[[Sample], bool]
    read: Callable[[Sample], Log]


def _text(guess: Callable[[Sample], bool]) -> Callable[[Sample], bool]:
    return lambda sample: sample.text is not None and guess(sample)


FORMATS: tuple[Format, ...] = (
    Format("event files of TensorBoard", stores.is_events, stores.events),
    Format("a database of trackio", stores.is_trackio, stores.trackio),
    Format("Parquet", stores.is_parquet, stores.parquet),
    Format("a folder of rollouts, a file a step", stores.is_dumps, stores.dumps),
    Format("JSON lines", _text(texts.is_json_lines), texts.json_lines),
    Format("JSON", _text(documents.is_document), documents.document),
    Format("lines of a console", _text(texts.is_console), texts.console),
    Format("a table", _text(tables.is_table), tables.table),
)
"""In the order in which they are tried."""


def log(path: str | Path, wanted: tuple[str, ...] = ()) -> Log:
    """Read a file of measurements, whatever its format: first the readers of other packages are asked.

    Args:
      path: file, or folder of TensorBoard, of checkpoints of a trainer, of rollouts by step, or with one file of a run.
      wanted: columns that are kept in any case; of very large files only those are that tell something of a run.

    Returns:
      The `Log`.

    Raises:
      ValueError: missing, empty or binary files; nothing that is known; what was seen is said.
    """
    sample = look(path, wanted)
    if sample.path.is_dir() and (state := stores.inside(sample.path)):
        sample = look(state, wanted)
    found, broken = plugins.read(sample)
    if found is None and (form := _format(sample)):
        found = form.read(sample)
    if found is None and sample.path.is_dir():
        found = _only(sample)
    if found is None:
        raise ValueError(
            f"{path}: {_seen(sample)}; must be one of {', '.join(form.name for form in FORMATS)}"
        )
    return replace(found, notes=found.notes + broken) if broken else found


def _format(sample: Sample) -> Format | None:
    """The first that fits."""
    return next((form for form in FORMATS if form.guess_can_open(sample)), None)


def _only(folder: Sample) -> Log | None:
    """The only file of a folder that can be read."""
    found: list[Sample] = []
    for path in sorted(folder.path.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            with contextlib.suppress(ValueError):
                found.append(look(path, folder.wanted))
    known = [(sample, form) for sample in found if (form := _format(sample))]
    if len(known) != 1:
        return None
    one = known[0][1].read(known[0][0])
    return replace(
        one, notes=(f"the only file of the folder that can be read: {known[0][0].path.name}", *one.notes)
    )


def _seen(sample: Sample) -> str:
    """What a file or a folder is that nothing can read."""
    if sample.path.is_dir():
        names = sorted(entry.name for entry in sample.path.iterdir())
        return f"a folder with {', '.join(names[:6]) or 'nothing'}{' …' * (len(names) > 6)}"
    if sample.text is None:
        return "not a text file"
    return f"begins with {' '.join(sample.first[0].split())[:60]!r}" if sample.first else "blank"


def has_visits(path: str | Path) -> bool:
    """Whether a file is a table of questions and their visits: columns visit1, visit2, …; a file that is none is not.

    Args:
      path: file or folder.
    """
    try:
        sample = look(path)
    except ValueError:
        return False
    found = None if sample.text is None else layout.layout(sample)
    return found is not None and sum(bool(keys.VISIT.match(name)) for name in found.header) >= 2


def read(
    path: str | Path,
    *,
    run: str | None = None,
    column: str | None = None,
    step: str | None = None,
    scale: tuple[float | int, float | int] | None = None,
    samples: float | int | None = None,
    keep: str | None = None,
) -> Points:
    """The curve of one run, from any of the known files.

    Args:
      path: file or folder.

    As for [`curve`][]: `run`, `column`, `step`, `scale`, `samples`, `keep`.

    Returns:
      The `Points`; their notes say what was taken.

    Raises:
      ValueError: as [`log`][] and [`curve`][] do.
    """
    wanted = tuple(name for name in (column, step) if name is not None)
    return curve(
        log(path, wanted), run=run, column=column, step=step, scale=scale, samples=samples, keep=keep
    )
