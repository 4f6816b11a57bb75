"""`qra weights`: the table of a pair of checkpoints, and one true line for everything that is no such pair."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from qra_jax import cli

from ._safetensors import BF16, llama, moved, save, shards

ROOT = Path(__file__).parent.parent
BASE = llama(layers=1)
TUNED = moved(BASE)
NAME = "model.layers.0.mlp.up_proj.weight"
VECTOR = "model.norm.weight"
COUNT = len(BASE)


@pytest.fixture
def pair(tmp_path):
    """A folder with shards, and one with a single file."""
    shards(tmp_path / "base", BASE)
    save(tmp_path / "tuned" / "model.safetensors", TUNED)
    return tmp_path / "base", tmp_path / "tuned"


def complaint(capsys, *arguments):
    assert cli.main(["weights", *map(str, arguments)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", output.err), output.err
    return output.err.strip().removeprefix("error: ")


def test_table_with_null(pair, capsys):
    assert cli.main(["weights", *map(str, pair), "--null"]) == 0
    printed = capsys.readouterr().out
    assert NAME in printed
    assert "a Gaussian update of the same norm changes" in printed
    assert "This is one run" in printed


def test_json_and_figure(pair, tmp_path, capsys):
    options = ["--json", "--null", "--only", "mlp", "--max-matrices", "2", "--top", ".25", "--seed", "3"]
    assert cli.main(["weights", *map(str, pair), *options, "--plot", str(tmp_path / "out" / "w.png")]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert found["settings"]["top"] == 0.25
    assert found["settings"]["seed"] == 3
    assert found["skipped"] == 1
    assert all("mlp" in one["name"] for one in found["tensors"])
    assert found["tensors"][0]["tuned"]["directions"] == 6
    assert abs(found["tensors"][0]["gaussian"]["realised"] - 1) < 0.05
    assert (tmp_path / "out" / "w.png").read_bytes().startswith(b"\x89PNG")
    assert "wrote" in output.err


@pytest.mark.parametrize("broken", [False, True])
def test_needs_no_jax(pair, broken):
    if broken:
        save(pair[1] / "model.safetensors", {**TUNED, NAME: np.full_like(TUNED[NAME], np.nan)})
    code = (
        "import sys; from qra_jax.cli import main\n"
        "print(main(sys.argv[1:]), [name for name in ('jax', 'optax', 'flax') if name in sys.modules])"
    )
    words = ["weights", *map(str, pair), "--plot", str(pair[0].parent / "w.pdf")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.stdout.splitlines()[-1] == f"{2 if broken else 0} []"


def without(tensors, *names):
    return {name: array for name, array in tensors.items() if name not in names}


def cut(path, keep):
    content = path.read_bytes()
    path.write_bytes(content[: keep if keep > 0 else len(content) + keep])


def lora(names):
    return {
        f"base_model.{name}.lora_{side}.weight": np.ones((2, 4), np.float32)
        for name in names
        for side in "AB"
    }


FAULTS = {
    "not there": (
        lambda folder: (folder / "model.safetensors").unlink() or folder.rmdir(),
        "no such file; must be",
    ),
    "empty folder": (
        lambda folder: (folder / "model.safetensors").unlink(),
        "no checkpoint in it (it is empty)",
    ),
    "other files": (
        lambda folder: (folder / "model.safetensors").rename(folder / "README.md"),
        "no checkpoint in it (README.md); must be a .safetensors file, or a folder with",
    ),
    "names": (
        lambda folder: save(
            folder / "model.safetensors", {**without(TUNED, NAME), "a": np.ones(2), "b": np.ones(2)}
        ),
        f"other names than base: {COUNT - 1} in both, 1 only in base ({NAME}), 2 only in tuned (a, b); must be",
    ),
    "shapes": (
        lambda folder: save(folder / "model.safetensors", {**TUNED, NAME: TUNED[NAME][:-1]}),
        f"{NAME} has shape 39 × 24; must be 40 × 24, as in base (1 of {COUNT} shapes differ",
    ),
    "nan": (
        lambda folder: save(folder / "model.safetensors", {**TUNED, NAME: TUNED[NAME] * BF16.type(np.nan)}),
        f"{NAME} has 960 or more weights that are NaN or infinite; must be finite",
    ),
    "infinite": (
        lambda folder: save(folder / "model.safetensors", {**TUNED, NAME: TUNED[NAME].astype(float) / 0}),
        f"{NAME} has 960 or more weights that are NaN or infinite; must be finite",
    ),
    "truncated": (lambda folder: cut(folder / "model.safetensors", -9), "truncated, 9 of "),
    "truncated header": (
        lambda folder: cut(folder / "model.safetensors", 60),
        "truncated, it ends within its header",
    ),
    "no bytes": (lambda folder: cut(folder / "model.safetensors", 3), "truncated, it ends within its header"),
    "text": (
        lambda folder: (folder / "model.safetensors").write_text("<html>404 not found</html>"),
        "not a safetensors file",
    ),
    "lfs": (
        lambda folder: (folder / "model.safetensors").write_text(
            "version https://git-lfs.github.com/spec/v1\noid x"
        ),
        "a pointer of Git LFS, not the file itself",
    ),
    "broken header": (
        lambda folder: (folder / "model.safetensors").write_bytes((8).to_bytes(8, "little") + b"{nojson}"),
        "its header is broken",
    ),
    "nested header": (
        lambda folder: (folder / "model.safetensors").write_bytes(
            (1 << 20).to_bytes(8, "little") + b"[" * (1 << 20)
        ),
        "its header is broken",
    ),
    "nested index": (
        lambda folder: (folder / "model.safetensors.index.json").write_text("[" * 200000),
        "not an index of shards; must have a weight_map",
    ),
    "whole numbers": (
        lambda folder: save(folder / "model.safetensors", {**TUNED, NAME: np.ones((40, 24), np.int32)}),
        f"{NAME} is stored as I32, in base as BF16; must be weights in both (BF16, F16, F32, F64) or constants in both",
    ),
    "too large": (
        lambda folder: save(folder / "model.safetensors", {**TUNED, VECTOR: np.full(24, 1e200)}),
        f"{VECTOR} has a weight of size 1e+200; must be at most 3.4e+38, or sums overflow float32",
    ),
    "no tensors": (lambda folder: save(folder / "model.safetensors", {}), "no tensors in it"),
    "adapter folder": (
        lambda folder: (folder / "model.safetensors").rename(folder / "adapter_model.safetensors"),
        "a LoRA adapter, not a model; merge it first: PeftModel",
    ),
    "adapter settings": (
        lambda folder: (folder / "model.safetensors").rename(folder / "adapter_config.json"),
        "merge_and_unload()",
    ),
    "adapter names": (
        lambda folder: save(folder / "model.safetensors", lora(["q_proj"])),
        "base_model.q_proj.lora_A.weight: a LoRA adapter, not a model",
    ),
    "pickle": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "only pytorch_model.bin, a PyTorch pickle, which could run code when it is read; write it as safetensors",
    ),
    "several files": (
        lambda folder: (
            save(folder / "a.safetensors", TUNED)
            and (folder / "model.safetensors").rename(folder / "b.safetensors")
        ),
        "2 safetensors files and no index (a.safetensors, …)",
    ),
    "int8": (
        lambda folder: save(folder / "model.safetensors", {**TUNED, NAME: np.ones((40, 24), np.int8)}),
        f"{NAME} (I8): weights quantised cannot be subtracted (1 such tensors); must be BF16, F16, F32, F64",
    ),
    "fp8": (
        lambda folder: save(
            folder / "model.safetensors", {**TUNED, NAME: TUNED[NAME].astype(ml_dtypes.float8_e4m3fn)}
        ),
        f"{NAME} (F8_E4M3): weights quantised cannot be subtracted",
    ),
    "gptq": (
        lambda folder: (
            (folder / "config.json").write_text('{"quantization_config": {"quant_method": "gptq"}}')
            and save(
                folder / "model.safetensors",
                {
                    "l.q_proj.qweight": np.ones((4, 4), np.int32),
                    "l.q_proj.scales": np.ones((1, 4), np.float16),
                },
            )
        ),
        "l.q_proj.qweight (I32): weights quantised by gptq cannot be subtracted (2 such tensors)",
    ),
    "missing shard": (
        lambda folder: (
            (folder / "model.safetensors").unlink()
            or (shards(folder, TUNED, 4) / "model-00003-of-00004.safetensors").unlink()
        ),
        "1 of 4 shards missing (model-00003-of-00004.safetensors); must have all",
    ),
    "tensor in no shard": (
        lambda folder: save(shards(folder, TUNED, 4) / "model-00003-of-00004.safetensors", {}),
        "tensors of the index are in no shard",
    ),
    "index": (
        lambda folder: (folder / "model.safetensors.index.json").write_text("[]"),
        "not an index of shards; must have a weight_map",
    ),
    "empty index": (
        lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": {}}'),
        "lists no shards",
    ),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("fault", FAULTS)
def test_bad_checkpoints_are_refused_in_one_line(pair, capsys, fault):
    change, expected = FAULTS[fault]
    change(pair[1])
    said = complaint(capsys, *pair)
    assert said.startswith("tuned: ")
    assert expected in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["base", "base"], "the same as base; must be another checkpoint"),
        (
            ["base", "base/model-00001-of-00002.safetensors"],
            "has the file model-00001-of-00002.safetensors of base",
        ),
        (
            ["base", "base/model.safetensors.index.json"],
            "has the file model-00001-of-00002.safetensors of base",
        ),
        (["base", "tuned", "--only", "("], "only: '('; must be a regular expression"),
        (
            ["base", "tuned", "--only", "qqq"],
            f"only: 'qqq': found in none of {COUNT} names (such as lm_head.weight)",
        ),
        (["base", "tuned", "--top", "0"], "top: 0; must be in (0, 1]"),
        (["base", "tuned", "--max-matrices", "-2"], "max-matrices: -2; must be zero or positive"),
        (["base", "tuned", "--seed", "-1"], "seed: -1; must be zero or positive"),
        (["base", "tuned", "--plot", "x.doc"], "plot: 'x.doc'; must end in"),
        (["base", "tuned/model.gguf"], "no such file"),
        (["base", "x.bin"], "a PyTorch pickle"),
        (["base", "x.gguf"], "GGUF, whose weights are quantised"),
        (["base", "x.txt"], "not a safetensors file; must be"),
        (["base", "adapter_model.safetensors"], "a LoRA adapter"),
        (["base"], "missing: TUNED (see qra weights --help)"),
        (["base", "tuned", "--max-matrix", "2"], "did you mean --max-matrices?"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_bad_arguments_are_refused_in_one_line(pair, capsys, monkeypatch, words, expected):
    monkeypatch.chdir(pair[0].parent)
    for name in ("x.bin", "x.gguf", "x.txt", "adapter_model.safetensors"):
        Path(name).write_bytes(b"x")
    assert expected in complaint(capsys, *words)


def test_differences_that_overflow_are_refused_in_one_line(tmp_path, capsys):
    paths = [tmp_path / f"{one}.safetensors" for one in ("base", "tuned")]
    for name, first, second, expected in (
        (
            VECTOR,
            1e38,
            -3e38,
            f"{VECTOR} has a weight that differs from base by 4e+38; must differ by at most 3.4e+38",
        ),
        (NAME, 1e38, -3e38, f"{NAME} has a weight of size 1e+38; must be at most 8.5e+37"),
        (
            NAME,
            7e37,
            -7e37,
            f"{NAME} has a weight that differs from base by 1.4e+38; must differ by at most 8.5e+37",
        ),
    ):
        for path, value in zip(paths, (first, second), strict=True):
            save(path, {name: np.full((4, 4) if name == NAME else 4, value, np.float32)})
        assert expected in complaint(capsys, *paths)
    for dtype in (np.float32, BF16):  # large and unchanged
        for path in paths:
            save(
                path, {VECTOR: np.full(4, -3e38, dtype), NAME: np.full((4, 4), 1 + (path == paths[1]), dtype)}
            )
        assert cli.main(["weights", *map(str, paths), "--null"]) == 0
        capsys.readouterr()


def test_nested_settings_are_none(pair, capsys):
    (pair[1] / "config.json").write_text("[" * 200000)
    assert cli.main(["weights", *map(str, pair), "--only", "norm"]) == 0
    assert "No weight among the 3 tensors read differs." in capsys.readouterr().out


@pytest.mark.parametrize("name", ["[/red]x", "[bold]x", "a:smile:b", "x\\"])
def test_names_are_printed_as_they_are(tmp_path, capsys, name):
    tensors = {name + ".weight": np.ones((2, 2), np.float32), name: np.ones((2, 2), np.float32)}
    first = save(tmp_path / "a.safetensors", tensors)
    second = save(
        tmp_path / "b.safetensors",
        {one: array + np.eye(2, dtype=np.float32) for one, array in tensors.items()},
    )
    assert cli.main(["weights", str(first), str(second), "--null"]) == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith(name + ".weight ")]
    assert [line for line in printed.splitlines() if line.startswith(name + " ")]
    assert f"counted: {name}" in printed


def test_links_to_the_same_file_are_the_same(pair, capsys):
    (pair[0].parent / "linked").mkdir()
    (pair[0].parent / "linked" / "model.safetensors").symlink_to(pair[1] / "model.safetensors")
    assert "has the file model.safetensors of base" in complaint(capsys, pair[0].parent / "linked", pair[1])


def test_constants_are_no_model(tmp_path, capsys):
    paths = [save(tmp_path / one / "model.safetensors", {"ids": np.arange(3)}).parent for one in "ab"]
    assert "holds constants only; must hold weights" in complaint(capsys, *paths)


def test_what_only_leaves_out_is_not_asked_for(pair, capsys):
    save(pair[1] / "model.safetensors", {**TUNED, NAME: TUNED[NAME][:-1], "extra": np.ones(2, np.float32)})
    assert cli.main(["weights", *map(str, pair), "--only", "self_attn"]) == 0
    assert "q_proj" in capsys.readouterr().out
