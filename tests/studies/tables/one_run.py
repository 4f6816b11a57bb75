"""Mutations of `one-run`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.weights.one_run import BEYOND


def made(off=0.0, beyond=0.0, apart=0.0, again=0.0):
    """Every measure of a run is so far from its null, some further, those of SFT from GRPO's, a second null so far."""

    def change(data):
        runs = data.runs
        seed, arm = np.arange(runs.sizes["seed"])[:, None], np.arange(runs.sizes["arm"])[:, None, None]
        wave = lambda shift: 1e-3 * np.sin(seed + shift + np.arange(runs.sizes["measure"]))  # noqa: E731
        null = np.broadcast_to(0.4 + wave(0), runs.null.shape)
        more = beyond * np.isin(runs.measure.values, BEYOND)
        return data.change(
            "runs",
            null=null + wave(1) * arm,
            again=null + again + wave(2),
            run=null + off + more + apart * arm + wave(3) * (1 + arm),
        )

    return change


def few(data):
    return data.select("runs", seed=slice(2))


TABLE = {
    "as-noise": {"holds": made(beyond=0.3), "fails": made(0.3, beyond=0.3), "open": few},
    "beyond-noise": {"holds": made(beyond=0.3), "fails": made(), "open": few},
    "alike": {"holds": made(0.3), "fails": made(apart=0.3), "open": few},
}
SHOWN = {"as-noise": made(), "beyond-noise": made(beyond=0.3, again=0.3)}
"""Data in which a claim would hold, but its null control shows the same."""
