"""The client and its handles (Client, Model, Stream), and the session that sends their requests."""
