"""A sweep on disk: a Zarr v3 group in which every shard is one chunk of each variable, written once by one writer.

    STORE/zarr.json                 the specification, versions and block width, in the attributes; a copy of all
                                    other metadata, which never change ("consolidated": one file to read)
    STORE/<axis>/                   coordinates
    STORE/<variable>/c/0/3          raw little-endian numbers of one shard
    STORE/done/17                   written after the chunks of shard 17: the block width and a checksum of each

Bytes depend on the sweep alone: no dates, no timings. A file appears under its name only once it is whole; what a
killed writer leaves behind starts with a dot, and the next run of the sweep removes it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray
import zarr

import qra_jax
from qra_jax import _files
from qra_jax.sweep.layout import MARKS, Boxes
from qra_jax.sweep.spec import Spec

DONE, MISSING, CORRUPT = "done", "missing", "corrupt"
REMEDY = "choose another --store, or delete this one"


@dataclass(frozen=True)
class Variable:
    """A variable of a sweep: its own dimensions come behind those of the sweep.

    Attributes:
      name: of the variable.
      shape: of one point's value.
      dtype: as stored.
      dims: names of its own dimensions.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    dims: tuple[str, ...]

    @property
    def fill(self) -> float | int:
        """What stands where nothing was computed yet."""
        kind = np.dtype(self.dtype)
        return float("nan") if kind.kind == "f" else -1 if kind.kind == "i" else int(np.iinfo(kind).max)


class Store:
    """A store that exists.

    Attributes:
      path: its folder.
      header: what the sweep's attributes say of it.
      boxes: its shards.
      variables: what is stored.

    Raises:
      ValueError: there is no store of a sweep.
    """

    def __init__(self, path: Path):
        self.path, self.header = path, read_header(path)
        self.boxes = Boxes(tuple(self.header["shape"]), tuple(self.header["chunk"]))
        self.variables = [
            Variable(one["name"], tuple(one["shape"]), one["dtype"], tuple(one["dims"]))
            for one in self.header["variables"]
        ]

    def write(self, number: int, found: Mapping[str, np.ndarray], block: int) -> None:
        """Write the chunks of a shard, then its mark."""
        extent, sums = self.boxes.extent(number), {}
        for variable in self.variables:
            chunk = np.full((*self.boxes.chunk, *variable.shape), variable.fill, variable.dtype)
            values = np.reshape(found[variable.name], (*extent, *variable.shape))
            chunk[tuple(map(slice, extent))] = values
            content = chunk.astype(chunk.dtype.newbyteorder("<")).tobytes()
            write(self.chunk_path(variable, self.boxes.place(number)), content)
            sums[variable.name] = f"{zlib.crc32(content):08x}"
        write(self.mark_path(number), json.dumps({"block": block, "crc32": sums}).encode())

    def read(self, number: int) -> tuple[dict[str, np.ndarray], int]:
        """The variables of a shard that is done, `[points, ...]` each, and the width of its blocks."""
        at, extent = self.boxes.place(number), self.boxes.extent(number)
        found = {}
        for variable in self.variables:
            kind = np.dtype(variable.dtype).newbyteorder("<")
            chunk = np.frombuffer(self.chunk_path(variable, at).read_bytes(), kind)
            chunk = chunk.reshape(*self.boxes.chunk, *variable.shape)[tuple(map(slice, extent))]
            found[variable.name] = chunk.reshape(-1, *variable.shape)
        return found, json.loads(self.mark_path(number).read_bytes())["block"]

    def clean(self, numbers: Collection[int]) -> None:
        """Remove what killed writers of some shards left behind."""
        targets = {self.mark_path(number) for number in numbers}
        for variable in self.variables:
            targets |= {self.chunk_path(variable, self.boxes.place(number)) for number in numbers}
        for folder in (MARKS, *(f"{variable.name}/c" for variable in self.variables)):
            for part in (self.path / folder).rglob(".*"):
                if part.with_name(part.name.split(".")[1]) in targets:
                    part.unlink(missing_ok=True)

    def state(self, number: int) -> str:
        """Whether a shard is done, missing, or no longer what was written."""
        try:
            sums = json.loads(self.mark_path(number).read_bytes())["crc32"]
        except FileNotFoundError:
            return MISSING
        except (ValueError, KeyError, TypeError):
            return CORRUPT
        at = self.boxes.place(number)
        for variable in self.variables:
            try:
                content = self.chunk_path(variable, at).read_bytes()
            except FileNotFoundError:
                return CORRUPT
            if sums.get(variable.name) != f"{zlib.crc32(content):08x}":
                return CORRUPT
        return DONE

    def states(self) -> dict[int, str]:
        """The state of every shard."""
        return {number: self.state(number) for number in range(self.boxes.shards)}

    def mark_path(self, number: int) -> Path:
        """Where a shard's mark is."""
        return self.path / MARKS / str(number)

    def chunk_path(self, variable: Variable, at: tuple[int, ...]) -> Path:
        """Where a shard's chunk of a variable is."""
        return self.path / variable.name / "/".join(["c", *map(str, at), *("0" for _ in variable.shape)])

    def check(self, spec: Spec) -> None:
        """Refuse a store that another sweep made, or another version.

        Raises:
          ValueError: it is another's.
        """
        made = self.header
        if made["identity"] != spec.identity:
            raise ValueError(f"store: {self.path} was made by another specification; {REMEDY}")
        for name, own in versions().items():
            if made[name] != own:
                raise ValueError(
                    f"store: {self.path} was made with {name} {made[name]}, this is {own}; {REMEDY}"
                )
        group = zarr.open_group(self.path, mode="r", use_consolidated=False)
        for axis, _, values in spec.layout.coordinates():
            if not np.array_equal(np.asarray(group[axis.name]), values.astype(group[axis.name].dtype)):  # pyright: ignore
                raise ValueError(f"store: {self.path} has other values of {axis.name!r}; {REMEDY}")

    def open(self, states: Mapping[int, str]) -> xarray.Dataset:
        """The data, loaded where they are looked at."""
        data = xarray.open_zarr(self.path, chunks=None, consolidated=False, zarr_format=3)  # pyright: ignore
        names = [variable.name for variable in self.variables]
        shown = ("spec", "qra_jax", "jax", "precision", "block", "points", "shards")
        attributes = {name: self.header[name] for name in shown}
        attributes["shards_done"] = sum(state == DONE for state in states.values())
        coordinates = {
            name: data[name] for name in sorted(map(str, data.coords), key=self.header["axes"].index)
        }
        return xarray.Dataset({name: data[name] for name in names}, coordinates, attributes)


def versions() -> dict[str, Any]:
    """What numbers may depend on besides the sweep."""
    precision = "float64" if jax.config.jax_enable_x64 else "float32"  # pyright: ignore
    return {"qra_jax": qra_jax.__version__, "jax": jax.__version__, "precision": precision}


def read_header(path: Path) -> dict[str, Any]:
    """The sweep's attributes of a store.

    Raises:
      ValueError: there is no store, or not one of a sweep.
    """
    try:
        header = json.loads((path / "zarr.json").read_bytes())["attributes"]
        return {
            **header,
            **{name: header[name] for name in ("identity", "shape", "chunk", "variables", "axes")},
        }
    except FileNotFoundError:
        reason = "is no store of a sweep" if path.exists() else "does not exist"
        raise ValueError(f"store: {path} {reason}") from None
    except (ValueError, KeyError, TypeError, NotADirectoryError):
        raise ValueError(f"store: {path} is no store of a sweep") from None


def create(path: Path, spec: Spec, boxes: Boxes, variables: list[Variable], block: int) -> bool:
    """Make an empty store under another name, then rename it: others see all of it or nothing.

    Returns:
      Whether it was made; not, where another process was first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        fill(folder / "store", spec, boxes, variables, block)
        os.rename(folder / "store", path)
    except OSError:
        if (path / "zarr.json").exists():
            return False
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return True


def fill(path: Path, spec: Spec, boxes: Boxes, variables: list[Variable], block: int) -> None:
    """Write everything but the data."""
    attributes = {
        "spec": spec.source,
        "identity": spec.identity,
        **versions(),
        "block": block,
        "points": spec.layout.points,
        "shape": list(boxes.shape),
        "chunk": list(boxes.chunk),
        "shards": boxes.shards,
        "variables": [asdict(variable) for variable in variables],
        "axes": [*(axis.name for axis, _, _ in spec.layout.coordinates()), *spec.coords],
        "coordinates": " ".join(axis.name for axis, dim, _ in spec.layout.coordinates() if axis.name != dim),
    }
    group = zarr.create_group(path, zarr_format=3, attributes=attributes)
    group.create_group(MARKS)

    def coordinate(name: str, dim: str, values: np.ndarray, attributes: Mapping[str, str]) -> None:
        text = values.dtype.kind in "OU"
        kind: Any = str if text else values.dtype
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=values.shape,
            dtype=kind,
            compressors=None,
            dimension_names=(dim,),
            attributes=dict(attributes),
        )
        array[:] = values

    for axis, dim, values in spec.layout.coordinates():
        coordinate(axis.name, dim, values, axis.attributes)
    for name, values in spec.coords.items():
        coordinate(name, name, np.asarray(values), spec.attributes.get(name, {}))
    for variable in variables:
        group.create_array(
            variable.name,
            shape=(*boxes.shape, *variable.shape),
            chunks=(*boxes.chunk, *variable.shape),
            dtype=variable.dtype,
            fill_value=variable.fill,
            compressors=None,
            dimension_names=(*spec.layout.dims, *variable.dims),
            attributes=dict(spec.attributes.get(variable.name, {})),
        )
    with warnings.catch_warnings():
        # Not in the specification of Zarr v3 yet: other readers may pass over it.
        warnings.filterwarnings("ignore", "Consolidated metadata")
        zarr.consolidate_metadata(path, zarr_format=3)


def write(path: Path, content: bytes) -> None:
    """Write a file that is whole or absent, once more where another run took its unfinished form for a leftover."""
    try:
        _files.write(path, content)
    except FileNotFoundError:
        _files.write(path, content)
