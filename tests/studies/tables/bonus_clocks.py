"""Mutations of `bonus-clocks`: what its claims would say of other data."""

import numpy as np

TABLE = {
    "cancels": {
        "fails": lambda d: d.change("speeds", good=lambda x: x * (1 + x.bonus)),
        "open": lambda d: d.change("speeds", good=np.nan),
    },
    "bounded": {
        "fails": lambda d: d.change("speeds", tool=lambda x: 0 * x + 1 + x.bonus),
        "open": lambda d: d.change("speeds", tool=np.nan),
    },
}
