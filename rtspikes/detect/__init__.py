"""Detection: from raw samples to crossings and spikes, block by block.

    samples ─▶ kernels: scale · band-pass · noise rows · crossings · peak · snippet ─▶ detector: ids, order, thresholds

Importing this package costs nothing; `rtspikes.detect.detector` compiles or loads the kernels.
"""
