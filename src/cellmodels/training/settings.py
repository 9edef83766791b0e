"""The settings of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from cellprep import CellprepError
from cellprep.errors import check_seed, in_range, known_settings, one_of


@dataclass(frozen=True)
class Training:
    """How `fit` trains.

    Parameters
    ----------
    epochs : int
        Epochs of fine-tuning, which trains all layers that `build` did not freeze.
    images : int or None
        Fine-tune on this many images instead of `epochs`; the last epoch ends early. So trainings
        on sets of different sizes take equally many steps.
    transfer_epochs : int
        Epochs before fine-tuning that train only the head, with the whole backbone frozen; 0 for
        direct fine-tuning.
    batch_size : int
    optimizer : "adamw" or "lion"
        Lion [1]_ needs a learning rate three to ten times smaller.
    learning_rate : float
        Highest learning rate of fine-tuning.
    transfer_learning_rate : float
        Highest learning rate while only the head is trained.
    weight_decay : float
        Decoupled weight decay of the optimizer, in addition to the L2 penalty of `build`.
    schedule : "cosine" or "constant"
        The cosine falls to 0 at the end of each phase.
    warmup : float
        Fraction of a phase's steps during which the learning rate rises to its highest, in [0, 1].
    class_weight : "none" or "balanced"
        Balanced: every class has the same weight in the loss, by `cellprep.class_weights`.
    patience : int or None
        Stop after this many epochs of fine-tuning without a lower validation cross-entropy. None:
        never stop early.
    seed : int
        Seed of the order of images, of dropout and of mixing; all are recreated from (seed, epoch).
    mixup : float
        MixUp [2]_: every training image is blended with another one, and so are their labels. The
        share of each is sampled per image from Beta(mixup, mixup); 0.2 is usual, 0 is none.
    cutmix : float
        CutMix [3]_: a box of another image is pasted into every training image, and its label
        counts by area. The area is sampled per image from Beta(cutmix, cutmix); 1.0 is usual, 0 is
        none. With `mixup` too, each image is mixed by one of the two.
    label_smoothing : float
        The fraction of each training label that all classes share equally, in [0, 1).
    head : "trained" or "balanced"
        Balanced: after training, the head is retrained on all classes equally often, with the
        backbone fixed (`cellmodels.training.head`).
    fresh : bool
        Fresh copies every epoch: epoch e trains on ``train.epoch(e)``, counted from 0 through both
        phases.

    References
    ----------
    .. [1] X. Chen et al. Symbolic Discovery of Optimization Algorithms. NeurIPS 2023.
    .. [2] H. Zhang et al. mixup: Beyond Empirical Risk Minimization. ICLR 2018.
    .. [3] S. Yun et al. CutMix. ICCV 2019.

    Examples
    --------
    >>> Training(epochs=3, optimizer="lion").batch_size
    32
    """

    epochs: int = 20
    transfer_epochs: int = 0
    batch_size: int = 32
    optimizer: str = "adamw"
    learning_rate: float = 3e-4
    transfer_learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    warmup: float = 0.1
    class_weight: str = "none"
    patience: int | None = None
    seed: int = 0
    mixup: float = field(default=0.0, metadata={"omit_default": True})
    cutmix: float = field(default=0.0, metadata={"omit_default": True})
    label_smoothing: float = field(default=0.0, metadata={"omit_default": True})
    head: str = field(default="trained", metadata={"omit_default": True})
    fresh: bool = field(default=False, metadata={"omit_default": True})
    images: int | None = field(default=None, metadata={"omit_default": True})

    def __post_init__(self) -> None:
        in_range("epochs", self.epochs, 0, 10**6, whole=True)
        in_range("transfer_epochs", self.transfer_epochs, 0, 10**6, whole=True)
        if not self.total:
            raise CellprepError("`epochs` and `transfer_epochs` are both 0; one must be 1 or more")
        in_range("batch_size", self.batch_size, 1, 2**20, whole=True)
        one_of("optimizer", self.optimizer, ("adamw", "lion"))
        in_range("learning_rate", self.learning_rate, 0, 10)
        in_range("transfer_learning_rate", self.transfer_learning_rate, 0, 10)
        in_range("weight_decay", self.weight_decay, 0, 10)
        one_of("schedule", self.schedule, ("cosine", "constant"))
        in_range("warmup", self.warmup, 0, 1)
        one_of("class_weight", self.class_weight, ("none", "balanced"))
        if self.patience is not None:
            in_range("patience", self.patience, 1, 10**6, whole=True)
        check_seed(self.seed)
        in_range("mixup", self.mixup, 0, 100)
        in_range("cutmix", self.cutmix, 0, 100)
        in_range("label_smoothing", self.label_smoothing, 0, 0.99)
        one_of("head", self.head, ("trained", "balanced"))
        if not isinstance(self.fresh, bool):
            raise CellprepError(f"`fresh` must be true or false, got {self.fresh!r}")
        if self.images is not None:
            in_range("images", self.images, 1, 2**40, whole=True)

    def sized(self, rows: int) -> Training:
        """The same training of a set of this many rows, with the `epochs` that `images` takes."""
        return self if self.images is None else replace(self, epochs=-(-self.images // rows))

    def images_in(self, epoch: int, rows: int) -> int:
        """How many of the rows are trained on in an epoch, counted from 0 through both phases."""
        if self.images is None or epoch < self.total - 1:
            return rows
        return self.images - (self.epochs - 1) * rows

    def steps(self, epochs: range, rows: int) -> int:
        """Batches in these epochs."""
        return sum(-(-self.images_in(epoch, rows) // self.batch_size) for epoch in epochs)

    @property
    def total(self) -> int:
        """Epochs of both phases together."""
        return self.transfer_epochs + self.epochs

    @property
    def soft_labels(self) -> bool:
        """Whether labels are shares of classes instead of one class."""
        return bool(self.mixup or self.cutmix or self.label_smoothing)

    def to_dict(self) -> dict[str, Any]:
        """The saved form, without the defaults of settings that older versions do not have."""
        return {
            each.name: value
            for each in fields(self)
            if (value := getattr(self, each.name)) != each.default
            or not each.metadata.get("omit_default")
        }

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Training:
        """The settings of a dict; an unknown name is refused, with the nearest known one."""
        known_settings("training", settings, [setting.name for setting in fields(cls)])
        return cls(**settings)
