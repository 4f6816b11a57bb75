"""The beginning of a file, and its text line by line: what a format is recognised by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

HEAD, FARTHEST = 1 << 16, 1 << 22
"""Bytes by which a format is recognised; as many more, up to the second number, as two lines need."""
PART, LONGEST = 1 << 20, 1 << 25
"""Characters that are read at once; of a line, at most."""
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
      wanted: columns that are asked for by name.
    """

    path: Path
    head: bytes = b""
    text: str | None = None
    encoding: str = "utf-8"
    whole: bool = True
    wanted: tuple[str, ...] = ()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Numbers and texts of all lines that are not blank, from a stream; what is damaged stands as �.

        Raises:
          ValueError: a line that is longer than any log has.
        """
        number, rest = 0, ""
        with self.path.open(encoding=self.encoding, errors="replace", newline=None) as file:
            while part := file.read(PART):
                lines = (rest + part).split("\n")
                rest = lines.pop()
                for line in lines:
                    number += 1
                    if line and not line.isspace():
                        yield number, line
                if len(rest) > LONGEST:
                    raise ValueError(
                        f"{self.path}, row {number + 1}: a line of more than {LONGEST >> 20} MB; must be rows of a run"
                    )
        if rest and not rest.isspace():
            yield number + 1, rest

    @cached_property
    def beginning(self) -> list[tuple[int, str]]:
        """Numbers and texts of the first lines that are not blank and not cut."""
        lines = (self.text or "").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        lines = lines if self.whole else lines[:-1] or lines
        return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]

    @cached_property
    def first(self) -> list[str]:
        """Texts of the first lines."""
        return [line for _, line in self.beginning]


def look(path: str | Path, wanted: tuple[str, ...] = ()) -> Sample:
    """The beginning of a file.

    Args:
      path: file or folder.
      wanted: columns that are asked for by name.

    Raises:
      ValueError: it is missing, empty, cannot be opened, or is of a kind that holds no run, such as a picture.
    """
    path = Path(path)
    if path.is_dir():
        return Sample(path, wanted=wanted)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            while head.count(b"\n") < 2 and len(head) < FARTHEST and (more := file.read(len(head))):
                head += more
            whole = not file.read(1)
    except OSError as error:
        reason = (error.strerror or "unreadable").lower().replace(" or directory", "")
        raise ValueError(f"{path}: {reason}; must be the log of a run: a file, or a folder of them") from None
    if not head.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        said = "empty" if whole else f"begins with {len(head) >> 10} kB of zeros or blanks"
        raise ValueError(f"{path}: {said}; must be the log of a run")
    for start, said in BINARY.items():
        if head.startswith(start):
            raise ValueError(f"{path}: {said}; must be the log of a run")
    for encoding, mark in (("utf-8-sig", b"\xef\xbb\xbf"), ("utf-16", b"\xff\xfe"), ("utf-16", b"\xfe\xff")):
        if head.startswith(mark):
            return Sample(path, head, head.decode(encoding, "replace"), encoding, whole, wanted)
    if b"\0" in head:
        wide = _wide(head)
        return Sample(path, head, head.decode(wide, "replace") if wide else None, wide, whole, wanted)
    for encoding in ("utf-8", "cp1252"):
        try:
            text = head.decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < len(head) - 4 or whole:  # not merely a character that was cut
                continue
            text = head[: error.start].decode(encoding)
        return Sample(path, head, text, encoding, whole, wanted)
    return Sample(path, head, head.decode("latin-1"), "latin-1", whole, wanted)


def _wide(head: bytes) -> str:
    """UTF-16 without a mark: every second byte is zero; empty where it is not."""
    zeros = [head[start::2].count(0) / (len(head) // 2) for start in (0, 1)]
    return next(
        (f"utf-16-{e}" for e, i in (("le", 1), ("be", 0)) if zeros[i] > 0.7 and zeros[1 - i] < 0.1), ""
    )
