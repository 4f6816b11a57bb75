"""Callbacks for trainers: forecasts of a run in the trainer's own log, while it runs.

Names are loaded on first use; no trainer is imported.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qra_jax.callbacks.trl import TRL as TRL

__all__ = ["TRL"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.trl"), name)
