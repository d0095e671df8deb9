"""Heads that mmdet and mmseg lack, registered for ``type='mmbackbones.<name>'``."""
