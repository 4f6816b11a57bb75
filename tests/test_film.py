"""Figures that move: every frame is there, files are whole or absent, and what moves is what was computed."""

import shutil

import numpy as np
import pytest
from PIL import Image

from qra_jax import film, plot
from qra_jax.consult import diagnose, diagnosis_figure as figure
from qra_jax.problem import Problem, examples


def counting(frames=4):
    drawn, ax = plot.new((1.0, 1.0))
    (dot,) = ax.plot([], [], "o", markersize=20)
    ax.set(xlim=(0, frames), ylim=(-1, 1))
    return film.Film(drawn, lambda frame: dot.set_data([frame + 0.5], [0]), frames, rate=10, hold=0.2)


def test_a_gif_has_every_frame_and_holds_the_last(tmp_path):
    path = counting().save(tmp_path / "new" / "film.GIF")
    with Image.open(path) as image:
        assert image.size == (100, 100)
        lengths, pictures = [], []
        for frame in range(image.n_frames):
            image.seek(frame)
            lengths.append(image.info["duration"])
            pictures.append(np.asarray(image.convert("RGB")).astype(int))
    assert sum(lengths) == 4 * 100 + 200
    blue = [picture[..., 2] - picture[..., 0] > 80 for picture in pictures[:4]]
    places = [np.flatnonzero(dot.any(0)).mean() for dot in blue]
    assert np.all(np.diff(places) > 5), "the dot moves to the right"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_an_mp4(tmp_path):
    assert b"ftyp" in counting().save(tmp_path / "film.mp4").read_bytes()[:32]


def test_paths_that_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"path: 'film.png'; must end in .gif or .mp4"):
        counting().save(tmp_path / "film.png")
    monkeypatch.setattr(film.FFMpegWriter, "isAvailable", lambda: False)
    with pytest.raises(ValueError, match=r"needs the program ffmpeg, which is not there; or .gif"):
        counting().save(tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_an_update_that_fails_leaves_the_old_file(tmp_path):
    path = counting().save(tmp_path / "film.gif")
    before = path.read_bytes()
    drawn, _ = plot.new((1.0, 1.0))
    with pytest.raises(ZeroDivisionError):
        film.Film(drawn, lambda frame: 1 / (1 - frame), 3).save(path)
    assert path.read_bytes() == before


def test_a_notebook_shows_it():
    assert counting()._repr_html_().startswith('<img src="data:image/gif;base64,R0lGOD')


def test_a_cloud_counts_the_runs_that_have_found_the_best():
    policy = np.zeros((4, 3, 3))
    policy[..., 1] = 1
    policy[:3, 2] = [0.95, 0.05, 0]
    made = film.cloud([0.0, 1.0, 2.0], policy, orbit=policy[0], labels=["best", "rival", "poor"])
    (ax,) = made.figure.axes
    made.update(0)
    assert ax.get_title("left") == "t = 0: 0% of 4 runs have found best"
    made.update(2)
    assert ax.get_title("left") == "t = 2: 75% of 4 runs have found best"
    np.testing.assert_allclose(ax.collections[0].get_offsets(), plot.ternary(policy[:, 2]))
    with pytest.raises(ValueError, match=r"policy: shape \(4, 3, 3\); must be \(runs, 2, 3\)"):
        film.cloud([0.0, 1.0], policy)


@pytest.mark.parametrize(
    "problem",
    [examples.worked(), examples.fast(), Problem.from_probs([1.0], [0.5])]
    + [Problem.from_probs(ref, [0.9, 0.6, 0.1]) for ref in ([1e-200, 0.7, 0.3], [0.0, 0.4, 0.6])],
)
def test_the_film_of_a_question(problem):
    names = [f"p{r}" for r in range(problem.patterns)]
    diagnosis = diagnose(problem)
    made = figure.film(diagnosis, names)
    left, right = made.figure.axes
    led = []
    for frame in range(made.frames):
        made.update(frame)
        led.append(right.get_title("left").removeprefix("the lowest line leads: "))
    assert list(dict.fromkeys(led)) == [names[r] for r in diagnosis.leaders][: len(dict.fromkeys(led))]
    assert "nan" not in left.get_title("left")


def test_the_film_of_the_worked_example_tells_its_story():
    diagnosis = diagnose(examples.worked())
    made = figure.film(diagnosis, ["best", "rival", "poor"])
    made.update(0)
    assert made.figure.axes[0].get_title("left") == "t = 0: accuracy 0.49"
    made.update(made.frames - 1)
    assert made.figure.axes[0].get_title("left").endswith("accuracy 0.90")
    assert made.figure.axes[1].get_title("left") == "the lowest line leads: best"
