"""One module per resource: decode, call, encode."""
