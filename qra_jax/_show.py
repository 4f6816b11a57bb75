"""How objects say what they are, in a line and in a notebook."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import jax
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]

SHOWN = 8
"""Numbers of an array that are shown."""
POWER = 6.0
"""Numbers from 10^POWER on are written as powers of ten."""


def concrete(*arrays: Any) -> bool:
    """Whether these are arrays with numbers in them: not traced, nor the placeholders of a tree transformation."""
    kinds = (jax.Array, np.ndarray, np.generic)
    return all(isinstance(x, kinds) and not isinstance(x, Tracer) for x in arrays)


def shape(array: Any) -> str:
    """Type and shape of anything, such as `float64[3]`.

    >>> shape(np.zeros((2, 3), np.float32))
    'float32[2,3]'
    """
    if hasattr(array, "shape") and hasattr(array, "dtype"):
        return f"{array.dtype}[{','.join(map(str, array.shape))}]"
    return repr(array)


def numbers(values: Any) -> str:
    """Numbers of a vector, the first few of a long one.

    >>> numbers([0.05, 0.7, 0.25])
    '[0.05 0.7 0.25]'
    """
    values = np.asarray(values)
    shown = " ".join(f"{value:.3g}" for value in values[:SHOWN])
    return f"[{shown}{' …' if values.size > SHOWN else ''}]"


def parameters(params: Mapping[str, Any]) -> list[str]:
    """Numbers by name; those that are arrays or traced by name alone.

    >>> parameters({"tpr": 0.9, "floor": np.zeros(3), "which": "none"})
    ['tpr = 0.9', 'floor']
    """
    kinds = (int, float, np.generic, np.ndarray, jax.Array)
    single = lambda value: not isinstance(value, Tracer) and np.ndim(value) == 0  # noqa: E731
    return [
        f"{name} = {float(value):.3g}" if single(value) else name
        for name, value in params.items()
        if isinstance(value, kinds)
    ]


def from_log(log_value: float) -> str:
    """exp of a number in short, also where it overflows or is none; from 10^POWER on as a power of ten.

    >>> from_log(0.0), from_log(1000.0), from_log(-np.inf), from_log(np.inf)
    ('1', '10^434.3', '0', 'never')
    """
    if math.isnan(log_value):
        return "nan"
    if not math.isfinite(log_value):
        return "0" if log_value < 0 else "never"
    power = log_value / math.log(10)
    if power >= POWER:
        return f"10^{power:.1f}"
    value = float(f"{math.exp(log_value):.3g}")
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    mantissa, exponent = round(10 ** (power % 1), 1), math.floor(power)
    return f"{mantissa:g}e{exponent}" if mantissa < 10 else f"1e{exponent + 1}"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table."""
    line = lambda tag, cells: "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)  # noqa: E731
    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<b>{escape(title)}</b><table><tr>{line('th', head)}</tr>{body}</table>"
