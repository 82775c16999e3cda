"""A peer that stops reading."""

import asyncio
import socket

from .rig import Peer, Rig

MEGABYTE = 1024 * 1024


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


async def stalling(rig: Rig) -> Peer:
    """A client whose socket takes little, and whose reader stops early."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", rig.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1024)
    return rig.adopt(Peer(reader, writer))
