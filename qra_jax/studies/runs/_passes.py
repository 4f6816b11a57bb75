"""pass@k before and after training: measured without bias, and predicted from the curve before and pass@1 after."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import special

from qra_jax.fit import runs
from qra_jax.fit.questions.histories import Histories, read_histories
from qra_jax.population import Population
from qra_jax.studies import lab
from qra_jax.studies.runs._common_shift import own_clocks

SHIFT, OWN, SAME, EQUAL = "one common shift", "each by its own clock", "the curve before", "equal questions"
MODELS = (SHIFT, OWN, SAME, EQUAL)
"""What pass@k after is predicted by."""
MAKERS, MIDDLE = (SHIFT, OWN), slice(2, 4)
"""Models that make runs; where they differ most: k = 4 and 8, the third and fourth of the numbers of rollouts."""
BEFORE, AFTER = (0.283, 0.440, 0.605, 0.745, 0.850), (0.571, 0.702, 0.804, 0.875, 0.915)
"""pass@k of a published run at k = 1, 2, 4, 8, 16: after supervised fine-tuning, and after 100 steps of GRPO."""
ASKED, ROLLOUTS = 200, 16
"""Questions of the published table, and rollouts of each, at least."""


def missed(correct: np.ndarray, tries: np.ndarray, k: int) -> np.ndarray:
    r"""The unbiased chance that k rollouts of a question are all wrong, $\binom{n-r}{k}/\binom nk$, `[questions]`.

    Args:
      correct: `[questions]`, r right ones.
      tries: `[questions]`, of n ≥ k.
      k: ≥ 1.
    """
    wrong = np.asarray(tries - correct, float)

    def log(n: np.ndarray) -> np.ndarray:
        return special.gammaln(n + 1) - special.gammaln(np.maximum(n - k, 0) + 1)

    return np.where(wrong >= k, np.exp(log(wrong) - log(np.asarray(tries, float))), 0.0)


def curve(correct: np.ndarray, tries: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """pass@k, mean over questions, `[ks]`: arguments as for [`missed`][]."""
    return np.array([1 - missed(correct, tries, k).mean() for k in ks])


def predicted(before: np.ndarray, after: float, ks: Sequence[int], group: int = 8) -> np.ndarray:
    """pass@k after by each of `MODELS`, `[models, ks]`.

    Args:
      before: `[ks]`, pass@k before, of which the first is pass@1.
      after: pass@1 after.
      ks: the numbers of rollouts.
      group: G of the questions' own clocks.
    """
    population = Population.from_pass_at(dict(zip(ks, before.tolist(), strict=True)))
    shifted = population.shifted(population.shift_to(after))
    own = own_clocks(population, after, group) if after > population.mean else shifted
    moved = [[one.pass_at(k) for k in ks] for one in (shifted, own)]
    return np.array([*moved, before, [1 - (1 - after) ** k for k in ks]])


def drawn_anew(
    rng: np.random.Generator, before: np.ndarray, after: float, ks: Sequence[int], draws: int
) -> np.ndarray:
    """Predicted less measured of tables drawn anew, of questions by their own clocks, `[draws, models, ks]`.

    Args:
      rng: of questions and rollouts.
      before: `[ks]`, pass@k before.
      after: pass@1 after.
      ks: the numbers of rollouts.
      draws: how many.
    """
    start = Population.from_pass_at(dict(zip(ks, before.tolist(), strict=True)))
    end, tries, out = own_clocks(start, after, 8), np.full(ASKED, ROLLOUTS), []
    for _ in range(draws):
        chosen = rng.choice(len(start.rates), ASKED, p=start.weights)
        first, last = (curve(rng.binomial(ROLLOUTS, one.rates[chosen]), tries, ks) for one in (start, end))
        out.append(predicted(first, float(last[0]), ks) - last)
    return np.array(out)


def compared(excess: np.ndarray, drawn: np.ndarray) -> dict:
    """Predicted less measured `[model, k]`, its mean over k = 4 and 8, and by how much own clocks are nearer there.

    Args:
      excess: `[models, ks]`.
      drawn: the same of data drawn anew, `[draws, models, ks]`.
    """
    every = np.concatenate([excess[None], drawn])[..., MIDDLE].mean(axis=-1)
    nearer = np.abs(every[:, 0]) - np.abs(every[:, 1])
    error = drawn.std(axis=0, ddof=1)
    return {
        "excess": (("model", "k"), excess),
        "error": (("model", "k"), error),
        "miss": ("model", every[0]),
        "miss error": ("model", every[1:].std(axis=0, ddof=1)),
        "nearer": nearer[0],
        "nearer error": nearer[1:].std(ddof=1),
    }


def histories(folder: Path) -> Histories:
    """The histories of questions of a folder: the first file by name that has some.

    Raises:
      DataMissing: none has.
    """
    for path in sorted(folder.glob("*.csv")):
        if runs.has_visits(path):
            return read_histories(path)
    raise lab.DataMissing("needs per-question histories (columns prompt_id, visit1, visit2, …)")


def first_and_last(folder: Path, most: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Right rollouts and rollouts of each question in the first and in the last tenth of the visits.

    Args:
      folder: of measured runs.
      most: rollouts that a question must have in each.

    Returns:
      Two arrays `[2, questions]`, and the group size.
    """
    history = histories(folder)
    most_seen = np.flatnonzero(history.seen.mean(axis=0) > 0.5)
    tenth = max(len(most_seen) // 10, 1)
    parts = most_seen[:tenth], most_seen[-tenth:]
    right, tries = (
        np.array([x[:, part].sum(axis=1) for part in parts])
        for x in (history.correct * history.seen, history.tries)
    )
    enough = (tries >= most).all(axis=0)
    return right[:, enough], tries[:, enough], history.group


def tasks(folder: Path) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """mean@8 and pass@8 over checkpoints, by task and seed: the first table of a folder that has them.

    Raises:
      DataMissing: none has.
    """
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            if not {"domain", "seed", "step", "mean8", "pass8"} <= set(file.readline().strip().split(",")):
                continue
            file.seek(0)
            found: dict[str, dict[str, list[tuple[float, float]]]] = {}
            for row in csv.DictReader(file):
                pair = float(row["mean8"]), float(row["pass8"])
                found.setdefault(row["domain"], {}).setdefault(row["seed"], []).append(pair)
            return found
    raise lab.DataMissing("needs a table with columns domain, seed, step, mean8, pass8")
