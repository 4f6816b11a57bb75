"""Files of trees, read without JAX."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qra_jax._nested import ELSEWHERE, MOST_DEPTH, MOST_STATES, Listed, check

ENDINGS = (".yaml", ".yml", ".json", ".toml")
"""What a file of a tree may end in."""
MOST_BYTES = 16_000_000
"""Size of the largest file that is read."""


def read(path: str | Path) -> Listed:
    """Read a tree from a YAML, JSON or TOML file.

    Args:
      path: the file; what it holds is what [`check`][qra_jax._nested.check] takes.

    Returns:
      The tree.

    Raises:
      ValueError: a file that cannot be read, or no tree; the line names the file, and the state where there is one.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{path}: must end in {', '.join(ENDINGS)}")
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ValueError(
                f"{path}: {size / 1e6:.0f} MB; must have {MOST_BYTES / 1e6:.0f} MB or less, a tree has at most "
                f"{MOST_STATES} states"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file; must hold a tree as {ENDINGS[0][1:]}") from None
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower().replace(" or directory", "")
        raise ValueError(f"{path}: {reason}; must be a file with a tree") from None
    try:
        question = _parser(path)(text)
    except RecursionError:
        raise ValueError(f"{path}: more than {MOST_DEPTH} steps on a path; {ELSEWHERE}") from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    if question is None:
        raise ValueError(f"{path}: empty; must be a mapping with steps")
    return check(question, str(path))


def _parser(path: Path) -> Callable[[str], Any]:
    """What reads the text of a file, by its ending."""
    ending = path.suffix.lower()
    return {".toml": _toml, ".json": _json}.get(ending, _yaml)


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"no TOML ({error})") from None


def _json(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{key!r} is given twice in one state; must be there once")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON (line {error.lineno}: {error.msg})") from None


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML with every key once, and with 1e-6 for a number."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value]
            for key, _ in node.value:
                if keys.count(key.value) > 1:
                    line = key.start_mark.line + 1
                    raise ValueError(
                        f"line {line}: {key.value!r} is given twice in one state; must be there once"
                    )
            return super().construct_mapping(node, deep)

    number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(
        max(usual, 20 * MOST_DEPTH + 1000)
    )  # the deepest tree, wherever this is called from
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"no YAML ({place}{getattr(error, 'problem', None) or error})") from None
    finally:
        sys.setrecursionlimit(usual)
