"""Real processes for tests: the gateway, the simulator, and what they print."""
