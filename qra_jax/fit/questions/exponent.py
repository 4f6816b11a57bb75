r"""By which clock do the questions of a run move? The exponent a of $\dot z \propto (4\rho(1-\rho))^a$."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from qra_jax import _check, algorithm
from qra_jax.fit.questions import likelihood, mixture, populations
from qra_jax.fit.questions.histories import Histories
from qra_jax.fit.questions.likelihood import FINE, QuestionModel

NATURAL, MEAN_FIELD, REINFORCE, NATURAL_STD = (
    *("natural gradient", "GRPO, mean field", "REINFORCE", "natural gradient ÷ std"),
)
EXPONENTS = {NATURAL: 0.0, MEAN_FIELD: 0.5, REINFORCE: 1.0, NATURAL_STD: -0.5}
"""Clocks that are powers."""
LOW, HIGH = likelihood.EXPONENTS
NORMAL, CHI2 = 1.959964, 3.841459
"""97.5 % quantile of the normal distribution, and its square."""
CONTROLS = (2.0, 6.0)
"""Spreads κ of the success rates, Beta(κm, κ(1 − m)), in the populations of several patterns."""
WARNING = (
    "the exponent is that of a clock only if every question has two patterns, right and wrong; with several, one"
    " clock shows any exponent from a − 1 to a, and algorithm, metric and optimiser cannot be read from it"
)
"""What every report of an exponent says."""
_BASE = QuestionModel()


@dataclass(frozen=True)
class Clock:
    """How well one clock explains the histories.

    Attributes:
      log_likelihood: in nats, without binomial coefficients.
      difference: nats by which the best of the clocks is better (≥ 0).
      deviation: standard deviation of that difference when questions are drawn anew (Vuong): √Q times the
        standard deviation of the questions' own differences.
      rate: fitted speed at accuracy ½, in logits a visit (mean over the visits).
    """

    log_likelihood: float
    difference: float
    deviation: float
    rate: float

    @property
    def z(self) -> float:
        """Difference in standard deviations; 0 for the best clock."""
        return self.difference / self.deviation if self.deviation > 0 else 0.0


@dataclass(frozen=True)
class ClockExponent:
    """What [`clock_exponent`][] found.

    Attributes:
      exponent: â, in `LOW` to `HIGH`.
      interval: 95 % interval of a by the profile likelihood, which trusts the model; at most `LOW` to `HIGH`.
      bootstrap: 95 % interval of a over bootstrap draws of the questions, which does not; NaN without draws.
      parameters: the other parameters, by name.
      log_likelihood: at â, in nats.
      clocks: the named clocks, by name.
      dispersion: squared error of the model's forecasts of each visit from those before, over their variance: 1 if
        the model with â is adequate.
      dispersion_z: its distance from 1 in standard errors over questions.
      converged: whether the search came to rest.
      questions: how many.
      visits: of a question, at most.
      group_size: rollouts of most visits.
      sizes: rollouts of visits, in words.
      model: what was free.
      controls: exponents that the same estimator gives simulated runs of independent tabular GRPO, as many questions
        and visits, on twelve patterns a question: by the spread κ of their success rates.
      warning: what cannot be read from the exponent.
    """

    exponent: float
    interval: tuple[float, float]
    bootstrap: tuple[float, float]
    parameters: dict[str, float]
    log_likelihood: float
    clocks: dict[str, Clock]
    dispersion: float
    dispersion_z: float
    converged: bool
    questions: int
    visits: int
    group_size: int
    sizes: str
    model: QuestionModel
    controls: dict[str, float]
    warning: str = WARNING

    @property
    def identified(self) -> bool:
        """Whether the data bound a on both sides, if every question has two patterns."""
        return bool(self.converged and self.interval[0] > LOW and self.interval[1] < HIGH)

    def summary(self) -> str:
        """The result as a few lines of text."""
        low, high = self.interval
        lines = [
            f"{self.questions} questions, {self.visits} visits, {self.sizes} rollouts a visit",
            f"clock exponent a = {self.exponent:.3f}, 95 % {low:.3f} … {high:.3f} if the model is right, "
            f"{self.bootstrap[0]:.3f} … {self.bootstrap[1]:.3f} over questions",
        ]
        if not self.identified:
            lines.append("the histories do not identify the exponent")
        lines += [
            f"  {name:32} {-clock.difference:10.1f} ± {clock.deviation:.1f} nats"
            for name, clock in sorted(self.clocks.items(), key=lambda item: item[1].difference)
        ]
        lines.append(self.warning)
        if self.controls:
            listed = ", ".join(f"{a:.2f} ({name})" for name, a in self.controls.items())
            lines.append(f"for comparison, tabular GRPO on twelve patterns a question has a = {listed}")
        state = "adequate" if abs(self.dispersion_z) < NORMAL else "not the whole story"
        lines.append(f"dispersion {self.dispersion:.3f} (z = {self.dispersion_z:.1f}): the model is {state}")
        return "\n".join(lines)


def clock_tables(group_size: int) -> dict[str, np.ndarray]:
    """Log speed of the logit under the named clocks, over the logits `FINE`, 0 at accuracy ½.

    For p = (1, 0) it is ρ(1 − ρ) c(ρ), or c(ρ) for the natural gradient, with the exact clock c of
    [`grpo`][] for the group size.

    Args:
      group_size: G ≥ 1; with G = 1 GRPO stands still and is not fitted.

    Returns:
      `[FINE]` by name.
    """
    tables = {
        name: power * np.asarray(likelihood.log_slope(jnp.asarray(FINE))) for name, power in EXPONENTS.items()
    }
    if group_size > 1:
        right, wrong = jax.nn.sigmoid(jnp.asarray(FINE)), jax.nn.sigmoid(-jnp.asarray(FINE))
        clock = np.log(np.asarray(algorithm.grpo(group_size).clock(right, wrong)))
        clock = clock - clock[len(FINE) // 2]
        tables[f"GRPO, G = {group_size}"] = clock + tables[REINFORCE]
        tables[f"natural gradient ÷ std, G = {group_size}"] = clock
    return tables


def clock_exponent(
    histories: Histories,
    model: QuestionModel = _BASE,
    *,
    bootstrap: int = 100,
    seed: int = 0,
    clocks: bool = True,
    controls: bool = True,
) -> ClockExponent:
    r"""Estimate the exponent of the clock from the questions' histories.

    Logits move as $\dot z = v\,(4\rho(1-\rho))^a$ with one rate v, from a free (nonparametric) distribution of
    starts; rollouts are binomial. On questions of two patterns, right and wrong, REINFORCE with a table of logits has
    a = 1, mean-field GRPO ½, the natural gradient or a common shift of all logits 0, the natural gradient ÷ std −½.
    With several patterns of middling rates a clock shows any exponent from a − 1 to a: the exponent describes the
    histories, it does not identify what made them (study `per-question-clocks`). The marginal likelihood is maximised
    over the distribution of starts, v and a.

    Args:
      histories: counts of right rollouts by question and visit.
      model: what else may vary, see [`QuestionModel`][].
      bootstrap: draws of the questions, ≥ 0. Each takes two Newton steps from â with the Hessian of all data, and
        the distribution of starts is fitted anew.
      seed: of the draws.
      clocks: whether to fit the named clocks, too.
      controls: whether to estimate the exponent of simulated runs of tabular GRPO on several patterns, too; needs
        G ≥ 2.

    Returns:
      A [`ClockExponent`][].

    Raises:
      ValueError: fewer than two visits, or JAX in single precision.

    Reference: *derived here*; the free distribution is the maximum-likelihood mixture of Kiefer and Wolfowitz 1956,
    the comparison of clocks that of Vuong 1989.
    """
    _check.integer("bootstrap", bootstrap, low=0)
    if not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError("jax_enable_x64: False; must be True for likelihoods of many rollouts")
    if histories.visits < 2:
        raise ValueError(f"histories: {histories.visits} visit; must have 2 or more")
    run = MeasuredRun(histories, model)
    best = run.fit()
    named: dict[str, Clock] = {}
    if clocks:
        found = {name: run.fit(table=table) for name, table in clock_tables(histories.group).items()}
        top = max(found.values(), key=lambda one: one.log_likelihood.sum()).log_likelihood
        for name, one in found.items():
            behind = np.asarray(top - one.log_likelihood)
            deviation = float(np.sqrt(len(behind)) * behind.std())
            total = float(one.log_likelihood.sum())
            named[name] = Clock(total, float(behind.sum()), deviation, run.rate(one))
    information = run.information(best)
    error = float(np.sqrt(max(np.linalg.pinv(information)[0, 0], 1e-6)))
    dispersion, dispersion_z = run.dispersion(best)
    return ClockExponent(
        exponent=float(np.clip(best.theta[0], LOW, HIGH)),
        interval=run.interval(best, error),
        bootstrap=run.bootstrap(best, information, bootstrap, seed),
        parameters=dict(zip(model.names()[1:], map(float, best.theta[1:]), strict=True)),
        log_likelihood=float(best.log_likelihood.sum()),
        clocks=named,
        dispersion=dispersion,
        dispersion_z=dispersion_z,
        converged=bool(best.converged),
        questions=histories.questions,
        visits=histories.visits,
        group_size=histories.group,
        sizes=histories.sizes,
        model=model,
        controls=_controls(histories, seed) if controls and histories.group > 1 else {},
    )


def _controls(histories: Histories, seed: int) -> dict[str, float]:
    """Exponents of tabular GRPO on several patterns, by the same estimator with one rate, at the run's own rise."""
    ends = [np.nanmean(histories.accuracy(part)) for part in (slice(0, 3), slice(-3, None))]
    rise = float(np.clip(ends[1] - ends[0], 0.02, 0.3))
    out = {}
    for kappa in CONTROLS:
        made = populations.tabular(
            np.random.default_rng(seed),
            histories.questions,
            group_size=histories.group,
            visits=histories.visits,
            rise=rise,
            concentration=kappa,
        )
        out[f"κ = {kappa:g}"] = float(np.clip(MeasuredRun(made).fit().theta[0], LOW, HIGH))
    return out


class MeasuredRun:
    """The histories of a run and a model of them, ready to fit."""

    def __init__(self, histories: Histories, model: QuestionModel = _BASE) -> None:
        self.model = model
        self.right, self.wrong = likelihood.counts(histories)
        tries = int(histories.tries.sum(axis=1).max())
        self.z0 = jnp.asarray(model.starts(max(tries, 1)))
        self.starts = jnp.asarray(model.initial(histories.visits))
        self.once = jnp.ones(histories.questions)

    def fit(
        self, *, exponent: float | None = None, table: np.ndarray | None = None, start: Array | None = None
    ) -> mixture.Mixture:
        """The best fit with a free or given exponent, or under a clock `[FINE]`."""
        fixed = exponent is not None or table is not None
        log_speed = jnp.zeros(len(FINE)) if table is None else jnp.asarray(table)
        found = []
        for theta in self.starts if start is None else start[None]:
            if fixed:
                theta = theta.at[0].set(0.0 if exponent is None else exponent)
            free = jnp.ones_like(theta).at[0].set(0.0 if fixed else 1.0)
            found.append(_fit(self.model, theta, free, self.once, log_speed, *self._data()))
        return max(found, key=lambda one: float(one.log_likelihood.sum()))

    def _data(self) -> tuple[Array, Array, Array]:
        return self.z0, self.right, self.wrong

    def rate(self, found: mixture.Mixture) -> float:
        """Mean rate over the visits, in logits at accuracy ½ a visit."""
        course = likelihood.times(self.model, found.theta, self.right.shape[1])
        return float(course[-1]) / (self.right.shape[1] - 1)

    def information(self, found: mixture.Mixture, step: float = 0.02) -> np.ndarray:
        """Curvature of the profile likelihood in the parameters, by differences of its slope."""
        moves = step * jnp.eye(len(found.theta))
        slopes = [
            np.asarray(_slope(self.model, found.theta + move, self.once, *self._data()))
            - np.asarray(_slope(self.model, found.theta - move, self.once, *self._data()))
            for move in moves
        ]
        matrix = -np.array(slopes) / (2 * step)
        return (matrix + matrix.T) / 2

    def interval(self, found: mixture.Mixture, error: float) -> tuple[float, float]:
        """Where the profile likelihood has fallen by half the 95 % quantile of χ² with one degree of freedom."""
        best, a = float(found.log_likelihood.sum()), float(np.clip(found.theta[0], LOW, HIGH))

        def end(side: int) -> float:
            distance = NORMAL * error
            for _ in range(8):
                at = float(np.clip(a + side * distance, LOW, HIGH))
                fit = self.fit(exponent=at, start=found.theta)
                root = np.sqrt(max(2 * (best - float(fit.log_likelihood.sum())), 1e-12))
                if abs(root - NORMAL) < 0.01 or (at in (LOW, HIGH) and root < NORMAL):
                    return at
                distance = abs(at - a) * float(np.clip(NORMAL / root, 0.25, 4.0))
            return float(np.clip(a + side * distance, LOW, HIGH))

        return end(-1), end(1)

    def bootstrap(
        self, found: mixture.Mixture, information: np.ndarray, draws: int, seed: int
    ) -> tuple[float, float]:
        """Percentiles of the exponent over draws of the questions."""
        if draws == 0:
            return np.nan, np.nan
        rng, n = np.random.default_rng(seed), len(self.once)
        counts = rng.multinomial(n, np.full(n, 1 / n), size=draws)
        inverse = jnp.asarray(np.linalg.pinv(information))
        exponents = _again(self.model, found.theta, inverse, jnp.asarray(counts, float), *self._data())
        low, high = np.percentile(np.clip(exponents, LOW, HIGH), [2.5, 97.5])
        return float(low), float(high)

    def dispersion(self, found: mixture.Mixture) -> tuple[float, float]:
        """Squared error of one-visit-ahead forecasts over their variance, and its z over questions."""
        error, variance = _forecast_errors(self.model, found.theta, found.weights, *self._data())
        ratio = float(error.sum() / variance.sum())
        excess = np.asarray(error - ratio * variance)
        deviation = np.sqrt(len(excess)) * excess.std() / float(variance.sum())
        return ratio, float((ratio - 1) / deviation) if deviation > 0 else 0.0


def _kinds(
    model: QuestionModel, log_speed: Array, z0: Array, right: Array, wrong: Array
) -> Callable[[Array], Array]:
    return lambda theta: likelihood.log_likelihood(model, theta, log_speed, z0, right, wrong)


@partial(jax.jit, static_argnums=0)
def _fit(
    model: QuestionModel, theta: Array, free: Array, counts: Array, log_speed: Array, *data: Array
) -> mixture.Mixture:
    return mixture.fit(_kinds(model, log_speed, *data), theta, free, counts)


@partial(jax.jit, static_argnums=0)
def _slope(model: QuestionModel, theta: Array, counts: Array, *data: Array) -> Array:
    return mixture.slope(_kinds(model, jnp.zeros(len(FINE)), *data), theta, counts)


@partial(jax.jit, static_argnums=0)
def _again(model: QuestionModel, theta: Array, inverse: Array, counts: Array, *data: Array) -> Array:
    kinds = _kinds(model, jnp.zeros(len(FINE)), *data)

    def one(counts: Array) -> Array:
        def step(_: Array, at: Array) -> Array:
            return at + jnp.clip(inverse @ mixture.slope(kinds, at, counts), -1.0, 1.0)

        return jax.lax.fori_loop(0, 2, step, theta)[0]

    return jax.lax.map(one, counts)


@partial(jax.jit, static_argnums=0)
def _forecast_errors(
    model: QuestionModel, theta: Array, weights: Array, z0: Array, right: Array, wrong: Array
) -> tuple[Array, Array]:
    return likelihood.forecast_errors(model, theta, jnp.zeros(len(FINE)), weights, z0, right, wrong)
