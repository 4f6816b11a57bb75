"""What the studies of this folder share: populations by who made them, two-pattern estimates, the real run."""

from pathlib import Path

import numpy as np
import xarray as xr
from scipy import special

from qra_jax.fit.questions import MeasuredRun, QuestionModel, bins, clock_tables, free, hierarchy, populations
from qra_jax.fit.questions.histories import Histories, read_histories
from qra_jax.studies import lab

GROUP = 8
NATURAL, FIELD, LINEAR, EXACT = "natural gradient", "GRPO, mean field", "REINFORCE", f"GRPO, G = {GROUP}"
TWO_NATURAL, TWO_LINEAR, TWO, OTHER = "2, natural", "2, REINFORCE", "2, GRPO", "2, GRPO, other starts"
ADAM, SIX, SPREAD = "2, GRPO by Adam", "12, GRPO, κ = 6", "12, GRPO, κ = 2"
RATES = "2, REINFORCE, lognormal rates"
BEHIND = [FIELD, EXACT, LINEAR]
"""Clocks that are compared with the natural one."""
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


def two_pattern(histories: Histories, clocks: bool = True) -> dict[str, float]:
    """The two-pattern estimator: exponent, dispersion, and nats by which clocks are behind the natural one."""
    run, tables = MeasuredRun(histories), clock_tables(histories.group)
    best = run.fit()
    out: dict[str, float] = {"exponent": float(best.theta[0]), "dispersion": run.dispersion(best)[0]}
    out["error"] = float(np.sqrt(np.linalg.pinv(run.information(best))[0, 0]))
    natural = run.fit(table=tables[NATURAL]).log_likelihood if clocks else np.full(1, np.nan)
    for name in BEHIND:
        behind = np.asarray(natural - run.fit(table=tables[name]).log_likelihood) if clocks else natural
        out[f"behind {name}"] = float(behind.sum())
        out[f"deviation {name}"] = float(np.sqrt(len(behind)) * behind.std())
    return out


def everything(histories: Histories) -> xr.Dataset:
    """One rate and lognormal rates for questions of two patterns, exponent free or 0 or ½; changes in bins."""
    one, many = (MeasuredRun(histories, QuestionModel(rates=rates)) for rates in ("one", "lognormal"))
    best = many.fit(start=many.starts[0])
    gain = np.asarray(best.log_likelihood - one.fit().log_likelihood)
    ratio, z = many.dispersion(best)
    fixed = [many.fit(exponent=a, start=best.theta).log_likelihood.sum() for a in (0.0, 0.5)]
    roots = [np.sqrt(2 * max(float(best.log_likelihood.sum() - one), 0.0)) for one in fixed]
    change = bins.changes(histories.part(visits=slice(0, 51)), (NATURAL,))
    out = two_pattern(histories) | {
        "gain": gain.sum(),
        "gain deviation": np.sqrt(len(gain)) * gain.std(),
        "lognormal exponent": float(best.theta[0]),
        "root": ("fixed", roots),  # of twice the log likelihood ratio of nested models, to a = 0 and ½
        "lognormal spread": np.exp(float(best.theta[-1])),
        "lognormal dispersion": ratio,
        "lognormal dispersion z": z,
        "start": ("bin", change.start),
        "change": ("bin", change.change),
        "change error": ("bin", change.error),
        "expected": ("bin", change.expected[NATURAL]),
    }
    return lab.dataset(out)


def find(run: lab.Run) -> Histories:
    """The histories in the folder of measured runs: the first file by name with a column `visit2`."""
    for path in sorted(Path(run.measured(NEEDED)).glob("*.csv")):
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            if "visit2" in [cell.strip() for cell in file.readline().split(",")]:
                return read_histories(path)
    raise lab.DataMissing(f"needs {NEEDED}")


def exponent(estimated: xr.Dataset, maker: str) -> lab.Estimate:
    """Mean exponent over populations; its error from the likelihood or from their scatter, whichever is larger."""
    value, error = (estimated.sel(maker=maker)[name] for name in ("exponent", "error"))
    one = np.maximum(np.sqrt((error**2).mean(skipna=False)), value.std(ddof=1, skipna=False))
    return lab.measured(
        f"exponent ({maker})", value.mean(skipna=False), one / np.sqrt(value.size), n=value.size
    )


def apart(estimated: xr.Dataset, first: str, second: str) -> lab.Estimate:
    """Difference of two mean exponents."""
    one, two = (exponent(estimated, maker) for maker in (first, second))
    assert one.error is not None
    assert two.error is not None
    error = np.hypot(one.error, two.error)
    return lab.measured(f"exponent ({first}) − exponent ({second})", one.value - two.value, error, n=one.n)


def behind(rows: xr.Dataset, clock: str) -> lab.Estimate:
    """Mean over populations of the nats by which a clock is behind the natural one; not nested, so by Vuong's error."""
    value, deviation = (rows[f"{kind} {clock}"] for kind in ("behind", "deviation"))
    error = np.sqrt((deviation**2).mean(skipna=False) / value.size)
    words = f"nats of the natural clock ahead of {clock}"
    return lab.measured(words, value.mean(skipna=False), error, n=value.size)


def mixed(
    rng: np.random.Generator, power: float, questions: int, *, several: bool, setting: int
) -> Histories:
    """Histories by the clock (4ρ(1 − ρ))^(a − 1); settings 0 to 3 are κ = 6 or 2, with one rate or lognormal ones."""
    drawn = populations.two_patterns(rng.normal(-1, 3, questions))
    if several:
        drawn = populations.draw(rng, questions, concentration=(6.0, 2.0)[setting % 2])
    own, spread = populations.orbits(*drawn), (0.0, 0.8)[setting // 2 % 2]
    table = own.under(populations.log_power(own.accuracy, power))
    return populations.sample(rng, table, rates=np.exp(spread * rng.standard_normal(questions)))


def ahead(histories: Histories, library: free.Library) -> np.ndarray:
    """Nats by which GRPO's mean field is ahead of the natural clock, with deviation: `[2, (two patterns, any)]`."""
    both = [free.compare(histories, [0.0, 0.5], library, two=two) for two in (True, False)]
    return np.array([[nats[1], deviation[1]] for nats, deviation in both]).T


def between(
    rows: xr.Dataset, words: str = "nats by which GRPO's mean field is ahead of the natural clock"
) -> lab.Estimate:
    """Nats between these clocks, as a mean over populations where there are several; Vuong's error, as not nested."""
    over, n = [dim for dim in rows.nats.dims if dim == "seed"], rows.sizes.get("seed", 1)
    error = np.sqrt((rows.deviation**2).mean(over, skipna=False) / n)
    return lab.measured(words, rows.nats.mean(over, skipna=False), error, n=n)


def learnt(prior: xr.Dataset) -> tuple[hierarchy.Simulated, hierarchy.Estimator]:
    """Populations of the prior, and the estimator that was learnt from them."""
    drawn = hierarchy.Simulated(**{str(name): prior[name].values for name in prior.data_vars})
    return drawn, hierarchy.learn(drawn)


def lognormal(row: xr.Dataset) -> lab.Estimate:
    """Exponent with lognormal rates; its error is the distance to 0 or ½ over its root of likelihood ratio."""
    value = row["lognormal exponent"]
    error = (abs(value - xr.DataArray([0.0, 0.5], dims="fixed")) / row.root).max("fixed", skipna=False)
    return lab.measured("exponent with lognormal rates", value, error)
