"""Shared parts of both demos: a local server, its tokens, the working directory, the screen."""
