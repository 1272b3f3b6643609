"""Whether the object store lets this process at the warehouse, asked before anything is written."""

from __future__ import annotations

from pyarrow import fs
from pyiceberg.io.pyarrow import PyArrowFileIO

from orchestration.settings import Settings
from orchestration.storage import is_s3, pyiceberg_io_properties
from orchestration.storage_errors import no_bucket, storage_error


def require_store(settings: Settings) -> bool:
    """Ask an S3 store for the bucket and the first page of the warehouse.

    Returns False if there is nothing to ask: the store is none of S3, or its keys come from the catalog for each table.

    Raises:
        UnreachableError: the store does not answer.
        NotFoundError: it has no such bucket.
        StorageError: it refused the keys, the region or the access.
    """
    settings = settings.with_secrets()
    if not is_s3(settings) or (settings.s3_endpoint is not None and settings.secret_access_key is None):
        return False
    timeout = f"{settings.http_timeout_s:g}"
    io = PyArrowFileIO(
        pyiceberg_io_properties(settings) | {"s3.connect-timeout": timeout, "s3.request-timeout": timeout}
    )
    scheme, authority, path = PyArrowFileIO.parse_location(settings.warehouse, io.properties)
    store = io.fs_by_scheme(scheme, authority)
    bucket = path.split("/")[0]
    try:
        # Listing first: its answers carry a reason, those to a HEAD of the bucket have no body.
        store.get_file_info(fs.FileSelector(path.rstrip("/"), allow_not_found=True))
        if store.get_file_info(bucket).type is fs.FileType.NotFound:
            raise no_bucket(settings)
    except OSError as error:
        raise storage_error(str(error), settings) from None
    return True
