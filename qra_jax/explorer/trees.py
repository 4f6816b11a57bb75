"""A tree of reasoning steps, stepped through as it is trained; needs `pip install 'qra-jax[notebooks]'`.

TreeExplorer(qra_jax.tree.file.load("tree.yaml"))
"""

from __future__ import annotations

import io
import time
from functools import partial
from typing import Any

import ipywidgets
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from qra_jax import plot
from qra_jax.explorer.settings import ALGORITHMS, LARGEST
from qra_jax.explorer.simulation import _PLAIN, _RESAMPLING, _chosen
from qra_jax.tree import Tree, TreeTrajectory, picture, solve

TIMES = np.concatenate([[0.0], np.geomspace(0.1, 1e4, 60)])
"""Training times of the slider: learning rate × steps of expected updates."""
GUIDE = (
    "A question, its reasoning steps and answers. Training moves the choice of every step; move the time to see "
    "where rollouts go, and what each state is worth to the policy of that time."
)


class TreeExplorer(ipywidgets.VBox):
    """A slider of training time beside the tree as it is then, with values and visits.

    Args:
      tree: one question.
      algorithm: a name out of `qra_jax.explorer.ALGORITHMS`.
      group_size: G, from 2 to `LARGEST`.

    Attributes:
      controls: `"time"` (its place among `TIMES`), `"algorithm"` and `"group_size"`.
      run: expected training by the chosen algorithm.
      png: the picture, a PNG file.
      seconds: how long each redraw took, the first (which compiles) included.
    """

    def __init__(self, tree: Tree, *, algorithm: str = "GRPO", group_size: int = 8) -> None:
        self.tree, self.seconds = tree, []
        layout = {"layout": ipywidgets.Layout(width="340px"), "style": {"description_width": "90px"}}
        self.controls: dict[str, Any] = {
            "time": ipywidgets.IntSlider(0, 0, len(TIMES) - 1, description="time", readout=False, **layout),
            "algorithm": ipywidgets.Dropdown(
                options=list(ALGORITHMS), value=algorithm, description="algorithm", **layout
            ),
            "group_size": ipywidgets.IntSlider(group_size, 2, LARGEST, description="group G", **layout),
        }
        self._image, self._took = ipywidgets.Image(format="png"), ipywidgets.HTML()
        self._train()
        self.controls["time"].observe(self._redraw, names="value")
        for name in ("algorithm", "group_size"):
            self.controls[name].observe(self._train, names="value")
        row = ipywidgets.HBox([*self.controls.values()])
        super().__init__([ipywidgets.HTML(GUIDE), row, self._image, self._took])

    @property
    def png(self) -> bytes:
        """The picture as it is now."""
        return bytes(self._image.value)

    def _train(self, _: Any = None) -> None:
        member = ALGORITHMS[self.controls["algorithm"].value]
        which = (_RESAMPLING if member.resamples_silent else _PLAIN).index(member)
        given = {"which": which, "group_size": self.controls["group_size"].value}
        numbers = {name: jnp.asarray(value, self.tree.log_ref.dtype) for name, value in given.items()}
        self.run = _run(self.tree, numbers, resamples=member.resamples_silent)
        self._redraw()

    def _redraw(self, _: Any = None) -> None:
        start, place = time.perf_counter(), self.controls["time"].value
        self._image.value = draw(self.run, place)
        self.seconds.append(time.perf_counter() - start)
        self._took.value = f"<small>redrawn in {1e3 * self.seconds[-1]:.0f} ms</small>"


def draw(run: TreeTrajectory, place: int) -> bytes:
    """The tree at one of the times, and accuracy and share of the best way over all times, as a PNG file.

    Args:
      run: expected training.
      place: of the time among `TIMES`.

    Returns:
      The content of the file.
    """
    tree, best = run.tree, int(run.tree.best)
    accuracy, share = np.asarray(run.accuracy), np.exp(np.asarray(run.leaf_log_policy)[:, best])
    with plot.style():
        rows = min(len(tree.shape.leaves), picture.LARGEST)
        figure, (left, right) = plot.new(
            (11.0, float(np.clip(1.6 + 0.24 * rows, 3.6, 12.0))), ncols=2, width_ratios=[2.2, 1]
        )
        title = f"t = {TIMES[place]:.3g}: right in {accuracy[place]:.0%}"
        now = jnp.asarray(np.asarray(run.log_policy)[place])
        picture.draw(tree, log_policy=now, title=title, ax=left)
        right.plot(TIMES, accuracy, "--", color=plot.ACCURACY, label="accuracy")
        right.plot(TIMES, share, color=plot.BEST, label="share of the best way")
        right.axvline(TIMES[place], color=plot.MUTED, zorder=0)
        right.set_xscale("symlog", linthresh=TIMES[1])
        right.set(ylim=(-0.02, 1.02), xlim=(0, TIMES[-1]), xlabel="training time t")
        right.legend(loc="best")
        figure.set_dpi(90)
        content = io.BytesIO()
        FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()


@partial(jax.jit, static_argnames="resamples")
def _run(tree: Tree, numbers: dict[str, Any], *, resamples: bool) -> TreeTrajectory:
    """Expected training over `TIMES`; the algorithm is chosen by number."""
    return solve(tree, ts=TIMES, algorithm=_chosen(numbers, resamples))
