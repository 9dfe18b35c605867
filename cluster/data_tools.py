"""``arbiter data ...``: look at the configured data set, and tools for label files. Neither Ray nor torch is loaded.

The tools take switches, because most of them read files and no configuration; their arguments are read here.
"""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NoReturn

from rich.console import Console

from cluster.health_page import health_summary, write_health_page
from cluster.label_tools import (
    THIS_FILE,
    Formats,
    Rescaling,
    Shares,
    combine_files,
    convert,
    raise_any,
    rows_of,
    say,
    split,
)
from cluster.preflight import LEARNS_NOTHING
from conf.data import OpinionScoreConfig, PhotoDistortionsConfig
from conf.errors import ConfigError
from conf.load import load_run_config
from conf.rules import asks_for_a_choice
from rollout.datasets import build_data
from rollout.datasets.balance import count_labels
from rollout.datasets.export import write_rated_pairs
from rollout.datasets.health import find_unreadable, look_at
from rollout.datasets.label_checks import MediaFolders, find_duplicates, find_out_of_range, find_repeated_ids
from rollout.datasets.label_files import LABEL_FORMATS, read_labels
from rollout.datasets.label_rows import LabelRow
from rollout.datasets.opinion_score import read_split
from rollout.datasets.problems import REMEDIES, DatasetProblems, Problem
from rollout.types import Scale

Folders = str | Mapping[str, str]

_TWO_NUMBERS = re.compile(r"(-?\d+(?:\.\d+)?),(-?\d+(?:\.\d+)?)")


def show_data(overrides: Sequence[str], console: Console) -> int:
    """Read and check the configured data set, and describe it."""
    config = load_run_config([*overrides, *LEARNS_NOTHING])
    data = build_data(config.data)
    for name, dataset in (("train", data.train), ("test", data.test)):
        first = dataset.prompt(0)
        balance = count_labels(dataset) if asks_for_a_choice(config) else {}
        say(console, f"{name:<6} {len(dataset):>7} prompts of {dataset.source}; first {first.prompt_id} {first.truth}")
        for source, counts in balance.items():
            say(
                console,
                f"{'':<6} {source}: the first answer is right {counts.num_first} times, the second {counts.num_second}"
                + ("" if counts.is_balanced else "; a judge can learn that instead of looking: use data.order=both"),
            )
    return 0


def run_tool(arguments: Sequence[str], console: Console) -> int:
    """Run one tool; returns the exit status.

    Raises:
        ConfigError: The arguments cannot be used.
        DatasetProblems: Rows cannot be used; nothing was written.
        ValueError: What was asked of the rows cannot be done.
    """
    try:
        given = _parser().parse_args(arguments)
    except SystemExit:  # the help that was asked for has been printed
        return 0
    tools: dict[str, Callable[[argparse.Namespace, Console], int]] = {
        "convert": _convert,
        "split": _split,
        "combine": _combine,
        "validate": _validate,
        "health": _health,
        "pairs": _pairs,
    }
    return tools[given.tool](given, console)


def _convert(given: argparse.Namespace, console: Console) -> int:
    convert(
        given.input,
        given.output,
        formats=_formats(given),
        rescaling=Rescaling(
            given=given.range,
            target=given.scale,
            higher_is_better=not given.lower_is_better,
            clips=given.clip,
        ),
        dataset=given.dataset,
        scene=given.scene,
        console=console,
    )
    return 0


def _split(given: argparse.Namespace, console: Console) -> int:
    rule: Shares | Literal["kadid"] = Shares(shares=given.shares, seed=given.seed)
    if given.named is not None:
        rule = "kadid"
    split(given.input, given.folder, formats=_formats(given), rule=rule, scene=given.scene, console=console)
    return 0


def _combine(given: argparse.Namespace, console: Console) -> int:
    folders = _folders(given.images) or {}
    if isinstance(folders, str):
        raise ConfigError([f"--images {folders}: name the data set it is of, as NAME=FOLDER"])
    combine_files(
        given.inputs,
        given.output,
        formats=_formats(given),
        folders=folders,
        given=given.range,
        is_rank_only=given.rank_only,
        console=console,
    )
    return 0


def _validate(given: argparse.Namespace, console: Console) -> int:
    files, overrides = _files_or_overrides(given)
    problems = _problems_of_files(given, files) if files else _problems_of_run(overrides)
    for problem in problems:
        say(console, f"{problem.where}: {problem.what}")
    for kind, count in Counter(problem.kind for problem in problems).items():
        say(console, f"{kind} ({count}): {REMEDIES[kind]}")
    say(console, f"{len(problems) or 'no'} problems")
    return 2 if problems else 0


def _problems_of_run(overrides: Sequence[str]) -> Sequence[Problem]:
    try:
        build_data(load_run_config([*overrides, *LEARNS_NOTHING]).data)
    except DatasetProblems as found:
        return found.problems
    return ()


def _problems_of_files(given: argparse.Namespace, files: Sequence[Path]) -> list[Problem]:
    problems: list[Problem] = []
    every: list[LabelRow] = []
    for path in files:
        rows, wrong = read_labels(path, label_format=_format_of(given), called="the label file")
        problems += [*wrong, *find_repeated_ids(rows)]
        every += rows
    images = _folders(given.images)
    folders = MediaFolders("." if images is None else images, called="--images")
    problems += find_duplicates(every, folders=folders)
    if given.range is not None:
        problems += find_out_of_range(every, given=given.range, called="--range")
    if images is not None:
        missing = list(folders.problems(every))
        problems += missing or find_unreadable(every, folders=folders)
    return problems


def _health(given: argparse.Namespace, console: Console) -> int:
    files, overrides = _files_or_overrides(given)
    splits, folders = _splits_of_files(given, files) if files else _splits_of_run(overrides)
    raise_any(problem for rows in splits.values() for problem in folders.problems(rows))
    health = look_at(splits, folders=folders)
    say(console, health_summary(health))
    say(console, f"page {write_health_page(health, folder=given.out)}")
    return 0


def _pairs(given: argparse.Namespace, console: Console) -> int:
    config = load_run_config([*given.overrides, *LEARNS_NOTHING]).data
    if not isinstance(config, PhotoDistortionsConfig):
        raise ConfigError([f"pairs writes the pictures of data=photo_distortions, got data.kind={config.kind}"])
    data = build_data(config)
    write_rated_pairs({"train": data.train, "test": data.test}, folder=given.folder)
    say(console, f"{len(data.train)} and {len(data.test)} pictures, and half as many pairs of them, in {given.folder}")
    return 0


def _splits_of_run(overrides: Sequence[str]) -> tuple[dict[str, list[LabelRow]], MediaFolders]:
    config = load_run_config([*overrides, *LEARNS_NOTHING]).data
    if not isinstance(config, OpinionScoreConfig):
        raise ConfigError([f"health reads label files, and data.kind={config.kind} has none; use data=opinion_score"])
    train, problems = read_split(config, split="train")
    test, test_problems = read_split(config, split="test")
    raise_any([*problems, *test_problems])
    return {"train": train, "test": test}, MediaFolders(config.image_folder, called="data.image_folder")


def _splits_of_files(
    given: argparse.Namespace, files: Sequence[Path]
) -> tuple[dict[str, list[LabelRow]], MediaFolders]:
    images = _folders(given.images)
    if images is None:
        raise ConfigError(["health needs --images FOLDER, or --images NAME=FOLDER for each data set"])
    splits = {path.stem: rows_of(path, label_format=_format_of(given)) for path in files}
    if len(splits) < len(files):
        raise ConfigError(["two files have one name, which would be the name of their split; rename one"])
    return splits, MediaFolders(images, called="--images")


def _files_or_overrides(given: argparse.Namespace) -> tuple[list[Path], list[str]]:
    files = [Path(word) for word in given.words if "=" not in word]
    overrides = [word for word in given.words if "=" in word]
    if files and overrides:
        raise ConfigError([f"give label files or KEY=VALUE, not both: {files[0]} and {overrides[0]}"])
    return files, overrides


def _formats(given: argparse.Namespace) -> Formats:
    return Formats(given=given.given_format, wanted=given.to_format or given.given_format)


def _format_of(given: argparse.Namespace) -> str:
    if given.given_format is None:
        raise ConfigError([f"{given.tool} needs --from FORMAT with label files; formats: {', '.join(LABEL_FORMATS)}"])
    return str(given.given_format)


def _folders(given: Sequence[str] | None) -> Folders | None:
    """One folder for all data sets, or one for each by name."""
    if not given:
        return None
    named = [one.partition("=") for one in given]
    if len(named) == 1 and not named[0][1]:
        return given[0]
    nameless = [name for name, equals, _ in named if not equals]
    if nameless:
        raise ConfigError([f"--images {nameless[0]}: with several folders, each is given as NAME=FOLDER"])
    return {name: folder for name, _, folder in named}


class _Parser(argparse.ArgumentParser):
    """Complains as every other command does."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of ending the process."""
        raise ConfigError([f"{self.prog.removeprefix('arbiter ')}: {message}; see {self.prog} --help"])


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="arbiter data",
        description=(
            "arbiter data [show] [KEY=VALUE ...] checks and describes the data set of a configuration. "
            "Tools for label files:"
        ),
        epilog=f"Formats: {', '.join(LABEL_FORMATS)} (docs/data.md).",
    )
    tools = parser.add_subparsers(dest="tool", metavar="TOOL", required=True)
    _add_convert(tools.add_parser("convert", help="another format, or another scale"))
    _add_split(tools.add_parser("split", help="train, val and test by scene, or the split KADID-10K came with"))
    _add_combine(tools.add_parser("combine", help="several files as one"))
    _add_validate(tools.add_parser("validate", help="everything that is wrong, all of it"))
    _add_pairs(tools.add_parser("pairs", help="rated pictures as files, and which of two is better"))
    _add_health(tools.add_parser("health", help="labels, sizes, look-alikes, leakage: a summary and a page"))
    return parser


def _add_convert(tool: argparse.ArgumentParser) -> None:
    tool.description = "Write a label file in another format, under another name, or on another scale."
    tool.add_argument("input", metavar="IN", type=Path)
    tool.add_argument("output", metavar="OUT", type=Path, help="a name that ends in .json holds one list")
    _add_formats(tool, is_needed=True)
    tool.add_argument(
        "--range",
        type=_range,
        metavar="LOW,HIGH|file|FILE",
        help="range the labels are in: two numbers; from the lowest to the highest label of IN (file), or of another "
        "file of the same format, such as the training split",
    )
    tool.add_argument(
        "--scale", type=_scale, metavar="LOW,HIGH", help="map the labels linearly from their range to this"
    )
    tool.add_argument("--lower-is-better", action="store_true", help="difference scores (DMOS): turn them round")
    tool.add_argument("--clip", action="store_true", help="set labels outside their range to its nearest end")
    tool.add_argument("--dataset", metavar="NAME", help="name of the data set, in place of the rows' own")
    _add_scene(tool)


def _add_split(tool: argparse.ArgumentParser) -> None:
    tool.description = "Deal a label file out to splits; all pictures of a scene go to the same one."
    tool.add_argument("input", metavar="IN", type=Path)
    tool.add_argument("folder", metavar="FOLDER", type=Path, help="where train, val and test are written")
    _add_formats(tool, is_needed=True)
    tool.add_argument(
        "--shares", type=_shares, default=(6.0, 2.0, 2.0), metavar="A:B[:C]", help="train:val:test or train:test; 6:2:2"
    )
    tool.add_argument("--seed", type=int, default=42, help="another seed is another split; 42")
    tool.add_argument("--named", choices=("kadid",), help="the split VisualQuality-R1 was committed with")
    _add_scene(tool)


def _add_combine(tool: argparse.ArgumentParser) -> None:
    tool.description = "Write several label files as one, numbered from 1; data sets keep their names."
    tool.add_argument("output", metavar="OUT", type=Path)
    tool.add_argument("inputs", metavar="IN", type=Path, nargs="+")
    _add_formats(tool, is_needed=True)
    tool.add_argument("--range", type=_scale, metavar="LOW,HIGH", help="scale of the rows, which must all be on one")
    tool.add_argument("--rank-only", action="store_true", help="take different scales: only ranks will be rewarded")
    _add_images(tool, "put FOLDER/ before the names of a data set's pictures")


def _add_validate(tool: argparse.ArgumentParser) -> None:
    tool.description = "List every problem of label files, or of a configured data set, and what to do."
    _add_words(tool)
    tool.add_argument("--range", type=_scale, metavar="LOW,HIGH", help="range the labels have to lie in")
    _add_images(tool, "decode every picture too, from one folder or from one for each data set")


def _add_health(tool: argparse.ArgumentParser) -> None:
    tool.description = "Label histograms, picture sizes, equal pictures, look-alikes, and what is in several splits."
    _add_words(tool)
    _add_images(tool, "where the pictures are: one folder, or one for each data set")
    tool.add_argument(
        "--out", type=Path, default=Path("data-health"), metavar="FOLDER", help="of the page; data-health"
    )


def _add_pairs(tool: argparse.ArgumentParser) -> None:
    tool.description = (
        "Write the pictures of data=photo_distortions, a list of them for checklist ask, and pairs for checklist fit."
    )
    tool.add_argument("folder", metavar="FOLDER", type=Path, help="a new one")
    tool.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="such as data.num_train=400")


def _add_words(tool: argparse.ArgumentParser) -> None:
    tool.add_argument(
        "words", metavar="FILE|KEY=VALUE", nargs="+", help="label files, each a split; or a configuration"
    )
    _add_formats(tool, is_needed=False)


def _add_formats(tool: argparse.ArgumentParser, *, is_needed: bool) -> None:
    names = tuple(LABEL_FORMATS)
    tool.add_argument(
        "--from", dest="given_format", choices=names, metavar="FORMAT", required=is_needed, help="what is read"
    )
    if is_needed:
        tool.add_argument("--to", dest="to_format", choices=names, metavar="FORMAT", help="what is written; as --from")


def _add_images(tool: argparse.ArgumentParser, text: str) -> None:
    tool.add_argument("--images", action="append", metavar="[NAME=]FOLDER", help=text)


def _add_scene(tool: argparse.ArgumentParser) -> None:
    tool.add_argument(
        "--scene", type=_pattern, metavar="REGEX", help="the scene is its first group in a file name: '^(I[0-9]+)_'"
    )


def _scale(text: str) -> Scale:
    found = _TWO_NUMBERS.fullmatch(text)
    if found is None or not float(found[1]) < float(found[2]):
        raise argparse.ArgumentTypeError(f"expected LOW,HIGH such as 1,5, got {text}")
    return Scale(minimum=float(found[1]), maximum=float(found[2]))


def _range(text: str) -> Scale | Path | str:
    if text == THIS_FILE:
        return text
    return _scale(text) if _TWO_NUMBERS.fullmatch(text) else Path(text)


def _shares(text: str) -> tuple[float, ...]:
    if not re.fullmatch(r"\d+(\.\d+)?(:\d+(\.\d+)?){1,2}", text):
        raise argparse.ArgumentTypeError(f"expected A:B or A:B:C such as 6:2:2, got {text}")
    return tuple(float(part) for part in text.split(":"))


def _pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error
    if not pattern.groups:
        raise argparse.ArgumentTypeError(f"{text!r} has no group in parentheses to take the scene from")
    return pattern
