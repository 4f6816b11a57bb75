"""The explorer in a notebook or a browser; needs `pip install 'qra-jax[notebooks]'`."""

from __future__ import annotations

import time
from typing import Any

import ipywidgets
import numpy as np

from qra_jax.explorer.picture import Picture, table
from qra_jax.explorer.settings import ALGORITHMS, LARGEST, NAMES, Settings
from qra_jax.explorer.simulation import simulate

GUIDE = (
    "One question, three reasoning patterns, each right with its own success rate p; training moves the shares π. "
    "<b>Left</b>: shares step by step. <b>Middle</b>: the same path in the triangle of policies. "
    "<b>Right</b>: every pattern's line starts at 1/π_ref and falls with slope p; the lowest one leads."
)


class Explorer(ipywidgets.VBox):
    """Sliders for a question and its training beside what follows from them.

    Args:
      settings: where the sliders start.

    Attributes:
      controls: sliders and menus by name (`"ref r1"`, `"learning_rate"`, …).
      settings: what they say now.
      png: the picture, a PNG file.
      seconds: how long each redraw took, the first (which compiles) included.

    Raises:
      ValueError: as for `Settings`, or a number that its slider does not reach.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self.seconds: list[float] = []
        self._picture, self._image = Picture(), ipywidgets.Image(format="png")
        self._table, self._took = ipywidgets.HTML(), ipywidgets.HTML()
        self.controls = _controls(settings)
        for control in self.controls.values():
            control.observe(self._redraw, names="value")
        of = lambda start: [c for name, c in self.controls.items() if name.startswith(start)]  # noqa: E731
        rest = [c for name, c in self.controls.items() if not name.startswith(("ref", "success"))]
        apart = ipywidgets.Layout(margin="0 24px 8px 0")
        columns = [
            ipywidgets.VBox([ipywidgets.HTML(f"<b>{title}</b>"), *controls], layout=apart)
            for title, controls in (
                ("base model, up to a factor", of("ref")),
                ("success rates", of("success")),
                ("training", rest[:4]),
                ("verifier: accepts right / wrong", rest[4:]),
            )
        ]
        columns.append(ipywidgets.VBox([self._table, self._took], layout=apart))
        self._redraw()
        row = ipywidgets.Box(columns, layout=ipywidgets.Layout(display="flex", flex_flow="row wrap"))
        super().__init__([ipywidgets.HTML(GUIDE), self._image, row])

    @property
    def png(self) -> bytes:
        """The picture as it is now."""
        return bytes(self._image.value)

    @property
    def settings(self) -> Settings:
        """What the sliders say."""
        value = {name: control.value for name, control in self.controls.items()}
        triple = lambda kind: tuple(value.pop(f"{kind} {name}") for name in NAMES)  # noqa: E731
        return Settings(ref=triple("ref"), success=triple("success"), **value)

    def _redraw(self, _: Any = None) -> None:
        start, settings = time.perf_counter(), self.settings
        answer = simulate(settings)
        self._picture.update(settings, answer)
        self._image.value = self._picture.png()
        self._table.value = table(answer)
        self.seconds.append(time.perf_counter() - start)
        self._took.value = f"<small>redrawn in {1e3 * self.seconds[-1]:.0f} ms</small>"


def _controls(settings: Settings) -> dict[str, Any]:
    """A control for every number of the settings, by name."""
    layout = ipywidgets.Layout(width="270px")
    style = {"description_width": "90px"}
    kind = {"layout": layout, "style": style, "continuous_update": True}
    controls: dict[str, Any] = {}

    def slider(name: str, label: str, value: float, low: float, high: float, **how: Any) -> None:
        power = how.pop("power", False)
        ends = (10.0**low, 10.0**high) if power else (low, high)
        if not ends[0] <= value <= ends[1]:
            raise ValueError(f"{name}: {value:g}; the slider goes from {ends[0]:g} to {ends[1]:g}")
        form = ipywidgets.FloatLogSlider if power else ipywidgets.FloatSlider
        controls[name] = form(value, min=low, max=high, description=label, **(kind | how))

    for name, share in zip(NAMES, np.asarray(settings.problem.ref), strict=True):
        label = f"π_ref({name})"
        slider(f"ref {name}", label, float(share), -6.0, 0.0, power=True, step=0.001, readout_format=".3g")
    for name, rate in zip(NAMES, settings.success, strict=True):
        slider(f"success {name}", f"p({name})", rate, 0.0, 1.0, step=0.01)
    controls["algorithm"] = ipywidgets.Dropdown(
        options=list(ALGORITHMS),
        value=settings.algorithm,
        description="algorithm",
        layout=layout,
        style=style,
    )
    rate = {"power": True, "step": 0.01, "readout_format": ".2g"}
    slider("learning_rate", "rate η", settings.learning_rate, -3.0, 1.0, **rate)
    controls["group_size"] = ipywidgets.IntSlider(
        settings.group_size, min=2, max=LARGEST, description="group G", **kind
    )
    slider("beta", "KL β", settings.beta, 0.0, 0.5, step=0.005, readout_format=".3f")
    slider("tpr", "TPR", settings.tpr, 0.0, 1.0, step=0.01)
    slider("fpr", "FPR", settings.fpr, 0.0, 1.0, step=0.01)
    return controls
