"""Real checkpoints: what training did to the weights of a model on disk, beside a Gaussian update of equal norm.

    pairs, notes = checkpoints.pair("Qwen2.5-1.5B", "Qwen2.5-1.5B-GRPO")
    comparison = checkpoints.compare(pairs, null=True)
    checkpoints.report.show(comparison)

The memory is a small multiple of one pair of matrices, JAX is not needed, and nothing is fetched.
"""

from qra_jax.checkpoints import (
    algebra,
    comparison,
    folder,
    gaussian,
    measures,
    names,
    pairs,
    report,
    stored,
    words,
)
from qra_jax.checkpoints.comparison import Comparison, compare
from qra_jax.checkpoints.measures import Entries, Masks, Measures, Spectrum, measure
from qra_jax.checkpoints.pairs import Pair, check_finite, pair
from qra_jax.checkpoints.stored import Checkpoint, Tensor, read

__all__ = [
    "Checkpoint",
    "Comparison",
    "Entries",
    "Masks",
    "Measures",
    "Pair",
    "Spectrum",
    "Tensor",
    "algebra",
    "check_finite",
    "compare",
    "comparison",
    "folder",
    "gaussian",
    "measure",
    "measures",
    "names",
    "pair",
    "pairs",
    "read",
    "report",
    "stored",
    "words",
]
