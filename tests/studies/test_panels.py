"""What recurs in the figures of studies: few members are drawn one by one, many with an interval that is right."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

from qra_jax import plot
from qra_jax.studies.lab import exact, mean, panels

ARMS = ["GRPO", "REINFORCE"]


@pytest.fixture
def ax():
    with plot.style():
        yield plot.new()[1]


def runs(seeds: int) -> xr.DataArray:
    values = np.random.default_rng(0).normal(size=(2, 5, seeds)) + np.arange(5)[None, :, None]
    return xr.DataArray(values, dims=("arm", "step", "seed"), coords={"arm": ARMS, "step": np.arange(1.0, 6)})


def bands(ax) -> list[PolyCollection]:
    return [one for one in ax.collections if isinstance(one, PolyCollection)]


def texts(ax) -> list[str]:
    return [one.get_text() for one in ax.texts]


def named(ax) -> list[str]:
    return ax.get_legend_handles_labels()[1]


def test_up_to_three_members_are_drawn_and_no_interval(ax):
    panels.curves(runs(3), ax, x="step", by="arm", over="seed")
    assert len(ax.get_lines()) == 2 * (3 + 1)
    assert not bands(ax)


def test_of_more_members_the_band_is_the_interval_of_the_mean(ax):
    data = runs(8)
    panels.curves(data, ax, x="step", by="arm", over="seed")
    assert len(ax.get_lines()) == 2
    low, high = mean("", data, "seed").interval(0.05)
    edge = bands(ax)[1].get_paths()[0].vertices[:, 1]
    assert edge.max() == pytest.approx(float(high[1].max()))
    assert edge.min() == pytest.approx(float(low[1].min()))


def test_every_run_is_drawn_on_request_and_quantiles_around_the_median(ax):
    panels.curves(runs(8), ax, x="step", by="arm", over="seed", runs=True)
    assert len(ax.get_lines()) == 2 * 9
    panels.curves(runs(8)[0], ax, x="step", over="seed", spread=(0.1, 0.9))
    np.testing.assert_allclose(ax.get_lines()[-1].get_ydata(), runs(8)[0].median("seed"))


def test_intervals_are_cut_to_a_range(ax):
    panels.curves(runs(5), ax, x="step", by="arm", over="seed", within=(0, 1))
    assert all(band.get_paths()[0].vertices[:, 1].min() >= 0 for band in bands(ax))
    assert all(band.get_paths()[0].vertices[:, 1].max() <= 1 for band in bands(ax))


def test_colours_are_those_of_the_methods_and_the_legend_names_colour_and_style(ax):
    data = xr.concat([runs(4).mean("seed")] * 2, dim=xr.Variable("kind", ["mean", "sampled"]))
    panels.curves(data, ax, x="step", by="arm", dash="kind", names={"mean": "mean field"})
    assert named(ax) == [*ARMS, "mean field", "sampled"]
    assert {line.get_color() for line in ax.get_lines()[:2]} == {plot.color("GRPO")}
    assert [line.get_linestyle() for line in ax.get_lines()[:2]] == ["-", "--"]


def test_plain_arrays_are_read_in_the_order_of_the_names(ax):
    panels.curves(np.ones((2, 3)), ax, x=[1, 2, 4], by="arm", colors="black")
    assert len(ax.get_lines()) == 2
    np.testing.assert_allclose(ax.get_lines()[0].get_xdata(), [1, 2, 4])


def test_a_dimension_that_is_not_named_is_refused(ax):
    with pytest.raises(ValueError, match="step"):
        panels.curves(runs(4), ax, x="seed", by="arm")


def test_numbers_get_shades_the_darker_the_larger_and_names_differ():
    shades = panels.palette([64, 4, 16])
    assert list(shades) == [4, 16, 64]
    light = [sum(int(shades[g][i : i + 2], 16) for i in (1, 3, 5)) for g in (4, 16, 64)]
    assert light == sorted(light, reverse=True)
    names = ["one thing", "another", "GRPO", "GRPO, G = 8", "third", "REINFORCE"]
    assert len(set(panels.palette(names).values())) == len(names)
    assert panels.palette(names)["REINFORCE"] == plot.color("REINFORCE")


def test_dots_stand_on_their_theory_and_do_not_hide_each_other(ax):
    fine = xr.DataArray(np.ones((2, 20)), coords={"arm": ARMS, "step": np.linspace(1, 5, 20)})
    panels.frame("title", ax, x="x", y="y", log="x")
    panels.dots(runs(6), ax, x="step", by="arm", over="seed", theory=fine, nudge=0.1)
    theory, places = ax.get_lines()[:2], [bar.lines[0].get_xdata() for bar in ax.containers]
    assert [len(line.get_xdata()) for line in theory] == [20, 20]
    np.testing.assert_allclose(places[1] / places[0], np.exp(0.1))
    assert named(ax) == ARMS


def test_whiskers_are_the_interval_and_few_members_have_none(ax):
    data = runs(6)
    panels.dots(data[0], ax, x="step", over="seed")
    low, high = mean("", data[0], "seed").interval(0.05)
    segments = np.array(ax.containers[0].lines[2][0].get_segments())
    np.testing.assert_allclose(segments[:, :, 1], np.stack([low, high], axis=1))
    panels.dots(runs(3)[0], ax, x="step", over="seed")
    assert not ax.containers[1].has_yerr
    panels.dots(exact("", data[0].mean("seed")), ax, x="step")
    assert not ax.containers[2].has_yerr


def test_pairs_join_each_member_over_words(ax):
    panels.dots(runs(8)[:, 0], ax, x="arm", over="seed", pair=True)
    lines = ax.get_lines()[:8]
    assert all(line.get_linewidth() > 0 and len(line.get_xdata()) == 2 for line in lines)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ARMS


def test_the_diagonal_makes_both_axes_alike(ax):
    predicted = xr.DataArray([1.0, 10, 100], dims="question")
    panels.frame("", ax, x="predicted", y="measured", log="xy")
    panels.dots(predicted * 3, ax, x=predicted)
    panels.diagonal(ax)
    assert ax.get_xlim() == ax.get_ylim()
    assert len(bands(ax)) == 1


def test_survival_counts_those_that_never_arrive(ax):
    times = xr.DataArray([[1.0, 2, np.inf, np.nan]], dims=("arm", "q"), coords={"arm": ["GRPO"]})
    panels.survival(times, ax, of="q", by="arm", until=10)
    panels.survival(times, ax, of="q", by="arm", until=10, rising=True)
    down, up = ax.get_lines()
    np.testing.assert_allclose(down.get_ydata(), [0.75, 0.5, 0.5])
    np.testing.assert_allclose(up.get_ydata(), [0.25, 0.5, 0.5])
    assert down.get_xdata()[-1] == 10


def test_survival_where_none_arrives_is_one(ax):
    panels.survival(xr.DataArray([np.inf, np.inf], dims="q"), ax, of="q", until=5)
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), [1.0])


def test_bars_show_shares_expectations_and_numbers(ax):
    flags = runs(10)[:, :2] > 1
    flags = flags.assign_coords(step=["early", "late"])
    expected = xr.DataArray([0.1, 0.9], dims="step")
    panels.bars(flags, ax, x="step", by="arm", over="seed", numbers="{:.0%}", expected=expected)
    heights = [[bar.get_height() for bar in box] for box in ax.containers if hasattr(box, "patches")]
    np.testing.assert_allclose(heights, flags.mean("seed"))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["early", "late"]
    assert len(texts(ax)) == 4
    assert named(ax) == ARMS


def test_bars_of_few_members_show_each(ax):
    panels.bars(runs(3)[:, 0], ax, x="arm", over="seed")
    assert len(ax.get_lines()) >= 3
    assert not any(getattr(box, "has_yerr", False) for box in ax.containers)


def test_stacked_bars_stand_on_each_other_and_lie_from_the_top(ax):
    parts = xr.DataArray([[0.2, 0.8], [0.5, 0.5]], coords={"row": ["a", "b"], "part": ["x", "y"]})
    panels.bars(parts, ax, x="row", by="part", stacked=True, flat=True, numbers="{:.0%}")
    np.testing.assert_allclose([bar.get_x() for bar in ax.containers[1]], [0.2, 0.5])
    assert texts(ax) == ["20%", "50%", "80%", "50%"]
    assert ax.yaxis_inverted()


def test_bars_without_arms_are_coloured_by_group(ax):
    one = xr.DataArray([0.2, 0.8], coords={"row": ["a", "b"]})
    panels.bars(one, ax, x="row", colors={"a": plot.BEST, "b": plot.RIVAL})
    colors = [to_hex(bar.get_facecolor()).upper() for bar in ax.containers[0]]
    assert colors == [plot.BEST, plot.RIVAL]


def test_a_forest_has_a_row_for_each_estimate_the_first_on_top(ax):
    rows = {name: mean("", runs(8)[i, 0], "seed") for i, name in enumerate(ARMS)}
    panels.forest(rows, ax, expected=1.0, region=(0.5, 2))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ARMS
    assert ax.yaxis_inverted()
    segments = [bar.lines[2][0].get_segments()[0][:, 0] for bar in ax.containers]
    np.testing.assert_allclose(segments[0], [float(end) for end in rows["GRPO"].interval(0.05)])


def test_a_forest_of_an_array_has_colours_within_rows(ax):
    panels.forest(runs(8)[:, :2], ax, by="arm", over="seed", expected=[1, 2], names={1.0: "one"})
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["one", "step = 2"]
    assert named(ax) == ARMS
    panels.forest(runs(2)[:, :2], ax, by="arm", over="seed", expected=None)
    assert not ax.containers[-1].has_xerr


def test_cells_of_a_map_lie_around_their_values_on_a_log_axis(ax):
    time, share = np.geomspace(1, 100, 3), np.array([0.0, 0.5, 1.0])
    z = xr.DataArray(np.outer(share, np.log(time)) - 1, coords={"share": share, "time": time})
    panels.heat(z, ax, x="time", y="share", contours=[0.0], center=0)
    mesh = ax.collections[0]
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], 10.0 ** np.array([-0.5, 0.5, 1.5, 2.5]))
    np.testing.assert_allclose(corners[:, 0, 1], [-0.25, 0.25, 0.75, 1.25])
    assert mesh.norm.vmin == -mesh.norm.vmax


def test_a_map_of_words_is_a_table(ax):
    z = xr.DataArray([[1.0, 0.0], [np.nan, 1.0]], coords={"made": ARMS, "found": ARMS})
    panels.heat(z, ax, x="found", y="made", numbers="{:.0%}", limits=(0, 1))
    assert texts(ax) == ["100%", "0%", "100%"]
    assert ax.yaxis_inverted()


@pytest.mark.parametrize(
    ("limits", "ticks"), [((1, 50), {1, 2, 5, 10, 20, 50}), ((1, 1e6), {1, 10, 100, 1e6})]
)
def test_log_ticks_are_plain(ax, limits, ticks):
    panels.frame("title", ax, x="x", y="y", log="x", xlim=limits)
    shown = {float(tick) for tick in ax.get_xticks() if limits[0] <= tick <= limits[1]}
    assert ticks <= shown or shown <= {1, 10, 100, 1e3, 1e4, 1e5, 1e6}
    if limits[1] == 50:
        assert shown == ticks


def test_given_ticks_are_named_plainly_and_a_long_title_is_broken(ax):
    panels.frame("a long title " * 10, ax, x="x", y="y", log="x", xticks=[0.25, 1, 4])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [".25", "1", "4"]
    assert not len(ax.get_xticks(minor=True))
    assert "\n" in ax.get_title(loc="left")


def test_names_at_line_ends_do_not_overlap_and_leave_the_legend(ax):
    for i in range(3):
        ax.plot([0, 1], [0, 1 + 0.001 * i], label=f"line {i}")
    panels.ends(ax)
    heights = [text.xy[1] for text in ax.texts]
    assert texts(ax) == ["line 0", "line 1", "line 2"]
    assert np.diff(heights).min() > 0.02
    assert not named(ax)


def test_marks_and_notes_say_their_words(ax):
    panels.mark(0.5, ax, "budget")
    panels.mark((0.1, 0.2), ax, "span", axis="y", before=True)
    panels.note((0.3, 0.4), ax, "peak", dot=True, line=True)
    assert texts(ax) == ["budget", "span", "peak"]
    assert list(ax.get_lines()[0].get_xdata()) == [0.5, 0.5]
    assert ax.texts[2].arrow_patch is not None


def test_a_legend_shows_colours_styles_and_markers(ax):
    panels.legend({"GRPO": plot.color("GRPO"), "mean": "--", "runs": "o"}, ax, title="arms")
    color, style, marker = ax.get_legend().get_lines()
    assert color.get_color() == plot.color("GRPO")
    assert style.get_linestyle() == "--"
    assert marker.get_marker() == "o"
    panels.legend(None, ax, place="below", ncols=1)
    assert len(ax.figure.legends) == 1
