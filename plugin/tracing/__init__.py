"""What a network does, read off a run on the meta device: its maps, stages, layers, blocks and costs."""
