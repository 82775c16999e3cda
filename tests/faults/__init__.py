"""The fault catalogue's rows that can be had today, against the real process over real sockets."""
