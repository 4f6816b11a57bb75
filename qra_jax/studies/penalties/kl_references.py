"""Rounds of GRPO: does the recursion of the success probability hold, and what does the reference of the KL term do?

With rewards standardised under the previous policy, each round has a closed-form optimum,
π_n ∝ π_ref^α π_{n−1}^{1−α} exp(A/β): α = 1 with a fixed reference, α = 0 with the previous policy (mirror), mixtures
between. For answers that are right or wrong for sure, the logit z of the success probability ρ follows

    z → α z_ref + (1 − α) z + 2 cosh(z/2)/β.

Patterns that are right only sometimes split the same reward less: to first order in 1/β a round moves z by the share
Var(p)/(ρ(1 − ρ)) of the reward's variance that patterns explain. A mixture has the fixed points of the fixed reference
at αβ, and slope 1 − α + αF' there, so that it is stable for α < 2/(1 − F'). Mirror rounds are steps of a natural
gradient over the standard deviation, which reaches ρ = 1 in the finite time π − 2 asin√ρ_ref.

The experiments run exact policy iteration on random problems beside the recursion; the recursion with each reference,
where a fixed one cycles; and the gradient flow, which shares the fixed points and does not overshoot.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import flow, plot, theory
from qra_jax.algorithm import grpo
from qra_jax.problem import Problem
from qra_jax.regularizer import reverse_kl
from qra_jax.studies import lab, papers
from qra_jax.studies.lab import panels

study = lab.Study(
    __name__,
    title="KL references: a share of the previous policy ends the cycles of rounds, it alone runs to 1",
)

RARE, CYCLE, KAPPA, STILL = 0.001, 5.0, 1.5, 1e-3
"""ρ_ref; β under which rounds cycle; αβ of the mixtures; swing, in logits, below which a run is at rest."""
ANCHORS = {1.0: "fixed reference", 0.5: "both, α = ½", 0.0: "mirror"}
COLORS = dict(zip(ANCHORS, ("#0072B2", "#009E73", "#CC79A7"), strict=True))


@study.experiment(
    {"chancy": [0.0, 1.0], "anchor": list(ANCHORS)}, seeds=lab.scale(100, 400), common=["chancy", "anchor"]
)
def policies(cell, key):
    """Exact rounds of eight patterns, right for sure or (`chancy`) sometimes, beside the recursion at β and 2β."""
    keys = jax.random.split(key, 3)
    rates, sure = jax.random.uniform(keys[1], (8,)), (jnp.arange(8) < 3).astype(float)
    shares = jax.random.exponential(keys[0], (8,))
    problem = Problem(jax.nn.log_softmax(jnp.log(shares)), jnp.where(cell.chancy > 0, rates, sure))
    rho, beta = problem.accuracy_ref, jnp.exp(jax.random.uniform(keys[2], maxval=2.5))
    path = theory.policy_iteration_path(problem, beta, 12, anchor=cell.anchor)

    def off(beta: jax.Array) -> jax.Array:
        step = jax.vmap(lambda z: theory.success_map(z, rho, beta, anchor=cell.anchor))
        return jnp.where(path[1:] < 30, abs(step(path[:-1]) - path[1:]) / (1 + abs(path[1:])), 0.0).max()

    gain = (path[1] - path[0]) / (theory.success_map(path[0], rho, beta, anchor=cell.anchor) - path[0])
    spread = problem.ref @ (problem.success - rho) ** 2 / (rho * (1 - rho))
    return {"off": off(beta), "rival": off(2 * beta), "gain": gain, "spread": spread, "beta": beta}


@study.experiment(
    {"anchor": list(ANCHORS), "beta": [CYCLE, *np.logspace(-1, 1.7, 28)]}, dims={"path": ["round"]}
)
def ways(cell):
    """Rounds from π_ref with each reference, at one αβ (mirror: at β)."""
    beta = cell.beta / jnp.where(cell.anchor > 0, cell.anchor, 1.0)
    return {"path": theory.success_path(RARE, beta, 400, anchor=cell.anchor)}


@study.experiment(
    {"anchor": lab.scale(np.linspace(0.02, 1, 200), np.linspace(0.02, 1, 700))}, dims={"late": ["last"]}
)
def mixtures(cell):
    """Last rounds of mixed references at one αβ, and so at the same fixed points."""
    fixed = theory.success_fixed_points(RARE, KAPPA)
    options = {"logit0": fixed.logit[0] + 0.1, "anchor": cell.anchor}
    late = theory.success_tail(RARE, KAPPA / cell.anchor, 3000, **options)
    return {"late": late, "limit": 2 / (1 - fixed.multiplier[0])}


@study.experiment()
def flows(run: lab.Run) -> xr.Dataset:
    """The gradient flow with the KL term under which rounds cycle, and the fixed point that they share."""
    problem, ts = Problem.from_probs(ref=[RARE, 1 - RARE], success=[1.0, 0.0]), jnp.linspace(0.0, 8.0, 81)
    options = {"algorithm": grpo(), "geometry": "natural", "rtol": 1e-10, "atol": 1e-10}
    path = flow.solve(problem, ts=ts, regularizers=[reverse_kl(CYCLE)], **options).log_policy
    rest = theory.success_fixed_points(RARE, CYCLE).logit[0]
    return lab.dataset({"logit": ("time", path[:, 0] - path[:, 1]), "rest": rest}, {"time": ts * CYCLE})


@study.claim(
    "In every random problem exact rounds move the success probability by the recursion, also where patterns are right "
    "only sometimes.",
    origin=lab.Asked(
        "The paper's policy chooses answers; here it chooses patterns of fixed success rates.",
        (papers.POS_RECURSION,),
    ),
)
def recursion(data, of="off"):
    off = data.policies[of].max(["seed", "anchor"], skipna=False).rename(chancy="right")
    off = off.assign_coords(right=["for sure", "sometimes"])
    return (
        lab.exact("largest difference in logit ÷ (1 + |logit|), patterns right", off)
        .below(1e-10)
        .per("right")
    )


recursion.null("the recursion at twice the β")(partial(recursion.judge, of="rival"))


@study.claim(
    "Under a strong KL term (β > 6) the first gain is on average that of the recursion times the share "
    "Var(p)/(ρ(1 − ρ)) of the reward's variance that patterns explain.",
    origin=lab.Derived("this study, to first order in 1/β"),
)
def gains(data, shared=True):
    runs = data.policies.sel(chancy=1, anchor=1)
    share = runs.spread if shared else xr.ones_like(runs.spread)
    miss = np.log(runs.gain / share).where(runs.beta.notnull()).isel(seed=~(runs.beta.values <= 6))
    return lab.mean("log(first gain ÷ (recursion's × share)) for β > 6", miss).near(0.0, within=0.1)


gains.null("a share of one: the recursion itself")(partial(gains.judge, shared=False))


@study.claim(
    "Where rounds with a fixed reference cycle, the gradient flow with the same KL term rests at their fixed point.",
    origin=lab.Derived("theory.success_fixed_points", (papers.POS_RECURSION,)),
)
def flow_rests(data):
    return lab.close(
        "logit at the flow's end − at the fixed point", data.flows.logit[-1] - data.flows.rest, within=1e-6
    )


@flow_rests.null("the rounds themselves")
def _(data):
    path = data.ways.path.sel(anchor=1).isel(beta=0)
    return lab.close("logit after 400 rounds − at the fixed point", path[-1] - data.flows.rest, within=1e-6)


@study.claim(
    "A mixed reference is stable for α < 2/(1 − F') at the fixed points of the fixed one at αβ: it ends the cycles "
    "(ρ_ref = .001, αβ = 1.5).",
    origin=lab.Derived("theory.success_multiplier", (papers.POS_OPTIMUM,)),
    needs_no_control="rounds computed without sampling, beside a number of theory",
)
def mixed(data):
    late, limit = data.mixtures.late, data.mixtures.limit[0]
    swing = late.max("last", skipna=False) - late.min("last", skipna=False)
    largest = late.anchor.where(swing < STILL).max().where(swing.notnull().any())
    return lab.close("largest α at which rounds rest ÷ that of theory", largest / limit, 1.0, within=0.02)


@study.claim(
    "With the previous policy as the reference (mirror) every β from .1 to 50 leads from ρ_ref = .001 to ρ = 1, "
    "the largest after β(π − 2 asin√ρ_ref) rounds, within a twentieth.",
    origin=lab.Derived(
        "theory.two_pattern_time, natural gradient ÷ standard deviation", (papers.POS_OPTIMUM,)
    ),
)
def mirror(data, anchor=0.0, least=0.0):
    paths = data.ways.path.sel(anchor=anchor).sortby("beta").sel(beta=slice(least, None))
    rounds = (paths < 200).sum("round").where(paths.notnull().all("round"))
    law = float(paths.beta[-1]) * (np.pi - 2 * np.arcsin(np.sqrt(RARE)))
    return lab.all_of(
        lab.exact("rounds until ρ = 1, of 400", rounds).below(400),
        lab.close("rounds ÷ law at the largest β", rounds[-1] / law, 1.0, within=0.05),
    )


@mirror.null("the fixed reference, where its first round does not overshoot to 1")
def _(data):
    return mirror.judge(data, anchor=1.0, least=float(theory.overshoot_beta(RARE)))


@study.figure
def draw(data: lab.Data) -> Figure:
    """Rounds and the flow with each reference; where mixtures end; what patterns explain."""
    figure, (first, second, third) = plot.new((10.6, 3.5), ncols=3)
    places = {rho: np.log(rho / (1 - rho)) for rho in (0.001, 0.01, 0.1, 0.5, 0.9, 0.99)}
    panels.frame(
        "Same rest point; a fixed reference cycles",
        first,
        x="round n   (flow: time × β)",
        y="accuracy ρ",
        xlim=(0, 40),
        ylim=(-7.4, 7),
    )
    paths = data.ways.path.isel(beta=0, round=slice(41)).clip(max=50)
    for anchor, name in ANCHORS.items():
        first.plot(
            paths.sel(anchor=anchor), "o-", color=COLORS[anchor], label=name, markersize=2.5, linewidth=1
        )
    first.plot(data.flows.time, data.flows.logit, color="black", linewidth=1.3, label="gradient flow")
    panels.legend(None, first, loc="upper right", title=f"ρ_ref = .001, αβ = {CYCLE:g}")
    late, limit = data.mixtures.late, float(data.mixtures.limit[0])
    x = "weight α of the fixed reference   (1 − α: previous)"
    panels.frame(
        "A share of the previous policy ends cycles", second, x=x, y="accuracy ρ in the end", xlim=(0, 1)
    )
    second.plot(
        late.anchor,
        late.where(np.isfinite(late)),
        ".",
        color=COLORS[0.5],
        markersize=1.2,
        mew=0,
        rasterized=True,
    )
    panels.mark(limit, second, f"theory:\nα = {limit:.2f}", color="black", before=True)
    panels.note((0.03, -1.2), second, f"ρ_ref = .001, αβ = {KAPPA:g}")
    for ax in (first, second):
        ax.set_yticks(list(places.values()), [panels.plain(rho) for rho in places])
    runs = data.policies.sel(chancy=1, anchor=1)
    panels.frame(
        "Chancy patterns slow the recursion",
        third,
        x="share of the variance that patterns explain",
        y="first gain ÷ the recursion's",
        log="xy",
    )
    third.plot(
        runs.spread, runs.gain, "o", color=plot.BEST, mew=0, markersize=4, label="exact rounds, 1 < β < 12"
    )
    third.plot([0.05, 1], [0.05, 1], color="black", linewidth=1, label="law of a large β")
    third.axhline(1.0, color=plot.RIVAL, linewidth=1.2, label="recursion in ρ alone")
    panels.legend(None, third, loc="lower right")
    return figure
