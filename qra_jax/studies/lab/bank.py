"""The bank: trained networks and expensive ensembles, made once and used by many studies."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from qra_jax import _files
from qra_jax.studies.lab import fingerprint


class Bank:
    """A folder of results under the fingerprint of what made them: sources, versions, arguments.

    Args:
      folder: where they are kept; default: in memory, as long as this object lives.
      since: results that are older are made anew, in seconds since 1970.
    """

    def __init__(self, folder: Path | None = None, *, since: float = 0.0) -> None:
        self.folder, self.since = folder, since
        self._memory: dict[str, Any] = {}

    def get(self, make: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """What `make(*args, **options)` returns, computed the first time and read back later.

        Two processes that ask for the same at once compute it once.

        Args:
          make: a function of a module, whose result is a pytree of arrays: dictionaries, lists and plain tuples.
          *args: numbers, words, arrays; part of the fingerprint.
          **options: the same, by name.

        Returns:
          The pytree, with NumPy arrays as leaves. Typed PRNG keys are none: keep `jax.random.key_data` of them.

        Raises:
          ValueError: a function within another, or one without a name.
          TypeError: a result with branches that cannot be kept.
        """
        name = f"{make.__module__.rsplit('.', 1)[-1]}.{make.__name__}-{fingerprint.of_call(make, args, options)[:16]}"
        if name not in self._memory:
            with self._alone(name):
                known = self._read(name)
                if known is None:
                    leaves = _flat(make(*args, **options))
                    self._write(name, leaves)
                    known = _grown(leaves)
            self._memory[name] = known
        return self._memory[name]

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{name}.npz"

    def _read(self, name: str) -> Any:
        path = self._path(name)
        if path is None or not path.is_file() or path.stat().st_mtime < self.since:
            return None
        with np.load(path, allow_pickle=False) as kept:
            return _grown({key: kept[key] for key in kept.files})

    def _write(self, name: str, leaves: dict[str, np.ndarray]) -> None:
        path = self._path(name)
        if path is not None:
            content = io.BytesIO()
            np.savez(content, allow_pickle=False, **leaves)
            _files.write(path, content.getvalue())

    def _alone(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from making the same entry."""
        path = self._path(name)
        return contextlib.nullcontext() if path is None else _files.locked(path.with_suffix(".lock"))


def _flat(tree: Any, path: str = "") -> dict[str, np.ndarray]:
    """Leaves by path: names of dictionaries as they are, positions of lists as `[i]`, of tuples as `(i)`."""
    if hasattr(tree, "_fields") or tree is None or (isinstance(tree, (dict, list, tuple)) and not tree):
        raise TypeError(
            f"make: returned {tree!r} at {path or 'the top'}; must be arrays in dictionaries, lists, tuples"
        )
    if isinstance(tree, dict):
        if any(not isinstance(name, str) or "/" in name or not name for name in tree):
            raise TypeError(f"make: returned names {list(tree)}; must be words without a slash")
        parts = {f"{path}/{name}": value for name, value in tree.items()}
    elif isinstance(tree, (list, tuple)):
        left, right = "[]" if isinstance(tree, list) else "()"
        parts = {f"{path}/{left}{i}{right}": value for i, value in enumerate(tree)}
    else:
        return {path: np.asarray(tree)}
    return {name: leaf for key, value in parts.items() for name, leaf in _flat(value, key).items()}


def _grown(leaves: dict[str, np.ndarray]) -> Any:
    """The tree again."""
    if set(leaves) == {""}:
        return leaves[""]
    branches: dict[str, dict[str, np.ndarray]] = {}
    for path, leaf in leaves.items():
        _, first, *rest = path.split("/", 2)
        branches.setdefault(first, {})["/" + rest[0] if rest else ""] = leaf
    grown = {name: _grown(branch) for name, branch in branches.items()}
    if all(name[:1] + name[-1:] in ("[]", "()") for name in grown):
        values = [grown[name] for name in sorted(grown, key=lambda name: int(name[1:-1]))]
        return values if next(iter(grown)).startswith("[") else tuple(values)
    return grown
