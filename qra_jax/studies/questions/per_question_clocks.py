r"""By which clock do the questions of a real run move, if each has two patterns, right and wrong?

With two patterns the logit of a question's accuracy moves as ż ∝ (4ρ(1 − ρ))^a: a = 1 for REINFORCE, ½ for GRPO's mean
field, 0 for the natural gradient. An estimator that takes this for granted gives a real GRPO run (1209 questions, 8
rollouts a visit) an exponent near 0. With several patterns ρ̇ = c(ρ) Σ π_r²(p_r − ρ)². As the spread of the rates p
shrinks, κ → ∞, or their number grows, the sum tends to ρ(1 − ρ) times a factor of the question's own, where it is
2ρ²(1 − ρ)² for two: one and the same clock shows any exponent from a − 1 to a, and rates differ. Predicted:

- *Two patterns*: a is recovered.
- *Tabular GRPO on twelve patterns* (π_ref Dirichlet(1), rates Beta(κm, κ(1 − m)), m Beta(.5, .7), run to a rise of mean
  accuracy of .15): a near 0 for κ = 6, with the natural clock ahead of GRPO's; nearer to GRPO's own for κ = 2.
- *Adam on two patterns*: its step is the mean gradient over its root mean square, √G ρ/√ρ for rare successes, so the
  exponent falls below that of plain steps.

The real run then has nested tests (one rate or lognormal rates of questions; exponent free), an absolute test in bins
of the start, and the same numbers for simulated populations beside it; histories of REINFORCE on two patterns are its
controls. Without the folder of measured runs the simulated populations are what there is. No metric and no optimiser is
read out of an exponent: natural gradient, shared parameters, Adam and several patterns all change it. Whether any
estimator can tell the clock where patterns are left open is the question of `hidden-patterns`.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import Asked, Data, Derived, Estimate, Evidence, Run, all_of, measured, panels, scale
from qra_jax.studies.questions import _histories as made
from qra_jax.studies.questions._histories import SIX, SPREAD, TWO, TWO_LINEAR, TWO_NATURAL

study = lab.Study(
    __name__,
    title="Per-question clocks: two patterns with one rate do not fit, and several patterns look alike",
)
HERE = Derived("docstring of this study")
AUDIT = Asked(
    "An exponent near 0 was read as the natural gradient's; does GRPO on several patterns give it, too?"
)
REAL = Asked("A real GRPO run over 1209 questions has a history for each of them.")
APART, NATS = 0.25, 10.0
"""Half the distance between two clocks; nats that would matter."""


@study.experiment()
def estimated(run: Run) -> xr.Dataset:
    """The two-pattern estimator on every population."""
    seeds, size = run(scale(6, 4)), run(scale(220, 1209))
    rows = [
        [
            made.two_pattern(made.make(np.random.default_rng([run.seed, i, j]), maker, size))
            for j in range(seeds)
        ]
        for i, maker in enumerate(made.MAKERS)
    ]
    out = {name: (("maker", "seed"), [[r[name] for r in row] for row in rows]) for name in rows[0][0]}
    return lab.dataset(out, {"maker": made.MAKERS}, questions=size)


@study.experiment(measured=True)
def real(run: Run) -> xr.Dataset:
    """The real run and simulated ones: one rate, lognormal rates, changes in bins."""
    histories = made.find(run)
    rng = np.random.default_rng([run.seed, 4])
    cases = {
        name: made.make(rng, name, histories.questions) for name in (SIX, SPREAD, TWO_LINEAR, made.RATES)
    }
    rows = [made.everything(case) for case in (histories, *cases.values())]
    return xr.concat(rows, xr.DataArray(["real run", *cases], dims="case", name="case"))


# ---- claims on simulated populations


def _exponent(data: Data, maker: str) -> Estimate:
    """Mean exponent over populations; its error from the likelihood or from their scatter, whichever is larger."""
    rows = data.estimated.sel(maker=maker)
    scatter = rows.exponent.std("seed", ddof=1, skipna=False)
    error = np.maximum(np.sqrt((rows.error**2).mean("seed", skipna=False)), scatter) / np.sqrt(
        rows.sizes["seed"]
    )
    return measured(
        f"exponent ({maker})", rows.exponent.mean("seed", skipna=False), error, n=rows.sizes["seed"]
    )


def _apart(data: Data, first: str, second: str) -> Estimate:
    """Difference of two mean exponents."""
    one, two = (_exponent(data, maker) for maker in (first, second))
    error = [(one.interval(0.05)[1] - one.value) / 1.959964, (two.interval(0.05)[1] - two.value) / 1.959964]
    return measured(
        f"exponent ({first}) − exponent ({second})", one.value - two.value, np.hypot(*error), n=one.n
    )


@study.claim(
    "With two patterns a question, the exponent of the histories is that of the clock that made them.",
    origin=HERE,
)
def recovered(data):
    return all_of(
        *(_exponent(data, name).near(a, within=APART) for name, a in ((TWO_NATURAL, 0.0), (TWO_LINEAR, 1.0)))
    )


@recovered.null("GRPO on twelve patterns, against its exponent on two")
def _(data):
    own = float(_exponent(data, TWO).value)
    return all_of(*(_exponent(data, name).near(own, within=APART) for name in (SIX, SPREAD)))


def _signature(data: Data, maker: str) -> Evidence:
    rows = data.estimated.sel(maker=maker)
    ahead = [
        measured(
            f"nats of the natural clock ahead of {name}",
            rows[f"behind {name}"].mean("seed", skipna=False),
            np.sqrt((rows[f"deviation {name}"] ** 2).mean("seed", skipna=False) / rows.sizes["seed"]),
            n=rows.sizes["seed"],
        ).above(0)
        for name in (made.FIELD, made.EXACT, made.LINEAR)
    ]
    return all_of(_exponent(data, maker).near(0, within=APART), *ahead)


@study.claim(
    "Tabular GRPO on twelve patterns (κ = 6) has an exponent near 0, and the natural clock is ahead of GRPO's.",
    origin=AUDIT,
)
def signature(data):
    return _signature(data, SIX)


signature.null("GRPO on two patterns")(lambda data: _signature(data, TWO))


@study.claim("The exponent of GRPO is the same whatever the patterns of the questions.", origin=AUDIT)
def invariant(data):
    return _apart(data, SPREAD, SIX).near(0, within=APART)


invariant.null("two clocks on two patterns")(
    lambda data: _apart(data, TWO_LINEAR, TWO_NATURAL).near(0, within=APART)
)
invariant.positive("two patterns from two distributions of starts")(
    lambda data: _apart(data, TWO, made.OTHER).near(0, within=APART)
)


@study.claim(
    "Adam on sampled groups lowers the exponent of two-pattern GRPO, each question by itself.", origin=HERE
)
def adam(data):
    return _apart(data, TWO, made.ADAM).above(0.1)


adam.null("REINFORCE by plain gradient steps in Adam's place")(
    lambda data: _apart(data, TWO, TWO_LINEAR).above(0.1)
)


# ---- claims on the measured run


def _one(data: Data, case: str) -> Evidence:
    row = data.real.sel(case=case)
    return measured("nats that lognormal rates gain", row.gain, row["gain deviation"]).below(NATS)


@study.claim(
    "One rate for all questions of two patterns, whatever its clock, fits the real run.", origin=REAL
)
def one_rate(data):
    return _one(data, "real run")


one_rate.null("lognormal rates of questions")(lambda data: _one(data, made.RATES))
one_rate.positive("two patterns with one rate")(lambda data: _one(data, TWO_LINEAR))


def _between(data: Data, case: str) -> Evidence:
    row = data.real.sel(case=case)
    return measured(
        "exponent with lognormal rates", row["lognormal exponent"], row["lognormal error"]
    ).between(0.05, 0.45)


@study.claim(
    "With lognormal rates, the best two-pattern model, the real run's exponent is neither 0 (natural) nor ½ (GRPO).",
    origin=REAL,
)
def best_model(data):
    return _between(data, "real run")


best_model.null("two patterns, REINFORCE, lognormal rates")(lambda data: _between(data, made.RATES))


def _bins(data: Data, case: str) -> Evidence:
    row = data.real.sel(case=case)
    z = ((row.change - row.expected) / row["change error"]).values
    z = z[np.isfinite(row.start.values)] if np.isfinite(row.start.values).any() else np.full(2, np.nan)
    return lab.misfit("changes of logit in bins", z, parameters=1).below(0.5)


@study.claim(
    "One speed of the logit for all questions fits the real run's changes in bins of the start.", origin=REAL
)
def binned(data):
    return _bins(data, "real run")


binned.null("REINFORCE on two patterns")(lambda data: _bins(data, TWO_LINEAR))

BRACKETED = ["exponent", f"behind {made.FIELD}", f"behind {made.EXACT}", f"behind {made.LINEAR}", "gain"]


def _bracketed(data: Data, case: str) -> Evidence:
    """Where statistics of a case lie between those of GRPO on twelve patterns: 0 for κ = 2, 1 for κ = 6."""
    place = {}
    for name in BRACKETED:
        low, high = (data.real[name].sel(case=control) for control in (SPREAD, SIX))
        value = (data.real[name].sel(case=case) - low) / (high - low)
        place[name] = measured("place between κ = 2 and κ = 6", value, 0.0)
    return lab.stacked("statistic", place).between(0, 1).per("statistic")


@study.claim(
    "Tabular GRPO on twelve patterns, κ = 2 and κ = 6, has the real run's statistics between its own.",
    origin=AUDIT,
)
def bracketed(data):
    return _bracketed(data, "real run")


bracketed.null("REINFORCE on two patterns")(lambda data: _bracketed(data, TWO_LINEAR))
