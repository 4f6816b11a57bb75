"""Files in which people have their runs: recognised by what is in them, and read without JAX.

points = qra_jax.fit.runs.read("trainer_state.json")
points.notes    # what was recognised, taken and left out
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qra_jax.fit.runs import keys, stores, tables, texts
from qra_jax.fit.runs.choice import Points as Points, curve as curve
from qra_jax.fit.runs.rows import Log as Log
from qra_jax.fit.runs.sample import Sample as Sample, look

__all__ = ["FORMATS", "Format", "Log", "Points", "Sample", "curve", "log", "read"]


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
    Format("JSON", _text(texts.is_json), texts.json_document),
    Format("lines of a console", _text(texts.is_console), texts.console),
    Format("a table", _text(tables.is_table), tables.table),
)
"""In the order in which they are tried."""


def log(path: str | Path) -> Log:
    """Read a file of measurements, whatever its format.

    Args:
      path: file, or folder of TensorBoard, of checkpoints of a trainer, or of rollouts by step.

    Returns:
      The `Log`.

    Raises:
      ValueError: missing, empty or binary files; nothing that is known; what was seen is said.
    """
    sample = look(path)
    if sample.path.is_dir() and (state := stores.inside(sample.path)):
        sample = look(state)
    for form in FORMATS:
        if form.guess_can_open(sample):
            return form.read(sample)
    known = ", ".join(form.name for form in FORMATS)
    if sample.path.is_dir():
        names = sorted(entry.name for entry in sample.path.iterdir())
        seen = f"a folder with {', '.join(names[:6]) or 'nothing'}{' …' * (len(names) > 6)}"
    elif sample.text is None:
        seen = "not a text file"
    else:
        seen = f"begins with {' '.join(sample.first[0].split())[:60]!r}" if sample.first else "blank"
    raise ValueError(f"{path}: {seen}; must be one of {known}")


def has_visits(path: str | Path) -> bool:
    """Whether a file is a table of questions and their visits: columns visit1, visit2, …; a file that is none is not.

    Args:
      path: file or folder.
    """
    try:
        sample = look(path)
    except ValueError:
        return False
    return sum(bool(keys.VISIT.match(name)) for name in tables.header(sample)) >= 2


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
    return curve(log(path), run=run, column=column, step=step, scale=scale, samples=samples, keep=keep)
