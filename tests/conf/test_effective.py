"""What identifies a run, and what its saved configuration holds."""

from pathlib import Path

import pytest
import yaml

from conf.effective import config_digest, effective_yaml
from conf.load import load_run_config


def digest(*overrides: str) -> str:
    """Digest of the demo with overrides."""
    return config_digest(load_run_config(["recipe=demo", *overrides]))


def test_the_saved_configuration_reads_back_as_the_same_values() -> None:
    config = load_run_config(["recipe=demo"])
    assert yaml.safe_load(effective_yaml(config)) == config.model_dump(mode="json")


def test_the_saved_configuration_names_its_digest() -> None:
    config = load_run_config(["recipe=demo"])
    assert config_digest(config) in effective_yaml(config).splitlines()[0]


@pytest.mark.parametrize(
    "override",
    [
        "run.name=other", "run.folder=elsewhere", "loop.num_steps=500", "cluster.step_timeout_s=9.0",
        "journal.tensorboard=false", "rollout.num_engines=2", "loop.checkpoint_every=7",
        "learner.micro_batch_size=1", "learner.pack_tokens=4096",
    ],
)  # fmt: skip
def test_a_run_may_be_resumed_under_another_name_longer_or_on_other_machines(override: str) -> None:
    assert digest(override) == digest()


@pytest.mark.parametrize(
    "override",
    [
        "run.seed=1", "learner.learning_rate=0.5", "algorithm.clip_low=0.1", "rollout.num_completions=4",
        "rewards.terms.format.weight=2.0", "data.crop_size=28", "warm_up.num_steps=3", "model.size=small",
    ],
)  # fmt: skip
def test_what_changes_the_result_changes_the_digest(override: str) -> None:
    assert digest(override) != digest()


def test_the_digest_does_not_depend_on_the_order_of_overrides() -> None:
    assert digest("run.seed=1", "data.num_train=64") == digest("data.num_train=64", "run.seed=1")


def custom_reward(file: Path) -> list[str]:
    return ["data=photo_pairs", "rewards=custom", f"rewards.terms.custom.path={file}:reward"]


def pairs(folder: Path) -> list[str]:
    return [
        "data=preference_pairs", f"data.train_labels={folder / 'train'}", f"data.test_labels={folder / 'test.jsonl'}",
        f"data.traces={folder / 'traces.jsonl'}", "rewards=choice", "warm_up.num_steps=0",
    ]  # fmt: skip


def digest_of(overrides: list[str]) -> str:
    return config_digest(load_run_config(overrides))


def test_another_reward_function_under_the_same_name_is_another_run(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def reward(group): return [1.0]")
    first = digest_of(custom_reward(file))
    file.write_text("def reward(group): return [2.0]")
    second = digest_of(custom_reward(file))
    file.write_text("def reward(group): return [1.0]")
    assert first == digest_of(custom_reward(file)) != second


@pytest.mark.parametrize("name", ["train/a.jsonl", "train/b.jsonl", "test.jsonl", "traces.jsonl"])
def test_other_rows_under_the_same_name_are_another_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "train").mkdir()
    for file in ("train/a.jsonl", "train/b.jsonl", "test.jsonl", "traces.jsonl"):
        (tmp_path / file).write_text("{}")
    before = digest_of(pairs(tmp_path))
    assert digest_of(pairs(tmp_path)) == before
    (tmp_path / name).write_text('{"id": 1}')
    assert digest_of(pairs(tmp_path)) != before


def test_a_file_that_is_not_there_is_left_to_its_reader(tmp_path: Path) -> None:
    assert digest_of(pairs(tmp_path)) == digest_of(pairs(tmp_path))
