"""The questions about one picture or video as prompts, and its answers as a row.

item --questions--> one prompt each, the media before the question --answers--> AnswerRow
"""

from collections.abc import Sequence
from dataclasses import dataclass

from conf.data import FrameRule, VideoConfig
from evaluation.checklist.rows import AnswerRow, value_of
from evaluation.scoring.asking import SOURCE, media_of, printable
from evaluation.scoring.items import Item
from evaluation.scoring.rows import status_of
from rewards.checklist.answers import Answer
from rollout.checklist.asking import question_messages
from rollout.checklist.questions import Checklist, Gate, Question
from rollout.types import Failure, Media, Prompt, Unlabelled


@dataclass(frozen=True, kw_only=True, slots=True)
class ChecklistQuestioner:
    """Asks every item the same questions."""

    checklist: Checklist
    """Without the questions that quote a prompt where there is none."""
    wording: str
    """``[[question]]`` stands for the question."""
    prompt: str | None
    """What items were made from whose list does not say."""
    video: VideoConfig
    frames: FrameRule

    def prompts(self, item: Item) -> tuple[Prompt, ...] | Failure:
        """One prompt per question, or why there is none; reads all of a video, so call it in a thread."""
        try:
            media = media_of(item, video=self.video, rule=self.frames)
        except (ValueError, OSError) as error:
            return Failure(kind="unreadable_media", detail=str(error))
        return tuple(self._prompt(item, media, one) for one in self.checklist.asked)

    def made_from(self, item: Item) -> str | None:
        """The prompt of an item."""
        return self.prompt if item.prompt is None else item.prompt

    def _prompt(self, item: Item, media: Media, one: Gate | Question) -> Prompt:
        return Prompt(
            prompt_id=printable(f"{item.item_id} {one.id}"),
            messages=question_messages(one, media=media, wording=self.wording, made_from=self.made_from(item)),
            reference=Unlabelled(),
            source=SOURCE,
            content_id=printable(item.path),
            wants_thinking=False,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerWriter:
    """Makes rows; holds what they have in common."""

    questioner: ChecklistQuestioner
    model: str

    def row(
        self,
        item: Item,
        answers: Sequence[Answer],
        *,
        prompts: Sequence[Prompt],
        num_tokens: int | None,
        num_computed_tokens: int | None,
    ) -> AnswerRow:
        """The row of an item that was asked about, ``answers`` in the order of the questions and their prompts."""
        by_id = dict(zip((one.id for one in self.questioner.checklist.asked), answers, strict=True))
        failed = next((one for one in answers if one.status == "failed"), None)
        return AnswerRow(
            id=item.item_id,
            path=item.path,
            prompt=self.questioner.made_from(item),
            status="ok" if failed is None else "failed",
            error=None if failed is None else failed.text,
            answers={name: value_of(answer) for name, answer in by_id.items()},
            mass={name: answer.mass for name, answer in by_id.items() if answer.mass is not None},
            num_tokens=num_tokens,
            num_computed_tokens=num_computed_tokens,
            cut=any(prompt.is_cut for prompt in prompts),
            checklist=self.questioner.checklist.name,
            version=self.questioner.checklist.version,
            model=self.model,
        )

    def without_answers(self, item: Item, failure: Failure) -> AnswerRow:
        """The row of an item that could not be asked about."""
        return AnswerRow(
            id=item.item_id,
            path=item.path,
            prompt=self.questioner.made_from(item),
            status=status_of(failure.kind, item=item),
            error=failure.detail,
            answers={},
            mass={},
            num_tokens=None,
            num_computed_tokens=None,
            cut=False,
            checklist=self.questioner.checklist.name,
            version=self.questioner.checklist.version,
            model=self.model,
        )
