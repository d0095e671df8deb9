"""What is changed in a network: padding, pools, windows, dilation, norms, freezing, pruning, checkpoints."""
