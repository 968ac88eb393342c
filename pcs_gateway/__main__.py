"""`python -m pcs_gateway` is `pcs-gateway`."""

import sys

from pcs_gateway.cli.main import main

sys.exit(main())
