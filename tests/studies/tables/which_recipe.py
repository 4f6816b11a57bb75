"""Mutations of `which-recipe`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.data._which import BOTH, FILTERED, HINTS, RL, SFT

FEW, MANY = "few", "many"


def _ends(d, **ends):
    """The last pass@1 of some arms is such and such at each level, with a little scatter over seeds."""

    def change(x):
        x = x.copy()
        for level in range(x.sizes["level"]):
            for arm, values in ends["arms"].items():
                ripple = 1e-4 * np.sin(np.arange(x.sizes["seed"]) + len(arm))
                at = {"arm": x.arm.values.tolist().index(arm), "level": level, "mark": -1}
                x[at] = values[level] + ripple
        return x

    return d.change("runs", pass1=change)


def _few(recipe):
    return f"{recipe}, {FEW}"


def _many(recipe):
    return f"{recipe}, {MANY}"


LOW, HIGH = [0.1] * 5, [0.9] * 5
RISING = [0.1, 0.2, 0.5, 0.8, 0.9]
ONE = {"open": lambda d: d.select("runs", seed=slice(1))}


def _start(d, values):
    """The base's pass@1 at each level."""

    def change(x):
        x = x.copy()
        for level, value in enumerate(values):
            x[{"level": level, "mark": 0}] = value + 1e-4 * np.sin(np.arange(x.sizes["seed"]))
        return x

    return d.change("runs", pass1=change)


TABLE = {
    "changes": ONE
    | {
        "holds": lambda d: _start(
            _ends(d, arms={RL: RISING, _few(SFT): [0.5] * 5, _many(SFT): HIGH}), [0.01] * 5
        ),
        "fails": lambda d: _ends(d, arms={RL: LOW, FILTERED: LOW, _few(SFT): HIGH}),
    },
    "beats": ONE
    | {
        "holds": lambda d: _start(_ends(d, arms={RL: HIGH, _many(SFT): [0.5] * 5}), [0.01] * 5),
        "fails": lambda d: _ends(d, arms={RL: LOW, _many(SFT): HIGH}),
    },
    "both": ONE
    | {
        "holds": lambda d: _start(_ends(d, arms={RL: LOW, _few(SFT): LOW, _few(BOTH): HIGH}), [0.01] * 5),
        "fails": lambda d: _ends(d, arms={RL: HIGH, _few(SFT): LOW, _few(BOTH): LOW}),
    },
    "hints": ONE
    | {
        "holds": lambda d: _start(_ends(d, arms={RL: [0.5] * 5, _few(HINTS): HIGH}), [0.01] * 5),
        "fails": lambda d: _ends(d, arms={RL: HIGH, _few(HINTS): LOW}),
    },
    "harm": ONE
    | {
        "holds": lambda d: _start(_ends(d, arms={_few(SFT): LOW, _many(SFT): HIGH}), [0.5] * 5),
        "fails": lambda d: _start(_ends(d, arms={_few(SFT): HIGH, _many(SFT): HIGH}), [0.5] * 5),
    },
    "clock": ONE
    | {
        "holds": lambda d: _start(_ends(d, arms={RL: HIGH, FILTERED: [0.5] * 5}), [0.01] * 5),
        "fails": lambda d: _ends(d, arms={RL: LOW, FILTERED: HIGH}),
    },
    "reach": ONE
    | {
        "holds": lambda d: _gains(d, RL, [0.0, 0.1, 0.2, 0.2, 0.2]),
        "fails": lambda d: _gains(d, RL, [0.2, 0.2, 0.2, -0.2, -0.2]),
    },
}


def _gains(d, arm, gains):
    """An arm gains so much at each level at every mark; SFT on a dozen gains much at the lowest level."""

    def change(x):
        x = x.copy()
        ripple = 1e-4 * np.sin(np.arange(x.sizes["seed"]))
        for level, gain in enumerate(gains):
            x[{"level": level}] = 0.3 + 0 * x[{"level": level}]
            for name, much in ((arm, gain), (_few(SFT), 0.4 if level == 0 else -0.2)):
                for mark in range(1, x.sizes["mark"]):
                    x[{"arm": x.arm.values.tolist().index(name), "level": level, "mark": mark}] = (
                        0.3 + much + ripple
                    )
        return x

    return d.change("runs", pass1=change)
