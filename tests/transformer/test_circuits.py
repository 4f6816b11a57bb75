"""Edges of the residual stream: they add up to what each node reads, and are slopes of taking a node away."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import transformer
from qra_jax.transformer import circuits, model as network
from qra_jax.transformer.sampling import Questions, Rollouts

pytestmark = pytest.mark.usefixtures("compiled_plainly")

MODEL = transformer.Decoder(
    7, width=4, depth=2, heads=1, hidden=2, dtype=jnp.float64, param_dtype=jnp.float64
)
QUESTIONS = Questions(jnp.array([[0, 3, 4], [2, 5, 6]]), None)
TOKENS = jnp.array([[[1, 2, 3], [4, 5, 0]], [[6, 6, 1], [2, 0, 0]]])
WHERE = TOKENS != 0
edges = jax.jit(circuits.edges, static_argnums=0)
matched = jax.jit(circuits.matched_temperature, static_argnums=0)


@pytest.fixture(scope="module")
def params():
    """Norms and embeddings that are not as they start."""
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), MODEL))
    draw = np.random.default_rng(0).normal
    return jax.tree.map(lambda x: jnp.asarray((x.ndim == 1) + 0.5 * draw(size=x.shape)), shapes)


@partial(jax.jit, static_argnames="taken")
def _loss(params, shift=None, taken=None):
    """L of every sequence as the package scores it, one reader of the stream given another input."""
    names = {"norm_0a": "attention_0", "norm_0b": "perceptron_0", "norm_1a": "attention_1"}
    names |= {"norm_1b": "perceptron_1", "norm": "unembedding"}
    seen = {}

    def tap(call, args, kwargs, context):
        reader = names.get("/".join(context.module.path))
        if reader is not None:
            seen[reader] = args[0]
            if reader == taken:
                args = (args[0] + shift,)
        return call(*args, **kwargs)

    text = jnp.concatenate([jnp.repeat(QUESTIONS.prompt[:, None], 2, axis=1), TOKENS[:, :, :-1]], axis=2)
    with nn.intercept_methods(tap):
        logits = MODEL.apply({"params": params}, text, QUESTIONS.real).logits[:, :, 2:]
    emitted = jnp.take_along_axis(jax.nn.log_softmax(logits), TOKENS[..., None], axis=-1)[..., 0]
    return -jnp.sum(emitted * WHERE, axis=-1) / jnp.sum(WHERE, axis=-1), seen


def test_nodes_and_edges():
    graph = circuits.nodes(MODEL)
    assert graph.senders == ("embedding", "attention_0", "perceptron_0", "attention_1", "perceptron_1")
    assert graph.receivers == ("attention_0", "perceptron_0", "attention_1", "perceptron_1", "unembedding")
    assert int(jnp.sum(graph.edges)) == 1 + 2 + 3 + 4 + 5


def test_the_loss_is_that_of_teacher_forcing(params):
    logits, _ = jax.jit(network.score, static_argnums=0)(
        MODEL, params, QUESTIONS.prompt, QUESTIONS.real, TOKENS
    )
    log_probs = jax.nn.log_softmax(logits)
    emitted = jnp.take_along_axis(log_probs, TOKENS[..., None], axis=-1)[..., 0]
    found = edges(MODEL, params, QUESTIONS, TOKENS, WHERE)
    count = jnp.sum(WHERE, axis=-1)
    np.testing.assert_allclose(found.loss, -jnp.sum(emitted * WHERE, axis=-1) / count, rtol=1e-12)
    entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
    np.testing.assert_allclose(found.entropy, jnp.sum(entropy * WHERE, axis=-1) / count, rtol=1e-12)


def test_edges_into_a_node_add_up_to_its_input_and_are_slopes(params):
    """The sum over senders is −⟨∇_H L, H⟩ with the input H that the network really has, place by place."""
    found = edges(MODEL, params, QUESTIONS, TOKENS, WHERE)
    _, inputs = _loss(params)
    step = 1e-5
    for i, reader in enumerate(circuits.nodes(MODEL).receivers):
        at = inputs[reader]
        for place in (1, 3):
            along = jnp.zeros_like(at).at[:, place].set(at[:, place])
            ends = [_loss(params, sign * step * along, reader)[0] for sign in (1, -1)]
            slope = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(found.places[:, :, place, :, i].sum(-1), -slope, rtol=1e-6, atol=1e-9)


def test_an_edge_is_the_effect_of_taking_a_node_away_from_one_reader(params):
    """The output of a node, by ablation of all that reads it: finite differences along the embedding alone."""
    found, step = edges(MODEL, params, QUESTIONS, TOKENS, WHERE), 1e-5
    _, inputs = _loss(params)
    embedding = inputs["attention_0"]  # nothing else has been written yet
    for i, reader in enumerate(circuits.nodes(MODEL).receivers):
        ends = [_loss(params, sign * step * embedding, reader)[0] for sign in (-1, 1)]
        np.testing.assert_allclose(
            found.whole[..., 0, i], (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-9
        )
    second = inputs["attention_1"] - inputs["perceptron_0"]  # what the first perceptron wrote
    ends = [_loss(params, sign * step * second, "unembedding")[0] for sign in (-1, 1)]
    np.testing.assert_allclose(found.whole[..., 2, 4], (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-9)


def test_no_edge_to_what_comes_before_nor_from_padding(params):
    found = edges(MODEL, params, QUESTIONS, TOKENS, WHERE)
    graph = circuits.nodes(MODEL)
    assert np.all(np.asarray(found.places)[..., ~np.asarray(graph.edges)] == 0)
    assert np.all(np.asarray(found.places[0, :, 0]) == 0)  # padding to the left
    assert np.all(np.asarray(found.places[1, 1, 3:]) == 0)  # nothing is asked of what follows the end
    assert np.all(np.abs(np.asarray(found.whole)[..., np.asarray(graph.edges)]) > 0)


def test_sequences_are_by_themselves(params):
    found = edges(MODEL, params, QUESTIONS, TOKENS, WHERE)
    other = edges(MODEL, params, QUESTIONS, TOKENS.at[0].set(4).at[1, 1].set(3), WHERE)
    np.testing.assert_allclose(other.places[1, 0], found.places[1, 0], rtol=1e-10, atol=1e-14)
    assert np.max(np.abs(other.places - found.places)) > 1e-3


def test_readers_do_not_mind_the_scale_of_the_stream(params):
    """Norms forget the scale of their input: the edges into a node add up to zero (but for the norms' epsilon)."""
    found = edges(MODEL, params, QUESTIONS, TOKENS, WHERE).whole
    assert np.max(np.abs(found.sum(-2))) < 1e-4 * np.max(np.abs(found))


def test_a_louder_unembedding_is_a_lower_temperature(params):
    loud = edges(MODEL, circuits.louder(params, 2.5), QUESTIONS, TOKENS, WHERE)
    cold = edges(MODEL, params, QUESTIONS, TOKENS, WHERE, temperature=0.4)
    for a, b in zip(loud, cold, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)


def test_matched_temperature(params):
    for goal in (0.3, 1.5):
        heat = matched(MODEL, params, QUESTIONS, TOKENS, WHERE, entropy=goal)
        found = edges(MODEL, params, QUESTIONS, TOKENS, WHERE, temperature=heat)
        np.testing.assert_allclose(jnp.mean(found.entropy), goal, rtol=1e-8)


def test_summary_by_hand():
    sizes = np.array([[1e-3, 2.0, 2.0], [0.0, -0.02, 0.02], [0.0, 0.0, 1e-9]])
    one = jnp.zeros((1, 1))
    found = circuits.Edges(jnp.asarray(sizes)[None, None, None], one, one)
    there = np.abs(sizes[np.triu_indices(3)])
    read = circuits.summary(found, bins=(1e-2, 1.0))
    np.testing.assert_allclose(read.intensity, there.mean())
    np.testing.assert_allclose(read.diversity, np.log(3))  # two in each of three bins
    middle = there - there.mean()
    np.testing.assert_allclose(read.kurtosis, np.mean(middle**4) / np.mean(middle**2) ** 2)
    with pytest.raises(ValueError, match="bins"):
        circuits.summary(found, bins=(1.0, 0.1))


def test_all_comparisons(params):
    tuned = jax.tree.map(lambda x: 1.1 * x, params)
    none = jnp.zeros(TOKENS.shape)
    own = tuple(Rollouts(TOKENS[:, o], WHERE[:, o], none, none, none) for o in (np.s_[:], np.s_[::-1]))
    compared = jax.jit(circuits.compared, static_argnums=1)
    read = compared(jax.random.key(0), MODEL, params, tuned, QUESTIONS, own)
    np.testing.assert_allclose(read["tuned, base's entropy"].entropy, read["base"].entropy, rtol=1e-8)
    np.testing.assert_allclose(read["base, louder"].entropy, read["tuned"].entropy, rtol=1e-8)
    np.testing.assert_allclose(
        read["base, tuned's text"].loss,
        edges(MODEL, params, QUESTIONS, own[1].tokens, own[1].where).loss.mean(),
    )
    assert all(np.all(np.isfinite(x)) for s in read.values() for x in s)
    same = compared(jax.random.key(0), MODEL, params, params, QUESTIONS, (own[0], own[0]))
    for other in same.values():
        np.testing.assert_allclose(other, same["base"], rtol=1e-6)


def test_a_table_has_no_circuit(params):
    with pytest.raises(ValueError, match="a Lookup; must be a Decoder"):
        circuits.nodes(transformer.Lookup(3))
    with pytest.raises(ValueError, match="temperature"):
        circuits.edges(MODEL, params, QUESTIONS, TOKENS, temperature=0.0)
