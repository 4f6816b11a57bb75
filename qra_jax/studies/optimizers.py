r"""Does the optimiser decide whether training stalls?

Context: SGD is reported to match Adam in RL (claim GEO-3, arXiv 2602.07729). In this model the optimiser is the
geometry of the flow. With g = c(ρ) π⊙(p − ρ) the mean gradient:

- SGD follows the exact orbit; momentum the same orbit at 1/(1 − μ) of the speed (small rates).
- The natural gradient drops the factor π and follows another orbit, π ∝ π_ref exp(pτ).
- Sign descent moves every logit at one speed, up iff p_r > ρ: dρ/dt = Σ π |p − ρ|. What is better than average
  keeps its shares in proportion while the rest dies out exponentially, until ρ passes the worst of them: every
  entanglement ends in logarithmic time. Adam divides by √(mean of g²); on exact means it is sign descent as long as
  gradients change slowly against its memory.
- On sampled groups Adam divides by the noise instead, $\dot\theta = \bar g/\sqrt{\bar g^2+{\rm Var}\,g}$, with the
  exact variance of this package; where noise dominates it is ∝ π, and the flow ∝ √π (p − ρ), half-way between SGD
  and the natural gradient.

Measured: the distance of paths from both orbits, whatever the speed; steps to a settled π(r*) ≥ .9 with exact
means, at rates matched so that the first 50 steps gain equally much, on named and on random problems; steps with
sampled groups (GRPO, G = 16) at the rate that is best for each optimiser and problem out of one grid.

Control: one grid of rates for all, two to a decade, and the exact hitting time for SGD.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import flow, orbit, plot
from qra_jax.algorithm import grpo
from qra_jax.batching import many
from qra_jax.problem import Problem, examples, stack
from qra_jax.studies.base import ONLY_IF, Verdict, verdict
from qra_jax.studies.rl_in_name_only import path_distance
from qra_jax.training import gradient_covariance, measure, train

TITLE = "Optimisers: SGD waits out an entanglement, Adam, signs and the natural gradient walk round it"
SOURCE = "theory of this package"
CONTEXT = "GEO-3; arXiv 2602.07729"
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"optimizer": optax.sgd},
    "momentum": {"optimizer": partial(optax.sgd, momentum=0.9)},
    "natural gradient": {"optimizer": optax.sgd, "geometry": "natural"},
    "Adam": {"optimizer": optax.adam},
    "sign": {"optimizer": optax.sign_sgd},
}
COLORS = dict(
    zip(
        OPTIMIZERS,
        [plot.BEST, plot.CYCLE[5], plot.color("natural gradient"), plot.RIVAL, plot.CYCLE[4]],
        strict=True,
    )
)
PATTERNS, GROUP = 10, 16
NAMED = ("Regime 1", "entangled, γ = 6", "entangled, γ = 21", "cold start")
WORKED = 1
TARGET, PARTED = 0.9, 0.01
"""Share of r* that counts as solved; largest difference in a share beyond which a path has left a curve."""
RATES, SAMPLED_STEPS = np.logspace(-2.5, 2, 10), 2000
EVERY, EARLY, GAIN = 10, 50, 0.1
"""Steps between records; rates are matched so that EARLY steps gain this share of what accuracy can still rise."""
SURE = 0.9
"""Share of sampled runs that have to settle."""
MATCH = 2.0
"""Factor in steps within which one optimiser matches another."""
NOISY, ADAM_RATE, ADAM_STEPS, MEMORY = 32, 1e-3, 10_000, 0.99
"""Sampled Adam against its flow: runs, small steps, and a memory (β₂) that is short against the path."""


def compute(*, quick: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """Paths and times of all optimisers on exact means and samples, and the flow of noisy Adam."""
    key_runs, key_adam = jax.random.split(jax.random.key(seed))
    rng, count = np.random.default_rng(seed), 60 if quick else 120
    ref = rng.dirichlet(np.ones(PATTERNS), count)
    drawn = Problem(jnp.log(ref), jnp.asarray(rng.random((count, PATTERNS))))
    problems = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), _named(), drawn)
    named = jax.tree.map(lambda leaf: leaf[: len(NAMED)], problems)
    worked, steps = examples.worked(), 4000 if quick else 20_000

    def trained(name: str) -> dict[str, Any]:
        options = OPTIMIZERS[name]
        found = _means(problems, steps, options)
        found["settled"] = _samples(key_runs, named, 10 if quick else 40, options)
        return {f"{name}/{key}": value for key, value in found.items()}

    tasks = [partial(_theory, named, worked), partial(_noisy_adam, key_adam, worked)]
    tasks += [partial(trained, name) for name in OPTIMIZERS]
    data: dict[str, Any] = {"steps": np.array(steps), "sampled_steps": np.array(SAMPLED_STEPS)}
    with ThreadPoolExecutor(2) as pool:  # most of the time goes to compiling, one core for each task
        for found in pool.map(lambda task: task(), tasks):
            data |= found
    return {name: np.asarray(value) for name, value in data.items()}


def _theory(named: Problem, worked: Problem) -> dict[str, Any]:
    """SGD's exact log times to the target, and both orbits of the worked example."""
    exact = partial(orbit.log_hitting_time, target=TARGET, algorithm=grpo(GROUP))
    sgd = jax.jit(jax.vmap(partial(orbit.policy, worked)))
    natural = jax.jit(jax.vmap(partial(orbit.policy, worked, geometry="natural")))
    return {
        "exact": jax.jit(jax.vmap(exact))(_short(named)),
        "curve/SGD": jnp.exp(sgd(jnp.logspace(-1, 4, 1500))),
        "curve/natural gradient": jnp.exp(natural(jnp.linspace(0, 40, 1500))),
    }


def _named() -> Problem:
    """The named problems, with patterns without mass up to PATTERNS."""
    cold = Problem.from_probs(ref=[0.01, 0.19, 0.8], success=[1.0, 0.3, 0.01])
    three = stack([examples.fast(), examples.worked(), examples.entangled(21.0), cold])
    rest = ((0, 0), (0, PATTERNS - 3))
    return Problem(
        jnp.pad(three.log_ref, rest, constant_values=-jnp.inf),
        jnp.pad(three.success, rest, constant_values=0.0),
    )


def _short(problem: Problem) -> Problem:
    return Problem(problem.log_ref[..., :3], problem.success[..., :3])


def _means(problems: Problem, steps: int, options: dict[str, Any]) -> dict[str, Any]:
    """Exact means at matched rates: the rate and settled steps `[problems]`, and the path of the worked example."""

    def run(problem: Problem, rate: Array, steps: int, every: int) -> Any:
        return train(
            jax.random.key(0),
            problem,
            steps=steps,
            record_every=every,
            algorithm=grpo(GROUP),
            mode="mean",
            learning_rate=rate,
            **options,
        )

    def early(problem: Problem, rate: Array) -> Array:
        accuracy = run(problem, rate, EARLY, EARLY).accuracy
        return accuracy[1] - accuracy[0]

    def late(problem: Problem, rate: Array) -> tuple[Array, Array]:
        policy = run(problem, rate, steps, EVERY).policy
        return _settled(policy[:, problem.best]), policy[:, :3]

    grid = jnp.logspace(-5, 2, 141)
    gain = np.asarray(jax.jit(jax.vmap(jax.vmap(early, (None, 0)), (0, None)))(problems, grid))
    goal = GAIN * np.asarray(problems.success.max(axis=-1) - problems.accuracy_ref)
    rate = np.asarray(grid)[[_matched(row, g) for row, g in zip(gain, goal, strict=True)]]
    reached, policy = many(late, block=32)(problems, rate)
    return {"rate": rate, "reached": reached, "path": policy[WORKED]}


def _matched(gain: np.ndarray, goal: float) -> int:
    """The rate whose early gain is nearest to the goal by factor, among those before the gain is largest."""
    rising = np.maximum(gain[: int(np.argmax(gain)) + 1], 1e-300)
    return int(np.argmin(np.abs(np.log(rising / goal))))


def _settled(share: Array) -> Array:
    """Step from which on the share of r* stays above the target, of records every EVERY steps; inf if never."""
    below = share < TARGET
    last = share.shape[0] - 1 - jnp.argmax(below[::-1])
    step = jnp.where(jnp.any(below), last + 1, 0)
    return jnp.where(below[-1] | ~jnp.isfinite(share[-1]), jnp.inf, step * EVERY)


def _samples(key: Array, problems: Problem, seeds: int, options: dict[str, Any]) -> np.ndarray:
    """Sampled groups: settled steps `[problems, rates, seeds]`."""

    def one(key: Array, problem: Problem, rate: Array) -> Array:
        run = measure(
            ("best",),
            key,
            problem,
            steps=SAMPLED_STEPS,
            record_every=EVERY,
            algorithm=grpo(GROUP),
            learning_rate=rate,
            **options,
        )
        return _settled(run.values["best"])

    problems = _short(problems)
    shape = (problems.success.shape[0], len(RATES), seeds)
    index, which, seed = (grid.ravel() for grid in np.meshgrid(*map(np.arange, shape), indexing="ij"))
    chosen = jax.tree.map(lambda leaf: leaf[index], problems)
    return np.asarray(many(one, block=256)(jax.random.split(key, seeds)[seed], chosen, RATES[which])).reshape(
        shape
    )


def _noisy_adam(key: Array, problem: Problem) -> dict[str, Any]:
    """Adam on sampled groups at a small rate, and the flow that it should follow."""
    algorithm = grpo(GROUP)

    def one(key: Array) -> Array:
        return train(
            key,
            problem,
            steps=ADAM_STEPS,
            record_every=ADAM_STEPS // 200,
            algorithm=algorithm,
            optimizer=partial(optax.adam, b2=MEMORY),
            learning_rate=ADAM_RATE,
        ).policy

    def velocity(logits: Array) -> Array:
        log_policy = jax.nn.log_softmax(logits)
        mean = flow.drift(problem, log_policy, algorithm=algorithm)
        noise = jnp.diag(gradient_covariance(problem, log_policy, algorithm=algorithm))
        return mean / jnp.sqrt(mean**2 + noise)

    def euler(logits: Array, _: Any) -> tuple[Array, Array]:
        def small(z: Array, _: Any) -> tuple[Array, None]:
            return z + 0.005 * velocity(z), None

        logits = jax.lax.scan(small, logits, length=10)[0]
        return logits, jax.nn.softmax(logits)

    predicted = jax.jit(lambda z: jax.lax.scan(euler, z, length=800)[1])(problem.log_ref)
    runs = many(one, block=16)(jax.random.split(key, NOISY))
    return {
        "noisy/paths": jnp.mean(runs, axis=0),
        "curve/noisy Adam": jnp.concatenate([problem.ref[None], predicted]),
    }


def draw(data: Mapping[str, np.ndarray]) -> Figure:
    """Paths in the simplex; steps at matched early progress; steps on random problems; tuned steps on samples."""
    figure, axes = plot.new((10.2, 7.2), nrows=2, ncols=2)
    _paths(data, axes[0, 0])
    _bars(data, axes[0, 1], "means")
    _reach(data, axes[1, 0])
    _bars(data, axes[1, 1], "samples")
    return figure


def _paths(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    plot.simplex_axes(("best", "rival", "poor"), ax=ax)
    for name in OPTIMIZERS:
        dashes = (0, (4, 3)) if name in ("momentum", "sign") else "-"
        plot.simplex(
            data[f"{name}/path"], ax=ax, color=COLORS[name], linestyle=dashes, label=name, linewidth=1.8
        )
    plot.simplex(data["noisy/paths"], ax=ax, color=COLORS["Adam"], linestyle=":", label="Adam, sampled")
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(-0.12, 1.0))
    ax.set_title("Only momentum shares SGD's path")


def _bars(data: Mapping[str, np.ndarray], ax: Axes, kind: str) -> None:
    width, limit = 0.8 / len(OPTIMIZERS), float(data["steps" if kind == "means" else "sampled_steps"])
    for i, name in enumerate(OPTIMIZERS):
        steps = data[f"{name}/reached"][: len(NAMED)] if kind == "means" else tuned(data, name)
        places = np.arange(len(NAMED)) + (i - (len(OPTIMIZERS) - 1) / 2) * width
        ax.bar(places, np.minimum(steps, limit), width, color=COLORS[name], label=name)
        for x, value in zip(places, steps, strict=True):
            if not np.isfinite(value):
                ax.text(x, limit, ">", ha="center", va="bottom", fontsize=9)
    ax.set_xticks(range(len(NAMED)), [name.replace(", ", ",\n") for name in NAMED])
    ax.set(yscale="log", ylim=(5, 12 * limit), ylabel=f"steps to π(r*) ≥ {TARGET:g}")
    factor = np.nanmax(tuned(data, "SGD") / tuned(data, "Adam"))
    near = f"Sampled, best rate of each: SGD is within {factor:.1f} × Adam"
    ax.set_title("Equal early progress: SGD waits" if kind == "means" else near)
    if kind == "means":
        ax.legend(fontsize=7.5, ncols=3, loc="upper left")


def _reach(data: Mapping[str, np.ndarray], ax: Axes) -> None:
    for name in OPTIMIZERS:
        steps = np.sort(data[f"{name}/reached"][len(NAMED) :])
        share = np.arange(1, len(steps) + 1) / len(steps)
        found = np.isfinite(steps)
        x = np.append(steps[found], data["steps"])
        y = np.append(share[found], share[found][-1] if found.any() else 0)
        ax.step(
            x, y, where="post", color=COLORS[name], linestyle="--" if name == "momentum" else "-", label=name
        )
    ax.set(
        xscale="log",
        xlabel="steps (equal early progress)",
        ylabel="share of random problems solved",
        ylim=(0, 1.02),
    )
    ticks = [100, 300, 1000, 3000, 10_000, 30_000]
    ax.set_xticks(ticks, [f"{tick}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlim(100, float(data["steps"]))
    ax.set_title("Random problems: SGD leaves many unsolved")


def tuned(data: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Steps after which SURE of the sampled runs have settled, at the best rate for each named problem."""
    ordered = np.sort(data[f"{name}/settled"], axis=-1)
    return ordered[..., int(np.ceil(SURE * ordered.shape[-1])) - 1].min(axis=-1)


def distances(data: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """How far each optimiser's path on the worked example is from SGD's orbit and from the natural one."""
    ref = data["SGD/path"][:1]
    curves = {name: np.concatenate([ref, data[f"curve/{name}"]]) for name in ("SGD", "natural gradient")}
    return {
        name: {curve: path_distance(data[f"{name}/path"][None], line[None]) for curve, line in curves.items()}
        for name in OPTIMIZERS
    }


def judge(data: Mapping[str, np.ndarray]) -> list[Verdict]:
    """Curves by PARTED, the exact time by one step of the grid, comparisons by MATCH and by paired counts."""
    apart = distances(data)
    own = {"SGD": "SGD", "momentum": "SGD", "natural gradient": "natural gradient"}
    stays = all(apart[name][curve] < PARTED for name, curve in own.items())
    leaves = all(min(apart[name].values()) > PARTED for name in ("Adam", "sign"))
    time = data["SGD/reached"][: len(NAMED)] * data["SGD/rate"][: len(NAMED)]
    step = EVERY * data["SGD/rate"][: len(NAMED)] / time
    off = np.abs(time / np.exp(data["exact"]) - 1)
    hit = np.isfinite(time)
    reached = {name: data[f"{name}/reached"] for name in OPTIMIZERS}
    stalled = [i for i, name in enumerate(NAMED) if name.startswith("entangled")]
    slow = np.minimum(reached["SGD"], data["steps"])[stalled]  # a lower bound where SGD is not there yet
    ratio = {name: slow / reached[name][stalled] for name in ("natural gradient", "Adam", "sign")}
    noisy = path_distance(data["noisy/paths"][None], data["curve/noisy Adam"][None])
    noisy_orbit = path_distance(data["noisy/paths"][None], data["curve/SGD"][None])
    random_share = {name: np.isfinite(steps[len(NAMED) :]) for name, steps in reached.items()}
    total = len(random_share["SGD"])
    wins = int((random_share["Adam"] & ~random_share["SGD"]).sum())
    losses = int((random_share["SGD"] & ~random_share["Adam"]).sum())
    sampled = {name: tuned(data, name) for name in OPTIMIZERS}
    with np.errstate(invalid="ignore"):
        factor = sampled["SGD"] / sampled["Adam"]
    inside = [name for name, x in zip(NAMED, factor, strict=True) if 1 / MATCH <= x <= MATCH]
    slower = sorted(set(NAMED) - set(inside))
    return [
        Verdict(
            "On exact means SGD and momentum follow the exact orbit, the natural gradient its exponential family; Adam "
            "and sign descent leave both.",
            SOURCE,
            f"distance below {PARTED} for the first three, above it for the others (worked example)",
            "; ".join(f"{name} {d['SGD']:.1g} / {d['natural gradient']:.1g}" for name, d in apart.items()),
            verdict(stays and leaves),
        ),
        Verdict(
            f"SGD takes the time of the exact orbit to π(r*) = {TARGET:g}.",
            SOURCE,
            f"t = {', '.join(f'{x:.1f}' for x in np.exp(data['exact']))} ({', '.join(NAMED)})",
            f"{', '.join(f'{x:.1f}' if np.isfinite(x) else 'not reached' for x in time)}",
            verdict(hit.any() and (off[hit] < 0.02 + step[hit]).all() and _late(data, hit)),
        ),
        Verdict(
            "At equal early progress the natural gradient, Adam and sign descent end an entanglement sooner than SGD.",
            SOURCE,
            "steps of SGD over theirs: above 1 on both entangled problems",
            "; ".join(f"{name} {' and '.join(f'{x:.1f}' for x in r)}" for name, r in ratio.items()),
            verdict(all((r > 1).all() for r in ratio.values())),
        ),
        Verdict(
            "On exact means Adam solves random problems that SGD does not, and hardly the reverse.",
            SOURCE,
            "significantly more (sign test, 99.9 %)",
            f"solved in {int(data['steps'])} steps, out of {total}: "
            + ", ".join(f"{name} {int(s.sum())}" for name, s in random_share.items())
            + f"; Adam alone {wins}, SGD alone {losses}",
            verdict(wins - losses > 3.29 * np.sqrt(max(wins + losses, 1))),
        ),
        Verdict(
            "On sampled groups Adam follows the flow ḡ/√(ḡ² + Var g), neither SGD's orbit nor sign descent.",
            "derived here",
            f"distance from it below {PARTED}, from the orbit above",
            f"{noisy:.3f} (mean of {NOISY} runs), from the orbit {noisy_orbit:.3f}",
            verdict(noisy < PARTED < noisy_orbit),
        ),
        Verdict(
            "SGD matches Adam in RL.",
            CONTEXT,
            f"settled steps at the best rate of each within a factor of {MATCH:g} (sampled, G = {GROUP})",
            "; ".join(
                f"{name}: {a:.0f} / {b:.0f}"
                for name, a, b in zip(NAMED, sampled["SGD"], sampled["Adam"], strict=True)
            ),
            verdict(not slower)
            if not inside or not slower
            else ONLY_IF + "restricted to: " + "; ".join(inside),
        ),
    ]


def _late(data: Mapping[str, np.ndarray], hit: np.ndarray) -> bool:
    """Whether what was not reached is predicted to be later than the last step."""
    limit = data["SGD/rate"][: len(NAMED)] * float(data["steps"])
    return bool((np.exp(data["exact"])[~hit] > 0.98 * limit[~hit]).all())
