"""Checks of concrete arguments: one line naming the argument, the value and the allowed range.

Traced values pass unchecked: they cannot raise, so runners answer them with a `status`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]

SUM_TOLERANCE = 1e-3
"""Shares may miss a sum of one by this much (tables rounded by hand)."""
EXAMPLES = {
    "Algorithm": "qra.grpo(8)",
    "Credit": "qra.tree.credit.exact()",
    "OffPolicy": "qra.OffPolicy(epochs=2)",
    "Phase": "recipe.rlvr(until=.99)",
    "Problem": "qra.Problem.from_probs(ref=[.5, .5], success=[1., 0.])",
    "Regularizer": "qra.reverse_kl(.01)",
    "Reward": "qra.verifiable()",
    "Tree": "qra.tree.instances.chain([.5, .5])",
}
"""How the parts that functions take are made."""


@runtime_checkable
class _Question(Protocol):
    """What makes a problem: `Problem` needs this module, so it is known here by its fields."""

    log_ref: Any
    success: Any
    answers: Any


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


def array(name: str, value: Any) -> Any:
    """An array of numbers, of any rank and size."""
    return _concrete(name, value, None)


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
    if isinstance(value, Tracer):
        raise ValueError(f"{name}: traced; must be a static whole number, {low} or above")
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name}: {value!r}; must be a whole number, {low} or above")
    if value < low:
        raise ValueError(f"{name}: {value}; must be {low} or above")
    return int(value)


def group_size(value: Any, *, low: int) -> int:
    """The group size of an algorithm: static, as its table of weights has that many rows."""
    if isinstance(value, Tracer):
        raise ValueError(
            "group_size: traced; must be a static whole number (with_group_size takes a traced one)"
        )
    return integer("group_size", value, low=low)


def part(name: str, value: Any, kind: type) -> Any:
    """A part made by this package: neither its name nor the function that makes it."""
    if isinstance(value, kind):
        return value
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    allowed = f"must be {article} {kind.__name__}, such as {EXAMPLES[kind.__name__]}"
    raise ValueError(f"{name}: {_said(value)}; {allowed}")


def parts(name: str, values: Any, kind: type) -> tuple[Any, ...]:
    """Several parts, as a tuple."""
    if isinstance(values, (str, kind)) or not isinstance(values, Iterable):
        allowed = f"must be a list of {kind.__name__}s, such as [{EXAMPLES[kind.__name__]}]"
        raise ValueError(f"{name}: {_said(values)}; {allowed}")
    return tuple(part(f"{name}[{i}]", value, kind) for i, value in enumerate(values))


def _said(value: Any) -> str:
    """A value in short; functions by name."""
    if callable(value) and hasattr(value, "__name__"):
        return f"{'the class' if isinstance(value, type) else 'the function'} {value.__name__}"
    if isinstance(value, Tracer):
        return "traced"
    if getattr(value, "shape", ()):
        return f"an array of shape {value.shape}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def problem(value: Any, name: str = "problem") -> Any:
    """A problem, one or many, that is a distribution over patterns and their success rates."""
    if not isinstance(value, _Question):
        raise ValueError(f"{name}: {_said(value)}; must be a Problem, such as {EXAMPLES['Problem']}")
    shape, rates = np.shape(value.log_ref), np.shape(value.success)
    for field in ("log_ref", "success"):
        if not getattr(getattr(value, field), "ndim", 0):
            raise ValueError(f"{field}: {_said(getattr(value, field))}; must be an array [patterns]")
    if shape != rates:
        raise ValueError(f"success: shape {rates}; must be {shape}, as log_ref has")
    log_distribution("log_ref", value.log_ref, " (for probabilities use Problem.from_probs)")
    return value


def log_distribution(name: str, value: Any, hint: str = "") -> None:
    """Logarithms of probabilities that sum to one over the last axis; NaN is left to the status."""
    array = _concrete(name, value, None)
    if isinstance(array, np.ndarray):
        with np.errstate(over="ignore"):
            total = np.sum(np.exp(array, dtype=float), axis=-1)
        off = np.abs(total - 1) > SUM_TOLERANCE
        if off.any():
            row = "" if total.ndim == 0 else f"[{', '.join(map(str, np.argwhere(off)[0]))}]"
            raise ValueError(f"{name}{row}: exponentials sum to {total[off][0]:.3g}; must sum to 1{hint}")


def key(value: Any, name: str = "key") -> Any:
    """One PRNG key, typed or raw."""
    typed = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    raw = not typed and getattr(value, "dtype", None) == np.uint32
    if not typed and not raw:
        raise ValueError(f"{name}: {_said(value)}; must be a PRNG key, such as jax.random.key(0)")
    if value.ndim != (1 if raw else 0):
        raise ValueError(f"{name}: shape {value.shape}; must be one PRNG key, jax.vmap over several")
    return value


def takes(name: str, function: Callable[..., Any], *arguments: str) -> None:
    """A function that can be called with so many arguments."""
    allowed = f"must be a function of ({', '.join(arguments)})"
    if not callable(function):
        raise ValueError(f"{name}: {_said(function)}; {allowed}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built in, without one
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        raise ValueError(f"{name}: takes {signature}; {allowed}") from None


def returned(name: str, value: Any, shape: tuple[int, ...], meaning: str) -> Any:
    """What a function returned: an array of this shape."""
    if not hasattr(value, "shape"):
        raise ValueError(f"{name}: returned {_said(value)}; must be an array {shape}, {meaning}")
    if value.shape != shape:
        raise ValueError(f"{name}: returned shape {value.shape}; must be {shape}, {meaning}")
    return value


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


def choice(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
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
