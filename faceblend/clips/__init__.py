"""Blended video: clips of consecutive frames, each blended by one draw."""

from faceblend.clips.blended import Clip, clip, replay_clip

__all__ = ["Clip", "clip", "replay_clip"]
