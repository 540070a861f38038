"""The migrations, in order: `vNNNN_what_it_does.py`, where NNNN is also the revision."""
