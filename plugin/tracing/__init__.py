"""What a network does, read off a run of it: its maps, stages, layers, blocks, what freezes, and costs."""
