"""What training changes at random in a sample, and validation never: one file a way.

jitter   colours, size and place, of a blend and its X-ray alike
frames   what icpr2020dfdc changes in a face that is looked at alone
videos   what kaggle-dfdc changes in frames of videos, stronger
"""
