"""Parts that other packages bring, by entry points: loaded when they are asked for, each once; none can break the rest.

    [project.entry-points."qra_jax.algorithms"]
    my_rule = "my_package.rules:my_rule"

One that cannot be used is left out with a reason in one line, which `qra doctor` lists.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

_LOADING = threading.RLock()
"""Held while a part is loaded: other threads wait for it. One for all groups, as a part may look up one of another."""


@dataclass(frozen=True)
class Plugin:
    """One entry point, as it came out.

    Attributes:
      group: of the entry point, e.g. `"qra_jax.readers"`.
      name: what it brings is called.
      package: the distribution that brings it.
      version: of the distribution.
      reason: why it is left out; empty where it can be used.
    """

    group: str
    name: str
    package: str
    version: str
    reason: str = ""


class Plugins:
    """The entry points of one group, by name.

    Args:
      kind: what they bring, for messages.
      group: of the entry points.
      accept: `(name, loaded) -> part`: what is made of what an entry point names; raises where it is not fit for use.
      taken: `name -> reason`: why a name must not be used, as it is the package's own; empty where it may be.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        accept: Callable[[str, Any], Any],
        taken: Callable[[str], str] = lambda name: "",
    ) -> None:
        self.kind, self.group = kind, group
        self._accept, self._taken = accept, taken
        self._found: dict[str, list[EntryPoint]] | None = None
        self._parts: dict[str, Any] = {}
        self._reasons: dict[str, str] = {}
        self._loading: set[str] = set()

    def forget(self) -> None:
        """Look again at the next use: for tests."""
        self._found, self._parts, self._reasons = None, {}, {}

    def entries(self) -> dict[str, list[EntryPoint]]:
        """Entry points by name, several where packages clash; loads none of them."""
        if self._found is None:
            found: dict[str, list[EntryPoint]] = {}
            for entry in entry_points(group=self.group):
                found.setdefault(entry.name, []).append(entry)
            self._found = found
        return self._found

    def __contains__(self, name: object) -> bool:
        return name in self.entries()

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries())

    def load(self, name: str) -> Any:
        """The part of this name.

        Args:
          name: one of the names of the group.

        Raises:
          KeyError: no package brings it.
          ValueError: it cannot be used; why, in one line.
        """
        entry = self.entries()[name][0]
        if reason := self._reason(name):
            raise ValueError(f"{self.kind}: {name!r} of {_package(entry)} cannot be used: {reason}")
        return self._parts[name]

    def loaded(self) -> dict[str, Any]:
        """All parts that can be used, by name."""
        return {name: self._parts[name] for name in self if not self._reason(name)}

    def broken(self, among: Iterable[str] | None = None) -> dict[str, str]:
        """Why the others cannot, by name; of those named, if some are, which loads no more."""
        return {name: reason for name in (self if among is None else among) if (reason := self._reason(name))}

    def listed(self) -> list[Plugin]:
        """Every entry point of the group, as it came out; loads all of them."""
        reasons = self.broken()
        return [
            Plugin(self.group, name, *_distribution(entry), reasons.get(name, ""))
            for name, entries in self.entries().items()
            for entry in entries
        ]

    def _reason(self, name: str) -> str:
        """Load a part, once; why it cannot be used."""
        with _LOADING:
            if name in self._loading:  # a package that, while it is loaded, lists what there is
                return "is being loaded"
            if name not in self._parts and name not in self._reasons:
                self._loading.add(name)
                try:
                    reason = self._load(name)
                finally:
                    self._loading.discard(name)
                if reason:
                    self._reasons[name] = reason
            return self._reasons.get(name, "")

    def _load(self, name: str) -> str:
        entry, *others = self.entries()[name]
        if others:
            return f"several packages bring it, {' and '.join(map(_package, (entry, *others)))}"
        if reason := self._taken(name):
            return reason
        if not entry.pattern.match(entry.value):
            return f"{entry.value!r} is not of the form module or module:object"
        try:
            self._parts[name] = self._accept(name, entry.load())
        except (Exception, SystemExit) as error:
            return said(error)
        return ""


def said(error: BaseException) -> str:
    """What went wrong, in one line."""
    return f"{type(error).__name__}, {' '.join(str(error).split()) or 'no reason given'}"


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    """Name and version of what brings an entry point, as far as its metadata are there."""
    about: Any = getattr(entry.dist, "metadata", None) or {}
    return about.get("Name", "unknown"), about.get("Version", "unknown")


def _package(entry: EntryPoint) -> str:
    return " ".join(_distribution(entry))
