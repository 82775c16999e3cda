"""Money: double entry, and what is proved of it. Amounts are nano-USD."""
