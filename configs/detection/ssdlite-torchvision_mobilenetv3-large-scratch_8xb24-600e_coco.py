# For torchvision's ssdlite320_mobilenet_v3_large and what was fine-tuned from it: `mmbackbones convert`
# writes its weights for this config. Tests as torchvision does; the training is that of the others here.
_base_ = ["../_base_/ssdlite_coco.py"]
from mmbackbones.compose.filling import fill

model, optim_wrapper = fill(
    _base_,
    "ssdlite",
    "torchvision:mobilenet_v3_large",
    pretrained=False,
    net_kwargs=dict(reduced_tail=True),
    norm_cfg=dict(type="BN", eps=1e-3, momentum=0.03),
)
model.data_preprocessor.update(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
model.test_cfg.update(nms_pre=10**6, nms_pre_class=300, min_bbox_size=-1)
test_pipeline = _base_.test_pipeline
test_pipeline[0].to_float32 = True  # grey values are not rounded when images are resized
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
