"""Advice on one base model: its diagnosis by the theory, and what sampled training makes of hyperparameters.

`diagnose` and `advise` compute; the modules `*_report` put the result into words and JSON, `*_figure` draw it. Names
are loaded on first use: a diagnosis needs no training.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qra_jax.consult.advice import (
        FOUND as FOUND,
        Advice as Advice,
        Ending as Ending,
        Paths as Paths,
        advise as advise,
    )
    from qra_jax.consult.diagnosis import (
        Diagnosis as Diagnosis,
        SftDose as SftDose,
        Times as Times,
        add_time as add_time,
        diagnose as diagnose,
    )
    from qra_jax.consult.hyperparameters import Hyperparameters as Hyperparameters

_HOME = {
    **dict.fromkeys(("FOUND", "Advice", "Ending", "Paths", "advise"), "advice"),
    "Hyperparameters": "hyperparameters",
    **dict.fromkeys(("Diagnosis", "SftDose", "Times", "add_time", "diagnose"), "diagnosis"),
}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*(name for name in globals() if name.startswith("__")), *__all__])
