"""``arbiter checklist reward-server``: the scores of a checklist over HTTP, for training generators."""

import asyncio
from collections.abc import Sequence

from rich.console import Console

from cluster.checklist_judge import ChecklistJudge, opened_asker
from cluster.services import address_of
from conf.checklist import ChecklistConfig
from conf.errors import ConfigError
from conf.schema import RunConfig
from evaluation.checklist.rows import item_of
from evaluation.checklist.score_files import ScoreRule
from evaluation.scoring.items import Item
from rewards.checklist.server import Judged, ShownItem, checklist_reward_app
from rewards.server import serve_rewards


def serve_checklist(
    config: RunConfig,
    options: ChecklistConfig,
    console: Console,
    *,
    rule: ScoreRule,
    host: str | None,
    port: str | None,
) -> None:
    """Serve until interrupted; every item needs a prompt where the questions quote one."""
    where, at = address_of(host, port)

    async def run() -> None:
        async with opened_asker(config, options, checklist=rule.checklist) as judge:
            for note in judge.notes:
                console.print(note, soft_wrap=True)
            await judge.start()
            console.print(f"scores of {rule.checklist.name} at http://{where}:{at}/score", soft_wrap=True)
            app = checklist_reward_app(
                lambda items: judge_items(judge, items, rule=rule), checklist=rule.checklist, scale=rule.scale
            )
            await serve_rewards(app, host=where, port=at)

    asyncio.run(run())


async def judge_items(judge: ChecklistJudge, items: Sequence[ShownItem], *, rule: ScoreRule) -> list[Judged]:
    """A score for each, or why there is none."""
    asked = [Item(item_id=str(number), path=one.path, prompt=one.prompt) for number, one in enumerate(items)]
    found: dict[str, Judged] = {one.item_id: problem for one in asked if (problem := _problem(one, rule=rule))}
    answerable = [one for one in asked if one.item_id not in found]
    async for rows in judge.asker.score(answerable):
        for row in rows:
            failed = row.status != "ok"
            found[row.id] = f"{row.status}: {row.error}" if failed else rule.score(item_of(row))
    return [found[one.item_id] for one in asked]


def _problem(item: Item, *, rule: ScoreRule) -> str | None:
    if item.kind != rule.checklist.kind:
        return f"{item.path}: {item.kind}, the checklist {rule.checklist.name} asks about {rule.checklist.kind}s"
    if rule.checklist.needs_prompt and item.prompt is None:
        return f"no prompt, which questions of {rule.checklist.name} quote"
    return None


def check_prompt(options: ChecklistConfig) -> None:
    """Refuse a prompt for everything: whoever asks for rewards tells what each item was made from.

    Raises:
        ConfigError: There is one.
    """
    if options.prompt is not None:
        raise ConfigError(["checklist.prompt: has no effect, requests have a prompt for each item; remove it"])
