"""Probabilities of what was said: Gemini's `logprobsResult`, and OpenAI's `logprobs`."""

from typing import Any

import msgspec


class _Candidate(msgspec.Struct, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Others(msgspec.Struct):
    candidates: list[_Candidate] = []


class _Result(msgspec.Struct, rename="camel"):
    chosen_candidates: list[_Candidate] = []
    top_candidates: list[_Others] = []


class _Token(msgspec.Struct):
    token: str = ""
    logprob: float = 0.0
    top_logprobs: list["_Token"] = []


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


_result_decoder = msgspec.json.Decoder(_Result)
_logprobs_decoder = msgspec.json.Decoder(_Logprobs)


def openai_logprobs(raw: msgspec.Raw) -> msgspec.Raw | None:
    """OpenAI's `logprobs` for a `logprobsResult`; None where there are none."""
    try:
        result = _result_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    content: list[dict[str, Any]] = []
    for index, chosen in enumerate(result.chosen_candidates):
        others = result.top_candidates[index].candidates if index < len(result.top_candidates) else []
        content.append(_token(chosen) | {"top_logprobs": [_token(other) for other in others]})
    return msgspec.Raw(msgspec.json.encode({"content": content, "refusal": None})) if content else None


def logprobs_result(raw: msgspec.Raw) -> dict[str, Any] | None:
    """The `logprobsResult` for OpenAI's `logprobs`; None where it has none."""
    try:
        tokens = _logprobs_decoder.decode(raw).content or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not tokens:
        return None
    return {
        "topCandidates": [{"candidates": [_candidate(other) for other in token.top_logprobs]} for token in tokens],
        "chosenCandidates": [_candidate(token) for token in tokens],
    }


def _token(given: _Candidate) -> dict[str, Any]:
    return {"token": given.token, "logprob": given.log_probability, "bytes": list(given.token.encode())}


def _candidate(given: _Token) -> dict[str, Any]:
    return {"token": given.token, "logProbability": given.logprob}
