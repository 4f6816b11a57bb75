"""A growing log is followed: half-written lines, restarts, files not there yet, one line an update."""

import dataclasses
import functools
import io
import re

import jax
import numpy as np
import pytest
from rich.console import Console

from qra_jax import fit
from qra_jax.fit import watch
from qra_jax.fit.shape import Shape

HEAD = "step,accuracy,n\n"


def rows(number, level=lambda t: 1 / (1 + np.exp(1.5 - t / 60)), n=256, every=4):
    t = every * np.arange(number)
    right = np.random.default_rng(0).binomial(n, level(t))
    return [f"{step},{k / n:.5f},{n}\n" for step, k in zip(t, right, strict=True)]


class Days:
    """A sleep that writes the file instead: `None` leaves it as it is; at the end somebody presses Ctrl-C."""

    def __init__(self, path, *texts):
        self.path, self.texts, self.slept = path, list(texts), []

    def __call__(self, seconds):
        self.slept.append(seconds)
        if not self.texts:
            raise KeyboardInterrupt
        if (text := self.texts.pop(0)) is not None:
            self.path.write_text(text)


def shaped(kind="rising", onset=float("nan"), between=(float("nan"), float("nan"))):
    return Shape(kind, 0.001, 0.3, 0.8, 0.5, onset, between, 1.0)


@pytest.fixture
def fits(monkeypatch):
    """The curves that were fitted; nothing is."""
    seen = []

    def update(curve, **options):
        seen.append((curve, options))
        last = float(curve.steps[-1])
        ends = (0.5, 3 * last, 0.7, 0.6, 0.8, 2 * last, 1.9 * last, 2.1 * last)
        return watch.Update(last, len(curve.steps), *ends, shaped())

    monkeypatch.setattr(watch, "update", update)
    return seen


def followed(path, sleep, **options):
    page = Console(file=io.StringIO(), width=500, highlight=False)
    code = watch.watch(path, sleep=sleep, console=page, **options)
    return code, page.file.getvalue().splitlines()


def test_a_file_that_is_not_there_is_waited_for_and_a_line_comes_with_each_growth(tmp_path, fits):
    file, lines = tmp_path / "run.csv", rows(20)
    head = HEAD + "".join(lines[:3])
    texts = (None, None, head, HEAD + "".join(lines[:10]), None, HEAD + "".join(lines))
    sleep = Days(file, *texts)
    code, said = followed(file, sleep, every=7.0)
    assert code == watch.STOPPED == 130
    assert set(sleep.slept) == {7.0}
    assert [len(curve.steps) for curve, _ in fits] == [10, 20]
    assert said[0] == f"{file} is not there yet: waiting"
    assert said[1] == "3 points so far, 4 are needed: waiting"
    assert sum(line.startswith("step ") for line in said) == 2
    assert said[-1].startswith(
        "step 76: 0.500; at step 228: 0.700 [0.600, 0.800] (80 %); 95% of that gain by step 152"
    )
    np.testing.assert_array_equal(fits[1][0].samples, 256)


def test_a_half_written_line_is_left_out_until_the_file_rests(tmp_path, fits):
    file, lines = tmp_path / "run.csv", rows(12)
    whole, cut = (
        HEAD + "".join(lines[:10]),
        HEAD + "".join(lines[:11])[:-5],
    )  # "…,256\n" without its end is a row, too
    sleep = Days(file, whole, cut, HEAD + "".join(lines[:11]), HEAD + "".join(lines).rstrip("\n"), None)
    followed(file, sleep)
    assert [len(curve.steps) for curve, _ in fits] == [10, 11, 12]
    expected = [float(line.split(",")[1]) for line in lines]
    np.testing.assert_allclose(fits[-1][0].accuracy, expected)


@pytest.mark.parametrize("rest", ['{"step": 40, "accura', '{"step": 40'])
def test_half_an_object_of_json_lines_is_no_row(tmp_path, fits, rest):
    file = tmp_path / "run.jsonl"
    objects = [f'{{"step": {4 * i}, "accuracy": {0.25 + i / 64}}}\n' for i in range(10)]
    followed(file, Days(file, "".join(objects), "".join(objects) + rest))
    assert [len(curve.steps) for curve, _ in fits] == [10]


def test_a_log_that_begins_anew_is_said_and_fitted_again(tmp_path, fits):
    file, first, second = tmp_path / "run.csv", rows(15), rows(15, lambda t: 0.3 + t / 200)
    sleep = Days(file, *(HEAD + "".join(each) for each in (first, second[:6], second[:9])))
    _, said = followed(file, sleep)
    assert [len(curve.steps) for curve, _ in fits] == [15, 6, 9]
    assert "The log begins anew: it ends at step 20, not 56." in said


def test_the_same_log_cut_short_is_fitted_again_only_when_it_differs(tmp_path, fits):
    file, lines = tmp_path / "run.csv", rows(15)
    followed(file, Days(file, *(HEAD + "".join(lines[:k]) for k in (15, 8, 9, 15))))
    assert [len(curve.steps) for curve, _ in fits] == [15, 9, 15]


def test_what_cannot_be_read_is_said_once_and_tried_again(tmp_path, fits):
    file = tmp_path / "trainer_state.json"
    history = ",".join(f'{{"step": {i}, "rewards/accuracy/mean": {0.25 + i / 64}}}' for i in range(9))
    whole = f'{{"log_history": [{history}]}}\n'
    code, said = followed(file, Days(file, "", whole[:90], whole[:91], whole), updates=1)
    assert code == 0
    assert len(fits) == 1
    assert sum("empty" in line for line in said) == 1
    assert sum(line.startswith("waiting, as") for line in said) >= 2


def test_choices_reach_the_reader_and_the_fit(tmp_path, fits):
    file = tmp_path / "run.csv"
    file.write_text("when,score\n" + "".join(f"{i},{40 + i}\n" for i in range(8)))
    choices = {"column": "score", "step": "when", "scale": (0, 100), "samples": 32}
    followed(file, Days(file), choices=choices, train_until=90, group_size=4, seed=3, updates=1)
    curve, options = fits[0]
    assert curve.accuracy[0] == pytest.approx(0.4)
    assert options == {"train_until": 90, "group_size": 4, "seed": 3}


def test_ctrl_c_while_fitting_ends_it_too(tmp_path, monkeypatch):
    def interrupted(curve, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "update", interrupted)
    file = tmp_path / "run.csv"
    file.write_text(HEAD + "".join(rows(9)))
    assert followed(file, Days(file))[0] == 130


@pytest.mark.parametrize(
    ("options", "words"),
    [({"every": 0}, "every: 0; must be a positive"), ({"updates": 0}, "updates: 0; must be 1")],
)
def test_bad_input_is_named(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        watch.watch(tmp_path / "run.csv", **options)


def test_a_line_names_collapse_and_flatness_in_place_of_a_forecast():
    rising = watch.Update(80.0, 20, 0.5, 240.0, 0.7, 0.6, 0.8, 160.0, 150.0, 170.0, shaped())
    collapse = dataclasses.replace(rising, shape=shaped("collapse", 60.0, (52.0, 72.0)))
    assert str(collapse).startswith("step 80: 0.500; COLLAPSE from step 60 on (95 %: 52 to 72)")
    assert "flat" in str(dataclasses.replace(rising, shape=shaped("flat")))
    assert str(dataclasses.replace(rising, shape=shaped("falling"))).count("FALLING:") == 1
    for line in map(str, (collapse, dataclasses.replace(rising, shape=shaped("flat")))):
        assert not re.search(r"at step \d", line)


def test_updates_are_those_of_the_fit_and_the_second_one_compiles_nothing(monkeypatch):
    compiled, counting = [], [True]
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **kw: compiled.append(event) if counting[0] and "backend_compile" in event else None
    )
    monkeypatch.setattr(fit, "fit", functools.partial(fit.fit, draws=64))
    parts = [line.split(",") for line in rows(40)]
    steps, accuracy = (np.array([float(part[i]) for part in parts]) for i in (0, 1))
    whole = fit.Curve(steps, accuracy, np.full(40, 256.0), scale=(0, 100))
    found = watch.update(whole.until(80), train_until=200)
    first = len(compiled)
    assert first > 0
    later = watch.update(whole.until(120), train_until=200)
    longer = watch.update(whole, train_until=100)  # which is past: three times as far
    counting[0] = False
    assert len(compiled) == first
    assert (found.horizon, later.horizon, longer.horizon) == (200, 200, 3 * 156)
    assert (found.step, found.points) == (80, 21)
    forecast = fit.fit(whole.until(80)).forecast([200.0])
    assert found.low < found.median < found.high
    assert found.median == pytest.approx(100 * forecast.median[0], abs=3)
    assert found.level == pytest.approx(100 / (1 + np.exp(1.5 - 80 / 60)), abs=5)
    truth = np.interp(0.95, *_gain(200))
    assert found.plateau_low <= truth <= found.plateau_high
    assert found.high - found.low > later.high - later.low


def _gain(end):
    """Share of the true gain up to a step, and the steps."""
    t = np.linspace(0, end, 400)
    level = 1 / (1 + np.exp(1.5 - t / 60))
    return (level - level[0]) / (level[-1] - level[0]), t
