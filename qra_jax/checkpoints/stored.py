"""Tensors in safetensors files: names, shapes and types from the header, numbers only when they are asked for."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np

from qra_jax.checkpoints import folder

TYPES = {
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}
"""Stored types whose numbers can be subtracted."""
WHOLE = ("BOOL", "I64", "I32", "I16", "U64", "U32", "U16")
"""Stored types of buffers, such as masks and positions."""


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file.

    Attributes:
      name: its name.
      shape: its shape.
      stored: its type as the file calls it, such as `"BF16"`.
      file: the file.
      start: its first byte in the file.
    """

    name: str
    shape: tuple[int, ...]
    stored: str
    file: Path
    start: int

    @property
    def dtype(self) -> np.dtype:
        """The type of its numbers; `KeyError` for those that cannot be subtracted."""
        return TYPES[self.stored]

    @property
    def size(self) -> int:
        """How many entries it has."""
        return math.prod(self.shape)

    def flat(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """Some of its entries, row by row; read from the file, not mapped, so that memory is what is asked for.

        Args:
          first: the first entry.
          last: the entry behind the last; by default all.

        Returns:
          `[last - first]`, in the stored type.
        """
        last = self.size if last is None else min(last, self.size)
        offset = self.start + first * self.dtype.itemsize
        return np.fromfile(self.file, self.dtype, count=max(last - first, 0), offset=offset)

    def read(self) -> np.ndarray:
        """All of it, in its shape and stored type."""
        return self.flat().reshape(self.shape)

    def part(self, index: int) -> Tensor:
        """One of the tensors that are stacked along its first axis, such as an expert.

        Args:
          index: which.

        Returns:
          The tensor, whose name ends with the index.
        """
        start = self.start + index * math.prod(self.shape[1:]) * self.dtype.itemsize
        return dataclasses.replace(self, name=f"{self.name}[{index}]", shape=self.shape[1:], start=start)


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk.

    Attributes:
      path: as it was given.
      tensors: by name, in the order of the names with numbers counted as numbers.
      files: the files.
    """

    path: Path
    tensors: dict[str, Tensor]
    files: tuple[Path, ...]


def read(argument: str, path: str | Path) -> Checkpoint:
    """Open a checkpoint: its header is read and checked, none of its numbers.

    Args:
      argument: which argument gave the path, for complaints.
      path: a safetensors file, an index of shards, or a folder with either.

    Returns:
      The checkpoint.

    Raises:
      ValueError: no checkpoint, a missing shard, a truncated or broken file, a tensor that is in no shard, an adapter,
        quantised weights.
    """
    files, shard_of = folder.files(argument, path)
    tensors: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in _header(argument, file).items():
            if name in tensors:
                raise ValueError(
                    f"{argument}: {name} is in {tensors[name].file.name} and {file.name}; must be in one"
                )
            tensors[name] = tensor
    lost = sorted(set(shard_of or ()) - set(tensors))
    if lost:
        raise ValueError(
            f"{argument}: {path}: {len(lost)} of {len(shard_of or ())} tensors of the index are in no shard ({lost[0]})"
        )
    if not tensors:
        raise ValueError(f"{argument}: {path}: no tensors in it; must hold a model")
    adapters = [name for name in tensors if "lora_" in name.lower()]
    if adapters:
        raise ValueError(f"{argument}: {path}: {adapters[0]}: {folder.MERGE}")
    _check_numbers(argument, Path(path), tensors)
    ordered = sorted(tensors, key=_natural)
    return Checkpoint(Path(path), {name: tensors[name] for name in ordered}, tuple(files))


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(word)) if word.isdecimal() else (1, word) for word in name.split(".")]


def _check_numbers(argument: str, path: Path, tensors: dict[str, Tensor]) -> None:
    """Quantised weights are refused."""
    method = folder.settings(path).get("quantization_config")
    said = method.get("quant_method", "some method") if isinstance(method, dict) else None
    packed = [name for name in tensors if folder.QUANTISED.search(name)]
    strange = [name for name, one in tensors.items() if one.stored not in TYPES and one.stored not in WHOLE]
    for name in (packed + strange)[:1]:
        how = f" by {said}" if said else ""
        raise ValueError(
            f"{argument}: {path}: {name} ({tensors[name].stored}): weights quantised{how} cannot be subtracted "
            f"({len(set(packed + strange))} such tensors); must be {', '.join(TYPES)}: dequantise the model first, "
            "or take the one that it was made of"
        )


def _header(argument: str, file: Path) -> dict[str, Tensor]:
    """The tensors of one file; checked here for what is missing, and by the library for all else."""
    from safetensors import SafetensorError, safe_open

    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or (size < 8 + length and opened.read(1) == b"{"):
            raise ValueError(f"{argument}: {file}: truncated, it ends within its header; download it again")
        if size < 8 + length:
            opened.seek(0)
            pointer = opened.read(40).startswith(b"version https://git-lfs")
            reason = (
                "a pointer of Git LFS, not the file itself; git lfs pull"
                if pointer
                else "not a safetensors file"
            )
            raise ValueError(f"{argument}: {file}: {reason}")
        try:
            header = json.loads(opened.read(length))
            header.pop("__metadata__", None)
            spans = [(*one["data_offsets"], name) for name, one in header.items()]
            end = max((last for _, last, _ in spans), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ValueError(
                f"{argument}: {file}: its header is broken; must be a safetensors file"
            ) from None
    if 8 + length + end > size:
        cut = [name for _, last, name in sorted(spans) if 8 + length + last > size]
        raise ValueError(
            f"{argument}: {file}: truncated, {8 + length + end - size} of {8 + length + end} bytes are missing "
            f"({cut[0]}{f' and {len(cut) - 1} more tensors' * (len(cut) > 1)}); download it again"
        )
    try:
        with safe_open(os.fspath(file), framework="numpy"):
            pass
    except SafetensorError as error:
        raise ValueError(f"{argument}: {file}: not a safetensors file: {error}") from None
    return {
        name: Tensor(name, tuple(one["shape"]), one["dtype"], file, 8 + length + one["data_offsets"][0])
        for name, one in header.items()
    }
