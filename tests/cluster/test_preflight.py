"""What needs both the configuration and the data to be found wrong."""

from pathlib import Path

import pytest

from cluster.preflight import check_enough_data
from conf.errors import ConfigError
from conf.load import load_run_config
from conf.schema import RunConfig
from rollout.datasets import build_data
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
