"""Mutations of `kl-references`: what its claims would say of other data."""

import numpy as np


def _cycles(data):
    """Mixtures that swing below the threshold, too."""
    late = data.mixtures.late.copy()
    late[{"last": 0}] = late[{"last": 0}] + np.where(late.anchor > 0.5, 1.0, 0.0)
    return data.change("mixtures", late=late)


TABLE = {
    "recursion": {
        "fails": lambda d: d.change("policies", off=lambda off: off + 1e-6),
        "open": lambda d: d.change("policies", off=np.nan),
    },
    "gains": {
        "fails": lambda d: d.change("policies", gain=1.0),
        "open": lambda d: d.select("policies", seed=slice(3)),
    },
    "flow-rests": {
        "fails": lambda d: d.change("flows", logit=lambda z: z + 0.01),
        "open": lambda d: d.change("flows", logit=np.nan),
    },
    "mixed": {"fails": _cycles, "open": lambda d: d.change("mixtures", limit=np.nan)},
    "mirror": {
        "fails": lambda d: d.change("ways", path=0.0),
        "open": lambda d: d.change("ways", path=np.nan),
    },
}
