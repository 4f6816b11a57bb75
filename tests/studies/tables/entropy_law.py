"""Mutations of `entropy-law`: what its claims would say of other data."""

import numpy as np


def _obeys(of, noise=0.0):
    """Almost one course for all questions, on which accuracy is a straight line in a function of entropy."""

    def change(d):
        near = 1 + 1e-3 * np.sin(np.arange(d.runs.sizes["question"]))[:, None]
        h = np.broadcast_to(near * np.linspace(2, 0.1, d.runs.sizes["record"]), d.runs.entropy.shape)
        wiggle = noise * np.sin(40 * h)
        return d.change("runs", entropy=h, accuracy=1 - of(h) / 10 + wiggle)

    return change


def _unlike(d):
    """Accuracy obeys the law on every question, fast on every other one and slow on the rest."""
    time, turn = np.linspace(0, 1, d.runs.sizes["record"]), np.arange(d.runs.sizes["question"]) % 2
    h = 2 - 1.9 * time ** np.where(turn, 0.1, 10.0)[:, None]
    h = np.broadcast_to(h, d.runs.entropy.shape)
    return d.change("runs", entropy=h, accuracy=1 - np.exp(h) / 10)


def _few(d):
    return d.select("runs", question=slice(2))


def _unknown(d):
    return d.change("runs", accuracy=np.nan)


TABLE = {
    "averages": {"fails": _obeys(np.exp, 1.0), "open": _unknown},
    "form": {"fails": _obeys(lambda h: h), "holds": _obeys(np.exp), "open": _unknown},
    "single": {"holds": _unlike, "open": _few},
    "ceiling": {"holds": _obeys(np.exp), "open": _unknown},
}
