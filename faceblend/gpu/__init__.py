"""Blending on the GPU: batches of the samples that ``faceblend.sample`` makes, made by torch.

``BatchBlend`` draws on the CPU and renders on a device: ``plan`` (what was drawn), ``render`` (the
steps), ``matrices`` (resizes), ``masks``, ``colors``, ``pixels`` and ``jpeg``.
"""

from faceblend.gpu.batch import BatchBlend, GpuBatch
from faceblend.gpu.plan import GpuPlan

__all__ = ["BatchBlend", "GpuBatch", "GpuPlan"]
