"""A finished set in the layouts that other programs read.

::

    folder      the classic true/ fake/ mask/ of numbered PNGs
    tar         WebDataset: shards of tar files, read from first to last
    parquet     Hugging Face datasets: tables with the pictures inside, and their card
    job         the pieces still missing, written and listed
"""

from faceblend.export.folder import write_folder_shard
from faceblend.export.job import SetReport, export_set

__all__ = ["SetReport", "export_set", "write_folder_shard"]
