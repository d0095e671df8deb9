"""Networks that neither timm nor torchvision ships, one architecture per file."""
