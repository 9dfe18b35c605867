"""A run that imitates a file, its vision tower frozen, and learns what thinking is worth; how such a file is made."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

from cluster.main import main
from cluster.teacher import checking_servers
from conf.judge import RemoteJudgeConfig
from conf.load import load_run_config
from rollout.datasets.demonstration_files import read_demonstrations
from rollout.types import Scale
from rollout.wordings import look_up
from tests.cluster.chat_servers import chat_server
from tests.cluster.jobs import finish, output_of, rows_of, start_job

QUESTION = look_up("refine_iqa").text("image", scale=Scale(minimum=1.0, maximum=5.0))
NUM_ROWS = 40


def write_pictures(folder: Path) -> list[str]:
    """Pictures of noise."""
    names = [f"{number}.png" for number in range(NUM_ROWS)]
    for number, name in enumerate(names):
        noise = np.random.default_rng(number).integers(0, 256, (56, 56, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
    return names


def write_demonstrations(folder: Path) -> Path:
    """A score line for each picture, none of them saying anything about it."""
    path = folder / "demonstrations.jsonl"
    rows = [
        {
            "image": name,
            "question": QUESTION,
            "response": f"<think>It is fine.</think><answer>Score: {1 + number % 4}.50</answer>",
        }
        for number, name in enumerate(write_pictures(folder))
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cold start from a file, then two steps of Refine-IQA's second stage."""
    folder = tmp_path_factory.mktemp("cold_start") / "run"
    folder.parent.mkdir(exist_ok=True)
    job = start_job(
        folder,
        *(f"cold_start.file={write_demonstrations(folder.parent)}", "cold_start.validation_fraction=0.2"),
        *("data.prompt=refine_iqa", "rewards=refine_iqa_thinking", "algorithm=positive_grpo"),
        *("warm_up.num_steps=0", "learner.frozen=[vision]", "rollout.sampling.max_tokens=48"),
        recipe=("recipe=smoke",),
    )
    finish(job, folder)
    return folder


def test_the_loss_on_held_out_rows_is_journalled_and_falls(finished: Path) -> None:
    losses = [row["supervised/validation_loss"] for row in rows_of(finished) if "supervised/validation_loss" in row]
    assert len(losses) == 10
    assert losses[-1] < 0.7 * losses[0]


def test_the_frozen_tower_is_the_one_the_run_began_with(finished: Path) -> None:
    before, after = (weights(finished / name) for name in ("start_model", "model"))
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved
    assert not any("visual" in name and "merger" not in name for name in moved)
    assert any("merger" in name for name in moved)


def weights(folder: Path) -> dict[str, NDArray[np.float32]]:
    """All tensors of a model folder."""
    return {name: tensor for path in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(path).items()}


def test_thinking_is_rewarded_in_the_run(finished: Path) -> None:
    rl: list[dict[str, Any]] = [row for row in rows_of(finished) if row["phase"] == "rl"]
    assert len(rl) == 2
    for row in rl:
        assert 0.0 <= row["rewards/probability_difference/mean"] <= 1.0
        assert math.isfinite(row["learner/loss"])
    assert any(row["rewards/format/mean"] > 0 for row in rl), output_of(finished)[-3000:]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Pictures with opinion scores, in the format koniq."""
    names = write_pictures(tmp_path)
    rows = [f"{name} {1 + 4 * number / (NUM_ROWS - 1):.3f} 0.1" for number, name in enumerate(names)]
    (tmp_path / "train.txt").write_text("\n".join(rows[4:]))
    (tmp_path / "test.txt").write_text("\n".join(rows[:4]))
    return tmp_path


def collect(
    folder: Path,
    reply: Callable[[str], str | None],
    *overrides: str,
    counts_tokens: bool = True,
    declines: bool = False,
) -> int:
    """Exit status of ``arbiter collect-traces`` with a scripted teacher."""
    with chat_server(reply) as server:
        server.counts_tokens, server.declines = counts_tokens, declines
        return main(
            [
                *("collect-traces", str(folder / "critiques.jsonl"), "data=opinion_score", "data.label_format=koniq"),
                *(f"data.image_folder={folder}", f"data.train_labels={folder / 'train.txt'}"),
                *(
                    f"data.test_labels={folder / 'test.txt'}",
                    "data.label_range.minimum=1",
                    "data.label_range.maximum=5",
                ),
                *("judge=remote", f"judge.base_urls=[{server.url}]", "judge.max_attempts=1", *overrides),
            ]
        )


def teach(question: str) -> str:
    """Writes about light, and reads "fair" out of everything."""
    return "fair" if "one word" in question else "Soft light, some noise."


def test_a_teacher_writes_a_file_for_the_cold_start(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect(labelled, teach, "critiques.num_per_level=5") == 0
    said = capsys.readouterr().out
    assert "kept 0 bad, 5 fair, 0 good" in said
    assert "mismatch" in said
    demonstrations = read_demonstrations(labelled / "critiques.jsonl", video=None)
    assert len(demonstrations) == 5
    assert demonstrations.demonstration(0).target.startswith("<think>Soft light, some noise.</think><answer>")


def test_a_checker_of_its_own_checks_levels_and_facts(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def check(question: str) -> str:
        return "good" if "bad, fair or good" in question else "right"

    with chat_server(check) as checker:
        status = collect(labelled, teach, "critiques.num_per_level=2", f"critiques.checker={checker.url}")
        asked = len(checker.asked)
    assert status == 0
    said = capsys.readouterr().out
    assert "checker scripted" in said
    assert "kept 0 bad, 0 fair, 2 good" in said
    assert asked > 4


def test_a_checker_that_is_not_served_ends_the_command(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect(labelled, teach, "critiques.checker=other") != 0
    assert "other" in capsys.readouterr().err


def test_a_server_that_counts_no_tokens_does_not_pass_for_free(
    labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(labelled, teach, "critiques.num_per_level=1", counts_tokens=False) == 0
    assert "replies that the server did not count" in capsys.readouterr().out
    (labelled / "critiques.jsonl").unlink()
    assert collect(labelled, teach, "critiques.max_total_tokens=500", counts_tokens=False) == 2
    assert "critiques.max_total_tokens=500 cannot be kept to" in capsys.readouterr().err


def test_what_a_declined_request_took_is_kept(labelled: Path) -> None:
    assert collect(labelled, teach, declines=True) != 0
    lines = (labelled / "critiques.rejected.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) >= 20
    # The server counts 10 and 3 tokens for every request.
    assert all((row["tokens"], row["rejected"], row["unanswered"]) == (13, [], True) for row in rows)


def test_the_key_is_for_the_teachers_servers_alone() -> None:
    config = load_run_config(["judge=remote", "judge.base_urls=[http://teacher/v1]", "judge.api_key_variable=KEY"])
    assert isinstance(config.judge, RemoteJudgeConfig)
    same = checking_servers(config.judge, named="small")
    assert (same.base_urls, same.model, same.api_key_variable) == (("http://teacher/v1",), "small", "KEY")
    other = checking_servers(config.judge, named="http://checker:8000/v1#large")
    assert (other.base_urls, other.model, other.api_key_variable) == (("http://checker:8000/v1",), "large", None)
    assert checking_servers(config.judge, named="http://checker:8000/v1").model is None


def test_critiques_need_scores_or_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(teach) as server:
        words = ["collect-traces", str(tmp_path / "x.jsonl"), "judge=remote", f"judge.base_urls=[{server.url}]"]
        assert main([*words, "data=photo_distortions"]) == 2
    assert "needs data=preference_pairs or data=opinion_score, got data.kind=photo_distortions" in (
        capsys.readouterr().err
    )
