# Images as torchvision's segmentors see them: the shorter side has 520 px, and shrinking averages.
torchvision_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(2080, 520), keep_ratio=True, backend="pillow"),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
