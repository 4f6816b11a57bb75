"""Panels of the study of budgets."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies.data._budget_arms import (
    ARMS,
    EVEN,
    HEAVY,
    LIGHT,
    MID,
    MIXES,
    OLD_EVEN,
    OLD_MID,
    OLD_RL,
    OUTCOME,
    PARTS,
    RL,
    TESTS,
)
from qra_jax.studies.lab import panels

SHADES = (plot.color("rlvr"), *(plot.CYCLE[i] for i in (4, 3, 6)), plot.color("sft"))
COLORS = dict(zip(MIXES, SHADES, strict=True))
CONTROLS = {OLD_MID: "0.35", OLD_EVEN: "0.5", OLD_RL: "0.65", OUTCOME: plot.CYCLE[1]}
NAMES = {band: f"{low}–{high} operations" for band, (low, high) in TESTS.items()}
BANDS = dict(zip(TESTS, (plot.CYCLE[i] for i in (2, 0, 5)), strict=True))


def budget(stages: xr.Dataset) -> Figure:
    """pass@1 by share of RL; on the way; controls; silent groups."""
    figure, ((share, way), (control, silent)) = plot.new((10.4, 7.2), nrows=2, ncols=2)
    _shares(stages, share)
    _way(stages, way)
    _controls(stages, control)
    _silent(stages, silent)
    return figure


def _mixes(values: xr.DataArray) -> xr.DataArray:
    """Arms of the target band along their share of RL."""
    rl = [1 - ARMS[arm].share for arm in MIXES]
    return values.sel(arm=MIXES).assign_coords(arm=rl).rename(arm="rl").sortby("rl")


def _shares(stages: xr.Dataset, ax: Axes) -> None:
    last = _mixes(stages.pass1.sel(spent=1.0))
    middle = last.sel(band="target").mean("seed")
    best = float(middle.rl[int(middle.argmax("rl"))])
    title = f"Best in the target band: {best:.0%} of the budget in RL"
    panels.frame(title, ax, x="share of the budget in RL", y="pass@1, whole solution", ylim=(0, 1.02))
    arms = {"by": "band", "over": "seed", "colors": BANDS, "names": NAMES, "within": (0, 1)}
    panels.dots(last, ax, x="rl", join=True, nudge=0.08, **arms)  # pyright: ignore[reportArgumentType]
    base = stages.pass1.sel(arm=RL, spent=0.0).mean("seed")
    for band, color in BANDS.items():
        ax.axhline(float(base.sel(band=band)), color=color, linestyle=":", linewidth=1)
    bands = {NAMES[band]: color for band, color in BANDS.items()}
    panels.legend({**bands, "base": {"color": "0.4", "linestyle": ":"}}, ax, loc="best")


def _way(stages: xr.Dataset, ax: Axes) -> None:
    path = stages.pass1.sel(band="target", arm=MIXES)
    base, read, paid = (
        float(path.sel(arm=arm, spent=at).mean()) for arm, at in ((RL, 0.0), (MID, 1.0), (RL, 1.0))
    )
    title = f"From {base:.2f}, mid-training alone gets to {read:.2f}, RL alone to {paid:.2f}"
    panels.frame(title, ax, x="share of the budget spent", y="pass@1 (target)", ylim=(0, 1.02))
    for arm in reversed(MIXES):
        done = ARMS[arm].share
        rest = path.sel(arm=arm).where(path.spent >= (0 if arm == MID else done)).expand_dims(arm=[arm])
        panels.dots(rest, ax, x="spent", join=True, by="arm", over="seed", colors=COLORS, within=(0, 1))
    panels.legend(None, ax, loc="best")


def _controls(stages: xr.Dataset, ax: Axes) -> None:
    gain = stages.pass1.sel(spent=1.0) - stages.pass1.sel(spent=0.0)
    shown = gain.sel(band="target", arm=[MID, LIGHT, EVEN, HEAVY, RL, *CONTROLS])
    new, old = (float(shown.sel(arm=arm).mean()) for arm in (MID, OLD_MID))
    title = f"Mid-training gains {new:.2f} by the new band, {old:.2f} by as many sequences of the old one"
    panels.frame(title, ax, x="gain in pass@1 (target) over the base", y="")
    panels.bars(shown, ax, x="arm", over="seed", flat=True, colors=COLORS | CONTROLS)


def _silent(stages: xr.Dataset, ax: Axes) -> None:
    shown = stages.silent.sel(arm=[RL, HEAVY, EVEN, LIGHT, OUTCOME])
    shown = shown.assign_coords(part=[(i + 0.5) / PARTS for i in range(PARTS)])
    first, then = (float(shown.sel(arm=arm).isel(part=i).mean()) for arm, i in ((RL, 0), (EVEN, PARTS // 2)))
    panels.frame(
        f"Groups that teach nothing: {first:.0%} from the base, {then:.0%} after half mid-training",
        ax,
        x="share of the budget spent",
        y="share of silent groups in RL",
        ylim=(0, 1.02),
        xlim=(0, 1),
    )
    for arm in shown.arm.values.tolist():
        one = shown.sel(arm=[arm]).isel(part=slice(round(ARMS[arm].share * PARTS), None))
        panels.dots(
            one, ax, x="part", join=True, by="arm", over="seed", colors=COLORS | CONTROLS, within=(0, 1)
        )
    panels.legend(None, ax, loc="best")
