"""What `qra fit` reads, prints and draws."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Column, Table

from qra_jax import fit, plot
from qra_jax._terminal import TERMS, put, say
from qra_jax.fit.drawing import COLORS, THEORY, native, path
from qra_jax.fit.dynamics import GRPO, MEAN_FIELD, REINFORCE, SHARED, SHIFT
from qra_jax.fit.forecast import last_points
from qra_jax.fit.shape import LEAST, SURE, Misfit, Shape, misfit, shape

NARROW = 0.1
"""Width of an interval of accuracies that is called identified: ± .05."""
SPENT = 0.02
"""Part of its largest value at which a learning rate has come to its end."""
AHEAD = 3.0
"""Where the file ends at the last step fitted, forecasts go this many training windows from the start."""


_MEANING = {
    SHIFT: "all questions shift together, by the same amount in logit; the natural gradient",
    SHARED: "all questions shift together, at the mean speed of their own gradients",
    f"{REINFORCE}, {GRPO}, {MEAN_FIELD}": "each question by itself, on the clock of that algorithm",
}
EXPONENT = (
    "With two patterns a question, right and wrong: a = 1 for REINFORCE on each question alone, 1/2 for GRPO with "
    "large groups, 0 for the natural gradient or a common shift of all questions."
)
"""What the clock exponent means."""


@dataclass(frozen=True)
class FitReport:
    """A fit with its forecasts.

    Attributes:
      fitted: the fit.
      forecasts: by name, `THEORY` first, then the baselines; at `steps`.
      steps: `[steps]`, those of the points that came, or evenly spaced ones ahead.
      scores: by name, where points came.
      shape: what the whole curve does, asked of no model.
      misfit: how far the fitted points are from the models' level.
    """

    fitted: fit.CurveFit
    forecasts: dict[str, fit.Forecast]
    steps: np.ndarray
    scores: dict[str, fit.Score]
    shape: Shape
    misfit: Misfit


def answer(
    curve: fit.Curve, until: float | int | None, *, group_size: int = 8, draws: int = 512, seed: int = 0
) -> FitReport:
    """Fit a curve up to a step and forecast the rest of it.

    Args:
      curve: the run.
      until: last step to fit; by default all of them.
      group_size: G of GRPO's clock.
      draws: per model.
      seed: of the random numbers.

    Returns:
      An `FitReport`.
    """
    fitted = fit.fit(curve, until, group_size=group_size, draws=draws, seed=seed)
    last = float(fitted.train.steps[-1])
    rest = fit.rest_of(curve, last)
    if rest is None:
        begin = float(fitted.train.steps[0])
        steps = np.linspace(last, begin + AHEAD * (last - begin), 31)[1:]
    else:
        steps = rest.steps
    forecasts = {THEORY: fitted.forecast(steps), **fit.baselines(curve, last, steps, seed=seed)}
    scores = {} if rest is None else {name: fit.score(one, rest) for name, one in forecasts.items()}
    behind = np.full(len(curve.steps), fitted.samples) if curve.samples is None else curve.samples
    there = curve.steps <= fitted.train.steps[-1]
    level = fitted.forecast(fitted.train.steps).median
    whole = shape(curve.steps, curve.accuracy, behind)
    off = misfit(fitted.train.steps, fitted.train.accuracy, behind[there], np.asarray(level, float))
    return FitReport(fitted, forecasts, steps, scores, whole, off)


def to_json(answer: FitReport) -> str:
    """One JSON object: dynamics with weights, models, what is identified, forecasts and their errors.

    Values are in the file's own units (see `scale`); errors are those of rates in [0, 1].
    """
    fitted = answer.fitted
    known = fitted.identified

    def record(one: fit.Forecast) -> dict[str, Any]:
        ends = {"median": one.median, "low": one.low, "high": one.high}
        logged = {"logged_low": one.logged_low, "logged_high": one.logged_high}
        return {name: native(fitted, values).tolist() for name, values in (ends | logged).items()}

    return json.dumps(
        {
            "run": fitted.curve.name,
            "notes": list(fitted.curve.notes),
            "scale": list(fitted.curve.scale),
            "points": len(fitted.train.steps),
            "train_until": float(fitted.train.steps[-1]),
            "samples_per_point": fitted.samples,
            "dynamics": fitted.dynamics,
            "models": [
                {
                    "dynamics": model.dynamics,
                    "patterns": model.patterns,
                    "weight": float(weight),
                    "log_likelihood": float(likelihood),
                    "log_evidence": float(evidence),
                    "parameters": {
                        name: dict(zip(("median", "low", "high"), values, strict=True))
                        for name, values in fitted.parameters(model).items()
                    },
                }
                for model, weight, likelihood, evidence in zip(
                    fitted.models, fitted.weights, fitted.log_likelihood, fitted.log_evidence, strict=True
                )
            ],
            "shape": _known(asdict(answer.shape)),
            "misfit": asdict(answer.misfit),
            "identified": asdict(known) | {"dynamics": known.dynamics, "final": known.final},
            "steps": answer.steps.tolist(),
            "forecasts": {name: record(one) for name, one in answer.forecasts.items()},
            "scores": {name: asdict(one) for name, one in answer.scores.items()},
        },
        allow_nan=False,
    )


def show(answer: FitReport, console: Console | None = None) -> None:
    """Print it in words: which dynamics, what is identified, the forecast beside the baselines, their errors.

    Args:
      answer: the answer.
      console: where to.
    """
    console = console or Console(highlight=False)
    fitted = answer.fitted
    for line in story(answer):
        say(console, line)
    table = Table(Column("dynamics", no_wrap=True), box=None, pad_edge=False)
    for name in ("weight", "log likelihood", f"step {answer.steps[-1]:.10g} [80 %]"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, weight in fitted.dynamics.items():
        own = np.array([model.dynamics == name for model in fitted.models])
        end = fitted.forecast(answer.steps[-1:], weights=fitted.weights * own + 1e-300 * own)
        best = fitted.log_likelihood[own].max()
        table.add_row(name, f"{weight:.2f}", f"{best:.1f}", _interval(fitted, end))
    put(console, table)
    console.print()
    table = Table(Column("forecast", no_wrap=True), box=None, pad_edge=False)
    scored = ("error", "at end", "CRPS", "covered") if answer.scores else ()
    for name in (f"step {answer.steps[-1]:.10g}", *scored):
        table.add_column(name, justify="right", no_wrap=True)
    for name, one in answer.forecasts.items():
        cells = [_interval(fitted, one)]
        if name in answer.scores:
            s = answer.scores[name]
            cells += [f"{value:.3f}" for value in (s.error, s.end, s.crps)] + [f"{s.covered:.0%}"]
        table.add_row(name, *cells, style="bold" if name == THEORY else None)
    put(console, table)
    last, end = (f"{step:.10g}" for step in (fitted.train.steps[-1], answer.steps[-1]))
    if answer.scores:
        count = last_points(len(answer.steps))
        say(
            console,
            f"Mean absolute error, CRPS and cover of the 80 % interval over the {len(answer.steps)} points after step "
            f"{last}, as rates; the end is the mean of the last {count}.",
        )
    else:
        say(
            console,
            f"Fewer than two points come after step {last}: nothing is left to score, and the forecast goes to "
            f"step {end}, where the level is judged: {AHEAD:g} times as far as the points fitted.",
        )
    for line in [*legend(answer), TERMS]:
        say(console, line)


def legend(answer: FitReport) -> list[str]:
    """What the terms of this very output mean."""
    lines = [f"{name}: {meaning}." for name, meaning in _MEANING.items()]
    lines.append(
        "Known better than beforehand: the curve leaves a combination of parameters at most half of its prior "
        "standard deviation."
    )
    lines.append("Nats: log likelihoods are natural logarithms; 2 nats more are e² = 7.4 times as likely.")
    if answer.scores:
        lines.append(
            "CRPS: the error of a whole forecast distribution; that of a single number is its absolute error."
        )
    return lines


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """The same with None for what is not a number."""
    plain = lambda x: None if isinstance(x, float) and math.isnan(x) else x  # noqa: E731
    return {name: [plain(y) for y in x] if isinstance(x, tuple) else plain(x) for name, x in values.items()}


def first(answer: FitReport) -> list[str]:
    """What matters before anything else: whether the curve moves, collapses, and is explained by any model."""
    seen, off, fitted = answer.shape, answer.misfit, answer.fitted
    lines = []
    say = lambda x: f"{float(native(fitted, np.array(x))):.2g}"  # noqa: E731
    if seen.kind == "flat":
        lines.append(
            f"Flat: it stays at {say(seen.peak)}, as far as its noise tells (chance {seen.chance:.2g}); a difference "
            f"of its halves up to {seen.moved:.2g} would not have shown. A curve that does not move identifies no "
            "dynamics and no level to come."
        )
    elif seen.kind in ("collapse", "falling"):
        since = ""
        if math.isfinite(seen.onset):
            low, high = seen.onset_between
            since = f", from step {seen.onset:.4g} on (95 %: {low:.4g} to {high:.4g})"
        word = "Collapse: it rises, and falls" if seen.kind == "collapse" else "It falls"
        lines.append(
            f"{word} from {say(seen.peak)} to {say(seen.end)}{since}. The models here only rise: look at the verifier, "
            "the learning rate, stale rollouts and entropy at that step."
        )
    if off.chance <= SURE and abs(off.off) >= 0.5 * LEAST:
        side = "below" if off.off < 0 else "above"
        lines.append(
            f"No model explains this curve: from step {off.since:.4g} on it lies {abs(off.off):.2g} {side} the best of "
            f"them; squared differences are {off.squares:.2g} times those of its noise (chance < {SURE:g})."
        )
    return lines


def story(answer: FitReport) -> list[str]:
    """What was read, and what the curve says and leaves open, a sentence or two each."""
    fitted, problems = answer.fitted, first(answer)
    train, known = fitted.train, fitted.identified
    fitted_of, points = len(train.steps), len(fitted.curve.steps)
    which = f"all {points} points" if fitted_of == points else f"{fitted_of} of {points} points"
    behind = f"about {fitted.samples:.3g} samples a point{_source(fitted)}"
    lines = [f"{train.name}: {which}, up to step {train.steps[-1]:.10g}, {behind}."]
    lines += [f"Note: {note}." for note in fitted.curve.notes]
    rates = fitted.curve.lr
    if rates is not None and rates[-1] < SPENT * rates.max():
        lines.append(
            f"Note: the learning rate ends at {rates[-1]:.2g}, of {rates.max():.2g} at most: time stands still there, "
            "and so does the forecast."
        )
    lines += problems
    if answer.shape.kind == "flat":
        return lines
    share = fitted.dynamics[known.near[0]]
    if known.dynamics:
        lines.append(f"Dynamics: {known.near[0]} (probability {share:.0%}).")
    else:
        rest = ", ".join(known.near[1:])
        lines.append(
            f"Dynamics: not identified. {known.near[0]} ({share:.0%}) explains the curve no better than {rest} "
            f"(within 2 nats); their forecasts differ by {known.apart:.2g}."
        )
    lines.append(
        f"Parameters: {known.directions} of {known.parameters} combinations are known better than beforehand."
    )
    low, high = native(fitted, np.array(known.end))
    wide, narrow = known.prior_end[1] - known.prior_end[0], known.end[1] - known.end[0]
    if known.final and not problems and narrow <= NARROW:
        lines.append(f"Level at step {known.step:.10g}: identified, {low:.2g} to {high:.2g}.")
    elif known.final and not problems:
        lines.append(
            f"Level at step {known.step:.10g}: {low:.2g} to {high:.2g}, {narrow:.2g} wide: known better than "
            "beforehand, and no more than that."
        )
    elif problems:
        lines.append(f"Level at step {known.step:.10g}: not identified, as no model explains the curve.")
    else:
        lines.append(
            f"Level at step {known.step:.10g}: not identified. {low:.2g} to {high:.2g} is {narrow / wide:.0%} as wide "
            "as before any data."
        )
    return lines


def _source(fitted: fit.CurveFit) -> str:
    """Where the number of samples comes from, where nobody gave it."""
    if fitted.curve.samples is not None:
        return ""
    moved = len(np.unique(fitted.train.accuracy)) > 1
    how = "taken from the scatter" if moved else "assumed: nothing tells"
    return f" ({how}; give --samples)"


def _interval(fitted: fit.CurveFit, one: fit.Forecast) -> str:
    middle, low, high = native(fitted, np.array([one.median[-1], one.low[-1], one.high[-1]]))
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def draw(answer: FitReport) -> Figure:
    """The run, the forecast with its intervals, and the baselines.

    Args:
      answer: the answer.

    Returns:
      A figure.
    """
    fitted = answer.fitted
    with plot.style():
        figure, ax = plot.new((7.4, 4.0))
        path(fitted, answer.steps, ax)
        for name, one in answer.forecasts.items():
            if name != THEORY:
                ax.plot(
                    answer.steps, native(fitted, one.median), "--", color=COLORS[name], label=name, lw=1.2
                )
        ax.set(xlabel="step", ylabel="accuracy" if fitted.curve.scale == (0, 1) else "measured")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        known = fitted.identified
        which = known.near[0] if known.dynamics else "dynamics not identified"
        ax.set_title(
            f"{which.capitalize()}; step {answer.steps[-1]:.10g}: {_interval(fitted, answer.forecasts[THEORY])}"
        )
    return figure


def show_histories(
    path: str, *, as_json: bool, group_size: Sequence[int] = (), seed: int = 0, console: Console | None = None
) -> None:
    """Print the clock exponent of per-question histories.

    Args:
      path: a file with columns visit1, visit2, …
      as_json: one JSON object in place of words.
      group_size: rollouts of a visit, one number or one for each; by default inferred from the values.
      seed: of the random numbers.
      console: where to.
    """
    from qra_jax.fit import questions

    estimate = questions.clock_exponent(
        questions.read_histories(path, group_size=list(group_size) or None), seed=seed
    )
    if as_json:
        print(json.dumps(_plain(asdict(estimate)), allow_nan=False))
        return
    console = console or Console(highlight=False)
    for line in estimate.summary().splitlines():
        say(console, line)
    say(console, EXPONENT)


def _plain(value: Any) -> Any:
    """Arrays as lists, and null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    if isinstance(value, str | bool | int) or value is None:
        return value
    number = np.asarray(value).item()
    return number if not isinstance(number, float) or math.isfinite(number) else None
