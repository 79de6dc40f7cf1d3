"""The methods of detection, each written by hand in SciPy in the plainest way of the field, offline, on whole files.

They are what ours is measured against, at their best: of a few filters and settings that are tried on a recording, the
one counts whose F1 on that very recording is best. Who has a recording without truth cannot choose so.
"""
