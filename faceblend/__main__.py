"""``python -m faceblend``: the command where scripts are not on the path."""

import sys

from faceblend.cli import main

sys.exit(main())
