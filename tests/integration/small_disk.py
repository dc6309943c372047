"""A disk that is small, and one that others fill up while a model comes."""
import contextlib
import os
import pathlib
import subprocess


@contextlib.contextmanager
def small_disk(folder: pathlib.Path, mebibytes: int):
    """A disk of that size in `folder`, which is made. For root. What uses it must have ended at the end."""
    folder.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0700", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def take_room(disk: pathlib.Path, file: pathlib.Path, begin: int, end: int) -> pathlib.Path:
    """Takes back the room that was set aside for that part of `file`, as on disks that promise more than they have, and fills
    the disk with another file, which is the result."""
    subprocess.run(["fallocate", "--punch-hole", "--offset", str(begin), "--length", str(end - begin), str(file)], check=True)
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as out:
        for size in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while out.write(bytes(size)) == size:
                    pass
    assert os.statvfs(disk).f_bavail < 16
    return filler
