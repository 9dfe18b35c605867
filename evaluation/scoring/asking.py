"""An item as the prompt a judge is shown; the wording is the one it was trained with, or the item's own question."""

from dataclasses import dataclass
from pathlib import Path

from conf.data import FrameRule, VideoConfig
from evaluation.scoring.items import Item
from rollout.types import Failure, Media, Message, Prompt, Scale, Unlabelled
from rollout.videos import open_video
from rollout.wordings import PromptText

SOURCE = "scored"
"""What prompts without a data set name as theirs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Questioner:
    """Asks about every item alike."""

    wording: PromptText
    scale: Scale
    video: VideoConfig

    def prompt(self, item: Item) -> Prompt | Failure:
        """The question about one item, or why there is none; reads all of a video, so call it in a thread."""
        try:
            media = media_of(item, video=self.video)
        except (ValueError, OSError) as error:
            return Failure(kind="unreadable_media", detail=str(error))
        return Prompt(
            prompt_id=printable(item.item_id),
            messages=(self._message(item, media),),
            reference=Unlabelled(),
            source=SOURCE,
            content_id=printable(item.path),
            wants_thinking=self.wording.wants_thinking,
        )

    def _message(self, item: Item, media: Media) -> Message:
        if item.question is None:
            return self.wording.message(media, scale=self.scale)
        return Message(role="user", content=(media, item.question))


def media_of(item: Item, *, video: VideoConfig, rule: FrameRule = "spread") -> Media:
    """What an item shows; of a video the frames that ``rule`` says, and every frame has been decoded.

    Raises:
        ValueError: It is a video that cannot be shown.
    """
    if item.kind == "image":
        return Media(kind="image", path=item.path)
    return open_video(Path(item.path), config=video, rule=rule)


def printable(text: str) -> str:
    """The text with the bytes of a file name that are no UTF-8 spelled out, so that it can be hashed and sent."""
    return text.encode("utf-8", "backslashreplace").decode()
