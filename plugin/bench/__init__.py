"""What the package costs and saves, measured: ``mmbackbones bench``."""
