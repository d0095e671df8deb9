"""Instance masks put into the image as torchvision's Mask R-CNN does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image


class TorchvisionMaskHead(FCNMaskHead):
    """mmdet's ``FCNMaskHead`` with torchvision's way from the 28x28 cells of a box to pixels.

    torchvision widens box and mask by a cell, cuts the box's corners to whole pixels and resizes the mask
    to them; mmdet samples the mask at the middle of each pixel.
    """

    def _predict_by_feat_single(
        self,
        mask_preds: Tensor,
        bboxes: Tensor,
        labels: Tensor,
        img_meta: Mapping[str, Any],
        rcnn_test_cfg: Mapping[str, Any],
        rescale: bool = False,
        activate_map: bool = False,
    ) -> Tensor:
        """Masks ``(n, H, W)``, bool, or 0..255 where ``mask_thr_binary`` is negative.

        ``bboxes``, ``(n, 4)``, are brought to the image's own size in place where ``rescale`` asks for
        it, which mmdet's detectors rely on.
        """
        height, width = img_meta["ori_shape" if rescale else "img_shape"][:2]
        if rescale:
            bboxes /= bboxes.new_tensor(img_meta["scale_factor"]).repeat(2)
        masks = mask_preds if activate_map else mask_preds.sigmoid()
        which = torch.zeros_like(labels) if self.class_agnostic else labels
        masks = masks[torch.arange(len(masks), device=masks.device), which, None]
        pasted = paste_masks_in_image(masks, bboxes, (height, width))[:, 0]
        threshold = rcnn_test_cfg["mask_thr_binary"]
        return pasted >= threshold if threshold >= 0 else (pasted * 255).to(torch.uint8)
