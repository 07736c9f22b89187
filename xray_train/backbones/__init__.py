"""Networks that timm has not.

attention  an EfficientNet that learns where to look
identity   IR-18, a small one for digits, dlib's descriptor
"""
