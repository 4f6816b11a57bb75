"""Patients: simulated training runs whose cause is known, and the files that a trainer would have left of them.

    from pathlib import Path
    from qra_jax.studies.runs import _patients as patients

    path = patients.write("kl_resting", 1000, Path("/tmp/logs"))                # TRL's trainer_state.json
    path = patients.write("kl_resting", 1000, Path("/tmp/logs"), form="verl")   # the same run, verl's JSONL
    many = patients.drawn([(cause, seed) for cause in patients.CAUSES for seed in range(1000, 1010)])  # much faster
    paths = [one.write(Path("/tmp/logs"), form) for one in many for form in ("trl", "verl")]

A cause is a mechanism, switched on in settings that are drawn anew for every patient from ranges that practitioners
use; harmless peculiarities (a format reward, a KL term, rollouts a step old, a few wrong verdicts) occur under every
cause, so that no single one gives it away. A patient counts only where the truth, which no log shows, meets the
criterion of its cause (`CAUSES`); otherwise it is drawn again. Most criteria ask what the same run, with the same
random numbers, comes to without the cause: its twin.

Seeds from 1000 to 999 999 are for whoever develops a doctor; others are the benchmark's.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qra_jax import _check
from qra_jax.studies.runs import _simulator as simulator
from qra_jax.studies.runs._causes import CAUSES
from qra_jax.studies.runs._settings import Setting, built, usual
from qra_jax.studies.runs._trainer_logs import FORMS, text

TRIES, AHEAD = 200, 64
"""Draws of one patient before giving up; runs that are simulated together at least."""


@dataclass(frozen=True)
class Patient:
    """One simulated run.

    Attributes:
      cause: why it went as it did.
      seed: number of the patient.
      tries: how often its settings were drawn until the criterion held.
      setting: all settings.
      run: as [`simulate`][qra_jax.studies.runs._simulator.simulate] returns it, cut to the steps of the run.
      truth: numbers that the criterion was judged by.
    """

    cause: str
    seed: int
    tries: int
    setting: Mapping[str, Any]
    run: Mapping[str, np.ndarray]
    truth: Mapping[str, float]

    def write(self, folder: Path, form: str = "trl") -> Path:
        """Write the log as a trainer would, into a folder of its own: `<folder>/<cause>-<seed>/…`."""
        _check.choice("form", form, tuple(FORMS))
        own = Path(folder) / f"{self.cause}-{self.seed}"
        own.mkdir(parents=True, exist_ok=True)
        path = own / FORMS[form]
        path.write_text(text(form, self.setting, self.run))
        return path


def write(cause: str, seed: int, folder: Path, form: str = "trl") -> Path:
    """Simulate one patient and write its log.

    Args:
      cause: one of `CAUSES`.
      seed: its number, ≥ 0.
      folder: where a folder of its own is made.
      form: `"trl"` or `"verl"`.

    Returns:
      The file.

    Raises:
      ValueError: an unknown cause or form.
    """
    return drawn([(cause, seed)])[0].write(folder, form)


def drawn(wanted: Sequence[tuple[str, int]]) -> list[Patient]:
    """Patients by cause and seed, each drawn until its criterion holds.

    Args:
      wanted: cause and seed of each.

    Returns:
      The patients, in this order; the same ones however many are asked for together.

    Raises:
      ValueError: an unknown cause, or one whose criterion holds in none of `TRIES` draws.
    """
    for cause, _ in wanted:
        _check.choice("cause", cause, tuple(CAUSES))
    waiting, tried, known = list(dict.fromkeys(wanted)), dict.fromkeys(wanted, 0), {}
    while waiting:
        rounds = -(-AHEAD // sum(2 if CAUSES[cause].twin else 1 for cause, _ in waiting))
        attempts = [(who, tried[who] + i) for i in range(rounds) for who in waiting]
        settings = [_setting(cause, seed, attempt) for (cause, seed), attempt in attempts]
        twins = [i for i, ((cause, _), _) in enumerate(attempts) if CAUSES[cause].twin]
        runs = simulator.simulate(settings + [_twin(attempts[i][0][0], settings[i]) for i in twins])
        paired = dict(zip(twins, runs[len(settings) :], strict=True))
        for i, ((who, attempt), setting) in enumerate(zip(attempts, settings, strict=True)):
            truth = truth_of(setting, runs[i], paired.get(i))
            tried[who] = max(tried[who], attempt + 1)
            if who not in known and CAUSES[who[0]].holds(truth):
                known[who] = Patient(who[0], who[1], attempt + 1, setting, _cut(setting, runs[i]), truth)
        waiting = [who for who in waiting if who not in known]
        for who in waiting:
            if tried[who] >= TRIES:
                raise ValueError(f"cause: {who[0]!r} in none of {tried[who]} draws of patient {who[1]}")
    return [known[who] for who in wanted]


def logs(count: int, first: int) -> dict[str, Any]:
    """The benchmark: logs of every form and cause, packed, and how often their patients were drawn.

    Args:
      count: patients of each form and cause, at most 500.
      first: seed of the first.

    Returns:
      `tries` `[causes, forms, count]`, and `packed`: by form, then by cause, a list of texts as bytes (zlib).
    """
    seeds = {form: range(first + 500 * i, first + 500 * i + count) for i, form in enumerate(FORMS)}
    who = [(cause, seed) for cause in CAUSES for seeds_of in seeds.values() for seed in seeds_of]
    every = dict(zip(who, drawn(who), strict=True))

    def packed(cause: str, form: str) -> list[np.ndarray]:
        ill = [every[cause, seed] for seed in seeds[form]]
        texts = [text(form, one.setting, one.run).encode() for one in ill]
        return [np.frombuffer(zlib.compress(content), np.uint8) for content in texts]

    tries = np.array([every[one].tries for one in who]).reshape(len(CAUSES), len(FORMS), count)
    return {
        "tries": tries,
        "packed": {form: {cause: packed(cause, form) for cause in CAUSES} for form in FORMS},
    }


def _setting(cause: str, seed: int, attempt: int) -> Setting:
    rng = np.random.default_rng([seed, list(CAUSES).index(cause), attempt])
    drawn = usual(rng)
    return built(drawn | CAUSES[cause].change(rng, drawn))


def _twin(cause: str, setting: Setting) -> Setting:
    twin = CAUSES[cause].twin
    assert twin is not None
    return setting | twin(setting)


def truth_of(setting: Setting, run: Mapping[str, Any], twin: Mapping[str, Any] | None) -> dict[str, float]:
    """What the criteria are judged by; `nan` where there is no twin."""
    looks, steps = int(setting["steps"]) // simulator.EVERY + 1, int(setting["steps"])
    end = slice(max(looks - 3, 1), looks)
    path, tenth = run["true_accuracy"][:looks], max(steps // 10, 3)
    right = simulator.solved(setting)[: simulator.TRAINED]
    policy = np.exp(setting["log_ref"][: simulator.TRAINED] / setting["temperature"])
    rates = (policy * right).sum(axis=1) / policy.sum(axis=1)

    def rise(name: str) -> float:
        return float(run[name][steps - tenth : steps].mean() - run[name][:tenth].mean())

    return {
        "start": float(path[0]),
        "end": float(path[end].mean()),
        "gain": float(path[end].mean() - path[0]),
        "late": float(path[end].mean() - path[looks // 2 - 1 : looks // 2 + 2].mean()),
        "fall": float((np.maximum.accumulate(path) - path).max()),
        "ceiling": float(right.max(axis=1).mean()),
        "all_right": float((rates ** setting["group"]).mean()),
        "all_wrong": float(((1 - rates) ** setting["group"]).mean()),
        "flattered": float((run["correct"] - run["right"])[steps - tenth : steps].mean()),
        "reward_gain": rise("reward"),
        "format_gain": setting["w_format"] * rise("format"),
        "truncated_gain": float(run["true_truncated"][end].mean() - run["true_truncated"][0]),
        "best": float(run["true_best"][end].mean()),
        "half": float(path[looks // 2 :].mean()),
        "twin_half": np.nan if twin is None else float(twin["true_accuracy"][looks // 2 : looks].mean()),
        "twin": np.nan if twin is None else float(twin["true_accuracy"][end].mean()),
        "twin_best": np.nan if twin is None else float(twin["true_best"][end].mean()),
    }


def _cut(setting: Setting, run: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    steps = int(setting["steps"])
    cut = {len(x): n for x, n in ((run["reward"], steps), (run["true_best"], steps // simulator.EVERY + 1))}
    return {name: value[: cut[len(value)]] for name, value in run.items()}
