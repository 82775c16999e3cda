"""The bench: what the gateway costs, beside the direct upstream, nginx and any peer, in one run."""
