r"""How long is the stall when one wrong favourite stands in the way?

Theorem 5.4 says that with one rival r' the time T₀ until accuracy exceeds p(r') is at most γ^(Cγ), a shape called
super-exponential, with γ = Σ_{r≠r'} π_ref(r)/π_ref(r*); C is left open, and an upper bound is no law of growth. The
family is that of the paper's worked case (γ = 6): success rates (.9, .6, .1, .1, …), and the poor patterns share a
quarter of the mass. Its members differ in γ, in the number n of patterns, which is fixed or grows with γ, and in the
gap p* − p', which is .3 or closes.

Theory (`theory.transition_time_estimate`, `theory.one_rival_bound`): while r' leads, time passes at the rate Π g_s of
the gaps between the lines of the orbit, so that T₀ grows like γ^(n−1) at fixed n; and for any n

$$ T_0 \le \Bigl[\pi'\prod_s\Bigl(1+\frac{p'-p_s}{p_\star-p'}\frac{\pi_s}{\pi_\star}\Bigr)+\frac a{p_\star-p'}+1\Bigr]
   \Big/ \pi_\star(p_\star-p') \;=\; O(e^{C\gamma}), \qquad C = \frac{p'-\min p}{p_\star-p'}. $$

Experiment: exact T₀ beside its leading order and both bounds, on the family and in random problems (3 to 10 patterns).
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import orbit, plot, theory
from qra_jax.batching import many
from qra_jax.problem import Problem, random
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels
from qra_jax.studies.regimes import _figures as figures
from qra_jax.studies.regimes._draws import narrowed, of_family, widened

TITLE = (
    "Transition time: a power of γ for n patterns, at most exponential in γ for any n at fixed success rates"
)
study = lab.Study(__name__, title=TITLE)

FIXED = {"n = 3": 3, "n = 5": 5, "n = 10": 10}
CLOSING = "n = γ − 1, closing gap"
GROWING = {"n = γ − 1": 100, "n = 3γ": lab.scale(34, 68), CLOSING: 40}
"""Families with n growing: name, and the largest γ. A closing gap is p* − p' = 1.8/γ, which is .3 at γ = 6."""
RANDOM, LONG, TOP, RATE = 10, 1e4, 1e40, (0.6 - 0.1) / (0.9 - 0.6)


def _laws(problem: Problem) -> dict[str, jax.Array]:
    """Log of T₀ at leading order (at the peak of the gaps' product; in the middle of the piece), and from above."""
    return {
        "estimate": theory.transition_time_estimate(problem),
        "middle": theory.transition_time_estimate(problem, at="middle"),
        "bound": theory.one_rival_bound(problem),
    }


@study.experiment()
def times(run: lab.Run) -> xr.Dataset:
    """Log of T₀ on the family, for three fixed n and three ways of growing, and in random problems of Regime 2."""
    points = run(lab.scale(12, 36))
    rows = [np.geomspace(3, TOP ** (1 / (n - 1)), points) for n in FIXED.values()]
    rows += [np.round(np.linspace(4, run(top), points)) for top in GROWING.values()]
    gamma = np.concatenate(rows)
    name = np.repeat([*FIXED, *GROWING], points)
    grown = np.where(name == "n = 3γ", 3 * gamma, gamma - 1)
    patterns = np.select([name == one for one in FIXED], list(FIXED.values()), grown).astype(int)
    family = of_family(gamma, patterns, np.where(name == CLOSING, 1.8 / np.maximum(gamma, 6), 0.3))

    sizes = 3 + jnp.arange(run(lab.scale(2400, 12_000))) % (RANDOM - 2)
    keys = jax.random.split(run.key, len(sizes))
    drawn = jax.jit(jax.vmap(lambda key, n: narrowed(random(key, RANDOM), n)))(keys, sizes)
    rivals = np.asarray(jax.jit(jax.vmap(lambda problem: theory.regime(problem).rivals))(drawn))
    drawn = jax.tree.map(lambda leaf: leaf[rivals > 0], drawn)

    every = jax.tree.map(lambda *leaf: jnp.concatenate(leaf), family, widened(drawn, family.patterns))
    parts = np.split(np.asarray(many(orbit.log_transition_time)(every)), [len(gamma)])
    on_family = {"gamma": gamma, "log_time": parts[0], **many(_laws)(family)}
    values = {key: (("family", "point"), row.reshape(-1, points)) for key, row in on_family.items()}
    others = {"log_time": parts[1], "rivals": rivals[rivals > 0], **many(_laws)(drawn)}
    others = {f"random_{key}": ("problem", row) for key, row in others.items()}
    return lab.dataset(values | others, {"family": [*FIXED, *GROWING]})


def _power(data: lab.Data) -> lab.Evidence:
    """Exponents of T₀ in γ on the upper half of each curve with fixed n."""
    upper = data.times.sel(family=list(FIXED)).isel(point=slice(data.times.sizes["point"] // 2, None))
    log_gamma = np.log(upper.gamma) - np.log(upper.gamma).mean("point")
    exponent = (log_gamma * upper.log_time).sum("point", skipna=False) / (log_gamma**2).sum("point")
    expected = upper.family.copy(data=[n - 1 for n in FIXED.values()])
    return lab.exact("d log T₀/d log γ", exponent).near(expected, within=0.01, relative=True)


LEADING = lab.Derived("theory.transition_time_estimate")


@study.claim(
    "On the family with n = 3, 5 and 10 patterns T₀ grows like the power γⁿ⁻¹.",
    origin=LEADING,
    needs_no_control="exact times, and the exponent of a derivation that knows nothing of them",
)
def power(data):
    return _power(data)


def _rates(times: xr.Dataset, law: str, at: float) -> xr.DataArray:
    """d log T₀/dγ at a share of the largest γ of each curve, from its exponents d log T₀/d log γ."""

    def rate(gamma: np.ndarray, values: np.ndarray) -> float:
        place, steps = np.log(gamma), np.diff(np.log(gamma))
        exponent = np.interp(place[-1] + np.log(at), place[1:] - steps / 2, np.diff(values) / steps)
        return float(exponent / (at * gamma[-1]))

    return xr.apply_ufunc(rate, times.gamma, times[law], input_core_dims=[["point"]] * 2, vectorize=True)


def _growth(times: xr.Dataset, law: str) -> lab.Evidence:
    ratio = _rates(times, law, 1.0) / _rates(times, law, 0.5)
    return lab.exact("d log T₀/dγ at the largest γ over that at half of it", ratio).above(1.1).per("family")


@study.claim(
    "T₀ grows super-exponentially in γ, in six families with n fixed or growing.",
    origin=lab.Asked(
        "An upper bound γ^(Cγ) is easily read as the law of growth.", (papers.QRA_3, papers.QRA_3_BOUND)
    ),
)
def growth(data):
    return _growth(data.times, "log_time")


@growth.null("the bound of T₀ where the gap is fixed, which is exponential or a power")
def _(data):
    return _growth(data.times.drop_sel(family=CLOSING), "bound")


def _needed(log_time: xr.DataArray, log_bound: xr.DataArray) -> lab.Evidence:
    share = (log_time / log_bound).max("point", skipna=False)
    return lab.exact("largest log T₀ over that of the bound", share).below(1)


@study.claim(
    "C = 1 is enough in the bound γ^(Cγ), in six families with n fixed or growing and gaps fixed or closing.",
    origin=lab.Asked("The theorem leaves C open; what does it have to be?", (papers.QRA_3_BOUND,)),
)
def reported(data):
    return _needed(data.times.log_time, data.times.gamma * np.log(data.times.gamma))


@reported.null("a bound of another shape, e^(5γ/3), where the gap closes")
def _(data):
    times = data.times.sel(family=[CLOSING])
    return _needed(times.log_time, RATE * times.gamma)


def _below(data: lab.Data, families: list[str]) -> lab.Evidence:
    times, one = data.times, data.times.random_rivals == 1
    rates = _rates(times.sel(family=families), "log_time", 1.0)
    slack = (times.bound - times.log_time).min(skipna=False)
    over = (times.random_log_time - times.random_bound)[one]
    return lab.all_of(
        lab.exact("least log(bound/T₀) on the family", slack).above(0),
        lab.never("random problems with one rival in which T₀ exceeds it", lab.where_known(over > 0, over)),
        lab.exact("d log T₀/dγ at the largest γ", rates).below(RATE),
    )


@study.claim(
    "With one rival T₀ is at most exponential in γ at fixed success rates, for any n (family: n = γ − 1 and 3γ).",
    origin=lab.Derived("theory.one_rival_bound", (papers.QRA_3_BOUND,)),
)
def exponential(data):
    return _below(data, ["n = γ − 1", "n = 3γ"])


@exponential.null("success rates that are not fixed: the closing gap")
def _(data):
    return _below(data, [CLOSING])


def _family(data: lab.Data, law: str) -> lab.Evidence:
    error = data.times[law] - data.times.log_time
    worst = abs(error.where(data.times.log_time > np.log(LONG), 0 * error)).max("point", skipna=False)
    return lab.exact("largest factor between the estimate and T₀ > 1e4 on the family", np.exp(worst)).below(2)


def _random(data: lab.Data, law: str) -> lab.Evidence:
    long = ~(data.times.random_log_time <= np.log(LONG))
    error = (data.times[f"random_{law}"] - data.times.random_log_time)[long]
    off = lab.where_known(abs(error) > np.log(2), error)
    return lab.never("random problems in which it is off by more", off)


@study.claim(
    "On the family the leading-order estimate (peak of the gaps' product) gives T₀ > 1e4 within a factor of 2.",
    origin=LEADING,
)
def estimate(data):
    return _family(data, "estimate")


@estimate.null("the estimate from the middle of the slow piece")
def _(data):
    return _family(data, "middle")


@study.claim(
    "In every random problem of Regime 2 with 3 to 10 patterns the estimate gives T₀ > 1e4 within a factor of 2.",
    origin=LEADING,
)
def random_problems(data):
    return _random(data, "estimate")


@random_problems.null("the estimate from the middle of the slow piece")
def _(data):
    return _random(data, "middle")


@random_problems.positive("the family")
def _(data):
    return _family(data, "estimate")


@study.figure
def draw(data: lab.Data) -> Figure:
    """Fixed n on log-log axes, where powers are straight; growing n on a log axis, where exponentials are."""
    figure, (left, right) = plot.new((8.0, 4.0), ncols=2)
    gamma, times = data.times.gamma, data.times.log_time
    constant = float((times / (gamma * np.log(gamma))).drop_sel(family=CLOSING).max())
    panels.frame("n patterns: a power law, γⁿ⁻¹", left, x="γ", y="T₀ (lines: exact, dots: estimate)", log="x")
    panels.frame("Many patterns: at most exponential unless the gap p* − p′ closes", right, x="γ", y="")
    slopes = _power(data).tests()[0].estimate.value.values
    texts = [f"{name}\nslope {slope:.2f}" for name, slope in zip(FIXED, slopes, strict=True)]
    for name, text, color in zip(FIXED, texts, plot.CYCLE, strict=False):
        figures.growth(data.times.sel(family=name), left, color, text, (0, 4))
    shifts, texts = [(0, 4), (0, 4), (8, -12)], [name.replace(", ", ",\n") for name in GROWING]
    for name, text, shift, color in zip(GROWING, texts, shifts, plot.CYCLE[3:], strict=False):
        figures.growth(data.times.sel(family=name), right, color, text, shift)
    wide, ten = np.linspace(2, 110, 200), np.log(gamma.sel(family="n = 10"))
    few = np.exp(np.interp(np.log(wide), ten, times.sel(family="n = 10"), left=np.nan))
    right.plot(wide, few, color=plot.CYCLE[2])
    panels.note((100, few[-20]), right, "n = 10", color=plot.CYCLE[2], shift=(0, 4))
    right.plot([2, 48], np.exp([2 * RATE, 48 * RATE]), ":", color=panels.DIM, linewidth=1.2)
    panels.note((48, np.exp(48 * RATE)), right, "e$^{5γ/3}$", shift=(-4, 4), color=panels.DIM)
    panels.note((25, 1e39), right, f"reported\nshape γ$^{{Cγ}}$\nC = {constant:.2f}", shift=(-4, 0))
    panels.note((30, 1e43), left, "reported shape", shift=(4, 0))
    shape = np.exp(np.minimum(constant * wide * np.log(wide), 120))
    for ax, limits in ((left, (2, 1e22)), (right, (0, 115))):
        ax.plot(wide, shape, "--", color="black", linewidth=1.2)
        ax.set(yscale="log", xlim=limits, ylim=(1, 1e48), yticks=10.0 ** np.arange(0, 41, 10))
        ax.minorticks_off()
    return figure
