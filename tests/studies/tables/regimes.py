"""Mutations of `regimes`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.regimes.regimes import WORKED


def _late(change):
    """Other shares off the best pattern at the last time, of every problem but the worked example."""

    def mutate(data):
        rest = data.paths.log_rest.copy()
        rest[{"late": -1}] = change(rest[{"late": -1}])
        return data.change("paths", log_rest=rest)

    return mutate


def _rises_at_once(data):
    """The worked example as one whose best pattern never falls."""
    policy = data.paths.policy.copy()
    policy.loc[{"problem": WORKED}] = policy.sel(problem=WORKED, time=policy.time[-1])
    return data.change("paths", policy=policy)


def _falls(*, every):
    """Problems of Regime 2 that all fall at first; or every second of them, whatever the masses."""

    def mutate(data):
        entangled = data.survey.entangled.values
        chosen = np.arange(entangled.shape[1]) % every == 0
        return data.change("survey", first=np.where(entangled & chosen, -1.0, 1.0))

    return mutate


def _few(data):
    return data.select("survey", seed=slice(2))


def _blind(data):
    return data.change("paths", policy=float("nan"))


TABLE = {
    "rises": {"fails": lambda d: d.change("survey", least=-1.0), "open": _few},
    "rate": {
        "fails": _late(lambda rest: rest + 1),
        "open": lambda d: d.change("paths", log_rest=float("nan")),
    },
    "constant": {
        "fails": _late(lambda rest: rest + 0.02),
        "open": lambda d: d.change("paths", log_rest=float("nan")),
    },
    "transition": {"fails": _rises_at_once, "open": _blind},
    "one-rival": {
        "holds": _falls(every=1),
        "fails": _falls(every=2),
        "open": lambda d: _few(_falls(every=1)(d)),
    },
    "any-rivals": {
        "holds": _falls(every=1),
        "fails": _falls(every=2),
        "open": lambda d: _few(_falls(every=1)(d)),
    },
}
