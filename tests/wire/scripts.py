"""What upstreams do, for tests of the calling side."""

import asyncio
from collections.abc import Awaitable, Callable

from .rig import Peer, read_request

Script = Callable[[Peer], Awaitable[None]]


def answer(body: bytes = b"", *fields: str, status: int = 200) -> bytes:
    lines = "".join(f"{line}\r\n" for line in fields)
    return f"HTTP/1.1 {status} So\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body


def saying(*answers: bytes, then_close: bool = False) -> Script:
    """Answers a request with each, then waits for the end."""

    async def script(peer: Peer) -> None:
        for data in answers:
            await read_request(peer)
            await peer.send(data)
        if not then_close:
            await peer.ended()

    return script


async def echo(peer: Peer) -> None:
    while True:
        head, body = await read_request(peer)
        await peer.send(answer(body or head.split(b" ")[1]))


async def mute(peer: Peer) -> None:
    await peer.ended()


async def drip(peer: Peer) -> None:
    await read_request(peer)
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await peer.send(b"1\r\n.\r\n")
        await asyncio.sleep(0.02)


async def head_only(peer: Peer) -> None:
    await read_request(peer)
    await peer.send(answer(b"12345")[:-3])
    await peer.ended()


async def drip_head(peer: Peer) -> None:
    await read_request(peer)
    await peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await peer.send(b"x-more: 1\r\n")
        await asyncio.sleep(0.02)


async def interim_for_ever(peer: Peer) -> None:
    await read_request(peer)
    while True:
        await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.02)
