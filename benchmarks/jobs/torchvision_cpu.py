"""torchvision where its compiled operators do not load beside a CPU build of torch.

Its transforms are Python over torch and Pillow and need none of them; only `import torchvision`
insists that the names exist.
"""

import sys
from functools import cache
from typing import Any

OPERATORS = ("nms", "qnms", "roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool", "deform_conv2d")


@cache
def load() -> Any:
    """Import torchvision, the names of its operators declared where they are missing."""
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

        return torchvision, declared  # the names last as long as this does
    return torchvision, None
