"""Readers of other packages: entry points of the group `qra_jax.readers`, asked before the formats known here."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from qra_jax._plugins import Plugins, said
from qra_jax.fit.runs.rows import Log
from qra_jax.fit.runs.sample import Sample


@runtime_checkable
class Reader(Protocol):
    """What an entry point names: an object, or a class of which one is made."""

    def guess_can_open(self, sample: Sample) -> bool:
        """Whether a file or a folder, by its beginning, is one of this reader's."""
        ...

    def read(self, sample: Sample) -> Log:
        """The whole of it."""
        ...


def _accept(name: str, reader: Any) -> Reader:
    reader = reader() if isinstance(reader, type) else reader
    if not isinstance(reader, Reader):
        raise TypeError("must have guess_can_open and read")
    return reader


READERS = Plugins("reader", "qra_jax.readers", _accept)
"""All readers by name."""


def read(sample: Sample) -> tuple[Log | None, tuple[str, ...]]:
    """What the first reader that knows a file makes of it, none where none does, and what is said of broken ones.

    Args:
      sample: the beginning of the file.

    Raises:
      ValueError: a reader knows the file, and says why it cannot be read.
    """
    broken = [f"reader {name} left out: {reason}" for name, reason in READERS.broken().items()]
    for name, reader in READERS.loaded().items():
        try:
            if reader.guess_can_open(sample):
                return reader.read(sample), tuple(broken)
        except ValueError:
            raise
        except Exception as error:
            broken.append(f"reader {name} left out: {said(error)}")
    return None, tuple(broken)
