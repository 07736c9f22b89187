"""Fills a bank from what people have: the only room that reads pictures and videos of any kind.

layouts         how the published datasets lay out their videos; index: a tree -> their table
photograph      any picture file as upright RGB, and which files of a folder are pictures
video           frames out of videos, exact by number
detect          faces and 68 landmarks behind one protocol; pyramid: where its boxes come from
track           faces through a video: detection now and then, a look around each in between
people          who is who in a video
crop            the square around a face
group           which photographs make a "video"
look            a photograph looked at: its usable faces, or why it has none
plan            what an extraction is to do: settings, and tasks out of a folder or a table
cut             one video into the bank; checkpoint: what it leaves when it is done
extract         photographs, videos, a table of videos -> bank
landmarks       the classic landmark file of pictures as they are
deepfakebench   a DeepfakeBench tree, read in place; rearranged: its dataset JSON
"""
