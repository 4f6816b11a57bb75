"""Parts as pytrees: a name is no part of a compile key, and a function is one by what it computes.

`jax.jit` compiles again when static data differ. A function made anew at every call of a factory is another object each
time, though it computes the same: here such functions are equal when their code is, and everything that it closes over
or reads from its module. Functions of a module itself are there once, and are equal only to themselves.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]

LARGEST = 4096
"""Numbers of a closed-over array that are compared; a larger one is the same only as the same object."""


class Label:
    """A static value that is carried along and never compared."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Label)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return repr(self.value)


class Function:
    """A function as part of a compile key, equal to every function that computes the same.

    Args:
      function: a function, method, `functools.partial`, or anything else that can be called; `None` for none.
    """

    __slots__ = ("function", "key")

    def __init__(self, function: Callable[..., Any] | None) -> None:
        self.function = function
        self.key = key(function)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Function) and (self.function is other.function or self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        assert self.function is not None
        return self.function(*args, **kwargs)


class _Same:
    """An object that equals itself alone; kept alive, so that its identity is not given to another."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def key(value: Any, within: tuple[int, ...] = ()) -> Any:
    """A hashable value that is equal for equal functions, numbers, arrays and containers of these.

    Args:
      value: anything; what is none of these equals itself alone.
      within: identities of the objects that it is part of.

    Returns:
      The value to compare.
    """
    if value is None or isinstance(value, (bool, int, str, bytes, types.CodeType, types.ModuleType, type)):
        return type(value), value
    if isinstance(value, (float, complex)):
        return type(value), repr(value)
    if isinstance(value, Tracer):
        return _Same(value)
    if id(value) in within:
        return "itself", within.index(id(value))
    within = (*within, id(value))
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        if jnp.issubdtype(value.dtype, jax.dtypes.extended) or value.size > LARGEST:
            return _Same(value)
        array = np.asarray(value)
        return type(value), str(array.dtype), array.shape, array.tobytes()
    if isinstance(value, functools.partial):
        return "partial", key(value.func, within), key(value.args, within), key(value.keywords, within)
    if isinstance(value, types.MethodType):
        return "method", key(value.__func__, within), key(value.__self__, within)
    if isinstance(value, types.FunctionType):
        if "<locals>" not in value.__qualname__ and value.__name__ != "<lambda>":
            return _Same(value)
        cells = tuple(_cell(cell, within) for cell in value.__closure__ or ())
        defaults = key(value.__defaults__, within), key(value.__kwdefaults__, within)
        names = _names(value.__code__)
        read = tuple((one, key(value.__globals__[one], within)) for one in names if one in value.__globals__)
        return "function", value.__code__, id(value.__globals__), cells, defaults, read
    if isinstance(value, (tuple, list)):
        return type(value), tuple(key(one, within) for one in value)
    if isinstance(value, dict):
        return type(value), tuple((key(k, within), key(v, within)) for k, v in value.items())
    return _Same(value)


def _names(code: types.CodeType) -> list[str]:
    """Names that code, and the code within it, may read from its module."""
    nested = (one for one in code.co_consts if isinstance(one, types.CodeType))
    return sorted({*code.co_names, *(name for one in nested for name in _names(one))})


def _cell(cell: Any, within: tuple[int, ...]) -> Any:
    try:
        return key(cell.cell_contents, within)
    except ValueError:  # not filled yet
        return None


def register(cls: type, *, children: Sequence[str], functions: Sequence[str], labels: Sequence[str]) -> type:
    """Register a frozen dataclass as a pytree.

    Args:
      cls: the class.
      children: fields that are pytrees of arrays.
      functions: static fields that are functions, see [`Function`][].
      labels: static fields that are carried along and never compared.

    Returns:
      The class. Its other fields are static and compared.
    """
    static = [one.name for one in fields(cls) if one.name not in (*children, *functions, *labels)]

    def data(part: Any) -> tuple[Any, ...]:
        return (
            tuple(Function(getattr(part, name)) for name in functions),
            tuple(Label(getattr(part, name)) for name in labels),
            tuple(getattr(part, name) for name in static),
        )

    def flatten(part: Any) -> tuple[Any, Any]:
        return [getattr(part, name) for name in children], data(part)

    def flatten_with_keys(part: Any) -> tuple[Any, Any]:
        keyed = [(jax.tree_util.GetAttrKey(name), getattr(part, name)) for name in children]
        return keyed, data(part)

    def unflatten(held: Any, values: Any) -> Any:
        of_functions, of_labels, of_static = held
        part = object.__new__(cls)
        named = [
            *zip(functions, (one.function for one in of_functions), strict=True),
            *zip(labels, (one.value for one in of_labels), strict=True),
            *zip(static, of_static, strict=True),
            *zip(children, values, strict=True),
        ]
        for name, value in named:
            object.__setattr__(part, name, value)
        return part

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls
