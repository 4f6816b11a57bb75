"""Training by discrete updates: sampled groups, exact means, or the SDE limit, with any optimiser.

[`train`][] is one run, [`measure`][] one that keeps metrics alone. [`gradient_covariance`][] is the exact covariance of
one step's gradient.
"""

from qra_jax.training.api import METRICS, Measurements, measure, train
from qra_jax.training.covariance import gradient_covariance

__all__ = ["METRICS", "Measurements", "gradient_covariance", "measure", "train"]
