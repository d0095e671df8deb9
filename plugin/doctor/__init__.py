"""What is installed, and what of it does not fit, with the command that mends it: ``mmbackbones doctor``."""
