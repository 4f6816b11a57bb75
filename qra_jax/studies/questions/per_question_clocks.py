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
from qra_jax.studies.lab import panels
from qra_jax.studies.questions import _histories as made, _measured
from qra_jax.studies.questions._histories import SIX, SPREAD, TWO, TWO_LINEAR, TWO_NATURAL

study = lab.Study(
    __name__,
    title="Per-question clocks: an exponent near 0 need not be another clock, several patterns show it, too",
)
HERE = lab.Derived("docstring of this study")
AUDIT = lab.Asked("An exponent near 0 was read as the natural gradient's; do several patterns give it, too?")
REAL = lab.Asked("A real GRPO run over 1209 questions has a history for each of them.")
TOLD = [TWO, SPREAD, SIX]
"""GRPO on two patterns, and on twelve."""
APART, NATS = 0.25, 10.0
"""Difference of exponents that matters, half of that between two clocks; nats that do."""


@study.experiment()
def estimated(run: lab.Run) -> xr.Dataset:
    """The two-pattern estimator on every population."""
    size, rows = run(lab.scale(220, 1209)), []
    for i, maker in enumerate(made.MAKERS):
        several = [
            made.make(np.random.default_rng([run.seed, i, j]), maker, size)
            for j in range(run(lab.scale(8, 4)))
        ]
        rows.append([made.two_pattern(histories, maker in TOLD) for histories in several])
    out = {name: (("maker", "seed"), [[r[name] for r in row] for row in rows]) for name in rows[0][0]}
    return lab.dataset(out, {"maker": made.MAKERS}, questions=size)


@study.experiment(measured=True)
def real(run: lab.Run) -> xr.Dataset:
    """The real run and simulated ones: one rate, lognormal rates, changes in bins."""
    histories = made.find(run)
    rng, names = np.random.default_rng([run.seed, 4]), [SIX, SPREAD, TWO_LINEAR, made.RATES]
    cases = [histories, *(made.make(rng, name, histories.questions) for name in names)]
    labels = xr.DataArray(["real run", *names], dims="case", name="case")
    return xr.concat([made.everything(case) for case in cases], labels)


# ---- claims on simulated populations


@study.claim(
    "With two patterns a question, the exponent of the histories is that of the clock that made them.",
    origin=HERE,
)
def recovered(data):
    true = {TWO_NATURAL: 0.0, TWO_LINEAR: 1.0}
    return lab.all_of(
        *(made.exponent(data.estimated, name).near(a, within=APART) for name, a in true.items())
    )


@recovered.null("GRPO on twelve patterns, against its exponent on two")
def _(data):
    own = float(made.exponent(data.estimated, TWO).value)
    return lab.all_of(
        *(made.exponent(data.estimated, name).near(own, within=APART) for name in (SIX, SPREAD))
    )


def _signature(data: lab.Data, maker: str) -> lab.Evidence:
    ahead = [made.behind(data.estimated.sel(maker=maker), name).above(0) for name in made.BEHIND]
    return lab.all_of(made.exponent(data.estimated, maker).near(0, within=APART), *ahead)


@study.claim(
    "Tabular GRPO on twelve patterns (κ = 6) has an exponent near 0, and the natural clock is ahead of GRPO's.",
    origin=AUDIT,
)
def signature(data):
    return _signature(data, SIX)


signature.null("GRPO on two patterns")(lambda data: _signature(data, TWO))


@study.claim("The exponent of GRPO is the same whatever the patterns of the questions.", origin=AUDIT)
def invariant(data):
    return made.apart(data.estimated, SPREAD, SIX).near(0, within=APART)


invariant.null("two clocks on two patterns")(
    lambda data: made.apart(data.estimated, TWO_LINEAR, TWO_NATURAL).near(0, within=APART)
)
invariant.positive("two patterns from two distributions of starts")(
    lambda data: made.apart(data.estimated, TWO, made.OTHER).near(0, within=APART)
)


@study.claim(
    f"Adam on sampled groups lowers the exponent of two-pattern GRPO by {APART} or more, each question by itself.",
    origin=HERE,
)
def adam(data):
    return made.apart(data.estimated, TWO, made.ADAM).above(APART)


adam.null("plain steps from other starts")(
    lambda data: made.apart(data.estimated, TWO, made.OTHER).above(APART)
)


# ---- claims on the measured run


def _one(data: lab.Data, case: str) -> lab.Evidence:
    row = data.real.sel(case=case)
    return lab.measured("nats that lognormal rates gain", row.gain, row["gain deviation"]).below(NATS)


@study.claim(
    "Two patterns with one rate for all questions, whatever the clock, fit the real run.", origin=REAL
)
def one_rate(data):
    return _one(data, "real run")


one_rate.null("lognormal rates of questions")(lambda data: _one(data, made.RATES))
one_rate.positive("two patterns with one rate")(lambda data: _one(data, TWO_LINEAR))


def _between(data: lab.Data, case: str) -> lab.Evidence:
    """Away from both clocks by more than .05, and better than either by the likelihood ratio of nested models."""
    row = data.real.sel(case=case)
    roots = lab.measured(
        "root of twice the log likelihood ratio to a = 0 and ½", row.root, xr.ones_like(row.root)
    )
    return lab.all_of(made.lognormal(row).between(0.05, 0.45), roots.above(0))


@study.claim(
    "With lognormal rates, the best two-pattern model, the real run's exponent is neither 0 (natural) nor ½ (GRPO).",
    origin=REAL,
)
def best_model(data):
    return _between(data, "real run")


best_model.null("two patterns, REINFORCE, lognormal rates")(lambda data: _between(data, made.RATES))


def _bins(data: lab.Data, case: str) -> lab.Evidence:
    row = data.real.sel(case=case)
    z = (row.change - row.expected) / row["change error"]
    return lab.misfit("changes of logit in bins", z, parameters=1).below(0.5)


@study.claim("One speed of the logit for all questions fits the real run in bins of the start.", origin=REAL)
def binned(data):
    return _bins(data, "real run")


binned.null("REINFORCE on two patterns")(lambda data: _bins(data, TWO_LINEAR))

BRACKETED = ["exponent", *(f"behind {name}" for name in made.BEHIND), "gain", "lognormal dispersion"]


def _bracketed(data: lab.Data, case: str) -> lab.Evidence:
    """Where statistics of a case lie between those of GRPO on twelve patterns: 0 for κ = 2, 1 for κ = 6."""
    place = {}
    for name in BRACKETED:
        low, high = (data.real[name].sel(case=control) for control in (SPREAD, SIX))
        value = (data.real[name].sel(case=case) - low) / (high - low)
        place[name] = lab.exact("place between κ = 2 and κ = 6", value)
    return lab.stacked("statistic", place).between(0, 1).per("statistic")


@study.claim(
    "Tabular GRPO on twelve patterns, κ = 2 and κ = 6, has the real run's statistics between its own.",
    origin=AUDIT,
)
def bracketed(data):
    return _bracketed(data, "real run")


bracketed.null("REINFORCE on two patterns")(lambda data: _bracketed(data, TWO_LINEAR))


# ---- figure


@study.figure
def draw(data: lab.Data) -> Figure:
    """Exponents by maker, nats between clocks; of the real run exponents under two models, and changes in bins."""
    rows = 1 + data.has("real")
    figure, ((first, second), *more) = plot.new((9.2, 3.6 * rows), nrows=rows, ncols=2, squeeze=False)
    names = [TWO_NATURAL, TWO_LINEAR, made.ADAM, TWO, SPREAD, SIX]
    seen = {name: made.exponent(data.estimated, name) for name in names}
    grpo = [float(seen[name].value) for name in TOLD]
    title = f"One clock, GRPO with G = 8: exponents from {min(grpo):.2f} to {max(grpo):.2f}"
    panels.frame(title, first, x="exponent by the two-pattern estimator", y="", xlim=(-0.5, 1.5))
    panels.forest(seen, first, expected=None)
    for a in (0.0, 0.5, 1.0):
        panels.mark(a, first)
    every = [data.estimated[f"behind {name}"] for name in made.BEHIND]
    ahead = xr.concat(every, xr.DataArray(made.BEHIND, dims="clock", name="clock"))
    ahead = ahead.sel(maker=TOLD) / data.estimated.attrs["questions"]
    sign = "ahead" if float(ahead.sel(maker=SIX).mean("seed").min()) > 0 else "not ahead"
    title = f"On twelve patterns (κ = 6) GRPO puts the natural clock {sign}"
    panels.frame(title, second, x="", y="nats a question behind the natural clock")
    panels.bars(ahead, second, x="maker", by="clock", over="seed")
    panels.legend(None, second)
    if data.has("real"):
        _measured.panels_of(data.real, *more[0])
    return figure
