"""The session log: append-only files of fixed records with a CRC journal; written, read, exported."""
