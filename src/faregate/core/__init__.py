"""The vocabulary. Imports nothing of ours, does no I/O."""
