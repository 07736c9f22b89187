"""``python -m xray_train``, which ``torchrun -m xray_train`` starts on every GPU."""

import sys

from xray_train.cli import main

sys.exit(main())
