"""xray_train: trainers of face-forgery detectors that learn from faceblend's samples.

schedule     learning rate and fixed parts, functions of the step
aggregate    the scores of a video's frames to one
metrics      AUC, AP, EER, intervals, X-ray pixels: numbers in, numbers out
checkpoint   a run's whole state, written whole, read without running code
backbones/   networks that timm has not
mixing       mixup and CutMix of a batch
margins      what a margin does to cosines
tasks/       one file a system: network, objective
photometric  changes of a picture's values, by given amounts
augment/     what training changes at random in a sample: one file a way
sources/     one file a kind of data: samples by number
data         which items a step takes, of a mix of sources
evaluate     a network on a source
scores       what a network said of every item, as tables
look         sheets of predictions, curves of runs
settings     what a run is asked for
journal      what a run tells while it goes
loop         the one training loop
rebuild      the network of a checkpoint
verification pairs of faces by ten folds
subjects     who is who in a bank, and who crosses splits
ring         embeddings of digits, drawn
predict      files and banks -> tables and overlays
listing      a list of pictures -> its scores, in its order
submission   videos -> one probability each, of several networks
degradations what a picture goes through on its way, by given strengths
robustness   AUC against those
cross        every checkpoint on every set
export       ONNX and TorchScript, at parity
demo         from photographs to a tested detector on two CPU cores
commands/    ``xray-train ...``; cli: its entry
"""
