"""Checkpoints for tests, written byte by byte: any type, any fault."""

import json

import ml_dtypes
import numpy as np

BF16 = np.dtype(ml_dtypes.bfloat16)
STORED = {
    "bfloat16": "BF16",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "int32": "I32",
    "int8": "I8",
}
STORED |= {"uint8": "U8", "bool": "BOOL", "float8_e4m3fn": "F8_E4M3", "int64": "I64"}


def save(path, tensors):
    """Write a safetensors file; returns its path."""
    header, at = {}, 0
    for name, array in tensors.items():
        stored = STORED[array.dtype.name]
        header[name] = {
            "dtype": stored,
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"".join(array.tobytes() for array in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


def shards(folder, tensors, count=2):
    """Write a folder of shards with their index; returns it."""
    weight_map, names = {}, list(tensors)
    for i in range(count):
        file, mine = f"model-{i + 1:05d}-of-{count:05d}.safetensors", names[i::count]
        save(folder / file, {name: tensors[name] for name in mine})
        weight_map |= dict.fromkeys(mine, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def llama(seed=0, width=24, hidden=40, words=60, layers=2, dtype=BF16):
    """A small model with the names and shapes of the Llama family."""
    rng = np.random.default_rng(seed)
    shapes = {"model.embed_tokens.weight": (words, width), "model.norm.weight": (width,)}
    shapes["lm_head.weight"] = (words, width)
    for i in range(layers):
        block = f"model.layers.{i}."
        shapes |= {f"{block}self_attn.{one}_proj.weight": (width, width) for one in "qo"}
        shapes |= {f"{block}self_attn.{one}_proj.weight": (width // 2, width) for one in "kv"}
        shapes |= {f"{block}mlp.{one}_proj.weight": (hidden, width) for one in ("gate", "up")}
        shapes |= {f"{block}mlp.down_proj.weight": (width, hidden)}
        shapes |= {f"{block}{one}_layernorm.weight": (width,) for one in ("input", "post_attention")}
    return {
        name: (np.ones(shape) if len(shape) == 1 else 0.05 * rng.standard_normal(shape)).astype(dtype)
        for name, shape in shapes.items()
    }


def moved(tensors, scale=1e-4, seed=1):
    """The same model after a small change of its matrices."""
    rng = np.random.default_rng(seed)
    return {
        name: array
        if array.ndim == 1
        else (array.astype(float) + scale * rng.standard_normal(array.shape)).astype(array.dtype)
        for name, array in tensors.items()
    }
