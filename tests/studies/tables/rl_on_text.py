"""Mutations of `rl-on-text`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.data._text import BASE, BY_STD, MIXED, RL, SFT


def _ripple(x):
    return 1e-5 * np.sin(np.arange(x.size)).reshape(x.shape)


def _ramp(first, **last):
    """Values that go from the first to the last of each arm."""

    def change(x):
        level = x.arm.copy(data=[last.get(arm, first) for arm in x.arm.values])
        part = x.step / x.step.max()
        return (first + (level - first) * part + 0 * x).transpose(*x.dims) + _ripple(x)

    return change


def _level(other, **levels):
    """One value for each arm."""

    def change(x):
        level = x.arm.copy(data=[levels.get(arm, other) for arm in x.arm.values])
        return (level + 0 * x).transpose(*x.dims) + _ripple(x)

    return change


def _matched(d, **last):
    """Accuracies of the next segment that rise on the text in some arms, and never in RLVR."""
    return d.change("runs", text_match=_ramp(0.4, **last), after_match=_ramp(0.4))


def _greedy(d, level):
    best = d.change("runs", text_match=_ramp(0.4, **{RL: 0.6, BY_STD: 0.6}))
    return best.change("runs", text_greedy=_level(level))


def _away(own, mirrored):
    def change(x):
        level = x.curve.copy(data=[own, mirrored])
        return (level + 0 * x).transpose(*x.dims) + _ripple(x)

    return change


def _told(d, off):
    """Predictions that are off by so much from what is measured; those of the base by a half."""
    right = d.runs.after_right.isel(step=-1, drop=True).mean("question")
    told = right + off + 0.5 * (right.arm == BASE)
    return d.change("orbits", right=lambda x: told.transpose(*x.dims).values + _ripple(x))


TABLE = {
    "accuracy": {
        "holds": lambda d: _matched(d, **{RL: 0.6, BY_STD: 0.6}),
        "fails": lambda d: _matched(d),
        "open": lambda d: d.change("runs", text_match=np.nan),
    },
    "no-more": {
        "holds": lambda d: _greedy(d, 0.6),
        "fails": lambda d: _greedy(d, 0.5),
        "open": lambda d: d.change("runs", text_greedy=np.nan),
    },
    "diverges": {
        "holds": lambda d: d.change("runs", text_loss=_ramp(1.1, **{RL: 3.0, BY_STD: 3.0})),
        "fails": lambda d: d.change("runs", text_loss=_ramp(1.1)),
        "open": lambda d: d.change("runs", text_loss=np.nan),
    },
    "on-orbit": {
        "holds": lambda d: d.change("orbits", away=_away(0.02, 0.5)),
        "fails": lambda d: d.change("orbits", away=_away(0.3, 0.5)),
        "open": lambda d: d.change("orbits", away=np.nan),
    },
    "foundation": {
        "holds": lambda d: d.change("runs", after_right=_level(0.4, **{RL: 0.9})),
        "fails": lambda d: d.change("runs", after_right=_level(0.4, **{RL: 0.3})),
        "open": lambda d: d.change("runs", after_right=np.nan),
    },
    "more-than-tries": {
        "holds": lambda d: d.change("runs", after_right=_level(0.4, **{RL: 0.9, BASE: 0.0})),
        "fails": lambda d: d.change("runs", after_right=_level(0.4)),
        "open": lambda d: d.change("runs", after_right=np.nan),
    },
    "covers": {
        "holds": lambda d: d.change("runs", after_right=_level(0.1, **{RL: 0.01})),
        "fails": lambda d: d.change("runs", after_right=_level(0.1, **{RL: 0.2})),
        "open": lambda d: d.change("runs", after_right=np.nan),
    },
    "predicts": {
        "holds": lambda d: _told(d.change("runs", after_right=_level(0.4, **{RL: 0.3})), 0.02),
        "fails": lambda d: _told(d, 0.3),
        "open": lambda d: d.change("orbits", right=np.nan),
    },
    "mixed-keeps": {
        "holds": lambda d: d.change("runs", after_right=_level(0.4, **{RL: 0.3, SFT: 0.9, MIXED: 0.9})),
        "fails": lambda d: d.change("runs", after_right=_level(0.4, **{RL: 0.3, SFT: 0.9, MIXED: 0.3})),
        "open": lambda d: d.change("runs", after_right=np.nan),
    },
}
