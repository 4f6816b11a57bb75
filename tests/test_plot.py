"""Figures: one colour for each method, fonts that print, files without dates, no pyplot."""

import subprocess
import sys

import numpy as np
import pytest

from qra_jax import algorithm, plot


@pytest.mark.parametrize(
    "names",
    [
        ("GRPO", "grpo_mean_field", "grpo_G8", algorithm.grpo(8).name),
        ("REINFORCE", "reinforce", algorithm.reinforce().name),
        ("Dr.GRPO", "dr_grpo", "dr_grpo_G8", algorithm.dr_grpo(8).name),
        ("natural_gradient", "natural gradient"),
        ("filtered_sft_per_accepted", algorithm.filtered_sft(per="accepted").name),
        ("pass@4", "pass@8"),
    ],
)
def test_one_method_has_one_colour(names):
    assert len({plot.color(name) for name in names}) == 1


def test_methods_differ():
    methods = [
        "REINFORCE",
        "RLOO",
        "GRPO",
        "Dr.GRPO",
        "DAPO",
        "filtered SFT⁺",
        "pass@2",
        "Tsallis",
        "natural gradient",
    ]
    assert len({plot.color(name) for name in methods}) == len(methods)


def test_best_and_rival_stand_out():
    colors = plot.pattern_colors(10, best=3, rival=7)
    assert (colors[3], colors[7]) == (plot.BEST, plot.RIVAL)
    assert {plot.BEST, plot.RIVAL}.isdisjoint(c for r, c in enumerate(colors) if r not in (3, 7))


def test_saved_files_embed_type_42_fonts_and_no_dates(tmp_path):
    figure, ax = plot.new()
    ax.set_title("ρ rises")
    first = [path.read_bytes() for path in plot.save(figure, tmp_path / "a")]
    second = [path.read_bytes() for path in plot.save(figure, tmp_path / "b")]
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "a.png", "b.pdf", "b.png"]
    assert b"/Type /Font" in first[0]
    assert b"/Type3" not in first[0]
    assert b"CreationDate" not in first[0]
    assert [path.name for path in plot.save(figure, tmp_path / "c.svg")] == ["c.svg"]


def test_unknown_kind_of_file(tmp_path):
    with pytest.raises(ValueError, match=r"'a.gif'; must end in .pdf, .png, .svg"):
        plot.save(plot.new()[0], tmp_path / "a.gif")


def test_ternary_projection_keeps_straight_lines_and_corners():
    corners = plot.ternary(np.eye(3))
    np.testing.assert_allclose(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1), 1)
    np.testing.assert_allclose(plot.ternary([0.2, 0.3, 0.5]), [0.2, 0.3, 0.5] @ corners)


def test_axes_come_back():
    ax = plot.simplex_axes()
    assert plot.simplex([[0.2, 0.3, 0.5], [1, 0, 0]], ax=ax) is ax
    ax = plot.policies([1, 10], [[0.2, 0.8], [0.9, 0.1]], best=0)
    assert [text.get_text() for text in ax.legend().get_texts()] == ["pattern 0", "pattern 1"]


def test_no_pyplot_and_no_jax():
    unwanted = "{'matplotlib.pyplot', 'jax'}"
    code = f"import sys; from qra_jax import plot; plot.new(); print({unwanted} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
