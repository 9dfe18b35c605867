"""What a run would take, before anything is started."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from cluster.budget import GIB, TILE_LOGITS, memory_budget
from cluster.dry_run import dry_run
from cluster.main import main
from conf.load import load_run_config
from learner.fused import GPU_TILE
from rollout.datasets.problems import DatasetProblems
from rollout.families.shapes import PUBLISHED, shape_of

SEVEN = PUBLISHED["Qwen/Qwen2.5-VL-7B-Instruct"]
THREE = PUBLISHED["Qwen/Qwen2.5-VL-3B-Instruct"]


def _labels(folder: Path, *, rows: int) -> list[str]:
    """Two label files of plain rows; no picture is there."""
    lines = [json.dumps({"image": f"{row}.png", "score": 1 + row % 5, "dataset": "d"}) for row in range(rows)]
    (folder / "train.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return [
        f"data.image_folder={folder}",
        f"data.train_labels={folder / 'train.jsonl'}",
        f"data.test_labels={folder / 'train.jsonl'}",
        "data.label_format=plain",
        "data.test_label_format=plain",
    ]


def _shown(overrides: Sequence[str]) -> dict[str, str]:
    """Printed lines by what they begin with."""
    with (console := Console(width=400, highlight=False, markup=False)).capture() as capture:
        assert dry_run(overrides, console) == 0
    return {line.partition(" ")[0]: line.partition(" ")[2].strip() for line in capture.get().splitlines()}


def test_rl2r_on_kadid_is_64_pictures_and_384_rollouts_a_step_for_10_epochs(tmp_path: Path) -> None:
    shown = _shown(["recipe=rl2r_kadid", *_labels(tmp_path, rows=6125)])
    assert shown["prompts"] == "64 a step, 61,440 in all"
    assert shown["rollouts"] == "384 a step (64 x 6), 368,640 in all, of at most 256 tokens"
    assert shown["steps"] == "960 of RL"
    assert shown["epochs"] == "10.03 of 6,125 training prompts, 95.7 steps each"


def test_rapo_is_128_pictures_and_512_rollouts_a_step_for_10_epochs(tmp_path: Path) -> None:
    overrides = [*_labels(tmp_path, rows=15000), "data.label_range.maximum=5.0", "model.path=owner/sft"]
    shown = _shown(["recipe=rapo_15k", *overrides])
    assert shown["prompts"].startswith("128 a step")
    assert shown["rollouts"].startswith("512 a step (128 x 4)")
    assert shown["steps"] == "1170 of RL"
    assert shown["epochs"].startswith("9.98 of 15,000")
    assert shown["memory"] == "unknown: owner/sft is not on this machine"


def test_a_second_stage_says_what_it_would_take_before_the_first_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "recipe=refine_stage2", "loop.num_steps=100", *_labels(tmp_path, rows=160), "--dry-run"]
    words += ["data.prompt=refine_iqa", f"model.path={tmp_path / 'stage1'}"]
    assert main(words) == 2
    shown, problems = capsys.readouterr()
    assert "64 a step (8 x 8), 6,400 in all, of at most 1024 tokens" in shown
    assert "5.00 of 160 training prompts" in shown
    assert "there is no such folder" in problems


def test_a_first_stage_is_55000_questions_five_times() -> None:
    shown = _shown(["recipe=refine_stage1"])
    assert shown["epochs"] == "5.00 of 55,000 training prompts, 6875.0 steps each"


def test_chunks_make_whole_steps(tmp_path: Path) -> None:
    shown = _shown(["recipe=rl2r_multi", *_labels(tmp_path, rows=200)])
    assert shown["epochs"].endswith("3.0 steps each")


def test_a_model_made_on_the_spot_needs_next_to_nothing() -> None:
    shown = _shown(["recipe=smoke"])
    assert shown["memory"].endswith("needs less than 1 GiB")
    assert shown["steps"] == "2 of RL, after 2 of warm-up x 8, 40 of cold start x 8"


def test_missing_label_files_are_told_after_everything_else(tmp_path: Path) -> None:
    overrides = ["recipe=rl2r_kadid", *_labels(tmp_path, rows=1)]
    (tmp_path / "train.jsonl").unlink()
    console = Console(width=400)
    with console.capture() as capture, pytest.raises(DatasetProblems, match="cannot be read"):
        dry_run(overrides, console)
    assert "unknown without training labels" in capture.get()


def test_the_switch_starts_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "recipe=smoke", "--dry-run", f"run.folder={tmp_path / 'run'}"]) == 0
    assert "nothing is started" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_the_published_models_have_their_published_numbers_of_parameters() -> None:
    # From the files on the hub: 8.29 and 3.75 billion.
    assert sum(SEVEN.num_parameters.values()) == 8_292_166_656
    assert sum(THREE.num_parameters.values()) == 3_754_622_976


def test_the_shape_of_a_folder_is_read_from_its_config(tmp_path: Path) -> None:
    from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl

    create_tiny_qwen_vl(tmp_path / "tiny", size=TinyModelSize(), seed=0)
    config = load_run_config([f"model.path={tmp_path / 'tiny'}", "model.size=null"]).model
    shape = shape_of(config)
    assert shape is not None
    assert sum(shape.num_parameters.values()) == _stored_parameters(tmp_path / "tiny")


def _stored_parameters(folder: Path) -> int:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="numpy") as weights:
        return sum(weights.get_tensor(name).size for name in weights.keys())  # noqa: SIM118 - it is no dict


def test_an_old_config_has_the_language_model_beside_the_vision_tower(tmp_path: Path) -> None:
    settings = {
        "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
        "intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False,
        "vision_config": {
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "patch_size": 14, "temporal_patch_size": 2,
            "spatial_merge_size": 2,
        },
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(settings))
    config = load_run_config([f"model.path={tmp_path}", "model.size=null"]).model
    assert shape_of(config) == SEVEN


def test_a_config_without_a_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": {}}))
    config = load_run_config([f"model.path={tmp_path}", "model.size=null"]).model
    with pytest.raises(ValueError, match="says no hidden_size"):
        shape_of(config)


def _kadid(*overrides: str) -> list[str]:
    files = ["data.image_folder=i", "data.train_labels=a", "data.test_labels=b"]
    return ["recipe=rl2r_kadid", *files, *overrides]


def test_the_memory_of_the_published_run() -> None:
    budget = memory_budget(load_run_config(_kadid()), SEVEN)
    # 8.292e9 parameters over 8 ranks: 2 bytes of weight, 4 of gradient, 12 of optimizer; the reference is whole.
    assert budget.weights == pytest.approx(8_292_166_656 * 2 / 8)
    assert budget.gradients == pytest.approx(8_292_166_656 * 4 / 8)
    assert budget.optimizer == pytest.approx(8_292_166_656 * 12 / 8)
    assert budget.reference == pytest.approx(8_292_166_656 * 2)
    # 1003520 / 784 + 256 + 256 tokens; keys and values of 28 layers x 4 heads x 128 numbers, 2 bytes each.
    assert budget.sequence_tokens == 1280 + 256 + 256
    assert budget.engine_cache == 128 * 1792 * 2 * 28 * 4 * 128 * 2
    # What the learner keeps (32.8), and the engine (15.4 + 12.2), which is more than the activations.
    assert budget.shared_gpu / GIB == pytest.approx(60.5, abs=0.1)


def test_packed_passes_hold_the_activations_of_as_many_of_the_longest_sequences_as_they_have_tokens_for() -> None:
    def activations(override: str) -> float:
        return memory_budget(load_run_config(_kadid(override, "learner.attention=eager")), SEVEN).activations

    assert activations("learner.pack_tokens=7168") == activations("learner.micro_batch_size=4")
    assert activations("learner.pack_tokens=100") == activations("learner.micro_batch_size=1")


def test_the_logits_reckoned_with_are_those_of_a_tile() -> None:
    assert GPU_TILE[0] * GPU_TILE[1] == TILE_LOGITS


def test_sharding_divides_what_it_shards() -> None:
    whole = memory_budget(load_run_config(_kadid("learner.zero_stage=0")), SEVEN)
    first = memory_budget(load_run_config(_kadid("learner.zero_stage=1")), SEVEN)
    third = memory_budget(load_run_config(_kadid()), SEVEN)
    assert (first.weights, first.optimizer) == (whole.weights, whole.optimizer / 8)
    assert (third.weights, third.optimizer) == (whole.weights / 8, first.optimizer)


def test_without_a_penalty_there_is_no_reference() -> None:
    assert memory_budget(load_run_config(_kadid("algorithm.kl.coefficient=0.0")), SEVEN).reference == 0


def test_frozen_parts_and_adapters_leave_little_to_optimise() -> None:
    full = memory_budget(load_run_config(_kadid()), SEVEN)
    frozen = memory_budget(load_run_config(_kadid("learner.frozen=[vision,projector]")), SEVEN)
    adapters = memory_budget(load_run_config(_kadid("learner.lora_rank=16")), SEVEN)
    share = SEVEN.num_parameters["language"] / sum(SEVEN.num_parameters.values())
    assert frozen.optimizer == pytest.approx(full.optimizer * share)
    assert adapters.optimizer < 0.01 * full.optimizer
