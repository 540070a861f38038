"""What is kept: objects of the API as rows, the queue of work in the same rows, and the bytes of files beside them.

database  one SQLite file or one PostgreSQL database; transactions, and the schema's version
schema    the tables, once, for both
pages     cursor pages
blobs     file contents, addressed by their SHA-256
jobs      claim, renew, release: the queue is the rows themselves

The other modules are functions, one module for each kind of object. They take a connection first and run inside
`Database.read` or `Database.write`, so several of them make one transaction.
"""
