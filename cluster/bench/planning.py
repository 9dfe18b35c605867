"""How does a step grow with the cluster? ``make bench-plan``: 8 to 512 GPUs, a 7B judge, as many prompts for every GPU.

For each size the best way of dealing out the GPUs is looked for by arithmetic, once with everyone taking turns and once
with generation a batch ahead, and then simulated with lengths and latencies at random. Nothing is started.
"""

import argparse
from collections.abc import Iterator, Sequence

from rich.console import Console

from cluster.planning.configured import scenario_of
from cluster.planning.splits import Choice, best_of, choices
from conf.load import load_run_config
from conf.schema import RunConfig
from evaluation.tables import markdown

SIZES = (8, 16, 32, 64, 128, 256, 512)
PROMPTS_PER_GPU = 15
"""A batch that many numbers of ranks divide."""
ASSUMED = (
    "recipe=r1_reward", "data.train_labels=pairs.jsonl", "data.test_labels=pairs.jsonl",
    "judge.base_urls=[http://judge:8000/v1]", "rollout.num_completions=8", "rollout.sampling.max_tokens=2048",
    "rollout.max_model_len=8192", "rollout.max_concurrent_sequences=256", "learner.pack_tokens=16384",
    "plan.gpu=h100", "plan.media_tokens=1024", "plan.text_tokens=512", "plan.completion_tokens=512",
    "plan.completion_spread=0.6", "plan.judge_latency_s=2.0",
)  # fmt: skip
JUDGE_PER_GPU = 16
NUM_STEPS = 60
HEADER = (
    "GPUs", "max_lag", "learner + engines", "step, s", "simulated, s", "tokens/s", "tokens/s and GPU", "idle, %",
    "staleness",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="GPUs, in eights")
    parser.add_argument("overrides", nargs="*", help="other assumptions, KEY=VALUE")
    given = parser.parse_args(arguments)
    rows = [row for num_gpus in given.sizes for row in rows_of(num_gpus, given.overrides)]
    for line in markdown([HEADER, *rows]):
        Console(highlight=False, markup=False).print(line, soft_wrap=True)


def rows_of(num_gpus: int, overrides: Sequence[str]) -> Iterator[list[str]]:
    """Taking turns, and a batch ahead."""
    for max_lag in (0, 1):
        config = config_of(num_gpus, max_lag=max_lag, overrides=overrides)
        scenario = scenario_of(config, num_cores=1)
        best = best_of([one for one in choices(config, scenario) if one.layout.in_place == (max_lag == 0)])
        if best is None:
            raise ValueError(f"{num_gpus} GPUs have no room for this model; give more, or plan.gpu=h200")
        found = scenario.simulate(best.layout, max_lag=max_lag, num_steps=NUM_STEPS, seed=config.run.seed)
        tokens_per_s = scenario.work.sampled_tokens / found.step_s
        yield [
            str(num_gpus),
            str(max_lag),
            _layout_text(best),
            f"{best.pace.step_s:.1f}",
            f"{found.step_s:.1f}",
            f"{tokens_per_s:,.0f}",
            f"{tokens_per_s / num_gpus:,.0f}",
            f"{100 * best.idle_share(1 - found.engines_idle, 1 - found.learner_idle):.0f}",
            ", ".join(f"{age}: {share:.0%}" for age, share in found.staleness.items()),
        ]


def config_of(num_gpus: int, *, max_lag: int, overrides: Sequence[str]) -> RunConfig:
    """A cluster of this size; who gets how many GPUs is looked for later."""
    placed = ("colocated", num_gpus, num_gpus) if max_lag == 0 else ("split", num_gpus // 2, num_gpus // 2)
    placement, num_ranks, num_engines = placed
    return load_run_config(
        [
            *ASSUMED,
            f"loop.max_lag={max_lag}",
            f"cluster.placement={placement}",
            f"cluster.num_nodes={num_gpus // 8}",
            f"learner.world_size={num_ranks}",
            f"rollout.num_engines={num_engines}",
            f"rollout.prompts_per_step={PROMPTS_PER_GPU * num_gpus}",
            f"judge.max_concurrent={JUDGE_PER_GPU * num_gpus}",
            *overrides,
        ]
    )


def _layout_text(one: Choice) -> str:
    ending = ", sharing" if one.layout.in_place else ""
    return f"{one.layout.num_ranks} + {one.layout.num_engines}{ending}"


if __name__ == "__main__":
    main()
