"""Backbones outside OpenMMLab: for torchvision's detectors, for segmentation_models_pytorch's decoders."""
