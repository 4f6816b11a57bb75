r"""Which pattern, if supervised fine-tuning (SFT) raised it a little, saves most RL time?

The time T to π(r*) = .99 is differentiable, with $g_r=\partial\log T/\partial\theta_r$, θ the logits of π_ref. Teaching
pattern r a little means one of two things: moving a *point of probability* to it, $g_r/\pi_r$; or a *unit of SFT* on
demonstrations of it, $g_r-g\cdot\pi$. A point of success rate is worth $\partial\log T/\partial p_r$.

The literature says that SFT on good data should come first, not what good data are. Asked here: is r* always the best
to teach, is any pattern better than the model's own accuracy worth teaching and a worse one not, and is a better r*
worth more than a more frequent one?

Predictions, *derived here*. Where a stall is deep, T grows like γ^{n−1} (study transition-time), so that a percent more
of r* saves n − 1 percent of time; it is then worth (n − 1)/π_ref(r*) a point, which no success rate can match once r*
is rare. A rival above the base accuracy grows at first at the cost of r*, which is the stall; teaching it costs time.

Experiment: derivatives for random problems with 3 and 10 patterns, Dirichlet(1) base policies and uniform success
rates (with 2 patterns as a control) and on a map, under REINFORCE in expectation; and sampled training by GRPO with
groups of 8 after SFT on each pattern of the worked example.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.problem import examples
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.sft import _curves, _lessons

study = lab.Study(__name__, title="What to teach: which patterns save RL time when SFT raises them a little")

SIZES, RIVAL, TAUGHT = (2, 3, 10), 0.6, 2.0
CASES = lab.scale({2: 1000, 3: 500, 10: 500}, {2: 1000, 3: 2048, 10: 2048})
TRAINING = {"group": 8, "rate": 0.1, "steps": 4000, "every": 10}
PATTERNS = ["best, p = .9", "rival, p = .6", "poor, p = .1"]
SHADES = dict(zip(SIZES[1:], (plot.CYCLE[2], plot.CYCLE[6]), strict=True))
ASKED = lab.Asked(
    "Good data should come first; what is good is left open, and may be read so.", (papers.QRA_5,)
)


@study.experiment()
def cases(run: lab.Run) -> xr.Dataset:
    """Every pattern of random problems, ordered by success rate: its slopes, and what its problem is like."""
    return _curves.patterns_of_random_problems(run.seed, run(CASES))


@study.experiment()
def landscape(run: lab.Run) -> xr.Dataset:
    """Rates (.9, .6, p′), shares (m, ¾ (1 − m), ¼ (1 − m)): a unit of SFT on the third pattern over m and p′."""
    points = run(lab.scale(15, 41))
    masses, rates = np.geomspace(1e-3, 0.9, points), np.linspace(0.01, 0.89, points)
    rate, mass = (x.ravel() for x in np.meshgrid(rates, masses, indexing="ij"))
    ref = np.stack([mass, 0.75 * (1 - mass), 0.25 * (1 - mass)], axis=1)
    success = np.stack([np.full_like(mass, 0.9), np.full_like(mass, RIVAL), rate], axis=1)
    unit = _curves.sensitivities(ref, success)["unit"][:, 2]
    both = {"unit": unit, "accuracy": np.sum(ref * success, axis=1)}
    shaped = {name: (("rate", "mass"), x.reshape(points, points)) for name, x in both.items()}
    return lab.dataset(shaped, {"rate": rates, "mass": masses})


@study.experiment()
def sampled(run: lab.Run) -> xr.Dataset:
    """The worked example: change of log T by SFT on each pattern, exact and in sampled training."""
    problem, runs = examples.worked(), run(lab.scale(512, 4096))
    after = jax.jit(lambda taught: theory.sft_policy_after(replace(problem, success=taught), TAUGHT))
    starts = np.stack([problem.log_ref, *(after(jnp.asarray(only)) for only in np.eye(3))])
    exact = _curves.sensitivities(np.exp(starts), np.tile(problem.success, (4, 1)), "GRPO G = 8")["log_time"]
    times = _curves.sampled_log_times(run.key, problem, starts, runs=runs, **TRAINING)
    error, both = times.std(axis=1, ddof=1) / np.sqrt(runs), {"exact": exact, "change": times.mean(axis=1)}
    both = {name: ("taught", x[1:] - x[0]) for name, x in both.items()}
    both["error"] = ("taught", np.hypot(error[1:], error[0]))
    return lab.dataset(both, {"taught": PATTERNS}, runs=runs)


def _agrees(data: lab.Data, size: float = 1.0) -> lab.Evidence:
    """Whether changes are as predicted, to five per cent of the time."""
    seen, words = data.sampled, "change of the mean log T by SFT on it"
    change = lab.measured(words, seen.change, seen.error, n=seen.attrs["runs"])
    return change.near(size * seen.exact, within=0.05)


@study.claim(
    "In the worked example sampled training saves and loses time as the exact orbit says, to five per cent of time.",
    origin=lab.Derived("this study: the orbit of GRPO with G = 8"),
)
def training_agrees(data):
    return _agrees(data)


training_agrees.null("SFT that changes nothing")(lambda data: _agrees(data, 0.0))


def _rows(data: lab.Data, rank: int | None = None, sizes: tuple[int, ...] = SIZES[1:]) -> xr.Dataset:
    """The patterns of a rank (−1: the worst; default: all) in problems of these sizes."""
    every = data.cases
    of_rank = True if rank is None else every["rank"] == (every.n + rank) % every.n
    return every.isel(case=np.flatnonzero(every.n.isin(sizes) & of_rank))


def _all(words: str, true: xr.DataArray, rows: xr.Dataset) -> lab.Evidence:
    """Whether something is true of all rows; candidates for the condition under which it is. A problem counts once."""
    best, good, rare = rows["rank"] == 0, rows.success > rows.accuracy, rows["first"] < 1 / rows.n
    rules = {
        "r* leads": rows["first"] == rows.top,
        "r* has less than 1/n of the mass": rare,
        "it is r*": best,
    }
    rules |= {
        "it is r* or no better than the accuracy": best | ~good,
        "it is the second-best": rows["rank"] == 1,
    }
    rules |= {"the start is entangled": rows.second > rows.accuracy}
    contrary = {f"it is not so that {name}": ~rule for name, rule in rules.items()}
    read = [rows[name] for name in ("first", "top", "second", "success", "accuracy")]
    problems = np.unique(rows.second).size
    return lab.explained(words, lab.where_known(true, *read), rules | contrary, n=problems)


def _most(data: lab.Data, slope: str, sizes: tuple[int, ...] = SIZES[1:]) -> lab.Evidence:
    rows = _rows(data, 0, sizes)
    slopes = rows[slope], rows[f"least_{slope}"]
    true = lab.where_known(slopes[0] <= slopes[1], *slopes)
    return _all("it saves more time than any other pattern", true, rows)


def _sign(rows: xr.Dataset, slope: str, sign: int) -> lab.Evidence:
    true = lab.where_known(sign * rows[slope] > 0, rows[slope])
    return _all(f"it {'costs' if sign > 0 else 'saves'} time", true, rows)


EXACT = "slopes of all patterns of a problem are computed and compared; sampled ones would have an error"


@study.claim("A unit of SFT is best spent on r*.", origin=ASKED, needs_no_control=EXACT)
def unit(data):
    return _most(data, "unit")


@study.claim("A point of probability is best moved to r*.", origin=ASKED, needs_no_control=EXACT)
def point(data):
    return _most(data, "point")


def _better(data: lab.Data, sign: int) -> lab.Evidence:
    """Whether patterns above the accuracy, or those below, save time."""
    rows = _rows(data)
    return _sign(rows.isel(case=np.flatnonzero(~(sign * rows.success < sign * rows.accuracy))), "unit", -1)


@study.claim("Demonstrations of any pattern better than the model's own accuracy save RL time.", origin=ASKED)
def better(data):
    return _better(data, 1)


@study.claim("Demonstrations of the worst pattern cost RL time.", origin=ASKED)
def worst(data):
    return _sign(_rows(data, -1), "unit", 1)


@study.claim("A higher success rate of any pattern saves RL time.", origin=ASKED)
def rates(data):
    return _sign(_rows(data), "rate", -1)


unit.positive("problems with two patterns")(lambda data: _most(data, "unit", (2,)))
point.positive("problems with two patterns")(lambda data: _most(data, "point", (2,)))
better.null("patterns no better than that")(lambda data: _better(data, -1))
better.positive("r* in its place")(lambda data: _sign(_rows(data, 0), "unit", -1))
worst.null("r* in its place")(lambda data: _sign(_rows(data, 0), "unit", 1))
worst.positive("problems with two patterns")(lambda data: _sign(_rows(data, -1, (2,)), "unit", 1))
rates.null("the other one of two patterns")(lambda data: _sign(_rows(data, 1, (2,)), "rate", -1))
rates.positive("r* only")(lambda data: _sign(_rows(data, 0), "rate", -1))


def _rival(data: lab.Data, rank: int) -> lab.Evidence:
    rows = _rows(data, rank)
    entangled = ~(rows.second <= rows.accuracy).values
    flags = lab.where_known(rows.unit > 0, rows.unit, rows.second, rows.accuracy)[entangled]
    return lab.share("entangled problems in which a unit of SFT on it costs time", flags).above(0.75)


@study.claim(
    "In entangled problems demonstrations of the second-best pattern cost RL time, in three of four or more.",
    origin=lab.Derived("what is above the base accuracy grows at first at the cost of r*"),
)
def rival(data):
    return _rival(data, 1)


rival.null("the worst pattern in its place")(lambda data: _rival(data, -1))


def _improves(data: lab.Data, rank: int = 0) -> lab.Evidence:
    """Share of problems in which a point of success rate of a pattern is worth more than a point of r*'s share."""
    halves = []
    for n in SIZES[1:]:
        best, rate = _rows(data, 0, (n,)), _rows(data, rank, (n,))["rate"].values
        known = lab.where_known(best.point > rate, best.point, best["first"]).where(~np.isnan(rate))
        more = known.values[np.argsort(best["first"].values)]
        halves.append(more[: len(more) // 2 * 2].reshape(2, -1))
    coords = {"patterns": list(SIZES[1:]), "half": ["the half with rarer r*", "the other half"]}
    worth = xr.DataArray(halves, coords, ("patterns", "half", "problem"))
    return lab.share("problems in which it is worth more", worth, "problem").above(0.5).per(*coords)


@study.claim(
    "A point of success rate of r* is worth more than a point of its share, in most problems.",
    origin=lab.Asked("Should data improve how well r* is carried out, or how often it is chosen?"),
)
def improve(data):
    return _improves(data)


improve.null("the success rate of the second-best pattern")(lambda data: _improves(data, 1))


@study.figure
def draw(data: lab.Data) -> Figure:
    """The worked example, who helps by rank, the map of a third pattern, share against success rate."""
    figure, ((bars, ranks), (place, points)) = plot.new((9.2, 6.8), nrows=2, ncols=2)
    seen, colors = data.sampled, dict(zip(PATTERNS, plot.pattern_colors(3, best=0, rival=1), strict=True))
    costs = " and the ".join(str(x).split(",")[0] for x in seen.taught.values[seen.change > 0])
    title = f"Teaching {'the ' + costs if costs else 'no pattern'} costs time"
    panels.frame(title, bars, x=f"taught for SFT time {TAUGHT:g}", y="change of log RL time")
    panels.bars(seen.exact, bars, x="taught", colors=colors, label=False)
    change = lab.measured("", seen.change, seen.error, n=seen.attrs["runs"])
    panels.dots(change, bars, x="taught", colors="black", level=0.002)
    panels.legend({"exact": plot.MUTED, "sampled, G = 8 (99.8 %)": "o"}, bars, loc="lower right")
    second, last = (float((_rows(data, rank).unit < 0).mean()) for rank in (1, -1))
    title = f"The second-best saves time in {second:.0%} of problems, the worst in {last:.0%}"
    labels = {"x": "rank of the pattern taught, by success rate", "y": "share of problems with time saved"}
    panels.frame(title, ranks, **labels, log="", ylim=(-0.04, 1.04), xticks=np.arange(1, SIZES[-1] + 1))
    for n, color in SHADES.items():
        saves = (_rows(data, sizes=(n,)).unit < 0).values.reshape(-1, n)
        saves = xr.DataArray(saves, {"rank": np.arange(1, n + 1)}, ("problem", "rank"))
        panels.dots(saves, ranks, x="rank", over="problem", colors=color, join=True)
    panels.legend({f"{n} patterns": color for n, color in SHADES.items()}, ranks, loc="center right")
    _lessons.third(data.landscape, RIVAL, place)
    _lessons.worth(_rows(data, 0, SIZES[-1:]), SIZES[-1], points)
    return figure
