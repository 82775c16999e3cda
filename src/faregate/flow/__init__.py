"""What happens to one call; one file per step, in the order of exchange.run()."""
