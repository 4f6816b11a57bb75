"""What can be asked of `qra`: each command's arguments, with the words of its help; needs no JAX."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro


def _arg(metavar: str | None = None, name: str | None = None) -> Any:
    """How an argument is shown: its default only where that says something; its name where that is a word of Python."""
    return tyro.conf.arg(name=name, metavar=metavar, help_behavior_hint=_default)


def _default(value: str) -> str:
    return "" if value in ("", "None", "False", "-inf inf") else f"(default: {value})"


Flag = Annotated[bool, _arg()]
Numbers = Annotated[tuple[str, ...], _arg("P [P ...]|FILE.csv")]


@dataclass(frozen=True)
class Solve:
    """How long RL post-training takes on one question, and whether it stalls.

    Takes the question's reasoning patterns (--ref, --success), or a tree of reasoning steps (--tree). Time is in units
    of one logit at learning rate one: learning rate × steps of expected updates.
    """

    ref: Numbers = ()
    """Share of each reasoning pattern in the base model, separated by spaces or commas; or a CSV file with
    columns pattern,ref,success (pattern, their names, is optional)."""
    success: Numbers = ()
    """Success rate of each pattern, in [0, 1]; default: those of the CSV file."""
    tree: Annotated[str | None, _arg("FILE")] = None
    """A tree of reasoning steps in place of patterns: nested lists of steps in YAML (or JSON, TOML), each with name,
    chance and success or steps; length in tokens is optional."""
    algorithm: Annotated[str | None, _arg("NAME")] = None
    """What trains the tree: grpo (the default) or another one, as for advise."""
    group_size: Annotated[int | None, _arg("G")] = None
    """Its rollouts of a question in a step; default: 8."""
    credit: Annotated[str | None, _arg("HOW")] = None
    """How the steps of the tree are paid: exact (the default), uniform, monte_carlo:K, critic:RATE, segments:2,4
    (depths at which segments begin) or siblings; compared with uniform credit."""
    target: Annotated[str, _arg("P")] = "0.99"
    """Share of the best pattern, or of the best way through the tree, to reach, in (0, 1)."""
    config: Annotated[str | None, _arg("FILE")] = None
    """A trainer's configuration (TRL or verl; JSON, YAML or a script), whose algorithm is timed, too, or trains the
    tree."""
    json: Flag = False
    """Print one JSON object, times as log10."""
    plot: Annotated[str | None, _arg("FILE")] = None
    """Draw the run into FILE: .png, .pdf or .svg; .gif or .mp4 for a film of it. A tree is drawn with its values,
    visits and credit."""


@dataclass(frozen=True)
class Advise:
    """What to expect of a run, what can go wrong with it, and what helps most at as many rollouts.

    Takes what there is: reasoning patterns (--ref, --success), pass rates of questions (--questions, --pass-at), a
    training log (--from), a trainer's configuration (--config).
    """

    ref: Numbers = ()
    """Share of each reasoning pattern in the base model, as for solve."""
    success: Numbers = ()
    """Success rate of each pattern, as for solve."""
    reward: Numbers = ()
    """Mean reward of each pattern, in [0, 1], where it is not its success rate: with parts for format or length."""
    questions: Annotated[str | None, _arg("FILE")] = None
    """Pass rates of many questions, a row each: column pass_rate, or correct and n."""
    pass_at: Annotated[tuple[str, ...], _arg("K=SHARE [K=SHARE ...]")] = ()
    """Pass@k of the base model, such as 1=.31 8=.64, in place of questions."""
    demonstrations: Annotated[int, _arg("N")] = 0
    """Questions with a solution at hand, for the map of recipes: with questions or pass-at."""
    from_: Annotated[str | None, _arg("LOG", "from")] = None
    """A training log: says what it shows, and gives questions, start, end and steps where not given."""
    column: Annotated[str | None, _arg("NAME")] = None
    """The measured column of the log; this and the next four as for fit."""
    run: Annotated[str | None, _arg("NAME")] = None
    """Which run of the log."""
    step: Annotated[str | None, _arg("NAME")] = None
    """The column that counts steps."""
    range: Annotated[tuple[float, float], _arg("LOW HIGH")] = (-math.inf, math.inf)
    """What counts as 0 and as 1 in the measured column."""
    keep: Annotated[Literal["first", "last"] | None, _arg("WHICH")] = None
    """Which of several rows with one step."""
    config: Annotated[str | None, _arg("FILE")] = None
    """A trainer's configuration (TRL or verl; JSON, YAML or a script), in place of algorithm, group size, beta, clips,
    epochs and staleness."""
    eta: Annotated[float | None, _arg("RATE")] = None
    """Step of the logits of one question; no learning rate of an optimizer."""
    went: Annotated[tuple[float, ...], _arg("START END")] = ()
    """Accuracies between which a run went in the given steps, which tells eta."""
    lr: Annotated[float | None, _arg("RATE")] = None
    """An optimizer's learning rate, which tells eta within the wide spread of measured runs."""
    algorithm: Annotated[str, _arg("NAME")] = "grpo"
    """grpo, dr_grpo, rloo, reinforce, maxrl, signed, remax, opo, grpo_passk, filtered_sft or dynamic_sampling."""
    group_size: Annotated[int | None, _arg("G")] = None
    """Rollouts of a question in a step; default: those of the log, else 16."""
    batch_prompts: Annotated[int | None, _arg("B")] = None
    """Questions in a step; default: those of the configuration, else 64."""
    steps: Annotated[int | None, _arg("N")] = None
    """Steps; default: those of the log or of the configuration, else 1000."""
    beta: Annotated[float, _arg("B")] = 0.0
    """Strength of the KL term."""
    entropy_bonus: Annotated[float, _arg("W")] = 0.0
    """Weight of an entropy bonus."""
    sampling_temperature: Annotated[float | None, _arg("T")] = None
    """Temperature of the rollouts, where it is not that of the policy."""
    clip_low: Annotated[float | None, _arg("EPS")] = None
    """Clip ratios below 1 - EPS; matters with several epochs or stale rollouts."""
    clip_high: Annotated[float | None, _arg("EPS")] = None
    """Clip ratios above 1 + EPS."""
    dual_clip: Annotated[float | None, _arg("C")] = None
    """Drop rollouts of negative weight with ratios above C."""
    surrogate: Annotated[str, _arg("NAME")] = "clip"
    """clip, cispo, sapo or none: what multiplies the gradient of an old rollout."""
    correction: Annotated[Literal["truncate", "mask"] | None, _arg("WHICH")] = None
    """Truncate or mask the ratio between trainer and sampler."""
    correction_cap: Annotated[float, _arg("C")] = 2.0
    """Where it is truncated or masked."""
    epochs: Annotated[int, _arg("N")] = 1
    """Gradient steps on each batch of rollouts."""
    staleness: Annotated[int, _arg("S")] = 0
    """Age of the rollouts in steps."""
    schedule: Annotated[Literal["delayed", "held"], _arg("WHICH")] = "delayed"
    """Rollouts always S steps old, or of a policy that is handed over every S steps."""
    tpr: Annotated[float, _arg("P")] = 1.0
    """Chance that the verifier accepts a right answer."""
    fpr: Annotated[float, _arg("P")] = 0.0
    """Chance that it accepts a wrong one."""
    runs: Annotated[int, _arg("N")] = 2048
    """Sampled runs, 64 or more."""
    seed: Annotated[int, _arg("N")] = 0
    """Of the random numbers."""
    json: Flag = False
    """Print one JSON object."""
    plot: Annotated[str | None, _arg("FILE")] = None
    """Draw the runs into FILE: .png, .pdf or .svg."""


ANY_RANGE = (-math.inf, math.inf)
"""The values say what range they have."""


@dataclass(frozen=True)
class Fit:
    """Which dynamics made a measured training curve, and how it goes on.

    Fits the first part of a run by few-pattern models of the theory, says what is and is not identified, and
    forecasts the rest beside simple baselines. Tables with columns visit1,
    visit2, ... (a question a row) are asked for the clock that the questions follow.
    """

    file: tyro.conf.Positional[Annotated[str, _arg("FILE")]]
    """What a trainer or tracker wrote: JSON lines, trainer_state.json, a console log, CSV, event files, a folder."""
    train_until: Annotated[float | None, _arg("STEP")] = None
    """Last step to fit; the points after it are forecast and scored."""
    run: Annotated[str | None, _arg("NAME")] = None
    """Which run, where the file has several."""
    column: Annotated[str | None, _arg("NAME")] = None
    """The measured column; default: what looks most like an accuracy."""
    step: Annotated[str | None, _arg("NAME")] = None
    """The column that counts steps; default: the trainer's own."""
    range: Annotated[tuple[float, float], _arg("LOW HIGH")] = ANY_RANGE
    """What counts as 0 and as 1 in that column: lowest and highest reward; default: 0 1, or 0 100 for percentages."""
    samples: Annotated[float | None, _arg("N")] = None
    """Samples behind every point, where the file does not say."""
    keep: Annotated[Literal["first", "last"] | None, _arg("WHICH")] = None
    """Which of several rows with one step; default: after a restart the last, else their mean."""
    group_size: Annotated[tuple[int, ...], _arg("G [G ...]")] = ()
    """Rollouts a group in GRPO's clock (default: 8), or rollouts of a visit, one number or one for each visit (default:
    inferred from the values)."""
    watch: Flag = False
    """Follow a log that grows: a line for each new forecast, until interrupted; --train-until is its planned end."""
    shares: Annotated[tuple[str, ...], _arg("NAME [NAME ...]")] = ()
    """Columns with the shares of patterns, for the orbit that they run on; default: those that sum to one."""
    normalise: Flag = False
    """Divide those columns by their sum."""
    seed: Annotated[int, _arg("N")] = 0
    """Of the random numbers."""
    json: Flag = False
    """Print one JSON object."""
    plot: Annotated[str | None, _arg("FILE")] = None
    """Draw run, forecast and baselines into FILE: .png, .pdf or .svg."""


@dataclass(frozen=True)
class Weights:
    """What training did to the weights of a real model: two checkpoints, tensor by tensor.

    Reads safetensors files (bf16, fp16, fp32; shards with an index) in a small multiple of the memory of one pair of
    matrices; fetches nothing.
    """

    base: tyro.conf.Positional[Annotated[str, _arg("BASE")]]
    """Before training: a .safetensors file, or a folder with model.safetensors or its shards and their index."""
    tuned: tyro.conf.Positional[Annotated[str, _arg("TUNED")]]
    """After training."""
    null: Flag = False
    """Show beside each number that of a Gaussian update of the same norm, rounded to the same type."""
    only: Annotated[str | None, _arg("REGEX")] = None
    """Only tensors in whose names this is found, such as layers\\.(0|9)\\."""
    max_matrices: Annotated[int | None, _arg("N")] = None
    """Look at the spectra of so many matrices, evenly spread; the entries of all tensors are counted."""
    top: Annotated[float, _arg("SHARE")] = 0.1
    """Share of the singular directions behind angles and principal weights, in (0, 1]."""
    seed: Annotated[int, _arg("N")] = 0
    """Of the Gaussian updates."""
    json: Flag = False
    """Print one JSON object."""
    plot: Annotated[str | None, _arg("FILE")] = None
    """Draw it into FILE: .png, .pdf or .svg."""


@dataclass(frozen=True)
class SweepRun:
    """Compute every point of a sweep and keep it in a Zarr store; the word run is optional."""

    spec: tyro.conf.Positional[Annotated[str, _arg("SPEC.toml")]]
    """What is computed and what varies."""
    store: Annotated[str, _arg("DIR")]
    """Folder of the store."""
    resume: Flag = False
    """Go on with a store that is not complete; damaged chunks are computed anew."""
    executor: Annotated[str | None, _arg("NAME")] = None
    """processes[:N], dask, dask://HOST:PORT or slurm[:N]; default: all devices of this machine."""
    shard: Annotated[str | None, _arg("I/N")] = None
    """Only every N-th shard from the I-th, counted from 0: for arrays of batch jobs."""
    block: Annotated[int | None, _arg("N")] = None
    """Points that are vectorised together; default: chosen for the machine."""
    shard_size: Annotated[int | None, _arg("N")] = None
    """Points in a shard, about."""


@dataclass(frozen=True)
class SweepShow:
    """What is in the store of a sweep."""

    store: tyro.conf.Positional[Annotated[str, _arg("STORE")]]
    """Folder of the store."""


@dataclass(frozen=True)
class SweepPlot:
    """Draw a sweep: lines of a variable, or a heat map where y is a dimension, too.

    Other dimensions are summed up: the median, and the band from the 10 % to the 90 % quantile.
    """

    store: tyro.conf.Positional[Annotated[str, _arg("STORE")]]
    """Folder of the store."""
    x: Annotated[str, _arg("NAME")]
    """Coordinate of the horizontal axis."""
    y: Annotated[str, _arg("NAME")]
    """Variable, for lines; coordinate, for a heat map."""
    hue: Annotated[str | None, _arg("NAME")] = None
    """Coordinate with a line for each value."""
    value: Annotated[str | None, _arg("NAME")] = None
    """Variable of a heat map."""
    at: Annotated[tuple[str, ...], _arg("NAME=VALUE")] = ()
    """Dimensions to keep at one value."""
    out: Annotated[str, _arg("FILE")] = "sweep.png"
    """Where to draw: .png, .pdf or .svg."""


Sweep = (
    Annotated[SweepRun, tyro.conf.subcommand("run")]
    | Annotated[SweepShow, tyro.conf.subcommand("show")]
    | Annotated[SweepPlot, tyro.conf.subcommand("plot")]
)
"""`qra sweep`: the word `run` is optional."""
SWEEPS = {"run": SweepRun, "show": SweepShow, "plot": SweepPlot}
"""What comes behind `qra sweep`."""


@dataclass(frozen=True)
class Reproduce:
    """Run the studies: data, figures, a verdict on each claim, and a report that is there from the first minute on."""

    names: tyro.conf.Positional[Annotated[tuple[str, ...], _arg("[STUDY ...]")]] = ()
    """Studies to run; default: all."""
    quick: Flag = False
    """Smaller versions: fewer members, coarser grids; more claims stay open."""
    out: Annotated[str, _arg("DIR")] = "results"
    """Folder for the results."""
    force: Flag = False
    """Run finished studies again."""
    data: Annotated[str | None, _arg("DIR")] = None
    """Folder of measured training runs (CSV), for the studies that use some."""
    jobs: Annotated[int | None, _arg("N")] = None
    """Studies side by side; default: one for each core, as far as memory allows."""
    subject: Annotated[tuple[str, ...], _arg("SUBJECT ...")] = ()
    """Run the studies of these subjects, such as regimes, clocks, noise."""
    claim: Annotated[str | None, _arg("ID")] = None
    """Run the study of one claim, and show all that is known of that claim."""
    list: Flag = False
    """List studies and claims, and stop."""


@dataclass(frozen=True)
class ClaimsList:
    """Claims with their verdicts: all, or those of a paper, a verdict, an origin, a subject, or with some words."""

    text: tyro.conf.Positional[Annotated[tuple[str, ...], _arg("[WORD ...]")]] = ()
    """Words, all of which are in what is said of the claim."""
    paper: Annotated[str | None, _arg("PAPER")] = None
    """arXiv number, short name of a claim of the literature (GEO-1), or authors."""
    verdict: Annotated[str | None, _arg("VERDICT")] = None
    """holds, "holds only if", fails or open."""
    origin: Annotated[str | None, _arg("ORIGIN")] = None
    """literature, derived or asked."""
    subject: Annotated[str | None, _arg("SUBJECT")] = None
    """Such as regimes, clocks, noise."""
    study: Annotated[str | None, _arg("STUDY")] = None
    """The study that tests it."""
    conflicts: Flag = False
    """Only claims that contradict another one."""
    contributed: Flag = False
    """Only claims that others contributed."""
    file: Annotated[str | None, _arg("FILE")] = None
    """Records of another run, a file or its folder; default: those that are published."""
    json: Flag = False
    """Print the whole records as JSON."""
    csv: Flag = False
    """Print a table as CSV."""


@dataclass(frozen=True)
class ClaimsShow:
    """All that is known of one claim: whose it is, what was predicted and measured, its controls, and how to run it."""

    id: tyro.conf.Positional[Annotated[str, _arg("ID")]]
    """Such as regimes/rises; qra claims list has them."""
    file: Annotated[str | None, _arg("FILE")] = None
    """Records of another run, a file or its folder; default: those that are published."""
    json: Flag = False
    """Print the record as JSON."""


@dataclass(frozen=True)
class ClaimsValidate:
    """Whether records are valid: by the schema, and in themselves; exit status 1 if not."""

    files: tyro.conf.Positional[Annotated[tuple[str, ...], _arg("[FILE ...]")]] = ()
    """Files of records, or folders with claims.json; default: those that are published."""


@dataclass(frozen=True)
class ClaimsDiff:
    """What changed from one set of records to another; exit status 1 if a verdict did."""

    before: tyro.conf.Positional[Annotated[str, _arg("BEFORE")]]
    """A file of records, or a folder with claims.json."""
    after: tyro.conf.Positional[Annotated[str, _arg("AFTER")]]
    """Another one."""
    json: Flag = False
    """Print one JSON object."""


@dataclass(frozen=True)
class ClaimsExport:
    """Write the claims as a data set: claims.csv, claims.json, and croissant.json, which describes both."""

    out: Annotated[str, _arg("DIR")] = "claims"
    """Folder for the three files."""
    file: Annotated[str | None, _arg("FILE")] = None
    """Records of another run, a file or its folder; default: those that are published."""


@dataclass(frozen=True)
class ClaimsSite:
    """Write the claims as pages for a browser: a table to search and sort, a page for each, and contradictions."""

    out: Annotated[str, _arg("DIR")] = "claims"
    """Folder for the pages; open its index.html."""
    file: Annotated[str | None, _arg("FILE")] = None
    """Records of another run; of a folder, the figures of its studies, too; default: those that are published."""


Claims = (
    Annotated[ClaimsList, tyro.conf.subcommand("list")]
    | Annotated[ClaimsShow, tyro.conf.subcommand("show")]
    | Annotated[ClaimsValidate, tyro.conf.subcommand("validate")]
    | Annotated[ClaimsDiff, tyro.conf.subcommand("diff")]
    | Annotated[ClaimsExport, tyro.conf.subcommand("export")]
    | Annotated[ClaimsSite, tyro.conf.subcommand("site")]
)
"""`qra claims`."""
CLAIMS = {
    "list": ClaimsList,
    "show": ClaimsShow,
    "validate": ClaimsValidate,
    "diff": ClaimsDiff,
    "export": ClaimsExport,
    "site": ClaimsSite,
}
"""What comes behind `qra claims`."""


@dataclass(frozen=True)
class Explore:
    """Open the explorer in a browser: sliders for a question and its training, and what follows.

    Needs pip install 'qra-jax[notebooks]'. Runs until interrupted (Ctrl-C).
    """

    server: Annotated[str | None, _arg("NAME")] = None
    """voila (the explorer alone) or lab (JupyterLab); voila where it is installed."""
    port: Annotated[int, _arg("N")] = 8866
    """Of the local server."""
    headless: Flag = False
    """Serve only, and open no browser."""
    tree: Annotated[str | None, _arg("FILE")] = None
    """A tree of reasoning steps, as for solve, to step through in place of one question's patterns."""


@dataclass(frozen=True)
class New:
    """Write a small package that adds a study, an algorithm or a reader of log files, with its own tests.

    Install the folder with pip, and qra finds it; qra doctor lists it.
    """

    kind: tyro.conf.Positional[
        Annotated[Literal["study", "algorithm", "reader"], _arg("study|algorithm|reader")]
    ]
    """What it adds."""
    name: tyro.conf.Positional[Annotated[str, _arg("NAME")]]
    """Of the package: lower-case letters and digits, with - or _ between words."""
    out: Annotated[str, _arg("DIR")] = "."
    """Folder to write it into."""


@dataclass(frozen=True)
class Doctor:
    """Versions, devices, precision and cache, a short test whether known numbers come out right, and plug-ins."""

    json: Flag = False
    """Print one JSON object."""


@dataclass(frozen=True)
class DoctorBench:
    """How often a run's cause is named from its log alone; the same as qra reproduce run-doctors."""

    quick: Flag = False
    """Fewer runs."""
    out: Annotated[str, _arg("DIR")] = "results"
    """Folder for the results."""
    force: Flag = False
    """Run it again."""


COMMANDS: dict[str, tuple[Any, str]] = {
    "solve": (
        Solve,
        "Will training on one question stall? Regime, times, who dominates when, how much SFT helps.",
    ),
    "advise": (
        Advise,
        "What to expect of a run, what can go wrong, what helps most: from patterns, pass rates, a log or a config.",
    ),
    "fit": (Fit, "Which dynamics explain a measured training curve, and how it goes on."),
    "weights": (
        Weights,
        "What training did to the weights of a real model: two checkpoints, beside a Gaussian update.",
    ),
    "sweep": (
        Sweep,
        "Compute a grid of runs into a Zarr store; look at it; draw it. qra sweep SPEC.toml --store DIR is short for "
        "qra sweep run SPEC.toml --store DIR.",
    ),
    "reproduce": (Reproduce, "The literature's claims: data, figures, a verdict on each, and a report."),
    "claims": (
        Claims,
        "The claims as data: list and show them, check records, compare two sets, export a table.",
    ),
    "explore": (Explore, "Sliders in a browser: a question, its training, and what follows."),
    "doctor-bench": (
        DoctorBench,
        "How often the cause of a run is named from its log alone, on simulated runs whose cause is known.",
    ),
    "new": (New, "A package of your own with a study, an algorithm or a reader of logs, and its tests."),
    "doctor": (Doctor, "Versions, devices and cache, whether known numbers come out right, and plug-ins."),
}
"""The commands by name, each with what `qra --help` says of it."""

Command = (
    Solve
    | Advise
    | Fit
    | Weights
    | SweepRun
    | SweepShow
    | SweepPlot
    | Reproduce
    | ClaimsList
    | ClaimsShow
    | ClaimsValidate
    | ClaimsDiff
    | ClaimsExport
    | ClaimsSite
    | Explore
    | DoctorBench
    | New
    | Doctor
)
"""What can be asked for."""
