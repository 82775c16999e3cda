"""What of OpenAI's chat a compatible host says otherwise, or refuses: data on its row, applied to each body for it."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ..dialects import Rendered
from ..dialects.bodies import Members, members_decoder
from ..dialects.formats import schema_wanted

_CHAT = "/chat/completions"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NO_PARAMETERS = {"type": "object", "properties": {}}

_messages_decoder = msgspec.json.Decoder(list[dict[str, Any]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """`renamed` are members that have another name there, `refused` those that it does not take, `unneeded` those that
    it does not take and does as they say; `roles` are messages' roles that have another name, `message_members` all
    that a message may have (None: anything). `call_id_characters` is how long the ids of tool calls are, of letters and
    digits alone; `thinks_in_content` that what was thought is a part of a message's content; `marks_prefix` that an
    answer which is to be gone on with must say so; `names_parameters` that a tool without parameters is refused;
    `knows_schemas` that an answer can be held to a JSON Schema; `switches_thinking` that no effort is said by
    `thinking`."""

    renamed: Mapping[str, str] | None = None
    refused: frozenset[str] = frozenset()
    unneeded: frozenset[str] = frozenset()
    roles: Mapping[str, str] | None = None
    message_members: frozenset[str] | None = None
    call_id_characters: int | None = None
    thinks_in_content: bool = False
    marks_prefix: bool = False
    names_parameters: bool = False
    switches_thinking: bool = False
    knows_schemas: bool = True

    def adapted(self, path: str, body: bytes) -> Rendered:
        """Provider.adapt: a chat body as the host takes it; those of other operations are left alone."""
        return self.shaped(body) if path.endswith(_CHAT) else Rendered(body)

    def shaped(self, body: bytes) -> Rendered:
        """A chat body for the host."""
        members = members_decoder.decode(body)
        dropped: dict[str, None] = {}
        for name in sorted(self.refused & members.keys()):
            if bytes(members.pop(name)) != b"null":
                dropped[name] = None
        for name in self.unneeded & members.keys():
            del members[name]
        for name, there in (self.renamed or {}).items():
            if name in members:
                members[there] = members.pop(name)
        messages = _messages_decoder.decode(members["messages"])
        for message in messages:
            self._shape_message(message, dropped)
        if self.marks_prefix and messages and messages[-1].get("role") == "assistant":
            messages[-1]["prefix"] = True
        if self.switches_thinking and bytes(members.get("reasoning_effort", b"")) == b'"none"':
            del members["reasoning_effort"]
            members["thinking"] = msgspec.Raw(b'{"type":"disabled"}')
        if not self.knows_schemas:
            self._tell_schema(members, messages)
        members["messages"] = msgspec.Raw(msgspec.json.encode(messages))
        if self.names_parameters and "tools" in members:
            members["tools"] = _with_parameters(members["tools"])
        return Rendered(msgspec.json.encode(members), tuple(dropped))

    def _shape_message(self, message: dict[str, Any], dropped: dict[str, None]) -> None:
        role = message.get("role", "")
        message["role"] = (self.roles or {}).get(role, role)
        thought = message.get("reasoning_content")
        if self.thinks_in_content and thought:
            _think_in_content(message, thought)
            del message["reasoning_content"]
        if self.call_id_characters is not None:
            for call in message.get("tool_calls") or ():
                call["id"] = self._call_id(call.get("id") or "")
            if message.get("tool_call_id"):
                message["tool_call_id"] = self._call_id(message["tool_call_id"])
        if self.message_members is not None:
            for name in sorted(message.keys() - self.message_members):
                if message.pop(name) not in (None, [], ""):
                    dropped[name] = None

    def _call_id(self, call_id: str) -> str:
        """An id as the host takes it, the same each time."""
        if re.fullmatch(f"[0-9A-Za-z]{{{self.call_id_characters}}}", call_id):
            return call_id
        number = int.from_bytes(hashlib.sha256(call_id.encode()).digest())
        digits = ""
        for _ in range(self.call_id_characters or 0):
            number, digit = divmod(number, len(_ALPHABET))
            digits += _ALPHABET[digit]
        return digits

    def _tell_schema(self, members: Members, messages: list[dict[str, Any]]) -> None:
        """A schema in words, beside the form that the host has."""
        wanted = msgspec.json.decode(members.get("response_format", b"null"))
        if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
            return
        schema = (wanted.get("json_schema") or {}).get("schema") or {}
        members["response_format"] = msgspec.Raw(b'{"type":"json_object"}')
        words = schema_wanted(msgspec.json.encode(schema))
        messages.insert(0, {"role": "system", "content": words})


def _think_in_content(message: dict[str, Any], thought: object) -> None:
    content = message.get("content") or []
    said = [{"type": "text", "text": content}] if isinstance(content, str) else content
    message["content"] = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}, *said]


def _with_parameters(tools: msgspec.Raw) -> msgspec.Raw:
    found = msgspec.json.decode(tools) or []
    for tool in found:
        if isinstance(tool.get("function"), dict):
            tool["function"].setdefault("parameters", _NO_PARAMETERS)
    return msgspec.Raw(msgspec.json.encode(found))
