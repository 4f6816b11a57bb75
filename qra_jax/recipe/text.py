"""Recipes as TOML, both ways."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from qra_jax import parts
from qra_jax.recipe import phases
from qra_jax.recipe.phases import Phase
from qra_jax.recipe.schedule import Schedule

KINDS: dict[str, Callable[..., Phase]] = {
    "sft": phases.sft,
    "rlvr": phases.rlvr,
    "rlif": phases.rlif,
    "interleaved": phases.interleaved,
}


def load(source: str | Path) -> tuple[Phase, ...]:
    """Phases from a TOML file or text."""
    if isinstance(source, Path) or str(source).endswith(".toml"):
        try:
            source = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a text file"
            raise ValueError(f"{source}: {reason}") from None
    try:
        table = tomllib.loads(str(source))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"recipe: not TOML, {error}") from None
    return parse(table)


def parse(table: Any) -> tuple[Phase, ...]:
    """Phases from plain data."""
    if not isinstance(table, Mapping) or not isinstance(table.get("phase"), list) or not table["phase"]:
        raise ValueError("recipe: no phases; must have a table [[phase]] for each")
    parts.check_keys("recipe", table, ("phase",))
    return tuple(_phase(f"phase {i}", entry) for i, entry in enumerate(table["phase"]))


def _phase(where: str, entry: Any) -> Phase:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("kind"), str):
        raise ValueError(f"{where}: kind is missing; must be one of {', '.join(KINDS)}")
    parts.check_keys(f"{where}, kind", [entry["kind"]], KINDS)
    factory = KINDS[entry["kind"]]
    arguments = {key: value for key, value in entry.items() if key != "kind"}
    parts.check_keys(where, arguments, inspect.signature(factory).parameters)
    try:
        if arguments.get("unsolved") is False:  # TOML has no null
            arguments["unsolved"] = None
        return factory(**{key: _value(key, value) for key, value in arguments.items()})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _value(key: str, value: Any) -> Any:
    if key in parts.READERS:
        return parts.READERS[key](value)
    if isinstance(value, Mapping):
        parts.check_keys(key, value, ("knots", "kind"))
        if not isinstance(value.get("knots"), list) or not value["knots"]:
            raise ValueError(f"{key}: knots are missing; a schedule must have a list of them")
        return Schedule(**value)
    return value


def dump(recipe: tuple[Phase, ...]) -> str:
    """Phases as TOML text."""
    return tomli_w.dumps({"phase": [_table(phase) for phase in recipe]})


def _table(phase: Phase) -> dict[str, Any]:
    if phase.kind not in KINDS:
        raise ValueError(f"kind: {phase.kind!r}; must be one of {', '.join(KINDS)} to have a TOML form")
    known = inspect.signature(KINDS[phase.kind]).parameters
    table: dict[str, Any] = {"kind": phase.kind}
    for name, value in phase.given().items():
        if name not in known:
            continue
        if name in ("algorithm", "reward", "optimizer"):
            table[name] = parts.describe(value)
        elif name == "regularizers":
            table[name] = [parts.describe(term) for term in value]
        elif isinstance(value, Schedule):
            table[name] = {"knots": parts.plain(value.knots), "kind": value.kind}
        else:
            table[name] = parts.plain(value)
    if phase.kind == "interleaved" and phase.unsolved is None:
        table["unsolved"] = False
    return table
