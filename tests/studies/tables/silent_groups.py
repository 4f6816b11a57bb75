"""Mutations of `silent-groups`: what its claims would say of other data."""

from qra_jax.studies.runs._silence import BETA, CORRECTED, MEAN, PLAIN, SHIFTED


def _add(experiment, by, name):
    """Differences of one method or model moved."""
    dim = "by" if experiment in ("drawn", "visits") else "model"

    def mutate(d):
        return d.change(experiment, excess=lambda x: x + by * (x[dim] == name))

    return mutate


def _exact(experiment, name, value):
    """One method's difference in every element, with small errors."""
    dim = "by" if experiment == "visits" else "model"

    def mutate(d):
        rows = d[experiment]
        new = {"excess": rows.excess.copy(), "error": rows.error.copy()}
        new["excess"].loc[{dim: name}], new["error"].loc[{dim: name}] = value, 1e-4
        return d.change(experiment, **new)

    return mutate


def _blurred(experiment):
    return lambda d: d.change(experiment, error=lambda x: x + 10)


def _few(experiment):
    return lambda d: d.select(experiment, seed=slice(2))


TABLE = {
    "drawn-corrected": {
        "fails": _add("drawn", 0.1, CORRECTED),
        "open": lambda d: d.select("drawn", seed=slice(1)),
    },
    "drawn-mean": {"fails": _add("drawn", 0.5, MEAN), "open": lambda d: d.select("drawn", seed=slice(1))},
    "shared-shift": {"fails": _add("logs", 0.3, SHIFTED), "open": _few("logs")},
    "visits-corrected": {
        "holds": _exact("visits", CORRECTED, 0.0),
        "fails": _exact("visits", CORRECTED, 0.1),
        "open": _blurred("visits"),
    },
    "visits-plain": {
        "holds": _exact("visits", PLAIN, 0.05),
        "fails": _exact("visits", PLAIN, 0.0),
        "open": _blurred("visits"),
    },
    "visits-beta": {
        "holds": _exact("visits", BETA, 0.0),
        "fails": _exact("visits", BETA, 0.1),
        "open": _blurred("visits"),
    },
    "logged-mean": {
        "holds": _exact("logged", MEAN, -0.3),
        "fails": _exact("logged", MEAN, 0.0),
        "open": _blurred("logged"),
    },
    "logged-shift": {
        "holds": _exact("logged", SHIFTED, 0.0),
        "fails": _exact("logged", SHIFTED, 0.2),
        "open": _blurred("logged"),
    },
}
