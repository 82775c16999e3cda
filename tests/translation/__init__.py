"""Clients of each dialect, providers of each dialect, and a real gateway between them: what each side sees."""
