r"""How long should supervised fine-tuning (SFT) last before reinforcement learning, on how good data, and is it a
schedule of one family?

Claim QRA-5 (Chen, Li, Zou, arXiv 2506.04695 v1) says that SFT on good data removes the stall; `sft-first` asks how good
for endless SFT. Here SFT ends when it should: the cost is T_sft + c T_rl to π(r*) = .99, where a unit of RL time costs
c units of SFT time, under three clocks.

Predictions, *derived here*. With $g_r=\partial\log T_{\rm rl}/\partial\theta_r$ along the SFT path

1. Stopping rule: SFT pays at an instant iff $c\,T_{\rm rl}\;g\cdot(\mu-\pi) < -1$; the best split is where it stops
   paying.
2. Least quality: at the start, for $\mu=(1-x)\pi_{\rm ref}+x\,e_{r^\star}$, this is linear in the share x of
   demonstrations, so that data pay at once iff $x > x_1 = 1/\{c\,T_{\rm rl}\,(g\cdot\pi_{\rm ref}-g_{r^\star})\}$.
   Nothing in it knows of regimes.
3. Length: while r* is rare the other patterns sit still and SFT raises its logit at rate x against −x/(n−1) for each
   of them, so T_sft grows by $(1-1/n)/x$ for each unit of log γ, whatever the clock and the price; RL alone needs
   γ^{n−1}.
4. Endless SFT is not better than enough even where SFT is free, unless its data are poor.

The schedule: SFT → RL is said to be q: 1 → 0 in the Tsallis family (clock ρ^{−q}), and q = 1 to turn a cold start of
Ω(1/p₀) into log 1/p₀ (arXiv 2604.25907). The clock rises with q at every ρ < 1, so in expectation no schedule beats
q = 1; what may is noise. Control: sampled groups of 8, each schedule at the learning rate that suits it best (chosen on
other runs), and the clock that a group of 8 really has.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import flow, plot, recipe
from qra_jax.algorithm import by_clock, grpo, reinforce, switch, tsallis
from qra_jax.batching import many
from qra_jax.problem import Problem, examples
from qra_jax.studies.base import ONLY_IF, Verdict, verdict
from qra_jax.theory import least_share_that_pays, sft_mass_needed

TITLE = "SFT, then RL: when to stop, how good the data must be, and why it is no schedule of q"
SOURCE = "QRA-5; Chen, Li, Zou, arXiv 2506.04695 v1"
DERIVED = "theory of this package"
COLD_START = "cold start along Tsallis q, arXiv 2604.25907"
WIDTH, TARGET, GROUP = 5, 0.99, 8
"""Problems are padded to this many patterns; share of r* to reach; rollouts in a group."""
CLOCKS = {"REINFORCE": reinforce(), "GRPO G = 8": grpo(GROUP), "GRPO": grpo()}
COLD_CLOCKS = (tsallis(1.0), tsallis(1.0, GROUP))
PRICES = (1.0, 10.0, 100.0)
LARGE = 1e6
"""γ from which the law of lengths should show: by then the other patterns have come to rest."""
RATIOS = (0.25, 0.5, 0.8, 0.95, 1.05, 1.25, 2.0, 4.0)
"""Shares of demonstrations tried around the least one x₁."""
SCHEDULES = {
    "q = 0": (0.0,) * 5,
    "q = ¼": (0.25,) * 5,
    "q = ½": (0.5,) * 5,
    "q = ¾": (0.75,) * 5,
    "q = 1": (1.0,) * 5,
    "q: 1 → 0": (1.0, 0.75, 0.5, 0.25, 0.0),
    "q: 0 → 1": (0.0, 0.25, 0.5, 0.75, 1.0),
}
RATES = (0.1, 0.2, 0.4, 0.8, 1.6)
STEPS, FINE = 200, 0.1
"""Steps of a sampled run; learning rate of the exact mean."""
RARE = {"ref": [0.01, 0.04, 0.95], "success": [0.9, 0.6, 0.0]}
"""A cold start with a rival."""
PROBLEMS = ("worked example", "rare and entangled")
COLD = np.geomspace(1e-1, 1e-6, 11)


class Calculator:
    """SFT paths, RL times and their sensitivities for problems of up to `WIDTH` patterns; compiled once."""

    def __init__(self, times: np.ndarray) -> None:
        self.times = times
        family = partial(switch, members=[by_clock(each) for each in (*CLOCKS.values(), *COLD_CLOCKS)])

        def path(log_ref: jax.Array, success: jax.Array, mu: jax.Array, times: jax.Array) -> jax.Array:
            return flow.sft(Problem(log_ref, success), mu, ts=times).log_policy

        def rl(log_ref: jax.Array, success: jax.Array, target: jax.Array, clock: jax.Array) -> Any:
            found = recipe.sensitivity(Problem(log_ref, success), target, algorithm=family(clock))
            return found.log_time, found.ref

        self._path = many(path, block=16, chunk=16)
        self._rl = many(rl, block=128, chunk=128)

    def rl(self, log_ref: Any, success: Any, clock: int = 0, target: float = TARGET) -> tuple[Any, Any]:
        """Log of the RL time and its derivatives in the logits, for policies `[..., WIDTH]`."""
        log_ref = np.asarray(log_ref)
        success = np.broadcast_to(success, log_ref.shape).reshape(-1, WIDTH)
        flat = log_ref.reshape(-1, WIDTH)
        log_time, slopes = self._rl(flat, success, np.full(len(flat), target), np.full(len(flat), clock))
        return np.asarray(log_time).reshape(log_ref.shape[:-1]), np.asarray(slopes).reshape(log_ref.shape)

    def curves(
        self, log_ref: Any, success: Any, mu: Any, clock: int = 0, stretch: float = 1.0
    ) -> tuple[Any, Any]:
        """RL time after SFT for each of the times, and its derivative in the SFT time, `[cases, times]`."""
        times = np.tile(stretch * self.times, (len(mu), 1))
        paths = np.asarray(self._path(log_ref, success, mu, times))
        log_time, slopes = self.rl(paths, np.asarray(success)[:, None], clock)
        rl_time = np.exp(log_time)
        return rl_time, rl_time * np.sum(slopes * (np.asarray(mu)[:, None] - np.exp(paths)), axis=-1)


def best_split(times: np.ndarray, rl_time: Any, slope: Any, price: Any) -> tuple[Any, Any]:
    """Where T + c T_rl(T) is least, by the zero of its derivative between the points of a grid.

    Between two points log T_rl is the cubic through both values and both derivatives.

    Args:
      times: `[times]`, T of the grid, increasing from zero.
      rl_time: `[..., times]`, T_rl.
      slope: `[..., times]`, dT_rl/dT.
      price: c ≥ 0, broadcast against `[...]`.

    Returns:
      `[...]` each, T of the least total (0 where SFT only costs, the last time where it always pays) and the total.
    """
    price = np.asarray(price)[..., None]
    total, rate = times + price * rl_time, 1 + price * slope
    rl_time, slope, price = (np.broadcast_to(x, total.shape) for x in (rl_time, slope, price))
    lowest = np.argmin(total, axis=-1)
    best, value = times[lowest], np.min(total, axis=-1)
    s = np.linspace(0, 1, 1001)
    for place in np.ndindex(lowest.shape):
        for i in (lowest[place] - 1, lowest[place]):
            ends = (*place, slice(i, i + 2))
            if 0 <= i < len(times) - 1 and rate[ends][0] < 0 <= rate[ends][1]:
                h, (y0, y1) = times[i + 1] - times[i], np.log(rl_time[ends])
                d0, d1 = h * slope[ends] / rl_time[ends]
                bend = s * (1 - s) * (d0 * (1 - s) - d1 * s + (y1 - y0) * (2 * s - 1))
                inside = times[i] + h * s + price[place][0] * np.exp(y0 + (y1 - y0) * s + bend)
                j = int(np.argmin(inside))
                best[place], value[place] = times[i] + h * s[j], inside[j]
    return best, value


def padded(problems: list[Problem]) -> tuple[np.ndarray, np.ndarray]:
    """Problems side by side, with patterns without mass up to `WIDTH`.

    Args:
      problems: of at most `WIDTH` patterns.

    Returns:
      `[problems, WIDTH]` each, log π_ref and success rates.
    """
    log_ref, success = np.full((len(problems), WIDTH), -np.inf), np.zeros((len(problems), WIDTH))
    for i, problem in enumerate(problems):
        log_ref[i, : problem.patterns], success[i, : problem.patterns] = problem.log_ref, problem.success
    return log_ref, success


def mixture(log_ref: np.ndarray, success: np.ndarray, share: Any) -> np.ndarray:
    """Data of the model's own choices and a share x of demonstrations of r*, μ = (1 − x) π_ref + x e_{r*}."""
    best, share = np.eye(WIDTH)[np.argmax(success, axis=-1)], np.asarray(share)[..., None]
    return (1 - share) * np.exp(log_ref) + share * best


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Splits of the worked example, lengths against γ, least quality, mixtures, cold starts, schedules of q."""
    times = np.concatenate([[0.0], np.geomspace(0.01, 300, 100 if quick else 160)])
    calculator = Calculator(times)
    return {
        "times": times,
        **_worked(calculator, 6 if quick else 24),
        **_growth(calculator, 7 if quick else 13),
        **_quality(calculator, 12 if quick else 96, seed),
        **_mixtures(calculator, 4 if quick else 48, seed),
        **_cold(calculator),
        **_schedules(128 if quick else 2048, seed),
        **({} if quick else _designs(calculator)),
    }


def _worked(calculator: Calculator, points: int) -> dict[str, np.ndarray]:
    """The worked example: all shares, clocks and prices; finite differences of one curve."""
    shares = np.linspace(0.1, 0.9, points)
    log_ref, success = padded([examples.worked()] * points)
    mu = mixture(log_ref, success, shares)
    found = [calculator.curves(log_ref, success, mu, clock) for clock in range(len(CLOCKS))]
    rl_time, slope = (np.array(part) for part in zip(*found, strict=True))
    prices = np.geomspace(0.01, 1e4, 25)
    best, total = best_split(calculator.times, rl_time[:, :, None], slope[:, :, None], prices)
    middle, step = [int(np.argmin(np.abs(shares - 0.5)))], 1e-3
    ahead, behind = (
        calculator.curves(log_ref[middle], success[middle], mu[middle], 0, 1 + sign * step)[0][0, 1:]
        for sign in (1, -1)
    )
    return {
        "middle": np.array(middle[0]),
        "difference": (ahead - behind) / (2 * step * calculator.times[1:]),
        "shares": shares,
        "rl_time": rl_time,
        "slope": slope,
        "prices": prices,
        "best": best,
        "best_total": total,
        "needed": np.asarray(sft_mass_needed(examples.worked())),
    }


def _growth(calculator: Calculator, points: int) -> dict[str, np.ndarray]:
    """Best lengths against γ for n = 3 and 5 patterns, three shares, three clocks, two prices."""
    gammas, shares = np.geomspace(10, 1e13, points), np.array([0.2, 0.5, 0.9])
    lengths, totals, alone = [], [], []
    for patterns in (3, 5):
        log_ref, success = padded([examples.entangled(gamma, patterns) for gamma in gammas])
        for share in shares:
            mu = mixture(log_ref, success, np.full(points, share))
            for clock in range(len(CLOCKS)):
                rl_time, slope = calculator.curves(log_ref, success, mu, clock)
                found = best_split(calculator.times, rl_time[:, None], slope[:, None], np.array(PRICES[::2]))
                lengths.append(found[0])
                totals.append(found[1])
                alone.append(rl_time[:, 0])
    shape = (2, len(shares), len(CLOCKS), points)
    return {
        "gammas": gammas,
        "growth_shares": shares,
        "lengths": np.reshape(lengths, (*shape, 2)),
        "totals": np.reshape(totals, (*shape, 2)),
        "alone": np.reshape(alone, shape),
    }


def _drawn(count: int, patterns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random problems: Dirichlet(1) base policies and uniform success rates."""
    rng, room = np.random.default_rng(seed), ((0, 0), (0, WIDTH - patterns))
    log_ref = np.log(rng.dirichlet(np.ones(patterns), count))
    success = rng.random((count, patterns))
    return np.pad(log_ref, room, constant_values=-np.inf), np.pad(success, room)


def _quality(calculator: Calculator, count: int, seed: int) -> dict[str, np.ndarray]:
    """The least share x₁ of random problems, and what the best split gains around it."""
    drawn = [_drawn(count // 2, patterns, seed) for patterns in (3, 5)]
    log_ref, success = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    log_time, slopes = calculator.rl(log_ref, success)
    problems = Problem(jnp.asarray(log_ref), jnp.asarray(success))
    least = np.asarray(jax.vmap(least_share_that_pays)(problems, jnp.asarray(log_time), jnp.asarray(slopes)))
    shares = np.minimum(least[:, None] * np.array(RATIOS), 1.0)
    wide_ref, wide_success = (np.repeat(array, len(RATIOS), axis=0) for array in (log_ref, success))
    mu = mixture(wide_ref, wide_success, shares.ravel())
    rl_time, slope = calculator.curves(wide_ref, wide_success, mu)
    gain, first = np.exp(log_time), 1 + slope[:, 0]
    total = (calculator.times + rl_time).min(axis=1).reshape(shares.shape)
    return {
        "quality_log_time": log_time,
        "quality_least": least,
        "quality_gain": 1 - total / gain[:, None],
        "quality_first": first.reshape(shares.shape),
        "quality_needed": np.asarray(jax.vmap(sft_mass_needed)(problems)),
    }


def _mixtures(calculator: Calculator, count: int, seed: int) -> dict[str, np.ndarray]:
    """Least total over all mixtures of three patterns, for the worked example and random problems."""
    parts = range(6)
    grid = np.array([(i, j, 5 - i - j) for i in parts for j in parts if i + j <= 5]) / 5
    worked, drawn = padded([examples.worked()]), _drawn(count - 1, 3, seed + 1)
    log_ref, success = (np.concatenate(pair) for pair in zip(worked, drawn, strict=True))
    mu = np.pad(grid, ((0, 0), (0, WIDTH - 3)))
    totals = []
    for i in range(count):
        one, rates = (np.repeat(array[i : i + 1], len(grid), axis=0) for array in (log_ref, success))
        rl_time, _ = calculator.curves(one, rates, mu)
        totals.append((calculator.times + rl_time).min(axis=1))
    return {"mixtures": grid, "mixture_total": np.array(totals), "mixture_best": success.argmax(axis=1)}


def _cold(calculator: Calculator) -> dict[str, np.ndarray]:
    """Time to ρ = ½ from a cold start, patterns right or wrong for sure, for q = 0, q = 1 and q = 1 of groups."""
    log_ref = np.full((len(COLD), WIDTH), -np.inf)
    log_ref[:, :2] = np.log(np.stack([COLD, 1 - COLD], axis=1))
    success = np.eye(WIDTH)[0]
    found = [calculator.rl(log_ref, success, clock, 0.5)[0] for clock in (0, len(CLOCKS), len(CLOCKS) + 1)]
    return {"cold": COLD, "cold_log_time": np.array(found)}


def _scheduled(knots: Any, rate: Any, **options: Any) -> recipe.Recipe:
    """Training on a schedule of q."""
    return recipe.Recipe((recipe.rlvr(steps=STEPS, q=recipe.Schedule(knots), learning_rate=rate, **options),))


def _schedules(runs: int, seed: int) -> dict[str, np.ndarray]:
    """Final accuracy under each schedule of q: exact mean and its derivatives, and sampled groups."""
    knots, rates = np.array(list(SCHEDULES.values())), np.array(RATES)
    log_ref, success = padded([examples.worked(), Problem.from_probs(**RARE)])

    def mean(knots: jax.Array, log_ref: jax.Array, success: jax.Array) -> jax.Array:
        return _scheduled(knots, FINE).run(Problem(log_ref, success)).accuracy

    def sampled(knots: jax.Array, log_ref: jax.Array, success: jax.Array, rate: Any, key: Any) -> jax.Array:
        groups = _scheduled(knots, rate, algorithm=tsallis(0.0, GROUP), runner="sampled")
        return groups.run(Problem(log_ref, success), key=key).accuracy

    exact, slopes = jax.vmap(lambda *rest: jax.vmap(lambda k: jax.value_and_grad(mean)(k, *rest))(knots))(
        log_ref, success
    )
    cells = np.array(list(np.ndindex(len(log_ref), len(knots), len(rates))))
    which = np.repeat(cells, runs, axis=0)
    keys = jax.random.split(jax.random.key(seed), len(which))
    place, schedule, rate = which.T
    found = many(sampled)(knots[schedule], log_ref[place], success[place], rates[rate], keys)
    return {
        "schedule_mean": np.asarray(exact),
        "schedule_slopes": np.asarray(slopes),
        "schedule_runs": np.asarray(found, np.float32).reshape(len(log_ref), len(knots), len(rates), runs),
    }


def _designs(calculator: Calculator) -> dict[str, np.ndarray]:
    """What the optimiser of recipes finds: lengths for the worked example, schedules of q for the exact mean."""
    worked = examples.worked()
    family = partial(switch, members=[by_clock(each) for each in (*CLOCKS.values(), *COLD_CLOCKS)])

    def length(share: Any, price: Any, clock: Any) -> jax.Array:
        rl = recipe.rlvr(until=TARGET, algorithm=family(clock), price=price)
        plan = recipe.Recipe((recipe.sft(demonstrations=share, time=8.0), rl))
        return recipe.optimize(plan, worked, free=("0.time",)).recipe.phases[0].time

    def schedule(log_ref: Any, success: Any) -> jax.Array:
        start = _scheduled(np.full(5, 0.5), FINE)
        options = {"objective": "accuracy", "steps": 60, "optimizer": optax.adam(0.2)}
        found = recipe.optimize(start, Problem(log_ref, success), free=("0.q",), **options)
        return found.recipe.phases[0].q.knots

    cells = np.array(list(np.ndindex(3, len(PRICES), len(CLOCKS))))
    shares, prices = np.array([0.1, 0.5, 0.9])[cells[:, 0]], np.array(PRICES)[cells[:, 1]]
    log_ref, success = padded([worked] * len(cells))
    mu, best = mixture(log_ref, success, shares), []
    for i, (price, clock) in enumerate(zip(prices, cells[:, 2], strict=True)):
        rl_time, slope = calculator.curves(log_ref[i : i + 1], success[i : i + 1], mu[i : i + 1], int(clock))
        best.append(best_split(calculator.times, rl_time, slope, price)[0][0])
    return {
        "design_cells": cells,
        "design": np.asarray(jax.vmap(length)(shares, prices, cells[:, 2].astype(float))),
        "design_grid": np.array(best),
        "design_q": np.asarray(jax.vmap(schedule)(*padded([worked, Problem.from_probs(**RARE)]))),
    }


def _around(data: Mapping[str, np.ndarray]) -> tuple[int, int, int]:
    """Best splits on the grid, how many are interior, and how many have the derivative's zero next to them."""
    times, price = data["times"], data["prices"][:, None]
    total = times + price * data["rl_time"][:, :, None]
    rate = 1 + price * data["slope"][:, :, None]
    lowest = total.argmin(axis=-1)
    left = np.take_along_axis(rate, np.maximum(lowest - 1, 0)[..., None], -1)[..., 0]
    right = np.take_along_axis(rate, np.minimum(lowest + 1, len(times) - 1)[..., None], -1)[..., 0]
    start, end = lowest == 0, lowest == len(times) - 1
    bracketed = (start | (left < 0)) & (end | (right > 0)) & (~start | (rate[..., 0] >= 0))
    return lowest.size, int((~start & ~end).sum()), int(bracketed.sum())


def _growth_slopes(data: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lengths' slopes in log γ, [n, shares, clocks, prices], and what they should be, [n, shares]."""
    large = data["gammas"] > LARGE
    lengths = np.moveaxis(data["lengths"], 3, 0)[large]
    log_gamma = np.log(data["gammas"][large])
    centred = log_gamma - log_gamma.mean()
    slopes = np.tensordot(centred, lengths, 1) / np.sum(centred**2)
    return slopes, (1 - 1 / np.array([[3], [5]])) / data["growth_shares"]


def _schedule_scores(data: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean accuracy of each schedule at its best learning rate, and standard error, [problems, schedules].

    The rate is chosen on one half of the runs, the accuracy is that of the other half.
    """
    runs = data["schedule_runs"].astype(float)
    half = runs.shape[-1] // 2
    chosen = runs[..., :half].mean(axis=-1).argmax(axis=-1)
    rest = np.take_along_axis(runs[..., half:], chosen[..., None, None], axis=2)[:, :, 0]
    return rest.mean(axis=-1), rest.std(axis=-1) / np.sqrt(half)


def _falling(data: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """By how many standard errors q: 1 → 0 beats the best constant q, and q: 0 → 1; in which problems it does both."""
    score, error = _schedule_scores(data)
    names, rows = list(SCHEDULES), np.arange(len(score))
    falling = names.index("q: 1 → 0")
    z, reverse = (
        (score[:, falling] - score[rows, other]) / np.hypot(error[:, falling], error[rows, other])
        for other in (score[:, :5].argmax(axis=1), names.index("q: 0 → 1"))
    )
    return z, reverse, [name for name, won in zip(PROBLEMS, (z > 3) & (reverse > 3), strict=True) if won]


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Stopping rule, lengths against price and γ, least quality, cold starts, schedules of q."""
    figure, axes = plot.new((10.6, 6.4), nrows=2, ncols=3)
    for panel, ax in zip((_rule, _prices, _lengths, _least, _cold_starts, _sampled), axes.flat, strict=True):
        panel(data, ax)
    return figure


SHADES = ("#A1D99B", "#41AB5D", "#00441B")


def _rule(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    i, times = int(data["middle"]), data["times"]
    for price, color in zip(PRICES, SHADES, strict=True):
        saved = -price * data["slope"][0, i]
        ax.plot(times[1:], saved[1:], color=color, label=f"RL costs {price:g} ×")
        place = int(np.argmin(np.abs(data["prices"] - price)))
        ax.plot(data["best"][0, i, place], 1, "o", color=color, markeredgecolor="black", markersize=6)
    ax.axhline(1, color="black", linestyle="--", linewidth=1)
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(0.3, 40),
        ylim=(0.1, 3e4),
        xlabel=f"SFT time   (share of demonstrations {data['shares'][i]:.2f})",
        ylabel="RL cost saved by a unit of SFT",
    )
    ax.legend(loc="upper right")
    ax.set_title("Stop when a unit saves less than 1")


def _prices(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    shares = data["shares"]
    picked = [int(np.argmin(np.abs(shares - x))) for x in (0.1, 0.26, 0.5, 0.9)]
    shades = (plot.RIVAL, "#A1D99B", "#41AB5D", "#00441B")
    for i, color in zip(dict.fromkeys(picked), shades, strict=False):
        ax.plot(data["prices"], data["best"][0, i], color=color, label=f"x = {shares[i]:.2f}")
    ax.set(xscale="log", xlabel="price c of RL time", ylabel="best SFT time", xlim=(0.01, 1e4))
    ax.legend(loc="upper left", title="share of demonstrations", title_fontsize=8)
    ax.set_title("Good data: even free SFT has an end")


def _lengths(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    _, law = _growth_slopes(data)
    gamma = data["gammas"]
    for i, (share, color) in enumerate(zip(data["growth_shares"], SHADES, strict=True)):
        for n, mark in enumerate("os"):
            length = data["lengths"][n, i, 0, :, 0]
            label = f"x = {share:g}" if n == 0 else None
            ax.plot(gamma, length, mark, color=color, markersize=4, label=label)
            line = length[-1] + law[n, i] * np.log(gamma / gamma[-1])
            ax.plot(gamma[gamma > 1e3], line[gamma > 1e3], "-" if n == 0 else "--", color=color, linewidth=1)
    ax.set(xscale="log", xlabel="entanglement γ   (RL alone: γⁿ⁻¹)", ylabel="best SFT time", ylim=(0, None))
    ax.legend(loc="upper left", title="circles n = 3, squares n = 5", title_fontsize=8)
    ax.set_title("Law (lines): (1 − 1/n)/x · log γ")


def _least(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    gain = 100 * np.maximum(data["quality_gain"], 0)
    for row in gain:
        ax.plot(RATIOS, row, "-", color=plot.color("sft"), linewidth=0.6, alpha=0.6)
    ax.axvline(1, color="black", linestyle="--", linewidth=1)
    ax.set(
        xscale="log",
        xlabel="share of demonstrations / x₁",
        ylabel="cost saved at the best split (%)",
        ylim=(-0.4, None),
    )
    ax.set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    ax.minorticks_off()
    ax.set_title("Data are worth their SFT above x₁")


def _cold_starts(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    styles = (
        ("q = 0 (RLVR)", plot.color("rlvr"), "-"),
        ("q = 1, exact = SFT", plot.color("sft"), "-"),
        ("q = 1, groups of 8", plot.color("tsallis"), "--"),
    )
    for log_time, (name, color, line) in zip(data["cold_log_time"], styles, strict=True):
        ax.plot(1 / data["cold"], np.exp(log_time), line, color=color, label=name)
    ax.set(xscale="log", yscale="log", xlabel="1/p₀", ylabel="time to accuracy ½")
    ax.legend(loc="upper left")
    ax.set_title("A group cannot see what SFT is shown")


def _sampled(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    score, error = _schedule_scores(data)
    places = np.arange(len(SCHEDULES))
    for row, bar, name, color, shift in zip(
        score, error, PROBLEMS, plot.CYCLE[6:8], (-0.1, 0.1), strict=True
    ):
        ax.errorbar(places + shift, row, 2 * bar, fmt="o", color=color, label=name, capsize=2)
    ax.set_xticks(places, list(SCHEDULES), rotation=45)
    ax.minorticks_off()
    ax.set(ylabel=f"accuracy after {STEPS} steps, best rate")
    ax.margins(y=0.3)
    ax.legend(loc="lower left")
    _, _, won = _falling(data)
    ax.set_title(f"Sampled, q: 1 → 0 is best: {', '.join(won)}" if won else "Sampled, q: 1 → 0 buys nothing")


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Best splits, derivative, prices, least quality, lengths, mixtures, cold starts, schedules."""
    return [*_splits(data), *_data_needed(data), *_length_law(data), *_q(data)]


def _splits(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    count, interior, near = _around(data)
    slope, difference = data["slope"][0, int(data["middle"]), 1:], data["difference"]
    error = np.abs(slope - difference) / (1 + np.abs(difference))
    longest = data["rl_time"][0].min(axis=-1) >= data["rl_time"][0, :, -1] * (1 - 1e-4)
    waste = (data["rl_time"][0, :, -1] / data["rl_time"][0].min(axis=-1)).max()
    poor = np.arange(len(longest)) < longest.sum()  # as many of the smallest shares
    listed = ", ".join(f"{share:.2f}" for share in data["shares"][longest]) or "none"
    found = [
        Verdict(
            "The best split of SFT and RL is where a unit of SFT stops saving its own cost, "
            "c T_rl g·(μ − π) = −1.",
            DERIVED,
            "the derivative's sign changes within one spacing of the least total on a grid",
            f"in {near} of {count} cases: worked example, {len(CLOCKS)} clocks, {len(data['shares'])} shares, "
            f"{len(data['prices'])} prices ({interior} splits inside the grid)",
            verdict(near == count and interior > 0),
        ),
        Verdict(
            "The sensitivity of the orbit times the velocity of SFT is the derivative of the RL time in the "
            "SFT time.",
            DERIVED,
            "finite differences: 0 apart",
            f"at most {error.max():.0e} relative to 1 + |derivative| at {error.size} SFT times",
            verdict(error.max() < 1e-3),
        ),
        Verdict(
            "Where SFT is free, the longer the better.",
            "a plausible reading of " + SOURCE,
            "RL time after SFT never rises with its length",
            f"endless SFT is best for shares {listed} of {data['shares'][0]:.1f} … {data['shares'][-1]:.1f} (the "
            f"regime threshold is at {data['needed']:.2f}); for others RL takes up to {waste:.3f} × longer than after "
            "the best length",
            f"{ONLY_IF}the data are poor, x ≤ {data['shares'][longest].max():.2f}"
            if longest.any() and not longest.all() and (longest == poor).all()
            else verdict(longest.all()),
        ),
    ]
    if "design" in data:
        ratio = data["times"][2] / data["times"][1]
        apart = np.abs(np.log(data["design"] / data["design_grid"]))
        found.append(
            Verdict(
                "Gradient descent through SFT and orbit finds the best split.",
                DERIVED,
                f"within one spacing of the grid (factor {ratio:.3f})",
                f"{(apart < np.log(ratio)).sum()} of {apart.size} (3 shares, {len(PRICES)} prices, "
                f"{len(CLOCKS)} clocks), at most a factor {np.exp(apart.max()):.4f} off",
                verdict((apart < np.log(ratio)).all()),
            )
        )
    return found


def _data_needed(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    gain, ratios = data["quality_gain"] > 1e-9, np.array(RATIOS)
    possible = data["quality_least"][:, None] * ratios <= 1
    above, below = (ratios > 1) & possible, (ratios < 1) & possible
    enough, early = float(gain[above].mean()), float(gain[below].mean())
    least, needed = data["quality_least"], data["quality_needed"]
    entangled = needed > 0
    cheap, wasted = (least < needed)[entangled].sum(), (~entangled).sum()
    best, names = data["mixture_total"].argmin(axis=1), data["mixture_best"]
    pure = data["mixtures"][best, names] == 1
    worse = data["mixture_total"][np.arange(len(best)), np.argmax(_pure(data), axis=1)]
    loss = (worse / data["mixture_total"].min(axis=1)).max()
    return [
        Verdict(
            "SFT pays iff the share of demonstrations exceeds x₁ = 1/{c T_rl (g·π_ref − g_r*)}.",
            DERIVED + "; exact for the first instant, read here as a threshold for any length",
            "a gain at the best split above x₁, none below",
            f"{least.size} random problems: gain in {gain[above].sum()} of {above.sum()} cases above (1.05 … 4 "
            f"x₁), in {gain[below].sum()} of {below.sum()} below (¼ … .95 x₁); median x₁ {np.median(least):.3f}",
            f"{ONLY_IF}read as enough, not as needed"
            if enough == 1 and early > 0
            else verdict(enough == 1 and early == 0),
        ),
        Verdict(
            "Data must reach the threshold of the fast regime to be worth their SFT, and then are.",
            "a plausible reading of " + SOURCE,
            "worth it on the same side of x₀",
            f"{cheap} of {entangled.sum()} entangled problems gain from less (median x₁/x₀ "
            f"{np.median(least[entangled] / needed[entangled]):.3f}); in the {wasted} fast ones, where x₀ = 0, "
            f"{gain[below & ~entangled[:, None]].sum()} of {(below & ~entangled[:, None]).sum()} shares below x₁ "
            "gain",
            verdict(cheap == 0 and (least[~entangled] == 0).all()),
        ),
        Verdict(
            "Of all mixtures of patterns, pure demonstrations of r* cost least.",
            DERIVED + ", as a guess",
            "least total at μ = e_r*",
            f"{pure.sum()} of {pure.size} problems with 3 patterns ({len(data['mixtures'])} mixtures each, best "
            f"length for each); pure r* costs at most {loss:.3f} × the least",
            verdict(pure.all()),
        ),
    ]


def _pure(data: Mapping[str, np.ndarray]) -> np.ndarray:
    """[problems, mixtures], which mixture is e_r*."""
    return data["mixtures"].T[data["mixture_best"]] == 1


def _length_law(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    slopes, law = _growth_slopes(data)
    ratio = slopes / law[..., None, None]
    log_gamma = np.log(data["gammas"])
    alone = np.polyfit(log_gamma, np.log(data["alone"][:, 0, 0]).T, 1)[0]
    total = data["totals"] / np.array(PRICES[::2])
    flat = np.log(total[..., -1, :] / total[..., 0, :]) / (log_gamma[-1] - log_gamma[0])
    return [
        Verdict(
            "The best SFT length grows by (1 − 1/n)/x for each unit of log γ, whatever the clock and the price.",
            DERIVED,
            "slope over law: 1, within a tenth at γ from 10⁶ to 10¹³",
            f"{ratio.min():.3f} … {ratio.max():.3f} over n = 3 and 5, x = .2, .5, .9, {len(CLOCKS)} clocks, "
            f"prices {PRICES[0]:g} and {PRICES[2]:g}",
            verdict(np.abs(ratio - 1).max() < 0.1),
        ),
        Verdict(
            "SFT at its best length removes the stall at every clock and price.",
            SOURCE,
            "total cost grows slower than any power of γ; alone like γ^{n−1}",
            f"exponent of the cost over γ = 10 … 10¹³ at most {flat.max():.3f} (also at x = .2, below the regime "
            f"threshold); REINFORCE alone {alone[0]:.2f} (n = 3) and {alone[1]:.2f} (n = 5)",
            verdict(flat.max() < 0.1 and (alone > 1).all()),
        ),
    ]


def _q(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    log_time, names = data["cold_log_time"], list(SCHEDULES)
    reach = np.log(1 / data["cold"])
    exponent = (log_time[:, -1] - log_time[:, -3]) / (reach[-1] - reach[-3])
    ratio = np.exp(log_time[1]) / reach
    logarithmic = abs(ratio[-1] / ratio[-3] - 1) < 0.1
    exact, seen = logarithmic and abs(exponent[0] - 1) < 0.05, exponent[2] < 0.5
    mean, optimum = data["schedule_mean"], ""
    if "design_q" in data:
        optimum = f"; the optimiser takes every knot from ½ to {data['design_q'].min():.2f} or above"
    top = mean[:, names.index("q = 1")]
    score, _ = _schedule_scores(data)
    falling, rising = names.index("q: 1 → 0"), names.index("q: 0 → 1")
    constant = score[:, :5].argmax(axis=1)
    z, reverse, won = _falling(data)
    text = "; ".join(
        f"{name}: {score[i, falling]:.4f} against {score[i, constant[i]]:.4f} for {names[constant[i]]} "
        f"(z = {z[i]:.1f}) and {score[i, rising]:.4f} for q: 0 → 1 (z = {reverse[i]:.1f})"
        for i, name in enumerate(PROBLEMS)
    )
    return [
        Verdict(
            "q = 1 turns a cold start of Ω(1/p₀) into Θ(log 1/p₀).",
            COLD_START,
            "exponent of the time in 1/p₀: 1 at q = 0, a constant times log 1/p₀ at q = 1, sampled or not",
            f"exponents {exponent[0]:.3f} at q = 0, {exponent[1]:.3f} at q = 1 with exact gradients (time / log 1/p₀ "
            f"= {ratio[-1]:.3f}), {exponent[2]:.3f} at q = 1 with groups of {GROUP}",
            f"{ONLY_IF}the right answers are shown, not sampled" if exact and not seen else verdict(exact),
        ),
        Verdict(
            "In expectation no schedule of q beats q = 1 throughout.",
            DERIVED,
            "derivative of the final accuracy in every knot positive; best at q = 1",
            f"least derivative {data['schedule_slopes'].min():.0e}; q: 1 → 0 falls short by "
            f"{(top - mean[:, falling]).max():.4f}, q = 0 by {(top - mean[:, 0]).max():.2f}" + optimum,
            verdict((data["schedule_slopes"] > 0).all() and (top >= mean.max(axis=1)).all()),
        ),
        Verdict(
            "Sampled, the schedule q: 1 → 0 (SFT, then RL) is better than every constant q, and than q: 0 → 1.",
            COLD_START,
            "accuracy higher by more than 3 standard errors, each at its best learning rate",
            text,
            verdict(won) if len(won) in (0, len(PROBLEMS)) else f"{ONLY_IF}the problem is: {', '.join(won)}",
        ),
    ]
