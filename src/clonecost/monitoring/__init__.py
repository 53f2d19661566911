"""Watch accounts with detectors: benign traffic, calibration, findings, the owner's own log.

Import from the file. Nothing here needs torch.
"""
