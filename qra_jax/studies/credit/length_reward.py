r"""Does a reward of correctness less 1000/length make models search, or does it make them long?

The reward released with RLSP is 1{right} − C/L with C = 1000 and L the length of the answer in tokens. In the
question–reason–answer model pattern r earns $R_r = s_r - C/L_r$ on average, so that of two patterns the longer, worse
one should win, under any algorithm that is linear in the rewards or divides by the standard deviation of a large group,
if and only if

$$ C\left(\frac1{L_{\rm short}} - \frac1{L_{\rm long}}\right) > s_{\rm short} - s_{\rm long}. $$

A pattern that is never right, of L tokens, then beats one that always is, of l tokens, if l < 1/(1/C + 1/L): the length
term exceeds correctness below about C tokens. In a small group GRPO is not linear: where all verdicts agree the term in
the length is all the spread that is left, and it is blown up to the size of a verdict. A far smaller C should do then.

The gaps between the expected weights of the patterns are computed exactly, by summing over all groups. Runs of training
choose between a short good pattern, a longer and worse one, and a very long useless one, by correctness, by the
released reward, by length alone, and with equal lengths.
"""

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot, shaping, training
from qra_jax.algorithm import dr_grpo, grpo
from qra_jax.problem import Problem
from qra_jax.reward import Reward, verifiable
from qra_jax.studies import lab, papers
from qra_jax.studies.credit import _favour
from qra_jax.studies.credit._favour import ALGORITHMS, LINEAR, SHARES
from qra_jax.studies.lab import panels

study = lab.Study(__name__, title="A reward for length: the longer pattern wins, right or wrong")

RELEASED = 1000.0
"""C of the released reward, in tokens."""
RIVALS = (4000.0, 8000.0, 16000.0)
"""Lengths of the useless pattern."""
REWARDS = ("correctness", "released", "length alone", "equal lengths")
RATE, GROUP, TRAINED = 0.1, 8, {"Dr.GRPO": dr_grpo(8), "GRPO": grpo(8)}
REF, SUCCESS, LENGTHS = [0.6, 0.35, 0.05], [0.8, 0.6, 0.05], np.array([400.0, 2000.0, 8000.0])
"""Base policy, success rates and lengths of the patterns: short, long, useless."""


def _asked(coefficient, short, long, better, worse) -> tuple[Problem, Reward]:
    success, lengths = jnp.stack([better, worse]), jnp.stack([short, long])
    problem = Problem(jnp.log(jnp.full(2, 0.5)), success, None, lengths)
    return problem, shaping.length_term(verifiable(), -coefficient)


@study.experiment()
def gaps(run: lab.Run) -> xr.Dataset:
    """Gap between a pattern of 500 tokens and one of 2000, over C and both success rates."""
    axes = {
        "coefficient": np.geomspace(3, 3000, run(lab.scale(25, 61))),
        "short": [500.0],
        "long": [2000.0],
        "better": [0.5, 0.9],
        "less": [0.05, 0.2, 0.4],
        "share": SHARES,
    }
    found = _favour.table(
        lambda better, less, **rest: _asked(**rest, better=better, worse=better - less), axes, ALGORITHMS
    )
    return lab.dataset(
        {"gap": (found.dims[:2] + found.dims[4:], found.isel(short=0, long=0))},
        {name: found[name].values for name in ("algorithm", "coefficient", "better", "less", "share")},
    )


@study.experiment()
def useless(run: lab.Run) -> xr.Dataset:
    """Gap between a pattern that is always right and a long one that never is, over the length of the first."""
    axes = {"coefficient": [100.0, RELEASED], "short": np.geomspace(40, 4000, run(lab.scale(41, 101)))}
    axes |= {"long": RIVALS, "better": [1.0], "worse": [0.0], "share": [0.5]}
    found = _favour.table(_asked, axes, {name: ALGORITHMS[name] for name in LINEAR})
    found = found.isel(better=0, worse=0, share=0, drop=True)
    return found.rename("gap").to_dataset()


@study.experiment(
    {"algorithm": list(TRAINED.values()), "reward": REWARDS},
    seeds=lab.scale(24, 128),
    dims={"policy": ["record", "pattern"]},
)
def runs(cell, key):
    """Policies of runs with each reward."""
    lengths = np.full(3, 2000.0) if cell.reward == "equal lengths" else LENGTHS
    problem = Problem.from_probs(ref=REF, success=SUCCESS, lengths=lengths)
    verdict = verifiable(0.0, 0.0) if cell.reward == "length alone" else verifiable()
    reward = verdict if cell.reward == "correctness" else shaping.length_term(verdict, -RELEASED)
    options = {"steps": 1200, "learning_rate": RATE, "record_every": 60}
    path = training.train(key, problem, algorithm=cell.algorithm, reward=reward, **options)
    return {"policy": path.policy}


def _law(gaps: xr.DataArray, per_token: float = 1 / 500 - 1 / 2000) -> xr.DataArray:
    return gaps.coefficient * per_token - gaps.less


def _agrees(data: lab.Data, law: xr.DataArray) -> lab.Evidence:
    words = "share of the cells of the grid in which the pattern that gains is the law's"
    return lab.exact(words, _favour.agreement(data.gaps.gap, law)).above(1.0).per("algorithm")


@study.claim(
    "On a grid of C and of success rates the longer, worse pattern gains at every share of it exactly where "
    "C(1/500 − 1/2000) exceeds the loss of accuracy.",
    origin=lab.Derived(cited=(papers.RLSP,)),
)
def law(data):
    return _agrees(data, _law(data.gaps.gap))


law.null("length alone decides: the longer one always gains")(
    lambda data: _agrees(data, 1 + 0 * data.gaps.gap)
)


def _smaller(data: lab.Data, algorithms: list[str]) -> lab.Evidence:
    gaps = data.gaps.gap.sel(algorithm=algorithms, share=0.5, drop=True)
    needed = _favour.crossing(gaps, "coefficient") * (1 / 500 - 1 / 2000) / gaps.less
    below = needed.where(needed.notnull(), xr.where((gaps > 0).all("coefficient"), 0.0, np.nan))
    return lab.exact("C at which the longer pattern starts to gain, over that of the law", below).below(0.5)


@study.claim(
    "In groups of 2 and of 8 GRPO lets the longer, worse pattern gain at half the law's C or less, at equal shares.",
    origin=lab.Derived(cited=(papers.RLSP,)),
)
def smaller(data):
    return _smaller(data, _favour.NORMED).per("algorithm")


smaller.null("weights that are linear in the rewards, and large groups")(lambda data: _smaller(data, LINEAR))


def _about(data: lab.Data, coefficient: float) -> lab.Evidence:
    length = _favour.crossing(data.useless.gap.sel(coefficient=coefficient), "short")
    return lab.exact("length below which it loses to a useless long one", length).near(
        1000, within=0.25, relative=True
    )


@study.claim(
    "With the released C = 1000 a pattern that is always right loses to one that never is, of 4000 to 16 000 tokens, "
    "if it has fewer than about 1000 tokens, within a quarter.",
    origin=lab.Asked("Below which length does the term exceed correctness?", (papers.RLSP,)),
)
def about(data):
    return _about(data, RELEASED)


about.null("C = 100")(lambda data: _about(data, 100.0))


def _outcome(data: lab.Data, reward: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Accuracy and mean length at the end of sampled runs."""
    end = data.runs.policy.sel(reward=reward, drop=True).isel(record=-1)
    lengths = np.full(3, 2000.0) if reward == "equal lengths" else LENGTHS
    return tuple(
        (end * xr.DataArray(x, dims="pattern")).sum("pattern", skipna=False) for x in (SUCCESS, lengths)
    )


def _longer(data: lab.Data, reward: str) -> lab.Evidence:
    accuracy, length = _outcome(data, reward)
    base = (
        float(np.dot(REF, SUCCESS)),
        float(np.dot(REF, np.full(3, 2000.0) if reward == "equal lengths" else LENGTHS)),
    )
    return lab.all_of(
        lab.mean("accuracy at the end", accuracy).below(base[0]),
        lab.mean("length at the end over that at the start", length / base[1]).above(1.25),
    )


@study.claim(
    "Sampled runs with the released reward grow longer by a quarter or more and end less accurate than they started.",
    origin=lab.Asked("Is length that grows a sign of search?", (papers.RLSP,)),
)
def longer(data):
    return _longer(data, "released")


longer.null("correctness alone")(lambda data: _longer(data, "correctness"))
longer.null("the released reward with equal lengths")(lambda data: _longer(data, "equal lengths"))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Who gains against C; the length that correctness needs; what runs choose."""
    figure, (first, second, third) = plot.new((12.6, 3.8), ncols=3, width_ratios=[1.15, 1, 1.25])
    shown = data.gaps.gap.sel(better=0.9, less=0.2, share=0.5, drop=True)
    needed = 0.2 / (1 / 500 - 1 / 2000)
    panels.frame(
        "In small groups a far smaller C makes the worse pattern gain",
        first,
        x="C of the length term, tokens",
        y="gap: weight of the longer − shorter",
        log="x",
    )
    shades = ["#0072B2", "#56B4E9", "#999999", "#E69F00", "#D55E00"]
    colors = dict(zip(ALGORITHMS, shades, strict=True))
    panels.curves(shown, first, x="coefficient", by="algorithm", colors=colors)
    first.axhline(0, color="black", linewidth=0.8)
    first.set_ylim(-1.2, 2.2)
    panels.mark(needed, first, "law", at=0.05)
    panels.legend(None, first, loc="upper left", fontsize=8)

    cross = data.useless.gap.sel(coefficient=RELEASED, algorithm="REINFORCE", drop=True)
    lost = float(_favour.crossing(cross, "short").mean())
    panels.frame(
        f"Always right loses to never right below ≈ {lost:.0f} tokens",
        second,
        x="tokens of the pattern that is always right",
        y="reward of the useless pattern − its own",
        log="x",
        ylim=(-1.2, 3),
    )
    panels.curves(cross, second, x="short", by="long", names={r: f"useless: {r:.0f} tokens" for r in RIVALS})
    second.axhline(0, color="black", linewidth=0.8)
    panels.legend(None, second, loc="upper right", fontsize=8)

    end = data.runs.policy.isel(record=-1).mean("seed")
    parts = end.stack(arm=("reward", "algorithm")).drop_vars(["arm", "reward", "algorithm"])
    labels = [f"{reward},\n{name}" for reward in REWARDS for name in TRAINED]
    parts = parts.transpose("arm", "pattern").assign_coords(
        arm=labels, pattern=["short, .8 right", "long, .6 right", "longest, useless"]
    )
    panels.frame("What sampled runs choose", third, x="share at the end", y="", xlim=(0, 1))
    shades = dict(zip(parts.pattern.values, ("#0072B2", "#E69F00", "#D55E00"), strict=True))
    panels.bars(parts, third, x="arm", by="pattern", stacked=True, flat=True, colors=shades)
    third.set_ylim(len(labels) - 0.4, -0.6)
    third.tick_params(axis="y", labelsize=8)
    panels.legend(None, third, place="below", ncols=3, fontsize=8)
    return figure
