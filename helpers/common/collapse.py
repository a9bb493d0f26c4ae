"""What counts as a collapsed representation, for the watch, the figures and the closing words."""

LOWEST_STD, LOWEST_RANK = 0.1, 2.0  # standard deviation and effective rank below which it has
# batches after which the running statistics of a normalisation stand for the images: 0.9^32 = 3 %
SETTLED = 32
