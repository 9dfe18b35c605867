"""Pairwise judges, whole: the demo in miniature, and what a run makes of a consistency judge that fails.

Two runs serve all tests. One is left alone, with the judge the run starts itself. The other goes on from its cold
start with a remote judge of which half of the questions come to nothing, and which dies under way.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cluster.alarms import PREFIX
from cluster.journal import ALARMS_FILE, read_rows
from judge_client.rule_process import RuleServerProcess, start_rule_server
from judge_client.types import CAUSES
from tests.cluster.jobs import assert_all_end, family_of, finish, output_of, rows_of, start_job, wait_for_step

SMALL = (
    "recipe=demo_pairs",
    "loop.evaluate_every=0",
    "rollout.prompts_per_step=4",
    "rollout.num_completions=4",
    "rollout.max_concurrent_sequences=16",
    "rollout.kv_cache_gib=0.25",
    "evaluation.num_prompts=8",
    "journal.samples_per_step=4",
)
UNDISTURBED = (
    *SMALL,
    "loop.num_steps=3",
    "warm_up.num_steps=2",
    "warm_up.batch_size=8",
    "cold_start.num_steps=60",
    "cold_start.batch_size=16",
    "cold_start.learning_rate=3.0e-3",
)
FAULTS = ("--error-fraction=0.3", "--hang-fraction=0.1", "--garbage-fraction=0.1")
NUM_CHECKS = 2
"""Questions of the check before a run, which are let through: what happens after it is the matter here."""
NUM_STEPS = 8
FORSAKEN = (
    *SMALL,
    f"loop.num_steps={NUM_STEPS}",
    "loop.checkpoint_every=1",
    "model.size=null",
    "warm_up.num_steps=0",
    "cold_start.num_steps=0",
    "algorithm=dapo",
    "algorithm.dynamic_sampling.max_rounds=2",
    "algorithm.kl.coefficient=0.01",
    "rewards.rule.abstention=completion",
    "judge=remote",
    "judge.timeout_s=1.0",
    "judge.max_attempts=1",
    "judge.breaker_failures=1000",
    "judge.max_consecutive_abstentions=30",
)

Row = Mapping[str, Any]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs") / "undisturbed"
    job = start_job(folder, recipe=UNDISTURBED)
    wait_for_step(job, folder, 1)
    processes = family_of(job)
    assert any("judge_client.rule_server" in one.cmdline() for one in processes)
    finish(job, folder)
    assert_all_end(processes)
    return folder


@pytest.fixture(scope="module")
def forsaken(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The judge dies after the second RL step, which ends the run; what is left is done with another one."""
    folder = tmp_path_factory.mktemp("pairs") / "forsaken"
    command = (*FORSAKEN, f"model.path={undisturbed / 'reference'}")
    with faulty_judge() as judge:
        job = start_job(folder, judge_at(judge), recipe=command)
        wait_for_step(job, folder, 1)
    assert job.wait(timeout=90) == 1, output_of(folder)[-4000:]
    with faulty_judge() as judge:
        finish(start_job(folder, judge_at(judge), recipe=command), folder)
    return folder


def faulty_judge() -> RuleServerProcess:
    return start_rule_server(*FAULTS, f"--num-first={NUM_CHECKS}", "--first-fate=answer")


def judge_at(judge: RuleServerProcess) -> str:
    return f"judge.base_urls=[{judge.url}]"


def summary_of(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def rl_rows(folder: Path) -> list[dict[str, Any]]:
    return [row for row in rows_of(folder) if row["phase"] == "rl"]


def samples_of(folder: Path) -> Iterator[Row]:
    yield from (json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines())


def total(folder: Path, key: str) -> float:
    return sum(float(row[key]) for row in rl_rows(folder))


def test_the_summary_compares_the_phases_with_intervals(undisturbed: Path) -> None:
    summary = summary_of(undisturbed)
    for figure in ("accuracy", "consistency", "position_bias"):
        for phase in ("cold_start", "rl"):
            estimate = summary[figure][phase]
            assert estimate["low"] <= estimate["value"] <= estimate["high"], (figure, phase)


def test_the_journal_tells_of_judge_and_trust(undisturbed: Path) -> None:
    expected = {
        "judge/latency/p50_s", "judge/latency/p95_s", "judge/cache/hit_fraction", "judge/questions/count",
        *(f"judge/abstained/{cause}" for cause in CAUSES),
        "answers/choice/accuracy", "answers/choice/position_bias", "completions/duplicates/fraction",
        "rewards/abstained/fraction", "rewards/format_only/fraction", "rewards/consistency/rule_disagreement",
        "trust/alarms/answers/choice/position_bias", "trust/alarms/rewards/format_only/fraction",
    }  # fmt: skip
    assert len(rl_rows(undisturbed)) == 3
    for row in rl_rows(undisturbed):
        assert row.keys() >= expected


def test_what_rings_is_on_file_from_the_step_it_began(undisturbed: Path) -> None:
    began, before = set[tuple[object, object]](), dict[str, Any]()
    for row in rl_rows(undisturbed):
        ringing = {key for key, flag in row.items() if key.startswith(PREFIX) and flag}
        began |= {(key.removeprefix(PREFIX), row["global_step"]) for key in ringing if not before.get(key)}
        before = row
    told = read_rows(undisturbed / ALARMS_FILE)
    assert {(one["name"], one["global_step"]) for one in told if str(one["at"]).startswith("RL step")} == began
    for one in told:
        assert f"ALARM at {one['at']}: {one['name']}=" in output_of(undisturbed)


def test_the_rules_never_disagree_with_themselves(undisturbed: Path) -> None:
    assert total(undisturbed, "rewards/consistency/rule_disagreement") == 0.0


def test_every_right_answer_earns_what_the_published_rule_says(undisturbed: Path) -> None:
    for row in samples_of(undisturbed):
        parts = row["parts"]
        assert row["reward"] == 0.5 * parts["format"] + parts["choice"] * (1 + 0.5 * parts["consistency"])


def test_a_run_of_pairs_leaves_models_curve_and_verdicts(undisturbed: Path) -> None:
    for name in ("reference/config.json", "model/config.json", "learning_curve.png", "judge_cache/verdicts.sqlite"):
        assert (undisturbed / name).stat().st_size > 0, name


def test_the_table_of_a_run_of_pairs_has_a_row_per_phase(undisturbed: Path) -> None:
    header, _rule, *rows = output_of(undisturbed).rpartition("accuracy %")[2].splitlines()
    assert header.split() == ["vote", "%", "consistent", "%", "bias", "swap", "%", "format", "%", "unparsed", "%"]
    assert [row.partition("  ")[0] for row in rows[:3]] == ["untrained", "after cold start", "after RL"]


def test_a_judge_that_dies_ends_the_run_with_what_to_do(forsaken: Path) -> None:
    (line,) = [line for line in output_of(forsaken).splitlines() if line.startswith("failed: ")]
    assert re.search(r"JudgeUnavailable: the judge left \d+ questions in a row without a verdict", line)
    assert line.endswith("bring the judge back and resume the run")


def test_a_run_goes_on_where_its_judge_left_it(forsaken: Path) -> None:
    assert "resuming at rl step " in output_of(forsaken)
    assert [row["step"] for row in rl_rows(forsaken)] == list(range(NUM_STEPS))
    assert "rl" in summary_of(forsaken)["accuracy"]


def test_abstentions_are_counted_by_cause(forsaken: Path) -> None:
    for row in rl_rows(forsaken):
        assert sum(row[f"judge/abstained/{cause}"] for cause in CAUSES) == row["judge/abstained/count"]


@pytest.mark.parametrize("cause", ["http_error", "timeout", "unreadable"])
def test_every_fault_is_an_abstention_of_its_own_cause(forsaken: Path, cause: str) -> None:
    assert total(forsaken, f"judge/abstained/{cause}") > 0


def test_a_right_answer_without_a_verdict_has_no_reward_rather_than_a_made_up_one(forsaken: Path) -> None:
    unjudged = [row for row in samples_of(forsaken) if row["parts"]["consistency"] is None]
    right = [row for row in unjudged if row["parts"]["choice"]]
    assert any(row["reward"] is None for row in right)
    for row in right:  # a number only where no right answer of the group has a verdict, which then does not count
        assert row["reward"] in (None, 0.5 * row["parts"]["format"] + 1.0)


def test_a_wrong_answer_needs_no_verdict(forsaken: Path) -> None:
    wrong = [row for row in samples_of(forsaken) if not row["parts"]["choice"]]
    assert any(row["parts"]["consistency"] is None for row in wrong)
    for row in wrong:
        assert row["reward"] == 0.5 * row["parts"]["format"]


def test_completions_without_a_reward_are_counted(forsaken: Path) -> None:
    assert total(forsaken, "rewards/abstained/total") > 0


def test_groups_that_teach_nothing_are_sampled_again(forsaken: Path) -> None:
    assert total(forsaken, "rollout/groups/replaced") > 0
