"""The parsers of retrieval, one module each; loaded only when chosen."""
