"""Mutations of `coverage`: what its claims would say of other data."""

import numpy as np


def _told(questions):
    better = questions.questions.isel(spread=0, drop=True).sel(time=30.0, drop=True)
    return questions.change("questions", coverage=((better.sft > better.rl) + 0.5).expand_dims(spread=[1.0]))


def _untold(questions):
    return questions.change("questions", coverage=questions.questions.another)


def _as_sft(loss):
    ripple = 1 + 1e-3 * np.sin(np.arange(loss.size)).reshape(loss.shape)
    return (0 * loss + loss.sel(kind="SFT", drop=True)) * ripple


def _later(loss):
    return loss * (loss.rate / 100) ** (2 * (loss["size"] > 8) * (loss.kind == "SFT"))


TABLE = {
    "decides": {"holds": _told, "open": lambda d: d.select("questions", seed=slice(40))},
    "tells": {"fails": _untold, "open": lambda d: d.select("questions", seed=slice(40))},
    "variance": {
        "fails": lambda d: d.change("rates", loss=_as_sft),
        "open": lambda d: d.select("rates", seed=slice(2)),
    },
    "norm": {
        "fails": lambda d: d.change("rates", loss=_later),
        "open": lambda d: d.select("rates", seed=slice(2)),
    },
}
