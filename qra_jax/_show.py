"""Floor 0. How objects say what they are, in a line and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import jax
import numpy as np
from jax.core import Tracer  # pyright: ignore[reportMissingImports]

SHOWN = 8
"""Numbers of an array that are shown."""


def concrete(*arrays: Any) -> bool:
    """Whether these are arrays with numbers in them: not traced, nor the placeholders of a tree transformation."""
    return all(isinstance(x, (jax.Array, np.ndarray)) and not isinstance(x, Tracer) for x in arrays)


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


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table."""
    line = lambda tag, cells: "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)  # noqa: E731
    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<b>{escape(title)}</b><table><tr>{line('th', head)}</tr>{body}</table>"
