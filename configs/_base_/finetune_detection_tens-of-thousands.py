# Tens of thousands of images: everything trains, on images changed by RandAugment.
_base_ = ["finetune_detection.py"]
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type="mmbackbones.RandAugment", num_ops=2, magnitude=5),
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
