"""The body of a request, decoded: the fields that a Conversation has a place for; the others are kept as they came."""

from typing import Annotated

import msgspec

from ..bodies import TOOLS_MAX

MESSAGES_MAX = 10_000
PARTS_MAX = 10_000
CHOICES_MAX = 8

ABSENT = msgspec.Raw(b"null")
_Tokens = Annotated[int, msgspec.Meta(ge=1, le=2**31)]


class _Camel(msgspec.Struct, rename="camel"):
    pass


class Blob(_Camel):
    """Bytes in base64, standard or URL-safe."""

    data: str
    mime_type: str = ""
    display_name: str | None = None


class File(_Camel):
    """Bytes elsewhere."""

    file_uri: str
    mime_type: str = ""
    display_name: str | None = None


class FunctionCall(_Camel):
    """A model's call of a function."""

    name: str
    id: str | None = None
    args: dict[str, msgspec.Raw] | None = None


class ResponsePart(_Camel):
    """A picture or file that a function gave back."""

    inline_data: Blob | None = None
    file_data: File | None = None


class FunctionResponse(_Camel):
    """What a function gave back."""

    name: str
    id: str | None = None
    response: dict[str, msgspec.Raw] | None = None
    parts: list[ResponsePart] | None = None


class Part(_Camel):
    """One part, its kind told by the member that is there."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: File | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None


class Content(_Camel):
    """A turn. Its parts are decoded one by one, so that what is not known of them is kept."""

    role: str | None = None
    parts: list[msgspec.Raw] | None = None


class Declaration(_Camel):
    """A function that may be called."""

    name: str
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    parameters_json_schema: msgspec.Raw = ABSENT


class CallingConfig(_Camel):
    """Whether functions are to be called, and which."""

    mode: str | None = None
    allowed_function_names: list[str] | None = None


class ToolConfig(_Camel):
    """How tools are to be used."""

    function_calling_config: CallingConfig | None = None


class ThinkingConfig(_Camel):
    """How much is to be thought."""

    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class GenerationConfig(_Camel):
    """How an answer is made."""

    stop_sequences: list[str] | None = None
    response_mime_type: str | None = None
    response_schema: msgspec.Raw = ABSENT
    response_json_schema: msgspec.Raw = ABSENT
    internal_json_schema: msgspec.Raw = msgspec.field(default=ABSENT, name="_responseJsonSchema")  # its name at first
    candidate_count: Annotated[int, msgspec.Meta(ge=1, le=CHOICES_MAX)] | None = None
    max_output_tokens: _Tokens | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    thinking_config: ThinkingConfig | None = None


class Body(_Camel):
    """A whole body."""

    contents: Annotated[list[Content], msgspec.Meta(min_length=1, max_length=MESSAGES_MAX)]
    system_instruction: Content | str | None = None
    tools: Annotated[list[dict[str, msgspec.Raw]], msgspec.Meta(max_length=TOOLS_MAX)] | None = None
    tool_config: ToolConfig | None = None
    generation_config: GenerationConfig | None = None


def given(raw: msgspec.Raw) -> msgspec.Raw | None:
    """What was given; None where it was not, or is null."""
    return None if bytes(raw) == b"null" else raw


def names_of(struct: type[msgspec.Struct]) -> frozenset[str]:
    """What the fields of a struct are called on the wire."""
    return frozenset(struct.__struct_encode_fields__)


body_decoder = msgspec.json.Decoder(Body)
part_decoder = msgspec.json.Decoder(Part)
declarations_decoder = msgspec.json.Decoder(Annotated[list[Declaration], msgspec.Meta(max_length=TOOLS_MAX)])
