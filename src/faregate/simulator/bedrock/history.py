"""Whether a conversation is one that Converse takes: its order, its calls and results, its signed thoughts. Messages
are the service's own, where they are known."""

from typing import Any

from ..anthropic.history import REDACTED, THOUGHT  # Claude signs the same at all its providers
from ..refused import Refused
from ..signatures import is_genuine
from ..traits import Traits

CACHE_POINTS_MAX = 4
Block = dict[str, Any]


def check(body: dict[str, Any], traits: Traits) -> None:
    """Refused where the conversation in `body` is none."""
    messages = body["messages"]
    if not messages or messages[0]["role"] != "user":
        raise Refused("A conversation must start with a user message. Try again with a conversation that starts so.")
    for at, message in enumerate(messages):
        if at and message["role"] == messages[at - 1]["role"]:
            raise Refused("A conversation must alternate between user and assistant roles. Make sure it does.")
        if not message["content"]:
            raise Refused(f"The content field in the Message object at messages.{at} is empty.")
        for place, block in enumerate(message["content"]):
            _check_block(block, message["role"], f"messages.{at}.content.{place}")
        _check_documents(message)
    last = messages[-1]
    if last["role"] == "assistant" and not traits.prefill:
        raise Refused("This model does not support assistant message prefill. The conversation must end with the user.")
    _check_pairs(messages, body)
    _check_names(messages)
    _check_cache_points(body)
    if body.get("additionalModelRequestFields", {}).get("thinking", {}).get("type") == "enabled":
        _check_thought_first(messages)


def _check_block(block: Block, role: str, place: str) -> None:
    (kind,) = block
    value = block[kind]
    if kind == "text" and not value.strip():
        raise Refused(
            f"The text field in the ContentBlock object at {place} is blank. Add text to the text field, and try again."
        )
    if kind in ("toolUse", "reasoningContent") and role != "assistant":
        raise Refused(f"The {kind} block at {place} can only be in a message of the assistant.")
    if kind in ("toolResult", "image", "document", "video", "audio") and role != "user":
        raise Refused(f"The {kind} block at {place} can only be in a message of the user.")
    if kind == "toolResult" and value.get("status") == "error" and not value["content"]:
        raise Refused(f"The content field at {place}.toolResult cannot be empty when status value is error.")
    if kind == "reasoningContent":
        thought = value.get("reasoningText", {})
        is_own = is_genuine(thought.get("signature"), THOUGHT, thought.get("text"))
        if not (is_own or is_genuine(value.get("redactedContent"), REDACTED)):
            raise Refused(f"The model returned the following errors: {place}: Invalid `signature` in `thinking` block")


def _check_documents(message: Block) -> None:
    kinds = {kind for block in message["content"] for kind in block}
    if "document" in kinds and "text" not in kinds:
        raise Refused("Add text to the ContentBlock object: a document needs a text block beside it.")


def _check_names(messages: list[Block]) -> None:
    names = [
        inner["document"]["name"]
        for message in messages
        for block in message["content"]
        for inner in (block, *block.get("toolResult", {}).get("content", ()))
        if "document" in inner
    ]
    if len(set(names)) < len(names):
        raise Refused("Messages can't contain duplicate document names. Rename the document and retry your request.")


def _check_pairs(messages: list[Block], body: dict[str, Any]) -> None:
    """Each call has its result in the next message, each result its call in the one before."""
    called: list[str] = []
    was_any = False
    for at, message in enumerate(messages):
        results = [block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block]
        if message["role"] == "user" and len(results) > len(called):
            raise Refused(
                f"The number of toolResult blocks at messages.{at}.content exceeds the number of toolUse blocks of"
                " previous turn."
            )
        missing = [name for name in called if name not in results]
        if message["role"] == "user" and (missing or set(results) != set(called)):
            raise Refused(
                f"Expected toolResult blocks at messages.{at}.content for the following Ids: {', '.join(called)}, but"
                f" found: {', '.join(results)}"
            )
        called = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
        was_any = was_any or bool(called)
        if len(set(called)) < len(called):
            raise Refused(f"The toolUse blocks at messages.{at}.content contain duplicate Ids.")
    if called:
        raise Refused(f"The toolUse blocks of the last message have no toolResult: {', '.join(called)}")
    if was_any and "toolConfig" not in body:
        raise Refused("The toolConfig field must be defined when using toolUse and toolResult content blocks.")


def _check_cache_points(body: dict[str, Any]) -> None:
    lists = [body.get("system", []), body.get("toolConfig", {}).get("tools", [])]
    lists += [message["content"] for message in body["messages"]]
    if sum("cachePoint" in block for blocks in lists for block in blocks) > CACHE_POINTS_MAX:
        raise Refused("You can have at most 4 cache points in a request.")
    if any(blocks and "cachePoint" in blocks[0] for blocks in lists):
        raise Refused("A cachePoint must follow what is to be kept.")


def _check_thought_first(messages: list[Block]) -> None:
    """Source: Anthropic, "Extended thinking", "Preserving thinking blocks": the turn that is under way."""
    if len(messages) < 2 or not any("toolResult" in block for block in messages[-1]["content"]):
        return
    if "reasoningContent" not in messages[-2]["content"][0]:
        raise Refused(
            f"The model returned the following errors: messages.{len(messages) - 2}.content.0.type: Expected `thinking`"
            " or `redacted_thinking`. When `thinking` is enabled, a final `assistant` message must start with one."
        )
