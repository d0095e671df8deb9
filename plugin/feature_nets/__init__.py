"""From a name to a feature net: opened once, changed by a list of steps, traced once."""
