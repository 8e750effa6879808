"""A database cluster founded once a test process and copied for each venue: founding takes a third of a first start."""

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from scripts import embedded, privileges


@functools.cache
def template() -> Path:
    """Return a cluster as a first start founds it, which no server has run on."""
    folder = Path(tempfile.mkdtemp(prefix="tidemark-"))
    folder.chmod(0o755)
    embedded.postgres_server(folder, folder)
    made = embedded.postgres_data(folder)
    atexit.register(shutil.rmtree, privileges.postgres_home(folder), ignore_errors=True)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return made


def cluster_give(data_dir: Path) -> None:
    """Lay a cluster into a data folder that has none, as its first start would have done."""
    data_dir.mkdir(parents=True, exist_ok=True)
    data = embedded.postgres_data(data_dir)
    if not data.exists():
        # The same servers as ever run on it: only the account that must own it is looked at again.
        subprocess.run(["cp", "-a", "--reflink=auto", str(template()), str(data)], check=True)
