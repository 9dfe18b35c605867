"""A plan as text."""

from collections.abc import Iterator, Sequence

from cluster.planning.costs import learned_tokens
from cluster.planning.measured import Measured
from cluster.planning.pipeline import Pace, Stages
from cluster.planning.scenario import Layout, Scenario
from cluster.planning.simulation import Simulated
from cluster.planning.splits import Choice, best_of
from evaluation.tables import aligned


def source_lines(scenario: Scenario, measured: Measured | None) -> Iterator[tuple[str, str]]:
    """Where the coefficients come from."""
    processor = scenario.processor
    reached = (
        ("prefill", processor.prefill_share), ("learning", processor.training_share), ("memory", processor.memory_share)
    )  # fmt: skip
    speed = f"{processor.flops_per_s / 1e12:,.3g} TFLOP/s, {processor.memory_bytes_per_s / 1e12:.3g} TB/s"
    shares = ", ".join(f"{name} {share:.0%}" for name, share in reached)
    yield "processor", f"{processor.name}: {speed}; of which reached: {shares}"
    if measured is None:
        yield "measured", "nothing: assumptions alone (docs/planning.md); --metrics RUN_FOLDER reckons with a run's own"
        return
    seconds, factors = measured.seconds, scenario.corrections
    sampled = f"{measured.tokens_per_s:,.0f} tokens/s sampled"
    learned = f"{measured.learn_s_per_1000_tokens:.3g} s of learning per 1000 of them"
    step = f"{measured.num_steps} steps of {measured.folder}, {measured.step_s:.3g} s each"
    yield "measured", f"{step}: {sampled}, {learned}, push {seconds['push']:.3g} s, score {seconds['score']:.3g} s"
    times = f"generate x {factors.generate:.2f}, learn x {factors.learn:.2f}, push x {factors.push:.2f}"
    yield "", f"over arithmetic: {times}"


def workload_lines(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """What a step is made of."""
    work, lengths = scenario.work, scenario.work.lengths
    longest, computed = lengths.expected(work.num_sequences)[-1], learned_tokens(work, scenario.learner)
    yield "prompt", f"{work.prompt_tokens:,.0f} tokens, {work.media_tokens:,.0f} of them pictures or video"
    yield (
        "completion",
        (f"{lengths.mean:,.0f} tokens on average, the longest of a step {longest:,}, cut at {lengths.most:,}"),
    )
    yield (
        "batch",
        (
            f"{work.num_prompts} x {work.num_completions} = {work.num_sequences:,} completions, "
            f"{work.sampled_tokens:,.0f} tokens sampled, {computed:,.0f} computed in learning"
        ),
    )


def stage_lines(
    scenario: Scenario, layout: Layout, *, stages: Stages, pace: Pace, max_lag: int
) -> Iterator[tuple[str, str]]:
    """Seconds by part, and what they add up to."""
    prefill = scenario.prefill_share(layout)
    yield "generate", f"{stages.generate:.3g} s, {prefill:.0%} of it prompts and pictures"
    hidden = f", and hides {max(stages.judge_busy - stages.judge, 0):.3g} s" if stages.judge_busy else ""
    judge = "no reward term asks one" if scenario.judging is None else f"{stages.judge:.3g} s after generation{hidden}"
    yield "judge", judge
    yield "learn", f"{stages.learn:.3g} s"
    yield "push", f"{stages.push:.3g} s"
    yield "overlap", overlap_text(scenario, layout, max_lag=max_lag)
    work = scenario.work
    yield (
        "step",
        (
            f"{pace.step_s:.3g} s, bound by {pace.bound_by}; {work.sampled_tokens / pace.step_s:,.0f} tokens/s, "
            f"{work.num_prompts / pace.step_s:.3g} prompts/s"
        ),
    )
    yield "idle", idle_text(layout, pace)


def overlap_text(scenario: Scenario, layout: Layout, *, max_lag: int) -> str:
    """Which parts go on at the same time."""
    if max_lag == 0:
        judged = "; the judge works while others are sampled" if scenario.judging is not None else ""
        return f"loop.max_lag=0: generating, learning and pushing take turns{judged}"
    crowd = ", sharing cores" if scenario.crowds(layout) else ""
    return (
        f"loop.max_lag={max_lag}: generating and judging go on while others are learned from{crowd}; a push stops both"
    )


def idle_text(layout: Layout, pace: Pace) -> str:
    """Shares of time in which nothing is computed."""
    if layout.in_place:
        return f"GPUs {1 - pace.engines_busy - pace.learner_busy:.0%}"
    return f"engines {1 - pace.engines_busy:.0%}, learner {1 - pace.learner_busy:.0%}"


def simulated_text(found: Simulated, layout: Layout) -> str:
    """Lengths and latencies at random."""
    staleness = ", ".join(f"{age}: {share:.0%}" for age, share in found.staleness.items())
    idle = f"engines idle {found.engines_idle:.0%}, learner {found.learner_idle:.0%}"
    if layout.in_place:
        idle = f"GPUs idle {found.engines_idle + found.learner_idle - 1:.0%}"
    return f"{found.step_s:.3g} s a step over {found.num_steps} steps; {idle}; batches by staleness {staleness}"


def split_table(found: Sequence[Choice]) -> list[str]:
    """A row for each way of dealing out the GPUs, the best marked."""
    best = best_of(found)
    header = ["learner + engines", "generate", "judge", "learn", "push", "max_lag", "step, s", "idle %", "bound by"]
    return aligned([header, *(_row(one, is_best=one is best) for one in found)])


def _row(one: Choice, *, is_best: bool) -> list[str]:
    layout, stages = one.layout, one.stages
    name = f"{layout.num_ranks} + {layout.num_engines}" + (", sharing" if layout.in_place else "")
    seconds = [f"{value:.3g}" for value in (stages.generate, stages.judge, stages.learn, stages.push)]
    why = one.pace.bound_by if one.fits else "memory: does not fit"
    marked = f"{'* ' if is_best else '  '}{name}"
    return [
        marked,
        *seconds,
        str(one.max_lag),
        f"{one.pace.step_s:.3g}",
        f"{100 * one.idle_share(one.pace.engines_busy, one.pace.learner_busy):.0f}",
        why,
    ]
