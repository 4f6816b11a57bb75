"""What does KL-regularised training converge to?

Claim QRA-1 (Chen, Li, Zou, arXiv 2506.04695, Prop. 5.2): the maximiser of E[R] − β KL(π‖π_ref) is
π_opt(r) ∝ π_ref(r) exp(R_r/β), and as β → 0 it picks the pattern with the highest reward.

Control: gradient flow of the regularised objective, from the base policy and from random starts, has to end
there. Beside it stands the penalty as it is mostly coded, the k3 estimator as a term of the loss: its mean
gradient is that of the other KL divergence, so its end point is another one.

Problem: the worked example of Theorem 5.4, π_ref = (.05, .70, .25), success rates (.9, .6, .1).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from qra_jax import flow, metrics, plot, regularizer, theory
from qra_jax.problem import examples, random
from qra_jax.studies.base import Verdict, verdict

TITLE = "Optimal policy: the regularised flow ends at π_ref·exp(R/β) from every start"
SOURCE = "QRA-1; Chen, Li, Zou, arXiv 2506.04695, Prop. 5.2"
LONG, STILL = 1e6, 1e-9
"""A flow has ended when no logit moves faster than STILL; its slowest mode decays at rate β π_min > 5e-5."""


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """The optimum on a fine grid of β, and flows to the end and on the way for some β and starts."""
    problem = examples.worked()
    starts = jax.vmap(lambda key: random(key, 3).log_ref)(
        jax.random.split(jax.random.key(seed), 3 if quick else 11)
    )
    starts = jnp.concatenate([problem.log_ref[None], starts])
    betas = jnp.array([0.1, 0.2, 0.5, 2, 10] if quick else [0.1, 0.14, 0.2, 0.3, 0.5, 1, 2, 5, 10])
    k3_betas = jnp.logspace(-1, 1, 17)

    def end(
        beta: jax.Array, start: jax.Array, penalty: regularizer.Regularizer
    ) -> tuple[jax.Array, jax.Array]:
        ts = jnp.logspace(-2, np.log10(LONG), 100)
        stop = {"event": "steady", "target": STILL, "rtol": 1e-11, "atol": 1e-11, "max_steps": 16384}
        path = flow.solve(problem, ts=ts, regularizers=[penalty], log_policy0=start, **stop)
        return path.log_policy, path.status

    def reverse(beta: jax.Array, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        return end(beta, start, regularizer.reverse_kl(beta))

    def k3(beta: jax.Array) -> tuple[jax.Array, jax.Array]:
        return end(beta, problem.log_ref, regularizer.k3_loss(beta))

    paths, status = jax.jit(jax.vmap(jax.vmap(reverse, (None, 0)), (0, None)))(betas, starts)
    k3_paths, k3_status = jax.jit(jax.vmap(k3))(k3_betas)
    fine = jnp.logspace(-2.5, 1.5, 161)
    optimum = jax.vmap(lambda beta: theory.optimal_policy(problem, beta))
    rivals = jax.vmap(lambda key: random(key, 3).log_ref)(jax.random.split(jax.random.key(seed + 1), 10_000))

    def objective(log_policy: jax.Array, beta: jax.Array) -> jax.Array:
        penalty = beta * metrics.kl(log_policy, problem.log_ref)
        return metrics.accuracy(log_policy, problem.success) - penalty

    best = jax.vmap(objective)(optimum(betas), betas)
    others = jax.vmap(lambda beta: jax.vmap(lambda pi: objective(pi, beta))(rivals))(betas)
    data = {
        "success": problem.success,
        "ref": problem.ref,
        "starts": jnp.exp(starts),
        "betas": betas,
        "paths": jnp.exp(paths),
        "ends": jnp.exp(paths[:, :, -1]),
        "k3_betas": k3_betas,
        "k3_optimum": jnp.exp(optimum(k3_betas)),
        "k3_ends": jnp.exp(k3_paths[:, -1]),
        "optimum": jnp.exp(optimum(betas)),
        "fine_betas": fine,
        "fine_log_optimum": optimum(fine),
        "shortfall": jnp.min(best[:, None] - others, axis=1),
        "status": jnp.concatenate([status.ravel(), k3_status]),
    }
    return {name: np.asarray(value) for name, value in data.items()}


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """π_opt against β with the flow's end points on it; the flow's paths in the simplex."""
    figure, (left, right) = plot.new((7.4, 3.5), ncols=2, width_ratios=[1.25, 1])
    betas, colors = data["betas"], plot.pattern_colors(3, best=0, rival=1)
    for r, name in enumerate(["best, p = .9", "rival, p = .6", "poor, p = .1"]):
        left.plot(data["fine_betas"], np.exp(data["fine_log_optimum"][:, r]), color=colors[r], label=name)
        repeated = np.repeat(betas, data["ends"].shape[1])
        left.plot(repeated, data["ends"][:, :, r].ravel(), "o", color=colors[r], markeredgecolor="white")
    left.plot(data["k3_betas"], data["k3_ends"][:, 0], ":", color=colors[0], linewidth=1.4)
    left.annotate(
        "best, with k3\nin the loss",
        (data["k3_betas"][4], data["k3_ends"][4, 0]),
        (8, 2),
        textcoords="offset points",
        color=colors[0],
        fontsize=8,
    )
    left.set(xscale="log", xlabel="strength of the KL term β", ylabel="share π", ylim=(-0.02, 1.02))
    left.legend(loc="center right", bbox_to_anchor=(1.02, 0.53))
    left.set_title("Flows (dots) end on the formula (lines)")
    plot.simplex_axes(("best", "rival", "poor"), ax=right)
    middle = int(np.argmin(np.abs(betas - 0.2)))
    for path, start in zip(data["paths"][middle], data["starts"], strict=True):
        plot.simplex(np.vstack([start, path]), ax=right, color=plot.MUTED, linewidth=1)
        plot.simplex(start[None], ax=right, color=plot.MUTED, marker="o", markersize=3, linewidth=0)
    curve = np.exp(data["fine_log_optimum"])
    plot.simplex(curve, ax=right, color="black", linewidth=2)
    target = data["optimum"][middle]
    for policy, text, shift in [
        (target, f"optimum at β = {betas[middle]:.2g}", (-46, -24)),
        (data["ref"], "π_ref (β → ∞)", (8, 2)),
        (curve[0], "β → 0", (8, 5)),
    ]:
        plot.simplex(policy[None], ax=right, color="black", marker="o", linewidth=0)
        right.annotate(text, plot.ternary(policy), shift, textcoords="offset points", fontsize=8)
    right.set_title("Every start reaches the same point")
    return figure


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """End points, the limit β → 0, optimality, and the k3 penalty."""
    gap = np.abs(data["ends"] - data["optimum"][:, None]).max()
    rest = np.logaddexp(data["fine_log_optimum"][:, 1], data["fine_log_optimum"][:, 2])
    small = data["fine_betas"] < 0.03
    slope = np.polyfit(1 / data["fine_betas"][small], rest[small], 1)[0]
    p = np.sort(data["success"])
    picked = int(np.argmax(data["fine_log_optimum"][0])) == int(np.argmax(data["success"]))
    k3_gap = np.abs(data["k3_ends"] - data["k3_optimum"]).max()
    starts, betas = data["starts"].shape[0], data["betas"]
    return [
        Verdict(
            f"The KL-regularised flow ends at π_ref exp(R/β)/Z from every start ({starts} starts, β from "
            f"{betas[0]:.2g} to {betas[-1]:.2g}).",
            SOURCE,
            "largest difference in any share: 0",
            f"{gap:.1e}",
            verdict(gap < 1e-6 and (data["status"] == 0).all()),
        ),
        Verdict(
            "No policy has a higher regularised objective (10 000 random policies for each β).",
            SOURCE,
            "smallest shortfall: above 0",
            f"{data['shortfall'].min():.1e}",
            verdict((data["shortfall"] > 0).all()),
        ),
        Verdict(
            "As β → 0 the optimum picks argmax R; the rest vanishes like exp(−(p₁ − p₂)/β).",
            SOURCE,
            f"exponent −(p₁ − p₂) = {p[-2] - p[-1]:.3f}",
            f"{slope:.4f}; share of the rest at β = {data['fine_betas'][0]:.1g}: {np.exp(rest[0]):.0e}",
            verdict(picked and abs(slope - (p[-2] - p[-1])) < 1e-3 and rest[0] < np.log(1e-12)),
        ),
        Verdict(
            "The KL penalty as mostly coded (k3 in the loss) has the same optimum.",
            "common practice; the mean gradient of k3 is that of KL(π_ref‖π)",
            "largest difference in any share: 0",
            f"{k3_gap:.2f}",
            verdict(k3_gap < 1e-6),
        ),
    ]
