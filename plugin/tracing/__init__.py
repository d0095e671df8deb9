"""What a network does, read off a run of it: its maps, stages, layers, blocks and costs."""
