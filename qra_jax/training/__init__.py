"""Training by discrete updates: sampled groups, exact means, or the SDE limit, with any optimiser.

[`train`][] is one run. [`gradient_covariance`][] is the exact covariance of one step's gradient.
"""

from qra_jax.training.covariance import gradient_covariance
from qra_jax.training.runner import METRICS, Staleness, train

__all__ = ["METRICS", "Staleness", "gradient_covariance", "train"]
