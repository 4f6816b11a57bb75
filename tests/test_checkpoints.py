"""Real checkpoints: what is read is what was written, the numbers are the library's, one tensor at a time."""

import dataclasses
import json
import math
import tracemalloc
import weakref
import zlib

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from qra_jax import checkpoints
from qra_jax.checkpoints import algebra, comparison, figure, gaussian, measures, names, report, words
from qra_jax.checkpoints.pairs import Pair
from qra_jax.transformer.weights import angles, low_rank, masks, spectra, twin

from ._safetensors import BF16, llama, moved, save, shards


@pytest.fixture(scope="module")
def model():
    return llama()


def two(tmp_path, base, tuned, **options):
    pairs, notes = checkpoints.pair(
        save(tmp_path / "base.safetensors", base), save(tmp_path / "tuned.safetensors", tuned)
    )
    return checkpoints.compare(pairs, **options), notes


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_reads_what_the_library_writes(tmp_path, dtype):
    array = np.random.default_rng(0).standard_normal((5, 7)).astype(dtype)
    save_file({"a.weight": array, "b": array[0].copy()}, tmp_path / "x.safetensors")
    found = checkpoints.read("base", tmp_path / "x.safetensors").tensors
    np.testing.assert_array_equal(found["a.weight"].read(), array)
    np.testing.assert_array_equal(found["a.weight"].flat(3, 9), array.reshape(-1)[3:9])
    assert found["b"].shape == (7,)


def test_shards_and_one_file_are_the_same_model_in_the_order_of_the_layers(tmp_path):
    model = llama(layers=11, width=8, hidden=8, words=8)
    whole = checkpoints.read("base", save(tmp_path / "one" / "model.safetensors", model).parent)
    split = checkpoints.read("base", shards(tmp_path / "many", model, 3))
    assert list(whole.tensors) == list(split.tensors)
    assert len(split.files) == 3
    for name, array in model.items():
        assert split.tensors[name].read().tobytes() == array.tobytes()
    layers = [int(name.split(".")[2]) for name in split.tensors if "q_proj" in name]
    assert layers == list(range(11))
    assert list(checkpoints.read("base", tmp_path / "many" / "model.safetensors.index.json").tensors)


@pytest.mark.parametrize(
    ("name", "shape", "kind", "part"),
    [
        ("model.layers.0.self_attn.q_proj.weight", (8, 8), "attention", "q"),
        ("model.layers.0.self_attn.o_proj.weight", (8, 8), "attention", "o"),
        ("model.layers.0.self_attn.q_proj.bias", (8,), "norm", ""),
        ("model.layers.0.self_attn.q_norm.weight", (8,), "norm", ""),
        ("model.layers.0.self_attn.kv_b_proj.weight", (8, 8), "attention", "kv"),
        ("model.layers.0.mlp.gate_proj.weight", (8, 8), "perceptron", "gate"),
        ("model.layers.0.mlp.gate_up_proj.weight", (8, 8), "perceptron", "gate+up"),
        ("model.layers.0.mlp.gate.weight", (4, 8), "other", "router"),
        ("model.layers.0.mlp.experts.3.down_proj.weight", (8, 8), "perceptron", "down"),
        ("model.layers.0.block_sparse_moe.experts.0.w2.weight", (8, 8), "perceptron", "down"),
        ("model.layers.0.mlp.experts.gate_up_proj", (4, 8, 8), "perceptron", "gate+up"),
        ("model.layers.0.linear_attn.conv1d.weight", (8, 1, 4), "other", ""),
        ("gpt_neox.layers.0.attention.query_key_value.weight", (24, 8), "attention", "qkv"),
        ("gpt_neox.layers.0.attention.dense.weight", (8, 8), "attention", "o"),
        ("gpt_neox.layers.0.mlp.dense_h_to_4h.weight", (32, 8), "perceptron", "up"),
        ("gpt_neox.layers.0.mlp.dense_4h_to_h.weight", (8, 32), "perceptron", "down"),
        ("gpt_neox.embed_in.weight", (50, 8), "embedding", ""),
        ("embed_out.weight", (50, 8), "unembedding", ""),
        ("transformer.h.0.attn.c_attn.weight", (8, 24), "attention", "qkv"),
        ("h.0.attn.c_proj.weight", (8, 8), "attention", "o"),
        ("h.0.mlp.c_fc.weight", (8, 32), "perceptron", "up"),
        ("transformer.wte.weight", (50, 8), "embedding", ""),
        ("wpe.weight", (50, 8), "embedding", ""),
        ("layers.0.attention.wq.weight", (8, 8), "attention", "q"),
        ("layers.0.feed_forward.w3.weight", (8, 8), "perceptron", "up"),
        ("tok_embeddings.weight", (50, 8), "embedding", ""),
        ("output.weight", (50, 8), "unembedding", ""),
        ("lm_head.weight", (50, 8), "unembedding", ""),
        ("score.weight", (1, 8), "other", ""),
        ("attention_0/qkv/kernel", (8, 24), "attention", "qkv"),
    ],
)
def test_kinds_of_tensors_by_name(name, shape, kind, part):
    assert names.kind(name, shape) == (kind, part)


@pytest.mark.parametrize(("shape", "dtype"), [((20, 50), BF16), ((50, 20), np.dtype(np.float32))])
def test_numbers_are_those_of_the_library(shape, dtype):
    rng = np.random.default_rng(3)
    w0 = (0.05 * rng.standard_normal(shape)).astype(dtype)
    w1 = (w0.astype(float) + 3e-4 * rng.standard_normal(shape)).astype(dtype)
    found = measures.measure(w0, w1, top=0.2)
    a, b = (jnp.asarray(x, dtype=jnp.float64) for x in (w0, w1))
    delta, one, k = b - a, found.spectrum, max(1, round(0.2 * min(shape)))
    close = {"rtol": 1e-6, "atol": 1e-12}
    assert one.top == k
    np.testing.assert_allclose(one.stable_rank, spectra.stable_rank(delta), **close)
    assert one.rank == spectra.numerical_rank(delta.astype(jnp.float32)) == one.full_rank
    np.testing.assert_allclose(one.alpha, low_rank.alpha(delta), **close)
    np.testing.assert_allclose(1 / one.alpha, spectra.top_share(delta, 1), **close)
    np.testing.assert_allclose(one.alpha**-2, spectra.top_share(delta, 1, "energy"), **close)
    np.testing.assert_allclose(one.drift, angles.spectral_drift(a, b), **close)
    for side, theta in zip((one.left, one.right), angles.principal_angles(a, b, k), strict=True):
        np.testing.assert_allclose(side, np.degrees([theta.mean(), theta.max()]), rtol=1e-6)
    sums = found.entries
    for count, how in (
        (sums.bits, "bfloat16"),
        (sums.relative, ("relative", 1e-3)),
        (sums.absolute, ("absolute", 1e-5)),
    ):
        # criteria on float32 numbers, as a checkpoint's are
        assert count == masks.changed(a.astype(jnp.float32), b.astype(jnp.float32), how).sum()
    np.testing.assert_allclose(sums.ratio, jnp.linalg.norm(delta) / jnp.linalg.norm(a), **close)
    changed = masks.changed(a, b)
    for which, mask in (("principal", masks.principal(a, 0.2, 0.5)), ("low", masks.low_magnitude(a, 0.5))):
        share, chance = checkpoints.comparison.overlap(found.masks, which)
        expected = masks.overlap(changed, mask)
        np.testing.assert_allclose(
            share, expected.value, atol=2 / sums.bits
        )  # a tie within rounding may swap
        np.testing.assert_allclose(chance, expected.chance, **close)


def test_low_rank_updates_and_bases_are_seen_as_such():
    rng = np.random.default_rng(0)
    outer = np.outer(rng.standard_normal(20), rng.standard_normal(30)).astype(np.float32)
    w0 = rng.standard_normal((20, 30)).astype(np.float32)
    one = measures.measure(np.zeros_like(outer), outer).spectrum
    assert one.rank == 1
    assert one.alpha == pytest.approx(1, abs=1e-6)
    assert math.isinf(one.drift)
    assert math.isnan(one.left[0])
    thin = measures.measure(outer, outer + 1e-3 * w0, top=0.2)  # a base of rank one has no four directions
    assert math.isnan(thin.spectrum.right[1])
    expected = masks.principal(jnp.asarray(outer), 0.2, 0.5)
    base = measures.Base(outer, 0.2, 0.5)
    assert np.mean(base.principal == expected) > 0.99
    still = measures.measure(w0, w0.copy())
    assert still.entries.delta == 0
    assert still.spectrum == measures.Spectrum(0.0, 0, 20, 1.0, 2, (0.0, 0.0), (0.0, 0.0), 0.0)


def update(dtype, sd, shape=(300, 400), size=0.02):
    """A base, and the base after a true Gaussian update."""
    rng = np.random.default_rng(0)
    w0 = (size * rng.standard_normal(shape)).astype(dtype)
    return w0, (w0.astype(np.float32) + np.float32(sd) * rng.standard_normal(shape, np.float32)).astype(dtype)


def test_twin_has_the_norm_of_the_update_and_the_statistics_of_the_librarys():
    import jax

    rng = np.random.default_rng(0)
    w0, w1 = update(BF16, 1e-5)
    norm = math.sqrt(measures.entries(w0, w1).delta)
    exact = gaussian.twin(rng, w0.astype(np.float64), np.dtype(np.float64), norm)
    assert np.linalg.norm(exact - w0.astype(float)) == pytest.approx(norm, rel=1e-3)
    mine = measures.entries(w0, gaussian.twin(rng, w0, BF16, norm)).bits / w0.size
    other = twin.gaussian(jax.random.key(0), jnp.asarray(w0), jnp.asarray(w1))
    assert mine == pytest.approx(float(masks.changed(jnp.asarray(w0), other).mean()), abs=0.01)
    assert mine < 0.5  # rounding hides most of a small update


@pytest.mark.parametrize(
    ("dtype", "size", "sd", "share"),
    [
        (BF16, 0.02, 1e-6, 0.012),
        (BF16, 0.02, 1e-5, 0.116),
        (BF16, 0.05, 5e-5, 0.223),
        (np.dtype(np.float16), 0.02, 1e-6, 0.0237),
    ],
)
def test_the_twin_of_a_gaussian_update_is_not_distinguishable_from_it(dtype, size, sd, share):
    w0, w1 = update(dtype, sd, size=size)
    true, rng = measures.entries(w0, w1), np.random.default_rng(1)
    first = gaussian.twin(rng, w0, dtype, math.sqrt(true.delta))
    second = gaussian.twin(rng, w0, dtype, math.sqrt(measures.entries(w0, first).delta))
    sampling = 5 * math.sqrt(2 * share * (1 - share) / w0.size)
    assert true.bits / w0.size == pytest.approx(share, abs=sampling + 5e-4)
    for one in (first, second):
        found = measures.entries(w0, one)
        assert found.bits / w0.size == pytest.approx(true.bits / w0.size, abs=sampling)
        assert found.delta == pytest.approx(true.delta, rel=2.5e-3)


@pytest.mark.parametrize("kind", ["up_proj", "embed_tokens"])
def test_the_twin_is_as_long_as_the_update_after_rounding(tmp_path, kind):
    """In each tensor, whether it is held in memory or read some entries at a time."""
    w0, w1 = update(BF16, 5e-5, (1100, 1000))
    name = {"up_proj": "layers.0.mlp.up_proj.weight", "embed_tokens": "embed_tokens.weight"}[kind]
    found, _ = two(tmp_path, {name: w0}, {name: w1}, null=True, top=0.001, matrices=0)
    assert found.rows[0].realised == pytest.approx(1, abs=1e-3)
    whole = gaussian.twin(
        np.random.default_rng([0, zlib.crc32(name.encode())]),
        w0,
        BF16,
        math.sqrt(measures.entries(w0, w1).delta),
    )
    both = found.rows[0].gaussian.entries, measures.entries(w0, whole)
    assert both[0].bits == both[1].bits
    assert both[0].delta == pytest.approx(both[1].delta)
    assert words.sentences(found)[1] == (
        "After rounding the Gaussian update is as long as the tuned one within 0.1% in each of the 1 tensors that "
        "changed."
    )
    record = json.loads(report.to_json(found, "a", "b"))
    assert record["tensors"][0]["gaussian"]["realised"] == pytest.approx(1, abs=1e-3)
    assert record["summary"]["all"]["gaussian"]["realised"] == pytest.approx(1, abs=1e-3)


def test_where_the_grid_is_coarse_the_nearest_norm_is_taken_and_said(tmp_path):
    name = "layers.0.mlp.up_proj.weight"
    w0 = np.ones((2, 3), BF16)
    w1 = w0.copy()
    w1[0, 0] = 1 + 2**-7 + 2**-6  # no step of the others is as long, so that it is missed
    found, _ = two(tmp_path, {name: w0}, {name: w1}, null=True)
    realised = found.rows[0].realised
    rng = np.random.default_rng([0, zlib.crc32(name.encode())])
    draw, wanted = rng.standard_normal(6, dtype=np.float32), math.sqrt(found.rows[0].tuned.entries.delta)
    grid = [
        gaussian.length(lambda: [(w0.reshape(-1), draw)], scale, BF16) / wanted
        for scale in np.geomspace(1e-4, 1, 9999)
    ]
    assert abs(realised - 1) == pytest.approx(min(abs(one - 1) for one in grid))
    assert abs(realised - 1) > 1e-3
    said = " ".join(words.sentences(found))
    assert f"elsewhere as nearly as the grid allows: at worst {realised:.3g} times as long ({name})" in said


def test_a_base_that_is_rounded_itself_and_weights_near_the_end_of_the_range():
    rng = np.random.default_rng(0)
    w0 = rng.standard_normal((30, 40)).astype(np.float32)
    norm = math.sqrt(measures.entries(w0, w0.astype(BF16)).delta)
    assert (gaussian.twin(rng, w0, BF16, norm) == w0.astype(BF16)).all()
    longer = gaussian.twin(rng, w0, BF16, 2 * norm)
    assert math.sqrt(measures.entries(w0, longer).delta) == pytest.approx(2 * norm, rel=1e-2)
    large = np.full((20, 20), 65000, np.float16)
    made = gaussian.twin(rng, large, large.dtype, 500.0)
    assert np.isfinite(made).all()
    assert math.sqrt(measures.entries(large, made).delta) == pytest.approx(500, rel=0.1)
    assert gaussian.twin(rng, np.ones((0, 3), BF16), BF16, 1.0).shape == (0, 3)


def test_summary_adds_up(tmp_path, model):
    found, notes = two(tmp_path, model, moved(model), null=True)
    assert notes == []
    assert found.skipped == 0
    total = found.summary()
    assert total.entries.count == sum(array.size for array in model.values())
    assert total.tensors == len(model)
    assert total.matrices == 14
    assert total.entries.bits == sum(found.summary(kind).entries.bits for kind in found.kinds)
    assert found.summary("norm").entries.bits == 0 == found.summary("norm", gaussian=True).entries.bits
    assert found.kinds == ["attention", "perceptron", "embedding", "unembedding", "norm"]
    assert found.summary("embedding").matrices == 0
    assert math.isnan(found.summary("embedding").medians["alpha"])
    assert "is what rounding alone gives" in words.sentences(found)[0]
    again = two(tmp_path, model, moved(model), null=True)[0]
    assert again == found
    other = two(tmp_path, model, moved(model), null=True, seed=1)[0]
    assert [row.tuned for row in other.rows] == [row.tuned for row in found.rows]
    assert [row.gaussian for row in other.rows] != [row.gaussian for row in found.rows]


def test_a_sparse_update_is_not_called_rounding(tmp_path, model):
    sparse = {name: array.copy() for name, array in model.items()}
    for array in sparse.values():
        if array.ndim == 2:
            array[::5] = array[::5] * BF16.type(1.1)
    found, _ = two(tmp_path, model, sparse, null=True)
    assert "sparser than rounding makes a Gaussian one" in words.sentences(found)[0]
    same, _ = two(tmp_path, model, {name: array.copy() for name, array in model.items()}, null=True)
    assert words.sentences(same) == [f"No weight among the {len(model)} tensors read differs."]
    figure.draw(same)
    report.show(same)
    assert (
        json.loads(report.to_json(same, "a", "b"))["summary"]["all"]["gaussian"]["medians"]["alpha"] is None
    )


def test_stacked_experts_are_a_matrix_each_and_constants_are_left_out(tmp_path, model):
    rng = np.random.default_rng(0)
    experts = {"model.layers.0.mlp.experts.down_proj": rng.standard_normal((3, 6, 8)).astype(np.float32)}
    constants = {
        "h.0.attn.bias": np.ones((1, 1, 4, 4), np.float32),
        "rotary_emb.inv_freq": np.ones(4, np.float32),
        "position_ids": np.arange(4),
    }
    other = {"score.weight": np.ones((2, 3), np.float32), "empty": np.ones((0, 3), np.float32)}
    found, notes = two(tmp_path, experts | constants | other, moved(experts | other, 1e-3) | constants)
    assert len(found.rows) == 5
    np.testing.assert_allclose(
        [row.tuned.entries.base for row in found.rows if row.kind == "perceptron"],
        (experts["model.layers.0.mlp.experts.down_proj"].astype(float) ** 2).sum((1, 2)),
    )
    assert notes[0].startswith("left out: ")
    assert "and 2 more, constants" in notes[0]
    assert notes[1] == "of unknown use, so that only their entries are counted: empty and 1 more"


def test_types_may_differ_which_is_said(tmp_path, model):
    wide = {name: array.astype(np.float32) for name, array in model.items()}
    found, notes = two(tmp_path, model, wide)
    assert found.summary().entries.delta == 0
    assert notes == ["stored as bfloat16 in base, float32 in tuned: differences may be rounding alone"]


def test_an_output_matrix_tied_in_one_of_them_is_left_out(tmp_path, model):
    tied = {name: array for name, array in model.items() if name != "lm_head.weight"}
    save(tmp_path / "base" / "model.safetensors", tied)
    save(tmp_path / "tuned" / "model.safetensors", moved(model))
    with pytest.raises(ValueError, match=r"1 only in tuned \(lm_head.weight\)"):
        checkpoints.pair(tmp_path / "base", tmp_path / "tuned")
    (tmp_path / "base" / "config.json").write_text('{"tie_word_embeddings": true}')
    pairs, notes = checkpoints.pair(tmp_path / "base", tmp_path / "tuned")
    assert len(pairs) == len(tied)
    assert notes == ["left out: lm_head.weight, which in base is tied to the embedding"]


def test_few_matrices_are_spread_and_all_entries_are_counted(tmp_path, model):
    found, _ = two(tmp_path, model, moved(model), matrices=3, null=True)
    assert found.summary().matrices == 3
    assert found.skipped == 11
    assert found.summary().entries.count == sum(array.size for array in model.values())
    assert {row.name.split(".")[2] for row in found.rows if row.tuned.spectrum} == {"0", "1"}
    assert any("11 were left out" in line for line in words.sentences(found))
    assert found.summary().entries == two(tmp_path, model, moved(model))[0].summary().entries


def test_memory_is_a_small_multiple_of_one_pair(tmp_path):
    """A file of 64 MiB, tensors of 4 and 16: what is alive at once does not grow with the file."""
    rng = np.random.default_rng(0)
    block = rng.standard_normal((128, 8192), dtype=np.float32)
    base = {f"layers.{i}.mlp.up_proj.weight": block for i in range(12)}
    base["embed_tokens.weight"] = np.zeros((4096, 1024), np.float32)
    first, second = save(tmp_path / "a.safetensors", base), tmp_path / "b.safetensors"
    content = bytearray(first.read_bytes())
    assert len(content) > 64 << 20
    content[-7 * len(content) // 8 :: 4096] = b"\0" * len(content[-7 * len(content) // 8 :: 4096])
    second.write_bytes(content)
    del content, base, block
    pairs, _ = checkpoints.pair(first, second)
    tracemalloc.start()
    try:
        checkpoints.check_finite(pairs)
        found = checkpoints.compare(pairs, null=True, matrices=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.summary().entries.count == 12 * 128 * 8192 + 4096 * 1024
    assert peak < 10 * (4 << 20)


class Drawn:
    """A tensor that is drawn when it is read."""

    def __init__(self, shape, memory):
        self.shape, self.dtype, self.memory = shape, BF16, memory

    def flat(self, first=0, last=None):
        last = math.prod(self.shape) if last is None else last
        array = (
            np.random.default_rng(first).standard_normal(last - first, dtype=np.float32).astype(self.dtype)
        )
        return self.memory.watch(array)

    def read(self):
        return self.flat().reshape(self.shape)


class Memory:
    """How many entries are alive, and the most that ever were."""

    def __init__(self):
        self.now = self.most = 0

    def watch(self, array):
        self.now += array.size
        self.most = max(self.most, self.now)
        weakref.finalize(array, self.drop, array.size)
        return array

    def drop(self, size):
        self.now -= size


def test_one_pair_is_alive_at_a_time():
    memory = Memory()
    pairs = [
        Pair(
            f"layers.{i}.mlp.up_proj.weight",
            "perceptron",
            "up",
            Drawn((16, 32), memory),
            Drawn((16, 32), memory),
        )
        for i in range(9)
    ]
    checkpoints.compare(iter(pairs), null=True)
    assert (memory.now, memory.most) == (0, 2 * 16 * 32)


def seven_billion():
    """Names and shapes of a 7-billion-parameter model, one at a time."""
    yield "model.embed_tokens.weight", (32000, 4096)
    for i in range(32):
        for one in "qkvo":
            yield f"model.layers.{i}.self_attn.{one}_proj.weight", (4096, 4096)
        for one in ("gate", "up"):
            yield f"model.layers.{i}.mlp.{one}_proj.weight", (11008, 4096)
        yield f"model.layers.{i}.mlp.down_proj.weight", (4096, 11008)
        for one in ("input", "post_attention"):
            yield f"model.layers.{i}.{one}_layernorm.weight", (4096,)
    yield "model.norm.weight", (4096,)
    yield "lm_head.weight", (32000, 4096)


@pytest.mark.parametrize("matrices", [None, 7])
def test_walks_the_tensors_of_seven_billion_weights_one_by_one(monkeypatch, matrices):
    """What `compare` does itself: kinds, shapes and choice; the numbers are tested elsewhere and here not read."""
    memory, alive, most, asked = Memory(), 0, [], []

    def made():
        nonlocal alive
        for name, shape in seven_billion():
            one = Pair(name, *names.kind(name, shape), Drawn(shape, memory), Drawn(shape, memory))
            alive += 1
            weakref.finalize(one, gone)
            yield one
            del one

    def gone():
        nonlocal alive
        alive -= 1

    def count(one, *, spectra, null, top, seed):
        most.append(alive)
        asked.append((one.name, spectra))
        return measures.Measures(measures.Entries(count=math.prod(one.shape))), None

    monkeypatch.setattr(comparison, "read_pair", count)
    found = checkpoints.compare(made(), matrices=matrices)
    assert [(row.name, row.shape) for row in found.rows] == list(seven_billion())
    assert {row.stored for row in found.rows} == {"bfloat16"}
    assert found.summary().entries.count == 6_738_415_616
    counts = {"attention": 128, "perceptron": 96, "embedding": 1, "unembedding": 1, "norm": 65}
    assert {kind: found.summary(kind).tensors for kind in found.kinds} == counts
    chosen = [name for name, spectra in asked if spectra]
    assert len(chosen) == (224 if matrices is None else 7)
    assert all("proj" in name for name in chosen)
    assert found.skipped == 224 - len(chosen)
    assert max(most) == (1 if matrices is None else 291)  # names and places of all, numbers of none
    assert memory.most == 0


def test_table_and_json_say_the_same(tmp_path, model, capsys):
    found, notes = two(tmp_path, model, moved(model), null=True)
    report.show(found, notes)
    printed = capsys.readouterr().out
    record = json.loads(report.to_json(found, "base", "tuned", notes))
    assert list(record) == ["base", "tuned", "settings", "tensors", "summary", "skipped", "notes", "says"]
    assert all(line in printed for line in record["says"])
    first = next(one for one in record["tensors"] if one["part"] == "q")
    row = next(line for line in printed.splitlines() if line.startswith(first["name"]))
    assert f"{first['tuned']['changed']['bfloat16']:.3f}" in row
    assert f"{first['tuned']['alpha']:.2f}" in row
    assert first["tuned"]["top_energy"] == pytest.approx(first["tuned"]["top_norm"] ** 2)
    assert set(record["summary"]) == {*found.kinds, "all"}
    assert printed.count("  Gaussian") == 14 + 2 + 6
    assert not [line for line in printed.splitlines() if "layernorm" in line]


@pytest.mark.parametrize("null", [False, True])
def test_figure(tmp_path, model, null):
    found, _ = two(tmp_path, model, moved(model), null=null)
    drawn = figure.draw(found)
    first, second, third = drawn.axes
    assert len(first.lines) == 1 + null
    assert len(first.lines[-1].get_xdata()) == 14
    assert "of all weights changed" in first.get_title(loc="left")
    assert ("Gaussian" in third.get_title(loc="left")) == null == ("Gaussian" in second.get_title(loc="left"))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"top": 0.0}, r"top: 0; must be in \(0, 1\]"),
        ({"matrices": -1}, "^matrices: -1; must be"),
        ({"seed": -1}, "^seed: -1; must be"),
    ],
)
def test_settings_out_of_range(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        checkpoints.compare([], **options)


def test_a_large_update_is_not_called_sparse(tmp_path, model):
    found, _ = two(tmp_path, without_vectors(model), moved(without_vectors(model), 1.0), null=True)
    assert "nothing is sparse about the update" in words.sentences(found)[0]


def without_vectors(model):
    return {name: array for name, array in model.items() if array.ndim == 2}


NAME = "layers.0.mlp.up_proj.weight"


def test_an_update_that_changes_more_than_a_gaussian_is_called_denser(tmp_path):
    w0, _ = update(BF16, 1e-5, (40, 50))
    w1 = (w0.view(np.uint16) + np.uint16(1)).view(BF16)  # each weight by the smallest step there is
    found, _ = two(tmp_path, {NAME: w0}, {NAME: w1}, null=True)
    assert found.rows[0].gaussian.entries.bits < 0.9 * w0.size
    assert "the update is denser than a Gaussian one" in words.sentences(found)[0]


def unmoved(found):
    """The same comparison as if the Gaussian had changed nothing."""
    rows = []
    for row in found.rows:
        spectrum = row.tuned.spectrum and dataclasses.replace(row.tuned.spectrum, **STILL)
        places = row.tuned.masks and dataclasses.replace(
            row.tuned.masks, changed=0, changed_principal=0, changed_low=0
        )
        sums = dataclasses.replace(row.tuned.entries, bits=0, relative=0, absolute=0, delta=0.0)
        rows.append(dataclasses.replace(row, gaussian=measures.Measures(sums, places, spectrum)))
    return dataclasses.replace(found, rows=tuple(rows))


STILL = {"stable_rank": 0.0, "rank": 0, "alpha": 1.0, "left": (0.0, 0.0), "right": (0.0, 0.0), "drift": 0.0}


def titles(found):
    return [ax.get_title(loc="left") for ax in figure.draw(found).axes]


def test_a_gaussian_that_changed_nothing_is_said_and_nothing_concluded(tmp_path, model, capsys):
    found = unmoved(two(tmp_path, model, moved(model), null=True)[0])
    said = words.sentences(found)
    assert "The Gaussian update changed nothing: beside it nothing can be said of sparsity." in said[0]
    assert not [line for line in said if "what rounding alone gives" in line or "sparser" in line]
    assert "In 14 of the 14 matrices that training changed the Gaussian changed nothing" in " ".join(said)
    assert "the Gaussian changed none in them" in " ".join(said)
    report.show(found)
    printed = capsys.readouterr().out
    assert printed.count("  Gaussian (changed nothing)") == 14 + 2 + 5
    assert "nan" not in printed + " ".join(titles(found))
    assert "a Gaussian changes nothing" in titles(found)[0]
    assert "a Gaussian changes none" in titles(found)[1]
    assert "a Gaussian changes nothing" in titles(found)[2]
    assert json.loads(report.to_json(found, "a", "b"))["summary"]["all"]["gaussian"]["unmoved"] == 14


def test_nothing_is_concluded_beside_a_gaussian_of_another_norm_or_below_bfloat16(tmp_path):
    w0 = np.ones((2, 2), BF16)
    w1 = w0.copy()
    w1[0, 0] = 2
    w1[1, 1] = 1 + 2**-7
    tuned = measures.entries(w0, w1)
    for other, said in (
        (dataclasses.replace(tuned, delta=4 * tuned.delta), "of no nearer norm than 2 times that"),
        (dataclasses.replace(tuned, bits=0), "changed nothing in bfloat16: beside it nothing can be said"),
    ):
        row = comparison.Row(
            NAME, "other", "", (2, 2), "bfloat16", measures.Measures(tuned), measures.Measures(other)
        )
        found = comparison.Comparison((row,), 0.1, 0, True, 0)
        assert said in words.sentences(found)[0]


def test_medians_are_over_the_matrices_that_training_changed(tmp_path, model):
    found, _ = two(tmp_path, model, moved(model), null=True)
    half = unmoved(found)
    rows = [a if i % 2 else b for i, (a, b) in enumerate(zip(found.rows, half.rows, strict=True))]
    mixed = dataclasses.replace(found, rows=tuple(rows))
    ranks = [row.gaussian.spectrum.stable_rank for row in rows if row.tuned.spectrum]
    assert 0 < ranks.count(0) < 14
    other = mixed.summary(gaussian=True)
    assert other.unmoved == ranks.count(0)
    assert other.medians["stable_rank"] == np.median(ranks)
    assert other.medians["alpha"] > 1
    own = mixed.summary()
    assert own.unmoved == 0
    assert own.medians == found.summary().medians


def test_zeros_of_either_sign_are_the_same(tmp_path):
    zero = np.zeros((4, 4), np.float32)
    found, _ = two(tmp_path, {NAME: zero}, {NAME: -zero}, null=True)
    assert found.summary().entries.bits == 0 == found.rows[0].tuned.masks.changed
    assert words.sentences(found) == ["No weight among the 1 tensors read differs."]
    tiny = np.full((4, 4), 1e-44, np.float32)
    assert algebra.differ(tiny, -tiny).sum() == 0
    assert algebra.differ(zero, zero + 1e-30).sum() == 16


@pytest.mark.parametrize("null", [False, True])
def test_figure_tells_not_looked_at_from_not_changed(tmp_path, model, null):
    for found in (
        two(tmp_path, model, moved(model), matrices=0, null=null)[0],
        checkpoints.compare(
            checkpoints.pair(tmp_path / "base.safetensors", tmp_path / "tuned.safetensors", "embed")[0],
            null=null,
        ),
    ):
        assert titles(found)[1:] == ["No matrix was looked at"] * 2
        assert figure.draw(found).axes[0].get_xlabel().endswith("of a tensor")
    embedding = model["model.embed_tokens.weight"]
    found, _ = two(tmp_path, model, {**model, "model.embed_tokens.weight": embedding + embedding}, null=null)
    assert titles(found)[1:] == ["No matrix changed"] * 2


def test_small_angles_beside_large_ones_are_precise():
    theta = np.array([1e-10, 0.5])
    rng = np.random.default_rng(0)
    frame = np.linalg.qr(rng.standard_normal((50, 4))).Q
    a = frame[:, :2]
    b = a * np.cos(theta) + frame[:, 2:] * np.sin(theta)
    spin = np.linalg.qr(rng.standard_normal((2, 2))).Q
    mean, largest = algebra._turned(a, b @ spin)
    assert largest == pytest.approx(math.degrees(0.5), rel=1e-14)
    assert 2 * mean - largest == pytest.approx(math.degrees(1e-10), rel=1e-3)


def test_float64_differences_below_the_range_of_float32():
    w0 = np.zeros((6, 8))
    outer = np.outer(np.arange(1.0, 7), np.arange(1.0, 9))
    one = measures.measure(w0, 1e-60 * outer)
    assert one.spectrum.alpha == pytest.approx(1, abs=1e-6)
    assert one.spectrum.rank == 1
