"""A Google Drive that is an empty folder of this machine, mounted without asking anybody."""

from pathlib import Path


def mount(mountpoint: str, force_remount: bool = False) -> None:
    """Make `<mountpoint>/MyDrive`.

    Raises:
        ValueError: the place holds files already, as Colab says it.
    """
    place = Path(mountpoint)
    if (place / "MyDrive").is_dir() and not force_remount:
        print(f"Drive already mounted at {mountpoint}")
        return
    if place.is_dir() and any(entry.name != "MyDrive" for entry in place.iterdir()):
        raise ValueError("Mountpoint must not already contain files")
    (place / "MyDrive").mkdir(parents=True, exist_ok=True)
    print(f"Mounted at {mountpoint}")
