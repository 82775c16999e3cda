"""Each statement of a reference API, shown on the wire with the client that its document uses."""
