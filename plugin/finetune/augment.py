"""RandAugment for detection and segmentation pipelines."""
