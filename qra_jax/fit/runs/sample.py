"""The beginning of a file, and its text line by line: what a format is recognised by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEAD = 1 << 16
"""Bytes by which a format is recognised."""
BINARY = {
    b"\x1f\x8b": "gzip; unpack it first",
    b"PK\x03\x04": "a zip archive (also .xlsx, .pt and .npz are); unpack it, or export a table as CSV",
    b"\x89PNG": "a picture; export the numbers behind it",
    b"\xff\xd8\xff": "a picture; export the numbers behind it",
    b"%PDF": "a PDF; export the numbers in it",
    b"\x80\x04": "a Python pickle; write its rows as JSON lines",
    b"\x80\x02": "a Python pickle; write its rows as JSON lines",
    b"\x93NUMPY": "a NumPy array; write it as CSV with a header",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"BZh": "bzip2; unpack it first",
    b"\xfd7zXZ": "xz; unpack it first",
    b"\x28\xb5\x2f\xfd": "zstd; unpack it first",
}
"""What files that are no text begin with, and what to do."""


@dataclass(frozen=True)
class Sample:
    """A file or a folder, as far as one looks before it is read.

    Attributes:
      path: where.
      head: its first bytes; none of a folder.
      text: these decoded; `None` of a folder and where they are no text.
      encoding: by which they are.
      whole: whether this is all of it.
    """

    path: Path
    head: bytes = b""
    text: str | None = None
    encoding: str = "utf-8"
    whole: bool = True

    def lines(self) -> Iterator[tuple[int, str]]:
        """Numbers and texts of all lines that are not blank, from a stream; what is damaged stands as �."""
        with self.path.open(encoding=self.encoding, errors="replace", newline=None) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line

    @property
    def first(self) -> list[str]:
        """Lines of the beginning that are not blank and not cut."""
        lines = (self.text or "").splitlines()
        return [line for line in (lines if self.whole else lines[:-1] or lines) if line.strip()]


def look(path: str | Path) -> Sample:
    """The beginning of a file.

    Args:
      path: file or folder.

    Raises:
      ValueError: it is missing, empty, cannot be opened, or is of a kind that holds no run, such as a picture.
    """
    path = Path(path)
    if path.is_dir():
        return Sample(path)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            whole = not file.read(1)
    except OSError as error:
        reason = (error.strerror or "unreadable").lower().replace(" or directory", "")
        raise ValueError(f"{path}: {reason}; must be the log of a run: a file, or a folder of them") from None
    if not head.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise ValueError(f"{path}: empty; must be the log of a run")
    for start, said in BINARY.items():
        if head.startswith(start):
            raise ValueError(f"{path}: {said}; must be the log of a run")
    for encoding, mark in (("utf-8-sig", b"\xef\xbb\xbf"), ("utf-16", b"\xff\xfe"), ("utf-16", b"\xfe\xff")):
        if head.startswith(mark):
            return Sample(path, head, head.decode(encoding, "replace"), encoding, whole)
    if b"\0" in head:
        return Sample(path, head, None, "", whole)
    for encoding in ("utf-8", "cp1252"):
        try:
            text = head.decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < len(head) - 4 or whole:  # not merely a character that was cut
                continue
            text = head[: error.start].decode(encoding)
        return Sample(path, head, text, encoding, whole)
    return Sample(path, head, head.decode("latin-1"), "latin-1", whole)
