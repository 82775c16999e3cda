"""What a dialect has in common that is no chat: nothing in it can be translated into one, or out of one."""

from typing import ClassVar, Never

from ..core.chat import ChatRequest
from ..core.conversation import Conversation
from ..core.errors import MalformedRequest
from ..core.events import Completion
from . import Addressee, TierMarks


class Untranslated:
    """The half of a Dialect, and of an Upstream, that is of conversations: a MalformedRequest, always, with the words
    of `elsewhere`."""

    elsewhere: ClassVar[str]

    request_id_field = None
    indispensable: frozenset[str] = frozenset()
    stream_type = b"text/event-stream"
    tier_marks = TierMarks()
    own_statuses: frozenset[int] = frozenset()
    shows: frozenset[str] = frozenset()
    counting = None
    with_thoughts = None

    def understand(self, _: ChatRequest) -> Never:
        """See Dialect."""
        raise MalformedRequest(self.elsewhere)

    def render_request(self, _: Conversation, __: Addressee) -> Never:
        """See Upstream."""
        raise MalformedRequest(self.elsewhere)

    def parse_result(self, _: bytes) -> Never:
        """See Upstream."""
        raise MalformedRequest(self.elsewhere)

    def render_result(self, _: Completion, __: ChatRequest) -> Never:
        """See Dialect."""
        raise MalformedRequest(self.elsewhere)

    def parser(self) -> Never:
        """See Upstream."""
        raise MalformedRequest(self.elsewhere)

    def renderer(self, _: ChatRequest) -> Never:
        """See Dialect."""
        raise MalformedRequest(self.elsewhere)

    def request_lines(self, _: bytes) -> bytes:
        """See Upstream."""
        return b""
