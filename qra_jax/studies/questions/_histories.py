"""What the studies of this folder share: populations by who made them, two-pattern estimates, the real run."""

from pathlib import Path

import numpy as np
import xarray as xr
from scipy import special

from qra_jax.fit.questions import MeasuredRun, QuestionModel, bins, clock_tables, populations
from qra_jax.fit.questions.histories import Histories, read_histories
from qra_jax.studies.lab import DataMissing, Run, dataset

GROUP = 8
NATURAL, FIELD, LINEAR, EXACT = "natural gradient", "GRPO, mean field", "REINFORCE", f"GRPO, G = {GROUP}"
TWO_NATURAL, TWO_LINEAR, TWO, OTHER = "2, natural", "2, REINFORCE", "2, GRPO", "2, GRPO, other starts"
ADAM, SIX, SPREAD = "2, GRPO by Adam", "12, GRPO, κ = 6", "12, GRPO, κ = 2"
RATES = "2, REINFORCE, lognormal rates"
MAKERS = [TWO_NATURAL, TWO_LINEAR, TWO, OTHER, ADAM, SIX, SPREAD]
"""Number of patterns a question has, the algorithm, and what else differs."""
NEEDED = "a CSV file of per-question histories (columns prompt_id, visit1, visit2, …)"


def make(rng: np.random.Generator, maker: str, questions: int) -> Histories:
    """Histories of one of the populations `MAKERS`, or of `RATES`."""
    if maker in (SIX, SPREAD):
        return populations.tabular(rng, questions, concentration=6.0 if maker == SIX else 2.0)
    z0 = rng.normal(-1, 3, questions)
    if maker == OTHER:
        z0 = special.logit(np.clip(rng.beta(0.5, 0.7, questions), 1e-5, 1 - 1e-5))
    if maker == ADAM:
        return _adam(rng, z0)
    own = populations.orbits(*populations.two_patterns(z0))
    a = {TWO_NATURAL: 0.0, TWO_LINEAR: 1.0, RATES: 1.0}.get(maker)
    log = populations.log_grpo(own.accuracy, GROUP) if a is None else populations.log_power(own.accuracy, a)
    rates = np.exp(0.8 * rng.standard_normal(questions)) if maker == RATES else None
    return populations.sample(rng, own.under(log), rates=rates)


def _adam(rng: np.random.Generator, z: np.ndarray, rate: float = 0.005, steps: int = 3000) -> Histories:
    """GRPO on sampled groups by Adam, a logit a question: its gradient is √(q(1 − q)) at a share q of right ones."""
    first, second, path = 0 * z, 0 * z, []
    for step in range(1, steps + 1):
        path.append(special.expit(z))
        right = rng.binomial(GROUP, path[-1]) / GROUP
        gradient = np.sqrt(right * (1 - right))
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        z = z + rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        if path[-1].mean() - path[0].mean() >= 0.15:
            break
    rho = np.array(path)[np.linspace(0, len(path) - 1, 51).astype(int)].T
    return Histories(
        rng.binomial(GROUP, rho), np.ones(rho.shape, bool), GROUP, tuple(map(str, range(len(z))))
    )


def two_pattern(histories: Histories) -> dict[str, float]:
    """The two-pattern estimator: exponent, nats by which clocks are behind the natural one, dispersion."""
    run, tables = MeasuredRun(histories), clock_tables(histories.group_size)
    best = run.fit()
    fits = {name: run.fit(table=tables[name]).log_likelihood for name in (NATURAL, FIELD, EXACT, LINEAR)}
    behind = {name: np.asarray(fits[NATURAL] - fits[name]) for name in (FIELD, EXACT, LINEAR)}
    out = {f"behind {name}": float(x.sum()) for name, x in behind.items()}
    out |= {f"deviation {name}": float(np.sqrt(len(x)) * x.std()) for name, x in behind.items()}
    out |= {"exponent": float(best.theta[0]), "error": np.sqrt(np.linalg.pinv(run.information(best))[0, 0])}
    return out | {"dispersion": run.dispersion(best)[0]}


def find(run: Run) -> Histories:
    """The histories in a folder: the first file by name with a column `visit2`."""
    for path in sorted(Path(run.measured(NEEDED)).glob("*.csv")):
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            if "visit2" in [cell.strip() for cell in file.readline().split(",")]:
                return read_histories(path)
    raise DataMissing(f"needs {NEEDED}")


def two_pattern(histories: Histories) -> dict[str, float]:
    """The two-pattern estimator: exponent, nats by which clocks are behind the natural one, dispersion."""
    run, tables = MeasuredRun(histories), clock_tables(histories.group_size)
    best = run.fit()
    fits = {name: run.fit(table=tables[name]).log_likelihood for name in (NATURAL, FIELD, EXACT, LINEAR)}
    behind = {name: np.asarray(fits[NATURAL] - fits[name]) for name in (FIELD, EXACT, LINEAR)}
    out = {f"behind {name}": float(x.sum()) for name, x in behind.items()}
    out |= {f"deviation {name}": float(np.sqrt(len(x)) * x.std()) for name, x in behind.items()}
    out |= {"exponent": float(best.theta[0]), "error": np.sqrt(np.linalg.pinv(run.information(best))[0, 0])}
    return out | {"dispersion": run.dispersion(best)[0]}


def everything(histories: Histories) -> xr.Dataset:
    """One rate and lognormal rates for questions of two patterns, and changes in bins of the start."""
    one, many = (MeasuredRun(histories, QuestionModel(rates=rates)) for rates in ("one", "lognormal"))
    best = many.fit(start=many.starts[0])
    gain = np.asarray(best.log_likelihood - one.fit().log_likelihood)
    ratio, z = many.dispersion(best)
    change = bins.changes(histories, (NATURAL,))
    out = two_pattern(histories) | {
        "gain": gain.sum(),
        "gain deviation": np.sqrt(len(gain)) * gain.std(),
        "lognormal exponent": float(best.theta[0]),
        "lognormal error": np.sqrt(np.linalg.pinv(many.information(best))[0, 0]),
        "lognormal spread": np.exp(float(best.theta[-1])),
        "lognormal dispersion": ratio,
        "lognormal dispersion z": z,
        "start": ("bin", change.start),
        "change": ("bin", change.change),
        "change error": ("bin", change.error),
        "expected": ("bin", change.expected[NATURAL]),
    }
    return dataset(out)
