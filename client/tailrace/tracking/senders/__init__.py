"""Senders: each sends lines and artifacts to one kind of back end."""
