"""Mutations of `verifiers`: what its claims would say of other data."""


def _costly(accuracy):
    return accuracy - 0.05 * (accuracy.noise == "both")


def _by_alarms(accuracy):
    return accuracy + 0.05 * ((accuracy.noise == "false positives") & (accuracy.algorithm == "GRPO"))


TABLE = {
    "fifteen": {
        "fails": lambda d: d.change("budgets", accuracy=_costly),
        "open": lambda d: d.select("budgets", seed=slice(3)),
    },
    "precision": {
        "fails": lambda d: d.change("budgets", accuracy=_by_alarms),
        "open": lambda d: d.select("budgets", seed=slice(3)),
    },
    "starves": {
        "fails": lambda d: d.change("opinions", base=lambda x: 0.5 * x),
        "open": lambda d: d.select("opinions", seed=slice(3)),
    },
    "singles": {
        "fails": lambda d: d.change("opinions", first=lambda x: 0.5 * x),
        "open": lambda d: d.select("opinions", seed=slice(3)),
    },
}
