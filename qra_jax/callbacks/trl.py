"""A callback for TRL and for the Trainer of transformers: it needs neither to be imported.

Callbacks see a row of the log one after the other: first those that report to trackers, then the user's own, at last
the console; the row is in `state.log_history` already. What a callback of the user's adds to a row thus reaches the
console alone. [`TRL.add_to`][] puts it before the trackers, and every forecast is written into `state.log_history`,
from which checkpoints get it.

Fits run in a process of their own, on the CPU whatever the trainer runs on: training waits for none of them, unless
asked to, and shares neither the memory of a GPU nor the settings of JAX with them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qra_jax.fit.runs import keys

LOGGER = logging.getLogger("qra_jax")
SHAPES = {"flat": 0.0, "rising": 1.0, "falling": -1.0, "collapse": -2.0}
"""`qra/shape` by shape."""
FEWEST = 5
"""Logged rows before the first fit."""
_PROGRAM = "from qra_jax.callbacks.trl import serve; serve()"


class TRL:
    """Forecasts of the accuracy, written into the log of a trainer of TRL or transformers.

    New forecasts are added to the first row that is logged after they are there:

    - `qra/forecast`, `qra/forecast_low`, `qra/forecast_high`: accuracy at the end of training, with its 80 % interval;
    - `qra/plateau_step`: by which step 95 % of the gain up to there is made;
    - `qra/shape`: 1 rising, 0 flat, −1 falling, −2 collapse: risen and fallen. Only a rising curve has forecasts.

    Trackers may put a `train/` before these names. A failure is said once, as a warning of the logger `qra_jax`; no
    more forecasts come then, and training goes on.

    Args:
      every: logged rows from one fit to the next, ≥ 1; none begins before the one before it is done.
      column: the measured key; default: the one that looks most like an accuracy.
      scale: (low, high) of that key's values, for rewards that are not in [0, 1].
      samples: completions behind a row; default: from the trainer's batch size and logging steps.
      wait: seconds that training waits for each fit, at most.
      seed: of the random numbers.

    Raises:
      ValueError: an argument out of range.
    """

    def __init__(
        self,
        *,
        every: int = 10,
        column: str | None = None,
        scale: tuple[float | int, float | int] | None = None,
        samples: float | int | None = None,
        wait: float | int = 0.0,
        seed: int = 0,
    ) -> None:
        if isinstance(every, bool) or every < 1:
            raise ValueError(f"every: {every}; must be 1 or above")
        if not (wait >= 0 and math.isfinite(wait)):
            raise ValueError(f"wait: {wait:.10g}; must be a number of seconds, zero or above")
        self.every, self.column, self.scale = every, column, scale
        self.samples, self.wait, self.seed = samples, wait, seed
        self._rows, self._asked = 0, 0
        self._silent, self._first, self._told = False, False, False
        self._fitter: _Fitter | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):  # every event that there is or will be
            return _nothing
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def add_to(self, trainer: Any) -> TRL:
        """Put it before all callbacks of a trainer, so that trackers see its forecasts.

        Args:
          trainer: what has `callback_handler.callbacks`; not to be given this callback otherwise.

        Returns:
          The callback.
        """
        others = trainer.callback_handler.callbacks
        others[:] = [self, *(one for one in others if one is not self)]
        self._first = True
        return self

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Take a row of the log, and add the forecast to it where there is a new one."""
        if self._silent or not logs or not getattr(state, "is_world_process_zero", True):
            return
        try:
            self._log(args, state, logs)
        except Exception as error:  # whatever it is, training goes on
            self._stop(error)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Let go of the process that fits."""
        self._close()

    def _log(self, args: Any, state: Any, logs: dict[str, Any]) -> None:
        if self.column is None:
            known = [name for name, value in logs.items() if _number(value)]
            found = [name for name in keys.accuracies(known) if not keys.EVALUATION.search(name)]
            self.column = found[0] if found else None
        if self.column is None or not _number(logs.get(self.column)):
            return  # of evaluation, or the last one with run times
        self._rows += 1
        history = getattr(state, "log_history", None) or []
        here = {**logs, "step": state.global_step}
        rows = [row for row in history if _number(row.get(self.column))]
        if not rows or rows[-1].get("step") != state.global_step:
            rows.append(here)
        due = self._rows - self._asked >= self.every and len(rows) >= FEWEST
        due = due and (self._fitter is None or self._fitter.idle)
        if due:
            self._fitter = self._fitter or _Fitter()
            self._asked = self._rows
            self._fitter.ask(self._request(args, state, rows))
        found = None if self._fitter is None else self._fitter.answer(self.wait if due else 0.0)
        if found is None:
            return
        if "error" in found:
            raise ValueError(found["error"])
        logs.update(found)
        if history and history[-1].get("step") == state.global_step:
            history[-1].update(found)
        trackers = getattr(args, "report_to", None)
        if not self._first and not self._told and trackers and trackers != ["none"]:
            self._told = True
            LOGGER.warning(
                "qra_jax: forecasts go to trainer_state.json and the console, not to %s, which saw the row before: "
                "use qra_jax.callbacks.TRL().add_to(trainer) in place of callbacks=[…] or add_callback",
                ", ".join(trackers) if isinstance(trackers, list) else trackers,
            )

    def _request(self, args: Any, state: Any, rows: list[Any]) -> dict[str, Any]:
        rate = keys.find(rows[-1], keys.RATES)
        kept = [name for name in ("step", self.column, rate) if name is not None]
        end = getattr(state, "max_steps", 0) or 0
        return {
            "rows": [{name: float(row[name]) for name in kept if _number(row.get(name))} for row in rows],
            "column": self.column,
            "scale": self.scale,
            "samples": self.samples if self.samples is not None else _samples(args, state),
            "train_until": float(end) if end > 0 else None,
            "group_size": max(2, int(getattr(args, "num_generations", None) or 8)),
            "seed": self.seed,
        }

    def _stop(self, error: Exception) -> None:
        self._silent = True
        with contextlib.suppress(Exception):
            LOGGER.warning("qra_jax: no more forecasts, training goes on: %s", error)
        self._close()

    def _close(self) -> None:
        fitter, self._fitter = self._fitter, None
        if fitter is not None:
            with contextlib.suppress(Exception):
                fitter.close()


class _Fitter:
    """A process that fits, and the thread that talks to it."""

    def __init__(self) -> None:
        import qra_jax

        root = str(Path(str(qra_jax.__file__)).parents[1])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        own = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | own,
        )
        if self.process.stdin is None or self.process.stdout is None:
            raise OSError("no pipes to the process that fits")
        self.pipes = self.process.stdin, self.process.stdout
        self.questions: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.idle = True
        self.thread = threading.Thread(target=self._talk, name="qra_jax", daemon=True)
        self.thread.start()

    def ask(self, request: Mapping[str, Any]) -> None:
        self.idle = False
        self.questions.put(json.dumps(request))

    def answer(self, wait: float | int) -> dict[str, Any] | None:
        """What came, after so many seconds at most; none where nothing did."""
        try:
            found = (
                self.answers.get(timeout=wait) if wait > 0 and not self.idle else self.answers.get_nowait()
            )
        except queue.Empty:
            return None
        self.idle = True
        return found

    def close(self) -> None:
        self.questions.put(None)
        self.process.terminate()
        self.thread.join(5.0)
        self.process.wait(5.0)

    def _talk(self) -> None:
        into, out = self.pipes
        with contextlib.suppress(OSError), into, out:  # what the process did not read is lost at the close
            while (question := self.questions.get()) is not None:
                line = b""
                with contextlib.suppress(OSError):
                    into.write(question.encode() + b"\n")
                    into.flush()
                    line = out.readline()
                try:
                    found = dict(json.loads(line))
                except (ValueError, TypeError):
                    found = {"error": f"the process that fits answered {line[:80]!r}"}
                self.answers.put(found)


def serve() -> None:
    """Fit what comes, a request a line, until there is no more: the other side of the callback."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is no answer
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)
    for line in sys.stdin:
        try:
            found = reply(json.loads(line))
        except Exception as error:
            found = {"error": str(error) or repr(error)}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


def reply(request: Mapping[str, Any]) -> dict[str, float]:
    """What is added to a row of the log.

    Args:
      request: rows, column, scale, samples, train_until, group_size, seed.

    Returns:
      Numbers by key; forecasts only of a rising curve.

    Raises:
      ValueError: a column that is no accuracy, fewer than four steps.
    """
    from qra_jax.cli.session import start_jax
    from qra_jax.fit import runs
    from qra_jax.fit.runs.rows import Rows

    rows = Rows()
    for number, row in enumerate(request["rows"], 1):
        rows.add(row, number)
    log = rows.done("the trainer's log", "the log of a trainer")
    scale = None if request["scale"] is None else tuple(request["scale"])
    points = runs.curve(log, column=request["column"], step="step", scale=scale, samples=request["samples"])
    start_jax()
    from qra_jax.fit import curve as curves, watch

    options = {name: request[name] for name in ("train_until", "group_size", "seed")}
    found = watch.update(curves.of(points), **options)
    said = {"qra/shape": SHAPES[found.shape.kind]}
    if found.shape.kind != "rising":
        return said
    return said | {
        "qra/forecast": found.median,
        "qra/forecast_low": found.low,
        "qra/forecast_high": found.high,
        "qra/plateau_step": found.plateau,
    }


def _samples(args: Any, state: Any) -> float | None:
    """Completions behind a logged row, as the trainer's settings say; none where they do not."""
    every = getattr(state, "logging_steps", None) or getattr(args, "logging_steps", None)
    names = "per_device_train_batch_size", "gradient_accumulation_steps"
    sizes: list[Any] = [every, *(getattr(args, name, None) for name in names)]
    if not all(_number(size) and size >= 1 for size in sizes):
        return None
    several = (getattr(args, "world_size", 1) or 1) / (getattr(args, "num_iterations", 1) or 1)
    return float(max(1.0, math.prod(sizes) * several))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """An event that nothing is done at."""
