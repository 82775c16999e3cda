"""Answers that came in pieces and come back so: Google's SDK keeps each piece of a stream as a content of its own, and
its callers keep the parts as they came (google-genai, `chats.py`). Other dialects' providers are told the whole: a
thought is what its proof is of, which stands in its last piece, and words that are only a space are words too.
"""

from collections.abc import Iterable

import msgspec

from ...core.conversation import Message, Part, Text, Thinking


def joined(messages: Iterable[Message]) -> list[Message]:
    """The turns of a conversation, each of the model's with its pieces as one."""
    found: list[Message] = []
    for message in messages:
        if message.role != "assistant":
            found.append(message)
            continue
        before = found.pop().parts if found and found[-1].role == "assistant" else ()
        found.append(msgspec.structs.replace(message, parts=_whole((*before, *message.parts))))
    return found


def _whole(parts: Iterable[Part]) -> tuple[Part, ...]:
    found: list[Part] = []
    for part in parts:
        one = _joined(found[-1], part) if found else None
        if one is None:
            found.append(part)
        else:
            found[-1] = one
    return tuple(found)


def _joined(before: Part, part: Part) -> Part | None:
    """Two pieces of one thought, or of one text, as one; None where they are none. A proof ends what it is of."""
    if isinstance(before, Thinking) and isinstance(part, Thinking):
        if before.signature or before.redacted or part.redacted:
            return None
        return msgspec.structs.replace(part, text=before.text + part.text)
    if isinstance(before, Text) and isinstance(part, Text) and not before.signature:
        return msgspec.structs.replace(part, text=before.text + part.text)
    return None
