"""Blended video: clips of consecutive frames, each blended by one draw."""

from faceblend.clips.blended import Clip, clip, replay_clip
from faceblend.clips.job import ClipsReport, write_clips

__all__ = ["Clip", "ClipsReport", "clip", "replay_clip", "write_clips"]
