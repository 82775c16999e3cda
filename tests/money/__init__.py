"""Money from end to end: real processes, real sockets, a real disk."""
