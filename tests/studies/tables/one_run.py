"""Mutations of `one-run`: what its claims would say of other data."""

import numpy as np


def made(off, apart=0.0, again=0.0):
    """Every measure of a run is so far from its null, that of SFT so far from that of GRPO, a second null so far."""

    def change(data):
        runs = data.runs
        seed, arm = np.arange(runs.sizes["seed"])[:, None], np.arange(runs.sizes["arm"])[:, None, None]
        wave = lambda shift: 1e-3 * np.sin(seed + shift + np.arange(runs.sizes["measure"]))  # noqa: E731
        null = np.broadcast_to(0.4 + wave(0), runs.null.shape)
        return data.change(
            "runs",
            null=null + wave(1) * arm,
            again=null + again + wave(2),
            run=null + off + apart * arm + wave(3) * (1 + arm),
        )

    return change


def few(data):
    return data.select("runs", seed=slice(2))


TABLE = {
    "reinforced": {"holds": made(0.0), "fails": made(0.3), "open": few},
    "supervised": {"holds": made(0.0), "fails": made(0.3), "open": few},
    "alike": {"holds": made(0.3), "fails": made(0.0, 0.3), "open": few},
}
SHOWN = {}
"""No claim has a null control: each is the comparison with one."""
