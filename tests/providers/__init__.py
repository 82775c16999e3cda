"""Providers that are more than a row: their paths, their credentials, what is odd about their wires."""
