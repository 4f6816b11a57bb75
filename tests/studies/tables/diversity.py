"""Mutations of `diversity`: what its claims would say of other data."""

import numpy as np


def _slow(h):
    """GRPO three times as slow."""
    h = h.copy()
    slow = h.sel(algorithm="GRPO").interp(s=h.s / 3)
    h.loc[{"algorithm": "GRPO"}] = slow.assign_coords(s=h.s)
    return h


TABLE = {
    "rate": {
        "fails": lambda d: d.change("runs", slope=lambda x: 1.6 * x),
        "open": lambda d: d.select("runs", batch=slice(2)),
    },
    "curve": {
        "fails": lambda d: d.change("runs", h=_slow),
        "open": lambda d: d.change("runs", h=np.nan),
    },
}
