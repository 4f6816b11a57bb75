"""`qra doctor`: what is installed, on which devices it runs, whether known numbers come out right, and plug-ins."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import qra_jax
from qra_jax import flow, orbit, registry, studies, training
from qra_jax._batches import cores
from qra_jax._plugins import Plugin
from qra_jax.algorithm import grpo
from qra_jax.fit.runs.plugins import READERS
from qra_jax.problem import Problem, examples
from qra_jax.studies.report import one_line

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "diffrax",
    "numpy",
    "matplotlib",
    "xarray",
    "zarr",
    "llvmlite",
    "ipywidgets",
    "voila",
)
"""Whose versions matter; llvmlite is for fast training, the last two are for notebooks."""


@dataclass(frozen=True)
class Check:
    """One thing that was tried.

    Attributes:
      name: what.
      error: how far off it was; NaN where it crashed.
      limit: how far it may be.
      seconds: how long it took, compiling included.
      crash: what it died of, in a line.
    """

    name: str
    error: float
    limit: float
    seconds: float
    crash: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it was near enough; NaN is not."""
        return bool(self.error <= self.limit)


def _orbit_is_flow(problem: Problem) -> float:
    hit = orbit.hit(problem, target=0.9)
    path = flow.solve(problem, ts=[1e3], event="best", target=0.9)
    return float(jnp.abs(path.stats["event_time"] / jnp.exp(hit.log_time) - 1))


def _derivative(problem: Problem) -> float:
    def log_time(rate: jax.Array) -> jax.Array:
        return orbit.log_hitting_time(Problem(problem.log_ref, problem.success.at[1].set(rate)), target=0.9)

    step, at = 1e-4, problem.success[1]
    slope = (log_time(at + step) - log_time(at - step)) / (2 * step)
    return float(jnp.abs(jax.grad(log_time)(at) / slope - 1))


def _sampled_is_expected(problem: Problem) -> float:
    """In standard errors."""
    options = {"algorithm": grpo(8), "learning_rate": 0.02, "steps": 100, "record_every": 100}
    run = jax.jit(jax.vmap(lambda key: training.train(key, problem, **options).accuracy[-1]))
    ends = run(jax.random.split(jax.random.key(0), 1024))
    expected = training.train(jax.random.key(0), problem, mode="mean", **options).accuracy[-1]
    return float(jnp.abs(ends.mean() - expected) / (ends.std() / np.sqrt(ends.size)))


CHECKS: dict[str, tuple[Callable[[Problem], float], float]] = {
    "closed-form orbit = ODE solver (hitting time)": (_orbit_is_flow, 1e-6),
    "derivative = finite difference": (_derivative, 1e-5),
    "sampled training = its expectation (std. errors)": (_sampled_is_expected, 5.0),
}
"""What is tried, and how far off it may be, in float64."""


def check() -> list[Check]:
    """Try everything in `CHECKS` on the worked example; a crash is a finding."""
    done = []
    for name, (measure, limit) in CHECKS.items():
        start, error, crash = time.perf_counter(), math.nan, None
        try:
            error = measure(examples.worked())
        except Exception as broken:
            crash = one_line(broken)
        done.append(Check(name, error, limit, time.perf_counter() - start, crash))
    return done


def facts() -> dict[str, str]:
    """Versions, devices, precision and cache, in words."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    devices = [f"{device.platform} ({device.device_kind})" for device in jax.devices()]
    return {
        "qra_jax": qra_jax.__version__,
        "python": platform.python_version(),
        **versions,
        "machine": f"{platform.system()} {platform.machine()}, {cores()} cores",
        "devices": ", ".join(devices),
        "precision": "float64" if jnp.zeros(()).dtype == jnp.float64 else "float32",
        "compiled programs": _cache(),
    }


def _cache() -> str:
    folder = jax.config.values["jax_compilation_cache_dir"]
    if not folder or not jax.config.values["jax_enable_compilation_cache"]:
        return "not kept"
    if "://" in folder:
        return folder
    sizes = [file.stat().st_size for file in Path(folder).glob("*") if file.is_file()]
    return f"{folder} ({len(sizes)} files, {sum(sizes) / 2**20:.0f} MiB)"


def plugins() -> list[Plugin]:
    """What other packages bring: every entry point of the four groups, with the reason where it is left out."""
    groups = (studies.PLUGINS, registry.ALGORITHMS.plugins, registry.REWARDS.plugins, READERS)
    return [one for group in groups if group is not None for one in group.listed()]


def to_json(checks: list[Check]) -> str:
    """One JSON object."""
    rows = [asdict(one) | {"passed": one.passed} for one in checks]
    for row in rows:
        row["error"] = row["error"] if math.isfinite(row["error"]) else None
    others = [asdict(one) | {"ok": not one.reason, "reason": one.reason or None} for one in plugins()]
    return json.dumps({"facts": facts(), "checks": rows, "plugins": others}, allow_nan=False)


def show(checks: list[Check], console: Console | None = None) -> None:
    """Print it as tables; that of plug-ins only where there are some.

    Args:
      checks: what was tried.
      console: where to.
    """
    console = console or Console(highlight=False)
    table = Table("", "found", box=None, pad_edge=False, show_header=False)
    for name, value in facts().items():
        table.add_row(name, value)
    console.print(table, "")
    table = Table("check", "off by", "may be", "seconds", "", box=None, pad_edge=False)
    for one in checks:
        word = "[green]passed[/]" if one.passed else "[red]FAILED[/]"
        table.add_row(one.name, f"{one.error:.1e}", f"{one.limit:.0e}", f"{one.seconds:.1f}", word)
    console.print(table)
    for one in checks:
        if one.crash is not None:
            console.print(escape(f"{one.name}: {one.crash}"), soft_wrap=True)
    if not (others := plugins()):
        return
    table = Table("plug-in", "of the group", "brought by", "", box=None, pad_edge=False)
    for one in others:
        word = "[red]LEFT OUT[/]" if one.reason else "[green]ok[/]"
        table.add_row(*map(escape, (one.name, one.group, f"{one.package} {one.version}")), word)
    console.print("", table)
    for one in others:
        if one.reason:
            console.print(escape(f"{one.name} of {one.package}: {one.reason}"), soft_wrap=True)
