r"""How many groups are silent: does the distribution of success rates over questions tell, and does the mean alone?

A group of G rollouts teaches nothing if all are right or all are wrong, which is so for a share
$\langle\rho^G+(1-\rho)^G\rangle$ of groups. The function is convex, so that the mean success rate alone always says
too little (Jensen's inequality), by far where questions are either easy or hard. Predicted: the rates that other visits
show tell the share, if corrected for their sampling noise, as measured rates r/n scatter more than true ones; two
moments (a beta distribution) tell it nearly as well; accuracy and silent groups at the start of a run tell how the
share goes on if all logits shift together, and say too little if questions become certain one by one.

The experiments: drawn populations; sampled GRPO in which questions share a shift (200 steps, 32 of 2000 questions);
in the folder of measured runs histories of questions, each visit predicted from the two before and the two after; and
logs with a share of silent groups (`frac_zero_std`), whose first tenth gives the population and whose second half is
predicted. Errors are those of resampling questions, or points.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.population import Population
from qra_jax.studies import lab
from qra_jax.studies.runs import _folder, _passes, _silence, _silence_panels
from qra_jax.studies.runs._common_shift import trained
from qra_jax.studies.runs._silence import BETA, CORRECTED, MEAN, METHODS, MODELS, PLAIN, SHIFTED

study = lab.Study(__name__, title="Silent groups: their share from the distribution of success rates")

GROUP, QUESTIONS, VISITS = 8, 1200, 4
SPREADS = {"a = .33, b = .66": (0.33, 0.66), "a = .9, b = 2.3": (0.9, 2.3), "equal": (1e4, 2e4)}
"""Beta distributions of drawn populations; the last is as good as a point."""
SEEDS, DRAWS, THIRDS = lab.scale(24, 96), lab.scale(20, 200), ("first third", "second", "last")
NEAR, ROUGH, MATTERS, PLAINLY = 0.01, 0.02, 0.05, 0.01
"""Shares that matter: to an estimate, to a fitted family, to advice; by how much plain rates must err to be wrong."""
WORDS = "predicted less measured share of silent groups"
HERE = lab.Derived("⟨ρ^G + (1 − ρ)^G⟩: docstring of this study")
REAL = lab.Asked(
    "Silent groups are logged by most trainers and take many by surprise; can one know their share?"
)


@study.experiment()
def drawn(run: lab.Run) -> xr.Dataset:
    """Predicted less measured share of silent groups of drawn populations, by method."""
    value = np.empty((len(SPREADS), run(SEEDS), len(METHODS)))
    for i, j in np.ndindex(value.shape[:2]):
        rng = np.random.default_rng([run.seed, i, j])
        a, b = list(SPREADS.values())[i]
        rates = rng.beta(a, b, QUESTIONS)
        right, own = rng.binomial(VISITS * GROUP, rates), rng.binomial(GROUP, rates)
        silent, tries = (own == 0) | (own == GROUP), np.full(QUESTIONS, VISITS * GROUP)
        value[i, j] = _silence.excess(right, tries, silent, own / GROUP, GROUP)
    return lab.dataset(
        {"excess": (("population", "seed", "by"), value)},
        {"population": list(SPREADS), "by": METHODS},
    )


@study.experiment()
def logs(run: lab.Run) -> xr.Dataset:
    """The same of the second half of sampled runs whose questions share a shift, from their first tenth."""
    value = np.empty((run(lab.scale(12, 48)), len(MODELS)))
    for j in range(len(value)):
        rng = np.random.default_rng([run.seed, j])
        rates = rng.choice((one := Population.beta(0.9, 2.3)).rates, 2000, p=one.weights)
        _, accuracy, silent = trained(rng, rates, eta=0.05, steps=200, batch=32)
        value[j] = _silence.in_logs(accuracy, silent, GROUP, 0, rng)["excess"]
    return lab.dataset({"excess": (("seed", "model"), value)}, {"model": MODELS})


@study.experiment(measured=True)
def visits(run: lab.Run) -> xr.Dataset:
    """The same of histories of questions, by third of their visits."""
    history = _passes.histories(run.measured(_folder.NEEDED))
    value, error, share = _silence.over_visits(
        history, len(THIRDS), run(DRAWS), np.random.default_rng(run.seed)
    )
    dims, coords = ("by", "part"), {"by": METHODS, "part": THIRDS}
    return lab.dataset({"excess": (dims, value), "error": (dims, error), "share": ("part", share)}, coords)


@study.experiment(measured=True)
def logged(run: lab.Run) -> xr.Dataset:
    """The same of the second half of logs, from their first tenth."""
    runs, _ = _folder.measured(run.measured(_folder.NEEDED))
    parts, names = [], []
    for one in runs:
        if one.silent is None or one.group is None:
            continue
        known = np.isfinite(one.silent)
        rng = np.random.default_rng(run.seed)
        parts.append(
            _silence.in_logs(one.curve.accuracy[known], one.silent[known], one.group, run(DRAWS), rng)
        )
        names.append(one.name)
    if not parts:
        raise lab.DataMissing(
            "needs logs with a share of silent groups (frac_zero_std) and a group size in index.jsonl"
        )
    dims = {
        "excess": ("run", "model"),
        "error": ("run", "model"),
        "curve": ("run", "model", "grid"),
        "tenths": ("run", "what", "tenth"),
    }
    values = {name: (dims[name], [part[name] for part in parts]) for name in dims}
    coords = {"run": names, "model": MODELS, "grid": np.linspace(0, 1, 101), "what": ["accuracy", "silent"]}
    return lab.dataset(values, coords)


# ---- claims


def _drawn(data: lab.Data, method: str, equal: bool = False) -> lab.Estimate:
    kept = [name for name in SPREADS if (name == "equal") == equal]
    return lab.mean(WORDS, data.drawn.excess.sel(population=kept, by=method, drop=True))


@study.claim(
    "Of drawn populations the corrected rates of four other visits tell the silent share within .01.",
    origin=HERE,
)
def drawn_corrected(data):
    return _drawn(data, CORRECTED).near(0, within=NEAR)


drawn_corrected.null("the mean alone")(lambda data: _drawn(data, MEAN).near(0, within=NEAR))


@study.claim("Of drawn populations the mean alone says .05 or more too little.", origin=HERE)
def drawn_mean(data):
    return _drawn(data, MEAN).below(-MATTERS)


drawn_mean.null("equal questions")(lambda data: _drawn(data, MEAN, equal=True).below(-MATTERS))


def _shared(data: lab.Data, model: str) -> lab.Evidence:
    return lab.mean(WORDS, data.logs.excess.sel(model=model, drop=True)).near(0, within=MATTERS)


@study.claim(
    "Where questions share a shift, the first tenth of a log tells the silent share of the second half within .05.",
    origin=HERE,
)
def shared_shift(data):
    return _shared(data, SHIFTED)


shared_shift.null("the mean alone")(lambda data: _shared(data, MEAN))


def _visits(data: lab.Data, method: str) -> lab.Estimate:
    rows = data.visits.sel(by=method, drop=True)
    return lab.measured(WORDS, rows.excess, rows.error)


@study.claim(
    "In measured histories the corrected rates of four other visits tell the silent share within .01.",
    origin=REAL,
)
def visits_corrected(data):
    return _visits(data, CORRECTED).near(0, within=NEAR)


visits_corrected.null("the mean alone")(lambda data: _visits(data, MEAN).near(0, within=NEAR))


@study.claim("In measured histories plain rates of four other visits say .01 or more too much.", origin=HERE)
def visits_plain(data):
    return _visits(data, PLAIN).above(PLAINLY)


visits_plain.null("corrected rates")(lambda data: _visits(data, CORRECTED).above(PLAINLY))


@study.claim(
    "In measured histories a beta distribution with two moments tells the silent share within .02.",
    origin=REAL,
)
def visits_beta(data):
    return _visits(data, BETA).near(0, within=ROUGH)


visits_beta.null("the mean alone")(lambda data: _visits(data, MEAN).near(0, within=ROUGH))


def _logged(data: lab.Data, model: str) -> lab.Estimate:
    rows = data.logged.sel(model=model, drop=True)
    return lab.measured(WORDS, rows.excess, rows.error)


@study.claim("In every measured log the mean alone says too little, by .05 or more.", origin=REAL)
def logged_mean(data):
    return _logged(data, MEAN).below(-MATTERS).per("run")


logged_mean.null("drawn populations of equal questions")(
    lambda data: _drawn(data, MEAN, equal=True).below(-MATTERS)
)


@study.claim(
    "In measured logs the first tenth, with one shift for all, tells the silent share of the second half within .05.",
    origin=REAL,
)
def logged_shift(data):
    return _logged(data, SHIFTED).near(0, within=MATTERS).per("run")


logged_shift.null("the mean alone")(lambda data: _logged(data, MEAN).near(0, within=MATTERS))
logged_shift.positive("sampled runs whose questions share a shift")(lambda data: _shared(data, SHIFTED))


# ---- figure


@study.figure
def draw(data: lab.Data) -> Figure:
    """Predicted less measured share by method; of logs, predicted against measured, and the run that is missed most."""
    rows = 1 + data.has("logged")
    columns = 1 + (data.has("visits") or data.has("logged"))
    figure, axes = plot.new((4.9 * columns, 3.7 * rows), nrows=rows, ncols=columns, squeeze=False)
    _silence_panels.bars(
        "Drawn populations",
        data.drawn.excess.sel(population=[*SPREADS][:2]),
        axes[0, 0],
        "population",
        "seed",
    )
    if data.has("visits"):
        _silence_panels.bars("Measured histories", data.visits.excess, axes[0, 1], "part", None)
    if data.has("logged"):
        _silence_panels.logs(data.logged, axes[1, 0])
        off = abs(data.logged.excess.sel(model=SHIFTED, drop=True))
        _silence_panels.missed(data.logged.isel(run=int(off.argmax("run"))), axes[1, 1])
    return figure
