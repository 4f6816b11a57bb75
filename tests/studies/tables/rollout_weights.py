"""Mutations of `rollout-weights`: what its claims would say of other data."""


def _plain(accuracy):
    return accuracy - 0.8 * accuracy * (accuracy.credit == "rare success")


def _better(accuracy):
    return accuracy + (1 - accuracy) * 0.5 * (accuracy.credit == "rare success")


def _few(data):
    return data.select("trained", seed=slice(2)).select("resting", seed=slice(2))


TABLE = {
    "raises": {
        "fails": lambda d: d.change("trained", accuracy=_plain),
        "open": _few,
    },
    "pays": {
        "fails": lambda d: d.change("trained", accuracy=_better),
        "open": lambda d: d.select("trained", seed=slice(2)),
    },
    "sampled": {
        "holds": lambda d: d.change("trained", accuracy=_better),
        "fails": lambda d: d.change("trained", accuracy=_plain),
        "open": lambda d: d.select("trained", seed=slice(2)),
    },
    "at-once": {
        "fails": lambda d: d.change("lengths", found=0.0),
        "open": lambda d: d.select("lengths", seed=slice(8)),
    },
}
