"""Files as a destination: `type: files`, in a folder, an S3 or GCS bucket, or behind SFTP.

options     what stands in connections.yml
layout      where the files and the manifest of a run stand
encoding    rows as Parquet, CSV or NDJSON
spool       the files of one run on this machine, before any of it is handed over
manifest    what tells a reader that a run is complete
store       what a place is asked for; a file on its way, repeated where that is safe
local, s3, sftp, gcs   one place each, and the only names of its library
connector   the destination
"""

from revetl.destinations.files.connector import Files, connect
from revetl.destinations.files.facts import FACTS
from revetl.destinations.files.options import Options

__all__ = ["FACTS", "Files", "Options", "connect"]
