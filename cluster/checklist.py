"""``arbiter checklist``: yes/no questions about pictures or videos, and what their answers are good for.

ask      pictures or videos --judge--> RUN_FOLDER/checklist/answers.jsonl
score    answers, or what is to be asked about first --> scores.jsonl, scores.csv
compare  two pictures or videos --> which is better, and why
fit      answers and pairs that people compared --> weights.yaml, report.txt
pairs    answers --> pairs_trl.jsonl, pairs.jsonl
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

from rich.console import Console

from cluster.checklist_judge import opened_asker
from cluster.checklist_server import check_prompt, serve_checklist
from cluster.filling import Bar, Filling, fill_sheet
from cluster.preflight import ASKS_A_SERVER, LEARNS_NOTHING, make_run_folder
from cluster.progress import ProgressDisplay
from cluster.scoring_judge import unnamed_judge
from conf.checklist import ChecklistConfig
from conf.cli import CommandLine
from conf.errors import ConfigError, did_you_mean
from conf.load import load_run_config
from conf.schema import RunConfig
from evaluation.checklist.consistency import ConsistencyCount, format_consistency
from evaluation.checklist.labels import read_labelled_pairs
from evaluation.checklist.learning import LearningPlan, learn_weights
from evaluation.checklist.report import format_weights
from evaluation.checklist.rows import (
    AnsweredItem,
    AnswerRow,
    asked_part,
    describe_answers,
    holds_answers,
    item_of,
    read_answer_files,
)
from evaluation.checklist.score_files import ScoreRule, compared, write_scores
from evaluation.checklist.selection import select_pairs
from evaluation.checklist.setup import load_checklist, load_weights
from evaluation.scoring.items import Item, Listing
from evaluation.scoring.results import open_sheet
from rewards.checklist.features import tabulate
from rewards.checklist.pairs import PairRule, PairSelection, describe
from rewards.checklist.weights import write_weights
from rollout.checklist.questions import Checklist

FOLDER = "checklist"
"""Results lie in this folder of the run."""
ANSWERS_FILE, WEIGHTS_FILE, REPORT_FILE = "answers.jsonl", "weights.yaml", "report.txt"
DEFAULT_CHOICE = "checklist=image"
PHASE = "checklist"
STRENGTHS, NUM_FOLDS, NUM_RESAMPLES = (0.0, 1e-4, 1e-3, 1e-2, 1e-1), 5, 1000
"""Of learning weights: penalties to choose from, folds to choose by, redrawings of the prompts."""
SERVER = "reward-server"


def checklist(line: CommandLine, console: Console) -> int:
    """Run one of the tools; returns the exit status."""
    known = (*TOOLS, SERVER)
    if not line.words or line.words[0] not in known:
        given = f", got {line.words[0]}{did_you_mean(line.words[0], known)}" if line.words else ""
        raise ConfigError([f"checklist takes one of {', '.join(known)} and its files{given}"])
    tool, *words = line.words
    if tool != SERVER and (line.host, line.port) != (None, None):
        raise ConfigError([f"--host, --port: belong to checklist {SERVER}, got {tool}"])
    config, options = checklist_config(line.overrides)
    if tool == SERVER:
        _serve(words, config, options, console, host=line.host, port=line.port)
    else:
        TOOLS[tool](words, config, options, console)
    return 0


def checklist_config(overrides: Sequence[str]) -> tuple[RunConfig, ChecklistConfig]:
    """The configuration of a command about checklists, which has the section ``checklist``.

    Raises:
        ConfigError: It cannot be used.
    """
    is_chosen = any(override.startswith("checklist=") for override in overrides)
    asks_a_server = ASKS_A_SERVER if "judge=remote" in overrides else ()
    chosen = () if is_chosen else (DEFAULT_CHOICE,)
    config = load_run_config([*chosen, *asks_a_server, *overrides, *LEARNS_NOTHING])
    assert config.checklist is not None, "a choice was made"
    return config, config.checklist


def ask(words: Sequence[str], config: RunConfig, options: ChecklistConfig, console: Console) -> None:
    """Ask about what the words name and has no answers yet."""
    if not words:
        raise ConfigError(["checklist ask takes files, folders, globs or .jsonl lists, got none"])
    _check_judge(config)
    listing = Listing(words, reads="prompt")
    survey = listing.survey()
    asked = _asked(load_checklist(options.questions), options, items=listing)
    folder = _folder(config)
    console.print(f"{survey.num_items} to ask {len(asked.asked)} questions each ({asked.name})", soft_wrap=True)

    async def run() -> Filling:
        async with opened_asker(config, options, checklist=asked) as judge:
            for note in judge.notes:
                console.print(note, soft_wrap=True)
            with open_sheet(folder, settings=judge.settings, rows_file=ANSWERS_FILE) as sheet:
                return await fill_sheet(
                    sheet,
                    listing,
                    scorer=judge.asker,
                    start=judge.start,
                    display=ProgressDisplay(console),
                    bar=Bar(phase=PHASE, num_items=survey.num_items, good=("ok",), others="without answers"),
                )

    filling = asyncio.run(run())
    for line in describe_answers(folder / ANSWERS_FILE):
        console.print(line, soft_wrap=True)
    console.print(filling.speed("asked about"), soft_wrap=True)
    console.print(f"answers {folder / ANSWERS_FILE}", soft_wrap=True)


def score(words: Sequence[str], config: RunConfig, options: ChecklistConfig, console: Console) -> None:
    """Score files of answers, or ask first."""
    if not words:
        raise ConfigError(["checklist score takes files of answers, or pictures or videos to ask about; got none"])
    paths = [Path(word) for word in words if holds_answers(Path(word))]
    if paths and len(paths) < len(words):
        raise ConfigError(["checklist score takes either files of answers or what is to be asked about, got both"])
    if not paths:
        ask(words, config, options, console)
        paths = [_folder(config) / ANSWERS_FILE]
    rule, folder = _rule(options, paths=paths), _folder(config)
    consistency = ConsistencyCount(rule.checklist)

    def counted() -> Iterator[AnsweredItem]:
        for item in read_answer_files(paths, checklist=rule.checklist):
            yield item  # first, so that a fault is told by the score, with its line
            consistency.add(item.answers)

    counts = write_scores(counted(), rule=rule, folder=folder)
    console.print(format_consistency(consistency), soft_wrap=True)
    unscored = " (an answer that counts is unusable; checklist.unusable=leave_out scores the others)"
    console.print(
        f"scores {counts['scored']}, without one {counts['unscored']}{unscored if counts['unscored'] else ''}",
        soft_wrap=True,
    )
    console.print(f"results {folder}", soft_wrap=True)


def compare(words: Sequence[str], config: RunConfig, options: ChecklistConfig, console: Console) -> None:
    """Ask about two pictures or videos, and say which is better and by what."""
    if len(words) != 2:
        raise ConfigError([f"checklist compare takes two pictures or two videos, got {len(words)} words"])
    for name in words:
        if not Path(name).exists():
            raise ConfigError([f"{name}: no such file"])
    _check_judge(config)
    items = [Item(item_id=f"{place} {name}", path=name) for place, name in zip("AB", words, strict=True)]
    asked = _asked(load_checklist(options.questions), options, items=items)
    rule = _rule_for(asked, options)

    async def run() -> dict[str, AnswerRow]:
        rows: dict[str, AnswerRow] = {}
        async with opened_asker(config, options, checklist=asked) as judge:
            for note in judge.notes:
                console.print(note, soft_wrap=True)
            await judge.start()
            async with aclosing(judge.asker.score(items)) as parts:
                async for part in parts:
                    rows |= {row.id: row for row in part}
        return rows

    rows = asyncio.run(run())
    for row in rows.values():
        if row.status != "ok":
            console.print(f"{row.id}: {row.status}: {row.error}", soft_wrap=True)
    first, second = ((item.item_id, rule.score(item_of(rows[item.item_id]))) for item in items)
    console.print("\n".join(compared(first, second, scale=rule.scale)), soft_wrap=True)


def fit(words: Sequence[str], config: RunConfig, options: ChecklistConfig, console: Console) -> None:
    """Learn weights from answers and the pairs that people compared."""
    answers = [Path(word) for word in words if holds_answers(Path(word))]
    others = [Path(word) for word in words if not holds_answers(Path(word))]
    if not answers or len(others) != 1:
        got = f"{len(answers)} of answers and {' '.join(map(str, others)) or 'none of pairs'}"
        raise ConfigError([f"checklist fit takes files of answers and one file of pairs; got {got}"])
    asked = asked_part(answers, checklist=load_checklist(options.questions))
    items = {item.item_id: item for item in read_answer_files(answers, checklist=asked)}
    table = tabulate(read_labelled_pairs(others[0], items=items), checklist=asked, units="zero_one")
    plan = LearningPlan(strengths=STRENGTHS, num_folds=NUM_FOLDS, num_resamples=NUM_RESAMPLES, seed=config.run.seed)
    learned = learn_weights(table, plan=plan)
    report, folder = format_weights(learned, checklist=asked), _folder(config)
    write_weights(folder / WEIGHTS_FILE, weights=learned.weights, checklist=asked)
    (folder / REPORT_FILE).write_text(report + "\n", encoding="utf-8")
    console.print(report, soft_wrap=True)
    console.print(f"weights {folder / WEIGHTS_FILE}", soft_wrap=True)


def pairs(words: Sequence[str], config: RunConfig, options: ChecklistConfig, console: Console) -> None:
    """Select pairs for preference optimisation."""
    paths = list(map(Path, words))
    wrong = [path for path in paths if not holds_answers(path)]
    if not paths or wrong:
        raise ConfigError([f"checklist pairs takes files of answers; {wrong[0] if wrong else 'nothing'} is none"])
    rule, folder = _rule(options, paths=paths), _folder(config)
    selection = PairSelection(
        PairRule(
            level=options.pairs.level,
            min_gap=options.pairs.min_gap,
            max_pairs_per_prompt=options.pairs.max_per_prompt,
        )
    )
    select_pairs(read_answer_files(paths, checklist=rule.checklist), rule=rule, selection=selection, folder=folder)
    console.print(describe(selection), soft_wrap=True)
    console.print(f"results {folder}", soft_wrap=True)


def _serve(
    words: Sequence[str],
    config: RunConfig,
    options: ChecklistConfig,
    console: Console,
    *,
    host: str | None,
    port: str | None,
) -> None:
    if words:
        raise ConfigError([f"checklist {SERVER} takes no files, got {' '.join(words)}"])
    check_prompt(options)
    _check_judge(config)
    asked = load_checklist(options.questions)
    serve_checklist(config, options, console, rule=_rule_for(asked, options), host=host, port=port)


TOOLS: dict[str, Callable[[Sequence[str], RunConfig, ChecklistConfig, Console], None]] = {
    "ask": ask, "score": score, "compare": compare, "fit": fit, "pairs": pairs,
}  # fmt: skip


def _check_judge(config: RunConfig) -> None:
    if problems := unnamed_judge(config):
        raise ConfigError(problems)


def _asked(checklist: Checklist, options: ChecklistConfig, *, items: Listing | Sequence[Item]) -> Checklist:
    """The questions that these items are asked.

    Raises:
        ConfigError: There are no items, some are of the wrong kind, or only some have a prompt.
    """
    kinds = {item.kind for item in items}
    if not kinds:
        raise ConfigError(["nothing to ask about there; of folders, pictures and videos are taken"])
    if kinds != {checklist.kind}:
        other = next(item for item in items if item.kind != checklist.kind)
        problem = (
            f"{other.path}: {other.kind}, the checklist {checklist.name} asks about {checklist.kind}s; choose "
            f"checklist={other.kind}, and ask about pictures and videos apart"
        )
        raise ConfigError([problem])
    if not checklist.needs_prompt or options.prompt is not None:
        return checklist
    num_items = sum(1 for _ in items)
    num_without = sum(item.prompt is None for item in items)
    if num_without == num_items:
        return checklist.without_prompt()
    if num_without:
        problem = (
            f"{num_without} of {num_items} items have no prompt, which questions of {checklist.name} quote; give each "
            "one, or ask about those without apart"
        )
        raise ConfigError([problem])
    return checklist


def _rule(options: ChecklistConfig, *, paths: Sequence[Path]) -> ScoreRule:
    return _rule_for(asked_part(paths, checklist=load_checklist(options.questions)), options)


def _rule_for(asked: Checklist, options: ChecklistConfig) -> ScoreRule:
    return ScoreRule(
        checklist=asked,
        weights=load_weights(options.weights, questions=options.questions, asked=asked),
        unusable=options.unusable,
        scale=options.scale,
    )


def _folder(config: RunConfig) -> Path:
    folder = Path(config.run.folder).resolve() / FOLDER
    make_run_folder(folder)
    return folder
