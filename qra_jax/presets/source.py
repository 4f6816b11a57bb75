"""Where a configuration comes from: a dictionary, a file or text; and which trainer's it is, by its content.

Needs no JAX. Whatever goes wrong is a `ValueError` of one line that begins with the name of the file.
"""

from __future__ import annotations

import ast
import json
import operator
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qra_jax.presets.fields import TRAINERS, lookup

SAVE = "save it as JSON instead: json.dump(args.to_dict(), open('trainer_args.json', 'w'))"
"""What to do in place of a pickle."""
LARGEST = 4_000_000
"""Bytes of the largest file that is read; configurations are far smaller."""
MOST = 20_000
"""Fields of the largest configuration that is read; aliases of YAML could make endlessly many."""
ABSENT = (None, "???", "null", "None")
"""Values that say that a field is not given; `???` is Hydra's."""

STRONG = {
    "trl": "num_generations num_generations_eval per_device_train_batch_size generation_batch_size "
    "steps_per_generation num_iterations epsilon epsilon_high importance_sampling_level scale_rewards loss_type beta "
    "delta max_completion_length sync_ref_model use_vllm vllm_mode mask_truncated_completions top_entropy_quantile "
    "multi_objective_aggregation reward_weights reward_funcs vllm_importance_sampling_correction "
    "vllm_importance_sampling_mode off_policy_mask_threshold gradient_accumulation_steps lr_scheduler_type",
    "verl": "actor_rollout_ref.* algorithm.adv_estimator algorithm.kl_ctrl.* algorithm.filter_groups.* "
    "algorithm.norm_adv_by_std_in_grpo algorithm.use_kl_in_reward algorithm.kl_penalty algorithm.rollout_correction.* "
    "data.train_batch_size data.gen_batch_size",
}
"""Fields by which each trainer is recognised."""
OTHERS = {
    "OpenRLHF": "n_samples_per_prompt micro_rollout_batch_size micro_train_batch_size init_kl_coef eps_clip "
    "eps_clip_low_high advantage_estimator actor_learning_rate actor_num_gpus_per_node colocate_all_models "
    "algo.kl.* algo.advantage.* actor.eps_clip actor.policy_loss_type actor.adam.* rollout.n_samples_per_prompt "
    "ds.* ckpt.*",
    "NeMo-RL": "grpo.num_prompts_per_step grpo.num_generations_per_prompt grpo.max_num_steps loss_fn.* "
    "policy.generation.* policy.train_global_batch_size",
    "prime-rl": "orchestrator.* inference.* rollouts_per_example max_async_level trainer.loss.* trainer.optim.* "
    "trainer.model.* ckpt.interval",
    "SkyRL": "generator.* trainer.algorithm.* trainer.policy.* trainer.placement.* environment.env_class",
    "open-instruct": "num_samples_per_prompt_rollout num_unique_prompts_rollout total_episodes "
    "async_steps clip_lower clip_higher apply_verifiable_reward",
    "AReaL": "gconfig.* actor.group_size actor.eps_clip actor.recompute_logprob allocation_mode "
    "async_training max_head_offpolicyness rollout.max_head_offpolicyness",
    "slime": "num_rollout over_sampling_batch_size rollout_global_dataset n_samples_per_prompt use_tis "
    "eps_clip_high sglang_mem_fraction_static",
    "ROLL": "actor_train.* actor_infer.* adv_estimator rollout_batch_size num_return_sequences_in_group",
    "Axolotl": "rl trl.* base_model micro_batch_size sequence_len adapter",
    "LLaMA-Factory": "stage finetuning_type pref_beta pref_loss cutoff_len",
    "torchtune": "grpo_samples forward_batch_size _component_ loss._component_ optimizer._component_ "
    "tokenizer._component_",
    "TRL's DPOConfig": "precompute_ref_log_probs rpo_alpha label_pad_token_id reference_free f_divergence_type "
    "padding_free max_prompt_length loss_weights",
    "TRL's PPOConfig": "num_ppo_epochs cliprange cliprange_value vf_coef kl_coef whiten_rewards kl_estimator",
    "TRL's RLOOConfig": "rloo_k reward_clip_range normalize_advantages",
    "TRL's SFTConfig": "packing dataset_text_field completion_only_loss assistant_only_loss packing_strategy "
    "eval_packing",
    "verl's trainer for supervised fine-tuning": "model.partial_pretrain data.micro_batch_size_per_gpu optim.lr "
    "model.strategy",
    "a state of Hugging Face's Trainer (trainer_state.json)": "log_history global_step is_world_process_zero "
    "best_metric trial_params",
    "a network's config.json": "hidden_size num_hidden_layers num_attention_heads vocab_size architectures "
    "model_type",
    "DeepSpeed's configuration": "zero_optimization.* train_micro_batch_size_per_gpu train_batch_size "
    "gradient_clipping",
}
"""Fields by which files of others are recognised, to say what a file looks like."""


def load(config: Any) -> tuple[str, dict[str, Any]]:
    """A configuration as flat dictionary, from wherever it is.

    Args:
      config: a mapping, nested or dotted; a path; text of JSON or YAML; command-line overrides, as text or as a list of
        `name=value`.

    Returns:
      What to call it in messages, and its fields by dotted name.

    Raises:
      ValueError: nothing of the kind.
    """
    if isinstance(config, Mapping):
        return "config", flat("config", config)
    if isinstance(config, Path):
        return _file(config)
    if isinstance(config, str):
        if _is_path(config):
            return _file(Path(config))
        return "text", flat("text", _parse("text", config, ""))
    if isinstance(config, (list, tuple)) and config and all(isinstance(one, str) for one in config):
        return "overrides", flat("overrides", _overrides("overrides", list(config)))
    kind = type(config).__name__
    raise ValueError(
        f"config: a {kind}; must be a dictionary, a path, text of JSON or YAML, or overrides name=value"
    )


def trainer(source: str, values: Mapping[str, Any]) -> str:
    """Whose configuration it is, by the fields that it has.

    Args:
      source: what to call it in messages.
      values: fields by dotted name.

    Returns:
      `"trl"` or `"verl"`.

    Raises:
      ValueError: neither of them; the message says what it looks like.
    """
    score = {name: sum(_matches(field, STRONG[name].split()) for field in values) for name in TRAINERS}
    other, hits = max(
        ((name, sum(_matches(field, of.split()) for field in values)) for name, of in OTHERS.items()),
        key=lambda one: one[1],
    )
    best = max(score, key=lambda name: score[name])
    if score["verl"] and score["trl"] and min(score.values()) * 2 > max(score.values()):
        raise ValueError(f"{source}: has fields of TRL and of verl; must be of one trainer")
    if hits > score[best]:
        whose = "looks like " + other
        raise ValueError(f"{source}: {whose}; must be {' or '.join(TRAINERS.values())}'s configuration")
    if score[best]:
        return best
    weak = {name: sum(lookup(name, field) is not None for field in values) for name in TRAINERS}
    best = max(weak, key=lambda name: weak[name])
    if weak[best]:
        return best
    shown = ", ".join(list(values)[:3]) + (", …" if len(values) > 3 else "")
    raise ValueError(f"{source}: no field of {' or '.join(TRAINERS.values())} (it has {shown})")


def flat(source: str, values: Mapping[Any, Any]) -> dict[str, Any]:
    """Fields by dotted name; interpolations such as `${data.max_response_length}` are resolved.

    Args:
      source: what to call it in messages.
      values: nested, dotted, or both.

    Returns:
      Fields by dotted name. Lists, and mappings without entries, are values.

    Raises:
      ValueError: nothing in it, or a field given twice with two values.
    """
    out: dict[str, Any] = {}
    try:
        _flatten(source, "", _unwrapped(values), out)
    except RecursionError:
        raise ValueError(f"{source}: nested too deeply") from None
    if not out:
        raise ValueError(f"{source}: empty; must hold at least one field")
    return {name: _resolved(value, out) for name, value in out.items()}


def _flatten(source: str, prefix: str, values: Mapping[Any, Any], out: dict[str, Any]) -> None:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            _flatten(source, f"{name}.", value, out)
        elif name in out and out[name] != value:
            raise ValueError(f"{source}: {name}: given twice, {_short(out[name])} and {_short(value)}")
        elif len(out) == MOST:
            raise ValueError(f"{source}: more than {MOST} fields; no configuration has so many")
        else:
            out[name] = value


def _unwrapped(values: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The fields of Weights & Biases' `config.yaml`, where each is wrapped in `value`."""
    wrapped = [
        isinstance(one, Mapping) and "value" in one and set(one) <= {"value", "desc"}
        for one in values.values()
    ]
    if not wrapped or sum(wrapped) < len(wrapped) - 1:
        return values
    return {
        name: one["value"] if isinstance(one, Mapping) and "value" in one else one
        for name, one in values.items()
    }


def _resolved(value: Any, values: Mapping[str, Any], depth: int = 0) -> Any:
    """An interpolation's value; one that cannot be resolved counts as not given."""
    if not isinstance(value, str) or "${" not in value or depth > 8:
        return value
    whole = re.fullmatch(r"\s*\$\{(?:oc\.select:)?\s*([\w.]+)\s*(?:,\s*(.*?)\s*)?\}\s*", value, re.DOTALL)
    if whole is None:
        return value
    name, fallback = whole.groups()
    if name in values:
        return _resolved(values[name], values, depth + 1)
    return None if fallback is None else scalar(fallback)


def scalar(text: str) -> Any:
    """A value as YAML and Hydra read it: numbers, true and false, null, lists; words are words.

    Args:
      text: the value's text.

    Returns:
      The value.
    """
    import yaml

    try:
        value = yaml.load(text, _loader("value"))
    except (yaml.YAMLError, ValueError):
        return text
    if isinstance(value, str):
        return {"none": None, "true": True, "false": False}.get(value.lower(), value)
    return value


def _matches(field: str, names: Sequence[str]) -> bool:
    return any(field.startswith(name[:-1]) if name.endswith(".*") else field == name for name in names)


def _is_path(text: str) -> bool:
    if "\n" in text or not text.strip() or len(text) > 4000 or text.lstrip()[0] in "{[":
        return False
    try:
        if Path(text).exists():
            return True
    except (OSError, ValueError):
        return False
    return "=" not in text and ": " not in text and not text.startswith("--")


def _file(path: Path) -> tuple[str, dict[str, Any]]:
    source = path.name or str(path)
    if path.is_dir():
        raise ValueError(f"{source}: a folder; must be a file")
    try:
        size = path.stat().st_size
        head = path.read_bytes()[:8] if size <= LARGEST else b""
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{repr(source)[1:-1]}: cannot be read ({reason.lower()})") from None
    if path.suffix in (".bin", ".pt", ".pth", ".pkl", ".pickle") or head[:2] == b"PK" or head[:1] == b"\x80":
        raise ValueError(f"{source}: a pickle, which may run anything when it is opened; {SAVE}")
    if size > LARGEST:
        raise ValueError(
            f"{source}: {size / 1e6:.0f} MB; a configuration must have {LARGEST / 1e6:.0f} MB or less"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{source}: no text; must be JSON or YAML") from None
    if "\0" in text:
        raise ValueError(f"{source}: no text; must be JSON or YAML")
    return source, flat(source, _parse(source, text, path.suffix.lower()))


def _parse(source: str, text: str, suffix: str) -> Mapping[Any, Any]:
    """Fields of a text; what it is written in shows by its suffix, else by itself."""
    if not text.strip():
        raise ValueError(f"{source}: empty; must hold at least one field")
    if suffix == ".toml":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{source}: no TOML ({_one_line(error)})") from None
    if suffix in (".json", ".jsonl") or text.lstrip()[0] == "{":
        value = _json(source, text, suffix)
    elif _is_command(text, suffix):
        return _overrides(source, _words(text))
    else:
        value = _yaml(source, text)
    if not isinstance(value, Mapping):
        kind = {list: "a list", str: "a single word or sentence", type(None): "empty"}.get(
            type(value), "a number"
        )
        raise ValueError(f"{source}: {kind}; must hold fields and their values")
    return value


def _json(source: str, text: str, suffix: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, value in pairs:
            if name in out and out[name] != value:
                raise ValueError(f"{source}: {name}: given twice, {_short(out[name])} and {_short(value)}")
            out[name] = value
        return out

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        if not suffix:  # YAML, too, may begin with a brace
            return _yaml(source, text)
        raise ValueError(f"{source}: no JSON (line {error.lineno}: {error.msg})") from None
    except RecursionError:
        raise ValueError(f"{source}: nested too deeply") from None


def _loader(source: str) -> Any:
    """A YAML loader that refuses a field given twice, makes no objects, and reads 1e-6 as the number that it is."""
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML of a configuration."""

    def mapping(loader: Any, node: Any) -> dict[str, Any]:
        loader.flatten_mapping(node)
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            name = str(loader.construct_object(key_node, True))
            value = loader.construct_object(value_node, True)
            if name in out and out[name] != value:
                raise ValueError(f"{source}: {name}: given twice, {_short(out[name])} and {_short(value)}")
            out[name] = value
        return out

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    for tag in ("tag:yaml.org,2002:python/", "!"):
        Loader.add_multi_constructor(tag, lambda loader, suffix, node: getattr(node, "value", None))
    number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    return Loader


def _yaml(source: str, text: str) -> Any:
    import yaml

    try:
        documents = [one for one in yaml.load_all(text, _loader(source)) if one is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(
            f"{source}: no YAML ({place}{_one_line(getattr(error, 'problem', None) or error)})"
        ) from None
    except RecursionError:
        raise ValueError(f"{source}: nested too deeply") from None
    if len(documents) > 1:
        raise ValueError(f"{source}: {len(documents)} documents; must be one")
    return documents[0] if documents else None


def _is_command(text: str, suffix: str) -> bool:
    if suffix in (".sh", ".bash"):
        return True
    if suffix in (".yaml", ".yml"):
        return False
    return bool(
        re.search(r"(^|\s)(\+{0,2}[A-Za-z_][\w.@]*=\S|--[A-Za-z_][\w.-]*[= ]\S)", text)
    ) and not re.search(r"^\s*[\w.]+:(\s|$)", text, re.MULTILINE)


def _words(text: str) -> list[str]:
    """Words of a command or of a script, its variables put in."""
    text = re.sub(r"\\\r?\n", " ", text)
    dotted = re.search(r"(^|\s)\+{0,2}[A-Za-z_]\w*\.[\w.]+=", text) is not None
    variables: dict[str, str] = {}
    words: list[str] = []
    for line in text.splitlines():
        try:
            pieces = shlex.split(_filled(line, variables), comments=True)
        except ValueError:  # part of a longer quotation: no setting
            continue
        set_here = [re.fullmatch(r"([A-Za-z_]\w*)=(.*)", piece) for piece in pieces if piece != "export"]
        assignments = [one for one in set_here if one]
        if dotted and assignments and len(assignments) == len(set_here):
            variables |= {one.group(1): one.group(2) for one in assignments}
        else:
            words += pieces
    if "-m" in words:  # python -m module settings
        after = words[words.index("-m") + 2 :]
        words = after if any("=" in word or word.startswith("--") for word in after) else words
    return words


def _filled(word: str, variables: Mapping[str, str]) -> str:
    """A word with a shell's variables and whole-number arithmetic put in; those unknown stay."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(3)
        return variables.get(name, match.group(2) or match.group(0))

    word = re.sub(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}|\$([A-Za-z_]\w*)", value, word)

    def sum_of(match: re.Match[str]) -> str:
        inner = re.sub(r"[A-Za-z_]\w*", lambda one: variables.get(one.group(0), one.group(0)), match.group(1))
        result = _arithmetic(inner)
        return match.group(0) if result is None else str(result)

    return re.sub(r"\$\(\((.*?)\)\)", sum_of, word)


def _arithmetic(text: str) -> int | None:
    rules = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.floordiv}

    def value(node: ast.AST) -> int:
        if isinstance(node, ast.Constant) and isinstance(node.value, int) and abs(node.value) < 10**12:
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in rules:
            return rules[type(node.op)](value(node.left), value(node.right))
        raise ValueError

    try:
        return value(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, ZeroDivisionError, RecursionError):
        return None


def _overrides(source: str, words: Sequence[str]) -> dict[str, Any]:
    """Fields of a command line: `name=value` with Hydra's prefixes `+` and `~`, or `--name value`; the last counts."""
    out: dict[str, Any] = {}
    words = [_filled(word, {}) for word in words]
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        flag = re.fullmatch(r"--([A-Za-z_][\w.-]*)(?:=(.*))?", word, re.DOTALL)
        setting = re.fullmatch(r"\+{0,2}([A-Za-z_][\w./@-]*)=(.*)", word, re.DOTALL)
        if flag:
            name, text = flag.groups()
            following = words[place] if place < len(words) else "--"
            if text is None and not following.startswith("--") and "=" not in following:
                text, place = following, place + 1
            out[name.replace("-", "_")] = True if text is None else scalar(text)
        elif setting:
            name, text = setting.groups()
            out[name] = scalar(text)
        elif word.startswith("~"):
            out.pop(word[1:], None)
    shell = [
        name
        for name, value in out.items()
        if isinstance(value, str) and re.search(r"\$\{?[A-Za-z_@(]", value)
    ]
    for name in shell:
        if not re.search(r"\$\{[\w.]+\.[\w.]+\}|\$\{oc\.", str(out[name])):  # one of Hydra's stays
            out[name] = None
    if not out:
        raise ValueError(f"{source}: no setting; must hold name=value")
    return out


def _one_line(error: Any) -> str:
    return " ".join(str(error).split())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
