"""A model server that answers as it was told, over real HTTP."""
