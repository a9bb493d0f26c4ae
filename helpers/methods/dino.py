"""DINO: self-distillation with no labels (Caron et al. 2021, arXiv:2104.14294).

A student that sees small crops of an image has to give the output that a teacher gives for large
ones. An output is a distribution over K invented classes; the teacher is a slowly moving copy of
the student. Centering the teacher's output keeps one class from winning everything, a low
temperature keeps the output from becoming uniform: each prevents the collapse that the other one
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
from helpers.methods.recipes import DINORecipe
from helpers.models.encoder import Encoder, build
from helpers.transforms.multicrop import MultiCrop

GLOBAL_CROPS = 2


class DINO(pl.LightningModule):
    """Student encoder and head, teacher encoder and head.

    Args:
        encoder: maps crops of either size to B x D features; the student begins with it, the
            teacher with a copy.
        crops: uint8 batch -> global and local crops.
        recipe: heads, schedules and optimizer.
        frozen_steps: in which the head's last layer stays as it is (the paper: one epoch).
    """

    recorded = "outputs"  # what `helpers.training.graphs` may record

    def __init__(self, encoder: Encoder, crops: MultiCrop, recipe: DINORecipe,
                 frozen_steps: int = 0) -> None:
        super().__init__()
        widths = (encoder.num_features, recipe.hidden_dim, recipe.bottleneck_dim, recipe.output_dim)
        self.student, self.teacher = encoder, copy_of(encoder)
        with warnings.catch_warnings():  # lightly's head uses torch's older weight_norm
            warnings.simplefilter("ignore", FutureWarning)
            self.student_head = DINOProjectionHead(*widths, recipe.batch_norm, frozen_steps)
            self.teacher_head = DINOProjectionHead(*widths, recipe.batch_norm)
        self.teacher_head.load_state_dict(self.student_head.state_dict())
        for slow in (self.teacher, self.teacher_head):
            deactivate_requires_grad(slow)
        self.criterion = DINOLoss(recipe.output_dim, center_momentum=recipe.center_momentum)
        self.crops, self.recipe = crops, recipe
        self.collapse_metrics: dict[str, Tensor] = {}

    @property
    def encoder(self) -> Encoder:
        """What is watched and kept: the teacher, which is better all along (section 5.1)."""
        return self.teacher

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Earlier checkpoints call the teacher `encoder`."""
        state = checkpoint["state_dict"]
        for name in [name for name in state if name.startswith("encoder.")]:
            state[name.replace("encoder", "teacher", 1)] = state.pop(name)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        images, _ = batch
        teacher, student = self.outputs(*self.shown(images))
        return self.loss(teacher.float().chunk(GLOBAL_CROPS),
                         student.float().chunk(GLOBAL_CROPS + self.crops.local_crops))

    def shown(self, images: Tensor) -> tuple[Tensor, ...]:
        """Global and local crops of uint8 images, as `outputs` takes them."""
        return tuple(crops.contiguous(memory_format=torch.channels_last)
                     for crops in self.crops(images))

    def outputs(self, large: Tensor, small: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's for global crops, 2B x K, and the student's for all crops.

        Args:
            large, small: global crops, 2B x C x S x S, and local ones, smaller, image after image
                for each crop. The student's outputs are (2 + local crops) * B x K.
        """
        with torch.no_grad():
            teacher = self.teacher_head(self.teacher(large))
        return teacher, self.student_head(torch.cat([self.student(large), self.student(small)]))

    def loss(self, teacher: tuple[Tensor, ...], student: tuple[Tensor, ...]) -> Tensor:
        """Cross-entropy of every student crop with every other teacher crop (equation 3), mean over
        pairs.

        Args:
            teacher, student: B x K outputs a crop; the teacher's crops are the student's first.
        """
        temperature = self.teacher_temperature(self.global_step)
        with torch.autocast(teacher[0].device.type, enabled=False):
            targets = ((torch.stack(teacher) - self.criterion.center) / temperature).softmax(-1)
            loss = self.criterion(list(teacher), list(student), teacher_temp=temperature)
        self.collapse_metrics = collapse_metrics(targets, loss.detach())
        return loss

    def teacher_temperature(self, step: int) -> float:
        """Linear from the first to the second `temperature`, then constant."""
        low, high = self.recipe.temperature
        rise = max(1.0, self.recipe.temperature_warmup * self.recipe.steps)
        return low + (high - low) * min(1.0, step / rise)

    def target_momentum(self, step: int) -> float:
        """The teacher's momentum at `step`: the recipe's `ema` at first, its `ema_end` at last."""
        steps, ema, end = self.recipe.steps, self.recipe.ema, self.recipe.ema_end
        return float(cosine_schedule(min(step, steps), steps + 1, ema, end))

    def decay(self, step: int) -> float:
        """The weight decay at `step`."""
        # numpy's own floats, which older releases of lightly return, would make a checkpoint
        # unreadable
        steps = self.recipe.steps
        return float(cosine_schedule(min(step, steps - 1), steps, *self.recipe.weight_decay))

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        self.optimizers().param_groups[0]["weight_decay"] = self.decay(self.global_step)

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any,
                                    **__: Any) -> None:
        clip_each(self.parameters(), self.recipe.clip)
        self.student_head.cancel_last_layer_gradients(self.global_step)

    def optimizer_step(self, *args: object, **options: object) -> None:
        super().optimizer_step(*args, **options)
        self.update_teacher(self.target_momentum(self.global_step))

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        """teacher = momentum * teacher + (1 - momentum) * student, all tensors in one call."""
        teacher = [*self.teacher.parameters(), *self.teacher_head.parameters()]
        student = [*self.student.parameters(), *self.student_head.parameters()]
        torch._foreach_lerp_(teacher, student, 1 - momentum)

    def configure_optimizers(self) -> dict:
        groups = parameter_groups((self.student, self.student_head), self.recipe.weight_decay[0],
                                  self.recipe.lr)
        # the fused one hides fp16's scale from clipping, and rounds otherwise on a CPU
        scaled = self._trainer is not None and self.trainer.scaler is not None
        on_gpu = groups[0]["params"][0].device.type == "cuda"
        return optimizer(groups, self.recipe, fused=on_gpu and not scaled)


def copy_of(encoder: Encoder) -> Encoder:
    """Another encoder with the same weights on the same device."""
    twin = build(**encoder.config).to(next(encoder.parameters()).device)
    twin.load_state_dict(encoder.state_dict())
    return twin


@torch.no_grad()
def clip_each(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """Scale each gradient whose own norm is above `limit` down to it, as the paper's code does;
    all tensors in one call."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients))
    shares = (limit / (norms + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(gradients, list(shares.unbind()))


@torch.no_grad()
def collapse_metrics(outputs: Tensor, loss: Tensor) -> dict[str, Tensor]:
    """What tells a collapse (section 5.3, figure 7), in nats.

    Args:
        outputs: the teacher's distributions, crops x B x K.
        loss: the mean cross-entropy of the student with them.

    Returns:
        entropy: mean entropy of an output: ln K when all are uniform, one kind of collapse.
        kl: of the student from the teacher, which is the loss without that entropy; 0 in either
            collapse.
        variety: entropy of the mean output: 0 when one class gets every image, the other kind of
            collapse.
        uniform: ln K, which none of them can exceed.
    """
    def entropy(p: Tensor) -> Tensor:
        return -torch.xlogy(p, p).sum(-1).mean()

    mean = entropy(outputs)
    return {"entropy": mean, "kl": loss - mean, "variety": entropy(outputs.mean((0, 1))),
            "uniform": torch.full_like(mean, math.log(outputs.shape[-1]))}
