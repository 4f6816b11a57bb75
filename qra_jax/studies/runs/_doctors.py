"""Who is asked for the cause of a run, and with what: whole logs, the reward alone, public doctors of their own."""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qra_jax.studies.runs._causes import CAUSES
from qra_jax.studies.runs._trainer_logs import FORMS

UNCLEAR = "unclear"
ANSWERS = (*CAUSES, UNCLEAR)
HEALTHY = ("success", "slow")
"""Causes of runs in which nothing has to be repaired; an answer among these, or none, is no alarm."""
OURS, REWARD = "examination", "examination of the reward alone"
FOLDER = "QRA_DOCTORS"
"""Environment variable: a folder with a virtual environment for each public run doctor, called by its name."""
PATIENCE = 1800.0
"""Seconds that a public doctor has for all logs."""

STUCK = {"kl_resting", "slow", "lost_pattern"}
PUBLIC: dict[str, tuple[str, dict[str, set[str]]]] = {
    "rldoctor": (
        """
from rl_doctor.diagnosis import diagnose
from rl_doctor.ingest import load_run
def ask(path, rows):
    found = [f for f in diagnose(load_run(path)).findings if f.severity.label in ("WARN", "CRIT")]
    return [(f.detector + ":" + str(f.metrics.get("regime", "")), int(f.severity)) for f in found]
""",
        {
            "advantage_collapse:saturated": {"too_easy"},
            "advantage_collapse:too_hard": {"too_hard"},
            "advantage_collapse:mixed": set(),
            "entropy_collapse": {"rate_too_high", "lost_pattern"},
            "reward_hacking": {"reward_not_accuracy", "noisy_verifier"},
            "length_pathology": {"length_drift"},
            "clip_saturation": {"rate_too_high", "stale"},
            "kl_drift": {"rate_too_high", "stale"},
            "gradient_pathology": {"rate_too_high", "stale"},
            "reward_composition": {"format_first", "reward_not_accuracy"},
            "plateau": STUCK,
        },
    ),
    "rlprobe": (
        """
from rlprobe.doctor.engine import diagnose_view
from rlprobe.doctor.runview import RunView
from rlprobe.schemas import RunManifest, StepRecord
NAMES = {"reward": "reward_mean", "reward_std": "reward_std", "silent": "zero_variance_group_frac", "kl": "kl_mean",
         "entropy": "entropy_mean", "clipped": "clip_fraction", "loss": "loss", "rate": "lr", "norm": "grad_norm",
         "length": "completion_len_mean", "longest": "completion_len_max", "truncated": "truncation_rate",
         "parts": "reward_components", "step": "step"}
def ask(path, rows):
    manifest = RunManifest(run_id="run", created_at="2026-01-01T00:00:00", algorithm="grpo")
    records = [StepRecord(**{NAMES[k]: v for k, v in row.items()}) for row in rows]
    found = diagnose_view(RunView(manifest, records))
    return [(f.signature_id, {"info": 0, "warn": 1, "critical": 2}[f.severity]) for f in found if f.severity != "info"]
""",
        {
            "KL_BLOWUP": {"rate_too_high", "stale"},
            "ENTROPY_COLLAPSE": {"rate_too_high", "lost_pattern"},
            "REWARD_HACK_LENGTH": {"length_drift", "reward_not_accuracy"},
            "FORMAT_GAMING": {"format_first", "reward_not_accuracy"},
            "CLIP_SATURATION": {"rate_too_high", "stale"},
            "DEGENERATE_GROUPS": {"too_easy", "too_hard"},
            "ADV_COLLAPSE": {"too_easy", "too_hard"},
            "GRAD_PATHOLOGY": {"rate_too_high", "stale"},
            "TRUNCATION_STARVE": {"length_drift"},
            "REWARD_STD_DEATH": {"too_easy", "too_hard"},
            "REF_POLICY_DRIFT_ASYMMETRY": {"rate_too_high"},
        },
    ),
    "rlwatch": (
        """
from rlwatch.config import RLWatchConfig
from rlwatch.detectors import DetectorSuite
NAMES = {"reward": "reward_mean", "reward_std": "reward_std", "kl": "kl_divergence", "entropy": "entropy",
         "loss": "loss", "norm": "grad_norm"}
def ask(path, rows):
    suite = DetectorSuite(RLWatchConfig())
    alerts = [alert for row in rows for alert in suite.check_step(
        row["step"], **{NAMES[k]: v for k, v in row.items() if k in NAMES})]
    return [(alert.detector, {"warning": 1, "critical": 2}[alert.severity]) for alert in alerts]
""",
        {
            "entropy_collapse": {"rate_too_high", "lost_pattern"},
            "kl_explosion": {"rate_too_high", "stale"},
            "reward_hacking": {"reward_not_accuracy", "noisy_verifier"},
            "loss_nan": {"rate_too_high", "stale"},
            "gradient_norm_spike": {"rate_too_high", "stale"},
            "reward_mean_drift": {"reward_not_accuracy"},
        },
    ),
}
"""Public run doctors: how each is asked, and which causes its findings may stand for; none is wider than its words.

A fourth, rlvr-audit, reads rewards of single rollouts, which neither form of log has.
"""
_LOOP = """
import json, sys
from importlib.metadata import version
for line in sys.stdin:
    name, path, rows = json.loads(line)
    try:
        print(json.dumps([version(name), ask(path, rows)]))
    except Exception as error:
        print(json.dumps([version(name), [["error: " + repr(error), 9]]]))
"""
KEYS = {
    "reward": ("reward", "critic/score/mean"),
    "reward_std": ("reward_std",),
    "silent": ("frac_reward_zero_std",),
    "kl": ("kl", "actor/kl_loss"),
    "entropy": ("entropy", "actor/entropy"),
    "clipped": ("clip_ratio/region_mean", "actor/pg_clipfrac"),
    "loss": ("loss",),
    "rate": ("learning_rate", "actor/lr"),
    "norm": ("grad_norm", "actor/grad_norm"),
    "length": ("completions/mean_length", "response_length/mean"),
    "longest": ("completions/max_length", "response_length/max"),
    "truncated": ("completions/clipped_ratio", "response_length/clip_ratio"),
}
"""What public doctors that read no file are told of a training row, and where it is logged."""


def unpacked(packed: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the logs of `_patients.logs` into folders without a name: by form, then by cause, then by number.

    Args:
      packed: the part of that name.
      folder: where.

    Returns:
      The files, in this order.
    """
    paths = []
    for form, causes in packed.items():
        for contents in causes.values():
            for content in contents:
                path = folder / str(len(paths)) / FORMS[form]
                path.parent.mkdir(parents=True)
                path.write_bytes(zlib.decompress(np.asarray(content).tobytes()))
                paths.append(path)
    return paths


def stripped(path: Path) -> Path:
    """The same log with nothing but the steps and the reward of training, beside the whole one."""
    own = path.parent / "reward"
    own.mkdir()
    if path.name == FORMS["trl"]:
        state = json.loads(path.read_text())
        rows = [row for row in state["log_history"] if "reward" in row]
        state["log_history"] = [{name: row[name] for name in ("reward", "step")} for row in rows]
        content = json.dumps(state)
    else:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        key, kept = KEYS["reward"][1], []
        for line in lines:
            if key in line["data"]:
                kept.append(json.dumps({"step": line["step"], "data": {key: line["data"][key]}}))
        content = "\n".join(kept) + "\n"
    (own / path.name).write_text(content)
    return own / path.name


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Training rows of a log under the names of `KEYS`, with `step` and the parts of the reward."""
    if path.name == FORMS["trl"]:
        rows = json.loads(path.read_text())["log_history"]
    else:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [{"step": line["step"], **line["data"]} for line in lines]
    out = []
    for row in rows:
        known = {name: row[key] for name, keys in KEYS.items() for key in keys if key in row}
        parts = {key.split("/")[1]: value for key, value in row.items() if _part(key)}
        if "reward" in known:
            out.append({"step": row["step"], **known, **({"parts": parts} if parts else {})})
    return out


def _part(key: str) -> bool:
    return key.startswith("rewards/") and key.endswith("/mean")


def installed() -> dict[str, Path]:
    """Pythons of the public doctors that are at hand."""
    folder = os.environ.get(FOLDER)
    pythons = {name: Path(folder, name, "bin", "python") for name in PUBLIC} if folder else {}
    return {name: python for name, python in pythons.items() if python.is_file()}


def asked(name: str, python: Path, paths: Sequence[Path]) -> tuple[str, list[set[str] | None]]:
    """Ask a public doctor, in its own environment.

    Args:
      name: one of `PUBLIC`.
      python: of its environment.
      paths: the logs.

    Returns:
      Its version, and for each log the causes that its gravest findings may stand for; `None` where it has none.

    Raises:
      RuntimeError: it did not answer for every log.
    """
    script, meanings = PUBLIC[name]
    lines = "\n".join(json.dumps([name, str(path), rows_of(path)]) for path in paths)
    command = [str(python), "-c", script + _LOOP]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=PATIENCE, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    if len(answers) != len(paths):
        raise RuntimeError(f"{name}: {len(answers)} answers to {len(paths)} logs; {done.stderr[-300:]}")
    return answers[0][0], [gravest(findings, meanings) for _, findings in answers]


def gravest(findings: Iterable[Sequence[Any]], meanings: Mapping[str, set[str]]) -> set[str] | None:
    """Causes that the findings of the highest severity may stand for; `None` without a finding.

    Args:
      findings: name and severity of each.
      meanings: causes by name, or by the part of it before a colon.
    """
    findings = list(findings)
    if not findings:
        return None
    most = max(severity for _, severity in findings)
    names = [name for name, severity in findings if severity == most]
    return set().union(*(meanings.get(name, meanings.get(name.split(":")[0], set())) for name in names))
