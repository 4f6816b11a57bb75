"""Where does GRPO end if every round is trained to convergence: at a fixed point, in a cycle, or at 1?

With rewards standardised under the previous policy and a KL term to a fixed reference, to the previous policy (mirror)
or to both (mixed, weight α of the fixed one), each round has a closed-form optimum. For answers that are right or wrong
for sure the logit z of the success probability then follows z → α z_ref + (1 − α) z + 2 cosh(z/2)/β.

For a fixed reference this map has one hump and a negative Schwarzian derivative, so that there is at most one attractor
short of ρ = 1, and the point ρ = ½ is drawn to it if it exists. Its boundaries are closed forms: the fold, below which
there is no fixed point and every run goes to 1, and the flips, between which rounds overshoot for ever. The first round
from π_ref goes where −z_ref goes, which may lie beyond the upper fixed point though another one attracts. A mixture has
the fixed points of the fixed reference at αβ and is stable there for α < 2/(1 − F').

The experiments repeat rounds over a map of ρ_ref and β, and one per cent on either side of every boundary; exact policy
iteration, π_n ∝ π_ref^α π_{n−1}^{1−α} exp(A/β), of patterns that are right for sure and of patterns that are right
sometimes; and the gradient flow, which shares the fixed points and does not overshoot.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from qra_jax import flow, metrics, plot, theory
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem, examples
from qra_jax.regularizer import reverse_kl
from qra_jax.studies import papers
from qra_jax.studies.lab import Asked, Data, Derived, Run, Study, dataset, exact, explained, mean, panels, scale, somewhere

study = Study(__name__, title="Policy iteration: rounds of GRPO settle, cycle, turn chaotic or run to 1")

RHOS, RARE, CYCLE, KAPPA = [0.6, 0.001], 0.001, 5.0, 1.5
"""ρ_ref of two slices; ρ_ref, β and αβ of the runs that compare ways of regularising."""
ANCHORS = {1.0: "fixed reference", 0.5: "both, α = ½, same αβ", 0.0: "mirror"}
SATURATING, STILL = 1e-5, 1e-3
"""ε > 0 where one is used; swing of the last rounds, in logits, below which a run is at rest."""
BOUNDARIES = [*(f"fold at ρ_ref = {r:g}" for r in (0.05, 0.3, 0.6, 0.9)),
    *(f"{side} flip at ρ_ref = {r:g}" for r in (0.001, 0.003, 0.008) for side in ("lower", "upper")),
    *(f"mixture at αβ = {k:g}" for k in (1.0, 1.5, 5.0))]  # fmt: skip


def _logit(rho: float | np.ndarray) -> np.ndarray:
    return np.asarray(np.log(rho) - np.log1p(-np.asarray(rho)))


def _rows(function: Callable, rows: dict[str, tuple]) -> dict[str, list[np.ndarray]]:
    """A function of numbers over several tables of arguments that broadcast, in one program."""
    tables = {name: np.broadcast_arrays(*(np.asarray(x, float) for x in row)) for name, row in rows.items()}
    flat = [np.concatenate([table[i].ravel() for table in tables.values()]) for i in range(len(next(iter(rows.values()))))]
    results = [np.asarray(x) for x in jax.jit(jax.vmap(function))(*flat)]
    out, start = {}, 0
    for name, table in tables.items():
        out[name] = [x[start : start + table[0].size].reshape(*table[0].shape, *x.shape[1:]) for x in results]
        start += table[0].size
    return out
