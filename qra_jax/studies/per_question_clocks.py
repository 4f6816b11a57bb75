r"""Which clock do the questions of a real run follow?

A question alone has its own clock: with two patterns, right and wrong, its logit moves as $\dot z\propto f(\rho)$ with
f = 4ρ(1 − ρ) for REINFORCE, its root for mean-field GRPO, 1 for the natural gradient, so $f=(4\rho(1-\rho))^a$ with the
clock exponent a = 1, ½, 0. The claim is that the questions of a real GRPO run (1209 questions, about 51 visits of 8
rollouts) share one speed of the logit, a near 0: the natural gradient's clock is said to beat mean-field GRPO by
125 nats, GRPO with G = 8 by 252 and REINFORCE by 333.

Attacked by letting something else vary, one at a time: the common course of time, the questions' rates (lognormal,
normal), a random walk of each logit, a ceiling of each question's accuracy; and by questions chosen in the middle by
their first ten visits, fitted on the others. An exponent counts as rejected when its likelihood falls behind that of
the fitted one by 1.96 standard deviations over questions (Vuong).

Ceilings are a grid of five. Middle starters with lognormal rates were added after those with one rate had come out at
a = −.5 on that run: fast questions are then the high ones.

Controls: histories made by each clock with the same numbers, to which the same estimator is put.

What could make tabular clocks look so? Questions are trained by this package with θ_q = log π_ref + √(1 − s) own
+ √s shared parameter. Predicted before any run: SGD moves $\dot z_q\propto(1-s)f(\rho_q)+s\sum f$, so a goes from the
algorithm's own at s = 0 to 0 at s = 1, and is below ¼ of its own already at s = .1 with a hundred questions; sign
descent has a = 0 for every s; Adam, which divides by the memory of its gradients, is between 0 and ½ of SGD's.

Without the folder of real runs the controls and a simulated stand-in for the run are all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax._roots import brent
from qra_jax.algorithm import grpo, reinforce
from qra_jax.fit.questions import (
    Histories,
    MeasuredRun,
    QuestionModel,
    clock_tables,
    likelihood,
    read_histories,
)
from qra_jax.problem import Problem
from qra_jax.studies.base import ONLY_IF, Verdict, verdict, wilson
from qra_jax.training import train

TITLE = "Per-question clocks: the questions of a real run do not run on their own tabular clocks"
SOURCE = "theory of this package; a real GRPO run over 1209 questions"
DATA_NEEDED = "a folder with a CSV file of per-question histories (columns prompt_id, visit1, visit2, …)"
GROUP, VISITS = 8, 51
RISE = 0.15
"""By how much mean accuracy rises in simulated runs, as in the real one."""
MEAN, SPREAD = -1.0, 3.0
"""Normal distribution of starting logits where no real run gives one."""
TRUE = {"natural gradient": 0.0, "GRPO, mean field": 0.5, "REINFORCE": 1.0, "natural gradient ÷ std": -0.5}
"""Clocks that are powers of 4ρ(1 − ρ), by exponent."""
EXACT = f"GRPO, G = {GROUP}"
BINNED = ("natural gradient", "GRPO, mean field", EXACT, "REINFORCE")
REPORTED = {"GRPO, mean field": 125, EXACT: 252, "REINFORCE": 333}
FAMILY = {-0.5: 1198, -0.1: 26, 0.25: 29, 0.5: 125, 1.0: 333}
"""Nats by which an exponent is said to fall short of a = 0."""
VARIANTS: dict[str, QuestionModel] = {
    "one rate": QuestionModel(),
    "middle starters": QuestionModel(),
    "middle, lognormal rates": QuestionModel(rates="lognormal"),
    "free course of time": QuestionModel(course=6),
    "lognormal rates": QuestionModel(rates="lognormal"),
    "normal rates": QuestionModel(rates="normal"),
    "random walks": QuestionModel(drift=True),
    "own ceilings": QuestionModel(ceilings=True),
}
QUICK = ("one rate",)
TRIED = np.array([-0.75, -0.25, 0.0, 0.5, 1.0])
"""Exponents at which every variant is fitted, besides the best."""
CHOOSING, MIDDLE = 10, (0.2, 0.8)
"""Visits by which the middle is chosen, and its range of accuracy."""
EDGES = np.array([0.0, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.001])
ODD, EVEN, LATE = slice(0, 10, 2), slice(1, 10, 2), slice(41, 51)
Z95 = 1.959964
TRAINED, STEPS = 300, 1000
"""Questions and steps of the runs with shared parameters."""
RESOLUTION = 0.25
"""Standard error at which 0 and ½ are two apart; exponents of trained questions say nothing if theirs are larger."""
OVERLAPS = np.array([0, 0.001, 0.01, 0.1, 1.0])
OPTIMIZERS = {"SGD": optax.sgd, "Adam": optax.adam, "sign": optax.sign_sgd}
ALGORITHMS = {"REINFORCE": reinforce(group_size=GROUP), "GRPO": grpo(GROUP)}


def compute(*, quick: bool, seed: int = 0, folder: Path | None = None) -> dict[str, np.ndarray]:
    """The run (or its stand-in) under all clocks and variants, simulated controls, and trained questions."""
    rng = np.random.default_rng(seed)
    real = None if folder is None else find(folder)
    size = 300 if quick else 1209
    z0 = rng.normal(MEAN, SPREAD, size)
    run = simulate(rng, clock_tables(GROUP)["natural gradient"], z0) if real is None else real
    data: dict[str, Any] = {"real": np.array(real is not None), "shape": np.array([*run.correct.shape])}
    data |= _clocks(run) | _binned(run)
    for name in QUICK if quick or real is None or run.visits < 2 * CHOOSING else VARIANTS:
        data |= {f"variant/{name}/{key}": value for key, value in _variant(name, run).items()}
    data |= _controls(rng, run if real is not None and not quick else None, size, 2 if quick else 4)
    data |= _trained(rng, quick)
    return {key: np.asarray(value) for key, value in data.items()}


def find(folder: Path) -> Histories | None:
    """The histories in a folder, known by their header.

    Args:
      folder: where to look.

    Returns:
      Those of the first such file by name, if there is one.
    """
    for path in sorted(Path(folder).glob("*.csv")):
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            if "visit2" in [cell.strip() for cell in file.readline().split(",")]:
                return read_histories(path)
    return None


def simulate(
    rng: np.random.Generator, table: np.ndarray, z0: np.ndarray, *, group: int = GROUP, visits: int = VISITS
) -> Histories:
    """Histories made by one clock, at the rate at which mean accuracy rises by `RISE`.

    Args:
      rng: for the rollouts.
      table: `[FINE]`, log speed of the clock.
      z0: `[questions]`, starting logits.
      group: rollouts a visit.
      visits: visits.

    Returns:
      The histories.
    """
    place = lambda length: 1 / (1 + np.exp(-_path(table, z0, length * np.linspace(0, 1, visits))))  # noqa: E731

    def above(length: float) -> float:
        rho = place(length)
        return rho[:, -1].mean() - rho[:, 0].mean() - RISE

    correct = rng.binomial(group, place(brent(above, 0.0, 30.0)))
    return Histories(correct, np.ones(correct.shape, bool), group, tuple(map(str, range(len(z0)))))


def _clocks(run: Histories) -> dict[str, Any]:
    """Each clock's log likelihood by question, the family's, and how adequate the best is."""
    fitting = MeasuredRun(run)
    named = {name: fitting.fit(table=table) for name, table in clock_tables(run.group_size).items()}
    family = [fitting.fit(exponent=a) for a in FAMILY]
    dispersion = fitting.dispersion(named["natural gradient"])
    return {
        "clock_names": np.array(list(named)),
        "clocks": np.array([found.log_likelihood for found in named.values()]),
        "family": np.array([found.log_likelihood for found in family]),
        "dispersion": np.array(dispersion),
    }


def _variant(name: str, run: Histories) -> dict[str, Any]:
    """Best exponent, and log likelihoods by question there and at the exponents `TRIED`."""
    if name.startswith("middle"):
        early = run.accuracy(slice(0, CHOOSING))
        run = run.part(np.flatnonzero((early >= MIDDLE[0]) & (early <= MIDDLE[1])), slice(CHOOSING, None))
    fitting = MeasuredRun(run, VARIANTS[name])
    best = fitting.fit()
    tried = [fitting.fit(exponent=float(a), start=best.theta) for a in TRIED]
    best = max([best, *tried], key=lambda found: float(found.log_likelihood.sum()))
    return {
        "theta": best.theta,
        "best": best.log_likelihood,
        "tried": np.array([found.log_likelihood for found in tried]),
        "dispersion": np.array(fitting.dispersion(best)),
    }


def _binned(run: Histories) -> dict[str, Any]:
    """Change of logit in bins of accuracy on odd early visits, from even early ones to late ones.

    Predicted for each clock from its fit, the starts given the odd early visits.
    """
    fitting, tables = MeasuredRun(run), clock_tables(run.group_size)
    odd = run.accuracy(ODD)
    bins = np.digitize(odd, EDGES) - 1
    end = LATE if run.visits >= LATE.stop else slice(max(run.visits - 10, 0), run.visits)
    early, late = run.accuracy(EVEN), run.accuracy(end)
    known = np.isfinite(odd) & np.isfinite(early) & np.isfinite(late)
    expected = []
    for name in BINNED:
        name = f"GRPO, G = {run.group_size}" if name == EXACT and run.group_size > 1 else name
        found = fitting.fit(table=tables[name])
        course = likelihood.times(fitting.model, found.theta, run.visits)
        path = _path(tables[name], fitting.z0, course)
        rho = 1 / (1 + np.exp(-path))
        right, wrong = (np.asarray(array)[:, ODD] for array in (fitting.right, fitting.wrong))
        chance = right @ np.log(rho[:, ODD]).T - wrong @ np.logaddexp(0, path[:, ODD]).T
        belief = np.exp(chance - chance.max(axis=1, keepdims=True)) * np.asarray(found.weights)
        belief /= belief.sum(axis=1, keepdims=True)
        expected.append([belief @ rho[:, part].mean(axis=1) for part in (EVEN, end)])
    rows = []
    for b in range(len(EDGES) - 1):
        chosen = known & (bins == b)
        if chosen.sum() < 10:
            rows.append([np.nan] * (3 + len(expected)))
            continue
        change = [
            _logit(lt[chosen].mean()) - _logit(e[chosen].mean()) for e, lt in [(early, late), *expected]
        ]
        m, n = early[chosen].mean(), late[chosen].mean()
        own = late[chosen] / (n * (1 - n)) - early[chosen] / (m * (1 - m))
        rows.append([odd[chosen].mean(), change[0], own.std(ddof=1) / np.sqrt(chosen.sum()), *change[1:]])
    return {"bins": np.array(rows)}


def _path(log_speed: Any, z0: Any, course: Any) -> np.ndarray:
    """Logits `[questions, visits]` under a clock."""
    return np.asarray(_logits(jnp.asarray(log_speed), jnp.asarray(z0), jnp.asarray(course)))


_logits = jax.jit(likelihood.logits)


def _logit(rho: np.ndarray | float) -> Any:
    rho = np.clip(rho, 1e-6, 1 - 1e-6)
    return np.log(rho / (1 - rho))


def _controls(rng: np.random.Generator, run: Histories | None, size: int, repeats: int) -> dict[str, Any]:
    """Histories made by each clock: the exponent found, twice the nats above the true one, and the best clock."""
    tables = clock_tables(GROUP)
    makers = [*TRUE, EXACT]
    found, excess, chosen = (np.zeros((len(makers), repeats)) for _ in range(3))
    chosen = chosen.astype(int)
    for i, maker in enumerate(makers):
        starts, weights = None, None
        if run is not None:
            fitting = MeasuredRun(run)
            starts, weights = np.asarray(fitting.z0), np.asarray(fitting.fit(table=tables[maker]).weights)
        for j in range(repeats):
            z0 = rng.normal(MEAN, SPREAD, size)
            if starts is not None and weights is not None:
                z0 = rng.choice(starts, size, p=weights / weights.sum())
            fitting = MeasuredRun(simulate(rng, tables[maker], z0))
            best = fitting.fit()
            found[i, j] = float(best.theta[0])
            totals = [float(fitting.fit(table=tables[name]).log_likelihood.sum()) for name in makers]
            chosen[i, j] = int(np.argmax(totals))
            excess[i, j] = 2 * (float(best.log_likelihood.sum()) - totals[i])
    return {
        "control/makers": np.array(makers),
        "control/found": found,
        "control/excess": excess,
        "control/chosen": chosen,
    }


def _trained(rng: np.random.Generator, quick: bool) -> dict[str, Any]:
    """Exponents of questions trained with own and shared parameters, and their standard errors.

    `[algorithms, overlaps, 2]` for every optimiser on exact means, `[algorithms, 2]` for Adam on sampled groups at
    s = 0; a quick run has GRPO with SGD and Adam only.
    """
    overlaps, names = (OVERLAPS[[0, 3, 4]], ("GRPO",)) if quick else (OVERLAPS, tuple(ALGORITHMS))
    z0 = rng.normal(0, 2, TRAINED)
    found = {"trained/z0": z0, "trained/overlaps": overlaps, "trained/algorithms": np.array(names)}
    for optimizer in ("SGD", "Adam") if quick else OPTIMIZERS:
        rows = [[_measured(rng, z0, optimizer, name, s) for s in overlaps] for name in names]
        found[f"trained/{optimizer}"] = np.array(rows)
    if not quick:
        rows = [_measured(rng, z0, "Adam", name, 0.0, mode="sampled") for name in names]
        found["trained/sampled Adam"] = np.array(rows)
    return found


def _measured(
    rng: np.random.Generator, z0: np.ndarray, optimizer: str, name: str, overlap: float, mode: str = "mean"
) -> tuple[float, float]:
    """Exponent and its standard error of a trained run, by rollouts taken while mean accuracy rises by `RISE`.

    The error is infinite where the likelihood does not fall beside the best exponent.
    """
    rho = 1 / (1 + np.exp(-z0))
    slope = rho * (1 - rho)
    own = slope * np.asarray(ALGORITHMS[name].clock(jnp.asarray(rho)))
    speed = (1 - overlap) * own + overlap * own.sum()
    if optimizer != "SGD":
        speed = np.sqrt(1 - overlap) + np.sqrt(overlap)
    rate = 3 * RISE / (STEPS * np.mean(slope * speed))
    key = jax.random.key(int(rng.integers(2**31)))
    rho = np.asarray(_train(optimizer, name, mode, key, jnp.asarray(z0), overlap, rate))
    gain = rho.mean(axis=0) - rho.mean(axis=0)[0]
    last = int(np.argmax(gain >= RISE)) if (gain >= RISE).any() else len(gain) - 1
    at = np.linspace(0, last, VISITS)
    seen = np.stack([np.interp(at, np.arange(len(gain)), row) for row in rho])
    correct = rng.binomial(GROUP, np.clip(seen, 0, 1))
    fitting = MeasuredRun(
        Histories(correct, np.ones(correct.shape, bool), GROUP, tuple(map(str, range(TRAINED))))
    )
    best = fitting.fit()
    a, step = float(best.theta[0]), 0.2
    beside = fitting.fit(exponent=a + step, start=best.theta)
    fall = float(best.log_likelihood.sum() - beside.log_likelihood.sum())
    return a, step / np.sqrt(2 * fall) if fall > 0 else np.inf


@partial(jax.jit, static_argnums=(0, 1, 2))
def _train(
    optimizer: str, name: str, mode: str, key: jax.Array, z0: jax.Array, overlap: Any, rate: Any
) -> jax.Array:
    """Accuracies of all questions while they are trained together, `[questions, records]`."""
    questions = len(z0)
    log_ref = jax.nn.log_softmax(jnp.stack([z0, jnp.zeros_like(z0)], axis=1), axis=1)
    success = jnp.tile(jnp.array([[1.0, 0.0]]), (questions, 1))
    first = lambda row: jnp.stack([row, jnp.zeros_like(row)], axis=1)  # noqa: E731 (the wrong pattern has no feature)
    own, shared = first(jnp.eye(questions)), first(jnp.ones((questions, 1)))
    run = train(
        key,
        Problem(log_ref, success),
        steps=STEPS,
        record_every=STEPS // 200,
        algorithm=ALGORITHMS[name],
        optimizer=OPTIMIZERS[optimizer],
        learning_rate=rate,
        features=jnp.concatenate([jnp.sqrt(1 - overlap) * own, jnp.sqrt(overlap) * shared], axis=-1),
        mode=mode,
    )
    return jnp.exp(run.log_policy[:, :, 0])


def behind(data: Mapping[str, np.ndarray], name: str, a: float) -> tuple[float, float]:
    """Nats by which exponent a of `TRIED` falls short in a variant, and their deviation over questions."""
    own = data[f"variant/{name}/best"] - data[f"variant/{name}/tried"][int(np.flatnonzero(a == TRIED)[0])]
    return float(own.sum()), float(np.sqrt(len(own)) * own.std())


def rejected(data: Mapping[str, np.ndarray], name: str, a: float) -> bool:
    """Whether it falls short by more than 1.96 deviations."""
    total, deviation = behind(data, name, a)
    return total > Z95 * deviation


def exponent(data: Mapping[str, np.ndarray], name: str) -> tuple[float, float, float]:
    """Exponent of a variant and the ends of its 95 % profile interval, where ±√(2 nats) crosses 1.96."""
    best = float(data[f"variant/{name}/theta"][0])
    short = data[f"variant/{name}/best"].sum() - data[f"variant/{name}/tried"].sum(axis=1)
    a = np.append(TRIED, best)
    root = np.append(np.sign(TRIED - best) * np.sqrt(2 * np.maximum(short, 0)), 0.0)
    order = np.argsort(a)
    low, high = np.interp([-Z95, Z95], np.maximum.accumulate(root[order]), a[order])
    return best, float(low), float(high)


def shown(data: Mapping[str, np.ndarray]) -> list[str]:
    """The variants that were fitted."""
    return [name for name in VARIANTS if f"variant/{name}/theta" in data]


def binned_misfit(data: Mapping[str, np.ndarray]) -> np.ndarray:
    """χ² of the bins under each of the clocks `BINNED`."""
    rows = data["bins"][np.isfinite(data["bins"][:, 0])]
    return (((rows[:, 1:2] - rows[:, 3:]) / rows[:, 2:3]) ** 2).sum(axis=0)


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Exponent under every variant; change of logit by bin; controls; trained questions."""
    figure, axes = plot.new((9.8, 6.8), nrows=2, ncols=2)
    _forest(data, axes[0, 0])
    _bins(data, axes[0, 1])
    _recovered(data, axes[1, 0])
    _coupled(data, axes[1, 1])
    return figure


def _forest(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    names = shown(data)[::-1]
    for a, label in ((0.0, "natural\ngradient"), (0.5, "GRPO,\nmean field"), (1.0, "REINFORCE")):
        ax.axvline(a, color=plot.color(label.replace("\n", " ")), linewidth=1.2, linestyle="--", zorder=0)
        ax.text(
            a,
            0.99,
            label,
            ha="center",
            va="top",
            fontsize=8,
            color=plot.color(label.replace("\n", " ")),
            transform=ax.get_xaxis_transform(),
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    for y, name in enumerate(names):
        best, low, high = exponent(data, name)
        ax.plot([low, high], [y, y], color="black", linewidth=2)
        ax.plot(best, y, "o", color="black", markersize=5)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlim=(-0.8, 1.2), ylim=(-0.6, 1.15 * len(names) - 0.2), xlabel="clock exponent a, 95 % interval")
    out = all(rejected(data, name, 1.0) for name in names)
    found = (
        "Real run: REINFORCE's clock is out whatever varies"
        if out
        else "Real run: it depends on what else varies"
    )
    ax.set_title(found if data["real"] else "No real run given: a stand-in made with a = 0")


def _bins(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    rows = data["bins"][np.isfinite(data["bins"][:, 0])]
    ax.errorbar(
        rows[:, 0],
        rows[:, 1],
        Z95 * rows[:, 2],
        fmt="o",
        color="black",
        capsize=2,
        label="measured",
        zorder=4,
    )
    for i, name in enumerate(BINNED):
        if 3 + i < rows.shape[1]:
            dashes = ":" if name == EXACT else "-"
            name = "GRPO, finite G" if name == EXACT else name
            ax.plot(rows[:, 0], rows[:, 3 + i], dashes, color=plot.color(name.replace(",", "")), label=name)
    ax.set(
        xlabel="accuracy on odd early visits", ylabel="change of logit, early to late visits", ylim=(0, None)
    )
    ax.legend(fontsize=8, loc="lower center")
    misfit = binned_misfit(data)
    fits = (
        "one speed for all fits best" if misfit[0] == misfit.min() else "one speed for all does not fit best"
    )
    ax.set_title(fits[0].upper() + fits[1:] if data["real"] else f"Stand-in: {fits}")


def _recovered(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    makers = [str(name) for name in data["control/makers"]]
    for x, (name, found) in enumerate(zip(makers, data["control/found"], strict=True)):
        if name in TRUE:
            ax.plot([x - 0.3, x + 0.3], [TRUE[name]] * 2, color=plot.MUTED, linewidth=4, zorder=0)
        ax.plot(np.full(len(found), x), found, "o", color=plot.color(name.replace(",", "")), markersize=5)
    ax.set_xticks(
        range(len(makers)),
        [name.replace(", ", ",\n").replace("natural gradient", "natural\ngradient") for name in makers],
    )
    ax.tick_params(axis="x", labelsize=7.5)
    ax.set(xlabel="clock that made the histories (grey: its exponent)", ylabel="exponent found")
    right = (data["control/chosen"] == np.arange(len(makers))[:, None]).mean()
    ax.set_title(f"Controls: the maker is recognised in {right:.0%}")


def _coupled(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    colors = {"SGD": plot.BEST, "Adam": plot.RIVAL, "sign": plot.CYCLE[4]}
    algorithms = [str(name) for name in data["trained/algorithms"]]
    overlaps = data["trained/overlaps"]
    for optimizer, color in colors.items():
        if f"trained/{optimizer}" not in data:
            continue
        for algorithm, rows in zip(algorithms, data[f"trained/{optimizer}"], strict=True):
            style = {
                "fmt": "o-" if algorithm == "GRPO" else "s--",
                "color": color,
                "capsize": 2,
                "markersize": 4,
            }
            ax.errorbar(overlaps, rows[:, 0], Z95 * rows[:, 1], label=f"{optimizer}, {algorithm}", **style)
    ax.axhline(0, color=plot.color("natural gradient"), linewidth=0.8, zorder=0)
    ax.set_xscale("symlog", linthresh=1e-3)
    ax.set(
        xlabel="share s of common parameters", ylabel="exponent found", ylim=(-0.35, 1.5), xlim=(-2e-4, 1.5)
    )
    ax.set_xticks([0, 1e-3, 1e-2, 1e-1, 1], ["0", ".001", ".01", ".1", "1"])
    ax.legend(fontsize=7.5, ncols=2, loc="upper right")
    shared, halved = _shared(data), _halved(data)
    ax.set_title(
        ("Sharing takes a to 0" if shared else "Sharing does not take a to 0")
        + (", Adam alone below half" if halved else ", Adam alone not below half")
    )


def _tenth(data: Mapping[str, np.ndarray]) -> int:
    return int(np.argmin(np.abs(data["trained/overlaps"] - 0.1)))


def _near(rows: np.ndarray, value: float) -> bool:
    """Whether exponents are resolved and within 3 standard errors of a value."""
    return bool((rows[:, 1] < RESOLUTION).all() and (np.abs(rows[:, 0] - value) < 3 * rows[:, 1]).all())


def _shared(data: Mapping[str, np.ndarray]) -> bool:
    """Whether SGD has the algorithm's own exponent at s = 0, below a quarter at s = .1, and 0 at s = 1."""
    sgd = data["trained/SGD"]
    own, tenth = sgd[:, 0], sgd[:, _tenth(data)]
    linear = data["trained/algorithms"] == "REINFORCE"
    return bool(
        _near(own[linear], 1.0)
        and (own[:, 0] > 3 * own[:, 1]).all()
        and (np.stack([own, tenth])[..., 1] < RESOLUTION).all()
        and (tenth[:, 0] < own[:, 0] / 4).all()
        and _near(sgd[:, -1], 0.0)
    )


def _halved(data: Mapping[str, np.ndarray]) -> bool:
    """Whether Adam's exponent without shared parameters is between 0 and half of SGD's."""
    sgd, adam = data["trained/SGD"][:, 0], data["trained/Adam"][:, 0]
    return bool(
        (np.stack([sgd, adam])[..., 1] < RESOLUTION).all()
        and (adam[:, 0] > -3 * adam[:, 1]).all()
        and (adam[:, 0] < sgd[:, 0] / 2 + 3 * np.hypot(adam[:, 1], sgd[:, 1] / 2)).all()
    )


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Rejection is 1.96 deviations over questions; exponents of simulated runs are compared by 3 standard errors.

    Those of trained questions must be resolved, too: standard errors below .25, which tells 0 from ½ at 2.
    """
    verdicts = [*_judge_real(data)] if data["real"] else []
    makers = [str(name) for name in data["control/makers"]]
    right = data["control/chosen"] == np.arange(len(makers))[:, None]
    powers = [i for i, name in enumerate(makers) if name in TRUE]
    covered = (data["control/excess"][powers] < Z95**2).ravel()
    low, high = wilson(covered.sum(), covered.size)
    sgd, adam = data["trained/SGD"], data["trained/Adam"]
    tenth = _tenth(data)
    flat = np.concatenate(
        [data[f"trained/{name}"].reshape(-1, 2) for name in ("sign",) if f"trained/{name}" in data]
        or [sgd[:, -1]]
    )
    named = ", ".join(map(str, data["trained/algorithms"]))
    return [
        *verdicts,
        Verdict(
            f"Simulated controls: of {len(makers)} clocks, the one that made the histories has the highest likelihood.",
            SOURCE,
            "in every draw",
            f"{right.sum()} of {right.size}",
            verdict(right.all()),
        ),
        Verdict(
            "Simulated controls: the 95 % profile interval of the exponent covers the true one.",
            SOURCE,
            ".95 of the draws",
            f"{covered.mean():.2f} of {covered.size}, 95 % interval {low:.2f} … {high:.2f}",
            verdict(low <= 0.95 <= high),
        ),
        Verdict(
            "A shared parameter turns SGD's tabular clocks into a common shift of all logits.",
            SOURCE,
            "at s = 0 REINFORCE's exponent is 1, GRPO's above 0; below a quarter of it at s = .1; 0 at s = 1",
            f"{named}: {_list(sgd[:, 0])} at s = 0; {_list(sgd[:, tenth])} at s = .1; {_list(sgd[:, -1])} at s = 1",
            verdict(_shared(data)),
        ),
        Verdict(
            "Sign descent moves all logits at one speed, shared parameters or not."
            if "trained/sign" in data
            else "With shared parameters only, all logits move at one speed.",
            SOURCE,
            "exponent 0",
            f"between {flat[:, 0].min():.2f} and {flat[:, 0].max():.2f}, errors up to {flat[:, 1].max():.2f}",
            verdict(_near(flat, 0.0)),
        ),
        Verdict(
            "Adam alone, without shared parameters, takes the exponent to less than half of SGD's.",
            SOURCE,
            "between 0 and half of SGD's",
            f"{named}: {_list(adam[:, 0])} against {_list(sgd[:, 0])} (exact means)"
            + (
                f"; {_list(data['trained/sampled Adam'])} on sampled groups"
                if "trained/sampled Adam" in data
                else ""
            ),
            verdict(_halved(data)),
        ),
    ]


def _list(rows: np.ndarray) -> str:
    return ", ".join(f"{a:.2f} ± {error:.2f}" for a, error in rows)


def _judge_real(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    names = [str(name) for name in data["clock_names"]]
    natural = data["clocks"][names.index("natural gradient")]
    short = {
        name: natural - own
        for name, own in zip(names, data["clocks"], strict=True)
        if not name.startswith("natural")
    }
    nats = {name: (own.sum(), np.sqrt(own.size) * own.std()) for name, own in short.items()}
    family = natural.sum() - data["family"].sum(axis=1)
    fitted = shown(data)
    found = {name: exponent(data, name) for name in fitted}
    listed = "; ".join(f"{name} {a:.2f} ({low:.2f} … {high:.2f})" for name, (a, low, high) in found.items())
    zero, half, one = ([name for name in fitted if not rejected(data, name, a)] for a in (0.0, 0.5, 1.0))
    gains = {
        name: data[f"variant/{name}/best"].sum() - data["variant/one rate/best"].sum()
        for name in fitted
        if name != "one rate" and not name.startswith("middle")
    }
    better = max(gains, key=lambda name: gains[name]) if gains else None
    ratio, z = data["dispersion"]
    rows = data["bins"][np.isfinite(data["bins"][:, 0])]
    misfit = binned_misfit(data)
    shape = f"{data['shape'][0]} questions, {data['shape'][1]} visits"
    return [
        Verdict(
            f"The questions of a real run ({shape}) follow the natural gradient's clock, not GRPO's or REINFORCE's.",
            SOURCE,
            ", ".join(f"{name}: {nats} nats behind" for name, nats in REPORTED.items()),
            ", ".join(f"{name}: {total:.0f} ± {deviation:.0f}" for name, (total, deviation) in nats.items()),
            verdict(all(total > Z95 * deviation for total, deviation in nats.values())),
        ),
        Verdict(
            "In the family ż ∝ (4ρ(1 − ρ))^a no other exponent does better than a = 0.",
            SOURCE,
            ", ".join(f"a = {a:g}: {value} nats behind" for a, value in FAMILY.items()),
            ", ".join(f"a = {a:g}: {value:.0f}" for a, value in zip(FAMILY, family, strict=True))
            + f"; best a = {found['one rate'][0]:.3f}, {behind(data, 'one rate', 0.0)[0]:.1f} ± "
            f"{behind(data, 'one rate', 0.0)[1]:.1f} nats ahead of 0",
            verdict((family > 0).all() and not rejected(data, "one rate", 0.0)),
        ),
        Verdict(
            "The exponent stays at 0 whatever else varies between questions or visits.",
            SOURCE,
            "a = 0 not rejected under any variant",
            listed + (f"; {better} have the highest likelihood" if better else ""),
            verdict(len(zero) == len(fitted))
            if len(zero) in (0, len(fitted))
            else ONLY_IF + f"fitted with {'; '.join(zero)}",
        ),
        Verdict(
            "Tabular clocks (a = ½, mean-field GRPO, and a = 1, REINFORCE) are rejected whatever else varies.",
            SOURCE,
            "both rejected under every variant",
            "; ".join(
                f"{name}: ½ by {behind(data, name, 0.5)[0]:.0f} ± {behind(data, name, 0.5)[1]:.0f}, 1 by "
                f"{behind(data, name, 1.0)[0]:.0f} ± {behind(data, name, 1.0)[1]:.0f} nats"
                for name in fitted
            ),
            verdict(True)
            if not half and not one
            else ONLY_IF + f"not fitted with {'; '.join(sorted({*half, *one}))}"
            if len({*half, *one}) < len(fitted)
            else verdict(False),
        ),
        Verdict(
            "One rate for all questions and no noise of their own is an adequate description.",
            SOURCE,
            "dispersion of forecasts 1",
            f"{ratio:.3f} (z = {z:.1f})"
            + "".join(f"; {name}: {gain:+.0f} nats" for name, gain in gains.items())
            + (f"; {better}: dispersion {data[f'variant/{better}/dispersion'][0]:.3f}" if better else ""),
            verdict(abs(z) < Z95),
        ),
        Verdict(
            "The change of logit is the same in every bin of starting accuracy.",
            SOURCE,
            "of the clocks, one speed for all fits the bins best",
            f"χ² of {len(rows)} bins: natural gradient {misfit[0]:.0f}, "
            f"others {', '.join(f'{x:.0f}' for x in misfit[1:])}; changes {' '.join(f'{x:.2f}' for x in rows[:, 1])}",
            verdict(misfit[0] == misfit.min()),
        ),
    ]
