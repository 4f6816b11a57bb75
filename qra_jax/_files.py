"""Files: tables that are read, and what is written either whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


def folder(argument: str, path: str | Path) -> Path:
    """A folder to write into, which need not be there yet.

    Args:
      argument: the name of the argument, for the message.
      path: of the folder.

    Raises:
      ValueError: it is a file.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{argument}: {str(path)!r} is a file; must be a folder or not exist yet")
    return path


def write(path: str | Path, content: bytes | str) -> Path:
    """Write a file so that no reader ever sees half of it (a temporary file, then a rename).

    Args:
      path: where to; its folder is made where it is missing.
      content: bytes, or text (written as UTF-8).

    Returns:
      The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file; the system lets go of it if this process dies.

    Args:
      path: the file; it and its folder are made where they are missing.
      wait: until another process lets go of it.

    Raises:
      BlockingIOError: another process holds it, and this one is not to wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # not on this system: nothing keeps two processes apart
        yield
        return
    handle = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


@dataclass(frozen=True)
class Table:
    """A CSV file as text.

    Attributes:
      path: the file.
      header: names of the columns in order; `""` for columns without one.
      columns: cells of each column that has a name, stripped.
      lines: line of each row in the file, for complaints.
    """

    path: Path
    header: tuple[str, ...]
    columns: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, row: int, column: str) -> str:
        """Where a cell is, to begin a complaint with."""
        return f"{self.path}, row {self.lines[row]}, column {column}"


def read_csv(path: str | Path, wanted: str) -> Table:
    """Read a CSV file with a header: UTF-8, separated by commas; blank rows are skipped.

    Args:
      path: the file.
      wanted: what it must be, for complaints, such as `"a CSV file with columns step and accuracy"`.

    Returns:
      Its columns.

    Raises:
      ValueError: a file that is missing, unreadable, empty or separated by other signs; a column that is there twice;
        no rows; a row of another length than the header.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = (error.strerror or "unreadable").lower() if isinstance(error, OSError) else "not a text file"
        reason = reason.replace(" or directory", "")
        raise ValueError(f"{path}: {reason}; must be {wanted}") from None
    if not rows:
        raise ValueError(f"{path}: empty; must be {wanted}")
    (first, names), rows = rows[0], rows[1:]
    header = tuple(name.strip() for name in names)
    for sign, called in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and sign in names[0]:
            raise ValueError(f"{path}, row {first}: separated by {called}; must be separated by commas")
    for name in header:
        if name and header.count(name) > 1:
            raise ValueError(f"{path}, row {first}: column {name} is there twice; must be there once")
    if not rows:
        raise ValueError(f"{path}: no rows under the header; must have one or more")
    for line, row in rows:
        if len(row) != len(header):
            cells = f"{len(row)} cell{'s' * (len(row) != 1)}"
            raise ValueError(f"{path}, row {line}: {cells}; must be {len(header)}, as in the header")
    columns = {name: [row[i].strip() for _, row in rows] for i, name in enumerate(header) if name}
    return Table(path, header, columns, [line for line, _ in rows])
