"""Figures that move, as GIF or MP4: where motion says more than a line."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qra_jax import _files, plot

ENDINGS = (".gif", ".mp4")
"""The kinds of files that can be written; MP4 needs the program ffmpeg."""


@dataclass(frozen=True)
class Film:
    """A figure, and what changes in it from frame to frame.

    Shows itself in a notebook, as a GIF.

    Attributes:
      figure: all that stays.
      update: `frame ->`, moves what moves.
      frames: how many there are, ≥ 1.
      rate: frames a second.
      hold: seconds for which the last frame stays.
    """

    figure: Figure
    update: Callable[[int], Any]
    frames: int
    rate: int = 20
    hold: float = 1.5

    def save(self, path: str | Path) -> Path:
        """Write all frames; the file is whole or absent.

        Args:
          path: file name, ending in .gif or .mp4.

        Returns:
          The path.

        Raises:
          ValueError: another ending, or an MP4 without the program ffmpeg.
        """
        path = check_path("path", path)
        return _files.write(path, self._content(path.suffix.lower()))

    def _content(self, ending: str) -> bytes:
        """All frames as the content of a file."""
        writer: AbstractMovieWriter = (FFMpegWriter if ending == ".mp4" else PillowWriter)(fps=self.rate)
        FigureCanvasAgg(self.figure)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"film{ending}"
            with plot.style(), writer.saving(self.figure, str(file), dpi=100):
                for frame in range(self.frames):
                    self.update(frame)
                    writer.grab_frame()
                for _ in range(round(self.hold * self.rate)):
                    writer.grab_frame()
            return file.read_bytes()

    def _repr_html_(self) -> str:
        return f'<img src="data:image/gif;base64,{base64.b64encode(self._content(".gif")).decode()}">'


def check_path(name: str, path: str | Path) -> Path:
    """A path that [`Film.save`][] can write to.

    Args:
      name: argument to name in the complaint.
      path: file name.

    Returns:
      The path.

    Raises:
      ValueError: another ending than .gif or .mp4, or an MP4 without the program ffmpeg.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{name}: {path.name!r}; must end in {' or '.join(ENDINGS)}")
    if path.suffix.lower() == ".mp4" and not FFMpegWriter.isAvailable():
        raise ValueError(f"{name}: {path.name!r} needs the program ffmpeg, which is not there; or .gif")
    return path


def cloud(
    time: Any,
    policy: Any,
    *,
    orbit: Any = None,
    labels: Sequence[str] = ("pattern 0", "pattern 1", "pattern 2"),
    best: int = 0,
    threshold: float = 0.9,
) -> Film:
    """Many runs over three patterns at once, each a dot in the triangle of policies.

    Args:
      time: `[times]`, a frame each.
      policy: `[runs, times, 3]`, π of each run.
      orbit: `[points, 3]`, a path to draw beneath them.
      labels: names of the corners: left, right, top.
      best: index of r*.
      threshold: a run has found it where its share is this or more.

    Returns:
      A `Film`.

    Raises:
      ValueError: `policy` has another shape.
    """
    time, policy = np.asarray(time), np.asarray(policy)
    if policy.ndim != 3 or policy.shape[1:] != (len(time), 3):
        raise ValueError(f"policy: shape {policy.shape}; must be (runs, {len(time)}, 3)")
    with plot.style():
        figure, ax = plot.new((3.8, 3.8))
        plot.simplex_axes(labels, ax=ax)
        if orbit is not None:
            plot.simplex(orbit, ax=ax, color=plot.ACCURACY, linewidth=1.2)
        dots = ax.scatter(*plot.ternary(policy[:, 0]).T, s=9, linewidths=0, alpha=0.6)
        title = ax.set_title(" ")

    def update(frame: int) -> None:
        found = policy[:, frame, best] >= threshold
        dots.set_offsets(plot.ternary(policy[:, frame]))
        dots.set_facecolor([plot.BEST if yes else plot.RIVAL for yes in found])
        title.set_text(
            f"t = {time[frame]:.3g}: {found.mean():.0%} of {len(policy)} runs have found {labels[best]}"
        )

    return Film(figure, update, len(time))
