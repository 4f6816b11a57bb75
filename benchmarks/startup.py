"""What a user waits for before the first number: cold starts and second ones, beside another commit.

    python benchmarks/startup.py                       # this checkout beside the commit before
    python benchmarks/startup.py --before v0.1.0       # beside another one
    python benchmarks/startup.py --jobs solve advise   # some of the jobs
    python benchmarks/startup.py --jobs studies --cold --repeats 1   # the ten slowest quick studies alone

Every job is a process of its own, begun with an empty cache of compiled programs (cold) and once more (second), this
checkout and the other one in turn. Seconds are of the wall clock and of the processor: on a machine that does other
things, compare the latter. A second child of each says where they go: tracing (with batching), lowering, the
compiler; what is left is Python, loading and running.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WORKED = ["--ref", ".05", ".70", ".25", "--success", ".9", ".6", ".1"]
ADVISED = ["advise", *WORKED, "--eta", ".5", "--group-size", "8", "--steps", "300"]
TAKEN = json.loads((ROOT / "qra_jax" / "studies" / "seconds.json").read_text(encoding="utf-8"))["quick"]
SLOWEST = sorted(TAKEN, key=TAKEN.get, reverse=True)[:10]
"""Quick studies that take longest."""
JOBS: dict[str, list[str]] = {
    "help": ["qra", "--help"],
    "solve": ["qra", "solve", *WORKED],
    "advise": ["qra", *ADVISED],
    "README": ["document", "README.md"],
    "example": ["script", "benchmarks/_startup_example.py"],
    "notebook 01": ["notebook", "notebooks/01_quickstart.ipynb"],
    "notebook 05": ["notebook", "notebooks/05_which_hyperparameters.ipynb"],
    **{
        f"study {name}": ["qra", "reproduce", name, "--quick", "--jobs", "1", "--out", "OUT"]
        for name in SLOWEST
    },
}
PHASES = {
    "jaxpr_trace_duration": "trace",
    "jaxpr_to_mlir_module_duration": "lower",
    "backend_compile_duration": "compile",
}


def child(words: list[str]) -> None:
    """Do one job in this process and write where the time of its programs went on the last line of stderr."""
    spent: Counter[str] = Counter()
    if words[:2] != ["qra", "--help"]:
        import jax.monitoring

        def listen(event: str, seconds: float, **_: Any) -> None:
            spent[PHASES.get(event.rsplit("/", 1)[-1], "other")] += seconds

        jax.monitoring.register_event_duration_secs_listener(listen)
    kind, *rest = words
    status = 0
    try:
        with contextlib.suppress(SystemExit):
            if kind == "qra":
                from qra_jax.cli import main as qra

                status = qra(rest)
            elif kind == "script":
                runpy.run_path(rest[0], run_name="__main__")
            elif kind == "document":
                document(ROOT / rest[0])
            else:
                notebook(Path(rest[0]))
    finally:
        known = {name: spent[name] for name in PHASES.values()}
        print(f"\n{json.dumps(known)}", file=sys.stderr)
    sys.exit(status)


def document(path: Path) -> None:
    """Run the first example of a document of this checkout, in a folder of its own."""
    code = path.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    os.environ["MPLBACKEND"] = "agg"
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec(compile(code, str(path), "exec"), {"__name__": "__main__"})


def notebook(path: Path) -> None:
    """Run the code of a notebook as a script."""
    import matplotlib as mpl

    mpl.use("agg")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lines = [line for cell in code for line in cell.splitlines() if not line.startswith(("%", "!"))]
    exec(compile("\n".join(lines), str(path), "exec"), {"__name__": "__main__", "display": lambda *_: None})


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """A commit in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", str(tree), commit], check=True, capture_output=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def timed(tree: Path, words: list[str], cache: Path) -> dict[str, float]:
    """One process: its seconds, and those of its programs."""
    out = tempfile.mkdtemp(dir=cache.parent)
    words = [out if word == "OUT" else word for word in words]
    named = {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(tree)}
    environment = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    line = [sys.executable, str(Path(__file__).resolve()), "--child", *words]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        line, cwd=tree, env=environment | named, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall, "cpu_s": cpu, **json.loads(done.stderr.splitlines()[-1])}


def main() -> None:
    """Time all jobs, print the table, save it."""
    from _common import environment, save, show

    parser = argparse.ArgumentParser()
    parser.add_argument("--before", default="HEAD^", help="the commit to compare with")
    parser.add_argument("--jobs", nargs="*", default=None, metavar="JOB", help=f"of {', '.join(JOBS)}")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--cold", action="store_true", help="no second starts")
    parser.add_argument("--name", default="startup", help="of the file in benchmarks/results")
    command = parser.parse_args()
    starts = ("cold",) if command.cold else ("cold", "second")
    studies = [name for name in JOBS if name.startswith("study ")]
    chosen = [name for word in command.jobs or JOBS for name in (studies if word == "studies" else [word])]
    jobs = {name: JOBS[name] for name in chosen}
    rows: list[dict[str, Any]] = []
    measured_on = environment("diffrax")
    with checkout(command.before) as before, tempfile.TemporaryDirectory() as folder:
        example = "benchmarks/_startup_example.py"
        (before / example).write_text((ROOT / example).read_text(encoding="utf-8"), encoding="utf-8")
        for name, words in jobs.items():
            found: dict[tuple[str, str], list[dict[str, float]]] = {}
            for turn in range(command.repeats):
                for which, tree in (("before", before), ("now", ROOT)):
                    cache = Path(folder) / f"{name}-{which}-{turn}"
                    for start in starts:
                        found.setdefault((which, start), []).append(timed(tree, words, cache))
            for start in starts:
                least = {
                    which: {
                        key: min(one[key] for one in found[which, start]) for key in found[which, start][0]
                    }
                    for which in ("before", "now")
                }
                ratio = least["now"]["cpu_s"] / least["before"]["cpu_s"]
                rows.append({"job": name, "start": start, **least, "cpu_ratio": ratio})
                cpu = [least[which]["cpu_s"] for which in ("before", "now")]
                print(f"{name}, {start}: {cpu[0]:.2f} → {cpu[1]:.2f} s of CPU", flush=True)
            # After each job: what is measured is there if this is killed.
            save(command.name, {"environment": measured_on, "before": command.before, "rows": rows})
    printed = [
        {
            "job": row["job"],
            "start": row["start"],
            **{
                f"{which} {key}": row[which][key]
                for which in ("before", "now")
                for key in ("wall_s", "cpu_s")
            },
            **{key: row["now"][key] for key in PHASES.values()},
            "CPU ratio": row["cpu_ratio"],
        }
        for row in rows
    ]
    show("Cold starts and second ones, seconds; tracing, lowering and compiling are those of now", printed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main()
