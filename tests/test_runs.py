"""Files of runs: every format and every trap, each from a small file that is made here."""

import csv
import importlib
import json
import pathlib
import re
import sqlite3
import subprocess
import sys
import tracemalloc
from importlib import metadata

import numpy as np
import pytest

from qra_jax import _plugins
from qra_jax.fit import runs
from qra_jax.fit.runs import cells, keys, plugins, rows, sample, scales

STEPS = np.arange(0, 40) * 5
ACCURACY = np.random.default_rng(0).binomial(48, 1 / (1 + np.exp(1.5 - STEPS / 60))) / 48


def made(tmp_path, name, text, **options):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, **options)
    return path


def lines(objects):
    return "".join(json.dumps(one) + "\n" for one in objects)


def single(value):
    return float(np.float32(value))


def trl(step, value, old=False):
    end = "" if old else "/mean"
    return {
        "step": int(step),
        "epoch": step / 1000,
        "loss": 0.0,
        "learning_rate": 1e-6 + 1e-9 * step,
        "reward": single(value + 0.5),
        "reward_std": 0.3,
        f"rewards/format_reward{end}": 0.5,
        f"rewards/accuracy_reward{end}": single(value),
        "completions/mean_length": 210.0,
    }


TRAINERS = {
    "verl": lambda s, a: {
        "step": s,
        "data": {"critic/score/mean": a, "critic/score/max": 1.0, "actor/entropy": 0.4, "actor/lr": 1e-6},
    },
    "prime-rl": lambda s, a: {
        "step": s,
        "time": 3.0,
        "train/all/math/reward/mean": a,
        "entropy/all/mean": 0.3,
        "train/all/math/solved_none": 0.1,
    },
    "tinker": lambda s, a: {"step": s, "env/all/correct": a, "env/all/reward/total": a - 0.1},
    "EasyDeL": lambda s, a: {"step": s, "reward_mean": a, "frac_reward_zero_std": 0.1},
    "OpenRLHF": lambda s, a: {
        "train/global_step": s,
        "_step": s * 7,
        "train/rollout/reward_mean": a,
        "train/dynamic_filtering_pass_rate": 0.5,
    },
    "tunix": lambda s, a: {"step": s, "global/train/rewards/score/mean": a, "actor/train/kl": 0.1},
    "NeMo-RL": lambda s, a: {"step": s, "train/reward": a, "train/baseline_reward/pct_mixed": 0.5},
    "slime": lambda s, a: {"step": s, "rollout/raw_reward": a, "rollout/truncated_ratio": 0.1},
    "AReaL": lambda s, a: {"step": s, "ppo_actor/task_reward/avg": a, "ppo_actor/correct_n_seqs": 3},
}


def agrees(found, accuracy=None, steps=None):
    accuracy = ACCURACY if accuracy is None else accuracy
    steps = STEPS if steps is None else steps
    np.testing.assert_allclose(found.steps, steps)
    np.testing.assert_allclose(found.accuracy, accuracy, atol=1e-6)


@pytest.mark.parametrize("name", TRAINERS)
def test_json_lines_of_every_trainer(tmp_path, name):
    each = [TRAINERS[name](int(s), a) for s, a in zip(STEPS, ACCURACY, strict=True)]
    found = runs.read(made(tmp_path, "metrics.jsonl", lines(each)))
    agrees(found)
    assert (found.samples == 48).all()
    assert f"read as JSON lines of {name}" in found.notes


@pytest.mark.parametrize("old", [False, True])
def test_trainer_state(tmp_path, old):
    history = [trl(s, a, old) for s, a in zip(STEPS, ACCURACY, strict=True)]
    history += [{"step": 100, "eval_rewards/accuracy_reward/mean": 0.9, "eval_loss": None}]
    state = {"best_metric": None, "global_step": 195, "log_history": history, "train_batch_size": 8}
    found = runs.read(made(tmp_path, "run/checkpoint-195/trainer_state.json", json.dumps(state)))
    agrees(found)
    assert (found.samples == 48).all()
    assert found.lr is not None
    assert "1 rows without" in " ".join(found.notes)
    short = state | {"log_history": history[:9]}
    made(tmp_path, "run/checkpoint-40/trainer_state.json", json.dumps(short))
    agrees(runs.read(tmp_path / "run"))  # the last checkpoint
    agrees(runs.read(made(tmp_path, "one_line.json", json.dumps(history))))


def test_console_of_trl(tmp_path):
    text = "loading checkpoint shards\n"
    for s, a in zip(STEPS, ACCURACY, strict=True):
        shown = {name: value for name, value in trl(s, a).items() if name != "step"} | {"kl": float("nan")}
        text += f" 2%|###   | {s}/200 [00:10<01:00]\x1b[32m{shown}\x1b[0m\n"
    found = runs.read(made(tmp_path, "train.log", text))
    agrees(found)  # the steps of the bar: epochs are rounded
    assert "read as what was printed on a console of TRL" in found.notes


def test_console_of_verl(tmp_path):
    text = "\x1b[36m(TaskRunner pid=1)\x1b[0m starting\n"
    for s, a in zip(STEPS, ACCURACY, strict=True):
        text += f"(TaskRunner pid=1) step:{s} - global_seqlen/min:12 - critic/score/mean:{a!r}"
        text += (
            f" - actor/kl_loss:np.float64(1e-3) - val-core/math/acc/mean@1:{0.9 if s % 50 == 0 else 'nan'}\n"
        )
    agrees(runs.read(made(tmp_path, "verl.log", text)))
    validated = runs.read(tmp_path / "verl.log", column="val-core/math/acc/mean@1")
    assert list(validated.steps) == [0, 50, 100, 150]


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables(tmp_path, sign, end):
    text = f"# exported{end}Global_Step{sign}Accuracy{end}"
    text += "".join(f"{s}{sign}{a}{end}" for s, a in zip(STEPS, ACCURACY, strict=True))
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        agrees(runs.read(made(tmp_path, "t.csv", text, encoding=encoding, newline="")))


def test_decimal_commas_and_no_header(tmp_path):
    text = "".join(f"{s};{str(a).replace('.', ',')}\n" for s, a in zip(STEPS, ACCURACY, strict=True))
    agrees(runs.read(made(tmp_path, "a.csv", "step;accuracy\n" + text)))
    found = runs.read(made(tmp_path, "b.csv", text.replace(",", ".").replace(";", ",")))
    agrees(found)
    assert "the file has no header" in found.notes


def test_wandb_chart_and_history(tmp_path):
    path = tmp_path / "chart.csv"
    with path.open("w", newline="") as file:
        write = csv.writer(file, quoting=csv.QUOTE_ALL)
        both = [f"run-{r} - train/accuracy{end}" for r in "ab" for end in ("", "__MIN", "__MAX")]
        write.writerow(["Step", *both])
        for i, (s, a) in enumerate(zip(STEPS, ACCURACY, strict=True)):
            write.writerow([s, a, a, a, *([a / 2] * 3 if i % 2 else [""] * 3)])
    with pytest.raises(ValueError, match="2 runs: run-a, run-b; must be one, name it by --run"):
        runs.read(path)
    agrees(runs.read(path, run="run-a"))
    agrees(runs.read(path, run="run-b"), ACCURACY[1::2] / 2, STEPS[1::2])
    with pytest.raises(ValueError, match=r"run: 'run-c'; .* has run-a, run-b \(did you mean"):
        runs.read(path, run="run-c")
    text = "_step,_runtime,_timestamp,train/global_step,train/reward\n"
    text += "".join(f"{3 * s},1,2,{s},{a}\n" for s, a in zip(STEPS, ACCURACY, strict=True))
    found = runs.read(made(tmp_path, "history.csv", text))
    agrees(found)
    assert "steps are train/global_step" in found.notes


def test_tensorboard_table(tmp_path):
    text = "Wall time,Step,Value\n"
    text += "".join(f"{1.7e9 + s},{s},{single(a)}\n" for s, a in zip(STEPS, ACCURACY, strict=True))
    found = runs.read(made(tmp_path, "tb.csv", text))
    agrees(found)
    assert (found.samples == 48).all()  # of float32


def test_event_files(tmp_path):
    pytest.importorskip("tensorboard")
    event, summary, writing = (
        importlib.import_module(f"tensorboard.{name}")
        for name in ("compat.proto.event_pb2", "compat.proto.summary_pb2", "summary.writer.event_file_writer")
    )

    for part in (slice(0, 30), slice(25, 40)):  # a restart
        writer = writing.EventFileWriter(str(tmp_path / "logs"), filename_suffix=f".{part.start}")
        for s, a in zip(STEPS[part], ACCURACY[part], strict=True):
            value = summary.Summary.Value(tag="train/rollout/reward_mean", simple_value=a)
            one = summary.Summary(value=[value])
            writer.add_event(event.Event(wall_time=1.7e9 + s + part.start, step=s, summary=one))
        writer.close()
    found = runs.read(tmp_path / "logs")
    agrees(found)
    assert (found.samples == 48).all()


def test_event_files_need_a_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing", None)
    made(tmp_path, "logs/events.out.tfevents.1.host", "brain.Event:2")
    with pytest.raises(ValueError, match=r"need pip install 'qra-jax\[logs\]'"):
        runs.read(tmp_path / "logs")


def test_trackio(tmp_path):
    path = tmp_path / "project.db"
    with sqlite3.connect(path) as base:
        base.execute(
            "create table metrics (run_id text, timestamp text, run_name text, step int, metrics text)"
        )
        for name, factor in (("a", 1.0), ("b", 0.5)):
            for s, a in zip(STEPS, ACCURACY, strict=True):
                base.execute(
                    "insert into metrics values (?, ?, ?, ?, ?)",
                    (name, "", name, int(s), json.dumps({"train/reward": a * factor, "loss": 1.0})),
                )
    base.close()
    agrees(runs.read(path, run="a"))
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as base:
        base.execute("create table notes (text text)")
    base.close()
    with pytest.raises(ValueError, match="SQLite with tables notes; must be trackio's"):
        runs.read(other)


def test_rollouts(tmp_path):
    random = np.random.default_rng(1)
    right = random.binomial(1, 0.3 + 0.1 * np.arange(5)[:, None], (5, 96))
    text = "prompt_id,step,score\n"
    text += "".join(f"q{i // 8},{s},{x}\n" for s, row in enumerate(right) for i, x in enumerate(row))
    found = runs.read(made(tmp_path, "rollouts.csv", text))
    agrees(found, right.mean(axis=1), np.arange(5))
    assert (found.samples == 96).all()
    for s, row in enumerate(right):
        each = [{"input": "x" * 999, "output": "y", "gts": "1", "score": int(x), "step": s} for x in row]
        made(tmp_path, f"dump/{s}.jsonl", lines(each))
    agrees(runs.read(tmp_path / "dump"), right.mean(axis=1), np.arange(5))
    each = [
        {"prompt_id": f"q{i}", "step": s, "rewards": right[s, 8 * i : 8 * i + 8].tolist()}
        for s in range(5)
        for i in range(12)
    ]
    found = runs.read(made(tmp_path, "groups.jsonl", lines(each)))
    agrees(found, right.mean(axis=1), np.arange(5))
    assert (found.samples == 96).all()


def test_parquet(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    for s in range(3):
        table = {
            "step": [s] * 20,
            "prompt": ["p"] * 20,
            "accuracy_reward": [float(i < 5 + s) for i in range(20)],
        }
        (tmp_path / "completions").mkdir(exist_ok=True)
        parquet.write_table(arrow.table(table), tmp_path / f"completions/completions_{s:05d}.parquet")
    found = runs.read(tmp_path / "completions", column="accuracy_reward")
    agrees(found, [0.25, 0.3, 0.35], [0, 1, 2])


def test_checkpoints_and_bins(tmp_path):
    text = "revision,n,correct\n" + "".join(f"step_{100 * i:04d},300,{150 + 9 * i}\n" for i in range(9))
    found = runs.read(made(tmp_path, "checkpoints.csv", text + "main,300,240\n"))
    agrees(found, (150 + 9 * np.arange(9)) / 300, 100 * np.arange(9))
    assert (found.samples == 300).all()
    assert any("without one: main" in note for note in found.notes)
    found = runs.read(made(tmp_path, "bins.csv", "bins,accuracy\n1–80,.25\n81-160,.5\n161 to 240,.75\n"))
    agrees(found, [0.25, 0.5, 0.75], [40.5, 120.5, 200.5])


def curve(steps=None, values=None, header="step,accuracy"):
    values = ACCURACY if values is None else values
    steps = STEPS if steps is None else steps
    return f"{header}\n" + "".join(f"{s},{a!r}\n" for s, a in zip(steps, map(float, values), strict=True))


def test_restarts(tmp_path):
    steps = np.concatenate([STEPS[:25], STEPS[20:]])
    values = np.concatenate([ACCURACY[:20], np.zeros(5), ACCURACY[20:]])
    path = made(tmp_path, "resumed.csv", curve(steps, values))
    found = runs.read(path)
    agrees(found)
    assert any("restarted at step 100: 5 earlier rows" in note for note in found.notes)
    agrees(runs.read(path, keep="last"))
    assert (runs.read(path, keep="first").accuracy[20:25] == 0).all()


def test_rows_of_one_step(tmp_path):
    """Processes that print the same count once; parts of a step are weighted by what is behind them."""
    path = made(tmp_path, "ranks.csv", curve(np.repeat(STEPS, 3), np.repeat(ACCURACY, 3)))
    found = runs.read(path)
    agrees(found)
    assert (found.samples == 48).all()
    path = made(
        tmp_path, "parts.csv", "step,task,accuracy,n\n0,a,.25,480\n0,b,.5,48\n1,a,.5,480\n1,b,.25,48\n"
    )
    found = runs.read(path)
    agrees(found, [(0.25 * 480 + 0.5 * 48) / 528, (0.5 * 480 + 0.25 * 48) / 528], [0, 1])
    assert (found.samples == 528).all()
    random = np.random.default_rng(4)
    halves = random.binomial(48, 0.4, (40, 2)) / 48
    found = runs.read(made(tmp_path, "halves.csv", curve(np.repeat(STEPS, 2), halves.ravel())))
    agrees(found, halves.mean(axis=1))
    assert (np.asarray(found.samples)[np.ptp(halves, axis=1) > 0] == 96).all()


def test_totals_are_no_samples_a_point(tmp_path):
    text = "step,samples,accuracy\n" + "".join(
        f"{s},{512 * (i + 1)},{a!r}\n"
        for i, (s, a) in enumerate(zip(STEPS.tolist(), ACCURACY.tolist(), strict=True))
    )
    found = runs.read(made(tmp_path, "total.csv", text))
    assert (found.samples == 48).all()


def test_training_before_evaluation_and_rewards_of_any_range(tmp_path):
    text = "step,Val Accuracy,Train Accuracy\n" + "".join(
        f"{s},.9,{a!r}\n" for s, a in zip(STEPS.tolist(), ACCURACY.tolist(), strict=True)
    )
    agrees(runs.read(made(tmp_path, "val.csv", text)))
    reward = curve(values=2 * ACCURACY, header="step,rewards/correctness_reward_func/mean")
    with pytest.raises(ValueError, match="needs --range LOW HIGH"):
        runs.read(made(tmp_path, "two.csv", reward))
    agrees(runs.read(tmp_path / "two.csv", scale=(0, 2)))
    agrees(
        runs.read(made(tmp_path, "cent.csv", curve(values=ACCURACY, header="step,accuracy (%)"))),
        ACCURACY / 100,
    )
    fraction = "step,correct,n\n" + "".join(
        f"{s},{a!r},48\n" for s, a in zip(STEPS.tolist(), ACCURACY.tolist(), strict=True)
    )
    agrees(runs.read(made(tmp_path, "fraction.csv", fraction), column="correct"))


def test_two_runs_in_one_file(tmp_path):
    path = made(tmp_path, "two.csv", curve(np.tile(STEPS, 2), np.concatenate([ACCURACY, ACCURACY / 2])))
    with pytest.raises(ValueError, match="steps begin again at row 42: 2 runs one after the other"):
        runs.read(path)
    agrees(runs.read(path, run="2"), ACCURACY / 2)
    with pytest.raises(ValueError, match=r"run: 3; .* has 2 runs"):
        runs.read(path, run="3")


def test_evaluation_is_not_training(tmp_path):
    each = [{"step": int(s), "accuracy": a, "split": "train"} for s, a in zip(STEPS, ACCURACY, strict=True)]
    each += [{"step": int(s), "accuracy": 0.9, "split": "eval"} for s in STEPS[::10]]
    agrees(runs.read(made(tmp_path, "a.jsonl", lines(each))))


def test_ranges(tmp_path):
    agrees(runs.read(made(tmp_path, "a.csv", curve(values=100 * ACCURACY))))
    reward = curve(values=2 * ACCURACY - 1, header="step,score")
    path = made(tmp_path, "b.csv", reward)
    with pytest.raises(ValueError, match=r"column score: from -0\.\d+ to 0\.\d+; must be in \[0, 1\]"):
        runs.read(path)
    found = runs.read(path, scale=(-1, 1))
    agrees(found)
    assert (found.samples == 48).all()
    with pytest.raises(ValueError, match=r"must be in \[0, 0.5\]: the column goes from"):
        runs.read(path, scale=(0, 0.5))


def test_carried_forward_and_smoothed(tmp_path):
    found = runs.read(made(tmp_path, "a.csv", curve(np.arange(400), np.repeat(ACCURACY, 10))))
    assert len(found.steps) <= 41
    assert (found.samples == 48).all()
    assert "values stand 10 rows each, carried forward: one point each" in found.notes
    long = np.arange(200)
    fresh = np.random.default_rng(3).binomial(48, 1 / (1 + np.exp(1.5 - long / 60))) / 48
    smooth = [fresh[0]]
    for value in fresh:
        smooth.append(0.9 * smooth[-1] + 0.1 * value)
    found = runs.read(made(tmp_path, "b.csv", curve(long, smooth[1:])))
    assert not scales.smoothed(fresh)
    assert found.samples is None
    assert any("look smoothed" in note for note in found.notes)
    assert not scales.smoothed(np.random.default_rng(2).normal(size=200) + np.linspace(0, 3, 200))


def test_unordered_and_cut(tmp_path):
    agrees(runs.read(made(tmp_path, "a.csv", curve(STEPS[::-1], ACCURACY[::-1]))))
    agrees(runs.read(made(tmp_path, "b.csv", curve() + "19")))
    whole = lines([{"step": int(s), "accuracy": a} for s, a in zip(STEPS, ACCURACY, strict=True)])
    agrees(runs.read(made(tmp_path, "c.jsonl", whole + '{"step": 200, "accu')))
    header = curve().splitlines()[0]
    agrees(
        runs.read(
            made(
                tmp_path,
                "d.csv",
                curve(STEPS[:20], ACCURACY[:20])
                + header
                + "\n"
                + "".join(curve(STEPS[20:], ACCURACY[20:]).splitlines(True)[1:]),
            )
        )
    )


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"\xef\xbb\xbf\n \n", "empty"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "a picture; export the numbers"),
        ("a.gz", b"\x1f\x8b\x08\x00", "gzip; unpack it first"),
        ("a.xlsx", b"PK\x03\x04\x00", "a zip archive"),
        ("a.bin", bytes(range(256)), "not a text file; must be one of"),
        ("a.txt", b"Dear all, it works now and we are happy.\nYours\n", "must be one of"),
        (
            "a.txt",
            b"Dear all, it works now.\nThanks, it does.\nYours, we\n",
            "begins with 'Dear all, it works now.'",
        ),
        ("a.json", b'{"log_history": [{"step": 1, ', "must be JSON (is the file cut off?)"),
        (
            "a.jsonl",
            b'{"step": 1, "loss": 2}\n{"step": 2, "loss": 1}\n',
            "no column looks like an accuracy among step, loss",
        ),
        (
            "a.csv",
            b"question,pass_rate\nq0,.5\nq1,.25\n",
            "pass rates of questions without steps are no curve",
        ),
        ("a.csv", b"k,pass@k\n1,.5\n2,.75\n", "no column"),
    ],
)
def test_bad_files(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        runs.read(path)
    said = str(error.value)
    assert said.startswith(str(path))
    assert expected in said
    assert "\n" not in said


def test_bad_choices(tmp_path):
    path = made(tmp_path, "a.csv", curve(header="step,accuracy"))
    for options, expected in [
        ({"column": "acuracy"}, "column: 'acuracy'; .* has step, accuracy .did you mean accuracy"),
        ({"step": "steps"}, "step: 'steps'; .* has step, accuracy .did you mean step"),
        ({"samples": 0}, "samples: 0; must be positive"),
        ({"scale": (1, 0)}, "range: 1 0; must be two finite numbers"),
        ({"keep": "both"}, "keep: 'both'; must be first or last"),
    ]:
        with pytest.raises(ValueError, match=expected):
            runs.read(path, **options)
    with pytest.raises(ValueError, match="no such file"):
        runs.read(tmp_path / "nowhere.csv")
    made(tmp_path, "folder/notes.txt", "x")
    with pytest.raises(ValueError, match=r"a folder with notes.txt; must be one of"):
        runs.read(tmp_path / "folder")


def test_numbers_as_they_are_printed():
    assert cells.parsed("1,234.5") == 1234.5
    assert cells.parsed("tensor(0.25)") == 0.25
    assert cells.parsed("tensor([1, 2])") is None
    assert keys.trainer(["loss", "step"]) is None
    assert cells.step_of("global_step_40") == 40
    assert cells.step_of("main") is None


def test_no_jax_is_loaded(tmp_path):
    path = made(tmp_path, "a.csv", curve())
    code = (
        f"import sys; from qra_jax.fit import runs; runs.read({str(path)!r}); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def points(fields):
    """A text for each point of the curve."""
    return "".join(fields.format(s=s, a=a) for s, a in zip(STEPS.tolist(), ACCURACY.tolist(), strict=True))


SHAPES = {
    "words and bars": "starting\n" + points("Step {s}/200 | Reward: {a:.4f} | Loss: 0.1\n"),
    "times before": points("[2026-01-01 10:00:00,123][INFO] iteration {s}: reward={a:.4f}, loss=1e-3\n"),
    "per cent": points("step: {s}, accuracy: {a:.2%}\n"),
    "dictionaries of JSON": points('INFO metrics {{"step": {s}, "reward": {a!r}, "note": null}}\n'),
    "a line before JSON lines": "INFO starting\n" + points('{{"step": {s}, "accuracy": {a!r}}}\n'),
    "Markdown": "# Results\n\n| step | accuracy |\n|-----:|:---|\n"
    + points("| {s} | {a!r} |\n")
    + "\nThat is all.\n",
    "spaces": "step  accuracy\n" + points("{s:4d}  {a:.4f}\n"),
    "pandas on a screen": "   step  accuracy\n" + points("0  {s:4d}  {a:.6f}\n"),
    "NumPy": "# step accuracy\n" + points("{s:.6e} {a:.10e}\n"),
    "sep": "sep=;\nstep;accuracy\n" + points("{s};{a!r}\n"),
    "not there": "step,accuracy\n" + points("{s},{a!r}\n") + "200,#N/A\n#N/A,#N/A\n",
    "titles": "Results of my run\nby me\n\nstep,accuracy\n" + points("{s},{a!r}\n"),
    "titles of a spreadsheet": "Results,,\n,,\nstep,accuracy,x\n" + points("{s},{a!r},1\n"),
    "commas at the end": "step,accuracy\n" + points("{s},{a!r},\n"),
    "a nameless column": "step,accuracy,\n" + points("{s},{a!r},\n"),
    "cells with per cent": "step,accuracy\n" + points("{s},{a:.2%}\n"),
    "few per cent": "step,accuracy\n" + points("{s},{a:.4%}\n"),
    "a quoted sign of a remark": "run,step,accuracy\n" + points('"#1",{s},{a!r}\n'),
    "a line break in quotes": "run,step,accuracy\n" + points('"a\n#1",{s},{a!r}\n'),
    "nothing in the accuracy": "step,accuracy,reward\n" + points("{s},nan,{a!r}\n"),
    "NaN in the accuracy": points('{{"step": {s}, "accuracy": NaN, "reward": {a!r}}}\n'),
    "pass@k": "step,pass@1,pass@2\n" + points("{s},{a!r},0.9\n"),
    "pass@k in rows": "step,k,pass@k\n" + points("{s},1,{a!r}\n{s},4,0.9\n"),
    "time beside steps": '"Relative Time (Process)","r - _step","r - _step__MAX","r - train/reward"\n'
    + points("{s}.5,{s},{s},{a!r}\n"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_of_text(tmp_path, name):
    found = runs.read(made(tmp_path, "run.txt", SHAPES[name], newline=""))
    np.testing.assert_array_equal(found.steps, STEPS)
    np.testing.assert_allclose(found.accuracy, ACCURACY, atol=6e-5)  # of four digits
    assert (found.samples == 48).all()


def test_decimal_commas_and_dots_at_thousands(tmp_path):
    text = "Schritt;step;accuracy\n" + "".join(
        f"x;{1000 + s // 1000}.{s % 1000:03d};{a:.4f}\n".replace("1000.", "1.")
        for s, a in zip(STEPS, ACCURACY, strict=True)
    ).replace(".", "·")
    text = re.sub(r"·(\d{4})$", r",\1", text, flags=re.M).replace("·", ".")
    found = runs.read(made(tmp_path, "a.csv", text))
    np.testing.assert_array_equal(found.steps, 1000 + STEPS)
    np.testing.assert_allclose(found.accuracy, ACCURACY, atol=6e-5)
    loss = "step;accuracy;loss\n" + points("{s};{a:.4f};#\n").replace(".", ",").replace("#", "1.234,5")
    assert runs.log(made(tmp_path, "b.csv", loss)).numbers["loss"][0] == 1234.5


TABLE = {"step": STEPS.tolist(), "accuracy": ACCURACY.tolist()}
PAIRS = list(zip(STEPS.tolist(), ACCURACY.tolist(), strict=True))
PANDAS = {
    "columns": {name: {str(i): value for i, value in enumerate(column)} for name, column in TABLE.items()},
    "records": [{"step": s, "accuracy": a} for s, a in PAIRS],
    "index": {str(i): {"step": s, "accuracy": a} for i, (s, a) in enumerate(PAIRS)},
    "split": {"columns": ["step", "accuracy"], "index": list(range(40)), "data": PAIRS},
    "split by step": {"columns": ["accuracy"], "index": STEPS.tolist(), "data": [[a] for _, a in PAIRS]},
    "table": {
        "schema": {"fields": []},
        "data": [{"index": i, "step": s, "accuracy": a} for i, (s, a) in enumerate(PAIRS)],
    },
    "values": PAIRS,
    "lists": TABLE,
    "series by step": {"accuracy": {str(s): a for s, a in PAIRS}},
    "rows by checkpoint": {f"step_{s:04d}": {"accuracy": a} for s, a in PAIRS},
    "columns by checkpoint": {"accuracy": {f"step_{s:04d}": a for s, a in PAIRS}},
}


@pytest.mark.parametrize("name", PANDAS)
def test_tables_as_json(tmp_path, name):
    agrees(runs.read(made(tmp_path, "table.json", json.dumps(PANDAS[name]))))


def test_truth_is_zero_or_one(tmp_path):
    right = np.random.default_rng(6).random((40, 30)) < ACCURACY[:, None]
    rollouts = [
        {"step": int(s), "correct": bool(x)} for s, row in zip(STEPS, right, strict=True) for x in row
    ]
    agrees(runs.read(made(tmp_path, "a.jsonl", lines(rollouts))), right.mean(axis=1))
    text = "step,correct\n" + "".join(f"{one['step']},{one['correct']}\n" for one in rollouts)
    found = runs.read(made(tmp_path, "a.csv", text))
    agrees(found, right.mean(axis=1))
    assert (found.samples == 30).all()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "cp1252"])
def test_encodings_without_a_mark(tmp_path, encoding):
    text = "step,accuracy,café\r\n" + points("{s},{a!r},ü\r\n")
    agrees(runs.read(made(tmp_path, "a.csv", text, encoding=encoding, newline="")))


def test_mixed_encodings(tmp_path):
    path = tmp_path / "a.csv"
    before = b"step,accuracy,note\n" + b"# filler\n" * 8000  # farther than a format is looked for
    path.write_bytes(before + points("{s},{a!r},ü\n").encode("cp1252"))
    agrees(runs.read(path))


def test_several_reward_functions_without_a_name(tmp_path):
    row = {"rewards/tone/mean": 0.5, "reward": 1.0}
    each = [{"step": s, "rewards/puzzle/mean": a, **row, "rewards/format/mean": 1.0} for s, a in PAIRS]
    path = made(tmp_path, "a.jsonl", lines(each))
    low, high = ACCURACY.min(), ACCURACY.max()
    with pytest.raises(
        ValueError, match="several reward functions, none of them called an accuracy"
    ) as error:
        runs.read(path)
    assert f"rewards/puzzle/mean {low:.4g} … {high:.4g}, rewards/tone/mean 0.5 … 0.5, reward 1 … 1" in str(
        error.value
    )
    agrees(runs.read(path, column="rewards/puzzle/mean"))
    clear = [{"step": s, "rewards/correctness_reward/mean": a, **row} for s, a in PAIRS]
    agrees(runs.read(made(tmp_path, "b.jsonl", lines(clear))))


def test_long_lines(tmp_path):
    each = [{"prompt": "x" * 70000, "step": s, "accuracy": a, "output": "é" * 70000} for s, a in PAIRS]
    agrees(runs.read(made(tmp_path, "a.jsonl", lines(each))))
    path = made(tmp_path, "b.jsonl", '{"step": 0}\n{"step": 1}\n' + " " * (sample.LONGEST + sample.PART + 1))
    with pytest.raises(ValueError, match="row 3: a line of more than 32 MB"):
        runs.read(path)


def test_a_folder_with_one_file(tmp_path):
    made(tmp_path, "run/metrics.jsonl", lines(PANDAS["records"]))
    (tmp_path / "run/plot.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = runs.read(tmp_path / "run")
    agrees(found)
    assert "the only file of the folder that can be read: metrics.jsonl" in found.notes
    made(tmp_path, "run/other.csv", curve())
    with pytest.raises(ValueError, match=r"a folder with metrics.jsonl, other.csv, plot.png; must be one of"):
        runs.read(tmp_path / "run")


def test_shares_of_patterns_are_named(tmp_path):
    guess = 0.5 - STEPS / 1000
    text = "step,share_sum,share_guess,share_check,length\n" + "".join(
        f"{s},{1 - 1.5 * g:.4f},{g:.4f},{g / 2:.4f},0.3\n" for s, g in zip(STEPS, guess, strict=True)
    )
    path = made(tmp_path, "shares.csv", text)
    assert runs.shares(runs.log(path)) == ["share_sum", "share_guess", "share_check"]
    with pytest.raises(
        ValueError, match=r"\(share_sum, share_guess, share_check sum to one: shares of patterns\)"
    ):
        runs.read(path)
    mixed = lines(
        [{"step": s, "env/all/correct": a, "frac_mixed": 0.5, "frac_all_bad": 0.5} for s, a in PAIRS]
    )
    assert runs.shares(runs.log(made(tmp_path, "groups.jsonl", mixed))) == []


def test_event_files_of_tensorflow(tmp_path):
    pytest.importorskip("tensorboard")
    event, summary, writing, tensors = (
        importlib.import_module(f"tensorboard.{name}")
        for name in (
            "compat.proto.event_pb2",
            "compat.proto.summary_pb2",
            "summary.writer.event_file_writer",
            "util.tensor_util",
        )
    )
    writer = writing.EventFileWriter(str(tmp_path / "logs"))
    plugin = summary.SummaryMetadata(plugin_data=summary.SummaryMetadata.PluginData(plugin_name="scalars"))
    for s, a in PAIRS:
        value = summary.Summary.Value(
            tag="global/train/rewards/score/mean",
            tensor=tensors.make_tensor_proto(np.float32(a)),
            metadata=plugin,
        )
        writer.add_event(event.Event(wall_time=1.7e9 + s, step=s, summary=summary.Summary(value=[value])))
    writer.close()
    found = runs.read(tmp_path / "logs")
    agrees(found)
    assert "read as event files of TensorBoard of tunix" in found.notes


@pytest.mark.parametrize("name", TRAINERS)
def test_tables_of_every_trainer(tmp_path, name):
    each = [dict(rows.flat(TRAINERS[name](s, a))) for s, a in PAIRS]
    with (tmp_path / "metrics.csv").open("w", newline="") as file:
        write = csv.DictWriter(file, list(each[0]))
        write.writeheader()
        write.writerows(each)
    found = runs.read(tmp_path / "metrics.csv")
    agrees(found)
    assert f"read as a table of {name}" in found.notes


def test_a_log_keeps_to_its_memory(tmp_path, monkeypatch):
    """Of a large file what may be needed, and what is asked for; its columns are known all the same."""
    monkeypatch.setattr(rows, "LARGEST_CELLS", 1 << 14)
    monkeypatch.setattr(sample, "PART", 1 << 16)
    others = {f"timing_s/part_{i}": i / 7 for i in range(200)}
    path = made(
        tmp_path,
        "a.jsonl",
        lines([{"step": s, "data": {"critic/score/mean": a, **others}} for s, a in PAIRS * 25]),
    )
    tracemalloc.start()
    found = runs.log(path, wanted=("timing_s/part_3",))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < path.stat().st_size / 5
    assert set(found.numbers) == {"step", "critic/score/mean", "timing_s/part_3"}
    assert len(found.dropped) == 199
    assert (found.numbers["timing_s/part_3"] == 3 / 7).all()
    with pytest.raises(
        ValueError, match=r"column: 'timing_s/part_x'; .* has step, critic/score/mean, .* and 190 more"
    ):
        runs.read(path, column="timing_s/part_x")
    assert runs.read(path, column="timing_s/part_8", keep="last", scale=(0, 2)).accuracy[0] == 4 / 7


def test_memory_is_that_of_the_numbers(tmp_path, monkeypatch):
    """Long texts leave nothing behind."""
    monkeypatch.setattr(sample, "PART", 1 << 16)
    each = [
        {"step": s, "prompt": f"{i} " + "why " * 500, "completion": "so " * 1000, "score": float(i < 64 * a)}
        for s, a in PAIRS
        for i in range(64)
    ]
    path = made(tmp_path, "rollouts.jsonl", lines(each))
    assert path.stat().st_size > 12e6
    tracemalloc.start()
    found = runs.read(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < path.stat().st_size / 5
    assert (found.samples == 64).all()


def test_of_too_many_rows_a_random_part_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "LARGEST_ROWS", 1000)
    right = np.random.default_rng(8).random((4, 4000)) < np.array([[0.2], [0.4], [0.6], [0.8]])
    each = [
        {"uid": f"q{i // 8}", "step": s, "score": float(x)} for s in range(4) for i, x in enumerate(right[s])
    ]
    found = runs.read(made(tmp_path, "a.jsonl", lines(each)))
    assert any(
        re.fullmatch(r"of so many rows a random part of 1/(16|32) is read", note) for note in found.notes
    )
    behind = np.asarray(found.samples)
    assert 500 <= behind.sum() <= 1000
    error = np.abs(found.accuracy - right.mean(axis=1)) / np.sqrt(0.25 / behind)
    assert error.max() < 4


class Mine:
    """A reader of another package."""

    def guess_can_open(self, sample):
        return sample.text is not None and sample.text.startswith("mine ")

    def read(self, sample):
        found = rows.Rows(sample.wanted)
        for number, line in sample.lines():
            _, step, value = line.split()
            found.add({"step": int(step), "accuracy": float(value)}, number)
        return found.done(str(sample.path), "a file of mine")


class Broken(Mine):
    def guess_can_open(self, sample):
        raise RuntimeError("of two\nlines")


class Entry(metadata.EntryPoint):
    what: object

    def __init__(self, name, what):
        super().__init__(name, "made.here", "qra_jax.readers")
        vars(self)["what"] = what

    def load(self):
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


@pytest.fixture
def entries(monkeypatch):
    """Makes entry points of the group of readers."""

    def enter(**each):
        plugins.READERS.forget()
        found = [Entry(name, what) for name, what in each.items()]
        monkeypatch.setattr(
            _plugins, "entry_points", lambda group: found if group == "qra_jax.readers" else []
        )

    yield enter
    plugins.READERS.forget()


def test_readers_of_other_packages(tmp_path, entries):
    path = made(tmp_path, "run.mine", points("mine {s} {a!r}\n"))
    entries(gone=ImportError("no module named gone"), broken=Broken, empty=object(), mine=Mine)
    found = runs.read(path)
    agrees(found)
    assert found.notes[0] == "read as a file of mine"
    said = [note for note in found.notes if note.startswith("reader ")]
    assert said == [
        "reader gone left out: ImportError, no module named gone",
        "reader empty left out: TypeError, must have guess_can_open and read",
        "reader broken left out: RuntimeError, of two lines",
    ]
    agrees(runs.read(made(tmp_path, "a.csv", curve())))  # what none of them knows is read as ever


def test_a_reader_says_why_it_cannot_read(tmp_path, entries):
    class Refuses(Mine):
        def read(self, sample):
            raise ValueError(f"{sample.path}: mine of version 1; must be of version 2")

    entries(mine=Refuses())
    with pytest.raises(ValueError, match="mine of version 1; must be of version 2"):
        runs.read(made(tmp_path, "run.mine", points("mine {s} {a!r}\n")))


def test_the_reader_in_the_documents(tmp_path, entries):
    page = (pathlib.Path(__file__).parents[1] / "docs/extending.md").read_text()
    (code,) = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    space: dict = {}
    exec(code, space)
    entries(documented=space["Progress"])
    agrees(runs.read(made(tmp_path, "run.progress", "progress 1\n" + points("{s} {a!r}\n"))))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty.csv", b"", "empty"),
        ("zeros.bin", 5 << 30, "begins with 4096 kB of zeros or blanks"),
        ("sparse.csv", b"step,accuracy\n0,.5\n5,.25\n", "not a text file"),
        ("binary.bin", bytes(range(256)) * 100, "not a text file"),
        ("one.csv", b"step,accuracy\n0,.5\n", "1 rows with a step and accuracy; must be two or more"),
        ("nan.csv", b"step,accuracy\n0,nan\n1,nan\n", "no column looks like an accuracy"),
        (
            "nan.jsonl",
            b'{"step": 0, "reward": NaN}\n{"step": 1, "reward": NaN}\n',
            "no column looks like an accuracy",
        ),
        ("crlf.csv", b"step,accuracy\r\n0,.5\r\n0,.25\r\n", "1 step; must be two or more"),
        ("folder", None, "a folder with nothing"),
    ],
)
def test_bad_files_end_with_one_line_and_code_2(tmp_path, capsys, name, content, expected):
    from qra_jax import cli

    path = tmp_path / name
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content if isinstance(content, bytes) else b"")
        if not isinstance(content, bytes) or name == "sparse.csv":
            with path.open("r+b") as file:
                file.truncate(5 << 30)  # takes no room
    assert cli.main(["fit", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert expected in said.err
    assert len(said.err.strip().splitlines()) == 1
