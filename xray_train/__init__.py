"""xray_train: trainers of face-forgery detectors that learn from faceblend's samples."""
