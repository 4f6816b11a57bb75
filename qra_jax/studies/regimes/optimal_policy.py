"""What does KL-regularised training converge to?

The maximiser of E[R] − β KL(π‖π_ref) is π_opt(r) ∝ π_ref(r) exp(R_r/β), and as β → 0 it picks the pattern with the
highest reward, at the rate exp(−(p₁ − p₂)/β). Gradient flow of the regularised objective is run to its end, from the
base policy and from random starts, on the worked example π_ref = (.05, .70, .25) with success rates (.9, .6, .1). Its
slowest mode decays at the rate β π_min > 5·10⁻⁵; a flow has ended when no logit moves faster than 10⁻⁹.

Beside it stands the penalty as it is mostly coded, the k3 estimator as a term of the loss. Its mean gradient is that of
the other KL divergence, so theory predicts another end point, and a rest that vanishes like β instead.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import flow, metrics, plot, theory
from qra_jax.problem import examples, random
from qra_jax.regularizer import k3_loss, reverse_kl
from qra_jax.studies import lab, papers

study = lab.Study(
    __name__, title="Optimal policy: the regularised flow ends at π_ref·exp(R/β) from every start"
)

PENALTIES = ["reverse KL", "k3 in the loss"]
PATTERNS = ["best, p = .9", "rival, p = .6", "poor, p = .1"]
ENDED = {"event": "steady", "target": 1e-9, "rtol": 1e-11, "atol": 1e-11, "max_steps": 16384}
TIMES, SAME = np.logspace(-2, 6, 100), 1e-6
"""The slowest mode has 10⁻⁹/(β π_min) left where a flow ends: up to 2·10⁻⁵ in a logit, of a share of .05 or less."""


@study.experiment()
def flows(run: lab.Run) -> xr.Dataset:
    """Flow to the end under each penalty from the base policy and from random ones, and both formulas."""
    problem, random_key = examples.worked(), run.key

    def one(cell):
        drawn = random(jax.random.fold_in(random_key, cell.start), 3).log_ref
        start = jnp.where(cell.start == 0, problem.log_ref, drawn)
        penalties = [reverse_kl(cell.beta * (1 - cell.penalty)), k3_loss(cell.beta * cell.penalty)]
        path = flow.solve(problem, ts=TIMES, regularizers=penalties, log_policy0=start, **ENDED)
        return {
            "path": path.policy,
            "status": path.status,
            "optimum": jnp.exp(theory.optimal_policy(problem, cell.beta)),
            "forward": jnp.exp(theory.k3_policy(problem, cell.beta)),
            "from_": jnp.exp(start),
        }

    betas = lab.scale([0.1, 0.2, 0.5, 2.0, 10.0], [0.1, 0.14, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0])
    return lab.cells(
        one,
        axes={"penalty": range(2), "beta": run(betas), "start": range(run(lab.scale(4, 12)))},
        dims={"path": ["time", "pattern"]} | {key: ["pattern"] for key in ("optimum", "forward", "from_")},
        coords={"time": TIMES, "pattern": PATTERNS},
        say=run.say,
    ).assign_coords(penalty=PENALTIES)


@study.experiment()
def rivals(run: lab.Run) -> xr.Dataset:
    """The regularised objective of the formula, of the base policy, and of random policies."""
    problem, betas = (
        examples.worked(),
        jnp.array(run(lab.scale([0.1, 0.5, 10.0], [0.1, 0.2, 0.5, 2.0, 10.0]))),
    )
    others = jax.vmap(lambda key: random(key, 3).log_ref)(jax.random.split(run.key, 10_000))

    @jax.vmap
    def gaps(beta):
        def objective(log_policy):
            return metrics.accuracy(log_policy, problem.success) - beta * metrics.kl(
                log_policy, problem.log_ref
            )

        best = objective(theory.optimal_policy(problem, beta))
        found = jax.vmap(objective)(others)
        return jnp.min(best - found), jnp.min(objective(problem.log_ref) - found)

    optimum, base = jax.jit(gaps)(betas)
    return lab.dataset(
        {"formula": ("beta", optimum), "base": ("beta", base)}, {"beta": betas}, policies=10_000
    )


@study.experiment()
def small(run: lab.Run) -> xr.Dataset:
    """The optimum on a fine grid of β; what is not on the best pattern, under either penalty."""
    problem, betas = examples.worked(), jnp.logspace(-2.5, 1.5, 161)
    optimum = jax.vmap(lambda beta: theory.optimal_policy(problem, beta))(betas)
    rest = jnp.logaddexp(optimum[:, 1], optimum[:, 2])
    k3 = jax.vmap(lambda beta: theory.k3_policy(problem, beta))(betas)
    shares = {"policy": (("beta", "pattern"), jnp.exp(optimum))}
    rests = {"log_rest": ("beta", rest), "log_rest_k3": ("beta", jnp.logaddexp(k3[:, 1], k3[:, 2]))}
    return lab.dataset(shares | rests, {"beta": betas, "pattern": PATTERNS})


def _ends(data: lab.Data, penalty: str, formula: str = "optimum") -> lab.Evidence:
    flows = data.flows.sel(penalty=penalty)
    gap = abs(flows.path.isel(time=-1) - flows[formula]).max("pattern", skipna=False)
    return lab.all_of(
        lab.close("largest difference in any share", gap, within=SAME),
        lab.close("flows that have not come to rest", (flows.status != 0).sum(), within=0.5),
    )


@study.claim(
    "The KL-regularised flow of the worked example ends at π_ref exp(R/β)/Z from π_ref and from random starts, "
    "for β from .1 to 10.",
    origin=papers.QRA_1,
)
def ends(data):
    return _ends(data, "reverse KL")


@ends.null("flows under the k3 penalty, against the same formula")
def _(data):
    return _ends(data, "k3 in the loss")


@study.claim(
    "None of 10,000 random policies has a higher regularised objective than π_ref exp(R/β)/Z.",
    origin=papers.QRA_1,
)
def optimal(data):
    return lab.exact("least shortfall of a random policy", data.rivals.formula).above(0)


@optimal.null("the base policy in the optimum's place")
def _(data):
    return lab.exact("least shortfall of a random policy", data.rivals.base).above(0)


def _vanishes(data: lab.Data, rest: str) -> lab.Evidence:
    few = data.small.where(data.small.beta < 0.03, drop=True)
    gap = float(np.diff(np.sort(np.asarray(examples.worked().success))[-2:])[0])
    fitted = lab.slope("d log(1 − π_opt(r*)) / d(1/β) for β < .03", few[rest], 1 / few.beta, along="beta")
    return fitted.near(-gap, within=1e-3)


@study.claim(
    "As β → 0, down to .003, the optimum picks argmax R; the rest vanishes like exp(−(p₁ − p₂)/β).",
    origin=lab.Derived("π_opt = π_ref exp(R/β)/Z to leading order in exp(−1/β)", (papers.QRA_1,)),
)
def limit(data):
    last = lab.exact("log(1 − π_opt(r*)) at the smallest β", data.small.log_rest.isel(beta=0))
    return lab.all_of(_vanishes(data, "log_rest"), last.below(np.log(1e-12)))


@limit.null("the optimum under the k3 penalty, whose rest vanishes like β")
def _(data):
    return _vanishes(data, "log_rest_k3")


@study.claim(
    "With the KL penalty as mostly coded (k3 in the loss) the flow of the worked example ends at the same policy.",
    origin=lab.Asked("Common practice puts the k3 estimator into the loss and calls it the KL term."),
    conflicts_with=["kl-variants/forward"],
)
def coded(data):
    return _ends(data, "k3 in the loss")


@coded.null("flows under reverse KL, against the formula of the other KL divergence")
def _(data):
    return _ends(data, "reverse KL", "forward")


@coded.positive("flows under reverse KL")
def _(data):
    return _ends(data, "reverse KL")


@study.figure
def draw(data: lab.Data) -> Figure:
    """π_opt against β with the flow's end points on it; the flow's paths in the simplex."""
    figure, (left, right) = plot.new((7.4, 3.5), ncols=2, width_ratios=[1.25, 1])
    flows, fine, colors = data.flows, data.small, plot.pattern_colors(3, best=0, rival=1)
    reverse = flows.sel(penalty="reverse KL")
    for r, name in enumerate(PATTERNS):
        left.plot(fine.beta, fine.policy[:, r], color=colors[r], label=name)
        dots = reverse.path[..., -1, r]
        left.plot(
            np.repeat(flows.beta, flows.sizes["start"]),
            dots.values.ravel(),
            "o",
            color=colors[r],
            mec="white",
        )
    k3 = flows.path.sel(penalty="k3 in the loss").isel(start=0, time=-1, pattern=0)
    left.plot(k3.beta, k3, ":", color=colors[0], linewidth=1.4)
    where = (k3.beta[1], k3[1])
    left.annotate(
        "best, with k3\nin the loss", where, (8, 2), textcoords="offset points", color=colors[0], fontsize=8
    )
    left.set(xscale="log", xlabel="strength of the KL term β", ylabel="share π", ylim=(-0.02, 1.02))
    left.legend(loc="center right", bbox_to_anchor=(1.02, 0.53))
    left.set_title("Flows (dots) end on the formula (lines)")
    plot.simplex_axes(("best", "rival", "poor"), ax=right)
    middle = reverse.sel(beta=0.2)
    for start, path in zip(middle.from_.values, middle.path.values, strict=True):
        plot.simplex(np.vstack([start, path]), ax=right, color=plot.MUTED, linewidth=1)
        plot.simplex(start[None], ax=right, color=plot.MUTED, marker="o", markersize=3, linewidth=0)
    plot.simplex(fine.policy.values, ax=right, color="black", linewidth=2)
    marks = [(middle.optimum.values[0], "optimum at β = 0.2", (-46, -24))]
    marks += [(middle.from_.values[0], "π_ref (β → ∞)", (8, 2)), (fine.policy.values[0], "β → 0", (8, 5))]
    for policy, text, shift in marks:
        plot.simplex(policy[None], ax=right, color="black", marker="o", linewidth=0)
        right.annotate(text, plot.ternary(policy), shift, textcoords="offset points", fontsize=8)
    right.set_title(f"All {middle.sizes['start']} starts reach the same point")
    return figure
