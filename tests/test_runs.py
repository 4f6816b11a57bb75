"""Files of runs: every format and every trap, each from a small file that is made here."""

import csv
import importlib
import json
import re
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from qra_jax.fit import runs
from qra_jax.fit.runs import keys, rows, scales

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
    assert rows.parsed("1,234.5") == 1234.5
    assert rows.parsed("tensor(0.25)") == 0.25
    assert rows.parsed("tensor([1, 2])") is None
    assert keys.trainer(["loss", "step"]) is None
    assert scales.step_of("global_step_40") == 40
    assert scales.step_of("main") is None


def test_no_jax_is_loaded(tmp_path):
    path = made(tmp_path, "a.csv", curve())
    code = (
        f"import sys; from qra_jax.fit import runs; runs.read({str(path)!r}); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
