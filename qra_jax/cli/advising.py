"""`qra advise`: from what an asker has to an answer; a file is refused before JAX is loaded."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qra_jax.cli import inputs
from qra_jax.cli.commands import ANY_RANGE, Advise
from qra_jax.cli.session import busy, writable, wrote

if TYPE_CHECKING:
    from qra_jax.consult.advice import Advice
    from qra_jax.consult.examination import Examination
    from qra_jax.consult.hyperparameters import Hyperparameters
    from qra_jax.consult.inputs import Logged
    from qra_jax.consult.outlook import Outlook
    from qra_jax.consult.rates import Eta
    from qra_jax.consult.recipe_map import Recommendation
    from qra_jax.population import Population

NAMED = ("algorithm", "beta", "clip_low", "clip_high", "epochs", "staleness")
OFF_POLICY = (
    "surrogate",
    "dual_clip",
    "correction",
    "correction_cap",
    "epochs",
    "staleness",
    "schedule",
    "sampling_temperature",
)
BY_CONFIG = tuple(dict.fromkeys(("group_size", *NAMED, *OFF_POLICY)))
"""Settings that a configuration gives."""
STEPS, ETA, LOGIT = 1000, 0.1, 1e-4
"""Steps and η where nothing tells them, and the η below which an optimizer's learning rate was meant."""
COVERAGE = (1, 16)
"""The k of pass@k by which the map of recipes is read."""
GROUP, QUESTIONS = 16, 64
"""Rollouts of a question and questions of a step, where nothing tells them."""


@dataclass
class Asked:
    """What is asked, before anything is computed."""

    names: list[str] = field(default_factory=list)
    ref: list[float] = field(default_factory=list)
    success: list[float] = field(default_factory=list)
    reward: list[float] | None = None
    population: Population | None = None
    log: Logged | None = None


@dataclass
class Answer:
    """All that is said."""

    examination: Examination | None = None
    outlook: Outlook | None = None
    others: list[Any] = field(default_factory=list)
    advice: Advice | None = None
    names: list[str] = field(default_factory=list)
    questions: int = 1
    careful: list[str] = field(default_factory=list)
    ended: tuple[float, float] | None = None
    recipe: Recommendation | None = None


def advise(command: Advise) -> int:
    """Answer `qra advise`.

    Args:
      command: its arguments.

    Returns:
      0.

    Raises:
      ValueError: an argument, or a file that one names.
    """
    asked = read(command)
    from qra_jax.cli.actions import preset_of, report_preset

    preset = preset_of(command.config)  # starts JAX
    from qra_jax import _check

    path = None
    if command.plot is not None:  # matplotlib only where it is needed
        from qra_jax import plot

        path = writable("plot", plot.check_path("plot", command.plot))
        if not asked.ref:
            raise ValueError("plot: given without ref; must be with patterns, whose runs are drawn")
    _check.integer("runs", command.runs, low=64)
    settings, asides = settings_of(command, preset, asked)
    answer = _answer(command, asked, settings, preset)
    if path is not None:
        from qra_jax import plot
        from qra_jax.consult import advice_figure

        assert answer.advice is not None
        wrote(plot.save(advice_figure.draw(answer.advice, answer.names), path))
    if command.json:
        print(to_json(answer))
        return 0
    show(answer)
    report_preset(preset, asides)
    return 0


def read(command: Advise) -> Asked:
    """The files and the patterns; needs no JAX.

    Args:
      command: the arguments.

    Raises:
      ValueError: nothing to answer from, two sources of one thing, a file that cannot be read.
    """
    if command.config is not None:
        usual = Advise()
        for name in BY_CONFIG:
            if getattr(command, name) != getattr(usual, name):
                raise ValueError(f"{name}: given with a configuration; must be left to {command.config}")
    if not (command.ref or command.questions or command.pass_at or command.from_):
        raise ValueError("missing: --ref and --success, or --questions, --pass-at or --from")
    if command.questions is not None and command.pass_at:
        raise ValueError("pass_at: given with questions; must be one of them")
    if command.demonstrations < 0:
        raise ValueError(f"demonstrations: {command.demonstrations}; must be 0 or above")
    if command.demonstrations and not (command.pass_at or command.questions):
        raise ValueError(
            "demonstrations: given alone; must be with pass_at or questions, which tell coverage"
        )
    if command.went and len(command.went) != 2:
        raise ValueError(f"went: {len(command.went)} numbers; must be START END")
    for name, value in (("went", command.went), ("lr", (command.lr,))):
        for number in value:
            if number is not None and not (math.isfinite(number) and number >= 0):
                raise ValueError(f"{name}: {number:g}; must be zero or positive, and finite")
    asked = Asked()
    if command.ref:
        asked.names, asked.ref, asked.success = inputs.read(command.ref, command.success)
    if command.reward:
        if not command.ref:
            raise ValueError("reward: given without ref; must be with patterns, one for each")
        _, asked.reward = inputs.column("reward", command.reward)
    from qra_jax.consult import inputs as brought

    if command.questions is not None:
        asked.population = brought.questions(command.questions)
    elif command.pass_at:
        asked.population = brought.pass_at(command.pass_at)
    if command.from_ is not None:
        picked = {name: getattr(command, name) for name in ("column", "run", "step", "keep")}
        scale = None if command.range == ANY_RANGE else command.range
        asked.log = brought.logged(command.from_, scale=scale, **picked)
    return asked


def settings_of(command: Advise, preset: Any, asked: Asked) -> tuple[Hyperparameters, Sequence[str]]:
    """The hyperparameters, without their η, and a sentence for each part of a configuration that is not taken.

    Args:
      command: the arguments.
      preset: a trainer's configuration, or `None`.
      asked: for the number of steps.
    """
    from qra_jax.consult import Hyperparameters
    from qra_jax.off_policy import OffPolicy

    steps = command.steps
    if steps is None and preset is not None:
        steps = preset.setup.steps
    if steps is None:
        steps = max(1, round(asked.log.steps)) if asked.log is not None else STEPS
    own: dict[str, Any] = {name: getattr(command, name) for name in ("tpr", "fpr", "entropy_bonus")} | {
        "steps": steps
    }
    if preset is not None:
        return Hyperparameters.of(preset.setup, **own)
    clips = command.surrogate not in ("none", "sapo")
    off_policy = OffPolicy(
        clip=(command.clip_low, command.clip_high) if clips else None,
        **{name: getattr(command, name) for name in OFF_POLICY},
    )
    group = command.group_size
    if group is None and asked.log is not None:
        group = asked.log.signals.group_size
    named: dict[str, Any] = {name: getattr(command, name) for name in NAMED}
    return Hyperparameters(
        **named, group_size=GROUP if group is None else group, off_policy=off_policy, **own
    ), []


def _answer(command: Advise, asked: Asked, settings: Hyperparameters, preset: Any) -> Answer:
    """Everything that can be said; what is slow to load is loaded for what is asked."""
    from dataclasses import replace

    import jax

    from qra_jax import consult
    from qra_jax.consult import advice_report, inputs as brought

    questions = command.batch_prompts
    if questions is None and preset is not None:
        questions = preset.setup.questions
    assumed = [f"{QUESTIONS} prompts a step (--batch-prompts)"] if questions is None else []
    questions = QUESTIONS if questions is None else questions
    if preset is None and command.group_size is None and not (asked.log and asked.log.signals.group_size):
        assumed.append(f"groups of {GROUP} (--group-size)")
    if command.steps is None and asked.log is None and (preset is None or preset.setup.steps is None):
        assumed.append(f"{STEPS} steps (--steps)")
    answer = Answer(names=asked.names, questions=questions)
    if asked.population is not None and asked.population.constant not in (0.0, 1.0):
        coverage = {k: asked.population.pass_at(k) for k in COVERAGE}
        budget = settings.group_size * questions * settings.steps
        from qra_jax.consult import recipe_map

        answer.recipe = recipe_map.recommend(coverage, demonstrations=command.demonstrations, rollouts=budget)
    if (settings.clip_low, settings.clip_high) != (None, None) and not settings.clips:
        answer.careful.append("With one epoch on fresh rollouts all ratios are one: the clip never acts.")
    if assumed:
        answer.careful.append(f"Assumed: {', '.join(assumed)}.")
    if (log := asked.log) is not None:
        answer.ended = log.end, log.error[1]
        answer.careful.append(
            f"Read: {log.points.name}, {len(log.points.steps)} points of {log.points.column}; accuracy {log.start:.3g} "
            f"→ {log.end:.3g} ± {math.hypot(*log.error):.1g} in {log.steps:.6g} steps."
        )
        from qra_jax.consult import examination

        try:
            answer.examination = examination.examine(
                log.signals, group_size=settings.group_size, beta=settings.beta or None
            )
        except ValueError as error:
            answer.careful.append(f"The log cannot be examined: {error}.")
        if asked.population is None:
            asked.population = brought.population(log, settings.group_size)
    problem = inputs.problem(command.ref, asked.ref, asked.success) if asked.ref else None
    eta, careful = eta_of(command, asked, settings, preset, problem)
    answer.careful += careful
    if asked.population is not None:
        if (constant := asked.population.constant) in (0.0, 1.0):
            answer.careful.append(advice_report.nothing(constant))
        from qra_jax.consult import alternatives, outlook

        answer.outlook = outlook.outlook(asked.population, settings, questions, eta, command.seed)
        answer.others = alternatives.alternatives(answer.outlook, command.seed)
    if problem is not None:
        if eta is None:
            answer.careful.append(f"η = {ETA:g} is assumed: give --eta, or --went START END with --steps.")
        rate = ETA if eta is None else eta.median
        with busy(f"training {command.runs} times as it is, then with each change"):
            answer.advice = consult.advise(
                jax.random.key(command.seed),
                problem,
                replace(settings, learning_rate=rate),
                reward=asked.reward,
                runs=command.runs,
            )
    return answer


def eta_of(
    command: Advise, asked: Asked, settings: Hyperparameters, preset: Any, problem: Any
) -> tuple[Eta | None, list[str]]:
    """What is known of η, from the surest source that is there, and what to be careful of.

    Args:
      command: the arguments.
      asked: what was read.
      settings: the hyperparameters.
      preset: a trainer's configuration, or `None`.
      problem: the patterns, or `None`.
    """
    from qra_jax.consult import rates

    if command.eta is not None:
        careful = []
        if 0 < command.eta < LOGIT:
            careful.append(
                f"Careful: η = {command.eta:.3g} is a step of the logits of one question, and no learning rate of an "
                f"optimizer of a network: of that give --lr {command.eta:.3g}, or --went START END."
            )
        return rates.given(command.eta), careful
    from qra_jax import orbit
    from qra_jax.consult import outlook
    from qra_jax.consult.examination import FAST
    from qra_jax.population import Population
    from qra_jax.reward import verifiable

    steps = settings.steps * settings.epochs
    if command.went:
        start, end = command.went
        if not 0 < start < 1:
            raise ValueError(f"went: {start:.10g}; must be in (0, 1)")
        if problem is not None and asked.population is None:
            base = float(problem.accuracy_ref)
            if abs(start - base) > 0.02:
                raise ValueError(
                    f"went: starts at {start:.4g}; must be near {base:.4g}, that of ref and success"
                )
            if end <= base:
                raise ValueError(f"went: from {base:.4g} to {end:.4g}; must be a rise")
            names = {
                "beta": settings.beta,
                "entropy_bonus": settings.entropy_bonus,
                "reward": asked.reward is not None,
            }
            for name, there in names.items():
                if there:
                    raise ValueError(
                        f"{name}: given with went and patterns, whose orbit has none; give eta instead"
                    )
            log_time = orbit.log_hitting_time(
                problem,
                target=end,
                event="accuracy",
                algorithm=settings.trained.with_group_size(settings.group_size),
                reward=verifiable(settings.tpr, settings.fpr),
            )
            time = math.exp(float(log_time))
            if not 0 < time < math.inf:
                raise ValueError(f"went: to {end:.4g}; must be an accuracy that training reaches")
            eta = time / steps
            return rates.Eta(
                eta, 0.0, f"η = {eta:.3g}, from {base:.3g} to {end:.3g} in {settings.steps} steps"
            ), []
        population = asked.population or Population.around(start)
        if population.constant is not None:
            raise ValueError(
                "went: given with questions that are always right or always wrong; must be others, nothing moves these"
            )
        if abs(population.mean - start) > 1e-9:
            population = population.shifted(population.shift_to(start))
        asked.population = population
        return rates.went(outlook.pace_of(population, settings), end, steps), []
    if asked.log is not None and asked.population is not None:
        log, pace = asked.log, outlook.pace_of(asked.population, settings)
        rise, error = log.end - log.start, math.hypot(*log.error)
        if rise > 2 * error and asked.population.constant is None:
            with contextlib.suppress(ValueError):  # these settings never get there
                steps = max(log.most[1], 1.0) * settings.epochs
                return rates.went(pace, log.most[0], steps, spread=error / rise), []
        most = "" if rise + 2 * error <= 0 else f", at most {rise + 2 * error:.2g}"
        if command.lr is None:
            return None, [
                f"The log rises by {rise:.2g} ± {error:.1g}{most}: it tells no η, and no learning rate does better."
            ]
    rate = command.lr
    if rate is None and preset is not None:
        rate = preset.setup.learning_rate
    if rate is None and asked.log is not None and (logged := asked.log.signals.get("rate")) is not None:
        rate = float(logged.values.max())
    if rate is None or rate == 0:
        return None, []
    careful = ["Every question is taken to be learnable, and no run to break."]
    if rate >= FAST:
        careful.append(
            f"Careful: a learning rate of {rate:.2g} is one at which runs of language models collapse."
        )
    return rates.measured(float(rate)), careful


def to_json(answer: Answer) -> str:
    """One JSON object, of what was asked for; `null` for the rest.

    Args:
      answer: what is said.
    """
    from qra_jax.consult import advice_report, examination_report, outlook_report

    return json.dumps(
        {
            "examination": None
            if answer.examination is None
            else examination_report.plain(answer.examination),
            "outlook": None
            if answer.outlook is None
            else outlook_report.plain(answer.outlook, answer.others),
            "advice": None if answer.advice is None else advice_report.plain(answer.advice),
            "recipe": None if answer.recipe is None else answer.recipe.plain(),
            "careful": answer.careful,
        },
        allow_nan=False,
    )


def show(answer: Answer) -> None:
    """Print gain, silent groups, failures and what helps, in this order.

    Args:
      answer: what is said.
    """
    from rich.console import Console

    from qra_jax._terminal import TERMS, say
    from qra_jax.consult import advice_report, examination_report, outlook_report

    console = Console(highlight=False, file=sys.stdout)
    lines = list(answer.careful)
    if (found := answer.outlook) is not None:
        lines += [*outlook_report.about(found), *outlook_report.gain(found), *outlook_report.silent(found)]
        lines += outlook_report.rests(found)
    if answer.ended is not None and found is not None and found.gain is not None:
        low, _, high = found.gain.end
        level, error = answer.ended
        if not low - 3 * error <= level <= high + 3 * error:
            lines.append(
                f"At the rate of its first rise that is so; the log ends at {level:.3g}: it levelled off, or fell."
            )
    if answer.examination is not None:
        lines += examination_report.story(answer.examination)
    if answer.advice is not None:
        lines += advice_report.story(answer.advice, answer.names, answer.questions)
    if answer.outlook is not None and answer.advice is None:
        lines += outlook_report.helps(answer.outlook, answer.others)
    if answer.recipe is not None:
        lines += answer.recipe.lines()
    for line in lines:
        say(console, line)
    if answer.advice is not None and answer.advice.constant is None:
        advice_report.table(answer.advice, console)
    say(console, TERMS)
