"""The parts of a network's parameters by name: which matrices are meant, and which stay as they were."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array

from qra_jax import _check
from qra_jax.transformer.model import Params

KINDS = ("attention", "perceptron", "embedding", "norm", "unembedding")
"""What a leaf of the parameters may belong to."""
MATRICES = ("attention", "perceptron")
"""The kinds whose update most papers read; embedding, norms and unembedding are left out."""

_NAMES = {
    "attention": re.compile(r"attention_\d+/(qkv|out)"),
    "perceptron": re.compile(r"(in|out)_\d+"),
    "embedding": re.compile(r"embedding"),
    "norm": re.compile(r"norm(_\d+[ab])?|attention_\d+/smear"),  # vectors that scale what goes through
    "unembedding": re.compile(r"unembedding|table"),
}
_LEAVES = {"embedding": "embedding", "norm": "scale"}


def kind(path: str | tuple[str, ...]) -> str:
    """Which of `KINDS` a leaf belongs to.

    Args:
      path: its name as in [`flat`][], or its whole path, in one string with slashes or as a tuple of keys.

    Returns:
      One of `KINDS`; the table of a `Lookup` is an unembedding of one-hot features.

    Raises:
      ValueError: a name that no leaf of `transformer.init` has.

    >>> kind("attention_0/qkv"), kind("out_1/kernel"), kind(("norm_0a", "scale"))
    ('attention', 'perceptron', 'norm')
    """
    whole = path if isinstance(path, str) else "/".join(path)
    parent, _, leaf = whole.rpartition("/")
    for name, pattern in _NAMES.items():
        if pattern.fullmatch(whole) or (pattern.fullmatch(parent) and leaf == _LEAVES.get(name, "kernel")):
            return name
    raise ValueError(f"path: {whole!r}; must be a leaf of transformer.init, such as 'attention_0/qkv'")


def flat(params: Params) -> dict[str, Any]:
    """Parameters as one dictionary, by the names of their layers.

    Args:
      params: nested dictionary as `transformer.init` gives it, of arrays or of their shapes; leaves may have leading
        axes (seeds, checkpoints).

    Returns:
      For example `{"attention_0/qkv": [..., D, 3D], "norm": [..., D], …}`, sorted by name.

    Raises:
      ValueError: a leaf that `transformer.init` does not make.
    """
    leaves = {}
    for path, leaf in traverse_util.flatten_dict(params).items():
        kind(path)
        leaves["/".join(path[:-1] or path)] = leaf
    return dict(sorted(leaves.items()))


def grown(flat: dict[str, Any]) -> Params:
    """Parameters as a nested dictionary, from the names of their layers: the inverse of [`flat`][].

    Args:
      flat: leaves by name; a part of all names gives a part of the tree.

    Returns:
      Nested dictionary as `transformer.init` gives it.

    Raises:
      ValueError: a name that no layer has.
    """
    paths = {}
    for name, leaf in flat.items():
        last = _LEAVES.get(kind(name), "kernel")
        paths[(name,) if name == "table" else (*name.split("/"), last)] = leaf
    return traverse_util.unflatten_dict(paths)


def select(params: Params, kinds: str | Iterable[str] = MATRICES) -> dict[str, Any]:
    """The matrices of some kinds.

    Args:
      params: nested dictionary as `transformer.init` gives it.
      kinds: one or some of `KINDS`; not "norm", whose leaves are vectors.

    Returns:
      Matrices `[..., rows, cols]` by name, each `[in, out]`, sorted by name.

    Raises:
      ValueError: an unknown kind, or "norm".
    """
    wanted = matrix_kinds(kinds)
    return {name: leaf for name, leaf in flat(params).items() if kind(name) in wanted}


def graft(base: Params, tuned: Params, kinds: str | Iterable[str]) -> Params:
    """Base parameters with the tuned leaves of some kinds in their places.

    Args:
      base: nested dictionary as `transformer.init` gives it.
      tuned: of the same names and shapes.
      kinds: one or some of `KINDS`, of which tuned leaves are taken; none: the base.

    Returns:
      Nested dictionary.

    Raises:
      ValueError: an unknown kind, or parameters of other names or shapes.
    """
    wanted = known_kinds(kinds)
    both = paired(base, tuned)
    return grown({name: pair[kind(name) in wanted] for name, pair in both.items()})


def paired(base: Params, tuned: Params) -> dict[str, tuple[Any, Any]]:
    """Leaves of two sets of parameters side by side.

    Args:
      base: nested dictionary as `transformer.init` gives it.
      tuned: of the same names and shapes; storage formats may differ.

    Returns:
      `(base leaf, tuned leaf)` by name, sorted by name.

    Raises:
      ValueError: names or shapes that differ; says which.
    """
    before, now = flat(base), flat(tuned)
    other = sorted(before.keys() ^ now.keys())
    if other:
        raise ValueError(f"tuned: {', '.join(other)} in only one of the two; must have the names of base")
    for name, leaf in before.items():
        if leaf.shape != now[name].shape:
            raise ValueError(f"tuned: {name} has shape {now[name].shape}; must be {leaf.shape}, as in base")
    return {name: (leaf, now[name]) for name, leaf in before.items()}


def update(base: Params, tuned: Params) -> Params:
    """What training added to the parameters, ΔW = W − W₀, in float32 at least.

    Args:
      base: nested dictionary as `transformer.init` gives it.
      tuned: of the same names and shapes.

    Returns:
      Nested dictionary of differences.

    Raises:
      ValueError: parameters of other names or shapes.
    """
    return grown({name: difference(*pair) for name, pair in paired(base, tuned).items()})


def difference(before: Array, now: Array) -> Array:
    """The difference `now − before` of two arrays, in float32 at least."""
    dtype = jnp.promote_types(jnp.promote_types(before.dtype, now.dtype), jnp.float32)
    return now.astype(dtype) - before.astype(dtype)


def known_kinds(kinds: str | Iterable[str]) -> tuple[str, ...]:
    """Some of `KINDS` as a tuple, checked."""
    return tuple(_check.choice("kinds", x, KINDS) for x in ((kinds,) if isinstance(kinds, str) else kinds))


def matrix_kinds(kinds: str | Iterable[str]) -> tuple[str, ...]:
    """Some of `KINDS` as a tuple, checked to be of matrices."""
    wanted = known_kinds(kinds)
    if "norm" in wanted:
        raise ValueError("kinds: 'norm'; must be kinds of matrices: the scales of norms are vectors")
    return wanted
