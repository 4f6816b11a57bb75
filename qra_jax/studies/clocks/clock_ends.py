r"""How does a clock leave ρ = 0, and how does it approach ρ = 1?

Every algorithm moves a question along one orbit at the speed of its clock c(ρ) (study `clocks`). With success rates
(1, 0),

$$ \dot\rho = 2\rho^2(1-\rho)^2 c(\rho): \qquad
   T_{1/2} \simeq A\,\rho_0^{-a}\ \text{or}\ A\log(1/\rho_0), \qquad 1-\rho \simeq (Bt)^{-b}\ \text{or}\ e^{-Bt}, $$

and the power law of the clock at either end gives exponent and constant (`theory.exponents`): REINFORCE a = b = 1,
mean-field GRPO a = ½ and b = 2. A finite group is silent where ρ or 1 − ρ is below 1/G, which turns both laws of
GRPO into those of REINFORCE, √(G−1) times as fast. In between, the local exponent of its cold start should be a
function of ρ₀G alone, that of Poisson-distributed successes (`theory.grpo_cold_exponent`). The natural gradient
drops a factor ρ(1 − ρ); divided by the standard deviation as well, it needs only π/2 from anywhere.

The experiment integrates each clock from ρ = ½ to e^(−300) at either end and knows nothing of these laws.
"""

from dataclasses import fields

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, theory
from qra_jax.algorithm import (
    dr_grpo,
    filtered_sft,
    grpo,
    pass_at_k,
    reinforce,
    rloo,
    tsallis,
)
from qra_jax.studies import lab
from qra_jax.studies.lab import panels

study = lab.Study(
    __name__,
    title="Clocks at their ends: cold start and tail are power laws, which finite groups change at ρ ~ 1/G",
)

GROUPS = (8, 64, 512)
LIMITS = {"natural gradient": reinforce(), "natural gradient ÷ std": grpo()}
CLOCKS = {
    "REINFORCE": reinforce(),
    "RLOO": rloo(8),
    "Dr.GRPO": dr_grpo(8),
    "GRPO, G → ∞": grpo(),
    "filtered SFT±": filtered_sft("both"),
    "filtered SFT (per accepted)": filtered_sft(per="accepted"),
    "pass@4": pass_at_k(4),
    "Tsallis, q = ½": tsallis(0.5),
    "dynamic sampling": grpo(8, resample_silent=True),
} | {f"GRPO, G = {size}": grpo(size) for size in GROUPS}
FINITE = [f"GRPO, G = {size}" for size in GROUPS]
CLOSE, HEIGHT = 0.01, 0.05
"""Tolerances: of limits, which at e^(−300) are reached; of the crossover: a tenth of its step from ½ to 1."""
MEAN_FIELD = "GRPO with finite groups, and the law of infinite ones"
DEPTH = np.linspace(0.1, 300.0, 3000)
"""Logits |z| of accuracy from one half to either end."""


@study.experiment()
def ends(run: lab.Run) -> xr.Dataset:
    """With success rates (1, 0): log time between ρ = ½ and σ(∓z), and the laws of both ends."""
    arms = [(n, a, "softmax") for n, a in CLOCKS.items()] + [(n, a, "natural") for n, a in LIMITS.items()]
    time = np.array([theory.end_log_times(a, DEPTH, geometry=geometry) for _, a, geometry in arms])
    laws = jax.jit(lambda: [theory.exponents(a, geometry=geometry) for _, a, geometry in arms])()
    law = {
        f"{f.name}_law": ("algorithm", [getattr(one, f.name) for one in laws])
        for f in fields(theory.Exponents)
    }
    times = {"cold": (("algorithm", "depth"), time[:, 0]), "tail": (("algorithm", "depth"), time[:, 1])}
    return lab.dataset(times | law, {"algorithm": [name for name, *_ in arms], "depth": DEPTH})


def _limits(data: lab.Data, end: str, names: list[str], law_of: str | None = None) -> lab.Evidence:
    """Exponent and constant of T ~ A ρ₀^(−a), or A log 1/ρ₀; of the tail of t ~ (1 − ρ)^(−1/b)/B; at the ends."""
    ends = data.ends.sel(algorithm=names)
    log_time, last = ends[end], ends[end].sel(depth=[250.0, 300.0], method="nearest")
    exponent = (last.diff("depth") / last.depth.diff("depth"))[..., 0]
    laws = data.ends.sel(algorithm=law_of or names, drop=law_of is not None)
    if end == "cold":
        law, constant = laws.cold_start_law, laws.cold_constant_law
    else:
        law, constant = 1 / laws.tail_law, 1 / laws.tail_constant_law
    rise = xr.DataArray(np.exp(last.where(law <= 0, 0.0).clip(max=700))).diff("depth")[..., 0] / 50
    found = xr.where(law > 0, np.exp((log_time[..., -1] - law * 300).clip(-700, 700)), rise)
    found = found.where(law.notnull())
    a, b = ("a", "A") if end == "cold" else ("1/b", "1/B")
    return lab.all_of(
        lab.exact(f"exponent {a} (0: logarithm)", exponent).near(law, within=CLOSE),
        lab.exact(f"constant {b} as a multiple of the predicted one", found / constant).near(1, within=CLOSE),
    )


LAWS = lab.Derived("theory.exponents")
EVERY = [*CLOCKS, "natural gradient"]


@study.claim(
    "Cold start with success rates (1, 0): from ρ₀ → 0 the time to ρ = ½ is A ρ₀^(−a), or A log(1/ρ₀), as each of 13 "
    "clocks at ρ = 0 says.",
    origin=LAWS,
)
def cold_start(data):
    return _limits(data, "cold", EVERY)


cold_start.null(MEAN_FIELD)(lambda data: _limits(data, "cold", FINITE, "GRPO, G → ∞"))


@study.claim(
    "Tail with success rates (1, 0): 1 − ρ → 0 as (B t)^(−b), or e^(−Bt), as each of 13 clocks at ρ = 1 says.",
    origin=LAWS,
)
def tail(data):
    return _limits(data, "tail", EVERY)


tail.null(MEAN_FIELD)(lambda data: _limits(data, "tail", FINITE, "GRPO, G → ∞"))


@study.claim(
    "÷ std the natural gradient needs π/2 from ρ = e^(−300) to ½, and from there to 1 − e^(−300).",
    origin=LAWS,
)
def bounded(data):
    return _bounded(data, "natural gradient ÷ std")


def _bounded(data: lab.Data, name: str) -> lab.Evidence:
    ends = data.ends.sel(algorithm=name).isel(depth=-1)
    return lab.all_of(
        *(
            lab.close(f"time of the {end}", np.exp(ends[end]), np.pi / 2, within=1e-3)
            for end in ("cold", "tail")
        )
    )


bounded.null("the natural gradient alone")(lambda data: _bounded(data, "natural gradient"))


def _local(data: lab.Data, size: int) -> xr.DataArray:
    """Local exponent of the cold start against ρ₀G."""
    cold = data.ends.cold.sel(algorithm=f"GRPO, G = {size}")
    middle = cold.depth.rolling(depth=2).mean()[1:].values
    found = cold.diff("depth") / cold.depth.diff("depth")
    return found.assign_coords(expected=("depth", size / (1 + np.exp(middle))))


def _crossover(data: lab.Data, per_group: bool) -> lab.Evidence:
    apart = []
    for size in GROUPS[1:]:
        local = _local(data, size)
        local = local[((local.expected > 0.01) & (local.expected < 0.01 * size)).values]
        load = local.expected.values * (1.0 if per_group else GROUPS[0] / size)
        apart.append(float(np.abs(local.values - theory.grpo_cold_exponent(load)).max()))
    words = "largest difference from the predicted local exponent of the cold start, ρ₀G ≥ .01, ρ₀ ≤ .01"
    return lab.exact(words, xr.DataArray(apart, {"G": list(GROUPS[1:])}, ["G"])).below(HEIGHT)


@study.claim(
    "For ρ₀ ≤ .01 and G = 64, 512 GRPO's cold start crosses over from exponent ½ to 1 as a function of ρ₀G alone.",
    origin=lab.Derived("theory.grpo_cold_exponent"),
)
def crossover(data):
    return _crossover(data, True)


crossover.null(f"a function of ρ₀ alone, that of G = {GROUPS[0]}")(lambda data: _crossover(data, False))


def _color(name: str) -> str:
    return "#E8A48C" if name == "GRPO, G → ∞" else plot.color(name.split(",")[0])


@study.figure
def draw(data: lab.Data) -> Figure:
    """The crossover of the cold start at ρ₀ ~ 1/G; what is left against time."""
    figure, (left, right) = plot.new((8.8, 3.8), ncols=2)
    title, x = "Cold start: GRPO's better law ends at ρ₀ ~ 1/G", "expected right answers in a group ρ₀G"
    panels.frame(
        title,
        left,
        x=x,
        y="cold-start exponent, −d log T / d log ρ₀",
        log="x",
        xlim=(1e-4, 10),
        ylim=(0.4, 1.1),
    )
    for size, shade in zip(GROUPS, ["#F3B79B", "#E07A45", "#9C3F00"], strict=True):
        local = _local(data, size)
        local = local[((local.expected > 1e-5) & (local.expected < 0.02 * size)).values]
        left.plot(local.expected, local, color=shade, label=f"GRPO, G = {size}")
    load = np.geomspace(1e-4, 10, 200)
    left.plot(load, theory.grpo_cold_exponent(load), ":", color="black", label="G → ∞ at this ρ₀G")
    for name, value, text in [("REINFORCE", 1, "T ∝ 1/ρ₀"), ("GRPO, G → ∞", 0.5, "T ∝ 1/√ρ₀")]:
        panels.mark(value, left, f"{name}: {text}", axis="y", at=0.02, color=_color(name))
    left.legend(loc="center left")

    ends = data.ends.assign_coords(rest=-np.log1p(np.exp(data.ends.depth)))
    x, y = "time t from ρ = ½", "what is left, 1 − ρ"
    panels.frame("", right, x=x, y=y, log="xy", xlim=(0.3, 1e11), ylim=(1e-9, 1))
    slowest = np.inf
    for name in ("pass@4", "REINFORCE", "GRPO, G = 8", "GRPO, G → ∞", "dynamic sampling", "natural gradient"):
        law = ends.sel(algorithm=name)
        b, constant = float(law.tail_law), float(law.tail_constant_law)
        slowest = min(slowest, b)
        text = f"t$^{{−{panels.plain(b)}}}$" if np.isfinite(b) else f"e$^{{−{constant:.2f} t}}$"
        right.plot(
            np.exp(law["tail"].clip(max=100)),
            np.exp(law["rest"]),
            color=_color(name),
            label=f"{name}: {text}",
        )
    right.legend(loc="upper right", bbox_to_anchor=(1.04, 0.72), fontsize=7, handlelength=1.2)
    right.set_title(f"Tails range from t$^{{−{panels.plain(slowest)}}}$ to exponential")
    return figure
