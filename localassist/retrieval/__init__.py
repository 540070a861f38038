"""Files to passages: parse, chunk, embed, index, search, fuse, rerank, cite."""
