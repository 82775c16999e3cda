"""A chat request as the gateway decides on it. Content stays raw: it is relayed, not understood, unless a
dialect is crossed."""

import msgspec

BYTES_PER_TOKEN = 4
_TOKENS_PER_IMAGE = 1_000
OUTPUT_TOKENS_MAX = 16_384  # where nobody has said how much a model may put out


class ChatRequest(msgspec.Struct, kw_only=True):
    """The routing fields of a request, and every member of its body as it came.

    `text_bytes` are those of the body that are no picture or file, in `messages` with `images` of those; `media_bytes`
    are of the files that are no pictures. It `is_open` where it names what is not in it, a file or a cache, or has the
    provider look for more. `output_tokens_cap` is what the gateway allows where that is less than the client asked for,
    `output_tokens_bound` what is held for; `output_parameter` is the client's own name for that where its dialect has
    several, `output_member` the provider's where it is sent one that the client did not name. Where an answer has no
    words, `output_tokens_max` is 0. Where the provider is to search, `searches_max` is how often it may, as far as
    that is known.

    `members` holds the body's top-level members verbatim, known and unknown, in the client's order: what is sent
    upstream is built from it, so that what was checked is what is sent. `is_array` asks for a stream as one JSON
    array. `forwarded` is header lines that a provider of the same dialect is to see. `events_sent` counts the events of
    its stream, where its dialect numbers them. `hides_thoughts`: its dialect shows what a model thought to those alone
    who ask, and it did not. `splits_cache`: its usage says what of the prompt came from the cache, and what did not, in
    two members of its own.
    """

    model: str
    members: dict[str, msgspec.Raw]
    stream: bool = False
    include_usage: bool = False
    choices: int = 1
    output_tokens_max: int | None = None
    has_tools: bool = False
    prompt_bytes: int = 0
    text_bytes: int = 0
    messages: int = 0
    images: int = 0
    media_bytes: int = 0
    is_open: bool = False
    searches_max: int = 0
    output_tokens_cap: int | None = None
    output_tokens_bound: int = OUTPUT_TOKENS_MAX
    output_parameter: str = ""
    output_member: str = "max_tokens"
    has_images: bool = False
    has_audio: bool = False
    is_array: bool = False
    forwarded: bytes = b""
    events_sent: int = 0
    hides_thoughts: bool = False
    splits_cache: bool = False

    @property
    def prompt_tokens(self) -> int:
        """What a prompt of this size is in tokens, roughly: a quarter of its bytes, less those of pictures, of which
        each is so many."""
        text_bytes = min(self.prompt_bytes, self.text_bytes)
        return -(-text_bytes // BYTES_PER_TOKEN) + _TOKENS_PER_IMAGE * self.images

    def forget_members(self) -> None:
        """Let go of the body: no further attempt will need it."""
        self.members = {}
