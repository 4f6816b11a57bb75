"""Floor 6. The explorer in a notebook or a browser; needs `pip install 'qra-jax[notebooks]'`."""

from __future__ import annotations

import time
from typing import Any

import ipywidgets

from qra_jax.explorer import ALGORITHMS, LARGEST, NAMES, Settings, simulate
from qra_jax.explorer.picture import Picture, table


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
      ValueError: as for `Settings`.
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
        columns = [
            ipywidgets.VBox([ipywidgets.HTML(f"<b>{title}</b>"), *controls])
            for title, controls in (
                ("base model: shares, up to a factor", of("ref")),
                ("success rate of each pattern", of("success")),
                ("training", rest[:4]),
                ("verifier", rest[4:]),
            )
        ]
        columns[1].children += (self._table,)
        columns[3].children += (self._took,)
        self._redraw()
        super().__init__([self._image, ipywidgets.HBox(columns)])

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
    slider = lambda name, value, low, high, step=0.01: ipywidgets.FloatSlider(  # noqa: E731
        value, min=low, max=high, step=step, description=name, readout_format=".2f", **kind
    )
    log = lambda name, value, low, high: ipywidgets.FloatLogSlider(  # noqa: E731
        value, min=low, max=high, step=0.05, description=name, readout_format=".2g", **kind
    )
    controls: dict[str, Any] = {}
    for name, share in zip(NAMES, settings.ref, strict=True):
        controls[f"ref {name}"] = log(f"π_ref({name})", share, -6, 0)
    for name, rate in zip(NAMES, settings.success, strict=True):
        controls[f"success {name}"] = slider(f"p({name})", rate, 0.0, 1.0)
    controls["algorithm"] = ipywidgets.Dropdown(
        options=list(ALGORITHMS),
        value=settings.algorithm,
        description="algorithm",
        layout=layout,
        style=style,
    )
    controls["learning_rate"] = log("rate η", settings.learning_rate, -3, 1)
    controls["group_size"] = ipywidgets.IntSlider(
        settings.group_size, min=2, max=LARGEST, description="group G", **kind
    )
    controls["beta"] = slider("KL β", settings.beta, 0.0, 0.5, 0.005)
    controls["tpr"] = slider("takes right", settings.tpr, 0.0, 1.0)
    controls["fpr"] = slider("takes wrong", settings.fpr, 0.0, 1.0)
    return controls
