"""`qra weights` on two 1-GB checkpoints: time and peak memory, beside the singular value decompositions alone.

    python benchmarks/weights.py               # about ten minutes on two cores
    python benchmarks/weights.py --matrices 28 # spectra of 28 of the 168 matrices

The checkpoints have the shapes of a model of half a billion weights (24 layers, width 896) in bfloat16, random, and are
made in a temporary folder. `alone` is LAPACK's divide and conquer in float32 for the singular values (no vectors) of
W₀, W₁ and ΔW of the same matrices, one after the other, reading included; every contender is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np

WIDTH, HIDDEN, HEADS, WORDS, LAYERS = 896, 4864, 128, 151936, 24
BF16 = np.dtype(ml_dtypes.bfloat16)
ALONE = """
import sys, numpy as np
from qra_jax import checkpoints
pairs, _ = checkpoints.pair(sys.argv[1], sys.argv[2])
matrices = [one for one in pairs if one.is_matrix]
chosen = checkpoints.comparison.spread([one.name for one in matrices], int(sys.argv[3]))
for one in matrices:
    if one.name in chosen:
        a, b = (x.read().astype(np.float32) for x in (one.base, one.tuned))
        for matrix in (a, b, b - a):
            np.linalg.svd(matrix, compute_uv=False)
"""
OURS = "import sys; from qra_jax.cli import main; sys.exit(main(sys.argv[1:]))"


def shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (WORDS, WIDTH)
    for i in range(LAYERS):
        block = f"model.layers.{i}."
        for name, rows in (("q", WIDTH), ("k", HEADS), ("v", HEADS), ("o", WIDTH)):
            yield f"{block}self_attn.{name}_proj.weight", (rows, WIDTH)
        yield f"{block}mlp.gate_proj.weight", (HIDDEN, WIDTH)
        yield f"{block}mlp.up_proj.weight", (HIDDEN, WIDTH)
        yield f"{block}mlp.down_proj.weight", (WIDTH, HIDDEN)
        yield f"{block}input_layernorm.weight", (WIDTH,)
        yield f"{block}post_attention_layernorm.weight", (WIDTH,)
    yield "model.norm.weight", (WIDTH,)


def write(folder: Path) -> None:
    """Write base and tuned, tensor by tensor."""
    header, at = {}, 0
    for name, shape in shapes():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    rng = np.random.default_rng(0)
    with (folder / "base.safetensors").open("wb") as base, (folder / "tuned.safetensors").open("wb") as tuned:
        for file in (base, tuned):
            file.write(len(text).to_bytes(8, "little") + text)
        for _, shape in shapes():
            weights = (0.02 * rng.standard_normal(shape, dtype=np.float32)).astype(BF16)
            base.write(weights.tobytes())
            step = 3e-5 * rng.standard_normal(shape, dtype=np.float32)
            tuned.write((weights.astype(np.float32) + step).astype(BF16).tobytes())


def timed(code: str, *words: str) -> tuple[float, float]:
    """Seconds and GiB of a process."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {words}")
    return time.perf_counter() - start, usage.ru_maxrss / 2**20


def main() -> None:
    from _common import environment, save, show

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--matrices", type=int, default=7 * LAYERS, help="how many spectra")
    parser.add_argument("--write", type=Path, help="only write the checkpoints into a folder")
    given = parser.parse_args()
    if given.write is not None:
        write(given.write)
        return
    count = str(given.matrices)
    rows = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        # in a process of its own: the peak of a parent is counted among that of its children
        subprocess.run([sys.executable, __file__, "--write", made], check=True)
        pair = [str(folder / "base.safetensors"), str(folder / "tuned.safetensors")]
        size = Path(pair[0]).stat().st_size / 1e9
        none = timed(OURS, "weights", *pair, "--max-matrices", "0", "--json")
        alone = timed(ALONE, *pair, count)
        for name, (seconds, memory) in {
            "singular values alone (W₀, W₁, ΔW)": alone,
            "qra weights": timed(OURS, "weights", *pair, "--max-matrices", count, "--json"),
            "qra weights --null": timed(OURS, "weights", *pair, "--max-matrices", count, "--json", "--null"),
            "qra weights, entries only": none,
        }.items():
            rows.append(
                {
                    "what": name,
                    "seconds": seconds,
                    "times alone": seconds / alone[0],
                    "peak memory GiB": memory,
                }
            )
    show(f"Two checkpoints of {size:.2f} GB, spectra of {count} of {7 * LAYERS} matrices", rows)
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "default")
    save("weights", {"environment": {**environment("scipy", "safetensors"), "threads": threads}, "file_GB": size,
                     "matrices": int(count), "rows": rows})  # fmt: skip


if __name__ == "__main__":
    main()
