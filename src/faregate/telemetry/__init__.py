"""What the gateway tells of itself: log lines, metrics. Never content, never a secret."""
