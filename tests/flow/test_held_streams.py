"""What a stream says before its client may be given any of it is held, and not without a bound."""

from faregate.core.call import Call, UsageRecord
from faregate.core.catalog import Target
from faregate.dialects.openai_chat import OpenAIChat
from faregate.flow.health import Health
from faregate.flow.relay import StreamAnswer

CONTENT = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
PIECE = CONTENT % (b"x" * 64_000)


class Upstream:
    """An upstream's response that says whether it is read from."""

    is_read = True
    is_cut = False

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def abort(self) -> None:
        self.is_cut = True


def streamed(body: bytes) -> tuple[Upstream, StreamAnswer]:
    request = OpenAIChat().parse_request(body)
    call = Call(
        id="id",
        caller=None,  # type: ignore[arg-type]
        operation="chat",
        dialect="openai_chat",
        request=request,
        deadline_at=0.0,
        record=UsageRecord(id="id", received_at=0.0),
        snapshot=None,  # type: ignore[arg-type]
    )
    upstream = Upstream()
    transform = OpenAIChat().forward_stream(request, exact=True)
    attempt = Health().begin(Target(provider="p", upstream_model="m"))
    return upstream, StreamAnswer(call, transform, upstream, attempt)  # type: ignore[arg-type]


def test_a_flood_before_the_hold_is_on_the_disk_is_not_read() -> None:
    upstream, answer = streamed(b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}')
    answer.feed(PIECE)
    assert answer.opened.is_set
    assert upstream.is_read
    fed = 1
    while upstream.is_read:
        answer.feed(PIECE)
        fed += 1
        assert fed < 100
    given: list[bytes] = []
    held = answer.attach(given.append)
    assert upstream.is_read
    assert held.count(b"chat.completion.chunk") == fed
    for _ in range(40):  # from here on the client's socket says when it is too much
        answer.feed(PIECE)
    assert upstream.is_read
    assert not upstream.is_cut
    assert b"".join(given).count(b"chat.completion.chunk") == 40
