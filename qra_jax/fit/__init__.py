"""The inverse problem: which dynamics made a measured curve, and what comes next."""

from qra_jax.fit.baselines import BASELINES, baselines
from qra_jax.fit.curve import Curve, read
from qra_jax.fit.dynamics import DYNAMICS, MODELS, Model
from qra_jax.fit.forecast import Forecast, Score, rest_of, score
from qra_jax.fit.inference import CurveFit, Identified, fit, fit_many

__all__ = [
    "BASELINES",
    "DYNAMICS",
    "MODELS",
    "Curve",
    "CurveFit",
    "Forecast",
    "Identified",
    "Model",
    "Score",
    "baselines",
    "fit",
    "fit_many",
    "read",
    "rest_of",
    "score",
]
