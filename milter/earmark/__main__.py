"""Entry point of the `earmark` command and of `python -m earmark`."""


def main() -> None:
    """Run the command line."""
    from earmark.cli.app import app

    app()


if __name__ == "__main__":
    main()
