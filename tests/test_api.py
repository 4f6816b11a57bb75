"""The public names and their signatures, as written down in `data/api.txt`: changes are deliberate.

After a deliberate change, `python tests/test_api.py` writes the file anew; its difference belongs into CHANGELOG.md.
"""

import difflib
import enum
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import qra_jax
from qra_jax.registry import ALGORITHMS, REWARDS

SNAPSHOT = Path(__file__).parent / "data" / "api.txt"
MODULES = sorted([*qra_jax._MODULES, "explorer", "fit.runs", "studies.lab", "sweep.executors"])
PLAIN = (bool, int, float, str, type(None))


def signature(function: Any) -> str:
    """Names, kinds and plain defaults of the arguments; types are for the type checker."""
    if isinstance(function, enum.EnumMeta):
        return f"({', '.join(function.__members__)})"
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return "(…)"
    said, starred = [], False
    for one in arguments:
        if one.kind is one.KEYWORD_ONLY and not starred:
            said.append("*")
        starred |= one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        default = "" if one.default is one.empty else "=…"
        if isinstance(one.default, PLAIN) and one.default is not one.empty:
            default = f"={one.default!r}"
        said.append(f"{stars}{one.name}{default}")
    return f"({', '.join(said)})"


def members(kind: type) -> Iterator[str]:
    """Public methods and properties that a class has of its own."""
    for name, value in sorted(vars(kind).items()):
        if name.startswith("_"):
            continue
        if isinstance(value, property):
            yield f".{name}"
        elif isinstance(value, staticmethod | classmethod):
            yield f".{name}{signature(value.__func__)}"
        elif inspect.isfunction(value):
            yield f".{name}{signature(value)}"


def public(module: Any) -> list[str]:
    """Names that a module offers: its own list, or what it defines without an underscore."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed)
    own = (
        name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
    )
    return sorted(name for name in own if not name.startswith("_"))


def lines() -> Iterator[str]:
    """The whole public face, a line for each name."""
    of_others = {  # plug-ins that happen to be installed
        name
        for parts in (ALGORITHMS, REWARDS)
        for name in parts
        if not parts[name].__module__.startswith("qra_jax.")
    }
    for name in sorted(set(dir(qra_jax)) - set(qra_jax._MODULES) - of_others):
        value = getattr(qra_jax, name)
        if not name.startswith("__"):
            yield f"{name}{signature(value)}" if callable(value) else name
    for place in MODULES:
        module = importlib.import_module(f"qra_jax.{place}")
        for name in public(module):
            value = getattr(module, name)
            if inspect.isclass(value):
                yield f"{place}.{name}{signature(value)}"
                yield from (f"{place}.{name}{member}" for member in members(value))
            elif callable(value):
                yield f"{place}.{name}{signature(value)}"
            elif not inspect.ismodule(value):
                yield f"{place}.{name}"


def test_the_public_face_is_what_was_written_down():
    known, now = SNAPSHOT.read_text(encoding="utf-8").splitlines(), list(lines())
    changed = [line for line in difflib.unified_diff(known, now, lineterm="", n=0) if line[0] in "+-"][2:]
    assert not changed, "\n".join(["if this is meant, run python tests/test_api.py:", *changed])


def test_a_changed_signature_is_seen():
    def before(a, *, b=1, c="x"): ...
    def renamed(a, *, d=1, c="x"): ...
    def other_default(a, *, b=2, c="x"): ...

    assert signature(before) == "(a, *, b=1, c='x')"
    assert len({signature(one) for one in (before, renamed, other_default)}) == 3


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(lines()) + "\n", encoding="utf-8")
    sys.stdout.write(f"wrote {SNAPSHOT}\n")
