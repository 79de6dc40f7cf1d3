"""Accounts for a session in the words of a paper: facts from its log alone, sentences from the facts alone."""
