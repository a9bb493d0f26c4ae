"""Random views and corruptions, in batches, on the device that the images are on."""

from helpers.common.lazy import offer

__getattr__, __all__ = offer(
    __name__,
    views="CleanView DigitView Noisy PhotoView add_noise normalise view_for",
    corruptions="SEVERITIES corrupt",
    multicrop="MultiCrop multicrop_for",
)
