"""`sim:` a simulated culture on an array, with its truth: the same address gives the same samples for ever."""
