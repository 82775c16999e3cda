"""generateContent bodies, read and checked as Google does."""

from typing import Any

import msgspec

from ..checked import Place
from ..faults import Plan
from ..framing import JSON_ARRAY, event_stream
from ..question import EFFORT_TOKENS, Function, Question, Turn, arguments_text, budget_tokens
from ..refused import Refused
from ..traits import Traits, traits_of
from ..wires import Asked, Call, Headers, bearer
from . import history, tables

# No event says the end, so none can be left out; the body's end is it.
EVENTS = event_stream(line=b"\r\n", ping=b": ping\r\n\r\n", without=frozenset({"no_done"}))
_JSON = "application/json"


def authorize(headers: Headers, _query: dict[str, str]) -> tuple[str, str]:
    """The key, in either field; Refused without one."""
    if key := headers.get(b"x-goog-api-key", b"").strip():
        return "x-goog-api-key", key.decode("latin-1")
    if bearer(headers) is None:
        said = "Method doesn't allow unregistered callers (callers without established identity)."
        raise Refused(f"{said} Please use API Key or other form of API consumer identity to call this API.", status=403)
    return "Authorization", headers[b"authorization"].decode("latin-1")


def call(asked: Call, _headers: Headers, query: dict[str, str]) -> Call:
    """How a stream is framed: events if asked for, else one array."""
    return asked._replace(as_events=query.get("alt") == "sse")


def decoded(data: bytes) -> dict[str, Any]:
    """The message in `data`; Refused where it is none."""
    try:
        sent = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("Invalid JSON payload received. Unable to parse.") from None
    if not isinstance(sent, dict):
        raise Refused('Invalid JSON payload received. Unknown name "": Root element must be a message.')
    return sent


def planned(body: dict[str, Any]) -> Plan:
    """The plan in a body; Refused where it is none."""
    try:
        return msgspec.convert(body.get("simulator") or {}, Plan)
    except msgspec.ValidationError as error:
        raise Refused(f"simulator: {error}") from None


def read(data: bytes, call: Call) -> Asked:
    """The request in `data`; Refused where it is none."""
    sent = decoded(data)
    counted = call.operation == "count"
    body = (tables.COUNTED if counted else tables.BODY)(sent, Place((), tables.words))
    body = body.get("generateContentRequest", body)
    if not body.get("contents"):
        raise Place(("contents",), tables.words).refuse("missing")
    traits = traits_of(call.model)
    config = body.get("generationConfig", {})
    _check_thinking(config.get("thinkingConfig", {}), traits)
    _check_form(config, body, traits)
    _check_tools(body)
    history.check(body["contents"], traits)
    framing = EVENTS if call.as_events else JSON_ARRAY
    return Asked(question=_question(body, call), body=body, framing=framing)


def _question(body: dict[str, Any], call: Call) -> Question:
    config = body.get("generationConfig", {})
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    mode, names = calling.get("mode", "AUTO"), calling.get("allowedFunctionNames", [])
    functions = [
        Function(each["name"], each.get("parametersJsonSchema") or _plain(each.get("parameters")))
        for each in _declarations(body)
        if not names or each["name"] in names
    ]
    return Question(
        model=call.model,
        id_start="",
        stream=call.stream,
        turns=tuple(_turns(body)),
        plan=planned(body),
        choices=config.get("candidateCount", 1),
        limit=config.get("maxOutputTokens"),
        stops=tuple(config.get("stopSequences", ())),
        functions=tuple(functions),
        tools="none" if mode == "NONE" else "required" if mode == "ANY" else "auto",
        named=names[0] if mode == "ANY" and len(names) == 1 else None,
        form=_form(config),
        thought_tokens=_thought_tokens(config.get("thinkingConfig", {})),
    )


def _thought_tokens(config: dict[str, Any]) -> int:
    if "thinkingLevel" in config:
        return EFFORT_TOKENS.get(config["thinkingLevel"].lower(), EFFORT_TOKENS["high"])
    budget = config.get("thinkingBudget", -1 if config.get("includeThoughts") else 0)
    return EFFORT_TOKENS["medium"] if budget < 0 else budget_tokens(budget)


def _form(config: dict[str, Any]) -> Any:
    if config.get("responseMimeType") != _JSON:
        return None
    return config.get("responseJsonSchema") or _plain(config.get("responseSchema")) or {}


def _plain(schema: Any) -> Any:
    """A schema of Google's as JSON Schema: types in lower case, null where it may be."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain(member) for name, member in schema.items() if name not in ("type", "properties")}
    if "properties" in schema:
        plain["properties"] = {name: _plain(inner) for name, inner in schema["properties"].items()}
    if "type" in schema:
        plain["type"] = schema["type"].lower()
    return plain


def _declarations(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for tool in body.get("tools", ()) for each in tool.get("functionDeclarations", ())]


def _turns(body: dict[str, Any]) -> list[Turn]:
    """The conversation: results of tools are turns of their own, thoughts are none."""
    turns = []
    if "systemInstruction" in body:
        turns.append(Turn("system", _text(body["systemInstruction"].get("parts", []))))
    for content in body["contents"]:
        parts = content.get("parts", [])
        results = [part["functionResponse"] for part in parts if "functionResponse" in part]
        turns += [Turn("tool", arguments_text(each["response"])) for each in results]
        if len(results) < len(parts):
            role = "assistant" if content.get("role") == "model" else "user"
            calls = [part["functionCall"] for part in parts if "functionCall" in part]
            called = tuple((each["name"], arguments_text(each.get("args", {}))) for each in calls)
            images = sum(_mime(part).startswith("image/") for part in parts)
            turns.append(Turn(role, _text(parts), images, called))
    return turns


def _text(parts: list[dict[str, Any]]) -> str:
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


def _mime(part: dict[str, Any]) -> str:
    return str((part.get("inlineData") or part.get("fileData") or {}).get("mimeType", ""))


def _check_thinking(config: dict[str, Any], traits: Traits) -> None:
    if "thinkingBudget" in config and "thinkingLevel" in config:
        raise Refused("You can only set only one of thinking budget and thinking level.")
    if "thinkingLevel" in config and not traits.level:
        raise Refused("Thinking level is not supported for this model.")


def _check_form(config: dict[str, Any], body: dict[str, Any], traits: Traits) -> None:
    schema = "responseSchema" in config or "responseJsonSchema" in config
    if "responseSchema" in config and "responseJsonSchema" in config:
        raise Refused("response_schema and response_json_schema cannot both be set.")
    if schema and config.get("responseMimeType") not in (_JSON, "text/x.enum"):
        raise Refused("Response schema with response mime type: 'text/plain' is unsupported")
    if config.get("responseMimeType") == _JSON and _declarations(body) and not traits.json_with_tools:
        raise Refused("Function calling with a response mime type: 'application/json' is unsupported")
    if "logprobs" in config and not config.get("responseLogprobs"):
        raise Refused("Logprobs is not null but response_logprobs is false.")


def _check_tools(body: dict[str, Any]) -> None:
    names = []
    for each in _declarations(body):
        names.append(each["name"])
        if "parameters" in each and "parametersJsonSchema" in each:
            raise Refused("parameters and parameters_json_schema cannot both be set.")
        if not history.is_name(each["name"]):
            raise Refused(
                "* GenerateContentRequest.tools[0].function_declarations.name: Invalid function name. Must start with a"
                " letter or an underscore. Must be alphameric, underscores, dots, colons, or dashes.\n"
            )
    if len(set(names)) < len(names):
        raise Refused("Duplicate function declaration found.")
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    allowed, mode = calling.get("allowedFunctionNames", []), calling.get("mode", "AUTO")
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise Refused("allowed_function_names should only be set when the function calling mode is ANY or VALIDATED.")
    if mode in ("ANY", "VALIDATED") and not names:
        raise Refused("Function calling config is set without function_declarations.")
    if any(name not in names for name in allowed):
        raise Refused("allowed_function_names has names that are not in function_declarations.")
