"""Mutations of `edge-of-competence`: what its claims would say of other data."""

import numpy as np
import xarray as xr

from qra_jax.studies.data._edge_evidence import chained


def _ripple(x):
    return 1e-3 * np.sin(np.arange(x.size)).reshape(x.shape)


def _passed(levels, rest=0.3):
    """Pass@k of each arm, or of each arm and test, or of arm, test and whether k is the largest."""

    def change(x):
        found = x.copy(data=np.full(x.shape, rest))
        for place, level in levels.items():
            arm, test, k = (*place, None, None)[:3]
            here = x.arm == arm
            here = here & (x.test == test) if test else here
            here = here & ((x.k == x.k[-1]) if k == "most" else (x.k == x.k[0])) if k else here
            found = found.where(~here, level)
        return (found.transpose(*x.dims) + _ripple(x)).transpose(*x.dims)

    return change


def _bands(levels, **others):
    return lambda d: d.change("bands", passed=_passed(levels), **others)


def _exposed(gains):
    """Pass@k after RL in the second context, by exposure; none otherwise."""

    def change(x):
        gain = x.exposure.copy(data=np.array(gains))
        after = (x.stage == "then RL on both").astype(float)
        return (x.copy(data=0.3 + _ripple(x)) + gain * after).transpose(*x.dims)

    return lambda d: d.change("contexts", passed=change)


def _quiet(level):
    return lambda x: x.copy(data=np.full(x.shape, level) + _ripple(x) / 10)


LINKED = float(chained(xr.DataArray(0.5), (5, 6), (5, 6)))
"""Pass@1 on 5–6 of a chain that has half of its lines right."""
OPEN = {"open": lambda d: d.change("bands", passed=np.nan)}
EDGE = {
    "holds": _bands({("RL 5–6",): 0.6, ("SFT 5–6",): 0.6}),
    "fails": _bands({("SFT 5–6",): 0.6}),
} | OPEN
TABLE = {
    "edge": EDGE,
    "only": {
        "holds": _bands({("RL 4–5",): 0.6, ("RL 5–6",): 0.6}),
        "fails": _bands({("RL 3–4",): 0.6, ("RL 8–9",): 0.6, ("RL 4–5",): 0.6, ("RL 5–6",): 0.6}),
    }
    | OPEN,
    "inside": {
        "holds": _bands({("RL 3–4", "2–4", "least"): 0.6}),
        "fails": _bands({}),
    }
    | OPEN,
    "silent": {
        "holds": _bands({("RL 5–6",): 0.6}, silent=lambda x: _quiet(0.995)(x).where(x.band == "8–9", 0.4)),
        "fails": _bands({("RL 5–6",): 0.6}, silent=_quiet(0.5)),
    }
    | OPEN,
    "beyond": {
        "holds": _bands({("RL 5–6",): 0.6, ("SFT 8–9",): 0.6}),
        "fails": _bands({("SFT 8–9",): 0.6}),
    }
    | OPEN,
    "needed": {
        "holds": _bands({("RL 5–6",): 0.6, ("SFT 5–6",): 0.45, ("base, again",): 0.3}),
        "fails": _bands({("SFT 5–6",): 0.6}),
    }
    | OPEN,
    "process": {
        "holds": _bands({("RL 5–6",): 0.6, ("base, again",): 0.2}),
        "fails": _bands({("RL 5–6, by the answer",): 0.6}),
    }
    | OPEN,
    "exposure": {
        "holds": _exposed([0.0, 0.0, 0.3, 0.3]),
        "fails": _exposed([0.3, 0.3, 0.3, 0.3]),
        "open": lambda d: d.change("contexts", passed=np.nan),
    },
    "chain": {
        "holds": lambda d: d.change(
            "bands", passed=_passed({}, LINKED), line=lambda x: x.copy(data=0.5 + _ripple(x))
        ),
        "fails": lambda d: d.change(
            "bands", passed=_passed({}, 0.6), line=lambda x: x.copy(data=0.5 + _ripple(x))
        ),
    }
    | OPEN,
}
