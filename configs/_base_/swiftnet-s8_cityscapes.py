# The fastest form: the ladder ends at stride 8, as Fast-SCNN and PIDNet do. With a light backbone the step to
# stride 4 takes most of SwiftNet's time.
_base_ = ["swiftnet_cityscapes.py"]
model = dict(
    backbone=dict(out_strides=(8, 16, 32)),
    decode_head=dict(in_channels=[128, 256, 512]),
)
