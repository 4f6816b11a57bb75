"""What the readers of both trainers share: fields taken by name and kind, and the record of what became of each."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, NamedTuple, NoReturn

from qra_jax.presets.fields import TRAINERS, known, lookup
from qra_jax.presets.source import ABSENT


class Read(NamedTuple):
    """A field of the file, and what became of it.

    Attributes:
      field: its name, as in the file.
      value: its value.
      how: how it was read; of one that is ignored, why.
    """

    field: str
    value: Any
    how: str


class Part(NamedTuple):
    """A part to be made: the name of its factory, and the arguments."""

    factory: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = {}


@dataclass
class Draft:
    """A setup in plain data, made before JAX is needed."""

    algorithm: Part
    off_policy: dict[str, Any] = field(default_factory=dict)
    regularizers: list[Part] = field(default_factory=list)
    kl_in_reward: Any = None
    optimizer: dict[str, Any] = field(default_factory=dict)
    learning_rate: Any = None
    steps: int | None = None
    normalize: str | None = None
    token_mask: tuple[Any, ...] | None = None
    overlong: tuple[Any, ...] | None = None
    questions: int | None = None


class Config:
    """A configuration that is read field by field; it keeps a record."""

    def __init__(self, source: str, trainer: str, values: Mapping[str, Any]) -> None:
        self.source, self.trainer, self.values = source, trainer, dict(values)
        self.used: dict[str, Read] = {}
        self.ignored: dict[str, Read] = {}
        self.defaults: dict[str, Read] = {}

    # values

    def given(self, name: str) -> bool:
        """Whether the file gives a value to the field."""
        value = self.values.get(name)
        return not (value is None or (isinstance(value, str) and value in ABSENT))

    def first(self, *names: str) -> str:
        """The first of several names that is given, else the first."""
        return next((name for name in names if self.given(name)), names[0])

    def number(
        self,
        name: str,
        usual: Any,
        *,
        low: float | int | None = None,
        high: float | int | None = None,
        open: bool = False,
    ) -> Any:
        """A finite number, in a range whose lower end may be open."""
        if not self.given(name):
            return usual
        value = self._number(name, self.values[name])
        if not math.isfinite(value):
            self.refuse(name, "must be a finite number")
        if low is not None and (value < low or (open and value == low)):
            bound = f"above {low:g}" if open else f"{low:g} or above"
            self.refuse(name, f"must be {bound}" if high is None else f"must be in {_range(low, high, open)}")
        if high is not None and value > high:
            self.refuse(
                name,
                f"must be in {_range(low, high, open)}" if low is not None else f"must be {high:g} or below",
            )
        return value

    def whole(self, name: str, usual: Any, *, low: int = 0) -> Any:
        """A whole number, `low` or above."""
        value = self.number(name, usual)
        if not self.given(name):
            return usual
        if value != int(value):
            self.refuse(name, "must be a whole number")
        if value < low:
            self.refuse(name, f"must be {low} or above")
        return int(value)

    def switch(self, name: str, usual: bool) -> bool:
        """True or false, also as a word or as 0 or 1."""
        if not self.given(name):
            return usual
        value = self.values[name]
        if isinstance(value, str):
            value = {"true": True, "false": False, "1": 1, "0": 0}.get(value.lower(), value)
        if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
            return bool(value)
        self.refuse(name, "must be true or false")

    def word(self, name: str, usual: str, allowed: Sequence[str]) -> str:
        """One of a few words."""
        if not self.given(name):
            return usual
        value = self.values[name]
        if not isinstance(value, str):
            self.refuse(name, f"must be one of {', '.join(allowed)}")
        plain = value.strip().lower().replace("-", "_")
        for one in allowed:
            if plain == one.replace("-", "_"):
                return one
        near = difflib.get_close_matches(plain, allowed, 1)
        hint = f" (nearest: {near[0]})" if near else ""
        self.refuse(name, f"must be one of {', '.join(allowed)}{hint}")

    def numbers(self, name: str) -> list[Any] | None:
        """A list of finite numbers."""
        if not self.given(name):
            return None
        value = self.values[name]
        if not isinstance(value, (list, tuple)):
            self.refuse(name, "must be a list of numbers")
        return [self._number(name, one) for one in value]

    def _number(self, name: str, value: Any) -> float | int:
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                self.refuse(name, "must be a number")
        if isinstance(value, bool) or not isinstance(value, Real):
            self.refuse(name, "must be a number")
        return value if isinstance(value, int) else float(value)

    # the record

    def use(self, name: str, how: str | None = None) -> None:
        """Record that a field was read; of one that the file does not give, nothing."""
        if self.given(name):
            row = lookup(self.trainer, name)
            self.ignored.pop(name, None)
            self.used[name] = Read(name, self.values[name], how or (row.how if row else ""))

    def ignore(self, name: str, why: str | None = None) -> None:
        """Record that a field was left aside."""
        if self.given(name) and name not in self.used:
            row = lookup(self.trainer, name)
            self.ignored[name] = Read(name, self.values[name], why or (row.how if row else ""))

    def assume(self, name: str, value: Any, how: str) -> None:
        """Record the trainer's default for a field that the file does not give."""
        if not self.given(name):
            self.defaults[name] = Read(name, value, how)

    def refuse(self, name: str, allowed: str) -> NoReturn:
        """Refuse the value of a field."""
        text = repr(self.values.get(name))
        text = text if len(text) <= 60 else f"{text[:60]}…"
        raise ValueError(f"{self.source}: {name}: {text}; {' '.join(allowed.split())}")

    def close(self) -> tuple[list[str], dict[str, str]]:
        """Sort the fields that no reader took into ignored and unknown.

        Returns:
          The unknown ones, and for each that resembles a known one its nearest name.
        """
        unknown: list[str] = []
        for name, value in self.values.items():
            if name in self.used or name in self.ignored:
                continue
            row = lookup(self.trainer, name)
            if isinstance(value, Mapping) and not value:
                self.ignored[name] = Read(name, value, "empty")
            elif row is None and not name.endswith("_target_"):
                unknown.append(name)
            elif not self.given(name):
                self.ignored[name] = Read(name, value, "not given a value: the trainer's default")
            elif row is None:
                self.ignored[name] = Read(name, value, "the class that Hydra makes")
            elif row.part is None:
                self.ignored[name] = Read(name, value, row.how)
            else:
                self.ignored[name] = Read(name, value, "has no effect beside the other settings")
        hints = {name: hint for name in unknown if (hint := nearest(self.trainer, name))}
        return unknown, hints


def nearest(trainer: str, name: str) -> str | None:
    """The known name that an unknown one resembles most.

    Args:
      trainer: `"trl"` or `"verl"`.
      name: the unknown field.

    Returns:
      A name of the same trainer: by spelling, by its last part, or the one that the other trainer calls so.
    """
    table = [one for one in known(trainer) if not one.endswith(".*")]
    other = next(one for one in TRAINERS if one != trainer)
    twin = known(other).get(name)
    if twin is not None and twin.names(trainer):
        return twin.names(trainer)[0]
    if close := difflib.get_close_matches(name, table, 1, 0.8):
        return close[0]
    leaves = {one.rpartition(".")[2]: one for one in reversed(table)}
    close = difflib.get_close_matches(name.rpartition(".")[2], leaves, 1, 0.75)
    return leaves[close[0]] if close else None


def _range(low: float | int | None, high: float | int | None, open: bool) -> str:
    return f"{'(' if open else '['}{low:g}, {high:g}]"
