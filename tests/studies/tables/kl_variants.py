"""Mutations of `kl-variants`: what its claims would say of other data."""

import numpy as np


def _reverse(experiment, name):
    """Runs under k3 that do what those under reverse KL do."""

    def change(data):
        values = data[experiment][name].copy()
        values.loc[{"k3": 1}] = values.sel(k3=0).values
        return data.change(experiment, **{name: values})

    return change


TABLE = {
    "forward": {"fails": _reverse("ends", "end"), "open": lambda d: d.change("ends", end=np.nan)},
    "samples": {"fails": _reverse("sampled", "end"), "open": lambda d: d.select("sampled", seed=slice(3))},
    "half": {
        "fails": lambda d: d.change("rare", end=lambda share: 0.8 * share),
        "open": lambda d: d.change("rare", end=np.nan),
    },
    "back": {"fails": _reverse("lost", "time"), "open": lambda d: d.change("lost", time=np.nan)},
}
