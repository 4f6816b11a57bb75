"""What two sweeps, or two runs of a network, share if they are the same: all they hold, as plain data."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from numbers import Real
from types import CodeType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax import parts

LISTED = 64
"""Numbers of an array that are listed; of a larger one, a checksum."""
DATA = (str, Real, tuple, list, np.ndarray, jax.Array, functools.partial)
"""Globals that a function may read and that are told with it; objects of dataclasses are, too."""


def describe(function: Any, known: tuple[int, ...] = ()) -> Any:
    """What can be told of a function: name, source, defaults, what it closes over, what is bound to it.

    Args:
      function: function, method, `functools.partial`, or anything else that can be called.
      known: identities of the objects that it is told in.

    Returns:
      Plain data; equal for functions that differ in nothing that can be seen.
    """
    within = (*known, id(function))
    if isinstance(function, functools.partial):
        bound = [content(part, within) for part in (function.args, function.keywords)]
        return ["partial", content(function.func, within), *bound]
    name = f"{getattr(function, '__module__', '')}.{_name(function)}"
    try:
        source = inspect.getsource(function if hasattr(function, "__qualname__") else type(function))
    except (OSError, TypeError):
        source = ""
    told: list[Any] = [name, source]
    inner = inspect.unwrap(function)
    if inspect.ismethod(inner):
        told.append(content(inner.__self__, within))
        inner = inner.__func__
    if not inspect.isfunction(inner):
        return [*told, content(getattr(function, "__dict__", {}), within)]
    if not source or inner.__name__ == "<lambda>":  # a line may hold two of these
        told.append(_code(inner.__code__))
    names, cells = inner.__code__.co_freevars, inner.__closure__ or ()
    held = {one: content(_cell(cell), within) for one, cell in zip(names, cells, strict=True)}
    read = {one: inner.__globals__[one] for one in inner.__code__.co_names if one in inner.__globals__}
    constants = {one: content(value, within) for one, value in read.items() if _is_data(value)}
    defaults = content([inner.__defaults__, inner.__kwdefaults__], within)
    return [*told, held, constants, defaults]


def content(value: Any, known: tuple[int, ...] = ()) -> Any:
    """A value as plain data that tells it from every other.

    Args:
      value: anything; parts of this package as [`describe`][qra_jax.parts.describe] tells them.
      known: identities of the objects that it is part of.

    Returns:
      Plain data, without addresses: the same in every process.
    """
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _array(value)
    if value is None or isinstance(value, (str, Real)):
        return value
    if isinstance(value, (bytes, complex, ModuleType, type)):
        return repr(value)
    if id(value) in known:
        return "itself"
    within = (*known, id(value))
    if isinstance(value, Mapping):
        return {str(key): content(one, within) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [content(one, within) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(str(content(one, within)) for one in value)
    try:
        return parts.describe(value)
    except (ValueError, TypeError):
        pass
    if is_dataclass(value):
        return [_name(value), {one.name: content(getattr(value, one.name), within) for one in fields(value)}]
    if isinstance(value, Callable):
        return describe(value, known)
    shown = repr(value)
    return shown if " at 0x" not in shown else [_name(value), content(getattr(value, "__dict__", {}), within)]


def _is_data(value: Any) -> bool:
    return isinstance(value, DATA) or (is_dataclass(value) and not isinstance(value, type))


def _array(value: Any) -> Any:
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    if array.size <= LISTED:
        return array.tolist()
    return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]


def _code(code: CodeType) -> list[Any]:
    constants = [_code(one) if isinstance(one, CodeType) else content(one) for one in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), constants]


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _name(value: Any) -> str:
    return str(getattr(value, "__qualname__", None) or type(value).__qualname__)
