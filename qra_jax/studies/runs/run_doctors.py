"""Can a run's cause be told from what its trainer logged?

Runs are simulated whose cause is known: a policy over reasoning patterns for 256 questions that teach each other,
trained on sampled groups, with one of twelve mechanisms switched on, in settings drawn from ranges that practitioners
use. A run counts only where its hidden truth meets the criterion of its cause; most criteria ask what the same run,
with the same random numbers, comes to without the mechanism. What is kept of a run is its log alone, in the format of
TRL or of verl, each with runs of its own; the examination (`qra advise --from LOG`) was developed on other seeds.

Theory predicts that (a) causes that leave a sign in what is logged are told apart: groups that are all right or all
wrong, a penalty that rests, parts of the reward against each other, evaluations below the reward, truncation; (b)
healthy runs, those that succeed and those that are only slow, are not called ill; (c) the reward alone does not tell,
as different causes give the same curve. A lost pattern and rollouts that are too old leave hardly a sign of their own.

The same answers to the logs of other causes, permuted, are the null; runs that are ill are that of the false alarms.
Public run doctors are asked as well where each is installed in an environment of its own; a finding counts as right if
it may stand for the cause.
"""

import tempfile
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.runs import (
    _answers as answers,
    _doctor_panels as drawn,
    _doctors as doctors,
    _network_logs as networks_of,
    _patients as patients,
)
from qra_jax.studies.runs._causes import CAUSES
from qra_jax.studies.runs._trainer_logs import FORMS

study = lab.Study(
    __name__, title="Doctors of runs: causes named from the log alone, in runs whose cause is known"
)

COUNT, NETWORKS = lab.scale(3, 30), 10
"""Runs of each cause in each format; networks."""
WANTED, ALLOWED, MORE, HALF = 0.8, 0.05, 0.1, 0.5
"""Share of causes to be named, of healthy runs that may be called ill, what the whole log adds, most."""
NEEDED = (
    f"public run doctors, in a folder with an environment for each (environment variable {doctors.FOLDER})"
)
WHY = lab.Asked("Rules of thumb call a success ill; does an examination that knows the dynamics do better?")
DIMS = ("cause", "form", "run")


def _logs(run: lab.Run) -> dict:
    return run.bank.get(patients.logs, count=run(COUNT), first=1_000_000 * run.shared_seed)


def _table(values: list, count: int) -> np.ndarray:
    """Values in the order of the files, as `[cause, form, run]`."""
    return np.array(values, float).reshape(len(FORMS), len(CAUSES), count).swapaxes(0, 1)


@study.experiment()
def examined(run: lab.Run) -> xr.Dataset:
    """What is named for each log, whole and with the reward alone, as a number of `ANSWERS`; draws of each run."""
    kept, count = _logs(run), run(COUNT)
    with tempfile.TemporaryDirectory() as folder:
        paths = doctors.unpacked(kept["packed"], Path(folder))
        whole = [answers.examined(path) for path in paths]
        alone = [answers.examined(doctors.stripped(path)) for path in paths]
    named = [_table(whole, count), _table(alone, count)]
    values = {"named": (("doctor", *DIMS), named), "tries": (DIMS, kept["tries"])}
    return lab.dataset(
        values, {"doctor": [doctors.OURS, doctors.REWARD], "cause": list(CAUSES), "form": list(FORMS)}
    )


@study.experiment(measured=True)
def public(run: lab.Run) -> xr.Dataset:
    """Whether public doctors are right about each log, and whether they call it ill."""
    pythons, count = doctors.installed(), run(COUNT)
    if not pythons:
        raise lab.DataMissing(f"needs {NEEDED}; not installed: {', '.join(doctors.PUBLIC)}")
    right, ill, names = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = doctors.unpacked(_logs(run)["packed"], Path(folder))
        truth = [cause for _ in FORMS for cause in CAUSES for _ in range(count)]
        for name, python in pythons.items():
            version, said = doctors.asked(name, python, paths)
            names.append(f"{name} {version}")
            pairs = list(zip(said, truth, strict=True))
            right.append(
                _table([own in doctors.HEALTHY if a is None else own in a for a, own in pairs], count)
            )
            ill.append(_table([a is not None for a, _ in pairs], count))
    values = {"right": (("doctor", *DIMS), right), "ill": (("doctor", *DIMS), ill)}
    absent = ", ".join(name for name in doctors.PUBLIC if name not in pythons) or "none"
    coords = {"doctor": names, "cause": list(CAUSES), "form": list(FORMS)}
    return lab.dataset(values, coords, not_installed=absent)


@study.experiment()
def networks(run: lab.Run) -> xr.Dataset:
    """What is named for logs of small transformers; NaN where a run does not meet the criterion of its cause."""
    if run.quick:
        raise lab.DataMissing("networks are trained in the full version alone")
    kept = run.bank.get(networks_of.logs, count=NETWORKS, seed=run.shared_seed)
    with tempfile.TemporaryDirectory() as folder:
        paths = doctors.unpacked(kept["packed"], Path(folder))
        named = [answers.examined(path) for path in paths]
    named = np.where(kept["met"], np.reshape(named, kept["met"].shape), np.nan)
    return lab.dataset({"named": (("cause", "run"), named)}, {"cause": list(networks_of.RATES)})


def _named(data: lab.Data, doctor: str = doctors.OURS) -> xr.DataArray:
    return data.examined.named.sel(doctor=doctor, drop=True)


def _detected(named: xr.DataArray) -> lab.Evidence:
    return (
        lab.share("runs whose cause is named", answers.right(named), ["form", "run"])
        .above(WANTED)
        .per("cause")
    )


@study.claim(
    "For each cause the examination names it in at least 80 % of runs, from the log alone.", origin=WHY
)
def names(data):
    return _detected(_named(data))


@names.null("the same answers, permuted over all runs")
def _(data):
    return _detected(answers.permuted(_named(data)))


def _alarms(ill: xr.DataArray, healthy: bool) -> lab.Evidence:
    chosen = [cause for cause in CAUSES if (cause in doctors.HEALTHY) == healthy]
    return lab.share("runs called ill", ill.sel(cause=chosen)).below(ALLOWED)


@study.claim("The examination calls at most 5 % of healthy runs ill.", origin=WHY)
def false_alarms(data):
    return _alarms(answers.ill(_named(data)), True)


@false_alarms.null("the runs that are ill")
def _(data):
    return _alarms(answers.ill(_named(data)), False)


def _beyond(data: lab.Data, named: xr.DataArray) -> lab.Evidence:
    whole, alone = (answers.right(one).stack(member=DIMS) for one in (named, _named(data, doctors.REWARD)))
    return lab.difference("cause named, whole log less reward alone", whole, alone, "member").above(MORE)


@study.claim(
    "The whole log names the cause in at least a tenth more of all runs than its reward alone.",
    origin=lab.Asked("Most who ask show a curve of the reward; is that enough?"),
)
def whole_log(data):
    return _beyond(data, _named(data))


@whole_log.null("the answers to whole logs, permuted over all runs")
def _(data):
    return _beyond(data, answers.permuted(_named(data)))


def _against(data: lab.Data, named: xr.DataArray) -> lab.Evidence:
    pairs = xr.broadcast(answers.right(named), data.public.right)
    own, others = (one.stack(member=DIMS) for one in pairs)
    return (
        lab.difference("runs whose cause is named, less that of others", own, others, "member")
        .above(0)
        .per("doctor")
    )


@study.claim(
    "The examination names the cause of more runs than each public run doctor that is installed.", origin=WHY
)
def against_others(data):
    return _against(data, _named(data))


@against_others.null("the answers of the examination, permuted over all runs")
def _(data):
    return _against(data, answers.permuted(_named(data)))


def _in_networks(named: xr.DataArray) -> lab.Evidence:
    right = answers.right(named).stack(member=("cause", "run"))
    known = right.dropna("member") if right.notnull().any() else right
    return lab.share("runs whose cause is named", known).above(HALF)


@study.claim(
    "Of small transformers that succeed, are slow, or have too high a learning rate, it names the cause of most runs.",
    origin=lab.Asked(
        "The examination was developed on simulated policies over patterns; do networks give such logs?"
    ),
)
def in_networks(data):
    return _in_networks(data.networks.named)


@in_networks.null("the same answers, each to a run of another cause")
def _(data):
    return _in_networks(data.networks.named.roll(cause=1))


@study.figure
def draw(data: lab.Data) -> Figure:
    """What is named for runs of each cause; right answers and false alarms of each doctor."""
    figure, axes = plot.new((13.0, 6.2), ncols=2, width_ratios=[1.75, 1])
    drawn.confusion(_named(data), axes[0])
    drawn.scores(data, axes[1], (ALLOWED, WANTED))
    return figure
