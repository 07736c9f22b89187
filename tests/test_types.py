"""The import hook of ``conftest.py`` really checks shapes and dtypes."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from faceblend.ops.blend import alpha as blend
from faceblend.ops.xray import xray


def test_a_wrong_dtype_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="alpha"):
        xray(np.zeros((4, 4), np.float64))


def test_sizes_that_do_not_match_are_refused() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(TypeCheckError, match="alpha"):
        blend(picture, picture, np.zeros((4, 5), np.float32))
