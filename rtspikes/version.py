"""The version, in one place for the package, the wire and the log."""

__version__ = "0.1.0"
