"""`python -m dreamerv2_tf` is the command `dreamerv2`."""

import sys

from .cli import main

if __name__ == '__main__':
  sys.exit(main())
