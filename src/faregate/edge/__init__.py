"""The data plane's door: HTTP <-> calls."""
