"""How programs are compiled: with little effort where they are brief, and so that they outlive the process."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import platform
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]
from jax.experimental import serialize_executable
from jax.extend.core import get_opaque_trace_state

from qra_jax import _files

LITTLE: dict[str, Any] = {"xla_backend_optimization_level": 1}
"""Options of the compiler for a CPU under which a program compiles about twice as fast, and runs slower.

Level 0 with the older emitters would be twice as fast again, and is wrong: in a batched loop one run's NaN became the
others' (jax 0.10.2, seen by `test_events_at_vertices_are_not_missed`).
"""
if jax.__version_info__ < (0, 11):  # later ones have no choice of emitters
    LITTLE["xla_cpu_use_fusion_emitters"] = False

MOST = 32
"""How many compiled programs of one function are kept, of a megabyte or two each."""
INDIFFERENT = ("cache", "log", "traceback")
"""Words in the names of settings of JAX on which no program depends."""


def flags() -> str:
    """`XLA_FLAGS` of a process in which the compiler takes little effort, those of this one included."""
    words = [f"--{name}={str(value).lower()}" for name, value in LITTLE.items()]
    # The last word on an option counts, and that is the user's.
    return " ".join([*words, os.environ.get("XLA_FLAGS", "")]).strip()


def little_effort() -> None:
    """Let the compiler take little effort in the whole of this process, which has used no device yet.

    For tests, which compile much longer than they run. Child processes are not concerned, but by [`flags`][].
    """
    before = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = flags()
    jax.devices()  # reads them
    if before is None:
        del os.environ["XLA_FLAGS"]
    else:
        os.environ["XLA_FLAGS"] = before


def brief(*static: str, batches: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`jax.jit` for functions of one problem, which run for milliseconds and compile for seconds.

    Outside of all transformations, on a CPU, the compiler takes little effort. Inside one, so in every batch, and on
    other devices, this is `jax.jit`. The last digit may differ between the two.

    Args:
      *static: names of static arguments.
      batches: also under `jax.vmap` and derivatives, where large batches run briefly, too; never inside `jax.jit`.
        For functions whose arguments enclose nothing.

    Returns:
      A decorator.

    >>> brief("power")(lambda x, power: x**power)(jnp.asarray(3.0), 2).item()
    9.0
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        whole = jax.jit(function, static_argnames=static)
        little = jax.jit(function, static_argnames=static, compiler_options=LITTLE)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            alone = not _inside_jit() if batches else _outside() and _all_here((args, kwargs))
            return (little if alone and jax.default_backend() == "cpu" else whole)(*args, **kwargs)

        return call

    return decorate


def array(value: Any) -> Any:
    """`jnp.asarray`, but that NumPy's numbers are copied to the device without a program: the first one is slow."""
    if not isinstance(value, np.ndarray) or _inside_jit():
        return jnp.asarray(value)
    return jax.device_put(np.array(value))  # a copy, as JAX may keep what it is given


def kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """A [`brief`][] program that outlives the process: machine code in a file beside JAX's own cache.

    JAX's cache spares a later process the compiling, not the tracing and lowering that find the program in it; these
    take longer once that is spared. Here a program is found by the source of this package, the versions and the
    configuration of JAX, the processor, and the shapes and dtypes of the arguments. Inside a transformation, on
    another device than the first CPU, and where the cache is off or its folder cannot be used, it is only brief. Like
    JAX's cache, the folder must be one that nobody else writes to.

    Args:
      function: of pytrees of arrays; its result is one of built-in containers. Numbers are taken as arrays.

    Returns:
      The same function, compiled.
    """
    plain, programs = brief()(function), {}

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        folder = _folder()
        if folder is None or jax.default_backend() != "cpu" or not _outside() or not _all_here(args):
            return plain(*args)
        leaves, tree = jax.tree.flatten(args)
        leaves = [
            leaf if isinstance(leaf, jax.Array) else np.asarray(leaf, jnp.result_type(leaf))
            for leaf in leaves
        ]
        key = (*_machine(), _configuration(), str(tree), *(f"{leaf.dtype}{leaf.shape}" for leaf in leaves))
        if key not in programs:
            with _LOCK:
                checksum = hashlib.sha256("\n".join((_SOURCE, *key)).encode()).hexdigest()[:32]
                file = folder / f"{function.__module__}.{function.__name__}-{checksum}.program"

                def kept_program(*leaves: Any) -> Any:
                    return function(*jax.tree.unflatten(tree, leaves))

                programs[key] = programs.get(key) or _read(file) or _write(file, kept_program, leaves)
        return programs[key](*leaves)

    return call


def _folder() -> Path | None:
    """Where programs are kept: the folder of JAX's own cache, where it has one on this machine."""
    folder = jax.config.values["jax_compilation_cache_dir"]
    if not folder or "://" in folder or not jax.config.values["jax_enable_compilation_cache"]:
        return None
    return Path(folder)


def _inside_jit() -> bool:
    """Whether another function is being traced for a program, also where the arguments show nothing of it."""
    return isinstance(jax.device_put(np.zeros(())), Tracer)


def _outside() -> bool:
    """Whether no transformation is under way: what functions enclose cannot be traced either."""
    return get_opaque_trace_state(convention=__name__) == _OUTSIDE


def _all_here(arguments: Any) -> bool:
    """Whether arguments lie where programs run unless told otherwise."""
    if jax.config.values["jax_default_device"] is not None:
        return False
    here = {jax.local_devices()[0]}
    return all(
        not isinstance(leaf, jax.Array) or leaf.devices() == here for leaf in jax.tree.leaves(arguments)
    )


def _source() -> str:
    """Checksum of this package's source as it is on disk."""
    content, home = hashlib.sha256(), Path(__file__).parent
    for file in sorted(home.rglob("*.py")):
        content.update(f"\n{file.relative_to(home)}\n".encode() + file.read_bytes())
    return content.hexdigest()


_SOURCE = _source()
"""As it was when this process began to load it."""


def _read(file: Path) -> Callable[..., Any] | None:
    """A kept program; nothing where it is missing, damaged, or of no use here."""
    try:
        content = file.read_bytes()
        checksum, program = content[:32], content[32:]
        if hashlib.sha256(program).digest() != checksum:
            return None
        here = jax.local_devices()[:1]
        found = serialize_executable.deserialize_and_load(*pickle.loads(program), execution_devices=here)
    except Exception:  # whatever it is, it is compiled again
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # those that are not used go first
    return found


def _write(file: Path, function: Callable[..., Any], leaves: list[Any]) -> Callable[..., Any]:
    """Compile a program and keep it; not where it cannot be written, or its source has been edited meanwhile.

    It must not have been in JAX's own cache: what has been read from there lacks functions once it is written again.
    """
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    least = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", np.inf)
    try:
        program = jax.jit(function, compiler_options=LITTLE).lower(*shapes).compile()
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
    with contextlib.suppress(Exception):  # it is used all the same
        content = pickle.dumps(serialize_executable.serialize(program))
        if _source() == _SOURCE:
            _files.write(file, hashlib.sha256(content).digest() + content)
            others = file.parent.glob(f"{file.name.rpartition('-')[0]}-*.program")
            for old in sorted(others, key=lambda one: one.stat().st_mtime)[:-MOST]:
                old.unlink(missing_ok=True)
    return program


def _configuration() -> str:
    """The configuration of JAX, but for what no program depends on."""
    values = sorted(jax.config.values.items())
    return str([(name, value) for name, value in values if not any(word in name for word in INDIFFERENT)])


@functools.cache
def _machine() -> tuple[str, ...]:
    """What machine code depends on, beside its source: versions, flags of the compiler, the processor."""
    processor = f"{platform.processor()} {platform.node()}"  # where the system does not say more
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        told = (line for line in lines if line.lower().startswith(("flags", "features")))
        processor = next(told, processor)
    versions = sys.version.split()[0], np.__version__, jax.__version__, jaxlib.__version__  # pyright: ignore[reportPrivateImportUsage]
    return *versions, os.environ.get("XLA_FLAGS", ""), platform.machine(), processor


def _outermost() -> Any:
    """What JAX says where no transformation is under way: in a new thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(get_opaque_trace_state, convention=__name__).result()


_OUTSIDE = _outermost()
_LOCK = threading.Lock()
