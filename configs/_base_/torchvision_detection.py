# Images as torchvision's detectors see them: grey values are not rounded when images are resized, and sides
# are rounded down.
torchvision_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="FixScaleResize", scale=(1333, 800), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
