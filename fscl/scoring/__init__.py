"""How good are the scores? Pure functions of scores and labels: no files, no torch.

`metrics` (the figures of an evaluation), `calibration`, `thresholds`, `statistics` (over seeds).
"""
