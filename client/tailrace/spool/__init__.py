"""The spool: a directory that keeps observations on disk until the server accepts them."""
