"""Mutations of `circuits`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.weights.circuits import COOLED, LOUDER, MUTE, NOISE, SAME_TEXT, TUNED


def risen(**rises):
    """All measures of these networks exceed those of the base by so much, almost the same for all bases."""
    names = {"tuned": TUNED, "cooled": COOLED, "same_text": SAME_TEXT, "louder": LOUDER}
    by = {NOISE: 1.5, MUTE: -0.7} | {names[key]: value for key, value in rises.items()}

    def change(data):
        seen = data.runs.seen
        level = 1.0 + 1e-3 * np.sin(np.arange(seen.size).reshape(seen.shape))
        made = seen.copy(data=level)
        for network, value in by.items():
            made.loc[{"network": network}] += value
        return data.change("runs", seen=made)

    return change


def few(data):
    return data.select("runs", seed=slice(2))


def turned(name):
    return {"holds": risen(**{name: 0.5}), "fails": risen(), "open": few}


TABLE = {
    "stronger": turned("tuned"),
    "diverse": turned("tuned"),
    "even": turned("tuned"),
    "preferred": {"holds": risen(), "fails": risen(tuned=0.5), "open": few},
    "matched": turned("cooled"),
    "same-text": turned("same_text"),
    "louder": turned("louder"),
}
