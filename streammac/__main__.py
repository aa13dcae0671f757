"""``python -m streammac``: the same as the command ``streammac``."""

from streammac.cli.app import main

if __name__ == "__main__":
    main()
