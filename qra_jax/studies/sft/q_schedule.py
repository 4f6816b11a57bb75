r"""Is SFT, then RL a schedule of one family, and a good one?

SFT → RL is said to be q: 1 → 0 in the Tsallis family (clock ρ^{−q}: RLVR at q = 0, the log-likelihood at q = 1), and
q = 1 to turn a cold start of Ω(1/p₀) into Θ(log 1/p₀).

Predictions, *derived here*. The clock rises with q at every ρ < 1, so in expectation no schedule beats q = 1; what may
is noise. And a group of G rollouts without a right one has no gradient at any q: below p₀ ≈ 1/G its clock is that of
q = 0 up to a factor, and the cold start is back.

Experiment: exact times to accuracy ½ from p₀ for two patterns, right and wrong for sure; and accuracy after 200 steps
of the worked example and of a rare, entangled one under schedules of q, in expectation and with sampled groups of 8,
each schedule at the learning rate that suits it best (chosen on other runs).
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.sft import _curves, _schedules

study = lab.Study(__name__, title="Schedules of q: what the way from SFT to RL in the Tsallis family gains")

WIDTH, POINT, COLD = 5, 0.01, np.geomspace(1e-1, 1e-6, 11)
ESCAPES = {"q = 0 (RLVR)": "REINFORCE", "q = 1, exact = SFT": "q = 1", "q = 1, groups of 8": "q = 1, G = 8"}


@study.experiment()
def cold(run: lab.Run) -> xr.Dataset:
    """Log of the time to accuracy ½ from p₀, patterns right or wrong for sure."""
    log_ref = np.full((len(COLD), WIDTH), -np.inf)
    log_ref[:, :2] = np.log(np.stack([COLD, 1 - COLD], axis=1))
    found = [_curves.log_hitting_times(log_ref, np.eye(WIDTH)[0], clock, 0.5) for clock in ESCAPES.values()]
    return lab.dataset({"log_time": (("clock", "start"), found)}, {"clock": list(ESCAPES), "start": COLD})


@study.experiment()
def schedules(run: lab.Run) -> xr.Dataset:
    """Accuracy at the end of each schedule of q, expected and sampled, and of random schedules in expectation."""
    return _schedules.scores(run.seed, runs=run(lab.scale(256, 2048)), drawn=run(lab.scale(100, 400)))


def _escape(data: lab.Data, clock: int) -> lab.Evidence:
    """Whether the time at the smallest p₀ is a constant times log 1/p₀."""
    time = data.cold.log_time.isel(clock=clock) - np.log(np.log(1 / data.cold.start))
    change = np.exp(time.isel(start=-1) - time.isel(start=-3))
    return lab.exact("time/log(1/p₀) at p₀ = 10⁻⁶, that at 10⁻⁵ taken as 1", change).near(1, within=0.1)


def _start(data: lab.Data, clock: int) -> lab.Evidence:
    time = data.cold.log_time.isel(start=[-3, -1])
    exponent = lab.slope(
        "exponent of the time in 1/p₀, q = 0", time.isel(clock=0), np.log(1 / time.start), along="start"
    )
    return lab.all_of(exponent.near(1, within=0.05), _escape(data, clock))


@study.claim(
    "Under gradient flow q = 1 turns a cold start of Ω(1/p₀) into Θ(log 1/p₀), for p₀ from 10⁻⁵ to 10⁻⁶.",
    origin=papers.TSALLIS_COLD,
)
def cold_start(data):
    return _start(data, 1)


@study.claim(
    "Groups of eight samples escape in Θ(log 1/p₀), too, at q = 1.",
    origin=lab.Asked("In training answers are sampled, not shown.", (papers.TSALLIS_COLD,)),
)
def groups(data):
    return _escape(data, 2)


cold_start.null("q = 0 in the place of q = 1")(lambda data: _start(data, 0))
groups.null("q = 0")(lambda data: _escape(data, 0))
groups.positive("exact gradients")(lambda data: _escape(data, 1))


@study.claim(
    "In expectation none of the other named and of the random schedules of q ends higher than q = 1 throughout.",
    origin=lab.Derived("ρ^(−q) rises with q"),
    needs_no_control="the accuracies of all schedules are computed and compared; sampled ones would have an error",
)
def expectation(data):
    every = data.schedules
    best = [every["mean"].drop_sel(schedule="q = 1").max("schedule", skipna=False)]
    best.append(every.drawn.max("draw", skipna=False))
    gap = every["mean"].sel(schedule="q = 1", drop=True) - np.maximum(*best)
    return lab.exact("accuracy of q = 1 less the best of all others", gap).above(0)


FALLING = "q: 1 → 0"


def _beats(first: xr.DataArray, others: xr.DataArray) -> lab.Evidence:
    words = f"accuracy of {FALLING} less that of another"
    return lab.mean(words, first - others, "run").above(POINT).per("problem")


@study.claim(
    "Sampled, q: 1 → 0 (SFT, then RL) ends a point or more higher than every constant q, and than q: 0 → 1.",
    origin=lab.Asked(
        "SFT, then RL is such a schedule; is it a good one?", (papers.TSALLIS_SCHEDULE, papers.TSALLIS_NOISE)
    ),
)
def falling(data):
    runs = _schedules.at_best_rate(data.schedules.sampled)
    return _beats(runs.sel(schedule=FALLING, drop=True), runs.drop_sel(schedule=FALLING))


@falling.null("q: 1 → 0 against other runs of its own")
def _(data):
    runs = _schedules.at_best_rate(data.schedules.sampled).sel(schedule=FALLING, drop=True)
    half = runs.sizes["run"] // 2
    return _beats(runs.isel(run=slice(half)), runs.isel(run=slice(half, 2 * half)))


@falling.positive("others at the smallest learning rate")
def _(data):
    runs = _schedules.at_best_rate(data.schedules.sampled).sel(schedule=FALLING, drop=True)
    slow = data.schedules.sampled.isel(rate=0, drop=True).drop_sel(schedule=FALLING)
    return _beats(runs, slow.isel(run=slice(-runs.sizes["run"], None)))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Escapes from a cold start; sampled training on each schedule."""
    figure, (escape, ends) = plot.new((9.2, 3.8), ncols=2)
    start = np.log(1 / data.cold.start)
    slopes = (data.cold.log_time.diff("start") / start.diff("start")).isel(start=-1).values
    title = f"Time ∝ p₀^−{slopes[0]:.2f}, exact q = 1: p₀^−{slopes[1]:.2f}, groups: p₀^−{slopes[2]:.2f}"
    panels.frame(title, escape, x="1/p₀", y="time to accuracy ½", log="xy")
    colors = dict(zip(ESCAPES, map(plot.color, ("rlvr", "sft", "tsallis")), strict=True))
    panels.curves(np.exp(data.cold.log_time), escape, x=1 / COLD, by="clock", colors=colors)
    panels.legend(None, escape, loc="upper left")
    runs = _schedules.at_best_rate(data.schedules.sampled)
    middle = runs.mean("run")
    gap = middle.sel(schedule="q: 1 → 0") - middle.drop_sel(schedule="q: 1 → 0").max("schedule")
    title = f"Sampled, q: 1 → 0 less the best of the others: {gap.values[0]:+.3f} and {gap.values[1]:+.3f}"
    panels.frame(title, ends, x="", y=f"accuracy after {_schedules.STEPS} steps, best rate")
    shades = dict(zip(runs.problem.values.tolist(), plot.CYCLE[6:8], strict=True))
    panels.dots(runs, ends, x="schedule", by="problem", over="run", nudge=0.2, colors=shades)
    ends.margins(y=0.3)
    panels.legend(None, ends, loc="lower left")
    return figure
