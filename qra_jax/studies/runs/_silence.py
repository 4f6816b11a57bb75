"""The share of silent groups, predicted from what other rollouts show of the questions' success rates."""

from __future__ import annotations

import numpy as np

from qra_jax.fit.questions.histories import Histories
from qra_jax.population import Population
from qra_jax.studies.runs._common_shift import by_own_clocks
from qra_jax.studies.runs._passes import missed

CORRECTED, PLAIN, BETA, MEAN = (
    "other visits, corrected",
    "other visits, plain",
    "a beta distribution",
    "the mean alone",
)
SHIFTED, OWN = "its start, shifted", "its start, by own clocks"
MODELS = (SHIFTED, OWN, MEAN)
METHODS = (CORRECTED, PLAIN, BETA, MEAN)
NEAR = 2
"""Visits on either side from which a visit is predicted."""


def excess(
    right: np.ndarray, tries: np.ndarray, silent: np.ndarray, own: np.ndarray, group: int
) -> np.ndarray:
    r"""Predicted less measured share of silent groups, by each of `METHODS`.

    Of n other rollouts of a question, r of them right, the share of silent groups of G is without bias
    $\bigl[\binom rG+\binom{n-r}G\bigr]/\binom nG$; plain, it is $(r/n)^G+(1-r/n)^G$. The beta distribution has the mean
    and the mean square of the rates, both without bias.

    Args:
      right: `[questions]`, r.
      tries: `[questions]`, n ≥ G.
      silent: `[questions]`, whether the group of the visit was silent.
      own: `[questions]`, share of right ones in that visit.
      group: G ≥ 2.
    """
    rate, other = right / tries, (missed(tries - right, tries, group), missed(right, tries, group))
    square = np.mean(right * (right - 1) / (tries * (tries - 1)))
    mean = float(own.mean())
    spread = mean_square(float(rate.mean()), float(square))
    predicted = [
        float(np.mean(other[0] + other[1])),
        float(np.mean(rate**group + (1 - rate) ** group)),
        Population.around(float(rate.mean()), spread).silent(group),
        mean**group + (1 - mean) ** group,
    ]
    return np.array(predicted) - silent.mean()


def mean_square(mean: float, square: float) -> float:
    """a + b of the beta distribution with a mean and a mean square; 10⁴ for equal questions."""
    between = square - mean**2
    return float(np.clip(mean * (1 - mean) / between - 1, 1e-3, 1e4)) if between > 0 else 1e4


def over_visits(
    history: Histories, parts: int, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted less measured share of silent groups over the visits of histories.

    Args:
      history: of many questions, of one group size.
      parts: in which the visits are averaged.
      draws: resamplings of the questions.
      rng: of these.

    Returns:
      `[methods, parts]`: the differences, and their errors; and the measured share `[parts]`.
    """
    correct, tries, group = history.correct * history.seen, history.tries, history.group
    most = np.flatnonzero(history.seen.mean(axis=0) > 0.9)
    places = np.arange(most[0] + NEAR, most[-1] - NEAR + 1)

    def averaged(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, shares = [], []
        for visit in places:
            near = [v for v in range(visit - NEAR, visit + NEAR + 1) if v != visit]
            right, others = (x[index][:, near].sum(axis=1) for x in (correct, tries))
            kept = history.seen[index, visit] & (others >= group)
            own = correct[index, visit][kept]
            silent = (own == 0) | (own == group)
            found.append(excess(right[kept], others[kept], silent, own / group, group))
            shares.append(silent.mean())
        split = np.array_split(np.arange(len(places)), parts)
        rows = np.array(found)
        return np.array([rows[s].mean(axis=0) for s in split]).T, np.array(
            [np.mean(np.array(shares)[s]) for s in split]
        )

    size = len(correct)
    value, share = averaged(np.arange(size))
    drawn = np.array([averaged(rng.integers(0, size, size))[0] for _ in range(draws)])
    return value, drawn.std(axis=0, ddof=1), share


def in_logs(
    accuracy: np.ndarray, silent: np.ndarray, group: int, draws: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Predicted less logged share of silent groups in the last half of a run.

    The population has the accuracy and the silent groups of the first tenth. It is shifted to the accuracies that
    follow, or its questions go there by their own clocks.

    Args:
      accuracy: `[points]`.
      silent: `[points]`, logged share of silent groups.
      group: G ≥ 2.
      draws: resamplings of the points.
      rng: of these.

    Returns:
      Of each of `MODELS` `excess`, `error`, and the silent share by accuracy, `curve` `[models, 101]`; accuracy and
      silent share of each tenth of the run, `tenths` `[2, 10]`.
    """
    size = len(accuracy)
    early, late = np.arange(max(size // 10, 2)), np.arange(size // 2, size)
    grid = np.linspace(0, 1, 101)
    alone = grid**group + (1 - grid) ** group

    def tables(first: np.ndarray) -> np.ndarray:
        mean = float(np.clip(accuracy[first].mean(), 0.01, 0.99))
        start = Population.from_silent(mean, float(np.clip(silent[first].mean(), 0.01, 0.99)), group)
        shifted = [start.shifted(s) for s in np.linspace(-12, 12, 97)]
        after = by_own_clocks(start, group)
        ahead = [after(log) for log in np.linspace(-8.0, 16.0, 97)]
        own = [one for one in shifted if one.mean <= start.mean] + ahead
        curves = [
            np.interp(grid, [p.mean for p in moved], [p.silent(group) for p in moved])
            for moved in (shifted, own)
        ]
        return np.array([*curves, alone])

    def compare(first: np.ndarray, then: np.ndarray) -> np.ndarray:
        tenths = np.array_split(then, 5)
        mean = [float(accuracy[part].mean()) for part in tenths]
        measured = [float(silent[part].mean()) for part in tenths]
        return np.array([np.mean(np.interp(mean, grid, curve) - measured) for curve in tables(first)])

    drawn = [
        compare(rng.choice(early, len(early)), np.sort(rng.choice(late, len(late)))) for _ in range(draws)
    ]
    parts = np.array_split(np.arange(size), 10)
    return {
        "excess": compare(early, late),
        "error": np.std(drawn, axis=0, ddof=1) if draws > 1 else np.full(len(MODELS), np.nan),
        "curve": tables(early),
        "tenths": np.array([[x[part].mean() for part in parts] for x in (accuracy, silent)]),
    }
