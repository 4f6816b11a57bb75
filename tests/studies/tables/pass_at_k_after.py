"""Mutations of `pass-at-k-after`: what its claims would say of other data."""

from qra_jax.studies.runs._passes import OWN, SHIFT


def _set(experiment, name, value, model=None):
    """One number of an experiment, of one model where it has several."""

    def mutate(d):
        new = d[experiment][name].copy()
        new.loc[{} if model is None else {"model": model}] = value
        return d.change(experiment, **{name: new})

    return mutate


def _both(*mutations):
    def mutate(d):
        for one in mutations:
            d = one(d)
        return d

    return mutate


def _nearer(experiment):
    return {
        "holds": _both(_set(experiment, "nearer", 0.05), _set(experiment, "nearer error", 1e-3)),
        "fails": _both(_set(experiment, "nearer", -0.05), _set(experiment, "nearer error", 1e-3)),
        "open": _set(experiment, "nearer error", 1.0),
    }


def _too_much(experiment):
    sure = _set(experiment, "miss error", 1e-3, SHIFT)
    return {
        "holds": _both(_set(experiment, "miss", 0.03, SHIFT), sure),
        "fails": _both(_set(experiment, "miss", 0.0, SHIFT), sure),
        "open": _set(experiment, "miss error", 1.0, SHIFT),
    }


def _collapsed(by):
    """pass@8 after training so far below what the models say, with the scatter of the seeds."""

    def mutate(d):
        values = d.tables["values"].copy()
        lower = values.sel(number=[SHIFT, OWN]).min("number")
        scatter = 1e-3 * (lower.seed * 0 + range(lower.sizes["seed"]))
        values.loc[{"number": "pass8 after"}] = (lower - by + scatter).transpose("task", "seed")
        return d.change("tables", values=values)

    return mutate


TABLE = {
    "simulated-models": {
        "fails": lambda d: d.change("simulated", excess=lambda x: x + 0.1),
        "open": lambda d: d.select("simulated", seed=slice(2)),
    },
    "published-nearer": _nearer("published"),
    "measured-nearer": _nearer("questions"),
    "published-shift": _too_much("published"),
    "measured-shift": _too_much("questions"),
    "measured-own": {
        "holds": _both(_set("questions", "miss", 0.0, OWN), _set("questions", "miss error", 1e-3, OWN)),
        "fails": _both(_set("questions", "miss", 0.1, OWN), _set("questions", "miss error", 1e-3, OWN)),
        "open": _set("questions", "miss error", 1.0, OWN),
    },
    "collapse": {
        "holds": _collapsed(0.3),
        "fails": _collapsed(0.0),
        "open": lambda d: d.select("tables", seed=slice(1)),
    },
}
