"""What the explorer shows of an answer."""

from __future__ import annotations

import io
from html import escape
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from qra_jax import _show, plot
from qra_jax.consult import Diagnosis
from qra_jax.explorer.settings import NAMES, Settings
from qra_jax.explorer.simulation import RUNS, STEPS, Answer

SHOWN = 12
"""Sampled runs that are drawn."""


class Picture:
    """Shares and accuracy against steps, the path in the triangle, and the envelope.

    What stays (axes, labels) is drawn once; an update draws what moves upon it.
    """

    def __init__(self) -> None:
        with plot.style():
            self.figure, axes = plot.new((10.5, 3.5), ncols=3, width_ratios=[1.35, 1, 1.1])
            self.figure.set_dpi(100)
            self._canvas = FigureCanvasAgg(self.figure)
            self._shares, self._triangle, self._envelope = axes
            self._moving: list[Any] = []
            self._make()
            self.figure.set_layout_engine(
                "constrained", rect=(0.0, 0.0, 1.0, 0.97)
            )  # titles clear of the edge
            self._canvas.draw()
            self.figure.set_layout_engine("none")
            self._still = self._canvas.copy_from_bbox(self.figure.bbox)

    def _line(self, ax: Any, *form: str, **line: Any) -> Any:
        self._moving.append(ax.plot([], [], *form, animated=True, **line)[0])
        return self._moving[-1]

    def _text(self, ax: Any, x: float, y: float, **how: Any) -> Any:
        self._moving.append(ax.text(x, y, "", animated=True, **how))
        return self._moving[-1]

    def _make(self) -> None:
        ax, title = self._shares, {"fontweight": "bold", "fontsize": 9.5, "va": "bottom"}
        for axes in (self._shares, self._triangle, self._envelope):
            axes.set_title(" ")  # keeps the place of the titles that move
        thin = {"linewidth": 0.5, "alpha": 0.3}
        self._thin = [[self._line(ax, **thin) for _ in range(SHOWN)] for _ in NAMES]
        self._mean = [self._line(ax) for _ in NAMES]
        self._accuracy = self._line(ax, "--", color=plot.ACCURACY)
        ax.set(xlim=(0, STEPS), ylim=(-0.02, 1.02), xlabel="step   (thick: expected, thin: sampled runs)")
        ax.set_ylabel("share π, accuracy ρ (dashed)")
        self._labels = [self._text(ax, 1.01 * STEPS, 0.5, va="center", clip_on=False) for _ in NAMES]
        self._ends = self._text(ax, 0.0, 1.03, transform=ax.transAxes, **title)
        ax = plot.simplex_axes(NAMES, ax=self._triangle)
        self._runs = [self._line(ax, color=plot.MUTED, linewidth=0.6, alpha=0.7) for _ in range(SHOWN)]
        self._orbit = self._line(ax, ":", color="#444444", linewidth=1.2)
        self._way = self._line(ax, color=plot.ACCURACY, linewidth=1.8)
        self._start = self._line(ax, "o", color=plot.ACCURACY, markersize=4)
        ax.text(-0.1, 0.98, "···· orbit\n—— expected", fontsize=8, va="top")
        self._regime = self._text(ax, 0.0, 1.03, transform=ax.transAxes, **title)
        ax = self._envelope
        self._lines = [self._line(ax, linewidth=1) for _ in NAMES]
        self._leads = [self._line(ax, linewidth=4, solid_capstyle="round") for _ in NAMES]
        white = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8}
        self._switches = [
            self._text(ax, 0.0, 0.0, fontsize=8, ha="center", va="bottom", bbox=white) for _ in NAMES
        ]
        self._starts = [self._text(ax, -0.02, 0.5, ha="right", va="center", fontsize=8) for _ in NAMES]
        ax.set(xlim=(0, 1), ylim=(-0.05, 1.05), xticks=[], yticks=[])
        ax.yaxis.labelpad = 28
        ax.set(xlabel="orbit time τ", ylabel="1/π_ref − p τ", title="The lowest line leads")

    def update(self, settings: Settings, answer: Answer) -> None:
        """Show an answer.

        Args:
          settings: what was asked.
          answer: what follows.
        """
        diagnosis = answer.diagnosis
        rival = diagnosis.rival if diagnosis.rival >= 0 else None
        colors = plot.pattern_colors(len(NAMES), diagnosis.best, rival)
        for r, color in enumerate(colors):
            self._mean[r].set(data=(answer.step, answer.mean[:, r]), color=color)
            self._labels[r].set(text=NAMES[r], color=color)
            for line, run in zip(self._thin[r], answer.runs, strict=False):
                line.set(data=(answer.step, run[:, r]), color=color)
        self._accuracy.set_data(answer.step, answer.mean @ np.asarray(settings.success))
        for line, run in zip(self._runs, answer.runs, strict=False):
            line.set_data(*plot.ternary(run).T)
        for line, path in (
            (self._orbit, answer.path),
            (self._way, answer.mean),
            (self._start, answer.mean[:1]),
        ):
            line.set_data(*plot.ternary(path).T)
        for label, y in zip(self._labels, _apart(answer.mean[-1]), strict=True):
            label.set_y(y)
        lost = f", {answer.diverged} diverged" if answer.diverged else ""
        best = [name for name, p in zip(NAMES, settings.success, strict=True) if p == max(settings.success)]
        ending = f"{answer.found:.0%} of {RUNS} sampled runs find {' or '.join(best)} in {STEPS} steps{lost}"
        self._ends.set_text(ending)
        self._regime.set_text(_regime(settings, diagnosis))
        self._draw_envelope(answer, colors)

    def _draw_envelope(self, answer: Answer, colors: list[str]) -> None:
        """Lines in units of the frame: time from 0 to 1, the highest at 1."""
        offset, slope, leaders, turns = answer.offset, answer.slope, answer.leaders, answer.switches
        end = 1.6 * turns[-1] if turns else offset.max()
        low = min((offset - slope * end).min(), 0.0)
        height = lambda r, tau: (offset[r] - slope[r] * tau - low) / (offset.max() - low)  # noqa: E731
        for r, (line, color) in enumerate(zip(self._lines, colors, strict=True)):
            line.set(data=([0, 1], [height(r, 0.0), height(r, end)]), color=color)
        starts = _apart(np.array([height(r, 0.0) for r in range(len(NAMES))]))
        for text, y, value, color in zip(self._starts, starts, offset, colors, strict=True):
            text.set(y=y, text=f"{value:.3g}", color=color)
        for artist in (*self._leads, *self._switches):
            artist.set_visible(False)
        for line, leader, first, last in zip(self._leads, leaders, [0, *turns], [*turns, end], strict=False):
            ends = np.array([first, last])
            line.set(data=(ends / end, height(leader, ends)), color=colors[leader], visible=True)
        for text, leader, turn in zip(self._switches, leaders[1:], turns, strict=False):
            text.set(text=f"τ = {turn:.3g}", x=turn / end, y=height(leader, turn) + 0.06, visible=True)

    def png(self) -> bytes:
        """The picture as a PNG file."""
        self._canvas.restore_region(self._still)
        for artist in self._moving:
            if artist.get_visible():
                artist.axes.draw_artist(artist)
        content = io.BytesIO()
        Image.fromarray(np.asarray(self._canvas.buffer_rgba())[..., :3]).save(
            content, "png", compress_level=1
        )
        return content.getvalue()


def table(answer: Answer) -> str:
    """Times of expected updates without KL term, as an HTML table, and what is not ordinary about the question."""
    diagnosis = answer.diagnosis
    rows = [(name, _show.from_log(log_time)) for name, log_time in answer.log_times.items()]
    title = f"η × steps until π({NAMES[diagnosis.best]}) = {diagnosis.target:g}"
    notes = "".join(f"<br><small>{escape(note)}</small>" for note in diagnosis.notes)
    return _show.table(title, ("expected updates, no KL term", "time"), rows) + notes


def _regime(settings: Settings, diagnosis: Diagnosis) -> str:
    """What decides about the path, in a few words."""
    if settings.tpr == settings.fpr:
        return "The verifier says nothing: no drift"
    if settings.tpr < settings.fpr:
        return "The verifier misleads: backwards"
    gamma = "" if diagnosis.gamma is None else f", γ = {diagnosis.gamma:.3g}"
    return f"{diagnosis.regime.capitalize()}{gamma}"


def _apart(heights: np.ndarray, least: float = 0.06) -> np.ndarray:
    """Heights of labels near these, none nearer to another than `least`, none above 1."""
    order, placed = np.argsort(-heights, kind="stable"), np.empty(len(heights))
    above = 1.0 + least
    for r, room in zip(order, least * np.arange(len(heights) - 1, -1, -1), strict=True):
        above = placed[r] = min(max(heights[r], room), above - least)
    return placed
