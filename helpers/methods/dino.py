"""DINO: self-distillation with no labels (Caron et al. 2021, arXiv:2104.14294).

A student that sees small parts of an image has to give the answer that a teacher gives for the
whole. An answer is a distribution over K invented classes; the teacher is a slowly moving copy of
the student. Centering the teacher's output keeps one class from winning everything, a low
temperature keeps the answer from becoming uniform: each prevents the collapse that the other one
invites (section 3.1, figure 7).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from lightly.models.utils import deactivate_requires_grad
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn

from helpers.methods.optim import optimizer, parameter_groups
from helpers.methods.recipes import Recipe
from helpers.models.encoder import Encoder, build
from helpers.transforms.multicrop import MultiCrop

GLOBAL_VIEWS = 2
CLIP = 3.0  # largest norm of a tensor's gradient, as in the paper's code


class DINO(pl.LightningModule):
    """Student encoder and head, teacher encoder and head.

    `encoder` is the teacher's: it is the better one all along (section 5.1), so it is watched and
    kept.

    Args:
        encoder: maps views of either size to B x D features; the student begins with it, the
            teacher with a copy.
        crops: uint8 batch -> whole views and views of parts.
        steps: how many steps the whole training has; the schedules end there.
        hidden, bottleneck, outputs: widths of the head (the paper: 2048, 256 and K = 65,536).
        lr, warmup: AdamW's peak rate, share of warming up.
        weight_decay: at the first and at the last step, along a half cosine.
        momentum: of the teacher at the first step; it rises to 1 along a half cosine.
        temperature: the teacher's, at the first step and from the share `temperature_warmup` of the
            training on.
        batch_norm: in the head's hidden layers: for convolutional encoders, which have it anyway;
            not for ViTs.
        frozen: steps for which the head's last layer stays as it is (the paper: one epoch).
    """

    def __init__(self, encoder: Encoder, crops: MultiCrop, *, steps: int, hidden: int = 2048,
                 bottleneck: int = 256, outputs: int = 65_536, lr: float = 5e-4,
                 warmup: float = 0.1, weight_decay: tuple[float, float] = (0.04, 0.4),
                 momentum: float = 0.996, temperature: tuple[float, float] = (0.04, 0.07),
                 temperature_warmup: float = 0.3, frozen: int = 0,
                 batch_norm: bool = False) -> None:
        super().__init__()
        widths = (encoder.num_features, hidden, bottleneck, outputs)
        self.student, self.encoder = encoder, copy_of(encoder)
        with warnings.catch_warnings():  # lightly's head uses torch's older weight_norm
            warnings.simplefilter("ignore", FutureWarning)
            self.student_head = DINOProjectionHead(*widths, batch_norm, frozen)
            self.teacher_head = DINOProjectionHead(*widths, batch_norm)
        self.teacher_head.load_state_dict(self.student_head.state_dict())
        for slow in (self.encoder, self.teacher_head):
            deactivate_requires_grad(slow)
        self.criterion = DINOLoss(outputs)
        self.crops, self.steps = crops, steps
        self.lr, self.warmup, self.weight_decay = lr, warmup, weight_decay
        self.momentum, self.temperature, self.temperature_warmup = momentum, temperature, temperature_warmup
        self.collapse_metrics: dict[str, Tensor] = {}

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        images, _ = batch
        whole, parts = (views.contiguous(memory_format=torch.channels_last)
                        for views in self.crops(images))
        teacher, student = self.answers(whole, parts)
        return self.loss(teacher.float().chunk(GLOBAL_VIEWS),
                         student.float().chunk(GLOBAL_VIEWS + self.crops.parts))

    def answers(self, whole: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
        """What the teacher says of whole views, 2B x K, and the student of all views, (2 + parts)B
        x K."""
        with torch.no_grad():
            teacher = self.teacher_head(self.encoder(whole))
        return teacher, self.student_head(torch.cat([self.student(whole), self.student(parts)]))

    def loss(self, teacher: tuple[Tensor, ...], student: tuple[Tensor, ...]) -> Tensor:
        """Cross-entropy of every student view with every other teacher view (equation 3), mean over
        pairs.

        Args:
            teacher, student: B x K outputs a view; the teacher's views are the student's first.
        """
        temperature = self.teacher_temperature(self.global_step)
        with torch.autocast(teacher[0].device.type, enabled=False):
            answers = ((torch.stack(teacher) - self.criterion.center) / temperature).softmax(-1)
            loss = self.criterion(list(teacher), list(student), teacher_temp=temperature)
        self.collapse_metrics = collapse_metrics(answers, loss.detach())
        return loss

    def teacher_temperature(self, step: int) -> float:
        """Linear from the first to the second `temperature`, then constant."""
        low, high = self.temperature
        return low + (high - low) * min(1.0, step / max(1.0, self.temperature_warmup * self.steps))

    def target_momentum(self, step: int) -> float:
        """The teacher's momentum at `step`: `momentum` at first, 1 at the end of all steps."""
        return float(cosine_schedule(min(step, self.steps), self.steps + 1, self.momentum, 1.0))

    def decay(self, step: int) -> float:
        """The weight decay at `step`."""
        # numpy's own floats, which older releases of lightly return, would make a checkpoint
        # unreadable
        return float(cosine_schedule(min(step, self.steps - 1), self.steps, *self.weight_decay))

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        self.optimizers().param_groups[0]["weight_decay"] = self.decay(self.global_step)

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any,
                                    **__: Any) -> None:
        clip_each(self.parameters(), CLIP)
        self.student_head.cancel_last_layer_gradients(self.global_step)

    def optimizer_step(self, *args: object, **options: object) -> None:
        super().optimizer_step(*args, **options)
        self.update_teacher(self.target_momentum(self.global_step))

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        """teacher = momentum * teacher + (1 - momentum) * student, all tensors in one call."""
        slow, fast = ([p
                       for module in pair
                       for p in module.parameters()]
                      for pair in ((self.encoder, self.teacher_head), (self.student,
                                                                       self.student_head)))
        torch._foreach_lerp_(slow, fast, 1 - momentum)

    def configure_optimizers(self) -> dict:
        groups = parameter_groups((self.student, self.student_head), self.weight_decay[0], self.lr)
        # the fused one hides fp16's scale from clipping
        return optimizer(groups, Recipe(steps=self.steps, warmup=self.warmup), fused=False)


def copy_of(encoder: Encoder) -> Encoder:
    """Another encoder with the same weights on the same device."""
    twin = build(**encoder.config).to(next(encoder.parameters()).device)
    twin.load_state_dict(encoder.state_dict())
    return twin


@torch.no_grad()
def clip_each(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """Scale each gradient whose own norm is above `limit` down to it, tensor by tensor as the
    paper's code does."""
    for parameter in parameters:
        if parameter.grad is not None:
            norm = parameter.grad.norm()
            parameter.grad.mul_((limit / (norm + 1e-6)).clamp(max=1.0))


@torch.no_grad()
def collapse_metrics(answers: Tensor, loss: Tensor) -> dict[str, Tensor]:
    """What tells a collapse (section 5.3, figure 7), in nats.

    Args:
        answers: the teacher's distributions, views x B x K.
        loss: the mean cross-entropy of the student with them.

    Returns:
        entropy: mean entropy of an answer: ln K when all are uniform, one kind of collapse.
        kl: of the student from the teacher, which is the loss without that entropy; 0 in either
            collapse.
        variety: entropy of the mean answer: 0 when one class gets every image, the other kind of
            collapse.
        uniform: ln K, which none of them can exceed.
    """
    def entropy(p: Tensor) -> Tensor:
        return -torch.xlogy(p, p).sum(-1).mean()

    mean = entropy(answers)
    return {"entropy": mean, "kl": loss - mean, "variety": entropy(answers.mean((0, 1))),
            "uniform": torch.full_like(mean, math.log(answers.shape[-1]))}
