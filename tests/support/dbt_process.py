"""How a test starts dbt itself: the one that is installed beside these tests, as a process of its own."""

from __future__ import annotations

import sys

# As revetl starts it. dbt's import makes 200,000 objects that all stay. To walk through them again and again, as the
# garbage collector of a plain `dbt` does, takes a fifth of the time in which a project is parsed.
DBT = [sys.executable, "-c", "import gc; gc.disable(); from dbt.cli.main import cli; gc.freeze(); gc.enable(); cli()"]
