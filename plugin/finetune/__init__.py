"""Fine-tuning: what trains, at which learning rate, from when on, and recipes by amount of data."""
