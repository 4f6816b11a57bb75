"""The graph task: prompts say what the solution works out, and the checker knows every line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qra_jax import transformer as tf
from qra_jax.transformer.graphs import DEFINITION, INPUTS, LINE, graphs
from qra_jax.transformer.sampling import PAD, Rollouts


def _solved(task, prompt):
    """The solution by reading a prompt alone: an independent solver in plain Python."""
    words = [int(x) for x in prompt if x != PAD]
    label, words = words[-1], words[:-1]
    assert words.pop() == task.end
    values = {words[2 * i]: words[2 * i + 1] - task.first_value for i in range(INPUTS)}
    defined = np.reshape(words[2 * INPUTS :], (-1, DEFINITION)).tolist()
    lines = {row[0]: row[1:] for row in defined}
    out = []
    while True:
        left, right, operation, name = lines[label]
        a, b = values[left], values[right]
        values[name] = (a + b if operation == task.first_operation else a * b) % task.modulus
        said = [task.first_value + values[x] for x in (left, right, name)]
        out += [left, said[0], right, said[1], operation, name, said[2]]
        label = (label - task.first_label + 1) % task.labels + task.first_label
        if label not in lines:
            return [*out, task.end]
        out.append(label)


@pytest.mark.parametrize("room", [4, 9])
def test_solutions_follow_from_prompts(room):
    task = graphs((1, 4), room=room, second=0.5)
    asked = task.draw(jax.random.key(0), 64)
    for prompt, row in zip(np.asarray(asked.prompt), np.asarray(task.solution(asked)), strict=True):
        assert [int(x) for x in row if x != PAD] == _solved(task, prompt)


def test_all_nodes_are_needed_and_names_tell_the_context():
    task = graphs((9, 9), second=1.0)
    graph = task.draw(jax.random.key(1), 100).truth
    before = INPUTS - 1 + np.arange(1, task.most)
    assert np.all((np.asarray(graph.left)[:, 1:] == before) | (np.asarray(graph.right)[:, 1:] == before))
    assert {0, 1} == set(np.unique(np.stack([graph.left[:, 0], graph.right[:, 0]])).tolist())
    assert np.all(graph.name >= task.first_name + task.nodes)
    assert np.all(np.sort(np.asarray(graph.name)) == np.arange(task.vocabulary - task.nodes, task.vocabulary))


def test_the_checker_sees_every_node():
    task = graphs((3, 3), room=4)
    asked = task.draw(jax.random.key(2), 32)
    right = task.solution(asked)
    wrong_middle = right.at[:, LINE + 6].set(
        task.first_value + (right[:, LINE + 6] - task.first_value + 1) % 7
    )
    wrong_end = right.at[:, 2 * LINE + 6].set(
        task.first_value + (right[:, 2 * LINE + 6] - task.first_value + 1) % 7
    )
    skipped = jnp.concatenate([right[:, LINE:], jnp.zeros((32, LINE), right.dtype)], axis=1)
    endless = jnp.where(right == task.end, task.first_value, right)
    tokens = jnp.stack([right, wrong_middle, wrong_end, skipped, endless], axis=1)
    rest = jnp.zeros(tokens.shape)
    verdict = task.verify(jax.random.key(0), asked, Rollouts(tokens, tokens != PAD, rest, rest, rest))
    assert np.all(np.asarray(verdict.right) == [True, True, False, True, False])
    assert np.all(np.asarray(verdict.steps) == [True, False, False, False, False])
    assert np.allclose(verdict.progress, [1, 2 / 3, 2 / 3, 0, 2 / 3])
    assert np.all(np.asarray(verdict.formatted) == [True, True, True, True, False])


def test_shares_and_contexts():
    task = graphs((2, 4)).mixed([0, 0.5, 0, 0.5, 0, 0, 0, 0, 0])
    graph = task.draw(jax.random.key(3), 4000).truth
    assert set(np.unique(graph.count)) == {2, 4}
    assert abs(float(jnp.mean(graph.count == 2)) - 0.5) < 0.03
    many = jax.vmap(lambda low: task.asking(low, low, 0.25).draw(jax.random.key(4), 4000))(jnp.array([3, 8]))
    assert np.all(np.asarray(many.truth.count) == [[3], [8]])
    second = many.truth.name[..., 0] >= task.first_name + task.nodes
    assert np.allclose(second.mean(axis=-1), 0.25, atol=0.03)


def test_arrays_of_any_room_say_the_same():
    task = graphs((2, 4))
    model = tf.Decoder(task.vocabulary, width=8, depth=1)
    assert task.within(4).vocabulary == task.vocabulary
    assert task.within(4).length == 4 * LINE
    shown = task.within(4).demonstrations(jax.random.key(0), 4)
    params = tf.init(jax.random.key(1), model)
    assert np.isfinite(tf.learning.cross_entropy(model, params, shown))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: graphs((0, 4)), "operations: 0 to 4"),
        (lambda: graphs((2, 10)), "operations: 2 to 10"),
        (lambda: graphs((4, 2)), "operations: 4 to 2"),
        (lambda: graphs((2, 4), room=3), "operations: 2 to 4"),
        (lambda: graphs((2, 4)).within(10), "room: 10"),
        (lambda: graphs((2, 4), second=1.5), "second: 1.5"),
        (lambda: graphs((2, 4), modulus=1), "modulus: 1"),
        (lambda: graphs((2, 4), room=4).mixed(np.ones(9) / 9), "none of more than 4 operations"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make()
