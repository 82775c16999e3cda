"""HTTP/1.1 on uvloop and httptools, both ways. Knows nothing of gateways."""
