"""Whether a conversation is one that Gemini takes: its roles, its calls and results, its signatures."""

import base64
import re
from typing import Any

from ..refused import Refused
from ..signatures import is_genuine
from ..traits import Traits

CALL = "gemini functionCall"
TEXT = "gemini text"

# What stands for a signature that was lost. Source: ai.google.dev, "Thought signatures", FAQ.
# They come as they are, or in base64, as the member's type has it and Google's SDK sends it.
_DUMMY_WORDS = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
_DUMMIES = frozenset({*_DUMMY_WORDS, *(base64.b64encode(words.encode()).decode() for words in _DUMMY_WORDS)})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")

Content = dict[str, Any]


def is_name(name: str) -> bool:
    """Whether it may be a function's name."""
    return _NAME.fullmatch(name) is not None


def check(contents: list[Content], traits: Traits) -> None:
    """Refused where the conversation is none."""
    for position, content in enumerate(contents):
        if content.get("role", "user") not in ("user", "model", "function"):
            raise Refused("Please use a valid role: user, model.")
        if not content.get("parts"):
            raise Refused(f"* GenerateContentRequest.contents[{position}].parts: contents.parts must not be empty.\n")
        _check_signatures(content)
    _check_pairs(_turns(contents))
    if traits.signed_calls:
        _check_signed(contents)


def _named(content: Content, member: str) -> list[dict[str, Any]]:
    return [part[member] for part in content["parts"] if member in part]


def _turns(contents: list[Content]) -> list[Content]:
    """The contents with those of one role that follow each other as one: Google's SDK gives each chunk of a stream back
    as a content of its own (google-genai, chats.py)."""
    turns: list[Content] = []
    for content in contents:
        role = "model" if content.get("role") == "model" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"] = turns[-1]["parts"] + content["parts"]
        else:
            turns.append({"role": role, "parts": content["parts"]})
    return turns


def _check_pairs(contents: list[Content]) -> None:
    before: list[dict[str, Any]] = []
    for position, content in enumerate(contents):
        calls, results = _named(content, "functionCall"), _named(content, "functionResponse")
        if len(results) != len(before) or not _match(before, results):
            raise Refused(
                "Please ensure that the number of function response parts is equal to the number of function call"
                " parts of the function call turn."
            )
        if calls and (content["role"] != "model" or position == 0):
            raise Refused(
                "Please ensure that function call turn comes immediately after a user turn or after a function"
                " response turn."
            )
        before = calls
    if before:
        raise Refused("Please ensure that function response turn comes immediately after a function call turn.")


def _match(calls: list[dict[str, Any]], results: list[dict[str, Any]]) -> bool:
    """Whether the results are those of the calls, by their ids if they have some, else by their names."""
    by = "id" if all("id" in each for each in (*calls, *results)) else "name"
    return sorted(each[by] for each in calls) == sorted(each[by] for each in results)


def _check_signatures(content: Content) -> None:
    for part in content["parts"]:
        proof = part.get("thoughtSignature")
        if proof is None or proof in _DUMMIES:
            continue
        subject = (CALL, part["functionCall"]["name"]) if "functionCall" in part else (TEXT,)
        if not is_genuine(proof, *subject):
            raise Refused("Thought signature is not valid.")


def _check_signed(contents: list[Content]) -> None:
    """In the turn that is under way the first call of each step has its signature."""
    said = [at for at, content in enumerate(contents) if content.get("role", "user") == "user" and _speaks(content)]
    for position, content in enumerate(contents[said[-1] :] if said else contents, said[-1] if said else 0):
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if first is not None and "thoughtSignature" not in first:
            name = first["functionCall"]["name"]
            raise Refused(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to work"
                " correctly, and missing thought_signature may lead to degraded model performance. Additional data,"
                f" function call `default_api:{name}` , position {position + 1}."
            )


def _speaks(content: Content) -> bool:
    return not _named(content, "functionResponse")
