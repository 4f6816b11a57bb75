"""Mutations of `transformer-selection`: what its claims would say of other data."""

import numpy as np
import xarray as xr


def _on_orbit(data, arm="SGD", curve="softmax", speed=(0.5, 0.5), power=1.0):
    """Networks of an arm that run along an orbit, at a time that is a power of the step, at a speed for each start."""
    runs, orbits = data.runs, data.orbits[curve]
    policy = runs.policy.copy()
    for start, pace in zip(runs.start.values, speed, strict=True):
        time = pace * runs.step.values**power * (160.0 ** (1 - power))
        path = (
            orbits.sel(start=start).interp(time=np.minimum(time, 9e3)).drop_vars("time").rename(time="step")
        )
        jitter = 1 + 1e-3 * np.random.default_rng(0).standard_normal(path.shape)
        policy.loc[{"arm": arm, "start": start}] = (path * jitter).broadcast_like(
            policy.sel(arm=arm, start=start)
        )
    return data.change("runs", policy=policy)


def _learnt(data, **changes):
    """The arm with learnt answers, changed."""
    new = {}
    for name, change in changes.items():
        values = data.runs[name].copy()
        values.loc[{"arm": "learnt"}] = change(values.sel(arm="learnt"))
        new[name] = values
    return data.change("runs", **new)


def _still(success):
    noise = 1e-4 * np.random.default_rng(0).standard_normal(success.shape)
    return success.isel(step=0).broadcast_like(success).transpose(*success.dims) + noise


def _moved(success):
    """Success rates that rise in the first half of training, and stay in the second."""
    rise = 0.4 * np.minimum(2 * success.step / success.step[-1], 1)
    return (_still(success) + rise).transpose(*success.dims)


def _winner(pattern):
    def change(policy):
        end = xr.where(policy.pattern == pattern, 0.98, 0.01)
        noise = 1e-3 * np.random.default_rng(0).standard_normal(policy.shape)
        return end.broadcast_like(policy).transpose(*policy.dims) + noise

    return change


def _turned(policy):
    """Shares that end far from where they start."""
    policy, end = policy.copy(), _winner("rival")(policy)
    policy[{"step": -1}] = end.isel(step=-1)
    return policy


def _going(others):
    """All questions go to the best pattern, those that are never asked a share of the way."""

    def change(policy):
        gone = policy.step / policy.step[-1] + 0 * policy.question
        last = policy.sizes["question"] - policy.sizes["question"] // 4
        gone[{"question": slice(last, None)}] = others * gone.isel(question=slice(last, None))
        path = (1 - gone) * policy.isel(step=0).mean("question") + gone * (policy.pattern == "best")
        noise = 1e-3 * np.random.default_rng(0).standard_normal(policy.shape)
        return path.transpose(*policy.dims) + noise

    return change


def _integral(value):
    def mutate(data):
        noise = 1 + 1e-3 * np.random.default_rng(0).standard_normal(data.orbits.integral.shape)
        return data.change("orbits", integral=value * noise)

    return mutate


def _timed(speeds):
    return lambda d: _on_orbit(_on_orbit(d, speed=speeds), "Adam", speed=(0.2, 0.6))


def _lost(data):
    return data.change("runs", policy=np.nan)


TABLE = {
    "path": {
        "holds": _on_orbit,
        "fails": lambda d: _on_orbit(d, curve="natural", speed=(0.05, 0.05)),
        "open": _lost,
    },
    "integral": {
        "holds": _integral(1.0),
        "fails": _integral(2.0),
        "open": lambda d: d.change("orbits", integral=np.nan),
    },
    "clock": {"holds": _timed((0.2, 0.2)), "fails": _timed((0.2, 0.6)), "open": _lost},
    "stay": {
        "holds": lambda d: _learnt(d, success=_still, policy=_turned),
        "fails": lambda d: _learnt(d, success=_moved, policy=_turned),
        "open": lambda d: d.change("runs", success=np.nan),
    },
    "wins": {
        "holds": lambda d: _learnt(d, policy=_winner("best")),
        "fails": lambda d: _learnt(d, policy=_winner("rival")),
        "open": _lost,
    },
    "carried": {
        "holds": lambda d: _learnt(d, policy=_going(0.95)),
        "fails": lambda d: _learnt(d, policy=_going(0.1)),
        "open": _lost,
    },
}
