"""Mutations of `injection`: what its claims would say of other data."""

import numpy as np

ARMS = ["vanilla", "injected", "shuffled", "four procedures", "short"]


def _noise(x, size=2e-4, seed=0):
    return size * np.random.default_rng(seed).standard_normal(x.shape)


def _base(step, given="formula"):
    """Steps in which rollouts and kernels are the same in all bases, and changes go with a part of the formula."""

    def mutate(d):
        x, draw = d.steps, np.random.default_rng(1)
        number, asked = x.sizes["question"], x.sizes["asked"]
        rate = draw.choice([0.001, 0.3, 0.5, 0.999], number)
        kernel, own = draw.standard_normal(number), draw.standard_normal(asked)
        spread = np.sqrt(rate * (1 - rate))
        gain = {"formula": spread**2 * kernel, "not": -(spread**2) * kernel}[step]
        made = {"formula": spread[:asked] * own, "not": -spread[:asked] * own}[given]
        return d.change(
            "steps",
            rate=rate,
            accuracy=rate,
            kernel=kernel,
            given_kernel=own,
            gain=lambda v: v.copy(data=gain + spread * _noise(v, 0.01)),
            given=lambda v: v.copy(data=made + _noise(v, 0.01)),
            own_given=lambda v: v.copy(data=made + _noise(v, 0.01, seed=1)),
        )

    return mutate


def _run(goes):
    """Runs after these whose gain goes with the formula, or with 1 − a."""

    def mutate(d):
        d = _base("formula")(d)
        x = d.steps.sel(arm="four procedures").isel(seed=0)
        part = {"formula": np.sqrt(x.rate * (1 - x.rate)) * x.kernel, "room": 1 - x.rate}[goes].values

        def path(v):
            return v.copy(data=part * np.arange(v.sizes["step"])[:, None] + _noise(v, 0.01))

        return d.change("runs", exact=path)

    return mutate


def _accuracies(**ends):
    """Accuracies of all arms: .3 after SFT, as given after RL, with a little scatter."""

    def mutate(d):
        def change(x):
            values = np.full(x.shape, 0.3)
            for arm, end in ends.items():
                values[ARMS.index(arm), :, -1] = end
            return x.copy(data=values + _noise(x[:, :, :, :1]))

        flat = d.change(
            "runs", more_accuracy=lambda x: x.copy(data=np.full(x.shape, 0.32) + _noise(x[:, :, :1], seed=1))
        )
        return flat.change("runs", accuracy=change)

    return mutate


def _parts(selected):
    """Gains after injection by selection alone, or by success rates alone; after plain ones by success rates."""

    def mutate(d):
        def used(x):
            values = np.full(x.shape, 0.25)
            if selected:
                values[1, :, -1] = [0.1, 0.1, 0.1, 0.7]
            return x.copy(data=values + _noise(x, seed=1))

        def success(x):
            values = np.broadcast_to([0.1, 0.2, 0.3, 0.9], x.shape) + _noise(x)
            rises = [0, 2, 3] if selected else [0, 1, 2, 3]
            values = values.copy()
            values[rises, :, -1] += 0.1
            return x.copy(data=values)

        return d.change("runs", used=used, success=success)

    return mutate


def _co(injected):
    def change(x):
        values = np.full(x.shape, 1.0) + _noise(x, 0.01)
        values[0] = 1 + 0.01 * np.sin(np.arange(x.shape[1]) * 2)
        values[1] += injected
        return x.copy(data=values)

    def mutate(d):
        return d.change("steps", co=change)

    return mutate


def _few(*names):
    def mutate(d):
        for name in names:
            d = d.select(name, seed=slice(1))
        return d

    return mutate


STEP, RUN, BOTH = _few("steps"), _few("runs"), _few("steps", "runs")
TABLE = {
    "step": {"fails": _base("not"), "open": STEP},
    "product": {"fails": _base("not"), "open": STEP},
    "gives": {"fails": _base("formula", "not"), "open": STEP},
    "middle": {"fails": _base("formula"), "open": STEP},
    "carries": {"fails": _base("formula"), "open": STEP},
    "lasts": {"fails": _run("room"), "open": BOTH},
    "headroom": {"holds": _run("room"), "fails": _run("formula"), "open": BOTH},
    "gain": {
        "holds": _accuracies(vanilla=0.4, injected=0.9, shuffled=0.4),
        "fails": _accuracies(vanilla=0.9, injected=0.4, shuffled=0.4),
        "open": RUN,
    },
    "room": {
        "holds": _accuracies(vanilla=0.4, injected=0.9, shuffled=0.4, short=0.4),
        "fails": _accuracies(vanilla=0.4, injected=0.4, shuffled=0.4, short=0.9),
        "open": RUN,
    },
    "content": {
        "holds": _accuracies(vanilla=0.4, injected=0.9, shuffled=0.4),
        "fails": _accuracies(vanilla=0.4, injected=0.5, shuffled=0.9),
        "open": RUN,
    },
    "ends": {
        "holds": _accuracies(vanilla=0.4, injected=0.9, shuffled=0.4),
        "fails": _accuracies(vanilla=0.9, injected=0.5, shuffled=0.4),
        "open": RUN,
    },
    "selects": {"holds": _parts(True), "fails": _parts(False), "open": RUN},
    "influences": {"fails": _co(-0.5), "open": STEP},
}
