"""Command line to configuration: what composes, and what every kind of mistake is answered with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conf.effective import effective_yaml, ineffective_chat_settings
from conf.errors import ConfigError
from conf.groups import group_choices
from conf.load import compose_tree, expand_sweep, given_keys, load_run_config, refuse_idle, refuse_ineffective

ROOT = Path(__file__).parents[2]
KADID = ["data=opinion_score", "data.image_folder=i", "data.train_labels=a", "data.test_labels=b"]
OWN_KADID = KADID[1:]
RECIPES = ", ".join(group_choices()["recipe"])
OWN_OF_RECIPE = {
    "rl2r_kadid": OWN_KADID,
    "rl2r_multi": OWN_KADID,
    "rapo_15k": [*OWN_KADID, "model.path=sft"],
    "aes_cold_start": [*OWN_KADID, "cold_start.file=AesCoT-3K.jsonl"],
    "refine_stage2": [*OWN_KADID, "loop.num_steps=10"],
    "r1_reward": [*OWN_KADID, "judge.base_urls=[http://judge:8000/v1]"],
}
"""What only the user of a recipe knows."""
REMOTE_JUDGE = ("judge=remote", "judge.base_urls=[http://judge:8000/v1]")


def problems(*overrides: str) -> list[str]:
    """The lines of the error these overrides are answered with."""
    with pytest.raises(ConfigError) as caught:
        load_run_config(overrides)
    return list(caught.value.problems)


def test_the_default_is_a_tiny_model_on_a_machine_without_gpu() -> None:
    config = load_run_config([])
    assert (config.model.size, config.cluster.gpus_per_node, config.data.kind) == (
        "tiny",
        0,
        "photo_distortions",
    )


@pytest.mark.parametrize("recipe", group_choices()["recipe"])
def test_every_recipe_is_valid(recipe: str) -> None:
    own = OWN_OF_RECIPE.get(recipe, [])
    assert load_run_config([f"recipe={recipe}", *own]).run.name == recipe.replace("demo_", "demo-")


@pytest.mark.parametrize(
    ("group", "choice"),
    [(group, choice) for group, choices in group_choices().items() if group != "recipe" for choice in choices],
)
def test_every_choice_is_valid_in_a_fitting_run(group: str, choice: str) -> None:
    fitting = {
        "opinion_score": [*OWN_KADID, "warm_up.num_steps=0", "cold_start.num_steps=0"],
        "preference_pairs": [
            "data.train_labels=train.jsonl",
            "data.test_labels=test.jsonl",
            "rewards=choice",
            "warm_up.num_steps=0",
            "cold_start.num_steps=0",
        ],
        "photo_pairs": ["rewards=choice"],
        "photo_defects": ["rewards=refine_stage1"],
        "refine_stage1": ["data=photo_defects"],
        "photo_checklist": ["rewards=check"],
        "check": ["data=photo_checklist"],
        "checklist": ["data=photo_checklist", "algorithm=rloo"],
        "refine_iqa": ["data.prompt=refine_iqa"],
        "refine_iqa_released": ["data.prompt=refine_iqa"],
        "refine_iqa_thinking": ["data.prompt=refine_iqa"],
        "mixed": ["data=mixed"] if group == "rewards" else ["rewards=mixed"],
        "trained": ["model.path=runs/demo/model"],
        "two_nodes8": ["learner.world_size=8", "rollout.num_engines=8"],
    }
    needs_pairs = group == "rewards" and choice in ("choice", "r1_reward", "r1_reward_released")
    needs_a_server = group == "judge" and choice == "remote"
    load_run_config(
        [
            f"{group}={choice}",
            *fitting.get(choice, []),
            *(["data=photo_pairs"] if needs_pairs else []),
            *(["judge.base_urls=[http://judge:8000/v1]"] if needs_a_server else []),
        ]
    )


def test_the_command_line_has_the_last_word_over_a_recipe() -> None:
    config = load_run_config(["recipe=demo", "loop.num_steps=7", "rewards=rl2r_absolute"])
    assert config.loop.num_steps == 7
    assert set(config.rewards.terms) == {"format", "opinion", "ranking"}


def test_the_run_folder_follows_the_name() -> None:
    assert load_run_config(["run.name=mine"]).run.folder == "runs/mine"


def test_the_published_recipe_has_the_published_numbers() -> None:
    config = load_run_config(["recipe=rl2r_kadid", *OWN_KADID])
    assert (config.rollout.num_completions, config.rollout.prompts_per_step) == (6, 64)
    assert (config.learner.learning_rate, config.learner.zero_stage) == (1e-6, 3)
    assert config.algorithm.kl.coefficient == 0.04


def test_the_published_recipe_reads_the_published_pair_of_label_files() -> None:
    data = load_run_config(["recipe=rl2r_kadid", *OWN_KADID]).data
    assert data.kind == "opinion_score"
    assert (data.label_format, data.test_label_format) == ("visualquality_r1", "kadid")


def test_the_test_labels_have_the_training_labels_format_unless_told() -> None:
    data = load_run_config([*KADID, "warm_up.num_steps=0", "data.label_format=koniq"]).data
    assert data.kind == "opinion_score"
    assert data.test_label_format == "koniq"


def test_composing_works_from_any_folder_and_leaves_nothing_behind(tmp_path: Path) -> None:
    code = "from conf.load import load_run_config; load_run_config(['recipe=demo'])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert not list(tmp_path.iterdir())


def test_the_effective_configuration_composes_to_itself() -> None:
    config = load_run_config(["recipe=smoke"])
    tree = compose_tree(["recipe=smoke"])
    assert "recipe" not in tree
    assert effective_yaml(config).count("\n") > 80


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("loop.num_step=3", "loop.num_step: unknown key; did you mean loop.num_steps?"),
        ("+loop.max_lagg=2", "loop.max_lagg: unknown key; did you mean loop.max_lag?"),
        ("num_completions=3", "num_completions: unknown key; did you mean rollout.num_completions?"),
        ("modle=tiny", "modle: unknown key; did you mean model?"),
        ("recipe=dmo", f"recipe=dmo: expected one of {RECIPES}; did you mean demo?"),
        ("rollout=tny", "rollout=tny: expected one of qwen2_5_vl_7b, tiny; did you mean tiny?"),
        ("+model=tiny", "model: a choice is made already; leave out the + to change it"),
        ("+data.num_train=3", "data.num_train: exists already; leave out the + to change it"),
        ("rollout.num_completions='8'", "rollout.num_completions='8': expected integer >= 1"),
        ("rollout.num_completions=0", "rollout.num_completions=0: expected integer >= 1"),
        ("rollout.num_completions=8.0", "rollout.num_completions=8.0: expected integer >= 1"),
        ("rollout.num_completions=null", "rollout.num_completions=null: expected integer >= 1"),
        ("rollout.enforce_eager=3", "rollout.enforce_eager=3: expected true or false"),
        ("learner.learning_rate=nan", "learner.learning_rate=nan: expected number > 0 and <= 1"),
        ("learner.zero_stage=5", "learner.zero_stage=5: expected one of 0, 1, 2, 3"),
        (
            "learner.dtype=bf16",
            "learner.dtype='bf16': expected one of auto, float32, bfloat16, bfloat16_head_float32; "
            "did you mean bfloat16?",
        ),
        ("learner.betas=[0.9,1.5]", "learner.betas.1=1.5: expected list of 2, each number >= 0 and < 1"),
        ("data.crop_size=57", "data.crop_size=57: expected integer >= 28 and <= 448 and a multiple of 28"),
        ("run.name='a b'", "run.name='a b': expected text of length >= 1 matching ^[A-Za-z0-9._-]+$"),
        ("loop=3", "loop=3: expected a section with its own keys, such as loop.num_steps"),
        ("data.scale.minimum=9", "data.scale: minimum=9.0 must be below maximum=5.0"),
        (
            "data.image_folder=x",
            "data.image_folder: this run has no such option; it belongs to "
            "data.kind=opinion_score or data.kind=preference_pairs",
        ),
        (
            "model.path=x",
            "model: give one of path and size and set the other to null, got path=x size=tiny",
        ),
        (
            "rewards.terms.opinion.weight=2",
            "rewards.terms.opinion.weight: this run has no rewards.terms.opinion, rewards.terms holds "
            "format, ranking; add it with +rewards.terms.opinion={kind:...}",
        ),
        (
            "rewards.terms.format.mode=strct",
            "rewards.terms.format.mode='strct': expected one of strict, tolerant, number, choice, r1_reward, answer, "
            "score_line, refine_iqa; did you mean strict?",
        ),
        (
            "rewards.terms.format.kind=ranking",
            "rewards.terms.format.form: must be given, one of released, rounded, paper: released: 1e-6 inside both "
            "fidelity roots, as VisualQuality-R1's code has it; rounded: the same to four decimals, as Aes-R1's does; "
            "paper: none.",
        ),
        (
            "rewards.terms.format.kind=ranking",
            "rewards.terms.format.mode: this run has no such option; it belongs to rewards.terms.<name>.kind=choice or "
            "rewards.terms.<name>.kind=consistency or rewards.terms.<name>.kind=format or "
            "rewards.terms.<name>.kind=score_line or rewards.terms.<name>.kind=threshold",
        ),
        (
            "+rewards.terms.o.weight=1",
            "rewards.terms.o.kind: must be given, one of format, opinion, ranking, threshold, score_line, choice, "
            "perception, check, calibration, probability_difference, consistency, comparison, overlong, custom, remote",
        ),
        (
            "loop.num_steps=1,2",
            "'loop.num_steps=1,2': several values need --multirun; a list is loop.num_steps=[a,b], "
            "a text loop.num_steps='\"a,b\"'",
        ),
        ("=3", "'=3': cannot be read as KEY=VALUE (the key is missing)"),
        (
            "hydra.run.dir=x",
            "hydra.run.dir: has no effect, Hydra only composes here; the run folder is run.folder",
        ),
        ("model.size=${nope}", "model.size: Interpolation key 'nope' not found"),
        ("~loop.zz", "loop.zz: unknown key"),
        ("~data", "data: must be given"),
    ],
)
def test_a_mistake_is_one_readable_line(override: str, answer: str) -> None:
    assert answer in problems(override)


@pytest.mark.parametrize("override", ["a b", "loop.num_steps=[1", "rollout"])
def test_an_unreadable_override_is_quoted(override: str) -> None:
    (line,) = problems(override)
    assert line.startswith(f"{override!r}: cannot be read as KEY=VALUE")


def test_a_missing_value_is_named_with_its_meaning() -> None:
    assert problems("recipe=rl2r_kadid") == [
        "data.image_folder: must be given, text or (text or text by name) by name: Folder the file names in the label "
        "files are joined to; or one for pictures and one for videos, {image: FOLDER, video: FOLDER}; or either of "
        "these for each data set that the rows name: {KADID-10K: FOLDER, ...}.",
        "data.train_labels: must be given, text or list, each text of length >= 1: Label file of the training split, "
        "or a list of files.",
        "data.test_labels: must be given, text or list, each text of length >= 1: Label file of the test split, "
        "or a list of files.",
    ]


def test_several_mistakes_are_several_lines() -> None:
    assert len(problems("rollout.num_completions=0", "learner.zero_stage=5", "+loop.x=1")) == 3


def test_a_wrong_choice_does_not_hide_a_wrong_key() -> None:
    assert len(problems("recipe=dmo", "modle=tiny")) == 2


def test_no_message_speaks_of_hydra_or_pydantic() -> None:
    for override in ("loop.x=1", "recipe=zz", "loop.num_steps=x", "model=[tiny,small]", "data=null"):
        text = "\n".join(problems(override))
        assert "Traceback" not in text
        assert not any(word in text for word in ("pydantic.dev", "hydra_full_error", "HYDRA_FULL_ERROR"))


def test_given_keys_are_the_values_set_with_dictionaries_flattened() -> None:
    given = given_keys(["loop={num_steps:3}", "model=tiny", "run.seed=1", "~rewards.terms.format"])
    assert given == {"loop.num_steps", "run.seed"}


def test_a_sweep_is_the_product_of_its_values() -> None:
    jobs = expand_sweep(["recipe=demo", "run.seed=0,1", "loop.num_steps=range(1,3)"])
    assert [job[:3] for job in jobs] == [
        ["recipe=demo", f"run.seed={seed}", f"loop.num_steps={steps}"] for seed in (0, 1) for steps in (1, 2)
    ]


def test_the_runs_of_a_sweep_have_names_and_folders_of_their_own() -> None:
    configs = [load_run_config(job) for job in expand_sweep(["recipe=demo,smoke"])]
    assert [config.run.folder for config in configs] == ["runs/demo-0", "runs/smoke-1"]


def test_a_folder_given_for_a_sweep_is_numbered() -> None:
    configs = [load_run_config(job) for job in expand_sweep(["run.seed=0,1", "run.folder='/x/a b'"])]
    assert [config.run.folder for config in configs] == ["/x/a b-0", "/x/a b-1"]


def test_a_sweep_over_names_keeps_them() -> None:
    configs = [load_run_config(job) for job in expand_sweep(["run.name=a,b"])]
    assert [config.run.name for config in configs] == ["a", "b"]


@pytest.mark.parametrize(
    ("override", "also"),
    [
        ("rollout.gpu_memory_fraction=0.5", []),
        ("rollout.enforce_eager=true", []),
        ("rollout.kv_cache_gib=1.0", ["cluster=one_gpu"]),
        ("cluster.cpu_threads_per_actor=2", ["cluster=one_gpu"]),
        ("cold_start.batch_size=8", ["cold_start.num_steps=0"]),
        ("warm_up={learning_rate:0.1}", ["warm_up.num_steps=0"]),
        ("parity.every=5", ["loop.num_steps=0"]),
        ("rewards.terms.format.weight=2.0", ["loop.num_steps=0"]),
        ("evaluation.sampling.top_p=0.5", []),
        ("evaluation.min_spread=0.1", ["recipe=demo_pairs"]),
        ("evaluation.min_spread=0.1", ["recipe=refine_stage1"]),
        ("judge.cache=false", ["recipe=demo"]),
        ("judge.structured=never", ["recipe=demo_pairs"]),
        ("judge.temperature=1.0", ["recipe=demo_pairs"]),
        ("judge.max_tokens=4", ["recipe=demo_pairs"]),
        ("judge.num_votes=3", ["recipe=demo_pairs", "judge.temperature=1.0"]),
        ("judge.template=released", ["rewards=comparison"]),
        ("learner.micro_batch_size=8", ["recipe=demo", "learner.pack_tokens=4096"]),
    ],
)
def test_an_option_without_effect_is_refused_when_given(override: str, also: list[str]) -> None:
    config = load_run_config([*also, override])
    with pytest.raises(ConfigError, match=r"has no effect, .*; remove it"):
        refuse_ineffective(config, [*also, override])


@pytest.mark.parametrize("recipe", ["demo", "smoke"])
def test_a_recipe_may_hold_options_without_effect(recipe: str) -> None:
    refuse_ineffective(load_run_config([f"recipe={recipe}"]), [f"recipe={recipe}"])


@pytest.mark.parametrize(
    "overrides",
    [
        ["rollout.kv_cache_gib=1.0", "loop.max_lag=1"],
        ["recipe=demo_pairs", "judge.template=released", "judge.max_attempts=1", "judge.cache=false"],
        ["recipe=demo_pairs", *REMOTE_JUDGE, "judge.structured=never", "judge.temperature=1.0", "judge.num_votes=3"],
        ["data=photo_pairs", "rewards=comparison", "judge.template=released"],
        ["recipe=demo", "learner.micro_batch_size=8"],
        ["recipe=demo", "learner.pack_tokens=4096"],
    ],
)
def test_an_option_with_effect_is_accepted(overrides: list[str]) -> None:
    refuse_ineffective(load_run_config(overrides), overrides)


def test_a_server_that_is_asked_as_a_chat_model_has_no_use_for_what_is_about_verdicts() -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_idle(ineffective_chat_settings(), [*REMOTE_JUDGE, "judge.num_votes=3", "judge.timeout_s=3.0"])
    assert caught.value.problems == (
        "judge.num_votes: has no effect, the servers are asked for answers here, and not for verdicts; remove it",
    )


def test_what_is_no_setting_of_a_judge_is_not_called_idle() -> None:
    remote = load_run_config([*REMOTE_JUDGE]).judge
    assert {key.partition(".")[2] for key in ineffective_chat_settings()} <= set(remote.model_dump())
