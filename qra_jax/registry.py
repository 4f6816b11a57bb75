"""One list of names: an algorithm, reward or regularizer is named where it is defined, and found everywhere else.

A factory is entered with a decorator. Specifications in TOML, colours of figures, advice, the explorer and the
documents read the list; a part remembers how it was made, so that it can be described as plain data.

    @ALGORITHMS.enter("my_rule", colors={"my rule": "#117733"})
    def my_rule(group_size: int) -> Algorithm: ...

Factories of other packages are entry points of the groups `qra_jax.algorithms` and `qra_jax.rewards`, called what
specifications call them. They are loaded when one of their names is looked up, or when the list is read.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import qra_jax
from qra_jax._plugins import Plugins

PLAIN = (bool, int, float, str, type(None))
"""Arguments that a part remembers; numbers in arrays are among its parameters."""
HOMES = "algorithm", "reward", "regularizer", "shaping"
"""Modules of the package that enter its own parts."""


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
      group: entry points of other packages that add to them; default: none.
      attempt: makes a part by a factory of another package, and looks at it; raises where it is not fit for use.
    """

    def __init__(
        self, kind: str, group: str = "", attempt: Callable[[Callable[..., Any]], object] = callable
    ) -> None:
        self.kind, self.attempt = kind, attempt
        self.entries: dict[str, Entry] = {}
        self.plugins = Plugins(kind, group, self._accept, _taken) if group else None

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
                if not hasattr(part, "made"):
                    raise TypeError(f"{name} gives {type(part).__name__}; must give {self.kind}")
                arguments = signature.bind(*args, **kwargs).arguments.items()
                plain = {key: value for key, value in arguments if isinstance(value, PLAIN)}
                object.__setattr__(part, "made", (name, plain))
                return part

            self.entries[name] = Entry(name, make, **about)
            return make

        return decorate

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """A factory; one of another package is loaded.

        Raises:
          KeyError: there is none of this name.
          ValueError: that of another package cannot be used; why.
        """
        if name not in self.entries and self.plugins is not None and name in self.plugins:
            load_own()
            if name not in self.entries:
                return self.plugins.load(name)
        return self.entries[name].factory

    def __iter__(self) -> Iterator[str]:
        if self.plugins is not None and self.plugins.entries():
            load_own()
            self.plugins.loaded()
        return iter(tuple(self.entries))

    def __len__(self) -> int:
        return len(tuple(iter(self)))

    def _accept(self, name: str, factory: Any) -> Callable[..., Any]:
        """Enter what an entry point names, unless it has entered itself."""
        if not callable(factory):
            raise TypeError(f"{factory!r}; must be a function that makes a part")
        known = self.entries.get(name)
        if known is None or known.factory is not factory:
            factory = self.enter(name)(factory)
        try:
            self.attempt(factory)
        except BaseException:
            del self.entries[name]
            raise
        return factory


def load_own() -> None:
    """Enter the package's own parts."""
    for home in HOMES:
        importlib.import_module(f"qra_jax.{home}")


def _taken(name: str) -> str:
    """Why no other package may bring a part of this name."""
    own = [one for kind in (ALGORITHMS, REWARDS, REGULARIZERS) if (one := kind.entries.get(name))]
    inside = any(one.factory.__module__.startswith("qra_jax.") for one in own)
    return "the name is taken by qra_jax itself" if inside or name in qra_jax.__all__ else ""


def _attempt_algorithm(factory: Callable[..., Any]) -> None:
    """An algorithm that needs no more than the size of a group gives each rollout a weight."""
    import jax

    if _binds(factory, group_size=8):
        try:
            made = factory(group_size=8)
        except ValueError:  # for groups of another size alone
            return
        group = jax.ShapeDtypeStruct((8,), "float32")
        jax.eval_shape(made.weights, group, None, group)


def _attempt_reward(factory: Callable[..., Any]) -> None:
    """A reward that needs no arguments gives each pattern of a question a number."""
    import jax

    from qra_jax.problem import examples

    if _binds(factory):
        rates = jax.eval_shape(factory().rates, examples.worked())
        if rates.shape != (3,):
            raise ValueError(f"rates of shape {rates.shape} for 3 patterns; must be [patterns]")


def _binds(factory: Callable[..., Any], **arguments: Any) -> bool:
    """Whether a factory takes these arguments and needs no others."""
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError:
        return False
    return True


ALGORITHMS = Registry("algorithm", "qra_jax.algorithms", _attempt_algorithm)
REWARDS = Registry("reward", "qra_jax.rewards", _attempt_reward)
REGULARIZERS = Registry("regularizer")
