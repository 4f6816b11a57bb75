"""Flow of REINFORCE on many random problems: `flow.solve` beside bare diffrax and SciPy, at equal tolerance.

    python benchmarks/flow.py            # about ten minutes on two cores
    python benchmarks/flow.py --large 0  # without the batch of 100 000

Problems have 10 patterns (Dirichlet(1) base policy, uniform success rates), 101 save points up to t = 100,
relative and absolute tolerance 1e-6. `bare` is the simplest vector field one would write by hand, given to
the same solver and step controller; like `flow.solve` it returns log π at the save points and the number of
steps.
"""

from __future__ import annotations

import argparse
from statistics import median

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate
from _common import compiled, environment, interleaved, save, show, summary

jax.config.update("jax_enable_x64", True)

from qra_jax import flow, problem  # noqa: E402
from qra_jax.batching import many  # noqa: E402

PATTERNS, TOLERANCE, SUBSET = 10, 1e-6, 64
TIMES = np.linspace(0.0, 100.0, 101)


def draw(count, dtype):
    """Random problems in the given dtype."""
    batch = jax.vmap(lambda key: problem.random(key, PATTERNS))(jax.random.split(jax.random.key(0), count))
    return jax.tree.map(lambda x: x.astype(dtype), batch)


def ours(one):
    trajectory = flow.solve(one, ts=TIMES, rtol=TOLERANCE, atol=TOLERANCE)
    return trajectory.log_policy, trajectory.stats["steps"]


def bare(one):
    def field(t, theta, args):
        policy = jax.nn.softmax(theta)
        return policy * (one.success - jnp.sum(policy * one.success))

    ts = jnp.asarray(TIMES, one.log_ref.dtype)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Tsit5(),
        t0=ts[0],
        t1=ts[-1],
        dt0=None,
        y0=one.log_ref,
        saveat=diffrax.SaveAt(ts=ts),
        stepsize_controller=diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE),
        max_steps=4096,
        throw=False,
    )
    return jax.nn.log_softmax(solution.ys), solution.stats["num_steps"]


def scipy_solve(log_ref, success, method, tolerance=TOLERANCE):
    """log π at the save points for one problem, by SciPy."""

    def field(t, theta):
        policy = np.exp(theta - theta.max())
        policy /= policy.sum()
        return policy * (success - policy @ success)

    span = (TIMES[0], TIMES[-1])
    theta = scipy.integrate.solve_ivp(field, span, log_ref, method, TIMES, rtol=tolerance, atol=tolerance).y.T
    top = theta.max(axis=1, keepdims=True)
    return theta - top - np.log(np.exp(theta - top).sum(axis=1, keepdims=True))


def all_scipy(batch, method, tolerance=TOLERANCE):
    pairs = zip(np.asarray(batch.log_ref, float), np.asarray(batch.success, float), strict=True)
    return np.stack([scipy_solve(*pair, method, tolerance) for pair in pairs])


def error(log_policy, reference):
    """Largest error of π at any save point."""
    return float(np.max(np.abs(np.exp(np.asarray(log_policy, float)) - np.exp(reference))))


def blocks(count, dtype, sizes, repeats, reference):
    """`ours` and `bare` at each block size, in the same rounds."""
    batch, runs, rows = draw(count, dtype), {}, {}
    for size in sizes:
        for name, function in (("ours", ours), ("bare", bare)):

            def blocked(batch, function=function, size=size):
                return (
                    jax.lax.map(function, batch, batch_size=size)
                    if size < count
                    else jax.vmap(function)(batch)
                )

            run, seconds = compiled(blocked, batch)
            runs[name, size] = lambda run=run: run(batch)
            log_policy, steps = run(batch)
            rows[name, size] = {
                "solver": name,
                "dtype": np.dtype(dtype).name,
                "block": size,
                "compile_s": seconds,
                "steps_mean": float(steps.mean()),
                "steps_max": int(steps.max()),
                "max_error": error(log_policy[:SUBSET], reference),
            }
    timings = interleaved(runs, repeats)
    for (name, size), row in rows.items():
        row |= summary(timings[name, size])
        row["overhead"] = median(
            a / b for a, b in zip(timings[name, size], timings["bare", size], strict=True)
        )
        row["problems_per_s"] = count / row["median_s"]
    return list(rows.values())


def large(count, dtype, block, repeats):
    """A batch that does not fit the cache: one vmap, blocks on one thread, `many` on all cores."""
    batch = draw(count, dtype)
    runs = {
        "one vmap": compiled(jax.vmap(ours), batch)[0],
        f"blocks of {block}": compiled(lambda x: jax.lax.map(ours, x, batch_size=block), batch)[0],
        f"many(block={block})": many(ours, block=block, chunk=1024),
    }
    timings = interleaved({name: lambda run=run: run(batch) for name, run in runs.items()}, repeats)
    return [
        {"batch": count, "how": name, **summary(seconds), "problems_per_s": count / median(seconds)}
        for name, seconds in timings.items()
    ]


def columns(rows, *names):
    return [{name: row[name] for name in names} for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=4096)
    parser.add_argument("--large", type=int, default=100_000, help="0 leaves it out")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    about = environment("diffrax", "scipy")
    count = options.problems
    sizes = sorted({size for size in (64, 256, 1024) if size < count} | {count})

    subset = draw(SUBSET, "float64")
    reference = all_scipy(subset, "DOP853", 1e-10)
    rows = []
    for dtype in ("float64", "float32"):
        rows += blocks(count, dtype, sizes, options.repeats, reference)
    names = (
        "solver",
        "dtype",
        "block",
        "compile_s",
        "median_s",
        "overhead",
        "problems_per_s",
        "steps_max",
        "max_error",
    )
    show(
        f"{count} problems × {PATTERNS} patterns × {TIMES.size} save points, tolerance {TOLERANCE:g}",
        columns(rows, *names),
    )

    mine = [row for row in rows if row["solver"] == "ours" and row["dtype"] == "float64"]
    best = min(mine, key=lambda row: row["median_s"])
    batch = draw(count, "float64")
    spread = many(ours, block=best["block"], chunk=max(best["block"], count // 16))
    contenders = {f"flow.solve, blocks of {best['block']}, all cores": lambda: spread(batch)}
    contenders |= {
        f"SciPy {method}": lambda method=method: all_scipy(subset, method) for method in ("LSODA", "RK45")
    }
    timings = interleaved(contenders, options.repeats)
    peers = [
        {
            "how": f"flow.solve, blocks of {best['block']}",
            "timed": count,
            "seconds": best["median_s"],
            "max_error": best["max_error"],
        }
    ]
    for name, seconds in timings.items():
        is_scipy = name.startswith("SciPy")
        solution = all_scipy(subset, name.split()[1]) if is_scipy else spread(batch)[0][:SUBSET]
        scale = count / SUBSET if is_scipy else 1
        peers.append(
            {
                "how": name,
                "timed": SUBSET if is_scipy else count,
                "seconds": median(seconds) * scale,
                "max_error": error(solution, reference),
            }
        )
    for row in peers:
        row["times_slower"] = row["seconds"] / best["median_s"]
    show(f"{count} problems in float64; SciPy timed on {SUBSET} of them and scaled up", peers)

    huge = large(options.large, "float64", best["block"], min(3, options.repeats)) if options.large else []
    if huge:
        show("A large batch in float64", columns(huge, "batch", "how", "median_s", "problems_per_s"))
    path = save(
        "flow",
        {"environment": about, "best_block": best["block"], "blocks": rows, "peers": peers, "large": huge},
    )
    print(f"wrote {path.parent.name}/{path.name}")


if __name__ == "__main__":
    main()
