"""What is changed in a network: padding, pools, windows, dilation, norms, pruning, checkpointing."""
