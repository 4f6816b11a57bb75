"""Mutations of `interleave`: what its claims would say of other data."""

import numpy as np

RL, FIRST, BETWEEN = "RL alone", "SFT on unsolved, then RL", "interleaved"


def _set(**ways):
    """Expected accuracies of methods as functions of what they were, in all settings."""

    def mutate(data):
        accuracy = data.settings.accuracy.copy()
        for name, value in ways.items():
            accuracy.loc[{"way": {"between": BETWEEN, "first": FIRST, "alone": RL}[name]}] = value
        return data.change("settings", accuracy=accuracy)

    return mutate


def _early(data):
    """SFT first ends as high as interleaving does, but for gates of 8 and less."""
    between = data.settings.accuracy.sel(rival="no rival", overlap="apart", way=BETWEEN, drop=True)
    ripple = 1e-3 * np.sin(np.arange(between.sizes["population"]))
    return data.change(
        "gates", accuracy=lambda x: 0 * x + between - np.where(x.gate > 8, 0, 0.2)[:, None] + ripple
    )


def _few(data):
    """Two populations."""
    for name in ("settings", "gates", "quality"):
        data = data.select(name, population=slice(2))
    return data


TABLE = {
    "relift": {"holds": _set(between=1.2), "fails": _set(between=0.0), "open": _few},
    "before": {"holds": _set(between=1.2), "fails": _set(between=0.0), "open": _few},
    "choice": {"holds": _set(first=1.2), "fails": _set(first=0.0), "open": _few},
    "timing": {"holds": _set(between=1.2), "fails": _set(between=0.0), "open": _few},
    "take-over": {"holds": _early, "fails": lambda d: d.change("gates", accuracy=0.0), "open": _few},
    "every-step": {
        "holds": lambda d: d.change("quality", every=lambda x: x.where(x.share == 1, -0.2)),
        "fails": lambda d: d.change("quality", every=1.0),
        "open": _few,
    },
    "rest": {
        "fails": lambda d: d.change("quality", off=0.1),
        "open": lambda d: d.change("quality", off=np.nan),
    },
    "sampled": {"fails": lambda d: d.change("settings", sampled=lambda x: x + 0.1), "open": _few},
}
