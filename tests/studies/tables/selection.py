"""Mutations of `selection`: what its claims would say of other data."""

import numpy as np


def _as_diverse(chosen):
    ripple = 1e-3 * np.sin(np.arange(chosen.size)).reshape(chosen.shape)
    return chosen * 0 + chosen.isel(arm=0, drop=True) + ripple


def _less(improved):
    return improved * (1 - 0.9 * improved.arm.str.contains("mirrored"))


def _sooner(half):
    return half - 5 * (half.arm == "diversity 1")


TABLE = {
    "diverse": {
        "fails": lambda d: d.change("parts", chosen=_as_diverse, improved=_as_diverse),
        "open": lambda d: d.select("parts", seed=slice(3)),
    },
    "harder": {
        "holds": lambda d: d.change("parts", improved=_less),
        "fails": lambda d: d.change("parts", improved=lambda x: x * (1 - 0.9 * x.arm.str.startswith("ease"))),
        "open": lambda d: d.select("parts", seed=slice(3)),
    },
    "first": {
        "holds": lambda d: d.change("parts", chosen_half=_sooner),
        "open": lambda d: d.select("parts", seed=slice(4)),
    },
    "filtered": {
        "fails": lambda d: d.change("held", apart=0.3),
        "open": lambda d: d.select("held", seed=slice(2)),
    },
    "likeliest": {
        "fails": lambda d: d.change("held", late=lambda x: x / 2),
        "open": lambda d: d.select("held", seed=slice(4)),
    },
    "nearer": {
        "fails": lambda d: d.change("sampled", apart=lambda x: x + 0.4 * (x.beta == 0.1)),
        "open": lambda d: d.select("sampled", seed=slice(2)),
    },
}
