"""Configs that are shipped with the package; ``mmbackbones train`` finds them by name."""
