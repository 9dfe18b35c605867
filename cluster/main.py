"""The job's entry point: ``python -m cluster.main`` and the console script ``arbiter``.

Reads the command line, answers help and Hydra's switches, runs one command, and turns every failure into one clear
message and an exit status: 0 done, 1 failed, 2 unusable input.
"""

import atexit
import gc
import logging
import sys
import traceback
from collections.abc import Callable, Sequence

from rich.console import Console

from cluster.outcomes import RunStopped
from conf.cli import CommandLine, parse_command_line, usage
from conf.errors import ConfigError
from judge_client.errors import JudgeError

UNUSABLE = (
    ValueError, FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError,
    ConnectionError, JudgeError,
)  # fmt: skip
"""What input, paths and addresses that cannot be used are refused with; the message says it all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
    try:
        line = parse_command_line(sys.argv[1:] if arguments is None else arguments)
        return _dispatch(line, Console(highlight=False, markup=False, emoji=False))
    except ConfigError as error:
        errors.print("\n".join(f"error: {problem}" for problem in error.problems))
        return 2
    except UNUSABLE as error:
        errors.print(f"error: {error}")
        logging.getLogger(__name__).debug("details", exc_info=True)
        return 2
    except RunStopped as stopped:
        errors.print(str(stopped))
        return 0
    except KeyboardInterrupt:
        errors.print("interrupted")
        return 130
    except Exception as error:  # noqa: BLE001 - the process edge: say the first cause last, where it is seen
        errors.print(traceback.format_exc())
        errors.print(f"failed: {type(error).__name__}: {error}")
        return 1


def _dispatch(line: CommandLine, console: Console) -> int:
    from conf import explain, load  # noqa: PLC0415 - help must not wait for Hydra

    if line.wants_help:
        console.print(usage(), soft_wrap=True)
        return 0
    if line.hydra_switches:
        load.show_with_hydra(line.hydra_switches, line.overrides)
        return 0
    if line.command == "explain":
        keys = line.words or ("",)
        texts = [explain.describe(key, line.overrides) if key else explain.listing(line.overrides) for key in keys]
        console.print("\n\n".join(texts), soft_wrap=True)
        return 0
    if line.command == "submit":
        from cluster.submit import submit  # noqa: PLC0415 - loads Ray's client

        return submit(line.overrides, address=line.address)
    if line.command == "keep-running":
        from cluster.keep_running import keep_running  # noqa: PLC0415 - stays small beside the run

        return keep_running(line, console)
    looks = line.command in ("data", "plan") or line.is_dry_run
    return _look(line, console) if looks else _run_here(line, console)


def _look(line: CommandLine, console: Console) -> int:
    """What needs neither Ray nor torch."""
    from cluster import data_tools, dry_run, planner  # noqa: PLC0415

    if line.command == "plan":
        return planner.show_plan(line.overrides, console, metrics=line.metrics)
    if line.is_dry_run:
        return max(dry_run.dry_run(job, console) for job in _jobs(line))
    if line.words:
        return data_tools.run_tool(line.words, console)
    return data_tools.show_data(line.overrides, console)


def _run_here(line: CommandLine, console: Console) -> int:
    from cluster import benchmark, checklist, commands, compare, ranking, score, services, teacher  # noqa: PLC0415 - loads Ray

    # What torch and transformers leave goes back to the system with the process; to collect it first takes two seconds.
    atexit.register(gc.freeze)
    run: dict[str, Callable[[], int]] = {
        "create-model": lambda: commands.create_model(_only_word(line), line.overrides, console),
        "evaluate": lambda: commands.evaluate(_only_word(line), line.overrides, console),
        "score": lambda: score.score(line.words, line.overrides, console),
        "compare": lambda: compare.compare(line.words, line.overrides, console),
        "checklist": lambda: checklist.checklist(line, console),
        "benchmark": lambda: benchmark.judge_by_benchmark(line.words, line.overrides, console),
        "compare-judges": lambda: benchmark.compare(line.words, console),
        "rank": lambda: ranking.rank_answers(line.words, line.overrides, console),
        "reward-server": lambda: services.serve(line.overrides, console, host=line.host, port=line.port),
        "collect-traces": lambda: teacher.collect(line.words, line.overrides, console),
        "train": lambda: _train(line, console),
    }
    return run[line.command]()


def _train(line: CommandLine, console: Console) -> int:
    from cluster import commands  # noqa: PLC0415

    return max(commands.train(job, console) for job in _jobs(line))


def _jobs(line: CommandLine) -> Sequence[Sequence[str]]:
    from conf.load import expand_sweep  # noqa: PLC0415

    return expand_sweep(line.overrides) if line.is_multirun else [line.overrides]


def _only_word(line: CommandLine) -> str:
    if len(line.words) != 1:
        raise ConfigError([f"{line.command} takes one folder, got {' '.join(line.words) or 'none'}"])
    return line.words[0]


if __name__ == "__main__":
    sys.exit(main())
