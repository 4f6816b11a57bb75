"""Where a claim comes from: a paper, a derivation of this package, or a question asked here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

READINGS = ("in full", "in part", "second-hand")
KINDS = ("literature", "derived", "asked")
"""Kinds of origins, in the order of every tally."""


@dataclass(frozen=True)
class Paper:
    """A claim of the literature, as the paper makes it.

    Attributes:
      id: short name of the claim, e.g. `"QRA-3"`.
      authors: as one cites them.
      says: what the paper claims, no more strongly than it does.
      arxiv: identifier, e.g. `"2506.04695"`; default: it is not there.
      version: e.g. `"v2"`; default: unknown.
      place: theorem, equation, figure or section; default: unknown.
      reported: its numbers.
      read: how it was read: `"in full"`, `"in part"`, or `"second-hand"`.

    Raises:
      ValueError: an empty `says`, or another way of reading.
    """

    id: str
    authors: str
    says: str
    arxiv: str = ""
    version: str = ""
    place: str = ""
    reported: str = ""
    read: str = "second-hand"
    kind: Literal["literature"] = "literature"

    def __post_init__(self) -> None:
        if not self.says.strip():
            raise ValueError(f"says: empty for {self.id}; must be what the paper claims")
        if self.read not in READINGS:
            raise ValueError(f"read: {self.read!r} for {self.id}; must be one of {', '.join(READINGS)}")

    @property
    def words(self) -> str:
        """What the paper says, with its numbers."""
        return f"{self.says} Reported: {self.reported}." if self.reported else self.says

    def __str__(self) -> str:
        where = [self.id, self.authors, f"arXiv {self.arxiv}{self.version}" if self.arxiv else "", self.place]
        return ", ".join(part for part in where if part) + f" (read {self.read})"


@dataclass(frozen=True)
class Derived:
    """A claim that follows from the theory of this package.

    Attributes:
      where: where it is derived: a document's section, a function, or the study itself.
      cited: papers with the same or a related result.
    """

    where: str = "this study"
    cited: tuple[Paper, ...] = ()
    kind: Literal["derived"] = "derived"

    @property
    def words(self) -> str:
        """Papers with a related result, if any."""
        return " ".join(f"Compare {paper}: {paper.words}" for paper in self.cited)

    def __str__(self) -> str:
        return f"derived here: {self.where}"


@dataclass(frozen=True)
class Asked:
    """A question of this package's own: common practice, a converse, a reading that no paper makes.

    Attributes:
      why: what makes one ask.
      cited: papers that give rise to it.
    """

    why: str
    cited: tuple[Paper, ...] = ()
    kind: Literal["asked"] = "asked"

    @property
    def words(self) -> str:
        """What gives rise to the question."""
        return " ".join([self.why, *(f"Compare {paper}: {paper.words}" for paper in self.cited)])

    def __str__(self) -> str:
        return "asked here"


Origin = Paper | Derived | Asked
