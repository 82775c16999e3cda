"""What the tests can ask of the synchronous client."""

import functools
import json
from typing import Any

import openai
from clients import TOOLS, arguments_of, events_done, note_try, options_of, plain, with_environment

MESSAGES_MAX = 8


@functools.cache
def _cached(options: str) -> openai.OpenAI:
    return openai.OpenAI(**json.loads(options))


def client(request: dict[str, Any]) -> openai.OpenAI:
    """The client that a request wants; the same for the same wishes."""
    if "environment" in request:
        return with_environment(request, openai.OpenAI)
    return _cached(json.dumps(options_of(request)))


def create(request: dict[str, Any], report: dict[str, Any]) -> None:
    """A whole answer."""
    completion = client(request).chat.completions.create(**arguments_of(request))
    report["answer"] = plain(completion)
    report["request_id"] = completion._request_id


def raw(request: dict[str, Any], report: dict[str, Any]) -> None:
    """A whole answer with its headers, and the tries it took."""
    hooks = {"request": [lambda sent: note_try(report, sent.headers)]}
    with (
        openai.DefaultHttpxClient(event_hooks=hooks) as http,
        openai.OpenAI(**options_of(request), http_client=http) as one,
    ):
        response = one.chat.completions.with_raw_response.create(**arguments_of(request))
    report["headers"] = dict(response.headers)
    report["answer"] = plain(response.parse())
    report["request_id"] = response.request_id


def collect(request: dict[str, Any], report: dict[str, Any]) -> None:
    """A stream's chunks; `take` of them where not all."""
    chunks = report["chunks"] = []
    stream = client(request).chat.completions.create(**arguments_of(request), stream=True)
    report["request_id"] = stream.response.headers["x-request-id"]
    for chunk in stream:
        chunks.append(plain(chunk))
        if len(chunks) == request.get("take"):
            break
    stream.close()


def accumulate(request: dict[str, Any], report: dict[str, Any]) -> None:
    """The answer that the streaming helper makes of a stream's chunks; `take` of its events where not all."""
    with client(request).chat.completions.stream(**arguments_of(request)) as stream:
        for count, event in enumerate(stream, 1):
            events_done(event, report)
            if count == request.get("take"):
                return
        report["answer"] = plain(stream.get_final_completion())


def parse(request: dict[str, Any], report: dict[str, Any]) -> None:
    """Structured output."""
    completion = client(request).chat.completions.parse(**arguments_of(request))
    report["answer"] = plain(completion)
    if request.get("wants_invoice"):
        report["parsed_class"] = type(completion.choices[0].message.parsed).__name__


def run_tools(request: dict[str, Any], report: dict[str, Any]) -> None:
    """Call the tools that the model asks for until it asks no more: Python's SDK has no runner, so by hand."""
    arguments = arguments_of(request)
    messages = list(arguments.pop("messages"))
    completions = client(request).chat.completions
    called = report["called"] = []
    while len(messages) < MESSAGES_MAX:
        if request["params"].get("stream"):
            arguments.pop("stream", None)
            with completions.stream(**arguments, messages=messages) as stream:
                message = stream.get_final_completion().choices[0].message
        else:
            message = completions.create(**arguments, messages=messages).choices[0].message
        if not message.tool_calls:
            break
        messages.append(message.to_dict(mode="json"))
        for call in message.tool_calls:
            given = json.loads(call.function.arguments)
            called.append([call.function.name, given])
            result = TOOLS[call.function.name](**given)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    report["final"] = message.content
    report["roles"] = [each["role"] for each in messages]


def complete(request: dict[str, Any], report: dict[str, Any]) -> None:
    """A legacy completion, whole or streamed."""
    answer = client(request).completions.create(**arguments_of(request))
    if request["params"].get("stream"):
        report["chunks"] = [plain(chunk) for chunk in answer]
    else:
        report["answer"] = plain(answer)


def list_models(request: dict[str, Any], report: dict[str, Any]) -> None:
    """All models."""
    report["models"] = [plain(model) for model in client(request).models.list()]


def retrieve_model(request: dict[str, Any], report: dict[str, Any]) -> None:
    """One model."""
    report["model"] = plain(client(request).models.retrieve(request["id"]))


def get(request: dict[str, Any], report: dict[str, Any]) -> None:
    """Any path, by the SDK's own low-level call."""
    report["answer"] = client(request).get(request["path"], cast_to=object)


def name_models(request: dict[str, Any], report: dict[str, Any]) -> None:
    """For each of `models`: its name in a whole answer, in a stream's chunks and in the list; or what went wrong."""
    one = client(request)
    named = report["named"] = {}
    for model in request["models"]:
        arguments = {**arguments_of(request), "model": model}
        try:
            whole = one.chat.completions.create(**arguments).model
            streamed = {chunk.model for chunk in one.chat.completions.create(**arguments, stream=True)}
            named[model] = [whole, *streamed, one.models.retrieve(model).id]
        except openai.OpenAIError as error:
            named[model] = [str(error)]


OPERATIONS = {
    "create": create,
    "raw": raw,
    "collect": collect,
    "accumulate": accumulate,
    "parse": parse,
    "run_tools": run_tools,
    "complete": complete,
    "list_models": list_models,
    "retrieve_model": retrieve_model,
    "get": get,
    "name_models": name_models,
}
