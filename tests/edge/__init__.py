"""What the gateway's edge promises (contract.md), against the real process over real sockets."""
