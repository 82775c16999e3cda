"""Gemini's usageMetadata as disjoint counters, and back (conformance.md 2.4; Gemini API reference, UsageMetadata)."""

from typing import Any

import msgspec

from ...core.usage import Usage, UsageSource

_TOKENS_MAX = 1_000_000_000


class _Modality(msgspec.Struct, rename="camel"):
    modality: str = ""
    token_count: int = 0


class PlainUsage(msgspec.Struct, rename="camel"):
    """A usageMetadata whose figures are what they should be."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    prompt_tokens_details: list[_Modality] | None = None
    cache_tokens_details: list[_Modality] | None = None
    candidates_tokens_details: list[_Modality] | None = None


_decoder = msgspec.json.Decoder(PlainUsage)


def read_usage(raw: bytes | msgspec.Raw) -> Usage | None:
    """The Usage that an undecoded `usageMetadata` states; None where it states none.

    What was cached is inside the prompt; what tools put into the prompt is beside it. A figure that cannot be true is
    clamped and makes the usage suspect.
    """
    try:
        plain = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Usage(source=UsageSource.PROVIDER, suspect=True) if bytes(raw).lstrip()[:1] == b"{" else None
    prompt = (plain.prompt_token_count or 0) + (plain.tool_use_prompt_token_count or 0)
    cached = plain.cached_content_token_count or 0
    said = plain.candidates_token_count or 0
    reasoning = plain.thoughts_token_count or 0
    if not prompt and not said and not reasoning:
        return None
    audio_input = _of(plain.prompt_tokens_details, "AUDIO") - _of(plain.cache_tokens_details, "AUDIO")
    audio_output = _of(plain.candidates_tokens_details, "AUDIO")
    image_output = _of(plain.candidates_tokens_details, "IMAGE")
    figures = (prompt, cached, said, reasoning, audio_input, audio_output, image_output)
    is_true = min(figures) >= 0 and max(figures) <= _TOKENS_MAX
    if not is_true:
        prompt, cached, said, reasoning, audio_input, audio_output, image_output = (
            min(max(0, figure), _TOKENS_MAX) for figure in figures
        )
    is_true = is_true and cached + audio_input <= prompt and audio_output + image_output <= said
    if not is_true:
        cached = min(cached, prompt)
        audio_input = min(audio_input, prompt - cached)
        audio_output = min(audio_output, said)
        image_output = min(image_output, said - audio_output)
    return Usage(
        input=prompt - cached - audio_input,
        cache_read=cached,
        output=said - audio_output - image_output,
        reasoning=reasoning,
        audio_input=audio_input,
        audio_output=audio_output,
        image_output=image_output,
        source=UsageSource.PROVIDER,
        suspect=not is_true,
    )


def usage_metadata(usage: Usage) -> dict[str, Any]:
    """The `usageMetadata` that states a Usage."""
    said = usage.completion - usage.reasoning
    stated: dict[str, Any] = {"promptTokenCount": usage.prompt, "candidatesTokenCount": said}
    if usage.cache_read:
        stated["cachedContentTokenCount"] = usage.cache_read
    if usage.reasoning:
        stated["thoughtsTokenCount"] = usage.reasoning
    stated["totalTokenCount"] = usage.prompt + usage.completion
    if usage.audio_input:
        stated["promptTokensDetails"] = _details(usage.prompt, {"AUDIO": usage.audio_input})
    if usage.audio_output or usage.image_output:
        shares = {"AUDIO": usage.audio_output, "IMAGE": usage.image_output}
        stated["candidatesTokensDetails"] = _details(said, shares)
    return stated


def _details(whole: int, shares: dict[str, int]) -> list[dict[str, Any]]:
    shares = {"TEXT": whole - sum(shares.values())} | shares
    return [{"modality": name, "tokenCount": tokens} for name, tokens in shares.items() if tokens]


def _of(details: list[_Modality] | None, name: str) -> int:
    tokens = 0
    for each in details or ():
        if each.modality == name:
            tokens += each.token_count
    return tokens
