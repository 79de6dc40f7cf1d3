"""Pictures for people: everything that needs matplotlib (the extra `plot`)."""
