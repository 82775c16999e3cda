"""A whole answer for the client (openai-openapi, CreateChatCompletionResponse; conformance 1.1, 2.2 to 2.4), and what
its stream shares with it."""

import secrets
import time

import msgspec

from ...core.catalog import model_shown
from ...core.chat import ChatRequest
from ...core.conversation import Choice, Citation, Media, Refusal, Text, Thinking, ToolCall
from ...core.events import Completion
from ...core.usage import Usage
from .. import media
from .repair_rules import made_answer_id
from .usage import with_cache_split

Written = dict[str, object]

_ID_PREFIX = "chatcmpl-"


def render_result(completion: Completion, request: ChatRequest) -> bytes:
    """A `chat.completion` for the client."""
    answer: Written = {
        "id": id_shown(completion.id),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model_shown(completion.model, request.model),
        "choices": [_choice(index, choice) for index, choice in enumerate(completion.choices)],
    }
    if completion.usage is not None:
        answer["usage"] = usage_shown(completion.usage, splits_cache=request.splits_cache)
    return msgspec.json.encode(answer)


def id_shown(given: str) -> str:
    """An answer's id for the client: the provider's own can be told in it."""
    if not given:
        return made_answer_id()
    return given if given.startswith(_ID_PREFIX) else _ID_PREFIX + given


def usage_shown(usage: Usage, *, splits_cache: bool) -> Written:
    """OpenAI's usage: prompt and completion include their details (conformance 2.4)."""
    prompt, completion = usage.prompt, usage.completion
    details: Written = {
        "cached_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        "audio_tokens": usage.audio_input,
    }
    if usage.cache_write_1h:  # as LiteLLM says it
        kinds = {"ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": usage.cache_write_1h}
        details["cache_creation_token_details"] = kinds
    shown: Written = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_output},
    }
    return with_cache_split(shown) if splits_cache else shown


def block_shown(thinking: Thinking) -> Written:
    """A signed thought in LiteLLM's form, whose blocks are Anthropic's; other makers are named."""
    if thinking.redacted:
        block: Written = {"type": "redacted_thinking", "data": thinking.redacted}
    else:
        block = {"type": "thinking", "thinking": thinking.text, "signature": thinking.signature}
    if thinking.signed_by not in ("", "anthropic_messages"):
        block["format"] = thinking.signed_by
    return block


def proof_shown(signature: str) -> Written:
    """The proof of a call, as Google's OpenAI layer has it."""
    return {"google": {"thought_signature": signature}}


def annotation_shown(citation: Citation, start: int, end: int) -> Written:
    """A citation of the characters from `start` to `end`, where it does not say which."""
    cited: Written = {
        "start_index": start if citation.start < 0 else citation.start,
        "end_index": end if citation.end < 0 else citation.end,
        "title": citation.title,
        "url": citation.url,
    }
    if citation.quoted:
        cited["content"] = citation.quoted  # OpenRouter's member
    return {"type": "url_citation", "url_citation": cited}


def image_shown(image: Media, index: int) -> Written:
    """A picture that the model made, in OpenRouter's form."""
    address = {"url": image.url or media.data_uri(image.media_type, image.data)}
    return {"type": "image_url", "index": index, "image_url": address}


def sound_shown(sound: Media, data: str) -> Written:
    """A sound that the model made. Its format is what the client asked for at OpenAI, and said here."""
    format_ = media.format_of(sound.media_type)
    named = {"format": format_} if format_ else {}
    return {"id": f"audio_{secrets.token_hex(12)}", "data": data, "transcript": "", **named}


def _choice(index: int, choice: Choice) -> Written:
    written: Written = {
        "index": index,
        "message": _message(choice),
        "logprobs": choice.logprobs,
        "finish_reason": choice.reason,
    }
    if choice.native_reason:
        written["native_finish_reason"] = choice.native_reason
    return written


def _message(choice: Choice) -> Written:
    texts = [part for part in choice.parts if isinstance(part, Text)]
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    images = [part for part in choice.parts if isinstance(part, Media) and part.kind != "audio"]
    thoughts = [part for part in choice.parts if isinstance(part, Thinking)]
    refusal = "".join(part.text for part in choice.parts if isinstance(part, Refusal)) or choice.explanation
    has_other = bool(calls or images or refusal)
    message: Written = {
        "role": "assistant",
        "content": "".join(part.text for part in texts) if texts or not has_other else None,
        "refusal": refusal or None,
    }
    reasoning = "".join(part.text for part in thoughts)
    if reasoning:
        message["reasoning_content"] = reasoning
    blocks = [block_shown(part) for part in thoughts if part.signature or part.redacted]
    if blocks:
        message["thinking_blocks"] = blocks
    annotations = _annotations(texts)
    if annotations:
        message["annotations"] = annotations
    if images:
        message["images"] = [image_shown(image, place) for place, image in enumerate(images)]
    sounds = [part for part in choice.parts if isinstance(part, Media) and part.kind == "audio"]
    if sounds:
        shown = sound_shown(sounds[0], media.joined([sound.data for sound in sounds]))
        message["audio"] = shown | {"expires_at": int(time.time())}  # it cannot be referred to
    if calls:
        message["tool_calls"] = [_call(call) for call in calls]
    return message


def _annotations(texts: list[Text]) -> list[Written]:
    written: list[Written] = []
    offset = 0
    for text in texts:
        for citation in text.citations:
            cited = citation
            if citation.start >= 0:
                moved = {"start": citation.start + offset, "end": max(citation.end, citation.start) + offset}
                cited = msgspec.structs.replace(citation, **moved)
            written.append(annotation_shown(cited, offset, offset + len(text.text)))
        offset += len(text.text)
    return written


def _call(call: ToolCall) -> Written:
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    written: Written = {"id": call.id, "type": "function", "function": function}
    if call.signature and call.signed_by == "gemini_generate":
        written["extra_content"] = proof_shown(call.signature)
    return written
