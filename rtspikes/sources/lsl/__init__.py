"""The `lsl:` source: a stream of the Lab Streaming Layer, kept up with, timed and checked for losses."""
