"""Floor 0. Checks of concrete arguments: one line naming the argument, the value and the allowed range.

Traced values pass unchecked: they cannot raise, so runners answer them with a `status`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]


def _concrete(name: str, value: Any, ndim: int | None) -> Any:
    """The value as a float array of the wanted rank, or untouched where it is traced."""
    if isinstance(value, Tracer):
        return value
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {value!r} is not numeric; must be an array of numbers") from None
    if array.dtype.kind != "f":
        array = array.astype(float)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name}: shape {array.shape}; must have {ndim} dimension{'s' * (ndim != 1)}")
    if array.size == 0:
        raise ValueError(f"{name}: empty; must hold at least one number")
    return array


def _reject(name: str, array: np.ndarray, bad: np.ndarray | np.bool_, allowed: str) -> None:
    if bad.any():
        where = np.argwhere(bad)[0]
        place = name if array.ndim == 0 else f"{name}[{', '.join(map(str, where))}]"
        raise ValueError(f"{place}: {array[tuple(where)]:.6g}; must be {allowed}")


def unit_interval(name: str, value: Any, *, ndim: int | None = None) -> Any:
    """Numbers in [0, 1]."""
    array = _concrete(name, value, ndim)
    if isinstance(array, np.ndarray):
        _reject(name, array, ~((array >= 0) & (array <= 1)), "in [0, 1]")
    return array


def open_unit_interval(name: str, value: Any) -> Any:
    """Numbers in (0, 1)."""
    array = _concrete(name, value, None)
    if isinstance(array, np.ndarray):
        _reject(name, array, ~((array > 0) & (array < 1)), "in (0, 1)")
    return array


def positive(name: str, value: Any) -> Any:
    """Finite numbers above zero."""
    array = _concrete(name, value, None)
    if isinstance(array, np.ndarray):
        _reject(name, array, ~((array > 0) & np.isfinite(array)), "positive and finite")
    return array


def nonnegative(name: str, value: Any, *, ndim: int | None = None) -> Any:
    """Finite numbers, zero or above."""
    array = _concrete(name, value, ndim)
    if isinstance(array, np.ndarray):
        _reject(name, array, ~((array >= 0) & np.isfinite(array)), "zero or positive, and finite")
    return array


def finite(name: str, value: Any) -> Any:
    """Finite numbers."""
    array = _concrete(name, value, None)
    if isinstance(array, np.ndarray):
        _reject(name, array, ~np.isfinite(array), "finite")
    return array


def distribution(name: str, value: Any, *, tolerance: float, ndim: int = 1) -> Any:
    """Non-negative numbers whose last axis sums to one within `tolerance`; returned renormalised."""
    array = nonnegative(name, value, ndim=ndim)
    if not isinstance(array, np.ndarray):
        return array / array.sum(axis=-1, keepdims=True)
    total = array.sum(axis=-1, keepdims=True)
    off = np.abs(total - 1) > tolerance
    if off.any():
        row = "" if ndim == 1 else f"[{np.argwhere(off)[0][0]}]"
        raise ValueError(f"{name}{row}: sums to {total[off][0]:.6g}; must sum to 1 within {tolerance:g}")
    return array / total


def integer(name: str, value: Any, *, low: int) -> int:
    """A static whole number, `low` or above."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name}: {value!r}; must be a whole number, {low} or above")
    if value < low:
        raise ValueError(f"{name}: {value}; must be {low} or above")
    return int(value)


def same_length(name: str, array: Any, other: str, reference: Any) -> None:
    """First axes of equal length."""
    if array.shape[0] != reference.shape[0]:
        raise ValueError(
            f"{name}: length {array.shape[0]}; must be {reference.shape[0]}, as many as {other} has"
        )


def close(name: str, array: Any, other: str, reference: Any, *, tolerance: float) -> None:
    """Equal within `tolerance`."""
    if isinstance(array, np.ndarray) and isinstance(reference, np.ndarray):
        off = np.abs(array - reference) > tolerance
        if off.any():
            i = int(np.argwhere(off)[0][0])
            raise ValueError(
                f"{name}[{i}]: {array[i]:.6g}; must equal {other}[{i}] = {reference[i]:.6g} within {tolerance:g}"
            )
    return None


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    """One of a few names."""
    if value not in allowed:
        raise ValueError(f"{name}: {value!r}; must be one of {', '.join(map(repr, allowed))}")
    return value


def times(name: str, value: Any) -> Any:
    """Finite increasing times, zero or above."""
    return nonnegative(name, increasing(name, value))


def increasing(name: str, value: Any) -> Any:
    """A one-dimensional increasing sequence (equal neighbours allowed)."""
    array = _concrete(name, value, 1)
    if isinstance(array, np.ndarray):
        _reject(name, array, np.isnan(array), "a number")
        _reject(name, array, array < np.append(-np.inf, array[:-1]), "no smaller than the one before it")
    return array
