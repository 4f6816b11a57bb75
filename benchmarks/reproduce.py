"""How long `qra reproduce` takes from cold caches: the first report, every study, the whole.

    python benchmarks/reproduce.py            # the quick versions
    python benchmarks/reproduce.py --full     # the full ones

A fresh folder and an empty cache of compiled programs; studies run side by side as by default. The seconds of each
study also go into `qra_jax/studies/seconds.json`, from which `qra reproduce` says how long the rest will take.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import environment, save, show

SECONDS = Path(__file__).parent.parent / "qra_jax" / "studies" / "seconds.json"
GOALS = {"first report": 60.0, "quick": 360.0, "full": 1800.0}
"""Seconds that two quiet cores should not exceed."""


def main() -> None:
    """Run, watch the folder, print and save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--data", help="folder of measured runs")
    command = parser.parse_args()
    version = "full" if command.full else "quick"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results"
        words = [sys.executable, "-m", "qra_jax.cli", "reproduce", "--out", str(out)]
        words += [] if command.full else ["--quick"]
        words += ["--data", command.data] if command.data else []
        start = time.perf_counter()
        process = subprocess.Popen(
            words,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "cache")},
        )
        first = claims = None
        while process.poll() is None:
            time.sleep(0.2)
            page = out / "claims.json"
            first = first or (time.perf_counter() - start if (out / "report.html").exists() else None)
            if claims is None and page.exists() and page.stat().st_size > 10:
                claims = time.perf_counter() - start
        whole = time.perf_counter() - start
        done = [json.loads(path.read_text()) for path in sorted(out.glob("*/done.json"))]
        tally: dict[str, int] = {}
        for row in json.loads((out / "claims.json").read_text()):
            tally[row["verdict"]] = tally.get(row["verdict"], 0) + 1
    seconds = {one["study"]: one["seconds"] for one in done}
    rows = [{"study": name, "s": value} for name, value in sorted(seconds.items(), key=lambda pair: pair[1])]
    rows += [{"study": "first report", "s": first}, {"study": "first claims in it", "s": claims}]
    rows += [{"study": "sum of all studies", "s": sum(seconds.values())}, {"study": "wall", "s": whole}]
    show(f"qra reproduce, {version} versions, cold caches, {len(done)} studies", rows)
    known = json.loads(SECONDS.read_text(encoding="utf-8"))
    known[version] = {name: round(value, 1) for name, value in sorted(seconds.items())}
    SECONDS.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    found = {
        "first_report_s": first,
        "first_claims_s": claims,
        "wall_s": whole,
        "exit_status": process.returncode,
    }
    payload = {"environment": environment("scipy", "xarray"), "goals_s": GOALS, "verdicts": tally, **found}
    print(save(f"reproduce-{version}", payload | {"studies_s": seconds}))


if __name__ == "__main__":
    main()
