_base_ = [
    "mmseg::_base_/models/deeplabv3plus_r50-d8.py",
    "mmseg::_base_/datasets/cityscapes.py",
    "mmseg::_base_/default_runtime.py",
    "mmseg::_base_/schedules/schedule_80k.py",
]
from mmbackbones import pair

pretrained = dict(type="Pretrained", checkpoint="torchvision://resnet50")
model = pair("resnet50", neck=None, output_stride=8, norm_cfg=dict(type="SyncBN"), init_cfg=pretrained)
model.update(pretrained=None, data_preprocessor=dict(size=(512, 1024)))
