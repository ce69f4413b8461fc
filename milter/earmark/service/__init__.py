"""The processes of `earmark serve`: one supervisor, its workers and one watcher. Read `supervisor` first."""
