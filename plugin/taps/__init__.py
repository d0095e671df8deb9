"""Where maps are read: a plain transformer's pyramid, nets of one image size, inputs of modules."""
