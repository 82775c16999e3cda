"""Service tiers by name: what providers call them, in requests and in answers."""

from collections.abc import Collection

ORDINARY = "default"
NAME_CHARACTERS_MAX = 64

# What serves at the ordinary price. "default": OpenAI (API reference, chat completions, service_tier), Bedrock (API
# reference, ServiceTier); "standard", "standard_only": Anthropic (API reference, service tiers), Gemini too;
# "on_demand": Groq (API reference, service_tier) and Vertex AI (GenerateContentResponse.UsageMetadata, TrafficType).
_ORDINARY = frozenset({ORDINARY, "standard", "standard_only", "on_demand"})
# OpenAI takes "fast" for "priority"; the others are Vertex AI's traffic types.
_MEANT = {"fast": "priority", "on_demand_priority": "priority", "on_demand_flex": "flex"}


def tier_of(name: str, priced: Collection[str]) -> str:
    """Which of the `priced` tiers a name means, or ORDINARY. "" where it says nothing: "auto" leaves it to the
    provider, and what a tier costs that nobody has priced is not known."""
    if len(name) > NAME_CHARACTERS_MAX:
        return ""
    lowered = name.lower()
    for spelling in (name, lowered, _MEANT.get(lowered, "")):
        if spelling and spelling in priced:
            return spelling
    return ORDINARY if lowered in _ORDINARY else ""
