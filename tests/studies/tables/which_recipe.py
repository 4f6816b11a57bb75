"""Mutations of `which-recipe`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.data._which import BOTH, FILTERED, HINTS, RL, SFT

FEW, MANY = "few", "many"


def _change(d, change):
    """The data with other pass@1; every network reaches every level."""
    return d.change("runs", pass1=change, stopped=lambda x: 0 * x + 1)


def _ends(d, **ends):
    """The last pass@1 of some arms is such and such at each level, with a little scatter over seeds."""

    def change(x):
        x = x.copy()
        for level, arm, values in _levels(x, ends["arms"]):
            ripple = 1e-4 * np.sin(np.arange(x.sizes["seed"]) + len(arm))
            x[{"arm": x.arm.values.tolist().index(arm), "level": level, "mark": -1}] = values + ripple
        return x

    return _change(d, change)


def _levels(x, arms):
    """Level, arm and its value there: between those of the list, from the lowest level to the highest."""
    for arm, values in arms.items():
        places = np.linspace(0, len(values) - 1, x.sizes["level"])
        for level, value in enumerate(np.interp(places, np.arange(len(values)), values)):
            yield level, arm, value


def _few(recipe):
    return f"{recipe}, {FEW}"


def _many(recipe):
    return f"{recipe}, {MANY}"


LOW, MIDDLE, HIGH, RISING = [0.1], [0.5], [0.9], [0.1, 0.9]
ONE = {"open": lambda d: d.select("runs", seed=slice(1))}


def _start(d, value):
    """The base's pass@1, at every level."""

    def change(x):
        x = x.copy()
        x[{"mark": 0}] = (value + 1e-4 * np.sin(np.arange(x.sizes["seed"])))[None, None]
        return x

    return _change(d, change)


TABLE = {
    "changes": ONE
    | {
        "holds": lambda d: _start(_ends(d, arms={RL: RISING, _few(SFT): MIDDLE, _many(SFT): HIGH}), 0.01),
        "fails": lambda d: _ends(d, arms={RL: LOW, FILTERED: LOW, _few(SFT): HIGH}),
    },
    "beats": ONE
    | {
        "holds": lambda d: _start(_ends(d, arms={RL: HIGH, _many(SFT): MIDDLE}), 0.01),
        "fails": lambda d: _ends(d, arms={RL: LOW, _many(SFT): HIGH}),
    },
    "both": ONE
    | {
        "holds": lambda d: _start(_ends(d, arms={RL: LOW, _few(SFT): LOW, _few(BOTH): HIGH}), 0.01),
        "fails": lambda d: _ends(d, arms={RL: HIGH, _few(SFT): LOW, _few(BOTH): LOW}),
    },
    "hints": ONE
    | {
        "holds": lambda d: _start(_ends(d, arms={RL: MIDDLE, _few(HINTS): HIGH}), 0.01),
        "fails": lambda d: _ends(d, arms={RL: HIGH, _few(HINTS): LOW}),
    },
    "harm": ONE
    | {
        "holds": lambda d: _start(_ends(d, arms={_few(SFT): LOW, _many(SFT): HIGH}), 0.5),
        "fails": lambda d: _start(_ends(d, arms={_few(SFT): HIGH, _many(SFT): HIGH}), 0.5),
    },
    "clock": ONE
    | {
        "holds": lambda d: _start(_ends(d, arms={RL: HIGH, FILTERED: MIDDLE}), 0.01),
        "fails": lambda d: _ends(d, arms={RL: LOW, FILTERED: HIGH}),
    },
    "reach": ONE
    | {
        "holds": lambda d: _gains(d, RL, [0.0, 0.2]),
        "fails": lambda d: _gains(d, RL, [0.2, -0.2]),
    },
}


def _gains(d, arm, gains):
    """An arm gains so much at each level at every mark; SFT on a dozen gains much at the lowest level alone."""

    def change(x):
        x = 0 * x + 0.3
        ripple = 1e-4 * np.sin(np.arange(x.sizes["seed"]))
        for level, name, much in _levels(x, {arm: gains, _few(SFT): [0.4, -0.2]}):
            at = {"arm": x.arm.values.tolist().index(name), "level": level, "mark": slice(1, None)}
            x[at] = (0.3 + much + ripple)[:, None]
        return x

    return _change(d, change)
