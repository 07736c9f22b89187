"""Fills a bank from what people have: the only room that reads photographs of any kind.

detect       faces and 68 landmarks behind one protocol
photograph   any picture file as upright RGB, and the square crop around a face
extract      a folder of photographs -> bank, or the classic landmark file
"""
