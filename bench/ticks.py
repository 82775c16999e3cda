"""A periodic kernel timer as a file descriptor, for epoll loops that need better than a millisecond.

`epoll_wait` takes whole milliseconds; a timerfd takes nanoseconds and costs one read per expiry.
"""

import ctypes
import errno
import os

CLOCK_MONOTONIC = 1
TFD_NONBLOCK = os.O_NONBLOCK
EXPIRIES_BYTES = 8
NS_PER_S = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _Itimerspec(ctypes.Structure):
    _fields_ = [("interval", _Timespec), ("first", _Timespec)]


def open_ticks(interval_ns: int) -> int:
    """Return a descriptor that becomes readable every `interval_ns` nanoseconds."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create failed")
    every = _Timespec(interval_ns // NS_PER_S, interval_ns % NS_PER_S)
    setting = _Itimerspec(every, every)
    if libc.timerfd_settime(descriptor, 0, ctypes.byref(setting), None) != 0:
        raise OSError(ctypes.get_errno(), "timerfd_settime failed")
    return int(descriptor)


def take_expiries(descriptor: int) -> int:
    """Return how many ticks passed since the last call (0 where none did)."""
    try:
        return int.from_bytes(os.read(descriptor, EXPIRIES_BYTES), "little")
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return 0
        raise
