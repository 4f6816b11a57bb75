"""The explorer: sliders for one question and how it is trained, and what follows, redrawn at every move.

from qra_jax.explorer.widget import Explorer
Explorer()
"""

from qra_jax.explorer.settings import ALGORITHMS, LARGEST, NAMES, Settings
from qra_jax.explorer.simulation import RUNS, STEPS, Answer, simulate

__all__ = ["ALGORITHMS", "LARGEST", "NAMES", "RUNS", "STEPS", "Answer", "Settings", "simulate"]
