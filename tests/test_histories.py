"""Histories of questions: group sizes of all visits, of each, and counts."""

import numpy as np
import pytest

from qra_jax.fit import runs
from qra_jax.fit.questions import read_histories
from qra_jax.fit.questions.histories import Histories
from qra_jax.fit.questions.likelihood import counts


def table(tmp_path, columns, header="visit"):
    path = tmp_path / "visits.csv"
    names = ",".join(f"{header}{i + 1}" for i in range(len(columns)))
    rows = "".join(",".join(map(str, row)) + "\n" for row in zip(*columns, strict=True))
    path.write_text(f"{names}\n{rows}")
    return path


def drawn(*sizes, questions=40):
    random = np.random.default_rng(0)
    rates = random.uniform(0.2, 0.9, questions)
    return [random.binomial(size, rates) / size for size in sizes]


def test_a_group_size_for_each_visit_is_found(tmp_path):
    first, second = drawn(8, 64)
    found = read_histories(table(tmp_path, [first, second]))
    np.testing.assert_array_equal(found.group_size, [8, 64])
    np.testing.assert_array_equal(found.tries[0], [8, 64])
    assert found.sizes == "8 and 64"
    np.testing.assert_allclose(found.accuracy(), (8 * first + 64 * second) / 72)
    right, wrong = counts(found)
    np.testing.assert_array_equal(right + wrong, np.tile([8, 64], (40, 1)))
    np.testing.assert_array_equal(found.part(visits=slice(1, 2)).tries, np.full((40, 1), 64))


def test_few_even_values_are_no_smaller_group(tmp_path):
    """Four of four values of eighths are quarters in one draw of sixteen: no reason to think of groups of four."""
    found = read_histories(table(tmp_path, [[0.25, 0.5, 0.75, 0.5], [0.125, 0.5, 0.375, 0.25]]))
    assert found.group_size == 8


def test_counts_and_given_sizes(tmp_path):
    counted = [[8, 4, 8, 7], [7, 7, 8, 8]]
    with pytest.raises(ValueError, match=r"8; must be in .0, 1., or empty: counts need --group-size G"):
        read_histories(table(tmp_path, counted))
    found = read_histories(table(tmp_path, counted), group_size=8)
    np.testing.assert_array_equal(found.correct.T, counted)
    assert found.group == 8
    np.testing.assert_array_equal(
        read_histories(table(tmp_path, counted), group_size=[8, 16]).tries[0], [8, 16]
    )
    for sizes, expected in (
        ([8, 8, 8], "3 of them; must be one, or one for each of 2 visits"),
        (0, "0; must be 1"),
    ):
        with pytest.raises(ValueError, match=expected):
            read_histories(table(tmp_path, counted), group_size=sizes)
    with pytest.raises(ValueError, match="must be a multiple of 1/8"):
        read_histories(table(tmp_path, drawn(64, 64)), group_size=8)


def test_shapes_that_do_not_fit():
    correct = np.ones((3, 2), int)
    with pytest.raises(ValueError, match=r"group_size: shape \(3,\); must be one number"):
        Histories(correct, correct > 0, np.array([8, 8, 8]), ("a", "b", "c"))
    with pytest.raises(ValueError, match="group_size: 0; must be 1 or above"):
        Histories(correct, correct > 0, np.array([8, 0]), ("a", "b", "c"))
    with pytest.raises(ValueError, match="counts must be in 0 … group_size = 1 and 8"):
        Histories(2 * correct, correct > 0, np.array([8, 1]), ("a", "b", "c"))


@pytest.mark.parametrize("sign", [",", ";", "\t", " | "])
def test_visits_cut_by_other_signs(tmp_path, sign):
    first, second = drawn(8, 8)
    path = tmp_path / "visits.txt"
    rows = "".join(f"q{i}{sign}{a}{sign}{b}\n" for i, (a, b) in enumerate(zip(first, second, strict=True)))
    path.write_text(f"prompt_id{sign}visit1{sign}visit2\n{rows}")
    assert runs.has_visits(path)
    found = read_histories(path)
    assert found.group_size == 8
    np.testing.assert_array_equal(found.correct[:, 0], 8 * first)
    if sign == ";":
        path.write_text(path.read_text().replace(".", ","))
        np.testing.assert_array_equal(read_histories(path).correct, found.correct)


def test_files_that_are_no_table_of_visits(tmp_path):
    path = tmp_path / "visits.csv"
    for content, expected in (
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        (bytes(range(256)), "no table; must be a table with"),
    ):
        path.write_bytes(content)
        assert not runs.has_visits(path)
        with pytest.raises(ValueError, match=expected):
            read_histories(path)
    assert not runs.has_visits(tmp_path)
