r"""The exact orbit of a question: one curve in the simplex for every on-policy algorithm, each with its clock.

$$ \dot\theta = c(\rho)\;\pi\odot(R-\bar R) \quad\text{(softmax policy gradient)},\qquad
   \dot\theta = c(\rho)\,R \quad\text{(natural gradient)} $$

Times span 1e-10 to 1e300, so events return *log* time. All functions act on one problem, run under `jit` and
`vmap`, and carry exact first derivatives (not second ones) with respect to the reference policy, the success rates,
the target and the parameters of reward and algorithm. Nothing here has regularisers: use `qra_jax.flow` for those.

Reference: Chen, Li, Zou, arXiv 2506.04695, §4; the closed form is derived in this package's documentation.
"""

from qra_jax.orbit.api import (
    dominance,
    hit,
    lines,
    log_hitting_time,
    log_transition_time,
    policy,
    solve,
)
from qra_jax.orbit.envelope import Dominance
from qra_jax.orbit.hitting import Hit

__all__ = [
    "Dominance",
    "Hit",
    "dominance",
    "hit",
    "lines",
    "log_hitting_time",
    "log_transition_time",
    "policy",
    "solve",
]
