"""Mutations of `circuits`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.weights._edges import (
    AGAIN,
    COOLED,
    LOUDER,
    MUTE,
    NOISE,
    OWN_TWIN,
    SAME_TEXT,
    THEIR_TEXT,
    TUNED,
    TWIN,
)
from qra_jax.studies.weights._twins import GRPO


def risen(*networks, after=None, noise=1.5, apart=0.0):
    """All measures of some networks exceed those of the base by .5, almost the same for all bases.

    Args:
      networks: their names.
      after: an arm; default: all of them.
      noise: by how much those on random tokens do.
      apart: how far all arms are from an equal gain.
    """

    def change(data):
        seen = data.runs.seen
        made = seen.copy(data=1.0 + 1e-3 * np.sin(np.arange(seen.size).reshape(seen.shape)))
        made.loc[{"network": NOISE}] += noise
        made.loc[{"network": MUTE}] -= 0.7
        for network in networks:
            made.loc[{"network": network} | ({"arm": after} if after else {})] += 0.5
        return data.change("runs", seen=made, apart=apart)

    return change


def few(data):
    return data.select("runs", seed=slice(2))


def turned(*networks):
    return {"holds": risen(*networks), "fails": risen(), "open": few}


FAR = 1.0
TABLE = {
    "stronger": turned(TUNED, COOLED),
    "diverse": turned(TUNED, COOLED),
    "even": turned(TUNED, COOLED),
    "preferred": {"holds": risen(), "fails": risen(TUNED), "open": few},
    "half-way": turned(TUNED) | {"open": risen(TUNED, apart=FAR)},
    "unlike-preferred": {
        "holds": risen(TUNED, after=GRPO),
        "fails": risen(),
        "open": risen(TUNED, after=GRPO, apart=FAR),
    },
    "matched": turned(COOLED),
    "same-text": turned(SAME_TEXT),
    "louder": turned(LOUDER),
}
SHOWN = {
    "stronger": risen(TUNED, COOLED, LOUDER),
    "diverse": risen(TUNED, COOLED, THEIR_TEXT),
    "even": risen(TUNED),
    "preferred": risen(noise=0.0),
    "half-way": risen(TUNED, OWN_TWIN),
    "unlike-preferred": risen(TUNED, OWN_TWIN, after=GRPO),
    "matched": risen(COOLED, AGAIN),
    "same-text": risen(SAME_TEXT, TWIN),
    "louder": risen(LOUDER, AGAIN),
}
"""Data in which a null control shows the effect, too."""
