"""Floor 0. Programs that outlive the process: traced once, then read from where JAX keeps what it has compiled."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jax.core import Tracer  # pyright: ignore[reportMissingImports]

from qra_jax import _files


def kept(*nodes: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`jax.jit` whose trace is kept beside JAX's compilation cache, where that is on.

    JAX's cache spares a later process the compiling, not the tracing, which takes longer once that is spared. Here
    the traced program is a file too (StableHLO, by `jax.export`), found by the source of this package, the version of
    JAX, and the shapes and dtypes of the arguments. Inside another transformation, and where the cache is off or its
    folder cannot be used, this is `jax.jit`.

    Args:
      nodes: dataclasses among arguments and results, registered as pytrees whose fields are all data.

    Returns:
      A decorator of functions of arrays and such dataclasses.
    """
    for node in nodes:
        name = f"{node.__module__}.{node.__qualname__}"
        export.register_pytree_node_serialization(
            node, serialized_name=name, serialize_auxdata=_no_auxdata, deserialize_auxdata=lambda _: ()
        )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        plain, programs = jax.jit(function), {}

        @functools.wraps(function)
        def call(*args: Any) -> Any:
            leaves, tree = jax.tree.flatten(args)
            folder = _folder()
            if folder is None or any(isinstance(leaf, Tracer) for leaf in leaves):
                return plain(*args)
            told = (
                str(tree),
                *(f"{jnp.result_type(leaf)}{jnp.shape(leaf)}" for leaf in leaves),
                jax.default_backend(),
            )
            if told not in programs:
                file = folder / f"{function.__module__}.{function.__name__}-{_digest(told)}.hlo"
                programs[told] = jax.jit(_read(file) or _write(file, plain, args))
            return programs[told](*args)

        return call

    return decorate


def _folder() -> Path | None:
    """Where programs are kept: the folder of JAX's own cache, where it has one."""
    folder = jax.config.values["jax_compilation_cache_dir"]
    return Path(folder) if folder and jax.config.values["jax_enable_compilation_cache"] else None


def _digest(told: tuple[str, ...]) -> str:
    """What has to agree for a kept program to be this one."""
    content = hashlib.sha256("\n".join((jax.__version__, *told)).encode())
    home = Path(__file__).parent
    for file in sorted(home.rglob("*.py")):
        content.update(f"\n{file.relative_to(home)}\n".encode() + file.read_bytes())
    return content.hexdigest()[:32]


def _read(file: Path) -> Callable[..., Any] | None:
    """A kept program; nothing where it is missing or damaged."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    checksum, program = content[:32], content[32:]
    if hashlib.sha256(program).digest() != checksum:
        return None
    return export.deserialize(bytearray(program)).call


def _write(file: Path, function: Any, args: tuple[Any, ...]) -> Callable[..., Any]:
    """Trace a program and keep it; what cannot be written is not kept."""
    program = export.export(function)(*args)
    content = bytes(program.serialize())
    with contextlib.suppress(OSError):
        _files.write(file, hashlib.sha256(content).digest() + content)
    return program.call


def _no_auxdata(auxdata: Any) -> bytes:
    if auxdata:
        raise ValueError(f"nodes: a field that is no data, {auxdata!r}; must be arrays only")
    return b""
