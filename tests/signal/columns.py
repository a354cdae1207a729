"""Names of the columns of motion that fMRIPrep writes."""

MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
FULL = ["", "_derivative1", "_power2", "_derivative1_power2"]
"""What stands behind each of them."""
