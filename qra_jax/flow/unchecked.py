"""diffrax's `diffeqsolve` without the checks that it makes while a program runs.

diffrax looks at save times on the host, in the middle of the program, and raises where they are out of order. A program
that calls the host cannot be lowered for another device, exported, or kept on disk. Nothing of diffrax is changed for
other users of it: this is a second copy of one function, in which such a check does nothing.
"""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any

import diffrax


class _Unchecked:
    """A module in which `error_if` returns what it is given."""

    def __init__(self, module: Any):
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    @staticmethod
    def error_if(x: Any, pred: Any, msg: str) -> Any:
        """The first argument, whatever the others."""
        return x


def _without_checks(function: Any) -> Any:
    """The function with `eqxi`, the module that its checks come from, exchanged; itself where there is none."""
    plain: Any = inspect.unwrap(function)
    names = getattr(plain, "__globals__", {})
    if "eqxi" not in names:
        return function
    copy = FunctionType(
        plain.__code__,
        {**names, "eqxi": _Unchecked(names["eqxi"])},
        plain.__name__,
        plain.__defaults__,
        plain.__closure__,
    )
    copy.__kwdefaults__ = plain.__kwdefaults__
    return copy


diffeqsolve: Any = _without_checks(diffrax.diffeqsolve)
"""As `diffrax.diffeqsolve`, for use under `jit`; save times that are out of order or out of range go unnoticed."""
