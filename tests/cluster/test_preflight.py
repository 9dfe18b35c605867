"""What needs both the configuration and the data to be found wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cluster.commands import fitting, fitting_test
from cluster.preflight import check_enough_data
from conf.errors import ConfigError
from conf.load import load_run_config
from conf.schema import RunConfig
from rollout.datasets import build_data
from rollout.datasets.problems import DatasetProblems
from rollout.families import build_family
from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl
from tests.rollout.datasets.pair_builders import TRACES, make_config, write_traces


def against_references(tmp_path: Path, *overrides: str) -> RunConfig:
    """Four training rows, of which two are hard; the teacher got one of these right at last."""
    files = make_config(tmp_path)
    return load_run_config([
        "data=preference_pairs", f"data.image_folder={files.image_folder}", f"data.train_labels={files.train_labels}",
        f"data.test_labels={files.test_labels}", "rollout.prompts_per_step=1", "evaluation.num_prompts=2",
        "warm_up.num_steps=0", "cold_start.num_steps=0", "rewards=comparison", "algorithm.num_minibatches=1",
        "rewards.terms.comparison.against=references", "data.difficulty=hard", "data.order=as_given", *overrides,
    ])  # fmt: skip


def test_a_single_reference_answer_is_enough(tmp_path: Path) -> None:
    config = against_references(tmp_path, f"data.traces={write_traces(tmp_path, *TRACES)}")
    check_enough_data(config, build_data(config.data))


def test_a_comparison_with_references_of_which_there_are_none_is_refused(tmp_path: Path) -> None:
    wrong_at_last = {**TRACES[1], "correct": False}
    traces = write_traces(tmp_path, TRACES[0], wrong_at_last, *TRACES[2:])
    config = against_references(tmp_path, f"data.traces={traces}")
    with pytest.raises(ConfigError, match="finds no reference answer to any of the 2 training prompts"):
        check_enough_data(config, build_data(config.data))


SIDES = {"a": 56, "b": 280, "c": 112}
"""Pictures of 4, 64 (reduced from 100) and 16 tokens for a model of at most 50,176 pixels; the last one is a test."""


def scored_pictures(tmp_path: Path, *overrides: str) -> RunConfig:
    for name, side in SIDES.items():
        Image.fromarray(np.full((side, side, 3), side % 256, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "train.txt").write_text("a.png 2.0 0.1\nb.png 3.0 0.1\n")
    (tmp_path / "test.txt").write_text("c.png 4.0 0.1\n")
    return load_run_config([
        "data=opinion_score", "data.label_format=koniq", f"data.image_folder={tmp_path}",
        f"data.train_labels={tmp_path / 'train.txt'}", f"data.test_labels={tmp_path / 'test.txt'}",
        "rollout.prompts_per_step=2", "warm_up.num_steps=0", "cold_start.num_steps=0", "loop.num_steps=0",
        *overrides,
    ])  # fmt: skip


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    create_tiny_qwen_vl(folder, size=TinyModelSize(), seed=0)
    return folder


def lengths(config: RunConfig, model_folder: Path) -> list[int]:
    """Tokens of the prompts about a, b and c."""
    data, family = build_data(config.data), build_family(config.model, folder=str(model_folder))
    return [family.count_tokens(one) for one in (data.train.prompt(0), data.train.prompt(1), data.test.prompt(0))]


def test_pictures_too_long_for_the_engine_are_listed_before_anything_starts(tmp_path: Path, model_folder: Path) -> None:
    config = scored_pictures(tmp_path)
    of_a, of_b, of_c = lengths(config, model_folder)
    assert (of_b - of_a, of_c - of_a) == (60, 12)
    most = config.evaluation.sampling.max_tokens, config.rollout.sampling.max_tokens
    tight = scored_pictures(tmp_path, f"rollout.max_model_len={of_b + max(most) - 1}")
    with pytest.raises(DatasetProblems) as caught:
        fitting(build_data(tight.data), tight, model_folder=model_folder)
    assert {(one.kind, one.where, one.what) for one in caught.value.problems} == {
        ("too_long", "KONIQ-10K/b.png", f"the prompt has {of_b} tokens, and {of_b - 1} leave room for an answer")
    }


def test_pictures_that_just_fit_are_all_kept(tmp_path: Path, model_folder: Path) -> None:
    config = scored_pictures(tmp_path, "evaluation.num_prompts=2")
    (tmp_path / "test.txt").write_text("c.png 4.0 0.1\nd.png 4.0 0.1\n")
    Image.fromarray(np.full((112, 112, 3), 9, dtype=np.uint8)).save(tmp_path / "d.png")
    of_b = lengths(config, model_folder)[1]
    longest = max(config.evaluation.sampling.max_tokens, config.rollout.sampling.max_tokens)
    config = config.model_copy(update={"rollout": config.rollout.model_copy(update={"max_model_len": of_b + longest})})
    kept = fitting(build_data(config.data), config, model_folder=model_folder)
    assert (len(kept.train), len(kept.test)) == (2, 2)


def test_an_evaluation_measures_the_test_pictures_alone(tmp_path: Path, model_folder: Path) -> None:
    config = scored_pictures(tmp_path)
    of_c = lengths(config, model_folder)[2]
    longest = max(config.evaluation.sampling.max_tokens, config.rollout.sampling.max_tokens)
    tight = scored_pictures(tmp_path, f"rollout.max_model_len={of_c + longest - 1}")
    with pytest.raises(DatasetProblems, match=f"KONIQ-10K/c.png: the prompt has {of_c} tokens"):
        fitting_test(build_data(tight.data), tight, model_folder=model_folder)
