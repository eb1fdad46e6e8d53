"""Models as repositories on the Hugging Face Hub: one file had from there, a folder brought there.

model.safetensors alone is taken, after its size was asked for, into the Hub's own cache.
huggingface_hub takes a quarter of a second to import: that is done when the Hub is asked.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DataError

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
REPOSITORY = r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*"
COMMIT = r"[0-9a-f]{40}"
# The largest network that a configuration allows has some dozen megabytes.
MOST_BYTES = 1 << 30


def hub_file(
    repository: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Path:
    """The model.safetensors of a repository "owner/name", in the Hub's cache. Of a revision that is
    a whole commit and in the cache the Hub is not asked.

    Args:
        revision, token, cache_dir, force_download, local_files_only: of huggingface_hub.

    Raises:
        DataError: it cannot be had, has no such file, or one that no HDRNet has.
    """
    # What is asked once is not waited for again: the time-outs are long.
    is_commit = revision is not None and re.fullmatch(COMMIT, revision) is not None
    options: dict[str, Any] = {"revision": revision, "token": token, "cache_dir": cache_dir}
    if is_commit and not force_download and not local_files_only:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            there = try_to_load_from_cache(repository, WEIGHTS, cache_dir, revision)
        except HFValidationError:
            there = None  # downloading says it
        if isinstance(there, str):
            return Path(there)
    no_answer = None if local_files_only else _check_size(repository, revision, token)
    return _downloaded(
        repository,
        no_answer,
        **options,
        force_download=force_download,
        local_files_only=local_files_only or no_answer is not None,
    )


def _check_size(name: str, revision: str | None, token: str | bool | None) -> Exception | None:
    """Ask the Hub, before anything is downloaded, whether a repository's model would fill the disk.

    huggingface_hub has no limit to set. The Hub's word is taken for the size: repositories are
    strangers', the Hub is not.

    Returns the error where the Hub does not answer: it need not be waited for again. Raises
    DataError where the model is too large, or nobody says how large.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        url = hf_hub_url(name, WEIGHTS, revision=revision)
        size = get_hf_file_metadata(url, token=token).size
    except (HfHubHTTPError, HFValidationError):
        return None  # an answer: downloading meets it too, and says it or does with the cache
    except Exception as error:  # of the libraries below it
        return error
    if size is None:
        raise DataError(f"{name}: the Hub does not say how large its {WEIGHTS} is")
    if size > MOST_BYTES:
        raise DataError(f"{name}: its {WEIGHTS} has {size:,} bytes, which no HDRNet has")
    return None


def _downloaded(name: str, no_answer: Exception | None, **options: Any) -> Path:
    """The model file of a repository, in the Hub's cache. no_answer: why the Hub cannot be asked.
    Raises DataError."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        return Path(hf_hub_download(name, WEIGHTS, **options))
    except HFValidationError:
        raise DataError(
            f"{name} is neither a folder nor the name of a repository (owner/name)"
        ) from None
    except Exception as error:
        # There is no network, which is something else.
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise DataError(without_weights(name)) from None
        # The client's own errors, those of the libraries below it, the disk's: one line each.
        raise DataError(
            f"{name} cannot be had from the Hub: {_reason(no_answer or error)}"
        ) from None


def without_weights(name: str) -> str:
    """What is wrong with a folder or a repository that has no model.safetensors."""
    return (
        f"{name} has no {WEIGHTS}; other files, pickles like pytorch_model.bin above all, are not "
        "read"
    )


def upload(
    folder: Path,
    repository: str,
    *,
    message: str,
    private: bool | None = None,
    token: str | None = None,
    branch: str | None = None,
    create_pr: bool | None = None,
) -> CommitInfo:
    """Bring a folder's files into a repository, which is made where there is none: one commit,
    whose address the result is (a str), its `oid` the revision. Raises DataError."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    try:
        name = api.create_repo(repository, private=private, exist_ok=True).repo_id
        if private and not api.model_info(name).private:  # of one that is there it changes nothing
            raise DataError(f"{name} is there already, and public: nothing was uploaded")
        return api.upload_folder(
            repo_id=name,
            folder_path=folder,
            commit_message=message,
            revision=branch,
            create_pr=create_pr,
        )
    except DataError:
        raise
    except Exception as error:  # as in `_downloaded`
        status = getattr(getattr(error, "response", None), "status_code", None)
        hint = "; `hf auth login`, or HF_TOKEN, says who you are" if status in (401, 403) else ""
        raise DataError(
            f"{repository} cannot be brought to the Hub: {_reason(error)}{hint}"
        ) from error


def _reason(error: Exception) -> str:
    from .connections import shortened

    return shortened(str(error)) or type(error).__name__
