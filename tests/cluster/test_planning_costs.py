"""Seconds of a step's parts against numbers worked out by hand, and what must not change them."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cluster.planning.costs import (
    Engines,
    Learner,
    Model,
    learn_seconds,
    learned_tokens,
    num_passes,
    num_side_by_side,
    push_seconds,
    share_of_prompts,
    timeline,
)
from cluster.planning.hardware import GPUS, Processor
from cluster.planning.judging import JudgeServer, Judging
from cluster.planning.workload import Lengths, Workload, spread_of
from rollout.families.shapes import PUBLISHED, ModelShape

# Attention 76 = 2 x 4 x 4 + 4 + 2 x (4 x 4 + 4), MLP 96 = 3 x 4 x 8, norms 8 + 4: 184 in the layers; output layer 40.
TOY = Model(
    shape=ModelShape(
        hidden_size=4, num_layers=1, num_heads=1, num_kv_heads=1, intermediate_size=8, vocab_size=10, is_tied=True,
        vision_layers=1, vision_hidden=2, vision_intermediate=4, patch_size=1, temporal_patch_size=1, merge_size=2,
    ),
    bytes_per_value=2,
    trained_parameters=100,
)  # fmt: skip
UNIT = Processor(
    name="toy", flops_per_s=4480.0, memory_bytes_per_s=1000.0, memory_bytes=1e6, link_bytes_per_s=100.0,
    network_bytes_per_s=10.0, host_bytes_per_s=50.0, prefill_share=1.0, training_share=1.0, memory_share=1.0,
    link_share=1.0, decode_overhead_s=0.0, learn_overhead_s=0.0, push_overhead_s=0.0, all_reduce_s=0.0,
)  # fmt: skip
WORK = Workload(
    num_prompts=2, num_completions=2, media_tokens=0.0, text_tokens=10.0, lengths=Lengths(mean=2.0, spread=0.0, most=2)
)
ENGINES = Engines(num=1, tensor_parallel=1, max_concurrent=8, cache_bytes=1e6)
LEARNER = Learner(
    num_ranks=2, gpus_per_node=2, zero_stage=0, rows_per_pass=1, tokens_per_pass=None, siblings=1.0,
    text_passes=3.0, vision_passes=3.0, num_forwards=1, num_backwards=1, num_optimizer_steps=1,
)  # fmt: skip
SEVEN = Model(shape=PUBLISHED["Qwen/Qwen2.5-VL-7B-Instruct"], bytes_per_value=2, trained_parameters=8_292_166_656)


def test_a_prompt_costs_two_flops_a_parameter_and_its_attention() -> None:
    # 2 x 184 x 10 + 2 x 1 x 4 x 10^2 = 4480, of 4480 a second.
    found = timeline(np.array([1]), num_prompts=1, work=WORK, model=TOY, engines=ENGINES, processor=UNIT)
    assert found.prefill_s == pytest.approx(1.0)


def test_decoding_reads_weights_and_cache_once_a_step() -> None:
    # Weights (184 + 40) x 2 = 448 bytes; 8 values x 2 bytes a token: 448 + 20 x 16, 448 + 22 x 16, 448 + 12 x 16.
    found = timeline(np.array([2, 3]), num_prompts=0, work=WORK, model=TOY, engines=ENGINES, processor=UNIT)
    assert found.ends_s.tolist() == pytest.approx([0.768 + 0.8, 0.768 + 0.8 + 0.64])


def test_decoding_many_at_a_time_is_bound_by_arithmetic() -> None:
    # 100 sequences, one token: 100 x 2 x 224 + 4 x 1 x 4 x 1000 = 60800 flops, against 16448 bytes in 0.16448 s.
    fast = replace(UNIT, memory_bytes_per_s=1e5)
    many = replace(ENGINES, max_concurrent=100)
    found = timeline(np.ones(100, dtype=np.int64), num_prompts=0, work=WORK, model=TOY, engines=many, processor=fast)
    assert found.seconds == pytest.approx(60800 / 4480)


def test_sequences_wait_for_a_free_place_in_their_order() -> None:
    # Two places, lengths 3, 1, 2: the third begins when the second has ended, and both others end at step 3.
    two = replace(ENGINES, max_concurrent=2)
    slow = replace(UNIT, flops_per_s=1e12, memory_bytes_per_s=1e12, decode_overhead_s=1.0)
    found = timeline(np.array([3, 1, 2]), num_prompts=0, work=WORK, model=TOY, engines=two, processor=slow)
    assert found.ends_s.tolist() == pytest.approx([3.0, 1.0, 3.0])


def test_a_full_cache_holds_fewer_sequences_than_are_allowed() -> None:
    # A prompt shared by two siblings and two tokens of its own: 7 tokens of 16 bytes.
    assert num_side_by_side(TOY, replace(ENGINES, cache_bytes=7 * 16 * 3.5), WORK) == 3
    with pytest.raises(ValueError, match="no room for the keys and values of one sequence of 7 tokens"):
        num_side_by_side(TOY, replace(ENGINES, cache_bytes=100.0), WORK)


def test_learning_costs_three_forwards_of_every_sequence() -> None:
    # 2 x 184 x 12 + 8 x 144 + 2 x 40 x 2 = 5728; three times that, for two of the four sequences on each rank.
    one = replace(LEARNER, zero_stage=3)
    assert learn_seconds(WORK, model=replace(TOY, trained_parameters=0), learner=one, processor=replace(
        UNIT, link_bytes_per_s=1e9, network_bytes_per_s=1e9
    )) == pytest.approx(2 * 3 * 5728 / 4480)  # fmt: skip


def test_a_shared_prompt_is_learned_from_once_and_attended_to_by_every_completion() -> None:
    # Of each of two siblings half the prompt, 4480 / 2, and the tokens behind it, 2 x 184 x 2 + 8 x (144 - 100) + 160.
    shared = replace(LEARNER, siblings=2.0)
    fast = replace(UNIT, link_bytes_per_s=1e9, network_bytes_per_s=1e9)
    found = learn_seconds(WORK, model=replace(TOY, trained_parameters=0), learner=shared, processor=fast)
    assert found == pytest.approx(2 * 3 * (2240 + 736 + 352 + 160) / 4480)
    assert learned_tokens(WORK, shared) == 4 * (5 + 2)


def test_zero_3_gathers_weights_for_every_pass_and_scatters_gradients() -> None:
    # Two passes each way; (2 x weights + 200 bytes of gradients) x 2 x 1/2 over 100 bytes/s, then 100 x 32 / 2 bytes.
    slow = replace(UNIT, flops_per_s=1e12)
    found = learn_seconds(WORK, model=TOY, learner=replace(LEARNER, zero_stage=3), processor=slow)
    assert found == pytest.approx((2 * TOY.weight_bytes + 200) * 2 / 2 / 100 + 1.6)


def test_plain_data_parallel_sums_gradients_once_a_step() -> None:
    found = learn_seconds(WORK, model=TOY, learner=LEARNER, processor=replace(UNIT, flops_per_s=1e12))
    assert found == pytest.approx(2 * 200 / 2 / 100 + 3.2)


def test_between_machines_all_network_cards_of_one_carry_a_collective() -> None:
    assert UNIT.bus(2, per_node=2) == 100.0
    assert UNIT.bus(4, per_node=2) == 20.0
    assert UNIT.bus(32, per_node=16) == 100.0


def test_a_push_takes_the_slower_way_out_of_the_machine() -> None:
    weights, learner = TOY.weight_bytes, replace(LEARNER, num_ranks=1)
    for num_engines, wire in ((1, 100.0), (2, 10.0)):
        engines = replace(ENGINES, num=num_engines)
        found = push_seconds(TOY, learner=learner, engines=engines, in_place=False, processor=UNIT)
        assert found == pytest.approx(weights / wire)


def test_engines_on_shared_gpus_are_copied_to_inside_and_sleep_in_the_host() -> None:
    learner = replace(LEARNER, num_ranks=1)
    found = push_seconds(TOY, learner=learner, engines=ENGINES, in_place=True, processor=UNIT)
    assert found == pytest.approx(2 * TOY.weight_bytes / 1000 + 2 * TOY.weight_bytes / 50)


def test_passes_are_counted_by_rows_or_by_tokens() -> None:
    assert num_passes(WORK, LEARNER) == 2
    assert num_passes(WORK, replace(LEARNER, rows_per_pass=None, tokens_per_pass=24)) == 1
    assert num_passes(WORK, replace(LEARNER, rows_per_pass=None, tokens_per_pass=23)) == 2


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("num", [1, 7, 384, 5000])
def test_expected_lengths_add_up_to_the_mean(spread: float, num: int) -> None:
    lengths = Lengths(mean=200.0, spread=spread, most=512)
    assert lengths.expected(num).sum() == pytest.approx(200 * num, rel=0.005)


def test_drawn_lengths_have_mean_and_spread_and_are_cut() -> None:
    drawn = Lengths(mean=200.0, spread=0.4, most=100_000).drawn(200_000, random=np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(200, rel=0.01)
    assert drawn.std() / drawn.mean() == pytest.approx(0.4, rel=0.02)
    assert Lengths(mean=200.0, spread=1.0, most=300).drawn(1000, random=np.random.default_rng(0)).max() == 300


def test_the_spread_is_found_back_from_mean_and_longest() -> None:
    lengths = Lengths(mean=300.0, spread=0.5, most=100_000).expected(512)
    found = spread_of(mean=float(lengths.mean()), longest=float(lengths.max()), num=512)
    assert found == pytest.approx(0.5, rel=0.03)
    assert spread_of(mean=20.0, longest=20.0, num=512) == 0.0


def seconds_on(num_prompts: int, *, spread: float, most: int = 4096) -> float:
    """Of one H100 that answers prompts of 1000 tokens eight times each."""
    work = Workload(
        num_prompts=num_prompts, num_completions=8, media_tokens=800.0, text_tokens=200.0,
        lengths=Lengths(mean=400.0, spread=spread, most=most),
    )  # fmt: skip
    engines = replace(ENGINES, max_concurrent=256, cache_bytes=40e9)
    lengths = work.lengths.expected(work.num_sequences)
    found = timeline(lengths, num_prompts=num_prompts, work=work, model=SEVEN, engines=engines, processor=GPUS["h100"])
    return found.seconds


def test_half_the_prompts_take_half_the_time_until_the_longest_decides() -> None:
    assert seconds_on(512, spread=0.0) / seconds_on(256, spread=0.0) == pytest.approx(2.0, rel=0.02)
    # A few prompts alone: what remains is one completion of the greatest length, whoever else is there.
    assert seconds_on(2, spread=1.0) / seconds_on(1, spread=1.0) < 1.3


def test_each_token_of_a_7b_model_alone_takes_eight_milliseconds_on_an_h100() -> None:
    # 7.07 billion in layers and output layer, 2 bytes each, over 70 % of 3.35 TB/s: 6.03 ms; and 2 ms beside.
    alone = Lengths(mean=100.0, spread=0.0, most=100)
    one, engines = replace(WORK, num_prompts=1, num_completions=1, lengths=alone), replace(ENGINES, cache_bytes=40e9)
    lengths = one.lengths.expected(1)
    found = timeline(lengths, num_prompts=0, work=one, model=SEVEN, engines=engines, processor=GPUS["h100"])
    assert SEVEN.shape.layer_parameters + SEVEN.shape.output_parameters == 7_070_619_136
    assert found.seconds == pytest.approx(100 * (0.00603 + 0.002), rel=0.002)


def test_prompts_are_dealt_out_evenly() -> None:
    assert share_of_prompts(10, 4) == [3, 3, 2, 2]
    assert share_of_prompts(2, 3) == [1, 1, 0]


def judged(num: int, *, latency_s: float, at_once: int, per_second: float | None = None, each: float = 1.0) -> float:
    """When the last of ``num`` completions that end together is judged."""
    judging = Judging(
        latency_s=latency_s, requests_per_completion=each, max_concurrent=at_once, requests_per_second=per_second
    )
    return JudgeServer(judging).last_answer(np.zeros(num))


def test_ten_requests_two_at_a_time_take_five_latencies() -> None:
    assert judged(10, latency_s=1.0, at_once=2) == pytest.approx(5.0)


def test_a_rate_limit_spaces_requests() -> None:
    assert judged(10, latency_s=1.0, at_once=100, per_second=4.0) == pytest.approx(9 / 4 + 1)


def test_cached_verdicts_ask_nobody() -> None:
    assert judged(10, latency_s=1.0, at_once=1, each=0.2) == pytest.approx(2.0)
    assert judged(10, latency_s=1.0, at_once=1, each=0.0) == 0.0


def test_the_capacity_of_a_judge_is_littles_law() -> None:
    judging = Judging(latency_s=0.5, requests_per_completion=1.0, max_concurrent=16, requests_per_second=None)
    assert judging.capacity == 32.0
    assert replace(judging, requests_per_second=20.0).capacity == 20.0
    assert replace(judging, latency_s=0.0).capacity == math.inf
    # Long enough, the queue is as fast as that.
    assert judged(3200, latency_s=0.5, at_once=16) == pytest.approx(3200 / 32)


def test_what_ends_early_is_judged_while_others_are_sampled() -> None:
    judging = Judging(latency_s=1.0, requests_per_completion=1.0, max_concurrent=1, requests_per_second=None)
    assert JudgeServer(judging).last_answer(np.array([0.0, 2.0, 5.0])) == pytest.approx(6.0)


def test_a_judge_that_is_behind_makes_the_next_batch_wait() -> None:
    judging = Judging(latency_s=3.0, requests_per_completion=1.0, max_concurrent=1, requests_per_second=None)
    server = JudgeServer(judging)
    assert server.last_answer(np.array([0.0, 0.0])) == pytest.approx(6.0)
    assert server.last_answer(np.array([1.0])) == pytest.approx(9.0)
