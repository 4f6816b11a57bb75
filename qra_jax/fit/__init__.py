"""The inverse problem: which dynamics made a measured curve, and what comes next.

Names are loaded on first use: a file is read, and refused, without JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qra_jax.fit.baseline import BASELINES as BASELINES, baselines as baselines
    from qra_jax.fit.curve import Curve as Curve, read as read
    from qra_jax.fit.dynamics import DYNAMICS as DYNAMICS, MODELS as MODELS, Model as Model
    from qra_jax.fit.forecast import (
        Forecast as Forecast,
        Score as Score,
        rest_of as rest_of,
        score as score,
    )
    from qra_jax.fit.inference import (
        CurveFit as CurveFit,
        Identified as Identified,
        fit as fit,
        fit_many as fit_many,
    )

_HOME = {
    "BASELINES": "baseline",
    "DYNAMICS": "dynamics",
    "MODELS": "dynamics",
    "Curve": "curve",
    "CurveFit": "inference",
    "Forecast": "forecast",
    "Identified": "inference",
    "Model": "dynamics",
    "Score": "forecast",
    "baselines": "baseline",
    "fit": "inference",
    "fit_many": "inference",
    "read": "curve",
    "rest_of": "forecast",
    "score": "forecast",
}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = found
    return found
