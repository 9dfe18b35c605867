"""Settings that contradict one another are refused, each with what to change."""

import pytest

from conf.errors import ConfigError
from conf.load import load_run_config

DEFECTS = ["data=photo_defects", "rewards=refine_stage1"]
CHECKS = ["data=photo_checklist", "rewards=checklist", "algorithm=rloo"]
MIXED = ["data=mixed", "rewards=mixed"]
REFERENCES = ["rewards=comparison", "rewards.terms.comparison.against=references"]
PAIRS = ["data=preference_pairs", "data.train_labels=a.jsonl", "data.test_labels=b.jsonl"]
GPUS = ["cluster.ray_address=auto", "cluster.gpus_per_node=8"]


@pytest.mark.parametrize(
    ("overrides", "answer"),
    [
        (["rollout.num_completions=1"], "nothing to compare; use rollout.num_completions=2 or more"),
        (
            ["rollout.num_completions=1", "algorithm=stable_reinforce"],
            "the ranking reward needs the spread of a picture's scores; rollout.num_completions=1 must be at least 2",
        ),
        (["rollout.prompts_per_step=1"], "rollout.prompts_per_step=1 must be at least 2"),
        (["rollout.sampling.temperature=0"], "a temperature above 0 and top_p=1"),
        (["rollout.sampling.top_p=0.9"], "a temperature above 0 and top_p=1"),
        (["learner.world_size=3"], r"learner.world_size=3 must divide warm_up.batch_size=32; try 30 or 33"),
        (["rollout.sampling.max_tokens=512"], "leaves no room for a prompt beside 512 sampled tokens"),
        (["rewards.terms.format.weight=0.0"], "remove the term with ~rewards.terms.format"),
        (["rewards.terms.format.mode=answer"], "refuses the think block .* use rewards.terms.format.mode=number"),
        (["data.prompt=visualquality_r1_no_thinking"], "wants a think block, .* use rewards.terms.format.mode=answer"),
        (["evaluation.num_prompts=5000"], "more than data.num_test="),
        ([*DEFECTS, "evaluation.num_prompts=401"], "more than the 400 questions about data.num_test=40 pictures"),
        ([*DEFECTS, "data.crop_size=252"], r"gives 63504 pixels, which the model would resize to its 784\.\.50176"),
        (
            [*DEFECTS, "rewards.terms.format.mode=number"],
            "mode=number is never met: data.kind=photo_defects asks for a def",
        ),
        (
            ["data=photo_defects"],
            "kind=ranking has nothing to compare an answer with: data.kind=photo_defects asks for a",
        ),
        (
            ["rewards=refine_stage1"],
            "kind=perception has nothing to compare an answer with: data.kind=photo_distortions",
        ),
        ([*CHECKS, "evaluation.num_prompts=641"], r"more than data\.num_test=640"),
        ([*CHECKS, "data.prompt=Answer."], r"prompt must hold \[\[question\]\] once, got 'Answer\.'"),
        ([*CHECKS, "algorithm=grpo"], "use algorithm=rloo or dr_grpo, or algorithm.scale_by_std=false"),
        (
            [*CHECKS, "algorithm=positive_grpo"],
            "how far off a probability is; use algorithm=rloo or dr_grpo",
        ),
        ([*CHECKS, "rewards=refine_stage1"], "mode=tolerant wants tags, .* remove the term with ~rewards.terms.format"),
        (["rewards=check"], "kind=check has nothing to compare an answer with: data.kind=photo_distortions"),
        (
            [*MIXED, "rewards=choice"],
            "no reward term is for answers to data.parts.scores, which asks for a score; add one",
        ),
        ([*MIXED, "evaluation.num_prompts=6"], "leaves some of the 4 parts of data.parts out; use at least 8"),
        ([*MIXED, "algorithm=gdpo"], "the terms of a mixed run differ by task; use another algorithm"),
        (
            [*MIXED, "data.parts.scores.scale.maximum=9.0"],
            r"parts must declare one scale, got scores 1\.\.9, videos 1\.\.5",
        ),
        ([*MIXED, "data.parts.defects.crop_size=252"], "change data.parts.defects.crop_size"),
        (
            [*MIXED, "~data.parts.videos", "~data.parts.pairs", "~data.parts.defects"],
            "parts holds scores; name two or more",
        ),
        ([*REFERENCES, *PAIRS, "data.traces=t.jsonl"], "needs data.order=as_given: .* data.order=random asks half"),
        ([*REFERENCES], "there are none with data.kind=photo_distortions; give the traces of a teacher"),
        (
            [*REFERENCES, *PAIRS],
            "there are none with data.traces=null; .* or use rewards.terms.comparison.against=group",
        ),
        (["cluster.placement=split"], "needs GPUs, but cluster.gpus_per_node=0"),
        (["cluster=one_gpu", "cluster.placement=no_gpu"], "set cluster.gpus_per_node=0"),
        (["cluster.num_nodes=2"], "set cluster.ray_address=auto"),
        (["rollout.tensor_parallel=2"], "needs GPUs; without them use 1"),
        (["learner.attention=flash_attention_2"], "without them use auto, sdpa or eager"),
        (["weights.backend=ipc"], "needs learner and engine on the same GPU, but the placement is no_gpu"),
        (["weights.backend=nccl"], "weights.backend=nccl needs GPUs"),
        ([*GPUS, "weights.backend=ipc"], "but the placement is split"),
        (["cluster=one_gpu", "weights.backend=nccl"], "refuses two processes on one GPU"),
        (["cluster=one_gpu", "loop.max_lag=1"], "engines sleep while the learner works"),
    ],
)
def test_a_contradiction_says_what_to_change(overrides: list[str], answer: str) -> None:
    with pytest.raises(ConfigError, match=answer):
        load_run_config(overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["rollout.num_completions=1", "loop.num_steps=0"],
        ["rollout.sampling.temperature=0", "loop.num_steps=0"],
        ["rollout.sampling.temperature=0.7"],
        [*GPUS, "weights.backend=gloo"],
        [*GPUS, "weights.backend=nccl", "loop.max_lag=2"],
        ["cluster=one_gpu", "weights.backend=ipc"],
        ["loop.max_lag=1"],
        DEFECTS,
        MIXED,
        [*MIXED, "~data.parts.videos"],
        [*REFERENCES, "data=photo_pairs"],
        [*REFERENCES, *PAIRS, "data.traces=traces.jsonl", "data.order=as_given"],
        [*REFERENCES, "loop.num_steps=0"],
        ["data.prompt=visualquality_r1_no_thinking", "rewards.terms.format.mode=answer"],
        ["data.prompt=visualquality_r1_no_thinking", "~rewards.terms.format"],
        ["data.prompt=visualquality_r1_no_thinking", "loop.num_steps=0"],
    ],
)
def test_what_only_looks_like_a_contradiction_is_accepted(overrides: list[str]) -> None:
    load_run_config(overrides)


def test_several_contradictions_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        load_run_config(["rollout.num_completions=1", "rollout.prompts_per_step=1", "rollout.tensor_parallel=2"])
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("algorithm", [["algorithm=dr_grpo"], ["algorithm=grpo", "algorithm.scale_by_std=false"]])
def test_calibration_may_be_learnt_where_rewards_keep_their_size(algorithm: list[str]) -> None:
    assert load_run_config([*CHECKS, *algorithm]).rewards.terms["calibration"].kind == "calibration"


def test_checks_that_are_right_or_wrong_may_be_scaled() -> None:
    assert load_run_config(["data=photo_checklist", "rewards=check", "algorithm=grpo"]).data.kind == "photo_checklist"
