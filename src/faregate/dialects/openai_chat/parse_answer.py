"""What an upstream's answer says, whole (conformance 1.1, 2.2, 2.3), and the readings that its stream shares.

Compatible servers are read as the repair reads them (repair_rules, repair_tools); contents in pieces are Mistral's.
"""

from typing import Any

import msgspec

from ...core.conversation import Choice, Citation, FinishReason, Media, Part, Refusal, Text, Thinking, ToolCall
from ...core.events import Completion
from ...wire.messages import BadMessage
from .. import media
from .repair_rules import given_reason, has_content, id_of, is_failure, is_known, reason_shown
from .repair_tools import whole_calls
from .understand_messages import ReasoningDetail, ThinkingBlock, thoughts_of_blocks, thoughts_of_details
from .usage import usage_of

Members = dict[str, Any]
NULL = msgspec.Raw(b"null")
_NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class AnswerChoice(msgspec.Struct):
    """A choice, whole or of a chunk, as it came: nothing but `logprobs` is kept as bytes."""

    index: Any = None
    message: Any = None
    delta: Any = None
    text: Any = None
    finish_reason: Any = None
    native_finish_reason: Any = None
    stop_reason: Any = None
    logprobs: msgspec.Raw = NULL


class Answer(msgspec.Struct):
    """An answer or a chunk of one."""

    id: Any = None
    model: Any = None
    object: Any = None
    choices: list[AnswerChoice] | None = None
    usage: Any = None
    error: Any = None


_decoder = msgspec.json.Decoder(Answer)


def parse_result(body: bytes) -> Completion:
    """An upstream's whole answer. BadMessage for what is none: no JSON, an error, no choices, nothing said."""
    try:
        answer = _decoder.decode(body)
    except _NOT_JSON as failure:
        raise BadMessage("the upstream's answer is not the JSON it should be") from failure
    if answer.error or not answer.choices:
        raise BadMessage("the upstream's answer has no choices")
    read = [_choice(choice) for choice in answer.choices]
    choices = [choice for choice in read if choice is not None]
    if not choices:
        raise BadMessage("the upstream's answer is empty and ends for no known reason")
    return Completion(
        id=id_of(answer.id) or "",
        model=id_of(answer.model) or "",
        choices=choices,
        usage=usage_of(answer.usage) if answer.usage else None,
    )


def reason_of(native: object, *, has_calls: bool, said: object = None) -> tuple[FinishReason, str]:
    """A finish reason and, where it says more, the provider's own word; `said` is what a router says was the word."""
    shown = reason_shown(native, has_calls=has_calls)
    reason: Any = "tool_calls" if shown == "function_call" else shown
    for word in (said, native):
        if isinstance(word, str) and word and given_reason(word) is not None:
            return reason, "" if word in (reason, native) and native == reason else word
    return reason, ""


def texts_of(content: object) -> tuple[str, str]:
    """The words of a `content` and the thoughts that stand in it: a string, or Mistral's list of pieces."""
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        return "", ""
    said, thought = [], []
    for piece in content:
        if not isinstance(piece, dict):
            continue
        if piece.get("type") == "thinking":
            inner = piece.get("thinking")
            thought.append(inner if isinstance(inner, str) else texts_of(inner)[0])
        elif isinstance(piece.get("text"), str):
            said.append(piece["text"])
    return "".join(said), "".join(thought)


def reasoning_of(message: Members) -> str:
    """What was thought, in the member that DeepSeek or OpenRouter has for it."""
    for name in ("reasoning_content", "reasoning"):
        text = message.get(name)
        if isinstance(text, str) and text:
            return text
    return ""


def proofs_of(message: Members) -> list[Thinking]:
    """The thoughts of `thinking_blocks` or else `reasoning_details`; none where they are not what they should be."""
    try:
        if message.get("thinking_blocks"):
            return thoughts_of_blocks(msgspec.convert(message["thinking_blocks"], list[ThinkingBlock]))
        if message.get("reasoning_details"):
            return thoughts_of_details(msgspec.convert(message["reasoning_details"], list[ReasoningDetail]))
    except msgspec.ValidationError:
        pass
    return []


def citations_of(annotations: object) -> list[Citation]:
    """The citations that `annotations` hold; OpenRouter's have the quoted text in `content`."""
    found = []
    for annotation in annotations if isinstance(annotations, list) else ():
        cited = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if isinstance(cited, dict):
            found.append(
                Citation(
                    url=_text(cited.get("url")),
                    title=_text(cited.get("title")),
                    quoted=_text(cited.get("content")),
                    start=_place(cited.get("start_index")),
                    end=_place(cited.get("end_index")),
                )
            )
    return found


def images_of(images: object) -> list[Media]:
    """The pictures of OpenRouter's `images`, or among the pieces of a content."""
    found = []
    for image in images if isinstance(images, list) else ():
        address = image.get("image_url") if isinstance(image, dict) else None
        url = address.get("url") if isinstance(address, dict) else address
        if not isinstance(url, str) or not url:
            continue
        uri = media.read_data_uri(url)
        if uri is None:
            found.append(Media(kind="image", url=url))
        else:
            found.append(Media(kind="image", media_type=uri.media_type, data=uri.data))
    return found


def sounds_of(audio: object, media_type: str = "") -> list[Media]:
    """The sound of an `audio`, or a piece of one, of a media type that is known. BadMessage for what is none."""
    data = audio.get("data") if isinstance(audio, dict) else None
    if not isinstance(audio, dict) or not isinstance(data, str) or not data:
        return []
    try:
        return [Media(kind="audio", media_type=media_type or media.sound_of(data, audio.get("format")), data=data)]
    except ValueError:
        raise BadMessage("the sound of the upstream's answer is not base64") from None


def signature_of(entry: Members) -> str:
    """The proof that Google's OpenAI layer puts beside a call; "" where there is none."""
    google = (entry.get("extra_content") or {}).get("google") if isinstance(entry.get("extra_content"), dict) else None
    return _text(google.get("thought_signature")) if isinstance(google, dict) else ""


def _choice(given: AnswerChoice) -> Choice | None:
    """A choice; None where it holds nothing and its finish reason does not say why."""
    message = given.message if isinstance(given.message, dict) else given.delta
    if not isinstance(message, dict):
        message = {"content": given.text}
    native = given_reason(given.finish_reason)
    is_explained = is_known(native) and not is_failure(native)
    if not is_explained and not has_content(message):
        return None
    parts = _parts(message)
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    reason, word = reason_of(native, has_calls=has_calls, said=given.native_finish_reason)
    return Choice(
        parts=tuple(parts),
        reason=reason,
        native_reason=word,
        stop_sequence=_text(given.stop_reason) if reason == "stop" else "",  # vLLM's member
        logprobs=None if bytes(given.logprobs) == b"null" else msgspec.Raw(bytes(given.logprobs)),
    )


def _parts(message: Members) -> list[Part]:
    said, thought = texts_of(message.get("content"))
    thoughts = proofs_of(message)
    reasoning = reasoning_of(message) or thought
    if reasoning and not any(part.text for part in thoughts):
        thoughts.insert(0, Thinking(text=reasoning))
    parts: list[Part] = [*thoughts]
    if not said and isinstance(message.get("audio"), dict):
        said = _text(message["audio"].get("transcript"))
    if said:
        parts.append(Text(said, citations=tuple(citations_of(message.get("annotations")))))
    if _text(message.get("refusal")):
        parts.append(Refusal(message["refusal"]))
    parts += images_of(message.get("images")) + images_of(message.get("content"))
    parts += sounds_of(message.get("audio"))
    entries = whole_calls(message.get("tool_calls"))
    if not entries and isinstance(message.get("function_call"), dict):
        entries = whole_calls([{"function": message["function_call"]}])
    return parts + [_call(entry) for entry in entries]


def _call(entry: Members) -> ToolCall:
    signature = signature_of(entry)
    function = entry.get("function") or {
        "name": entry["custom"]["name"],
        "arguments": msgspec.json.encode({"input": entry["custom"]["input"]}).decode(),
    }
    return ToolCall(
        id=entry["id"],
        name=function["name"],
        arguments=function["arguments"],
        signature=signature,
        signed_by="gemini_generate" if signature else "",
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _place(value: object) -> int:
    return value if type(value) is int and value >= 0 else -1
