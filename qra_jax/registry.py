"""One list of names: an algorithm, reward or regularizer is named where it is defined, and found everywhere else.

A factory is entered with a decorator. Specifications in TOML, colours of figures, advice, the explorer and the
documents read the list; a part remembers how it was made, so that it can be described as plain data.

    @ALGORITHMS.enter("my_rule", colors={"my rule": "#117733"})
    def my_rule(group_size: int) -> Algorithm: ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PLAIN = (bool, int, float, str, type(None))
"""Arguments that a part remembers; numbers in arrays are among its parameters."""


@dataclass(frozen=True)
class Entry:
    """What is known of a factory.

    Attributes:
      name: what specifications call it.
      factory: makes the part.
      colors: of its lines in figures, by what figures call it (names of the parts that it makes).
      trainers: what trainers call it, by trainer.
      note: one line for the documents: where it parts from the others.
    """

    name: str
    factory: Callable[..., Any]
    colors: Mapping[str, str] = field(default_factory=dict)
    trainers: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


class Registry(Mapping[str, Callable[..., Any]]):
    """Factories by name, in the order in which they were entered.

    Args:
      kind: what they make, for messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.entries: dict[str, Entry] = {}

    def enter(self, name: str, **about: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Enter a factory under a name, as a decorator; what it makes remembers its arguments.

        Args:
          name: what specifications call it.
          **about: the other attributes of an [`Entry`][].

        Returns:
          The decorator.

        Raises:
          ValueError: the name is taken by another factory.
        """

        def decorate(factory: Callable[..., Any]) -> Callable[..., Any]:
            known = self.entries.get(name)
            if known is not None and inspect.unwrap(known.factory).__qualname__ != factory.__qualname__:
                raise ValueError(f"{self.kind}: {name!r} is taken; must be another name")
            signature = inspect.signature(factory)

            @functools.wraps(factory)
            def make(*args: Any, **kwargs: Any) -> Any:
                part = factory(*args, **kwargs)
                arguments = signature.bind(*args, **kwargs).arguments.items()
                plain = {key: value for key, value in arguments if isinstance(value, PLAIN)}
                object.__setattr__(part, "made", (name, plain))
                return part

            self.entries[name] = Entry(name, make, **about)
            return make

        return decorate

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self.entries[name].factory

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


ALGORITHMS = Registry("algorithm")
REWARDS = Registry("reward")
REGULARIZERS = Registry("regularizer")
