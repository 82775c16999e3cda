"""What a model gave and the client's dialect has no place for: nothing of it goes in silence.

It is named in `x-faregate-dropped` as `answer.NAME`: of a whole answer in its head, of a stream there or, where it
comes later, in its trailer. Of a picture or a sound the client is told in words too, where the words are not to be
JSON: most SDKs show neither headers nor trailers.
"""

from ..core.call import Call
from ..core.conversation import Choice, Foreign, Media, Part, Text
from ..core.events import Completion, Event, ForeignGiven, MediaGiven, TextDelta
from ..dialects import Dialect

_NOUNS = {"image": "a picture", "audio": "a sound", "video": "a film", "document": "a document"}
_ADDRESS_CHARACTERS_MAX = 2_000


class Unshown:
    """Replaces it in one call's answer, and names it in the call's `dropped`."""

    __slots__ = ("_call", "_client", "_told")

    def __init__(self, call: Call, client: Dialect) -> None:
        self._call = call
        self._client = client
        self._told: set[str] = set()  # of what the client was told already: sounds come in many pieces

    def whole(self, completion: Completion) -> None:
        """Put the client's words for it in its place."""
        for choice in completion.choices:
            choice.parts = tuple(shown for part in choice.parts for shown in self._parts(part, choice))

    def event(self, event: Event) -> Event | None:
        """What the client is to see of an event; None for nothing."""
        if isinstance(event, ForeignGiven):
            return event if self._is_own(event.part) else None
        if not isinstance(event, MediaGiven) or self._is_shown(event.media):
            return event
        words = self._words(event.media, event.choice)
        return TextDelta(words, event.choice) if words else None

    def _parts(self, part: Part, choice: Choice) -> tuple[Part, ...]:
        if isinstance(part, Foreign):
            return (part,) if self._is_own(part) else ()
        if not isinstance(part, Media) or self._is_shown(part):
            return (part,)
        words = self._words(part, id(choice))
        return (Text(words),) if words else ()

    def _is_own(self, part: Foreign) -> bool:
        is_own = part.dialect == self._client.name and bytes(part.raw) != b"null"
        if not is_own:
            self._name(part.name)
        return is_own

    def _is_shown(self, media: Media) -> bool:
        return (media.kind if media.data else f"{media.kind}_url") in self._client.shows

    def _words(self, media: Media, choice: int) -> str:
        self._name(media.kind)
        what = f"{choice}/{media.kind}"
        if media.kind == "audio" and what in self._told:
            return ""
        self._told.add(what)
        conversation = self._call.conversation
        if conversation is not None and conversation.output_format is not None:
            return ""
        kind = f" ({media.media_type})" if media.media_type else ""
        where = f": {media.url[:_ADDRESS_CHARACTERS_MAX]}" if media.url else ", for which this API has no place."
        return f"[The model gave {_NOUNS[media.kind]}{kind}{where}]"

    def _name(self, name: str) -> None:
        said = f"answer.{name}"
        if said not in self._call.dropped:
            self._call.dropped += (said,)
