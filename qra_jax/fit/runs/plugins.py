"""Readers of other packages: entry points of the group `qra_jax.readers`, asked before the formats known here."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Protocol, runtime_checkable

from qra_jax.fit.runs.rows import Log
from qra_jax.fit.runs.sample import Sample

GROUP = "qra_jax.readers"


@runtime_checkable
class Reader(Protocol):
    """What an entry point names: an object, or a class of which one is made."""

    def guess_can_open(self, sample: Sample) -> bool:
        """Whether a file or a folder, by its beginning, is one of this reader's."""
        ...

    def read(self, sample: Sample) -> Log:
        """The whole of it."""
        ...


@cache
def readers() -> tuple[dict[str, Reader], tuple[str, ...]]:
    """All readers by name, and what is said of those that cannot be loaded; each is loaded once."""
    found: dict[str, Reader] = {}
    broken: list[str] = []
    for entry in entry_points(group=GROUP):
        try:
            reader = entry.load()
            reader = reader() if isinstance(reader, type) else reader
            if not isinstance(reader, Reader):
                raise TypeError("must have guess_can_open and read")
            found[entry.name] = reader
        except Exception as error:
            broken.append(_said(entry.name, error))
    return found, tuple(broken)


def read(sample: Sample) -> tuple[Log | None, tuple[str, ...]]:
    """What the first reader that knows a file makes of it, none where none does, and what is said of broken ones.

    Args:
      sample: the beginning of the file.

    Raises:
      ValueError: a reader knows the file, and says why it cannot be read.
    """
    found, broken = readers()
    for name, reader in found.items():
        try:
            if reader.guess_can_open(sample):
                return reader.read(sample), broken
        except ValueError:
            raise
        except Exception as error:
            broken += (_said(name, error),)
    return None, broken


def _said(name: str, error: Exception) -> str:
    reason = " ".join(str(error).split()) or "no reason given"
    return f"reader {name} left out: {type(error).__name__}, {reason}"
