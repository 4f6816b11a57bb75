"""Forecasts in a trainer's own log: order of callbacks, failures, processes, with a trainer as transformers has it."""

import json
import logging
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from qra_jax import callbacks
from qra_jax.callbacks import trl
from qra_jax.fit import watch
from qra_jax.fit.shape import Shape

EVENTS = (
    *("on_init_end", "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_step_begin"),
    *(
        "on_pre_optimizer_step",
        "on_optimizer_step",
        "on_substep_end",
        "on_step_end",
        "on_evaluate",
        "on_predict",
    ),
    *("on_save", "on_log", "on_prediction_step", "on_push_begin"),
)
"""Of transformers' TrainerCallback in 2026."""
KEYS = ("qra/forecast", "qra/forecast_low", "qra/forecast_high", "qra/plateau_step", "qra/shape")


class Tracker:
    """Keeps the rows that it sees."""

    def __init__(self):
        self.rows = []

    def __getattr__(self, name):
        if name.startswith("on_"):
            return lambda *args, **kwargs: None
        raise AttributeError(name)

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.rows.append(dict(logs))


class Trainer:
    """Calls callbacks as transformers' Trainer and CallbackHandler do: reports, the user's own, then the console."""

    def __init__(self, callbacks=(), report_to=("wandb",), **settings):
        self.tracker, self.console = Tracker(), Tracker()
        everything = [self.tracker, *callbacks, self.console]
        self.callback_handler = SimpleNamespace(callbacks=everything)
        self.args = SimpleNamespace(report_to=list(report_to), **settings)
        self.control = SimpleNamespace()
        self.state = SimpleNamespace(global_step=0, max_steps=200, log_history=[], is_world_process_zero=True)
        self.call("on_init_end")

    def add_callback(self, callback):
        self.callback_handler.callbacks.append(callback)

    def call(self, event, **kwargs):
        for callback in self.callback_handler.callbacks:
            result = getattr(callback, event)(
                self.args, self.state, self.control, model=None, optimizer=None, lr_scheduler=None, **kwargs
            )
            if result is not None:
                self.control = result

    def log(self, logs):
        logs = {**logs, "epoch": 0.1}
        self.state.log_history.append({**logs, "step": self.state.global_step})
        self.call("on_log", logs=logs)

    def train(self, levels, key="rewards/accuracy_reward/mean", pause=0.0):
        for event in EVENTS[1:2] + EVENTS[3:]:
            if event != "on_log":
                self.call(event)
        for level in levels:
            self.state.global_step += 5
            self.log({"loss": 0.0, "reward": 2 * level, key: level, "reward_std": 0.2, "learning_rate": 1e-6})
            time.sleep(pause)
        self.log({f"eval_{key}": 0.5})
        self.log({"train_runtime": 3.0})
        self.call("on_train_end")


def rise(number, n=128):
    t = 5.0 * np.arange(1, number + 1)
    return (np.random.default_rng(0).binomial(n, 1 / (1 + np.exp(1.5 - t / 60))) / n).tolist()


FAKE = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"qra/shape": 1.0, "qra/forecast": asked["rows"][-1]["step"] / 1000}), flush=True)
"""


@pytest.fixture
def fake(monkeypatch):
    """A process that answers at once: a thousandth of the last step it was told of."""
    monkeypatch.setattr(trl, "_PROGRAM", FAKE)


def last(found):
    return [row for row in found if "qra/shape" in row]


def test_trackers_and_history_get_forecasts_where_it_is_put_first(fake):
    callback, trainer = callbacks.TRL(every=4, wait=20), Trainer()
    assert callback.add_to(trainer) is callback
    assert trainer.callback_handler.callbacks[0] is callback
    trainer.train(rise(12))
    steps = [row["qra/forecast"] for row in last(trainer.tracker.rows)]
    assert steps == [0.025, 0.045]  # fifth row, where five are there, and the ninth
    history = last(trainer.state.log_history)
    assert [row["step"] for row in history] == [25, 45]
    assert [row["qra/forecast"] for row in history] == steps
    assert len(last(trainer.console.rows)) == 2
    callback.add_to(trainer)
    assert trainer.callback_handler.callbacks.count(callback) == 1


@pytest.mark.parametrize("given", ["argument", "add_callback"])
def test_among_the_users_callbacks_trackers_do_not_see_it_and_that_is_said_once(fake, caplog, given):
    callback = callbacks.TRL(every=3, wait=20)
    trainer = Trainer([callback] if given == "argument" else [])
    if given == "add_callback":
        trainer.add_callback(callback)
    with caplog.at_level(logging.WARNING, "qra_jax"):
        trainer.train(rise(12))
    assert not last(trainer.tracker.rows)
    assert len(last(trainer.state.log_history)) >= 2
    assert [record.getMessage().count("add_to(trainer)") for record in caplog.records] == [1]
    assert "wandb" in caplog.text


def test_nothing_is_said_where_nobody_reports(fake, caplog):
    callback = callbacks.TRL(every=3, wait=20)
    Trainer([callback], report_to=["none"]).train(rise(8))
    assert not caplog.records


def test_training_does_not_wait(monkeypatch):
    monkeypatch.setattr(trl, "_PROGRAM", "import time; time.sleep(60)")
    callback, trainer = callbacks.TRL(every=1), Trainer()
    callback.add_to(trainer)
    longest = 0.0
    for level in rise(40):
        trainer.state.global_step += 5
        before = time.perf_counter()
        trainer.log({"reward": level})
        longest = max(longest, time.perf_counter() - before)
    process = callback._fitter.process
    assert longest < 2.0  # the start of a process, on a busy machine
    assert process.poll() is None
    trainer.call("on_train_end")
    assert process.wait(10) is not None
    assert not last(trainer.tracker.rows)


def test_a_bounded_wait_ends(monkeypatch):
    monkeypatch.setattr(trl, "_PROGRAM", "import time; time.sleep(60)")
    callback, trainer = callbacks.TRL(every=1, wait=0.3), Trainer()
    callback.add_to(trainer)
    begin = time.perf_counter()
    trainer.train(rise(60))  # one fit is asked for, and waited for once
    assert 0.3 <= time.perf_counter() - begin < 10


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(3)",
        "print('no JSON', flush=True); input()",
        "import json\nfor _ in range(9): input(); print(json.dumps({'error': 'out of luck'}), flush=True)",
        "import sys\nfor line in sys.stdin: print('[1]', flush=True)",
    ],
)
def test_failures_are_said_once_and_training_goes_on(monkeypatch, caplog, program):
    monkeypatch.setattr(trl, "_PROGRAM", program)
    callback, trainer = callbacks.TRL(every=2, wait=20), Trainer()
    callback.add_to(trainer)
    trainer.train(rise(20))
    assert len(trainer.tracker.rows) == 22
    assert not last(trainer.tracker.rows)
    assert [record.getMessage().count("no more forecasts") for record in caplog.records] == [1]


def test_a_process_that_cannot_start_stops_nothing(monkeypatch, caplog):
    monkeypatch.setattr(trl.sys, "executable", "/nowhere/python")
    callback, trainer = callbacks.TRL(every=2), Trainer()
    callback.add_to(trainer)
    trainer.train(rise(12))
    assert len(trainer.tracker.rows) == 14
    assert caplog.text.count("no more forecasts") == 1


def test_odd_logs_and_states_stop_nothing(fake):
    callback, trainer = callbacks.TRL(every=1, wait=20), Trainer()
    callback.add_to(trainer)
    for logs in ({}, {"loss": "x"}, {"reward": float("nan")}, {"reward": None}, {"reward": np.float64(0.5)}):
        trainer.log(logs)
    assert callback.on_log(None, SimpleNamespace(global_step=1), None, None) is None
    assert callback.on_log(None, SimpleNamespace(global_step=1), None, {"reward": 0.5}) is None
    assert not callback._silent


def test_only_the_main_process_forecasts(fake):
    callback, trainer = callbacks.TRL(every=1, wait=20), Trainer()
    trainer.state.is_world_process_zero = False
    callback.add_to(trainer)
    trainer.train(rise(8))
    assert callback._fitter is None
    assert not last(trainer.tracker.rows)


def test_the_request_has_the_measured_column_and_the_trainers_settings():
    settings = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4, "world_size": 2}
    trainer = Trainer(logging_steps=5, num_iterations=2, num_generations=16, **settings)
    callback, asked = callbacks.TRL(every=1, seed=3), []
    callback._fitter = SimpleNamespace(
        idle=True, ask=asked.append, answer=lambda wait: None, close=lambda: None
    )
    trainer.state.log_history.append(
        {"step": 0, "rewards/accuracy_reward/mean": 0.25}
    )  # of the run that is resumed
    callback.add_to(trainer).on_init_end(None, None, None)
    trainer.train(rise(4))
    request = asked[-1]
    assert len(asked) == 1
    assert request["column"] == "rewards/accuracy_reward/mean"
    assert [row["step"] for row in request["rows"]] == [0, 5, 10, 15, 20]
    assert set(request["rows"][-1]) == {"step", "rewards/accuracy_reward/mean", "learning_rate"}
    assert request["samples"] == 5 * 8 * 4 * 2 / 2
    assert (request["group_size"], request["train_until"], request["seed"]) == (16, 200.0, 3)
    assert trl._samples(SimpleNamespace(logging_steps=0.1, **settings), SimpleNamespace()) is None
    assert trl._samples(SimpleNamespace(), SimpleNamespace()) is None
    json.dumps(request, allow_nan=False)


def shaped(kind):
    return Shape(kind, 0.001, 0.3, 0.8, 0.5, float("nan"), (float("nan"), float("nan")), 1.0)


@pytest.mark.parametrize(("kind", "code"), trl.SHAPES.items())
def test_only_a_rising_curve_has_forecasts(monkeypatch, kind, code):
    seen = []

    def update(curve, **options):
        seen.append(curve)
        return watch.Update(40.0, 9, 0.5, 200.0, 0.7, 0.6, 0.8, 150.0, 140.0, 160.0, shaped(kind))

    monkeypatch.setattr(watch, "update", update)
    monkeypatch.setattr("qra_jax.cli.session.start_jax", lambda: None)
    rows = [{"step": 5.0 * i, "reward": 0.2 + i, "learning_rate": 1e-6} for i in range(9)]
    request = {"rows": rows, "column": "reward", "scale": [0, 10], "samples": 64, "train_until": 200.0}
    found = trl.reply(request | {"group_size": 8, "seed": 0})
    assert found["qra/shape"] == code
    assert set(found) == (set(KEYS) if kind == "rising" else {"qra/shape"})
    assert seen[0].accuracy[0] == pytest.approx(0.02)
    assert (seen[0].samples == 64).all()
    with pytest.raises(ValueError, match=r"reward: from 0\.2 to 8\.2; must be in"):
        trl.reply(request | {"scale": None, "group_size": 8, "seed": 0})


def test_any_event_is_answered_and_other_names_are_not():
    callback = callbacks.TRL()
    for event in (*EVENTS, "on_something_new"):
        assert getattr(callback, event)(None, None, None, logs={}, metrics={}) is None
    with pytest.raises(AttributeError, match="no attribute 'model'"):
        _ = callback.model
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        _ = callbacks.Other


@pytest.mark.parametrize(
    ("options", "words"),
    [({"every": 0}, "every: 0; must be 1"), ({"wait": -1}, "wait: -1; must be a number")],
)
def test_bad_input_is_named(options, words):
    with pytest.raises(ValueError, match=words):
        callbacks.TRL(**options)


def test_neither_a_trainer_nor_jax_is_imported():
    program = (
        "import sys; from qra_jax.callbacks import TRL; TRL().on_train_begin(None, None, None)\n"
        "assert not {'jax', 'torch', 'transformers', 'trl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_real_process_forecasts_what_watch_does():
    """End to end, with the process that users get."""
    callback, trainer = callbacks.TRL(every=25, wait=300), Trainer(num_generations=8)
    callback.samples = 128
    callback.add_to(trainer)
    trainer.train(rise(25))
    (row,) = last(trainer.tracker.rows)
    assert set(KEYS) <= set(row)
    truth = 1 / (1 + np.exp(1.5 - 200 / 60))
    assert row["qra/forecast_low"] < row["qra/forecast"] < row["qra/forecast_high"]
    assert abs(row["qra/forecast"] - truth) < 0.15
    assert 100 < row["qra/plateau_step"] <= 200
    assert row["qra/shape"] == 1
    assert os.environ.get("CUDA_VISIBLE_DEVICES") != ""  # the trainer's own is left alone
