"""Notifications: events that people are told by e-mail and by signed webhooks, from an outbox in the database."""
