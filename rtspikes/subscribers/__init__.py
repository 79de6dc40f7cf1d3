"""Subscribers: programs of their own that receive what the engine publishes."""
