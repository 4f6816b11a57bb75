"""Which files a checkpoint consists of, or in one line why a path is none."""

from __future__ import annotations

import json
import re
from pathlib import Path

WANTED = "a .safetensors file, or a folder with model.safetensors or model.safetensors.index.json"
"""What a checkpoint must be, for complaints."""
_INDEX = ".safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_CONVERT = (
    "a PyTorch pickle, which could run code when it is read; write it as safetensors first: "
    "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OUT, safe_serialization=True)"
)
MERGE = (
    "a LoRA adapter, not a model; merge it first: PeftModel.from_pretrained(base, ADAPTER)"
    ".merge_and_unload().save_pretrained(OUT), then give OUT"
)
"""What to do with an adapter."""


def files(argument: str, path: str | Path) -> tuple[list[Path], dict[str, str] | None]:
    """The files of a checkpoint.

    Args:
      argument: which argument gave the path, for complaints.
      path: a file, an index of shards, or a folder.

    Returns:
      The files, and where there is an index the file's name of each tensor.

    Raises:
      ValueError: no checkpoint there, an adapter, a pickle, a broken index, a missing shard.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{argument}: {path}: no such file; must be {WANTED}")
    if path.is_dir():
        return _in_folder(argument, path)
    if path.name.endswith(_INDEX):
        return _indexed(argument, path)
    if path.name == "adapter_config.json" or path.name.startswith("adapter_model."):
        raise ValueError(f"{argument}: {path}: {MERGE}")
    if path.suffix.lower() in _PICKLES:
        raise ValueError(f"{argument}: {path}: {_CONVERT}")
    if path.suffix.lower() == ".gguf":
        raise ValueError(f"{argument}: {path}: GGUF, whose weights are quantised; must be {WANTED}")
    if path.suffix.lower() != ".safetensors":
        raise ValueError(f"{argument}: {path}: not a safetensors file; must be {WANTED}")
    return [path], None


def _in_folder(argument: str, folder: Path) -> tuple[list[Path], dict[str, str] | None]:
    names = sorted(one.name for one in folder.iterdir())
    indices = [name for name in names if name.endswith(_INDEX)]
    for name in ("model" + _INDEX, *(indices if len(indices) == 1 else ())):
        if name in names:
            return _indexed(argument, folder / name)
    if "model.safetensors" in names:
        return [folder / "model.safetensors"], None
    if any(name.startswith("adapter_") for name in names):
        raise ValueError(f"{argument}: {folder}: {MERGE}")
    weights = [name for name in names if name.endswith(".safetensors")]
    if len(weights) == 1:
        return [folder / weights[0]], None
    if weights:
        raise ValueError(
            f"{argument}: {folder}: {len(weights)} safetensors files and no index ({weights[0]}, …); "
            "must have model.safetensors.index.json, or give one of the files"
        )
    pickles = [name for name in names if name.lower().endswith(_PICKLES)]
    if pickles:
        raise ValueError(f"{argument}: {folder}: only {pickles[0]}, {_CONVERT}")
    there = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    raise ValueError(
        f"{argument}: {folder}: no checkpoint in it ({there or 'it is empty'}); must be {WANTED}"
    )


def _indexed(argument: str, index: Path) -> tuple[list[Path], dict[str, str]]:
    try:
        shard_of = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted({str(shard) for shard in shard_of.values()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{argument}: {index}: not an index of shards; must have a weight_map") from None
    if not shards:
        raise ValueError(f"{argument}: {index}: lists no shards; must list one or more")
    missing = [shard for shard in shards if not (index.parent / shard).is_file()]
    if missing:
        raise ValueError(
            f"{argument}: {index.parent}: {len(missing)} of {len(shards)} shards missing ({missing[0]}"
            f"{', …' if len(missing) > 1 else ''}); must have all that {index.name} lists"
        )
    odd = [shard for shard in shards if not shard.endswith(".safetensors")]
    if odd:
        raise ValueError(f"{argument}: {index}: {odd[0]} is not a safetensors file; must be {WANTED}")
    return [index.parent / shard for shard in shards], shard_of


def settings(path: str | Path) -> dict[str, object]:
    """The model's `config.json`, empty where there is none that can be read.

    Args:
      path: the checkpoint, a file or a folder.

    Returns:
      Its fields.
    """
    path = Path(path)
    try:
        found = json.loads(((path if path.is_dir() else path.parent) / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


QUANTISED = re.compile(
    r"\.(qweight|qzeros|g_idx|weight_scale(_inv|_2)?|weight_packed|weight_zero_point|input_scale|absmax|SCB"
    r"|quant_map|quant_state\..*|scales)$|\.weight\.(absmax|quant_map|nested_.*|quant_state\..*)$"
)
"""Names of tensors that only quantised checkpoints have."""
