"""The embedders of retrieval, one module each; loaded only when chosen."""
