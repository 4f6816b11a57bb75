"""Hitting times of π(r*) = .99 on random problems: `qra.many(orbit.hit)` beside SciPy and diffrax with an event.

    python benchmarks/orbit.py                # about ten minutes on two cores
    python benchmarks/orbit.py --batch 100000 # the largest batch; a million by default

Problems have 10 patterns (Dirichlet(1) base policy, uniform success rates), float64. The peers integrate the ODE in
time and stop at the event: they are given only problems with T < 1e5, and the count of the others is reported.
Tolerances are set so that the peers' errors are of the size in the table; the orbit's are smaller.
"""

from __future__ import annotations

import argparse
import resource
import time
from functools import partial

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import scipy.integrate
from _common import compiled, environment, interleaved, save, show, summary

jax.config.update("jax_enable_x64", True)

from qra_jax import many, orbit, problem  # noqa: E402

PATTERNS, TARGET, REACH, RTOL = 10, 0.99, 1e5, 1e-8
hits = many(partial(orbit.hit, target=TARGET))


def draw(count, seed=0):
    """Random problems."""
    return jax.jit(jax.vmap(lambda key: problem.random(key, PATTERNS)))(
        jax.random.split(jax.random.key(seed), count)
    )


def with_diffrax(one):
    """Tsit5 in time with an event at the target, the way one would write it by hand."""
    best = jnp.argmax(one.success)

    def field(t, theta, args):
        policy = jax.nn.softmax(theta)
        return policy * (one.success - jnp.sum(policy * one.success))

    def reached(t, y, args, **kwargs):
        return jax.nn.log_softmax(y)[best] - jnp.log(TARGET)

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Tsit5(),
        t0=0.0,
        t1=2 * REACH,
        dt0=None,
        y0=one.log_ref,
        stepsize_controller=diffrax.PIDController(rtol=RTOL, atol=RTOL),
        event=diffrax.Event(reached, optimistix.Newton(1e-10, 1e-10)),
        max_steps=100_000,
        throw=False,
    )
    return solution.ts[0], solution.stats["num_steps"]


def with_scipy(log_ref, success):
    """LSODA in time with a terminal event."""
    best = int(np.argmax(success))

    def field(t, theta):
        policy = np.exp(theta - theta.max())
        policy /= policy.sum()
        return policy * (success - policy @ success)

    def reached(t, theta):
        return theta[best] - theta.max() - np.log(np.exp(theta - theta.max()).sum()) - np.log(TARGET)

    reached.terminal, reached.direction = True, 1.0
    solution = scipy.integrate.solve_ivp(
        field, (0.0, 2 * REACH), log_ref, method="LSODA", rtol=RTOL, atol=RTOL, events=reached
    )
    return float(solution.t_events[0][0])


def throughput(sizes, repeats):
    """Problems per second of `qra.many(orbit.hit)`, run time apart from compile time."""
    rows = []
    for size in sizes:
        problems = draw(size)
        start = time.perf_counter()
        hits(problems)
        first = time.perf_counter() - start
        seconds = []
        cpu = time.process_time()
        for _ in range(repeats if size < 500_000 else 1):
            start = time.perf_counter()
            found = hits(problems)
            seconds.append(time.perf_counter() - start)
        cpu = (time.process_time() - cpu) / len(seconds) / size
        timing = summary(seconds)
        rows.append(
            {
                "problems": size,
                **timing,
                "first_call_s": first,
                "problems_per_s": size / timing["median_s"],
                "cpu_us_each": cpu * 1e6,
                "mean_panels": float(found.panels.mean()),
                "all_ok": bool((found.status == 0).all()),
                "peak_memory_GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            }
        )
    return rows


def peers(count, repeats):
    """Time and error of each method on problems that integrators in time can finish."""
    problems = draw(4096, seed=1)
    exact = np.exp(np.asarray(hits(problems).log_time))
    easy = np.flatnonzero(exact < REACH)
    beyond = int((exact >= REACH).sum())
    chosen = jax.tree.map(lambda leaf: leaf[easy[:count]], problems)
    truth = exact[easy[:count]]
    diffrax_run, diffrax_compile = compiled(jax.vmap(with_diffrax), chosen)
    orbit_run, orbit_compile = compiled(jax.vmap(lambda one: orbit.hit(one, TARGET).log_time), chosen)
    log_ref, success = np.asarray(chosen.log_ref), np.asarray(chosen.success)
    few = min(32, count)
    contenders = {
        "qra.many(orbit.hit)": lambda: hits(chosen).log_time,
        "vmap(orbit.hit)": lambda: orbit_run(chosen),
        "diffrax Tsit5, vmap": lambda: diffrax_run(chosen),
        "SciPy LSODA": lambda: np.array(
            [with_scipy(*x) for x in zip(log_ref[:few], success[:few], strict=True)]
        ),
    }
    seconds = interleaved(contenders, repeats)
    times = {
        "qra.many(orbit.hit)": np.exp(np.asarray(contenders["qra.many(orbit.hit)"]())),
        "vmap(orbit.hit)": np.exp(np.asarray(orbit_run(chosen))),
        "diffrax Tsit5, vmap": np.asarray(diffrax_run(chosen)[0]),
        "SciPy LSODA": contenders["SciPy LSODA"](),
    }
    compile_s = {"diffrax Tsit5, vmap": diffrax_compile, "vmap(orbit.hit)": orbit_compile}
    rows = []
    for name, timing in seconds.items():
        size = few if name == "SciPy LSODA" else len(truth)
        error = np.abs(times[name] / truth[: len(times[name])] - 1)
        rows.append(
            {
                "method": name,
                "problems": size,
                "median_s": summary(timing)["median_s"],
                "problems_per_s": size / summary(timing)["median_s"],
                "compile_s": compile_s.get(name, 0.0),
                "median_error": float(np.median(error)),
                "max_error": float(np.max(error)),
            }
        )
    note = {"problems_drawn": 4096, "beyond_1e5": beyond, "longest_log10_time": float(np.log10(exact.max()))}
    return rows, note


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=1_000_000, help="size of the largest batch")
    parser.add_argument("--peers", type=int, default=256, help="problems for the comparison")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    note_of_machine = environment("diffrax", "scipy")
    rows = throughput([4096, 65_536, options.batch], options.repeats)
    show(f"Hitting times of π(r*) = {TARGET}, {PATTERNS} patterns, float64", rows)
    compared, note = peers(options.peers, min(options.repeats, 3))
    show(
        f"Beside integration in time, problems with T < {REACH:g} ({note['beyond_1e5']} of 4096 are beyond)",
        compared,
    )
    path = save(
        "orbit", {"environment": note_of_machine, "throughput": rows, "peers": compared, "note": note}
    )
    print(f"wrote benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
