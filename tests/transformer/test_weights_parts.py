"""Names, kinds and places of a network's parameters."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import transformer
from qra_jax.transformer.weights import parts


@pytest.fixture(scope="module")
def params():
    shapes = {
        ("attention_0", "qkv", "kernel"): (4, 12),
        ("attention_0", "out", "kernel"): (4, 4),
        ("in_0", "kernel"): (4, 16),
        ("out_0", "kernel"): (16, 4),
        ("norm_0a", "scale"): (4,),
        ("norm_0b", "scale"): (4,),
        ("norm", "scale"): (4,),
        ("embedding", "embedding"): (7, 4),
        ("unembedding", "kernel"): (4, 7),
    }
    rng, tree = np.random.default_rng(0), {}
    for path, shape in shapes.items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = jnp.asarray(rng.normal(size=(3, *shape)))
    return tree


def test_names_are_those_that_the_network_makes(params):
    made = jax.eval_shape(lambda key: transformer.init(key, transformer.Decoder(7, 4, 1)), jax.random.key(0))
    assert parts.flat(made).keys() == parts.flat(params).keys()
    assert {name: leaf.shape[1:] for name, leaf in parts.flat(params).items()} == {
        name: leaf.shape for name, leaf in parts.flat(made).items()
    }
    table = jax.eval_shape(lambda key: transformer.init(key, transformer.Lookup(7)), jax.random.key(0))
    assert list(parts.flat(table)) == ["table"]
    assert parts.kind("table") == "unembedding"
    assert parts.grown(parts.flat(table)) == table


def test_growing_undoes_flattening(params):
    chex.assert_trees_all_equal(parts.grown(parts.flat(params)), params)
    assert list(parts.flat(params)) == sorted(parts.flat(params))


def test_smeared_keys_have_a_name():
    made = transformer.init(
        jax.random.key(0), transformer.Decoder(7, width=4, depth=1, hidden=1, smeared=True)
    )
    flat = parts.flat(made)
    assert flat["attention_0/smear"].shape == (2,)
    assert parts.kind("attention_0/smear") == "norm"
    chex.assert_trees_all_equal(parts.grown(flat), made)


def test_every_leaf_has_one_kind(params):
    found = {kind: [n for n in parts.flat(params) if parts.kind(n) == kind] for kind in parts.KINDS}
    assert found == {
        "attention": ["attention_0/out", "attention_0/qkv"],
        "perceptron": ["in_0", "out_0"],
        "embedding": ["embedding"],
        "norm": ["norm", "norm_0a", "norm_0b"],
        "unembedding": ["unembedding"],
    }
    assert list(parts.select(params)) == found["attention"] + found["perceptron"]
    assert list(parts.select(params, "embedding")) == ["embedding"]


@pytest.mark.parametrize(
    "name", ["attention_0", "attention_0/k", "lora_a", "norm_0c", "embedding/kernel", ""]
)
def test_unknown_leaves_are_named(name):
    with pytest.raises(ValueError, match=f"path: '{name}'"):
        parts.kind(name)


def test_grafts_take_only_what_was_asked_for(params):
    tuned = jax.tree.map(lambda x: jnp.asarray(np.asarray(x) + 1), params)
    new = parts.flat(parts.graft(params, tuned, ("norm", "attention")))
    for name, leaf in parts.flat(params).items():
        moved = parts.kind(name) in ("norm", "attention")
        chex.assert_trees_all_equal(new[name], np.asarray(leaf) + 1 if moved else leaf)
    chex.assert_trees_all_equal(parts.graft(params, tuned, ()), params)
    chex.assert_trees_all_equal(parts.graft(params, tuned, parts.KINDS), tuned)


def test_updates_of_rounded_weights_are_wide(params):
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), {"norm": params["norm"]})
    moved = jax.tree.map(lambda x: x * 2, low)
    delta = parts.update(low, moved)
    assert {x.dtype for x in jax.tree.leaves(delta)} == {jnp.dtype("float32")}
    chex.assert_trees_all_equal(delta, jax.tree.map(lambda x: x.astype(jnp.float32), low))


def test_bad_input_is_named(params):
    with pytest.raises(ValueError, match="kinds: 'bias'; must be one of 'attention'"):
        parts.select(params, ("attention", "bias"))
    with pytest.raises(ValueError, match="kinds: 'norm'"):
        parts.select(params, parts.KINDS)
    with pytest.raises(ValueError, match="tuned: norm in only one"):
        parts.update(params, {name: leaf for name, leaf in params.items() if name != "norm"})
    with pytest.raises(ValueError, match=r"tuned: in_0 has shape \(3, 4, 2\); must be \(3, 4, 16\)"):
        parts.update(params, {**params, "in_0": {"kernel": jnp.zeros((3, 4, 2))}})
