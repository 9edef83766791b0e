"""Importing torchvision when its compiled operators do not load with a CPU build of torch.

Its transforms use torch and Pillow and none of these operators; only `import torchvision` requires
that their names exist.
"""

import sys
from functools import cache
from typing import Any

OPERATORS = ("nms", "qnms", "roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool", "deform_conv2d")


@cache
def load() -> Any:
    """Import torchvision; if its operators are missing, declare their names."""
    import torch

    try:
        import torchvision
    except RuntimeError:  # operator torchvision::nms does not exist
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        declared = torch.library.Library("torchvision", "FRAGMENT")
        for name in OPERATORS:
            declared.define(f"{name}(Tensor x) -> Tensor")
        import torchvision

        return torchvision, declared  # the names exist as long as this object
    return torchvision, None
