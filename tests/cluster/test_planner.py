"""``arbiter plan`` from the command line to its last line, and what it makes of recorded runs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.journal import read_rows
from cluster.main import main
from cluster.planning.configured import layout_of, planned_shape, scenario_of
from cluster.planning.measured import Measured, measure
from cluster.planning.splits import best_of, choices
from conf.effective import effective_yaml
from conf.load import load_run_config
from rollout.families.shapes import MADE, shape_of

ROOT = Path(__file__).parents[2]
JOURNALS = Path(__file__).parent / "journals"
"""Of runs on two cores: the demo (its first steps, then every fifth), and those of ``make bench-judge``."""
KADID = ["recipe=rl2r_kadid", "data.image_folder=x", "data.train_labels=a", "data.test_labels=b"]
JUDGED = [
    "recipe=demo_pairs", "judge=remote", "judge.base_urls=[http://judge:8000/v1]", "judge.max_concurrent=16",
    "cluster.cpu_threads_per_actor=1",
]  # fmt: skip


def run_folder(folder: Path, journal: str, overrides: list[str]) -> Path:
    """A run folder with a recorded journal."""
    folder.mkdir(exist_ok=True)
    shutil.copy(JOURNALS / f"{journal}.jsonl", folder / "metrics.jsonl")
    (folder / "config.yaml").write_text(effective_yaml(load_run_config(overrides)))
    return folder


def measured(folder: Path, overrides: list[str], *, rows: slice = slice(None)) -> Measured:
    """What the journal there says, on two cores."""
    return measure(folder, base=load_run_config(overrides), num_cores=2, rows=rows)


def predicted(found: Measured, overrides: list[str]) -> float:
    """Seconds of a step, by another run's measurements."""
    config = load_run_config(overrides)
    scenario = scenario_of(config, num_cores=2, observed=found.observed, corrections=found.corrections)
    return scenario.pace(layout_of(config), max_lag=config.loop.max_lag).step_s


def shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Printed lines by what they begin with."""
    assert main(["plan", *words]) == 0
    return {line.partition(" ")[0]: line.partition(" ")[2].strip() for line in capsys.readouterr().out.splitlines()}


def test_the_first_ten_steps_of_the_demo_tell_its_step_within_a_quarter(tmp_path: Path) -> None:
    folder, overrides = run_folder(tmp_path, "demo", ["recipe=demo"]), ["recipe=demo"]
    begun = measured(folder, overrides, rows=slice(0, 10))
    rest = measured(folder, overrides, rows=slice(10, None))
    assert begun.num_steps == 10
    assert rest.num_steps == 27
    assert predicted(begun, overrides) == pytest.approx(rest.step_s, rel=0.25)


def test_a_run_with_an_instant_judge_tells_what_a_slow_one_will_take(tmp_path: Path) -> None:
    instant = measured(run_folder(tmp_path / "instant", "instant_judge", JUDGED), JUDGED)
    slow = measured(run_folder(tmp_path / "slow", "slow_judge", JUDGED), JUDGED)
    assert predicted(instant, [*JUDGED, "plan.judge_latency_s=0.2"]) == pytest.approx(slow.step_s, rel=0.1)
    assert predicted(instant, [*JUDGED, "plan.judge_latency_s=0.0"]) == pytest.approx(instant.step_s, rel=0.02)


def test_a_run_that_takes_turns_tells_what_a_batch_ahead_will_take(tmp_path: Path) -> None:
    turns = measured(run_folder(tmp_path / "turns", "slow_judge", JUDGED), JUDGED)
    ahead_overrides = [*JUDGED, "loop.max_lag=1"]
    ahead = measured(run_folder(tmp_path / "ahead", "slow_judge_a_batch_ahead", ahead_overrides), ahead_overrides)
    # On two cores all that is hidden is the judge: engines and learner share them.
    assert predicted(turns, ahead_overrides) == pytest.approx(ahead.step_s, rel=0.25)
    assert predicted(turns, ahead_overrides) < predicted(turns, JUDGED)


def test_twice_the_completions_are_twice_the_learning(tmp_path: Path) -> None:
    found = measured(run_folder(tmp_path, "demo", ["recipe=demo"]), ["recipe=demo"])
    stages = []
    for num in (8, 16):
        config = load_run_config(["recipe=demo", f"rollout.num_completions={num}", "learner.micro_batch_size=1"])
        scenario = scenario_of(config, num_cores=2, observed=found.observed, corrections=found.corrections)
        stages.append(scenario.stages(layout_of(config)))
    assert stages[1].learn == pytest.approx(2 * stages[0].learn, rel=0.01)
    assert stages[1].push == stages[0].push


def test_the_journal_tells_lengths_unless_the_plan_does(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "demo", ["recipe=demo"])
    rows = [row | {"rollout/prompt_tokens/mean": 116.0} for row in read_rows(JOURNALS / "demo.jsonl")]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    observed = measured(folder, ["recipe=demo"]).observed
    for given, tokens, mean in (([], 116, 19.01), (["plan.text_tokens=50", "plan.completion_tokens=30"], 54, 30)):
        work = scenario_of(load_run_config(["recipe=demo", *given]), num_cores=2, observed=observed).work
        assert work.prompt_tokens == pytest.approx(tokens)
        assert work.media_tokens == 4.0  # crops of 56 x 56 pixels
        assert work.lengths.mean == pytest.approx(mean, rel=0.001)


def test_the_command_says_lengths_stages_step_and_the_best_split(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*KADID, "plan.media_tokens=252", "plan.completion_tokens=120", "loop.max_lag=1", "cluster.placement=split"]
    lines = shown([*words, "learner.world_size=4", "rollout.num_engines=4"], capsys)
    assert lines["prompt"] == "508 tokens, 252 of them pictures or video"
    # Passes of four completions hold half a group, which computes its prompt: 384 x (508 / 3 + 120).
    assert lines["batch"] == "64 x 6 = 384 completions, 46,080 tokens sampled, 111,104 computed in learning"
    assert lines["step"].endswith("prompts/s")
    assert "bound by learning" in lines["step"]
    assert lines["overlap"].startswith("loop.max_lag=1: generating and judging go on")
    assert "batches by staleness 1: 100%" in lines["simulated"]
    marked = [line for line in lines if line == "*"]
    assert len(marked) == 1


def test_the_marked_split_is_the_shortest_that_fits() -> None:
    config = load_run_config([*KADID, "loop.max_lag=1", "cluster.placement=split", "learner.world_size=4",
                              "rollout.num_engines=4"])  # fmt: skip
    found = choices(config, scenario_of(config, num_cores=1))
    best = best_of(found)
    assert best is not None
    assert all(best.pace.step_s <= one.pace.step_s for one in found if one.fits)
    # Weights, gradients, moments and a reference of 7B on one GPU of 80 GB: 16.6 + 33 + 99 + 16.6 GB.
    assert not next(one for one in found if one.layout.num_ranks == 1).fits


def test_more_gpus_never_make_the_best_step_longer() -> None:
    steps = []
    for num_nodes in (1, 2, 4):
        config = load_run_config([*KADID, f"cluster.num_nodes={num_nodes}"])
        best = best_of(choices(config, scenario_of(config, num_cores=1)))
        assert best is not None
        steps.append(best.pace.step_s)
    assert steps == sorted(steps, reverse=True)


def test_a_plan_from_a_journal_says_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path, "demo", ["recipe=demo"])
    lines = shown(["recipe=demo", "--metrics", str(folder)], capsys)
    assert lines["measured"].startswith(f"37 steps of {folder}, 2.19 s each")
    assert lines["judge"] == "no reward term asks one"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["recipe=demo", "--metrics", "HERE/gone"], "HERE/gone/config.yaml: cannot be read: No such file"),
        (["recipe=demo", "--metrics", "HERE/short"], "HERE/short/metrics.jsonl: 2 of 2 RL steps after the first"),
        (["recipe=demo", "--metrics", "HERE/odd"], "HERE/odd/metrics.jsonl: not one JSON object a line"),
        (["recipe=demo", "--metrics", "HERE/other"], "HERE/other/config.yaml: lacks the section rollout"),
        (["recipe=demo", "--metrics"], "--metrics: needs a value"),
        (["train", "--metrics", "HERE"], "--metrics: belongs to the command plan, got train"),
        (["recipe=demo", "plan.gpu=a100"], "plan.gpu: has no effect, the run uses no GPU"),
        (["recipe=demo", "plan.judge_latency_s=1"], "plan.judge_latency_s: has no effect, no reward term asks a judge"),
        (["recipe=demo", "plan.completion_tokens=100"], "plan.completion_tokens=100 is a mean above"),
        (["recipe=demo", "loop.num_steps=0"], "loop.num_steps=0 leaves out the RL phase"),
        ([*KADID, "rollout.gpu_memory_fraction=0.1"], "1 x H100-80G holds less than 17 GB of weights; raise it"),
        ([*KADID, "model.path=owner/model"], "model.path=owner/model: there is no config.json to reckon with"),
        ([*KADID, "plan.gpu=b200"], "plan.gpu='b200': expected one of a100, h100, h200"),
        (["recipe=demo", "runs/demo"], "runs/demo: plan takes KEY=VALUE and GROUP=CHOICE only"),
    ],
)
def test_what_cannot_be_planned_is_said_in_a_line(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("short", "odd", "other"):
        run_folder(tmp_path / name, "demo", ["recipe=demo"])
    rows = (JOURNALS / "demo.jsonl").read_text().splitlines()
    (tmp_path / "short" / "metrics.jsonl").write_text("\n".join(rows[:3]))
    (tmp_path / "odd" / "metrics.jsonl").write_text("step 1\n")
    (tmp_path / "other" / "config.yaml").write_text("run: {name: other}\n")
    given = [word.replace("HERE", str(tmp_path)) for word in words]
    assert main(given if given[0] == "train" else ["plan", *given]) == 2
    assert says.replace("HERE", str(tmp_path)) in capsys.readouterr().err


def test_training_refuses_what_only_a_plan_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "recipe=smoke", "plan.text_tokens=100", "--dry-run"]) == 2
    assert "plan.text_tokens: has no effect, only `arbiter plan` reads it" in capsys.readouterr().err


def test_models_made_on_the_spot_have_the_sizes_they_are_reckoned_with(tmp_path: Path) -> None:
    from rollout.families.tiny_qwen_vl import SIZES, create_tiny_qwen_vl

    for name, size in SIZES.items():
        create_tiny_qwen_vl(tmp_path / name, size=size, seed=0)
        made = load_run_config([f"model.path={tmp_path / name}", "model.size=null"]).model
        assert planned_shape(load_run_config([f"model.size={name}"])) == shape_of(made)
    assert set(MADE) == set(SIZES)


def test_planning_loads_neither_ray_nor_torch(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "demo", ["recipe=demo"])
    code = (
        "import sys; from cluster.main import main; "
        f"assert main(['plan', 'recipe=demo', '--metrics', {str(folder)!r}]) == 0; "
        "print([name for name in ('ray', 'torch', 'vllm', 'transformers', 'deepspeed') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
