"""What is wrong with a bank, or with photographs and videos, before it spoils a training.

examine      the job: one call, and what it looks at
finding      what is said, and how it is told
crops        the pixels of a bank's crops
rows         a bank's rows and columns
bankfolder   a bank's files, its refusals, and banks that are not finished
sources      photographs and videos that are no bank yet
lookalike    pictures of the same: a perceptual hash and a search that is no double loop
faceshape    whether 68 points can be a face
"""

from faceblend.doctor.examine import doctor
from faceblend.doctor.finding import Diagnosis, Finding
from faceblend.doctor.lookalike import DISTANCE

__all__ = ["DISTANCE", "Diagnosis", "Finding", "doctor"]
