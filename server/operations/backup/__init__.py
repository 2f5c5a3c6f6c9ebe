"""Everything that the server keeps, in one file: written while it serves, read into an empty database of either kind.

``container`` is the file's format, ``tables`` what goes into it, ``values`` and ``numbering`` how that differs between
databases, ``making`` and ``restoring`` the two ways, ``files`` how a file comes to be there whole or not at all.
"""
