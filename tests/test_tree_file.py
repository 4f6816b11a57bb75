"""Trees in files and in pictures, and what their steps are paid."""

import itertools
import json
import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qra_jax as qra
from qra_jax import _check, _nested, _nested_files, plot
from qra_jax.tree import Tree, credit, instances, mean_update, panels, picture, values
from qra_jax.tree.file import load
from qra_jax.tree.paid import paid

ROOT = Path(__file__).parent.parent
YAML = """
name: a sum
steps:
  - {name: guess, chance: 7e-1, success: .3, length: 20}
  - name: derive
    chance: .3
    length: 80
    steps:
      - {name: guess, chance: .2, success: .95, length: 40}
      - {chance: .8, success: .5, length: 10}
"""
JSON = """{"name": "a sum", "steps": [
  {"name": "guess", "chance": 0.7, "success": 0.3, "length": 20},
  {"name": "derive", "chance": 0.3, "length": 80, "steps": [
    {"name": "guess", "chance": 0.2, "success": 0.95, "length": 40},
    {"chance": 0.8, "success": 0.5, "length": 10}]}]}"""
TOML = """name = "a sum"
steps = [{name = "guess", chance = 0.7, success = 0.3, length = 20},
         {name = "derive", chance = 0.3, length = 80, steps = [
           {name = "guess", chance = 0.2, success = 0.95, length = 40},
           {chance = 0.8, success = 0.5, length = 10}]}]
"""


@pytest.fixture
def file(tmp_path):
    def write(text, name="tree.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_file_is_the_tree_that_it_says(file):
    tree = load(file(YAML))
    assert tree.shape.children == (2, 0, 2, 0, 0)
    assert tree.names == ("a sum", "guess", "derive", "derive › guess", "derive.1")
    np.testing.assert_allclose(tree.ref, [0.7, 0.3, 0.2, 0.8])
    np.testing.assert_allclose(tree.success, [0.3, 0.95, 0.5])
    np.testing.assert_allclose(tree.lengths, [20, 80, 40, 10])
    np.testing.assert_allclose(values(tree).value[0], 0.7 * 0.3 + 0.3 * (0.2 * 0.95 + 0.8 * 0.5))
    assert tree.process is None
    for text, name in ((JSON, "tree.json"), (TOML, "tree.toml"), ("\ufeff" + YAML, "tree.yml")):
        other = load(file(text, name))
        assert (other.names, other.shape) == (tree.names, tree.shape)
        np.testing.assert_array_equal(other.log_ref, tree.log_ref)
        np.testing.assert_array_equal(other.success, tree.success)
        np.testing.assert_array_equal(other.lengths, tree.lengths)


def test_chances_may_be_left_out_and_are_normalised():
    tree = Tree.from_nested({"steps": [{"success": 1}, {"success": 0}, {"success": 0.5}]})
    np.testing.assert_allclose(tree.ref, 1 / 3)
    assert tree.names == ("question", "step 0", "step 1", "step 2")
    tree = Tree.from_nested({"steps": [{"chance": 0.3333, "success": 1}, {"chance": 0.6666, "success": 0}]})
    np.testing.assert_allclose(np.sum(tree.ref), 1, atol=1e-15)
    assert _nested.SUM_TOLERANCE == _check.SUM_TOLERANCE


CHAIN = "{success: 1}"
for _ in range(_nested.MOST_DEPTH + 1):
    CHAIN = "{steps: [" + CHAIN + "]}"
WIDE = json.dumps({"steps": [{"success": 0.5}] * _nested.MOST_STATES})
REFUSED = {
    "ancestor": (
        "&q\nname: q\nsteps:\n- {name: b, steps: [*q]}",
        "b: its step 0 leads back to q; must be a tree",
    ),
    "itself": (
        "name: q\nsteps:\n- &b {name: b, steps: [*b]}",
        "b: its step 0 leads back to b; must be a tree",
    ),
    "two states": (
        "name: q\nsteps:\n- {name: a, steps: [&x {success: 1}]}\n- {name: b, steps: [*x]}",
        "b: its step 0 is reached from two states, a is the other; must be a tree",
    ),
    "twice": ("steps: [&a {success: 1}, *a]", "question: its step 1 is the same as one before it"),
    "one list": (
        "name: q\nsteps: &s\n- {name: a, chance: .4, success: .9}\n- {name: b, chance: .6, steps: *s}",
        "b: its step 0 is reached from two states, q is the other",
    ),
    "sum": (
        "steps: [{name: a, steps: [{chance: .4, success: 1}, {chance: .5, success: 0}]}]",
        "a: chances of its steps sum to 0.9; must sum to 1 within 0.001",
    ),
    "some chances": (
        "steps: [{name: a, chance: .4, success: 1}, {name: b, success: 0}]",
        "b: chance None; must be a number in [0, 1]",
    ),
    "percent": (
        "steps: [{name: a, chance: 40, success: 1}]",
        "a: chance 40; must be a number in [0, 1] (divide by 100?)",
    ),
    "unreachable": (
        "steps: [{chance: 1, success: 1}, {chance: 0, steps: [{success: 1}, {name: y, success: 0}]}]",
        "step 1.0: has no chance of being reached; must have one, or be left out",
    ),
    "deep": (CHAIN, "more than 200 steps from the question; must be fewer to be enumerated"),
    "very deep": ("{steps: [" * 3000, "more than 200 steps on a path; must be fewer to be enumerated"),
    "answer and steps": (
        "steps: [{name: a, success: 1, steps: [{success: 1}]}]",
        "a: has both steps and success",
    ),
    "neither": ("steps: [{name: a}]", "a: has neither steps nor success; must have one of the two"),
    "question with an answer": ("success: 1", "question: has no steps but success; must have steps"),
    "chance of the question": (
        "chance: 1\nsteps: [{success: 1}]",
        "question: 'chance'; must be one of name, steps",
    ),
    "key": ("steps: [{name: a, succes: 1}]", "a: 'succes'; must be one of name, chance, success"),
    "word": ("steps: [{name: a, success: high}]", "a: success 'high'; must be a number in [0, 1]"),
    "nan": ("steps: [{name: a, success: .nan}]", "a: success nan; must be a number in [0, 1]"),
    "yes": ("steps: [{name: a, success: yes}]", "a: success True; must be a number in [0, 1]"),
    "length": (
        "steps: [{name: a, success: 1, length: 0}]",
        "a: length 0; must be a number above 0 and finite",
    ),
    "one length": ("steps: [{success: 1, length: 1}, {name: b, success: 1}]", "b: no length; must have one"),
    "process": ("steps: [{name: a, success: 1, process: .inf}]", "a: process inf; must be a finite number"),
    "mapping of steps": ("steps: {a: 1}", "question: steps {'a': 1}; must be a list"),
    "step of text": ("steps: [go on]", "step 0: 'go on'; must be a mapping with the keys name"),
    "list": ("- a", "question: ['a']; must be a mapping"),
    "empty": ("", "empty; must be a mapping with steps"),
    "key twice": (
        "steps: [{chance: .5, chance: 1, success: 1}]",
        "line 1: 'chance' is given twice in one state",
    ),
    "no YAML": ("steps: [}", "no YAML (line 1: "),
    "object": (
        "steps: [!!python/object:os.system {a: 1}]",
        "no YAML (line 1: could not determine a constructor",
    ),
    "bytes": (b"\xff\xfe\x00", "not a text file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_tree_is_refused_by_file_and_state(file, kind):
    text, expected = REFUSED[kind]
    path = file(text)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: ") as refused:
        load(path)
    said = str(refused.value).removeprefix(str(path))
    assert expected in said
    assert "\n" not in said
    assert len(said) < 250


def test_more_states_than_can_be_enumerated(file):
    with pytest.raises(
        ValueError, match=r"wide.json: question: more than 100000 states .*; must be fewer .*sample"
    ):
        load(file(WIDE, "wide.json"))
    with pytest.raises(ValueError, match=r"tree: question: more than 100000 states"):
        Tree.from_nested({"steps": [{"success": 0.5} for _ in range(_nested.MOST_STATES)]})


def test_other_files(file, tmp_path, monkeypatch):
    for name, text, expected in (
        ("tree.txt", YAML, "must end in .yaml"),
        ("a.json", "{", "no JSON \\(line 1"),
        ("b.json", '{"steps": 1, "steps": 2}', "'steps' is given twice"),
        ("a.toml", "steps = ", "no TOML \\("),
    ):
        with pytest.raises(ValueError, match=expected):
            load(file(text, name))
    with pytest.raises(ValueError, match=r"none.yaml: no such file; must be a file with a tree"):
        load(tmp_path / "none.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ValueError, match=r"folder.yaml: is a directory"):
        load(tmp_path / "folder.yaml")
    monkeypatch.setattr(_nested_files, "MOST_BYTES", 20)
    with pytest.raises(ValueError, match=r"must have 0 MB or less, a tree has at most 100000 states"):
        load(file(YAML))


def test_a_file_is_refused_before_jax_is_loaded(file):
    code = (
        "import sys; from qra_jax.cli import main\n"
        "print(main(['solve', '--tree', sys.argv[1]]), [name for name in ('jax', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file("steps: [{chance: .4, success: 1}]"))],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout == "2 []\n"
    assert "question: chances of its steps sum to 0.4" in done.stderr


def labels(tree):
    """Every kind of rollout: its chance, its steps, and whether it is right."""
    policy = np.exp(np.asarray(tree.log_ref))
    for path, rate in zip(tree.shape.paths, np.asarray(tree.success), strict=True):
        for right, chance in ((1, rate), (0, 1 - rate)):
            yield float(np.prod(policy[list(path)]) * chance), path, right


def of_groups(tree, group, pay, *, mixed=False):
    """Mean and standard deviation of what the first rollout is paid for each step, over all groups."""
    moments = np.zeros((3, tree.shape.steps))
    kinds = list(labels(tree))
    for first in kinds:
        for others in itertools.combinations_with_replacement(range(len(kinds)), group - 1):
            ways = math.factorial(group - 1) / math.prod(math.factorial(n) for n in Counter(others).values())
            members = [first, *(kinds[i] for i in others)]
            chance = ways * math.prod(member[0] for member in members)
            if mixed and len({member[2] for member in members}) == 1:
                continue
            for step, weight in zip(first[1], pay(members), strict=True):
                moments[:, step] += chance * np.array([1.0, weight, weight**2])
    mean, square = moments[1:] / moments[0]
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def standardised(rewards):
    rewards = np.asarray(rewards, float)
    return (rewards[0] - rewards.mean()) / rewards.std() if rewards.std() else 0.0


def uniformly(members):
    return [standardised([member[2] for member in members])] * len(members[0][1])


def by_siblings(tree):
    def pay(members):
        origin = tree.shape.origin
        states = [{int(origin[step]) for step in path} for _, path, _ in members]
        return [
            standardised([m[2] for m, seen in zip(members, states, strict=True) if int(origin[step]) in seen])
            for step in members[0][1]
        ]

    return pay


SMALL = instances.hidden()


@pytest.mark.parametrize("kind", ["uniform", "siblings", "mixed"])
def test_what_steps_are_paid_by_groups_is_that_of_all_groups(kind):
    mixed = kind == "mixed"
    algorithm = qra.grpo(3, resample_silent=mixed)
    given = credit.siblings() if kind == "siblings" else credit.uniform()
    pay = by_siblings(SMALL) if kind == "siblings" else uniformly
    mean, noise = of_groups(SMALL, 3, pay, mixed=mixed)
    found = paid(SMALL, algorithm=algorithm, credit=given)
    np.testing.assert_allclose(found.mean, mean, atol=1e-12)
    np.testing.assert_allclose(found.noise, noise, atol=1e-7)  # the root of a difference of squares


@pytest.mark.parametrize(
    "given", [credit.exact(), credit.exact(trace=0.7), credit.exact(segments=(2,)), credit.monte_carlo(2)]
)
def test_what_steps_are_paid_by_values_is_that_of_all_rollouts_and_values(given):
    algorithm, shape = qra.grpo(3), SMALL.shape
    value, inner = np.asarray(values(SMALL).value), shape.inner
    clock = float(algorithm.clock(SMALL.accuracy_ref))
    tables = [(1.0, value)]
    if given.rollouts is not None:
        tables = []
        for counts in itertools.product(range(3), repeat=len(inner)):
            table, chance = value.copy(), 1.0
            for state, k in zip(inner, counts, strict=True):
                table[state], v = k / 2, value[state]
                chance *= math.comb(2, k) * v**k * (1 - v) ** (2 - k)
            tables.append((chance, table))
    moments = np.zeros((3, shape.steps))
    for (chance, path, right), (of_table, table) in itertools.product(labels(SMALL), tables):
        known = [table[shape.origin[step]] for step in path] + [right]
        first, second = np.diff(known)
        pays = (first, second) if given.bounds is None else (known[2] - known[0],) * 2
        pays = pays if given.trace is None else (pays[0] + float(given.trace) * second, second)
        if given.bounds == (
            2,
        ):  # a depth that no step of this tree starts from: the whole path is one segment
            assert pays == (right - known[0],) * 2
        for step, pay in zip(path, pays, strict=True):
            moments[:, step] += chance * of_table * np.array([1, clock * pay, (clock * pay) ** 2])
    mean = moments[1] / moments[0]
    noise = np.sqrt(np.maximum(moments[2] / moments[0] - mean**2, 0))
    found = paid(SMALL, algorithm=algorithm, credit=given)
    np.testing.assert_allclose(found.mean, mean, atol=1e-12)
    np.testing.assert_allclose(found.noise, noise, atol=1e-7)


def test_what_steps_are_paid_makes_the_expected_update():
    tree = SMALL
    visit, policy = values(tree).visit[1:], tree.ref
    for given in (credit.uniform(), credit.exact(), credit.siblings(), credit.uniform(confident=0.5)):
        pays = paid(tree, algorithm=qra.grpo(4), credit=given).mean * visit
        update = pays - policy * tree.shape.over(tree.shape.total(pays))
        np.testing.assert_allclose(update, mean_update(tree, algorithm=qra.grpo(4), credit=given), atol=1e-12)


def test_what_has_no_payment_is_refused(monkeypatch):
    for algorithm, given, words in (
        (qra.grpo(), credit.uniform(), "group_size: None; must be a whole number"),
        (qra.grpo(4), credit.exact(whiten=True), "whiten: True; must be False"),
        (qra.grpo(4), credit.uniform(entropy=0.1), "entropy: given; must be None"),
        (qra.dpo(0.1, group_size=4), credit.uniform(), "algorithm: DPO"),
    ):
        with pytest.raises(ValueError, match=words):
            paid(SMALL, algorithm=algorithm, credit=given)
    monkeypatch.setattr(sys.modules["qra_jax.tree.paid"], "MOST_NUMBERS", 100)
    with pytest.raises(
        ValueError, match=r"tree: 7 states with rollouts values need .* sample updates instead"
    ):
        paid(SMALL, algorithm=qra.grpo(4), credit=credit.monte_carlo(4))


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_a_picture_says_values_visits_and_names():
    _, given = plot.new()
    ax = picture.draw(SMALL, ax=given)
    assert ax is given
    said = texts(ax)
    assert sorted(text for text in said if text[0] == ".") == [
        ".00",
        ".09",
        ".32",
        ".35",
        ".41",
        ".50",
        ".90",
    ]
    for label in ("rare", "usual", "rare, good, 2%", "rare, bad, 18%", "usual, one, 40%"):
        assert label in said
    assert ax.get_title(loc="left") == "Right in 35%; the best way (rare, good) is taken in 2%"
    widths = [line.get_linewidth() for line in ax.lines]
    visits = [float(v) for v in values(SMALL).visit]
    order = picture.layout(SMALL, visits).states[1:]
    np.testing.assert_allclose(widths, [max(picture.WIDEST * visits[s], 0.5) for s in order])
    trained = SMALL.shape.log_softmax(jnp.log(jnp.array([0.9, 0.1, 0.8, 0.2, 0.5, 0.5])))
    assert "rare, good, 72%" in texts(picture.draw(SMALL, log_policy=trained))


def test_every_state_stands_beside_what_follows_it():
    tree = instances.random(jax.random.key(1), 3, 3)
    placed = picture.layout(tree, picture.known_values(tree).visit)
    assert sorted(placed.states) == list(range(tree.shape.states))
    assert placed.left_out == 0
    heights = [placed.height[s] for s in placed.states if not tree.shape.children[s]]
    assert heights == [float(-i) for i in range(27)]
    for state in tree.shape.inner:
        steps = [placed.height[j + 1] for j in np.flatnonzero(tree.shape.origin == state)]
        assert steps == sorted(steps, reverse=True)
        assert placed.height[state] == pytest.approx((steps[0] + steps[-1]) / 2)


def test_of_a_large_tree_the_most_visited_part_is_drawn_and_said():
    tree = instances.random(jax.random.key(0), 3, 5)
    visit = np.asarray(picture.known_values(tree).visit)
    placed = picture.layout(tree, visit)
    drawn = [s for s in placed.states if not tree.shape.children[s]]
    assert len(drawn) == picture.SHOWN
    assert placed.left_out == 125 - picture.SHOWN
    hidden = set(tree.shape.leaves.tolist()) - set(drawn)
    assert min(visit[drawn]) >= max(visit[list(hidden)])
    (note,) = [text for text in texts(picture.draw(tree)) if "most visited" in text]
    assert note.startswith(f"the 20 most visited of 125 leaves, {visit[drawn].sum():.0%} of rollouts")
    assert "colour" in note


def test_a_picture_of_credit_shows_mean_and_noise_of_each_step():
    found = {
        name: paid(SMALL, algorithm=qra.grpo(4), credit=how)
        for name, how in (("uniform", credit.uniform()), ("exact", credit.exact()))
    }
    ax = panels.draw_paid(SMALL, found["exact"], title="exact")
    order = [s - 1 for s in picture.layout(SMALL, values(SMALL).visit).states[1:]]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [SMALL.name(step + 1) for step in order]
    dots = {float(y): float(x) for line in ax.lines[1:] for x, y in zip(*line.get_data(), strict=True)}
    bars = {seg[0, 1]: seg[:, 0] for bar in ax.collections for seg in bar.get_segments()}
    for row, step in enumerate(order):
        mean, noise = float(found["exact"].mean[step]), float(found["exact"].noise[step])
        assert dots[row] == pytest.approx(mean)
        np.testing.assert_allclose(bars[row], [mean - noise, mean + noise], atol=1e-12)
    visit = np.asarray(values(SMALL).visit)
    noise = np.sqrt(np.sum(visit[1:] * np.asarray(found["exact"].noise) ** 2) / 2)  # every path has two steps
    assert panels.mean_noise(found["exact"], visit) == pytest.approx(noise)
    assert ax.get_title(loc="left") == f"exact: noise {noise:.2f}"
    figure = panels.sheet(SMALL, found)
    _, left, right = figure.axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_title(loc="left").startswith("uniform: noise 0.")
    assert len(panels.sheet(SMALL, {}).axes) == 1
